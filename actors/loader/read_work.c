// SPDX-License-Identifier: Apache-2.0
/*  read_work.c - what the reader's threads do
 *
 *  A few threads do all work, most urgent kind first: chunks whose read has ended, reads that have ended, new reads, and the next
 *  chunk of the most urgent read. One more thread waits for io_uring. Without io_uring the same threads read by pread, and as many
 *  reads are under way as there are threads. All they share is behind one mutex; the bytes, checksums and callbacks are outside of it.
 *  The condition is told once for each thing there is to do, and who did one thing looks for the next before it waits.
 */
#include "actors/loader/read_inside.h"

#include <errno.h>
#include <sys/mman.h>

/*  --- the ends of a read; the lock is held */

static bool stopped (const loader_read_t *read)
{
    return read->cancelled || read->error.code;
}

static void unlink_read (loader_reader_t *self, const loader_read_t *read)
{
    loader_read_t **at = &self->reads;
    while (*at != read)
        at = &(*at)->next;
    *at = read->next;
}

void loader_read_settle (loader_read_t *self)
{
    loader_reader_t *reader = self->reader;
    bool over = self->stage == LOADER_READ_RUNNING && loader_read_plan_over (&self->plan);
    if (self->under_way > 0 || self->stage == LOADER_READ_OPENING || self->stage == LOADER_READ_ENDED ||
        (!over && !stopped (self)))
        return;
    unlink_read (reader, self);
    self->stage = LOADER_READ_ENDED;
    self->next = reader->ended;
    reader->ended = self;
    pthread_cond_signal (&reader->work);
}

void loader_chunk_give_back (loader_chunk_t *self)
{
    loader_read_t *read = self->read;
    loader_reader_t *reader = read->reader;
    self->read = NULL;
    reader->free_slots [reader->free_count++] = self->index;
    read->under_way--;
    loader_read_settle (read);
    pthread_cond_signal (&reader->work);
}

static void fail (loader_read_t *read, const yard_error_t *error)
{
    if (read->error.code == 0)
        read->error = *error;
}

/*  --- the work; without the lock */

/*  Looks at the files, and once more at the end: a change between the two is told, whatever was read meanwhile. */
static int open_files (loader_read_t *read, yard_error_t *error)
{
    int code = 0;
    for (size_t i = 0; i < read->wish.source_count && code == 0; i++)
        code =
            loader_read_file_open (&read->files [i], &read->wish.sources [i], read->reader->no_direct, error);
    return code;
}

static int compare_files (const loader_read_t *read, yard_error_t *error)
{
    int code = 0;
    for (size_t i = 0; i < read->wish.source_count && code == 0; i++)
        code = loader_read_file_compare (&read->files [i], &read->wish.sources [i], error);
    return code;
}

static void end_read (loader_read_t *read, bool cancelled)
{
    yard_error_t error = read->error;
    if (error.code == 0 && cancelled)
        yard_error (&error, YARD_CANCELLED, "the read was cancelled");
    else if (error.code == 0)
        compare_files (read, &error);
    for (size_t i = 0; i < read->wish.source_count; i++)
        loader_read_file_close (&read->files [i]);
    loader_read_check_destroy (&read->check);
    read->wish.done (read->wish.argument, &error);
    free (read->files);
    free (read);
}

/*  Counts a chunk whose bytes are at their place in memory, or hands it to who copies them to the device. true: the slot is his until he
 *  returns it. */
static bool deliver (loader_reader_t *self, loader_chunk_t *chunk)
{
    loader_read_t *read = chunk->read;
    const loader_piece_t piece = chunk->piece;
    pthread_mutex_lock (&self->mutex);
    bool wanted = !stopped (read);
    if (wanted)
        read->delivered += piece.size;
    pthread_mutex_unlock (&self->mutex);
    if (!wanted || !read->wish.filled)
        return false;
    loader_slot_t slot = { .data = chunk->data, .size = piece.size, .to = piece.to, .index = chunk->index };
    read->wish.filled (read->wish.argument, &slot);
    return true;
}

static void finish_chunk (loader_reader_t *self, loader_chunk_t *chunk)
{
    loader_read_t *read = chunk->read;
    yard_error_t error = { 0 };
    uint64_t checked = 0;
    int code = 0;
    if (chunk->got < chunk->piece.size)
        code = loader_chunk_complete (chunk, &error);
    if (code == 0)
        code = loader_read_check_piece (read->check, &chunk->piece, chunk->data, &checked, &error);
    if (code == 0)
        code = loader_chunk_place (chunk, &read->wish, &error);
    pthread_mutex_lock (&self->mutex);
    self->counts.bytes_cached += chunk->cached;
    self->counts.bytes_direct += chunk->past_cache;
    self->counts.bytes_buffered += chunk->through_cache;
    self->counts.bytes_checked += checked;
    if (code)
        fail (read, &error);
    pthread_mutex_unlock (&self->mutex);
    if (code == 0 && deliver (self, chunk))
        return;
    pthread_mutex_lock (&self->mutex);
    loader_chunk_give_back (chunk);
    pthread_mutex_unlock (&self->mutex);
}

