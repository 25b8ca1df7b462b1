// SPDX-License-Identifier: Apache-2.0
/*  durable_test.c - real files in a directory of their own
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "actors/ground/durable.h"

/*  Every case runs inside a fresh directory, so that paths are short and relative ones are tried too. */
static int make_place (void **state)
{
    char *place = strdup ("/tmp/yard-durable-XXXXXX");
    *state = place;
    return place && mkdtemp (place) && chdir (place) == 0 ? 0 : -1;
}

static int remove_place (void **state)
{
    int rc = chdir ("/") || yard_durable_remove (*state, NULL);
    free (*state);
    return rc;
}

static void put (const char *path, const char *text)
{
    yard_error_t error = { 0 };
    if (yard_durable_write (path, text, strlen (text), 0644, &error))
        fail_msg ("%s", error.text);
}

static void assert_holds (const char *path, const char *text)
{
    char *data = NULL;
    size_t size = 0;
    yard_error_t error = { 0 };
    if (yard_file_read (path, 1000, &data, &size, &error))
        fail_msg ("%s", error.text);
    assert_int_equal (size, strlen (text));
    assert_string_equal (data, text);
    free (data);
}

static bool is_there (const char *path)
{
    struct stat status;
    return lstat (path, &status) == 0;
}

static int count_names (const char *path)
{
    char command [200];
    snprintf (command, sizeof command, "ls -A %s | wc -l", path);
    FILE *pipe = popen (command, "r");
    int count = -1;
    assert_int_equal (fscanf (pipe, "%d", &count), 1);
    pclose (pipe);
    return count;
}

static void a_write_replaces_whole_and_leaves_nothing_beside (void **state)
{
    char path [100];
    snprintf (path, sizeof path, "%s/file", (char *) *state);
    put (path, "first");
    put ("file", "the second, longer");
    assert_holds ("file", "the second, longer");
    assert_int_equal (yard_durable_write ("file", NULL, 0, 0644, NULL), 0);
    assert_holds ("file", "");
    assert_int_equal (count_names ("."), 1);
}

static void a_write_sets_the_mode_whatever_the_umask (void **state)
{
    (void) state;
    mode_t before = umask (077);
    assert_int_equal (yard_durable_write ("open", "x", 1, 0664, NULL), 0);
    umask (0);
    assert_int_equal (yard_durable_write ("shut", "x", 1, 0600, NULL), 0);
    umask (before);
    struct stat status;
    assert_int_equal (stat ("open", &status), 0);
    assert_int_equal (status.st_mode & 07777, 0664);
    assert_int_equal (stat ("shut", &status), 0);
    assert_int_equal (status.st_mode & 07777, 0600);
}

static void a_write_over_a_symlink_replaces_the_link_not_its_target (void **state)
{
    (void) state;
    put ("target", "kept");
    assert_int_equal (symlink ("target", "link"), 0);
    put ("link", "new");
    assert_holds ("target", "kept");
    assert_holds ("link", "new");
}

static void a_write_that_fails_leaves_nothing (void **state)
{
    (void) state;
    yard_error_t error = { 0 };
    assert_int_equal (yard_durable_write ("no/such/file", "x", 1, 0644, &error), YARD_NOT_FOUND);
    assert_non_null (strstr (error.text, "no/such"));
    assert_int_equal (mkdir ("taken", 0755), 0);
    assert_int_not_equal (yard_durable_write ("taken", "x", 1, 0644, &error), 0);
    assert_int_equal (count_names ("."), 1);
}

static void a_name_of_255_bytes_can_be_written_and_256_not (void **state)
{
    (void) state;
    char name [257] = { 0 };
    memset (name, 'n', 255);
    put (name, "long");
    assert_holds (name, "long");
    name [255] = 'n';
    assert_int_equal (yard_durable_write (name, "x", 1, 0644, NULL), YARD_TOO_LARGE);
}

