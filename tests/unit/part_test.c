// SPDX-License-Identifier: Apache-2.0
/*  part_test.c - a file that is made in several lives
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "actors/downloader/journal.h"
#include "actors/downloader/part.h"
#include "actors/ground/durable.h"

#define SOURCE "http://example.com/model"
#define UNKNOWN DOWNLOADER_SIZE_UNKNOWN
#define TEXT "0123456789abcdef"
#define TEXT_SHA256 "9f9f5111f7b27a781f1f1ddde5ebc2dd2b796bfc7365c9c28b548e564176929f"

typedef struct {
    char root [64], path [96], part [128], journal [128];
} fixture_t;

static int set_up (void **state)
{
    fixture_t *self = calloc (1, sizeof *self);
    memcpy (self->root, "/tmp/part-XXXXXX", 17);
    assert_non_null (mkdtemp (self->root));
    snprintf (self->path, sizeof self->path, "%s/new/folder/model", self->root);
    snprintf (self->part, sizeof self->part, "%s.part", self->path);
    snprintf (self->journal, sizeof self->journal, "%s.journal", self->path);
    *state = self;
    return 0;
}

static int tear_down (void **state)
{
    fixture_t *self = *state;
    yard_durable_remove (self->root, NULL);
    free (self);
    return 0;
}

static downloader_part_t *opened (const fixture_t *self, uint64_t token, const char *sha256)
{
    downloader_part_t *part = NULL;
    assert_int_equal (downloader_part_new (self->path, SOURCE, token, UNKNOWN, sha256, &part, NULL), 0);
    assert_int_equal (downloader_part_open (part, NULL), 0);
    return part;
}

/*  A life that proved `proven` bytes of TEXT and wrote `more` behind them. */
static void live (const fixture_t *self, size_t proven, size_t more)
{
    downloader_part_t *part = opened (self, 1, NULL);
    downloader_part_expect (part, strlen (TEXT), "\"v\"");
    assert_int_equal (downloader_part_write (part, TEXT, proven, NULL), 0);
    assert_int_equal (downloader_part_checkpoint (part, NULL), 0);
    assert_int_equal (downloader_part_write (part, &TEXT [proven], more, NULL), 0);
    downloader_part_destroy (&part);
}

static size_t count_files (const fixture_t *self)
{
    char folder [128];
    snprintf (folder, sizeof folder, "%s/new/folder", self->root);
    DIR *entries = opendir (folder);
    size_t count = 0;
    while (readdir (entries))
        count++;
    closedir (entries);
    return count - 2;
}

/*  Writes the rest, publishes, and looks at the file. */
static void complete (const fixture_t *self, downloader_part_t *part)
{
    downloader_part_expect (part, strlen (TEXT), "\"v\"");
    uint64_t at = downloader_part_bytes (part);
    assert_int_equal (downloader_part_write (part, &TEXT [at], strlen (TEXT) - at, NULL), 0);
    assert_int_equal (downloader_part_publish (part, NULL), 0);
    assert_string_equal (downloader_part_sha256 (part), TEXT_SHA256);
    assert_true (downloader_part_is_there (part));
    char *data = NULL;
    size_t size;
    struct stat status;
    assert_int_equal (yard_file_read (self->path, 1000, &data, &size, NULL), 0);
    assert_string_equal (data, TEXT);
    free (data);
    assert_int_equal (stat (self->path, &status), 0);
    assert_int_equal (status.st_mode & 0777, 0644);
    assert_int_equal (count_files (self), 1);
}

static void a_file_is_made_in_one_life (void **state)
{
    fixture_t *self = *state;
    downloader_part_t *part = opened (self, 1, NULL);
    assert_int_equal (downloader_part_bytes (part), 0);
    complete (self, part);
    assert_false (downloader_part_is_verified (part));
    downloader_part_destroy (&part);
}

static void only_proven_bytes_survive (void **state)
{
    fixture_t *self = *state;
    live (self, 5, 4);
    downloader_part_t *part = opened (self, 2, TEXT_SHA256);
    assert_int_equal (downloader_part_bytes (part), 5);
    assert_int_equal (downloader_part_size (part), strlen (TEXT));
    assert_string_equal (downloader_part_validator (part), "\"v\"");
    complete (self, part);
    assert_true (downloader_part_is_verified (part));
    downloader_part_destroy (&part);
}

