// SPDX-License-Identifier: Apache-2.0
/*  read_fixture.h - files, a reader, and who takes what it delivers; for the tests of the reader
 *
 *  The seed of what is random is printed; READ_SEED=n repeats one.
 */
#ifndef READ_FIXTURE_H
#define READ_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "actors/ground/digest.h"
#include "actors/ground/durable.h"
#include "actors/ground/random.h"
#include "actors/loader/read.h"

#define CHUNK ((size_t) 65536)
#define SLOTS 8
#define FILES 3
#define RUNS_MAX 2000
#define IMAGE_BYTES ((size_t) 4 * 1024 * 1024)

typedef struct {
    char folder [64];
    loader_source_t sources [FILES];
    uint32_t *crc [FILES];
    loader_run_t runs [RUNS_MAX];
    size_t run_count;
    unsigned char *expected, *image; /* IMAGE_BYTES */
    yard_random_t random;
    size_t chunk_bytes; /* of the reader; CHUNK */
    unsigned threads; /* 0: as many as it likes */
    loader_reader_t *reader;
} bed_t;

/*  Who takes what a read delivers. */
typedef struct catcher_t {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    loader_read_t *read;
    bool started; /* read is set */
    bool keep; /* slots are kept, in held, until the test returns them */
    unsigned held [SLOTS];
    size_t sizes [SLOTS]; /* of the first chunks */
    size_t held_count, held_max, filled_count, done_count;
    unsigned char *image;
    yard_error_t error;
    void (*at_first) (struct catcher_t *self); /* before the first slot is returned */
    void *argument;
    char **line, letter; /* appends letter to a line that several share: with one slot, one after the other */
} catcher_t;

static inline void make_file (bed_t *bed, unsigned i, size_t bytes)
{
    char path [PATH_MAX];
    loader_source_t *source = &bed->sources [i];
    snprintf (path, sizeof path, "%s/%u", bed->folder, i);
    if (source->name)
        close (source->fd);
    source->fd = open (path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true (source->fd >= 0);
    unsigned char *data = malloc (bytes + 1);
    assert_non_null (data);
    yard_random_bytes (&bed->random, data, bytes);
    assert_int_equal (pwrite (source->fd, data, bytes, 0), bytes);
    assert_int_equal (fsync (source->fd), 0);
    const struct timespec past [2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } };
    assert_int_equal (futimens (source->fd, past), 0); /* so that any write shows */
    free (bed->crc [i]);
    bed->crc [i] = NULL;
    *source = (loader_source_t){ .fd = source->fd, .bytes = bytes, .name = "a.safetensors" };
    free (data);
}

static inline void make_checksums (bed_t *bed, unsigned i, uint64_t crc_bytes)
{
    loader_source_t *source = &bed->sources [i];
    char *data = malloc (crc_bytes);
    size_t count = (source->bytes + crc_bytes - 1) / crc_bytes;
    free (bed->crc [i]);
    bed->crc [i] = calloc (count + 1, sizeof *bed->crc [i]);
    assert_true (data && bed->crc [i]);
    for (size_t at = 0; at < count; at++) {
        ssize_t got = pread (source->fd, data, crc_bytes, (off_t) (at * crc_bytes));
        assert_true (got > 0);
        bed->crc [i][at] = yard_crc32c (0, data, (size_t) got);
    }
    free (data);
    source->crc32c = bed->crc [i];
    source->crc_count = count;
    source->crc_bytes = crc_bytes;
}

static inline int make_bed (void **state)
{
    bed_t *bed = calloc (1, sizeof *bed);
    assert_non_null (bed);
    snprintf (bed->folder, sizeof bed->folder, "/tmp/read_XXXXXX");
    assert_non_null (mkdtemp (bed->folder));
    yard_random_init (&bed->random);
    const char *word = getenv ("READ_SEED");
    uint64_t seed = word ? strtoull (word, NULL, 10) : yard_random_next (&bed->random) >> 32;
    yard_random_seed (&bed->random, seed);
    print_message ("READ_SEED=%llu\n", (unsigned long long) seed);
    bed->expected = malloc (IMAGE_BYTES);
    bed->image = aligned_alloc (4096, IMAGE_BYTES + CHUNK);
    assert_true (bed->expected && bed->image);
    bed->chunk_bytes = CHUNK;
    make_file (bed, 0, 5 * CHUNK);
    *state = bed;
    return 0;
}