static void a_path_without_a_name_is_refused (void **state)
{
    (void) state;
    const char *const paths [] = { "", "/", "//", ".", "..", "a/..", "a/.", "./" };
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        assert_int_equal (yard_durable_write (paths [i], "x", 1, 0644, NULL), YARD_INTERNAL);
        assert_int_equal (yard_durable_remove (paths [i], NULL), YARD_INTERNAL);
        assert_int_equal (yard_durable_rename (paths [i], "b", NULL), YARD_INTERNAL);
    }
}

static void mkdir_makes_all_that_is_missing (void **state)
{
    char path [100];
    snprintf (path, sizeof path, "%s/a//b/c/", (char *) *state);
    assert_int_equal (yard_durable_mkdir (path, 0700, NULL), 0);
    assert_int_equal (yard_durable_mkdir (path, 0700, NULL), 0);
    assert_int_equal (yard_durable_mkdir ("a/b/c/d/e", 0700, NULL), 0);
    struct stat status;
    assert_int_equal (stat ("a/b/c/d/e", &status), 0);
    assert_int_equal (status.st_mode & 07777, 0700);
}

static void mkdir_takes_a_symlink_to_a_directory_and_refuses_a_file (void **state)
{
    (void) state;
    assert_int_equal (mkdir ("disk", 0700), 0);
    assert_int_equal (symlink ("disk", "models"), 0);
    assert_int_equal (yard_durable_mkdir ("models/x", 0700, NULL), 0);
    assert_true (is_there ("disk/x"));
    put ("file", "x");
    yard_error_t error = { 0 };
    assert_int_equal (yard_durable_mkdir ("file", 0700, &error), YARD_CONFLICT);
    assert_int_equal (yard_durable_mkdir ("file/x", 0700, &error), YARD_CONFLICT);
    assert_int_equal (yard_durable_mkdir ("", 0700, &error), YARD_TOO_LARGE);
}

static void rename_cases (void)
{
    put ("from", "new");
    put ("to", "old");
    yard_error_t error = { 0 };
    assert_int_equal (yard_durable_rename ("from", "to", &error), YARD_CONFLICT);
    assert_non_null (strstr (error.text, "to is there already"));
    assert_holds ("from", "new");
    assert_holds ("to", "old");
    assert_int_equal (mkdir ("d", 0700), 0);
    assert_int_equal (yard_durable_rename ("from", "d/to", NULL), 0);
    assert_false (is_there ("from"));
    assert_holds ("d/to", "new");
    assert_int_equal (yard_durable_rename ("missing", "x", NULL), YARD_NOT_FOUND);
    /* A directory: rename (2) alone would take the place of an empty one. */
    assert_int_equal (mkdir ("empty", 0700), 0);
    assert_int_equal (yard_durable_rename ("d", "empty", NULL), YARD_CONFLICT);
    /* A dangling link is a name too. */
    assert_int_equal (symlink ("nowhere", "dangling"), 0);
    assert_int_equal (yard_durable_rename ("d", "dangling", NULL), YARD_CONFLICT);
    assert_int_equal (yard_durable_rename ("to", "dangling", NULL), YARD_CONFLICT);
    assert_int_equal (yard_durable_rename ("d/", "e", NULL), 0);
    assert_holds ("e/to", "new");
}

static void rename_refuses_an_existing_target (void **state)
{
    (void) state;
    rename_cases ();
}