static void changed_or_cut_bytes_begin_anew (void **state)
{
    fixture_t *self = *state;
    live (self, 8, 0);
    int fd = open (self->part, O_WRONLY);
    assert_int_equal (pwrite (fd, "X", 1, 3), 1);
    close (fd);
    downloader_part_t *part = opened (self, 2, NULL);
    assert_int_equal (downloader_part_bytes (part), 0);
    downloader_part_destroy (&part);
    live (self, 8, 0);
    assert_int_equal (truncate (self->part, 7), 0);
    part = opened (self, 3, NULL);
    assert_int_equal (downloader_part_bytes (part), 0);
    complete (self, part);
    downloader_part_destroy (&part);
}

static void a_journal_without_validator_and_hash_proves_nothing (void **state)
{
    fixture_t *self = *state;
    downloader_part_t *part = opened (self, 1, NULL);
    assert_int_equal (downloader_part_write (part, TEXT, 8, NULL), 0);
    assert_int_equal (downloader_part_checkpoint (part, NULL), 0);
    downloader_part_destroy (&part);
    part = opened (self, 2, TEXT_SHA256);
    assert_int_equal (downloader_part_bytes (part), 8);
    downloader_part_destroy (&part);
    part = opened (self, 3, NULL);
    assert_int_equal (downloader_part_bytes (part), 0);
    downloader_part_destroy (&part);
}

static void a_journal_of_another_source_is_not_believed (void **state)
{
    fixture_t *self = *state;
    live (self, 8, 0);
    downloader_part_t *part = NULL;
    assert_int_equal (downloader_part_new (self->path, SOURCE "2", 2, UNKNOWN, NULL, &part, NULL), 0);
    assert_int_equal (downloader_part_open (part, NULL), 0);
    assert_int_equal (downloader_part_bytes (part), 0);
    downloader_part_destroy (&part);
}

static void who_finds_the_lock_taken_copies_what_is_proven (void **state)
{
    fixture_t *self = *state;
    downloader_part_t *old = opened (self, 1, NULL);
    downloader_part_expect (old, strlen (TEXT), "\"v\"");
    assert_int_equal (downloader_part_write (old, TEXT, 6, NULL), 0);
    assert_int_equal (downloader_part_checkpoint (old, NULL), 0);
    assert_int_equal (downloader_part_write (old, "garbage", 7, NULL), 0);

    downloader_part_t *heir = opened (self, 2, NULL);
    assert_int_equal (downloader_part_bytes (heir), 6);
    /* The old holder goes on writing: into a file of its own. */
    assert_int_equal (downloader_part_write (old, "more garbage", 12, NULL), 0);
    downloader_part_checkpoint (old, NULL);
    complete (self, heir);
    assert_int_not_equal (downloader_part_publish (old, NULL), 0);
    downloader_part_destroy (&old);
    downloader_part_destroy (&heir);
    assert_int_equal (count_files (self), 1);
}

static void a_named_file_is_proven_instead_of_fetched (void **state)
{
    fixture_t *self = *state;
    downloader_part_t *part = opened (self, 1, NULL);
    complete (self, part);
    downloader_part_destroy (&part);
    part = opened (self, 2, TEXT_SHA256);
    assert_true (downloader_part_is_there (part));
    assert_true (downloader_part_is_verified (part));
    assert_string_equal (downloader_part_sha256 (part), TEXT_SHA256);
    assert_int_equal (downloader_part_bytes (part), strlen (TEXT));
    downloader_part_destroy (&part);
    /* Another file than the one published is no proof. */
    char other [65];
    memset (other, 'a', 64);
    other [64] = 0;
    part = opened (self, 3, other);
    assert_false (downloader_part_is_there (part));
    assert_int_equal (downloader_part_bytes (part), 0);
    downloader_part_destroy (&part);
}