static inline int clear_bed (void **state)
{
    bed_t *bed = *state;
    loader_reader_destroy (&bed->reader);
    for (unsigned i = 0; i < FILES; i++) {
        free (bed->crc [i]);
        if (bed->sources [i].name)
            close (bed->sources [i].fd);
    }
    free (bed->expected);
    free (bed->image);
    assert_int_equal (yard_durable_remove (bed->folder, NULL), 0);
    free (bed);
    return 0;
}

static inline void open_reader (bed_t *bed, unsigned way, size_t slots)
{
    loader_reader_options_t options = { .chunk_bytes = bed->chunk_bytes,
                                        .in_flight_bytes = slots * bed->chunk_bytes,
                                        .threads = bed->threads,
                                        .ring = true,
                                        .no_uring = way & 1,
                                        .no_direct = way & 2 };
    yard_error_t error;
    loader_reader_destroy (&bed->reader);
    assert_int_equal (loader_reader_new (&options, &bed->reader, &error), 0);
    assert_int_equal (loader_reader_slots (bed->reader), slots);
    size_t bytes;
    assert_non_null (loader_reader_ring (bed->reader, &bytes));
    assert_true (bytes >= slots * bed->chunk_bytes);
}

static inline void catcher_init (catcher_t *self)
{
    *self = (catcher_t){ 0 };
    pthread_mutex_init (&self->mutex, NULL);
    pthread_cond_init (&self->changed, NULL);
}

/*  Asserts do not work on the reader's threads: what must not be is seen by the test, in done_count and held_max. */
static inline void on_filled (void *argument, const loader_slot_t *slot)
{
    catcher_t *self = argument;
    pthread_mutex_lock (&self->mutex);
    while (!self->started)
        pthread_cond_wait (&self->changed, &self->mutex);
    if (self->image)
        memcpy (self->image + slot->to, slot->data, slot->size);
    bool first = self->filled_count == 0;
    if (self->filled_count < SLOTS)
        self->sizes [self->filled_count] = slot->size;
    self->filled_count++;
    if (self->done_count > 0)
        abort ();
    if (self->held_count == SLOTS)
        abort ();
    self->held [self->held_count++] = slot->index;
    if (self->held_max < self->held_count)
        self->held_max = self->held_count;
    if (self->line)
        *(*self->line)++ = self->letter;
    if (first && self->at_first)
        self->at_first (self);
    bool keep = self->keep;
    if (!keep)
        self->held_count--;
    pthread_cond_broadcast (&self->changed);
    pthread_mutex_unlock (&self->mutex);
    if (!keep)
        loader_slot_return (self->read, slot->index);
}

static inline void on_done (void *argument, const yard_error_t *error)
{
    catcher_t *self = argument;
    pthread_mutex_lock (&self->mutex);
    self->error = *error;
    self->done_count++;
    pthread_cond_broadcast (&self->changed);
    pthread_mutex_unlock (&self->mutex);
}

static inline loader_read_wish_t wish_of (const bed_t *bed)
{
    return (loader_read_wish_t){ .sources = bed->sources,
                                 .source_count = FILES,
                                 .runs = bed->runs,
                                 .run_count = bed->run_count,
                                 .filled = on_filled,
                                 .done = on_done,
                                 .deadline_ms = INT64_MAX };
}

static inline void start (bed_t *bed, loader_read_wish_t wish, catcher_t *catcher)
{
    yard_error_t error;
    wish.argument = catcher;
    pthread_mutex_lock (&catcher->mutex);
    int code = loader_read_start (bed->reader, &wish, &catcher->read, &error);
    catcher->started = true;
    pthread_cond_broadcast (&catcher->changed);
    pthread_mutex_unlock (&catcher->mutex);
    assert_int_equal (code, 0);
}

static inline void await (catcher_t *self, size_t filled, size_t done)
{
    pthread_mutex_lock (&self->mutex);
    while (self->filled_count < filled || self->done_count < done)
        pthread_cond_wait (&self->changed, &self->mutex);
    pthread_mutex_unlock (&self->mutex);
}

/*  Returns the slots held so far, and keeps none from now on. */
static inline void let_go (catcher_t *self)
{
    unsigned held [SLOTS];
    pthread_mutex_lock (&self->mutex);
    size_t count = self->held_count;
    memcpy (held, self->held, sizeof held);
    self->held_count = 0;
    self->keep = false;
    pthread_mutex_unlock (&self->mutex);
    for (size_t i = 0; i < count; i++)
        loader_slot_return (self->read, held [i]);
}

static inline int read_code (bed_t *bed, catcher_t *catcher)
{
    start (bed, wish_of (bed), catcher);
    await (catcher, 0, 1);
    return catcher->error.code;
}

#endif