/*  The child's kernel has no renameat2 with flags, as an old one or a file system without it. */
static void rename_refuses_it_without_the_kernels_help_too (void **state)
{
    (void) state;
    pid_t child = fork ();
    assert_true (child >= 0);
    if (child == 0) {
        struct sock_filter rules [] = {
            BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, nr)),
            BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, SYS_renameat2, 0, 3),
            BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, args [4])),
            BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
            BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
            BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog program = { sizeof rules / sizeof *rules, rules };
        if (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
            _exit (77);
        /* The filter is in force: the bare call fails. */
        if (syscall (SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "b", 1) == 0 || errno != EINVAL)
            _exit (78);
        rename_cases ();
        _exit (0);
    }
    int status = 0;
    assert_int_equal (waitpid (child, &status, 0), child);
    if (WIFEXITED (status) && WEXITSTATUS (status) == 77)
        skip ();
    assert_true (WIFEXITED (status));
    assert_int_equal (WEXITSTATUS (status), 0);
}

static void remove_takes_a_whole_tree_and_a_missing_path_is_success (void **state)
{
    (void) state;
    assert_int_equal (yard_durable_mkdir ("tree/a/b/c", 0755, NULL), 0);
    for (int i = 0; i < 300; i++) {
        char path [50];
        snprintf (path, sizeof path, "tree/a/%d", i);
        int fd = open (path, O_CREAT | O_WRONLY | O_CLOEXEC, 0444);
        assert_true (fd >= 0);
        close (fd);
    }
    assert_int_equal (mkfifo ("tree/fifo", 0600), 0);
    assert_int_equal (yard_durable_remove ("tree/", NULL), 0);
    assert_false (is_there ("tree"));
    assert_int_equal (yard_durable_remove ("tree", NULL), 0);
    assert_int_equal (yard_durable_remove ("no/such/tree", NULL), 0);
}

static void remove_never_follows_a_symlink (void **state)
{
    (void) state;
    assert_int_equal (yard_durable_mkdir ("kept/deep", 0755, NULL), 0);
    put ("kept/file", "kept");
    put ("single", "kept");
    assert_int_equal (yard_durable_mkdir ("tree/sub", 0755, NULL), 0);
    assert_int_equal (symlink ("../kept", "tree/directory"), 0);
    assert_int_equal (symlink ("../../kept", "tree/sub/directory"), 0);
    assert_int_equal (symlink ("../single", "tree/file"), 0);
    assert_int_equal (symlink ("nowhere", "tree/dangling"), 0);
    assert_int_equal (yard_durable_remove ("tree", NULL), 0);
    assert_false (is_there ("tree"));
    assert_holds ("kept/file", "kept");
    assert_true (is_there ("kept/deep"));
    assert_holds ("single", "kept");
    /* And the path itself may be one. */
    assert_int_equal (symlink ("kept", "link"), 0);
    assert_int_equal (yard_durable_remove ("link", NULL), 0);
    assert_false (is_there ("link"));
    assert_holds ("kept/file", "kept");
}

static void a_tree_too_deep_is_refused_with_words (void **state)
{
    (void) state;
    char path [400] = "deep";
    for (int i = 0; i < 66; i++)
        memcpy (path + 4 + 2 * i, "/d", 3);
    assert_int_equal (yard_durable_mkdir (path, 0755, NULL), 0);
    yard_error_t error = { 0 };
    assert_int_equal (yard_durable_remove ("deep", &error), YARD_TOO_LARGE);
    assert_non_null (strstr (error.text, "64"));
    assert_int_equal (yard_durable_sync_tree ("deep", &error), YARD_TOO_LARGE);
    /* The upper half alone is deep enough to move the rest out of it. */
    assert_int_equal (yard_durable_rename ("deep/d/d/d/d", "rest", NULL), 0);
    assert_int_equal (yard_durable_remove ("deep", NULL), 0);
    assert_int_equal (yard_durable_remove ("rest", NULL), 0);
}

