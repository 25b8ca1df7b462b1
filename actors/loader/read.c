// SPDX-License-Identifier: Apache-2.0
/*  read.c - a reader is made, takes wishes, and ends
 *
 *  Every chunk has a slot from the moment it is cut to the moment its bytes are given up: the slots are the bound on what is in flight,
 *  also for reads into memory, which use a slot's bytes only where the alignment forces them to. So the ring's addresses are always
 *  there, and its memory only where it was written to.
 */
#include "actors/loader/read.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include "actors/ground/log.h"
#include "actors/loader/read_inside.h"

/*  What the processor copies on should be in its cache still: 32 and 64 MiB were 1.4 times as fast as 128, and 16 slower again. A ring's
 *  slots wait for their copies to the device, which come from memory anyway. */
#define HOST_IN_FLIGHT_BYTES (LOADER_IN_FLIGHT_BYTES / 2)
#define THREADS 4 /* enough to copy and check what a fast disk gives: a core does some 5 GB/s of either */
#define THREADS_MAX 64
#define CHUNK_BYTES_MIN ((size_t) 4096)
#define CHUNK_BYTES_MAX ((size_t) 256 * 1024 * 1024)
#define SLOTS_MAX 1024 /* more reads than that wait in the kernel, not at the disk */
#define SLOT_EXTRA_BYTES (2 * LOADER_READ_ALIGN_MAX) /* the rest of a block before and behind a chunk */

/*  --- making */

static int take_sizes (loader_reader_t *self, const loader_reader_options_t *options, yard_error_t *error)
{
    size_t in_flight = options->in_flight_bytes ? options->in_flight_bytes
                       : options->ring          ? LOADER_IN_FLIGHT_BYTES
                                                : HOST_IN_FLIGHT_BYTES;
    self->chunk_bytes = options->chunk_bytes ? options->chunk_bytes : LOADER_CHUNK_BYTES;
    self->thread_count = options->threads ? options->threads : THREADS;
    if (self->chunk_bytes < CHUNK_BYTES_MIN || self->chunk_bytes > CHUNK_BYTES_MAX ||
        self->chunk_bytes % CHUNK_BYTES_MIN != 0)
        return yard_error (error, YARD_INVALID_CONFIG,
                           "a chunk of %zu bytes: it must be a multiple of %zu and at most %zu",
                           self->chunk_bytes, CHUNK_BYTES_MIN, CHUNK_BYTES_MAX);
    self->slot_count = in_flight / self->chunk_bytes;
    if (self->slot_count < 1 || self->slot_count > SLOTS_MAX)
        return yard_error (error, YARD_INVALID_CONFIG,
                           "%zu bytes in flight: it must be 1 to %d chunks, and one has %zu bytes", in_flight,
                           SLOTS_MAX, self->chunk_bytes);
    if (self->thread_count > THREADS_MAX)
        return yard_error (error, YARD_INVALID_CONFIG, "%zu threads of a reader: at most %d",
                           self->thread_count, THREADS_MAX);
    return 0;
}

