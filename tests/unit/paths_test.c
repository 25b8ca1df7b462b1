// SPDX-License-Identifier: Apache-2.0
/*  paths_test.c - the environment's say in where the yard lives
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "actors/ground/durable.h"
#include "actors/ground/paths.h"

static const char *const variables [] = { "MODELYARD_HOME", "MODELYARD_RUN", "XDG_RUNTIME_DIR", "HOME" };

typedef struct {
    const char *set [4]; /* as above; NULL = unset */
    const char *home, *run;
} row_t;

static void set_all (const char *const *values)
{
    for (size_t i = 0; i < 4; i++)
        assert_int_equal (values [i] ? setenv (variables [i], values [i], 1) : unsetenv (variables [i]), 0);
}

static void home_and_run_follow_the_environment (void **state)
{
    (void) state;
    const row_t rows [] = {
        { { "/h", "/r", "/x", "/u" }, "/h", "/r" },
        { { "/h", NULL, "/x", "/u" }, "/h", "/h/run" },
        { { NULL, "/r", "/x", "/u" }, "/u/.local/share/modelyard", "/r" },
        { { NULL, NULL, "/x", "/u" }, "/u/.local/share/modelyard", "/x/modelyard" },
        { { NULL, NULL, NULL, "/u" }, "/u/.local/share/modelyard", "/run/modelyard" },
        /* Empty is as good as unset; slashes at the end do not count. */
        { { "", "", "", "/u" }, "/u/.local/share/modelyard", "/run/modelyard" },
        { { "/h//", "/r/", NULL, NULL }, "/h", "/r" },
        { { "/", NULL, NULL, NULL }, "/", "/run" },
        /* Relative ones count from here. */
        { { "h", "r/s/", NULL, NULL }, "/tmp/h", "/tmp/r/s" },
    };
    assert_int_equal (chdir ("/tmp"), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        static yard_paths_t paths;
        set_all (rows [i].set);
        assert_int_equal (yard_paths_find (&paths, NULL), 0);
        assert_string_equal (paths.home, rows [i].home);
        assert_string_equal (paths.run, rows [i].run);
    }
}

static void without_home_the_password_file_says (void **state)
{
    (void) state;
    static yard_paths_t paths;
    set_all ((const char *const [4]){ NULL });
    yard_error_t error = { 0 };
    /* A user without an entry is possible in a container: then the sentence must say what to do. */
    if (yard_paths_find (&paths, &error) == 0)
        assert_true (paths.home [0] == '/');
    else
        assert_non_null (strstr (error.text, "MODELYARD_HOME"));
}

static void a_home_too_long_is_refused_and_nothing_is_written (void **state)
{
    (void) state;
    static yard_paths_t paths;
    static char longest [PATH_MAX + 10];
    memset (longest, 'l', sizeof longest - 1);
    longest [0] = '/';
    paths.home [0] = paths.run [0] = '?';
    set_all ((const char *const [4]){ longest, NULL, NULL, NULL });
    assert_int_equal (yard_paths_find (&paths, NULL), YARD_TOO_LARGE);
    /* A home that just fits has no room for its run directory. */
    longest [PATH_MAX - 1] = 0;
    set_all ((const char *const [4]){ longest, NULL, NULL, NULL });
    assert_int_equal (yard_paths_find (&paths, NULL), YARD_TOO_LARGE);
    assert_int_equal (paths.home [0], '?');
    assert_int_equal (paths.run [0], '?');
}

static void paths_join_with_one_slash (void **state)
{
    (void) state;
    const struct {
        const char *a, *b, *joined;
    } rows [] = {
        { "/a", "b", "/a/b" }, { "/a/", "b", "/a/b" }, { "/a//", "b/c", "/a/b/c" },
        { "/", "b", "/b" },    { "a", "b", "a/b" },    { "/a", "/b", "/b" },
        { "", "b", "b" },      { "/a", "", "/a" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char path [PATH_MAX];
        assert_int_equal (yard_path_join (path, rows [i].a, rows [i].b, NULL), 0);
        assert_string_equal (path, rows [i].joined);
    }
    /* The result may take the place of what it was made of. */
    char path [PATH_MAX] = "/a";
    assert_int_equal (yard_path_join (path, path, "b", NULL), 0);
    assert_string_equal (path, "/a/b");
}

static void a_joined_path_fits_to_the_byte (void **state)
{
    (void) state;
    static char a [PATH_MAX], path [PATH_MAX];
    memset (a, 'a', PATH_MAX - 3);
    assert_int_equal (yard_path_join (path, a, "b", NULL), 0);
    assert_int_equal (strlen (path), PATH_MAX - 1);
    yard_error_t error = { 0 };
    assert_int_equal (yard_path_join (path, a, "bc", &error), YARD_TOO_LARGE);
    assert_int_equal (error.code, YARD_TOO_LARGE);
    assert_int_equal (path [PATH_MAX - 2], 'b');
}

static void a_private_directory_is_ours_alone (void **state)
{
    (void) state;
    char place [] = "/tmp/yard-paths-XXXXXX", path [100];
    assert_non_null (mkdtemp (place));
    snprintf (path, sizeof path, "%s/a/b", place);
    mode_t before = umask (0);
    assert_int_equal (yard_paths_make_private (path, NULL), 0);
    struct stat status;
    assert_int_equal (stat (path, &status), 0);
    assert_int_equal (status.st_mode & 07777, 0700);
    /* One that is there and open to others is closed to them. */
    assert_int_equal (chmod (path, 0755), 0);
    assert_int_equal (yard_paths_make_private (path, NULL), 0);
    assert_int_equal (stat (path, &status), 0);
    assert_int_equal (status.st_mode & 07777, 0700);
    umask (before);
    assert_int_equal (yard_durable_remove (place, NULL), 0);
}

static void a_directory_of_another_user_is_refused (void **state)
{
    (void) state;
    yard_error_t error = { 0 };
    char place [] = "/tmp/yard-paths-XXXXXX";
    if (geteuid () != 0) {
        assert_int_equal (yard_paths_make_private ("/", &error), YARD_FORBIDDEN);
        return;
    }
    assert_non_null (mkdtemp (place));
    assert_int_equal (chown (place, 65534, (gid_t) -1), 0);
    assert_int_equal (yard_paths_make_private (place, &error), YARD_FORBIDDEN);
    assert_non_null (strstr (error.text, "65534"));
    assert_int_equal (rmdir (place), 0);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (home_and_run_follow_the_environment),
        cmocka_unit_test (without_home_the_password_file_says),
        cmocka_unit_test (a_home_too_long_is_refused_and_nothing_is_written),
        cmocka_unit_test (paths_join_with_one_slash),
        cmocka_unit_test (a_joined_path_fits_to_the_byte),
        cmocka_unit_test (a_private_directory_is_ours_alone),
        cmocka_unit_test (a_directory_of_another_user_is_refused),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
