// SPDX-License-Identifier: Apache-2.0
/*  views_test.c - the path door, and the walk to a model's file
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "actors/ground/durable.h"
#include "actors/loader/views.h"

#define LEASE "0123456789abcdef0123456789abcdef"
#define OTHER "fedcba9876543210fedcba9876543210"

typedef struct {
    char folder [64];
    loader_views_t views;
} bed_t;

static void write_file (const bed_t *bed, const char *name, const char *text)
{
    char path [PATH_MAX];
    snprintf (path, sizeof path, "%s/%s", bed->folder, name);
    int fd = open (path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true (fd >= 0);
    assert_int_equal (write (fd, text, strlen (text)), strlen (text));
    close (fd);
}

static void make_folder (const bed_t *bed, const char *name)
{
    char path [PATH_MAX];
    snprintf (path, sizeof path, "%s/%s", bed->folder, name);
    assert_int_equal (mkdir (path, 0700), 0);
}

static void make_link (const bed_t *bed, const char *target, const char *name)
{
    char path [PATH_MAX];
    snprintf (path, sizeof path, "%s/%s", bed->folder, name);
    assert_int_equal (symlink (target, path), 0);
}

static bool there (const bed_t *bed, const char *name)
{
    char path [PATH_MAX];
    struct stat state;
    snprintf (path, sizeof path, "%s/%s", bed->folder, name);
    return lstat (path, &state) == 0;
}

static int make_bed (void **state)
{
    bed_t *bed = calloc (1, sizeof *bed);
    assert_non_null (bed);
    snprintf (bed->folder, sizeof bed->folder, "/tmp/views_XXXXXX");
    assert_non_null (mkdtemp (bed->folder));
    make_folder (bed, "a");
    make_folder (bed, "a/b");
    write_file (bed, "a/b/m.safetensors", "the bytes");
    assert_int_equal (loader_views_open (&bed->views, bed->folder, NULL), 0);
    *state = bed;
    return 0;
}

static int clear_bed (void **state)
{
    bed_t *bed = *state;
    assert_int_equal (yard_durable_remove (bed->folder, NULL), 0);
    free (bed);
    return 0;
}

static loader_model_t *open_model (const bed_t *bed)
{
    loader_model_t *model = loader_model_new (1);
    assert_int_equal (loader_file_open (bed->folder, "a/b/m.safetensors", &model->files [0], NULL), 0);
    return model;
}

static void a_view_shows_the_leased_bytes_under_the_real_name (void **state)
{
    bed_t *bed = *state;
    loader_model_t *model = open_model (bed);
    char path [PATH_MAX], file [PATH_MAX + 32], text [32] = { 0 };
    assert_int_equal (loader_views_add (&bed->views, LEASE, model, path, NULL), 0);
    write_file (bed, "a/b/new", "others");
    char from [PATH_MAX], to [PATH_MAX];
    snprintf (from, sizeof from, "%s/a/b/new", bed->folder);
    snprintf (to, sizeof to, "%s/a/b/m.safetensors", bed->folder);
    assert_int_equal (rename (from, to), 0);
    snprintf (file, sizeof file, "%s/m.safetensors", path);
    int fd = open (file, O_RDONLY | O_CLOEXEC);
    assert_true (fd >= 0);
    assert_int_equal (read (fd, text, sizeof text - 1), 9);
    assert_string_equal (text, "the bytes");
    close (fd);
    loader_views_remove (&bed->views, LEASE);
    assert_false (there (bed, "views/" LEASE));
    loader_views_remove (&bed->views, LEASE); /* again is nothing */
    loader_model_drop (&model);
}

/* R6.11 */
static void a_tree_of_files_is_the_same_tree_in_its_view (void **state)
{
    bed_t *bed = *state;
    static const char *const names [] = { "unet/model.onnx", "unet/deep/weights.pb", "vae/model.onnx" };
    loader_model_t *model = loader_model_new (3);
    char path [PATH_MAX];
    for (size_t at = 0; at < 3; at++) {
        assert_int_equal (loader_file_open (bed->folder, "a/b/m.safetensors", &model->files [at], NULL), 0);
        snprintf (model->files [at].name, sizeof model->files [at].name, "%s", names [at]);
    }
    assert_int_equal (loader_views_add (&bed->views, LEASE, model, path, NULL), 0);
    assert_true (there (bed, "views/" LEASE "/unet/model.onnx"));
    assert_true (there (bed, "views/" LEASE "/unet/deep/weights.pb"));
    assert_true (there (bed, "views/" LEASE "/vae/model.onnx"));
    loader_views_remove (&bed->views, LEASE);
    assert_false (there (bed, "views/" LEASE));
    loader_model_drop (&model);
}

static void descriptors_get_numbers_of_their_own_in_turn (void **state)
{
    bed_t *bed = *state;
    loader_numbers_t numbers;
    loader_numbers_init (&numbers);
    int last = numbers.first - 1;
    for (int at = 0; at < 5; at++) {
        loader_model_t *model = open_model (bed);
        loader_model_number (model, &numbers);
        assert_true (model->files [0].fd > last);
        last = model->files [0].fd;
        loader_model_drop (&model); /* closed, and still not the next number */
    }
    numbers.next = numbers.end;
    loader_model_t *model = open_model (bed);
    loader_model_number (model, &numbers);
    assert_int_equal (model->files [0].fd, numbers.first);
    loader_model_drop (&model);
}