/*  Without journal and published hash the name alone speaks, and only in the yard's own staging. */
static void a_name_is_a_proof_in_staging_alone (void **state)
{
    fixture_t *self = *state;
    downloader_part_t *part = opened (self, 1, NULL);
    complete (self, part);
    downloader_part_destroy (&part);
    assert_int_equal (downloader_part_new (self->path, SOURCE, 2, UNKNOWN, NULL, &part, NULL), 0);
    downloader_part_trust_name (part);
    assert_int_equal (downloader_part_open (part, NULL), 0);
    assert_true (downloader_part_is_there (part));
    downloader_part_destroy (&part);
    part = opened (self, 3, NULL);
    assert_false (downloader_part_is_there (part));
    complete (self, part);
    downloader_part_destroy (&part);
}

static void a_wrong_hash_or_size_gets_no_name (void **state)
{
    fixture_t *self = *state;
    downloader_part_t *part =
        opened (self, 1, "0000000000000000000000000000000000000000000000000000000000000000");
    assert_int_equal (downloader_part_write (part, TEXT, 4, NULL), 0);
    assert_int_equal (downloader_part_publish (part, NULL), YARD_INTEGRITY);
    assert_int_equal (downloader_part_reset (part, NULL), 0);
    downloader_part_expect (part, 5, "");
    assert_int_equal (downloader_part_write (part, TEXT, 4, NULL), 0);
    assert_int_equal (downloader_part_publish (part, NULL), YARD_INTEGRITY);
    assert_int_equal (access (self->path, F_OK), -1);
    downloader_part_remove (part);
    downloader_part_destroy (&part);
    assert_int_equal (count_files (self), 0);
}

static void symlinks_are_not_written_through (void **state)
{
    fixture_t *self = *state;
    char victim [128];
    snprintf (victim, sizeof victim, "%s/victim", self->root);
    assert_int_equal (yard_durable_write (victim, "safe", 4, 0600, NULL), 0);
    downloader_part_t *part = opened (self, 1, NULL);
    downloader_part_remove (part);
    downloader_part_destroy (&part);
    assert_int_equal (symlink (victim, self->part), 0);
    assert_int_equal (symlink (victim, self->path), 0);
    assert_int_equal (symlink (victim, self->journal), 0);
    part = opened (self, 2, NULL);
    assert_false (downloader_part_is_there (part));
    complete (self, part);
    downloader_part_destroy (&part);
    char *data = NULL;
    size_t size;
    assert_int_equal (yard_file_read (victim, 100, &data, &size, NULL), 0);
    assert_string_equal (data, "safe");
    free (data);
}

static void paths_that_lead_elsewhere_are_refused (void **state)
{
    (void) state;
    static const char *const paths [] = { "",        "relative", "/",     "/a/",   "/a//b",
                                          "/a/../b", "/a/./b",   "/a/..", "/a\n/b" };
    for (size_t i = 0; i < sizeof paths / sizeof paths [0]; i++) {
        downloader_part_t *part = NULL;
        if (downloader_part_new (paths [i], SOURCE, 1, UNKNOWN, NULL, &part, NULL) != YARD_INVALID_MESSAGE)
            fail_msg ("%s is taken", paths [i]);
        assert_null (part);
    }
    char name [300] = "/";
    memset (name + 1, 'a', 240);
    downloader_part_t *part = NULL;
    assert_int_equal (downloader_part_new (name, SOURCE, 1, UNKNOWN, NULL, &part, NULL), YARD_TOO_LARGE);
}

int main (void)
{
#define CASE(name) cmocka_unit_test_setup_teardown (name, set_up, tear_down)
    const struct CMUnitTest tests [] = {
        CASE (a_file_is_made_in_one_life),
        CASE (only_proven_bytes_survive),
        CASE (changed_or_cut_bytes_begin_anew),
        CASE (a_journal_without_validator_and_hash_proves_nothing),
        CASE (a_journal_of_another_source_is_not_believed),
        CASE (who_finds_the_lock_taken_copies_what_is_proven),
        CASE (a_named_file_is_proven_instead_of_fetched),
        CASE (a_name_is_a_proof_in_staging_alone),
        CASE (a_wrong_hash_or_size_gets_no_name),
        CASE (symlinks_are_not_written_through),
        CASE (paths_that_lead_elsewhere_are_refused),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
