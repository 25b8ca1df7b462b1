// SPDX-License-Identifier: Apache-2.0
/*  journal_test.c - whatever is left of a journal proves only what was proven
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "actors/downloader/journal.h"
#include "actors/ground/durable.h"

#define HEAD DOWNLOADER_JOURNAL_HEAD_BYTES
#define RECORD DOWNLOADER_JOURNAL_RECORD_BYTES
#define STEPS 5

static const downloader_proof_t proofs [STEPS] = {
    { 0, 0 }, { 100, 1 }, { 5000, 2 }, { 5000, 3 }, { 70000, 4 }
};

typedef struct {
    char path [64], file [80];
    int directory;
    unsigned char *data;
    size_t size;
} fixture_t;

static downloader_journal_head_t some_head (void)
{
    downloader_journal_head_t head = { .size = 80000 };
    memset (head.source, 7, sizeof head.source);
    memcpy (head.suffix, ".part", 6);
    memcpy (head.validator, "\"etag\"", 7);
    return head;
}

static int set_up (void **state)
{
    fixture_t *self = calloc (1, sizeof *self);
    memcpy (self->path, "/tmp/journal-XXXXXX", 20);
    assert_non_null (mkdtemp (self->path));
    snprintf (self->file, sizeof self->file, "%s/j", self->path);
    self->directory = open (self->path, O_RDONLY | O_DIRECTORY);
    downloader_journal_head_t head = some_head ();
    downloader_journal_t *journal = NULL;
    assert_int_equal (downloader_journal_new (self->directory, "j", &head, &proofs [0], &journal, NULL), 0);
    for (size_t i = 1; i < STEPS; i++)
        assert_int_equal (downloader_journal_append (journal, &proofs [i], NULL), 0);
    downloader_journal_destroy (&journal);
    assert_int_equal (yard_file_read (self->file, 1 << 20, (char **) &self->data, &self->size, NULL), 0);
    assert_int_equal (self->size, HEAD + STEPS * RECORD);
    *state = self;
    return 0;
}

static int tear_down (void **state)
{
    fixture_t *self = *state;
    close (self->directory);
    free (self->data);
    yard_durable_remove (self->path, NULL);
    free (self);
    return 0;
}

static void what_was_written_is_read_back (void **state)
{
    fixture_t *self = *state;
    downloader_journal_head_t head, expected = some_head ();
    downloader_proof_t proof;
    assert_int_equal (downloader_journal_load (self->directory, "j", &head, &proof, NULL), 0);
    assert_memory_equal (head.source, expected.source, sizeof head.source);
    assert_int_equal (head.size, 80000);
    assert_string_equal (head.suffix, ".part");
    assert_string_equal (head.validator, "\"etag\"");
    assert_int_equal (proof.bytes, 70000);
    assert_int_equal (proof.crc, 4);
}

static void every_prefix_proves_its_whole_records (void **state)
{
    fixture_t *self = *state;
    for (size_t size = 0; size <= self->size; size++) {
        /* Exactly that many bytes, so that a read beyond them is seen by the sanitizer. */
        unsigned char *prefix = malloc (size ? size : 1);
        memcpy (prefix, self->data, size);
        downloader_journal_head_t head;
        downloader_proof_t proof;
        bool believed = downloader_journal_parse (prefix, size, &head, &proof);
        assert_int_equal (believed, size >= HEAD);
        size_t whole = size < HEAD ? 0 : (size - HEAD) / RECORD;
        assert_int_equal (proof.bytes, whole ? proofs [whole - 1].bytes : 0);
        free (prefix);
    }
}

static void a_flipped_bit_ends_the_chain_where_it_stands (void **state)
{
    fixture_t *self = *state;
    for (size_t at = 0; at < self->size; at++)
        for (int bit = 0; bit < 8; bit++) {
            self->data [at] ^= (unsigned char) (1 << bit);
            downloader_journal_head_t head;
            downloader_proof_t proof;
            bool believed = downloader_journal_parse (self->data, self->size, &head, &proof);
            self->data [at] ^= (unsigned char) (1 << bit);
            if (at < HEAD) {
                assert_false (believed);
                continue;
            }
            size_t good = (at - HEAD) / RECORD;
            assert_true (believed);
            assert_int_equal (proof.bytes, good ? proofs [good - 1].bytes : 0);
        }
}

static void a_record_of_another_journal_does_not_fit (void **state)
{
    fixture_t *self = *state;
    downloader_journal_head_t head = some_head (), read;
    head.source [0] = 8;
    downloader_journal_t *journal = NULL;
    downloader_proof_t proof = { 10, 9 };
    assert_int_equal (downloader_journal_new (self->directory, "k", &head, &proof, &journal, NULL), 0);
    downloader_journal_destroy (&journal);
    char file [80], *other = NULL;
    size_t size;
    snprintf (file, sizeof file, "%s/k", self->path);
    assert_int_equal (yard_file_read (file, 1 << 20, &other, &size, NULL), 0);
    memcpy (other + HEAD, self->data + HEAD + RECORD, RECORD);
    assert_true (downloader_journal_parse ((unsigned char *) other, size, &read, &proof));
    assert_int_equal (proof.bytes, 0);
    free (other);
}

static void zeros_noise_and_absence_are_no_journal (void **state)
{
    fixture_t *self = *state;
    downloader_journal_head_t head;
    downloader_proof_t proof;
    unsigned char zeros [HEAD + RECORD] = { 0 };
    assert_false (downloader_journal_parse (zeros, sizeof zeros, &head, &proof));
    assert_int_equal (downloader_journal_load (self->directory, "absent", &head, &proof, NULL),
                      YARD_NOT_FOUND);
    int fd = openat (self->directory, "z", O_WRONLY | O_CREAT, 0600);
    assert_int_equal (write (fd, zeros, sizeof zeros), sizeof zeros);
    close (fd);
    assert_int_equal (downloader_journal_load (self->directory, "z", &head, &proof, NULL), YARD_INVALID_FILE);
    assert_int_equal (symlinkat ("j", self->directory, "l"), 0);
    assert_int_equal (downloader_journal_load (self->directory, "l", &head, &proof, NULL), YARD_INVALID_FILE);
}

static void a_new_journal_takes_the_old_one_s_place (void **state)
{
    fixture_t *self = *state;
    downloader_journal_head_t head = some_head (), read;
    downloader_journal_t *journal = NULL;
    downloader_proof_t proof = { 4, 44 };
    assert_int_equal (downloader_journal_new (self->directory, "j", &head, &proof, &journal, NULL), 0);
    downloader_journal_destroy (&journal);
    assert_int_equal (downloader_journal_load (self->directory, "j", &read, &proof, NULL), 0);
    assert_int_equal (proof.bytes, 4);
}

int main (void)
{
#define CASE(name) cmocka_unit_test_setup_teardown (name, set_up, tear_down)
    const struct CMUnitTest tests [] = {
        CASE (what_was_written_is_read_back),
        CASE (every_prefix_proves_its_whole_records),
        CASE (a_flipped_bit_ends_the_chain_where_it_stands),
        CASE (a_record_of_another_journal_does_not_fit),
        CASE (zeros_noise_and_absence_are_no_journal),
        CASE (a_new_journal_takes_the_old_one_s_place),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
