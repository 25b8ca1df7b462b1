// SPDX-License-Identifier: Apache-2.0
/*  staging_test.c - a file in staging has its name only when it is whole */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/stat.h>
#include "actors/ground/durable.h"
#include "actors/installer/installer.h"

typedef struct {
    char folder [64];
    char staging [PATH_MAX], source [PATH_MAX];
    yard_arena_t *arena;
    installer_lease_t lease;
} fixture_t;

static int setup (void **state)
{
    fixture_t *self = calloc (1, sizeof *self);
    snprintf (self->folder, sizeof self->folder, "/tmp/staging_XXXXXX");
    assert_non_null (mkdtemp (self->folder));
    yard_path_join (self->staging, self->folder, "staging", NULL);
    yard_path_join (self->source, self->folder, "source.safetensors", NULL);
    assert_int_equal (mkdir (self->staging, 0755), 0);
    assert_int_equal (yard_durable_write (self->source, "hello", 5, 0644, NULL), 0);
    self->arena = yard_arena_new (1 << 20);
    *state = self;
    return 0;
}

static int teardown (void **state)
{
    fixture_t *self = *state;
    yard_durable_remove (self->folder, NULL);
    yard_arena_destroy (&self->arena);
    free (self);
    return 0;
}

static void touch (fixture_t *self, const char *name)
{
    char path [PATH_MAX];
    yard_path_join (path, self->staging, name, NULL);
    assert_int_equal (yard_durable_write (path, "x", 1, 0644, NULL), 0);
}

/* R2.9: a real copy; the source stays */
static void a_copy_is_whole_and_the_source_stays (void **state)
{
    fixture_t *self = *state;
    yard_error_t error = { 0 };
    if (installer_staging_copy (self->source, self->staging, "a.safetensors", false, &self->lease, &error))
        fail_msg ("%s", error.text);
    const char *path;
    uint64_t bytes;
    assert_int_equal (installer_staging_file (self->staging, self->arena, &path, &bytes, NULL), 0);
    assert_int_equal (bytes, 5);
    struct stat copy, source;
    assert_int_equal (stat (path, &copy), 0);
    assert_int_equal (stat (self->source, &source), 0);
    assert_int_not_equal (copy.st_ino, source.st_ino);
    assert_int_equal (self->lease.bytes, 5);
}

static void a_link_is_made_only_when_asked (void **state)
{
    fixture_t *self = *state;
    assert_int_equal (installer_staging_copy (self->source, self->staging, "a", true, &self->lease, NULL), 0);
    struct stat source;
    assert_int_equal (stat (self->source, &source), 0);
    assert_int_equal (source.st_nlink, 2);
}

static void a_stopped_copy_leaves_nothing (void **state)
{
    fixture_t *self = *state;
    atomic_store (&self->lease.stop, true);
    assert_int_equal (installer_staging_copy (self->source, self->staging, "a", false, &self->lease, NULL),
                      YARD_CANCELLED);
    const char *path;
    uint64_t bytes;
    assert_int_equal (installer_staging_file (self->staging, self->arena, &path, &bytes, NULL),
                      YARD_NOT_FOUND);
    assert_int_equal (rmdir (self->staging), 0);
}

static void folders_and_missing_files_are_refused_by_name (void **state)
{
    fixture_t *self = *state;
    yard_error_t error = { 0 };
    assert_int_equal (installer_staging_copy (self->folder, self->staging, "a", false, &self->lease, &error),
                      YARD_NOT_IMPLEMENTED);
    assert_non_null (strstr (error.text, self->folder));
    assert_int_equal (installer_staging_copy ("/nonexistent", self->staging, "a", false, &self->lease, NULL),
                      YARD_NOT_FOUND);
    assert_int_equal (installer_staging_copy ("/dev/null", self->staging, "a", false, &self->lease, NULL),
                      YARD_INVALID_SOURCE);
}

static void parts_and_journals_are_no_finished_files (void **state)
{
    fixture_t *self = *state;
    const char *path;
    uint64_t bytes;
    touch (self, "a.safetensors.part");
    touch (self, "a.safetensors.part.3");
    touch (self, "a.safetensors.journal");
    touch (self, ".a.copy");
    assert_int_equal (installer_staging_file (self->staging, self->arena, &path, &bytes, NULL),
                      YARD_NOT_FOUND);
    touch (self, "a.safetensors");
    assert_int_equal (installer_staging_file (self->staging, self->arena, &path, &bytes, NULL), 0);
    touch (self, "b.safetensors");
    assert_int_equal (installer_staging_file (self->staging, self->arena, &path, &bytes, NULL),
                      YARD_CONFLICT);
}

static void a_model_may_have_part_or_journal_in_its_name (void **state)
{
    fixture_t *self = *state;
    static const char *const names [] = { "lora.part2.safetensors",
                                          "my.journal.safetensors",
                                          "part",
                                          "x.part.bin",
                                          "v1.2",
                                          ".part",
                                          "a.part",
                                          "a.part.17",
                                          "a.journal",
                                          "a.journal.new" };
    for (size_t i = 0; i < sizeof names / sizeof names [0]; i++)
        assert_int_equal (installer_staging_is_leftover (names [i]), i >= 5);
    touch (self, names [0]);
    const char *path;
    uint64_t bytes;
    assert_int_equal (installer_staging_file (self->staging, self->arena, &path, &bytes, NULL), 0);
}

static void a_copy_that_was_cut_makes_room_for_the_next (void **state)
{
    fixture_t *self = *state;
    touch (self, ".a.3.copy");
    self->lease.token = 4;
    assert_int_equal (installer_staging_copy (self->source, self->staging, "a", false, &self->lease, NULL),
                      0);
    char path [PATH_MAX];
    struct stat status;
    yard_path_join (path, self->staging, ".a.3.copy", NULL);
    assert_int_equal (stat (path, &status), -1);
}

static void a_copy_that_another_lease_finished_first_is_as_good (void **state)
{
    fixture_t *self = *state;
    touch (self, "a");
    assert_int_equal (installer_staging_copy (self->source, self->staging, "a", false, &self->lease, NULL),
                      0);
    const char *path;
    uint64_t bytes;
    assert_int_equal (installer_staging_file (self->staging, self->arena, &path, &bytes, NULL), 0);
    assert_int_equal (bytes, 1); /* the other's, not written over */
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test_setup_teardown (a_copy_is_whole_and_the_source_stays, setup, teardown),
        cmocka_unit_test_setup_teardown (a_link_is_made_only_when_asked, setup, teardown),
        cmocka_unit_test_setup_teardown (a_stopped_copy_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown (folders_and_missing_files_are_refused_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown (parts_and_journals_are_no_finished_files, setup, teardown),
        cmocka_unit_test_setup_teardown (a_model_may_have_part_or_journal_in_its_name, setup, teardown),
        cmocka_unit_test_setup_teardown (a_copy_that_was_cut_makes_room_for_the_next, setup, teardown),
        cmocka_unit_test_setup_teardown (a_copy_that_another_lease_finished_first_is_as_good, setup,
                                         teardown),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