static void views_of_dead_processes_are_removed_at_start_and_those_of_living_loaders_are_not (void **state)
{
    bed_t *bed = *state;
    char link [64], dead [64];
    pid_t dead_pid = fork ();
    if (dead_pid == 0)
        _exit (0);
    assert_int_equal (waitpid (dead_pid, NULL, 0), dead_pid);
    int pipes [2];
    assert_int_equal (pipe (pipes), 0);
    pid_t living = fork (); /* of our name, as another loader would be */
    if (living == 0) {
        char byte;
        close (pipes [1]);
        _exit ((int) read (pipes [0], &byte, 1));
    }
    make_folder (bed, "views/" LEASE);
    snprintf (link, sizeof link, "/proc/%ld/fd/7", (long) dead_pid);
    make_link (bed, link, "views/" LEASE "/m.safetensors");
    snprintf (dead, sizeof dead, "views/.%ld." OTHER, (long) dead_pid);
    make_folder (bed, dead);
    make_folder (bed, "views/" OTHER);
    snprintf (link, sizeof link, "/proc/%ld/fd/7", (long) living);
    make_link (bed, link, "views/" OTHER "/m.safetensors");
    make_folder (bed, "views/tree"); /* its first link is a folder down */
    make_folder (bed, "views/tree/unet");
    make_link (bed, link, "views/tree/unet/model.onnx");
    assert_int_equal (loader_views_open (&bed->views, bed->folder, NULL), 0);
    assert_false (there (bed, "views/" LEASE));
    assert_false (there (bed, dead));
    assert_true (there (bed, "views/" OTHER "/m.safetensors"));
    assert_true (there (bed, "views/tree/unet/model.onnx"));
    close (pipes [0]);
    close (pipes [1]);
    assert_int_equal (waitpid (living, NULL, 0), living);
}

static int open_path (const bed_t *bed, const char *path)
{
    loader_file_t file;
    int rc = loader_file_open (bed->folder, path, &file, NULL);
    loader_file_close (&file);
    return rc;
}

static void a_file_is_found_below_the_models_directory_and_nowhere_else (void **state)
{
    bed_t *bed = *state;
    char absolute [PATH_MAX];
    snprintf (absolute, sizeof absolute, "%s/a/b/m.safetensors", bed->folder);
    make_link (bed, "a", "linked");
    make_link (bed, "b/m.safetensors", "a/link.safetensors");
    char fifo [PATH_MAX];
    snprintf (fifo, sizeof fifo, "%s/fifo", bed->folder);
    assert_int_equal (mkfifo (fifo, 0600), 0);
    static const struct {
        const char *path;
        int rc;
    } cases [] = {
        { "a/b/m.safetensors", 0 },
        { "./a//b/./m.safetensors", 0 },
        { "a/b/none.safetensors", YARD_MODEL_NOT_FOUND },
        { "a/b/m.safetensors/x", YARD_MODEL_NOT_FOUND },
        { "a/../a/b/m.safetensors", YARD_FORBIDDEN },
        { "../x", YARD_FORBIDDEN },
        { "/etc/passwd", YARD_FORBIDDEN },
        { "linked/b/m.safetensors", YARD_FORBIDDEN },
        { "a/link.safetensors", YARD_FORBIDDEN },
        { "a/b", YARD_INVALID_FILE },
        { "fifo", YARD_INVALID_FILE },
        { "", YARD_MODEL_NOT_FOUND },
        { ".", YARD_MODEL_NOT_FOUND },
    };
    assert_int_equal (open_path (bed, absolute), 0);
    for (size_t at = 0; at < sizeof cases / sizeof cases [0]; at++)
        assert_int_equal (open_path (bed, cases [at].path), cases [at].rc);
    char deep [PATH_MAX] = "";
    for (size_t at = 0; at + 3 < 2 * (LOADER_PATH_STEPS_MAX + 2); at += 2)
        memcpy (deep + at, "d/", 3);
    assert_int_equal (open_path (bed, deep), YARD_MODEL_NOT_FOUND);
    /*  A folder whose name merely begins like the models directory is another one. */
    snprintf (absolute, sizeof absolute, "%sx/m", bed->folder);
    assert_int_equal (open_path (bed, absolute), YARD_FORBIDDEN);
}

static void a_file_has_changed_when_its_bytes_or_its_name_are_others (void **state)
{
    bed_t *bed = *state;
    loader_model_t *first = open_model (bed), *second = open_model (bed);
    assert_true (loader_model_is (first, second->files, 1));
    assert_false (loader_model_is (first, second->files, 0));
    second->files [0].identity.mtime_ns++;
    assert_false (loader_model_is (first, second->files, 1));
    loader_model_drop (&first);
    loader_model_drop (&second);
}

int main (void)
{
#define CASE(name) cmocka_unit_test_setup_teardown (name, make_bed, clear_bed)
    const struct CMUnitTest tests [] = {
        CASE (a_view_shows_the_leased_bytes_under_the_real_name),
        CASE (a_tree_of_files_is_the_same_tree_in_its_view),
        CASE (descriptors_get_numbers_of_their_own_in_turn),
        CASE (views_of_dead_processes_are_removed_at_start_and_those_of_living_loaders_are_not),
        CASE (a_file_is_found_below_the_models_directory_and_nowhere_else),
        CASE (a_file_has_changed_when_its_bytes_or_its_name_are_others),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