static void begin_chunk (loader_reader_t *self, loader_chunk_t *chunk)
{
    loader_chunk_wish_t wish;
    if (!loader_chunk_take_cached (chunk)) {
        loader_chunk_ask (chunk, &wish);
        if (self->uring) {
            loader_uring_read (self->uring, wish.fd, wish.data, wish.size, wish.offset, chunk);
            return;
        }
        ssize_t result = pread (wish.fd, wish.data, wish.size, (off_t) wish.offset);
        chunk->result = result < 0 ? -errno : result;
    }
    finish_chunk (self, chunk);
}

/*  --- who is next; the lock is held, and given up for the work */

static bool finish_arrived (loader_reader_t *self)
{
    loader_chunk_t *chunk = self->arrived;
    if (!chunk)
        return false;
    self->arrived = chunk->next;
    if (!self->arrived)
        self->arrived_last = &self->arrived;
    pthread_mutex_unlock (&self->mutex);
    finish_chunk (self, chunk);
    pthread_mutex_lock (&self->mutex);
    return true;
}

/*  A loader of the host needs slots for odd alignments only, and not while it is idle. */
static void forget_slots (loader_reader_t *self)
{
    if (self->touched && !self->for_device && self->free_count == self->slot_count)
        madvise (self->ring, self->ring_bytes, MADV_DONTNEED);
    self->touched = false;
}

static bool end_ended (loader_reader_t *self)
{
    loader_read_t *read = self->ended;
    if (!read)
        return false;
    self->ended = read->next;
    bool cancelled = read->cancelled;
    pthread_mutex_unlock (&self->mutex);
    end_read (read, cancelled);
    pthread_mutex_lock (&self->mutex);
    if (--self->live == 0) {
        forget_slots (self);
        pthread_cond_broadcast (&self->idle);
    }
    return true;
}

static bool open_new (loader_reader_t *self)
{
    loader_read_t *read = self->reads;
    while (read && read->stage != LOADER_READ_NEW)
        read = read->next;
    if (!read)
        return false;
    yard_error_t error = { 0 };
    read->stage = LOADER_READ_OPENING;
    pthread_mutex_unlock (&self->mutex);
    int code = open_files (read, &error);
    loader_read_plan_begin (&read->plan, &read->wish, read->files, self->chunk_bytes);
    pthread_mutex_lock (&self->mutex);
    if (code)
        fail (read, &error);
    read->stage = LOADER_READ_RUNNING;
    loader_read_settle (read);
    pthread_cond_broadcast (&self->work);
    return true;
}

/*  Cuts the next chunk into a free slot. */
static loader_chunk_t *cut (loader_reader_t *self, loader_read_t *read)
{
    loader_chunk_t *chunk = &self->chunks [self->free_slots [--self->free_count]];
    *chunk = (loader_chunk_t){ .read = read, .slot = chunk->slot, .index = chunk->index };
    loader_read_plan_next (&read->plan, &chunk->piece);
    chunk->source = &read->wish.sources [chunk->piece.source];
    chunk->file = &read->files [chunk->piece.source];
    if (!read->wish.memory)
        chunk->piece.straight = false;
    if (chunk->piece.straight) {
        chunk->data = read->wish.memory + chunk->piece.to;
    } else {
        chunk->data = chunk->slot + chunk->piece.offset % chunk->file->align;
        self->touched = true;
    }
    read->under_way++;
    return chunk;
}

static bool begin_next (loader_reader_t *self)
{
    loader_read_t *read = self->free_count > 0 ? self->reads : NULL;
    while (read &&
           (read->stage != LOADER_READ_RUNNING || stopped (read) || loader_read_plan_over (&read->plan)))
        read = read->next;
    if (!read)
        return false;
    loader_chunk_t *chunk = cut (self, read);
    pthread_mutex_unlock (&self->mutex);
    begin_chunk (self, chunk);
    pthread_mutex_lock (&self->mutex);
    return true;
}

void *loader_reader_work_main (void *argument)
{
    loader_reader_t *self = argument;
    pthread_mutex_lock (&self->mutex);
    for (;;) {
        if (finish_arrived (self) || end_ended (self) || open_new (self) || begin_next (self))
            continue;
        if (self->closing)
            break;
        pthread_cond_wait (&self->work, &self->mutex);
    }
    pthread_mutex_unlock (&self->mutex);
    return NULL;
}

void *loader_reader_wait_main (void *argument)
{
    loader_reader_t *self = argument;
    ssize_t result;
    for (loader_chunk_t *chunk; (chunk = loader_uring_wait (self->uring, &result));) {
        pthread_mutex_lock (&self->mutex);
        chunk->result = result;
        chunk->next = NULL;
        *self->arrived_last = chunk;
        self->arrived_last = &chunk->next;
        pthread_cond_signal (&self->work);
        pthread_mutex_unlock (&self->mutex);
    }
    return NULL;
}