static void sync_tree_goes_through_all_but_symlinks (void **state)
{
    (void) state;
    assert_int_equal (yard_durable_mkdir ("tree/a/b", 0755, NULL), 0);
    put ("tree/a/b/file", "x");
    /* Opening either of these would fail or block. */
    assert_int_equal (symlink ("nowhere", "tree/a/dangling"), 0);
    assert_int_equal (mkfifo ("tree/a/fifo", 0600), 0);
    yard_error_t error = { 0 };
    assert_int_equal (yard_durable_sync_tree ("tree", &error), 0);
    assert_int_equal (yard_durable_sync_tree ("tree/a/b/file", &error), 0);
    assert_int_equal (yard_durable_sync_tree ("missing", &error), YARD_NOT_FOUND);
    assert_int_equal (symlink ("tree", "link"), 0);
    assert_int_equal (yard_durable_sync_tree ("link", &error), YARD_INVALID_FILE);
    assert_int_equal (yard_durable_sync ("tree", &error), 0);
    assert_int_equal (yard_durable_sync ("tree/a/b/file", &error), 0);
    assert_int_equal (yard_durable_sync ("missing", &error), YARD_NOT_FOUND);
}

static void a_read_is_bounded_to_the_byte (void **state)
{
    (void) state;
    put ("file", "12345");
    char *data = NULL;
    size_t size = 99;
    yard_error_t error = { 0 };
    assert_int_equal (yard_file_read ("file", 4, &data, &size, &error), YARD_TOO_LARGE);
    assert_null (data);
    assert_int_equal (size, 99);
    assert_int_equal (yard_file_read ("file", 5, &data, &size, &error), 0);
    assert_int_equal (size, 5);
    assert_memory_equal (data, "12345", 6);
    free (data);
    put ("empty", "");
    assert_int_equal (yard_file_read ("empty", 0, &data, &size, &error), 0);
    assert_int_equal (size, 0);
    assert_string_equal (data, "");
    free (data);
    /* Longer than one read. */
    char long_text [50001];
    memset (long_text, 'y', 50000);
    long_text [50000] = 0;
    put ("long", long_text);
    assert_int_equal (yard_file_read ("long", 50000, &data, &size, &error), 0);
    assert_int_equal (size, 50000);
    assert_string_equal (data, long_text);
    free (data);
}

static void only_regular_files_are_read (void **state)
{
    (void) state;
    char *data = NULL;
    size_t size = 0;
    assert_int_equal (mkfifo ("fifo", 0600), 0);
    assert_int_equal (mkdir ("directory", 0700), 0);
    assert_int_equal (yard_file_read ("fifo", 10, &data, &size, NULL), YARD_INVALID_FILE);
    assert_int_equal (yard_file_read ("directory", 10, &data, &size, NULL), YARD_INVALID_FILE);
    assert_int_equal (yard_file_read ("/dev/zero", 10, &data, &size, NULL), YARD_INVALID_FILE);
    assert_int_equal (yard_file_read ("missing", 10, &data, &size, NULL), YARD_NOT_FOUND);
    assert_null (data);
}

#define CASE(name) cmocka_unit_test_setup_teardown (name, make_place, remove_place)

int main (void)
{
    const struct CMUnitTest tests [] = {
        CASE (a_write_replaces_whole_and_leaves_nothing_beside),
        CASE (a_write_sets_the_mode_whatever_the_umask),
        CASE (a_write_over_a_symlink_replaces_the_link_not_its_target),
        CASE (a_write_that_fails_leaves_nothing),
        CASE (a_name_of_255_bytes_can_be_written_and_256_not),
        CASE (a_path_without_a_name_is_refused),
        CASE (mkdir_makes_all_that_is_missing),
        CASE (mkdir_takes_a_symlink_to_a_directory_and_refuses_a_file),
        CASE (rename_refuses_an_existing_target),
        CASE (rename_refuses_it_without_the_kernels_help_too),
        CASE (remove_takes_a_whole_tree_and_a_missing_path_is_success),
        CASE (remove_never_follows_a_symlink),
        CASE (a_tree_too_deep_is_refused_with_words),
        CASE (sync_tree_goes_through_all_but_symlinks),
        CASE (a_read_is_bounded_to_the_byte),
        CASE (only_regular_files_are_read),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
