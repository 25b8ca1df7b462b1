// SPDX-License-Identifier: Apache-2.0
/*  read_chunk.c - the bytes of one chunk: from the page cache, past it, and what is left after both
 *
 *  Only the front of a chunk is taken from the cache: a cache loses files from one end, so a chunk is in it or not, but for one. Asking
 *  must not begin a read: RWF_NOWAIT gives what is there, but at the first page that is not, Linux begins to read ahead, and those
 *  bytes would be read twice. So cachestat(2) is asked first; where there is none, one page is tried.
 *
 *  Short reads, EINTR, EAGAIN and refused O_DIRECT end all in the same place: the missing rest is read buffered, in this thread. Only
 *  an end of file there is the end of the file.
 */
#include "actors/loader/read_inside.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define PAGE_BYTES 4096
#define CACHE_STEP_BYTES ((size_t) 512 * 1024) /* sixteen questions for a chunk that is cached in part */
#define AGAIN_NS 1000000 /* before a file that said EAGAIN is asked once more */
#define AGAIN_MAX 1000 /* times: a second */
#ifndef SYS_cachestat
#    define SYS_cachestat 451 /* Linux 6.5, the same on every architecture; Debian 12's headers are older */
#endif

static size_t smaller (uint64_t a, uint64_t b)
{
    return (size_t) (a < b ? a : b);
}

/*  How many pages of the range are in the cache; -1: the kernel does not tell. */
static int64_t count_cached (int fd, uint64_t offset, size_t size)
{
    struct {
        uint64_t offset, size;
    } range = { offset, size };
    struct {
        uint64_t cached, dirty, writeback, evicted, evicted_recently;
    } counts;
    return syscall (SYS_cachestat, fd, &range, &counts, 0) ? -1 : (int64_t) counts.cached;
}

static ssize_t read_cached (const loader_chunk_t *self, size_t size)
{
    struct iovec vector = { self->data + self->got, size };
    return preadv2 (self->source->fd, &vector, 1, (off_t) (self->piece.offset + self->got), RWF_NOWAIT);
}

/*  How much of the chunk's front is worth asking the cache for. */
static size_t cached_front (const loader_chunk_t *self)
{
    const loader_piece_t *piece = &self->piece;
    int64_t cached = count_cached (self->source->fd, piece->offset, piece->size);
    if (cached <= 0)
        return cached == 0 ? 0 : smaller (piece->size, PAGE_BYTES);
    size_t front = 0;
    while (front < piece->size) {
        uint64_t at = piece->offset + front;
        size_t size = smaller (CACHE_STEP_BYTES - at % CACHE_STEP_BYTES, piece->size - front);
        uint64_t pages = (at + size - 1) / PAGE_BYTES - at / PAGE_BYTES + 1;
        if (count_cached (self->source->fd, at, size) < (int64_t) pages)
            break;
        front += size;
    }
    return front;
}

bool loader_chunk_take_cached (loader_chunk_t *self)
{
    if (self->file->direct_fd < 0 || atomic_load (&self->file->buffered))
        return false; /* a buffered read takes it by itself */
    size_t front = cached_front (self);
    bool tried = front == smaller (self->piece.size, PAGE_BYTES);
    while (self->got < front) {
        ssize_t got = read_cached (self, front - self->got);
        if (got <= 0)
            break;
        self->got += (size_t) got;
        if (tried) /* the page was there: so the rest may be */
            front = self->piece.size;
    }
    self->cached = self->got;
    return self->got == self->piece.size;
}

void loader_chunk_ask (loader_chunk_t *self, loader_chunk_wish_t *ret)
{
    const loader_piece_t *piece = &self->piece;
    uint64_t align = self->file->align, begin = piece->offset + self->got, end = piece->offset + piece->size;
    self->direct = self->file->direct_fd >= 0 && !atomic_load (&self->file->buffered);
    if (self->direct) {
        begin -= begin % align;
        end += (align - end % align) % align; /* of the last block too, though the file ends within it */
    }
    self->asked_at = begin;
    *ret = (loader_chunk_wish_t){ .fd = self->direct ? self->file->direct_fd : self->source->fd,
                                  .data = self->data + (int64_t) (begin - piece->offset),
                                  .size = (size_t) (end - begin),
                                  .offset = begin };
}

/*  Takes over what the read gave. */
static int judge (loader_chunk_t *self, yard_error_t *error)
{
    uint64_t missing_at = self->piece.offset + self->got;
    int number = self->result < 0 ? (int) -self->result : 0;
    if (number == EINVAL && self->direct) {
        atomic_store (&self->file->buffered, true);
        return 0;
    }
    if (number && number != EINTR && number != EAGAIN)
        return yard_error_errno (error, number, "cannot read %s at %" PRIu64, self->source->name, missing_at);
    uint64_t there = self->asked_at + (number ? 0 : (uint64_t) self->result);
    if (there > missing_at) {
        size_t more = smaller (there - missing_at, self->piece.size - self->got);
        self->got += more;
        *(self->direct ? &self->past_cache : &self->through_cache) += more;
    }
    return 0;
}

int loader_chunk_complete (loader_chunk_t *self, yard_error_t *error)
{
    int code = judge (self, error);
    for (unsigned again = 0; code == 0 && self->got < self->piece.size;) {
        uint64_t at = self->piece.offset + self->got;
        ssize_t got =
            pread (self->source->fd, self->data + self->got, self->piece.size - self->got, (off_t) at);
        if (got > 0) {
            self->got += (size_t) got;
            self->through_cache += (size_t) got;
        } else if (got == 0) {
            code = yard_error (error, YARD_INVALID_FILE,
                               "%s ended at %" PRIu64 " while it was read, and had %" PRIu64
                               " bytes; install the model again",
                               self->source->name, at, self->source->bytes);
        } else if (errno == EAGAIN && again++ < AGAIN_MAX) {
            nanosleep (&(struct timespec){ .tv_nsec = AGAIN_NS }, NULL);
        } else if (errno != EINTR) {
            code = yard_error_errno (error, errno, "cannot read %s at %" PRIu64, self->source->name, at);
        }
    }
    return code;
}

/*  Why fresh memory is written to through its descriptor: Linux gives a page that is written whole to the writer as it is, while a page
 *  that is touched through a mapping is cleared and mapped first, one fault for every 4 KiB; and a direct read into huge pages pins 4 pages
 *  of a chunk and not 2,048. bench-read, 2 GiB, 2 cores, medians of 9 paired rounds: written 1,547 MB/s, mapped and read straight into
 *  1,217 MB/s, fio beside them 1,108 MB/s. */
int loader_chunk_place (loader_chunk_t *self, const loader_read_wish_t *wish, yard_error_t *error)
{
    const loader_piece_t *piece = &self->piece;
    if (wish->memory && !piece->straight)
        memcpy (wish->memory + piece->to, self->data, piece->size);
    if (wish->memory || self->source->memory_fd <= 0)
        return 0;
    for (size_t put = 0; put < piece->size;) {
        ssize_t more =
            pwrite (self->source->memory_fd, self->data + put, piece->size - put, (off_t) (piece->to + put));
        if (more < 0 && (errno == ENOSPC || errno == ENOMEM))
            return yard_error (error, YARD_OUT_OF_MEMORY,
                               "the machine has no memory for %s; unload another model", self->source->name);
        if (more < 0 && errno != EINTR)
            return yard_error_errno (error, errno, "cannot write %s to its memory", self->source->name);
        put += more > 0 ? (size_t) more : 0;
    }
    return 0;
}