static int make_slots (loader_reader_t *self, yard_error_t *error)
{
    size_t slot_bytes = self->chunk_bytes + SLOT_EXTRA_BYTES;
    self->ring_bytes = self->slot_count * slot_bytes;
    void *ring = mmap (NULL, self->ring_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (ring == MAP_FAILED)
        return yard_error_errno (error, errno, "cannot get %zu bytes for reading; lower the bytes in flight",
                                 self->ring_bytes);
    self->ring = ring;
    madvise (ring, self->ring_bytes, MADV_HUGEPAGE); /* 4 pages to pin for a chunk where there were 2,048 */
    self->chunks = calloc (self->slot_count, sizeof *self->chunks);
    self->free_slots = calloc (self->slot_count, sizeof *self->free_slots);
    if (!self->chunks || !self->free_slots)
        abort ();
    for (size_t i = 0; i < self->slot_count; i++) {
        self->chunks [i].index = (unsigned) i;
        self->chunks [i].slot = self->ring + i * slot_bytes;
        self->free_slots [i] = (unsigned) (self->slot_count - 1 - i);
    }
    self->free_count = self->slot_count;
    return 0;
}

static void make_uring (loader_reader_t *self)
{
    int code = loader_uring_new ((unsigned) self->slot_count, self->for_device ? self->ring : NULL,
                                 self->ring_bytes, &self->uring);
    if (code)
        yard_log_info ("read.no_uring", "text=%s", YARD_QUOTED (strerror (-code)));
    self->counts.uring = code == 0;
}

/*  Ends the threads there are: so it serves a reader that could not start all of them, too. */
static void join_threads (loader_reader_t *self, size_t count, bool waiter)
{
    pthread_mutex_lock (&self->mutex);
    self->closing = true;
    pthread_cond_broadcast (&self->work);
    pthread_mutex_unlock (&self->mutex);
    for (size_t i = 0; i < count; i++)
        pthread_join (self->threads [i], NULL);
    if (waiter) {
        loader_uring_stop (self->uring);
        pthread_join (self->waiter, NULL);
    }
}

static int start_threads (loader_reader_t *self, yard_error_t *error)
{
    sigset_t all, before;
    size_t count = 0;
    int number = 0;
    self->threads = calloc (self->thread_count, sizeof *self->threads);
    if (!self->threads)
        abort ();
    sigfillset (&all); /* signals are the loop's */
    pthread_sigmask (SIG_SETMASK, &all, &before);
    if (self->uring)
        number = pthread_create (&self->waiter, NULL, loader_reader_wait_main, self);
    bool waiter = self->uring && number == 0;
    while (number == 0 && count < self->thread_count) {
        number = pthread_create (&self->threads [count], NULL, loader_reader_work_main, self);
        if (number == 0)
            pthread_setname_np (self->threads [count++], "read");
    }
    pthread_sigmask (SIG_SETMASK, &before, NULL);
    if (number == 0)
        return 0;
    join_threads (self, count, waiter);
    return yard_error (error, YARD_BUSY, "cannot start a thread: %s; raise the limit of processes",
                       strerror (number));
}

static void free_reader (loader_reader_t *self)
{
    loader_uring_destroy (&self->uring);
    if (self->ring)
        munmap (self->ring, self->ring_bytes);
    pthread_cond_destroy (&self->idle);
    pthread_cond_destroy (&self->work);
    pthread_mutex_destroy (&self->mutex);
    free (self->threads);
    free (self->free_slots);
    free (self->chunks);
    free (self);
}

int loader_reader_new (const loader_reader_options_t *options, loader_reader_t **ret, yard_error_t *error)
{
    loader_reader_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    pthread_mutex_init (&self->mutex, NULL);
    pthread_cond_init (&self->work, NULL);
    pthread_cond_init (&self->idle, NULL);
    self->arrived_last = &self->arrived;
    self->for_device = options->ring;
    self->no_direct = options->no_direct;
    int code = take_sizes (self, options, error);
    if (code == 0)
        code = make_slots (self, error);
    if (code == 0 && !options->no_uring)
        make_uring (self);
    if (code == 0)
        code = start_threads (self, error);
    if (code) {
        free_reader (self);
        return code;
    }
    *ret = self;
    return 0;
}

void loader_reader_destroy (loader_reader_t **self_p)
{
    assert (self_p);
    loader_reader_t *self = *self_p;
    if (!self)
        return;
    pthread_mutex_lock (&self->mutex);
    for (loader_read_t *read = self->reads, *next; read; read = next) {
        next = read->next;
        read->cancelled = true;
        loader_read_settle (read);
    }
    while (self->live > 0)
        pthread_cond_wait (&self->idle, &self->mutex);
    pthread_mutex_unlock (&self->mutex);
    join_threads (self, self->thread_count, self->uring != NULL);
    free_reader (self);
    *self_p = NULL;
}

void *loader_reader_ring (const loader_reader_t *self, size_t *ret_bytes)
{
    if (!self->for_device)
        return NULL;
    *ret_bytes = self->ring_bytes;
    return self->ring;
}

size_t loader_reader_slots (const loader_reader_t *self)
{
    return self->slot_count;
}

void loader_reader_counts (const loader_reader_t *self, loader_reader_counts_t *ret)
{
    pthread_mutex_t *mutex = (pthread_mutex_t *) &self->mutex;
    pthread_mutex_lock (mutex);
    *ret = self->counts;
    pthread_mutex_unlock (mutex);
}

/*  --- reads */

static bool more_urgent (const loader_read_wish_t *a, const loader_read_wish_t *b)
{
    return a->priority != b->priority ? a->priority > b->priority : a->deadline_ms < b->deadline_ms;
}

int loader_read_start (loader_reader_t *self, const loader_read_wish_t *wish, loader_read_t **ret,
                       yard_error_t *error)
{
    assert (wish->done);
    assert (wish->memory || !wish->filled || self->for_device);
    int code = loader_read_plan_look (wish, error);
    if (code)
        return code;
    loader_read_t *read = calloc (1, sizeof *read);
    loader_read_file_t *files = calloc (wish->source_count + 1, sizeof *files);
    if (!read || !files)
        abort ();
    read->reader = self;
    read->wish = *wish;
    read->files = files;
    read->check = loader_read_check_new (wish->sources, wish->source_count);
    *ret = read; /* before a thread may end it */
    pthread_mutex_lock (&self->mutex);
    assert (!self->closing);
    loader_read_t **at = &self->reads;
    while (*at && !more_urgent (wish, &(*at)->wish))
        at = &(*at)->next;
    read->next = *at;
    *at = read;
    self->live++;
    pthread_cond_signal (&self->work);
    pthread_mutex_unlock (&self->mutex);
    return 0;
}

void loader_read_cancel (loader_read_t *self)
{
    pthread_mutex_t *mutex = &self->reader->mutex;
    pthread_mutex_lock (mutex);
    self->cancelled = true;
    loader_read_settle (self);
    pthread_mutex_unlock (mutex);
}

uint64_t loader_read_bytes (const loader_read_t *self)
{
    pthread_mutex_t *mutex = &self->reader->mutex;
    pthread_mutex_lock (mutex);
    uint64_t bytes = self->delivered;
    pthread_mutex_unlock (mutex);
    return bytes;
}

void loader_slot_return (loader_read_t *self, unsigned index)
{
    loader_reader_t *reader = self->reader;
    assert (index < reader->slot_count);
    pthread_mutex_lock (&reader->mutex);
    assert (reader->chunks [index].read == self);
    loader_chunk_give_back (&reader->chunks [index]);
    pthread_mutex_unlock (&reader->mutex);
}
