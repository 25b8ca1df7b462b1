// SPDX-License-Identifier: Apache-2.0
/*  nccl_arena.c - the memory through which the ranks of one communicator move bytes
 *
 *  A memfd, mapped by every rank: a line of counters per rank, and per rank a few slots of one chunk. A source copies a chunk into its
 *  slot once, every other rank copies it out: (ranks) copies for (ranks - 1) receivers, so an all-gather costs little more than the
 *  copies that must be. A slot is used again when all have taken it.
 */
#include <assert.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include "tests/simcuda/nccl_inside.h"

#define CHUNK_SIZE ((size_t) 256 * 1024) /* measured: eight ranks' slots stay in the caches of two cores */
#define SLOTS 4 /* one being filled, one being read, two for ranks that lag */
#define NS_PER_S 1000000000ULL

uint64_t simnccl_now (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * NS_PER_S + (uint64_t) now.tv_nsec;
}

static size_t head_size (void)
{
    return (sizeof (simnccl_arena_t) + 4095) / 4096 * 4096;
}

int simnccl_arena_make (unsigned ranks)
{
    size_t size = head_size () + ranks * SLOTS * CHUNK_SIZE;
    int fd = memfd_create ("simnccl", MFD_CLOEXEC);
    simnccl_arena_t *self;
    if (fd < 0)
        return -1;
    if (ftruncate (fd, (off_t) size) != 0)
        goto fail;
    self = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (self == MAP_FAILED)
        goto fail;
    self->size = size;
    self->ranks = ranks;
    munmap (self, size);
    return fd;
fail:
    close (fd);
    return -1;
}

simnccl_arena_t *simnccl_arena_map (int fd)
{
    struct stat about;
    simnccl_arena_t *self;
    if (fstat (fd, &about) != 0 || (size_t) about.st_size < head_size ())
        return NULL;
    self = mmap (NULL, (size_t) about.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return self == MAP_FAILED ? NULL : self;
}

void simnccl_arena_unmap (simnccl_arena_t **self_p)
{
    if (*self_p)
        munmap (*self_p, (*self_p)->size);
    *self_p = NULL;
}

unsigned char *simnccl_arena_slot (simnccl_arena_t *self, unsigned rank, uint64_t chunk)
{
    assert (rank < self->ranks);
    return (unsigned char *) self + head_size () +
           ((size_t) rank * SLOTS + (size_t) (chunk % SLOTS)) * CHUNK_SIZE;
}

bool simnccl_arena_room (simnccl_arena_t *self, unsigned rank)
{
    uint64_t published = atomic_load (&self->lines [rank].published);
    for (unsigned reader = 0; reader < self->ranks; reader++)
        if (reader != rank && published - atomic_load (&self->lines [reader].taken [rank]) >= SLOTS)
            return false;
    return true;
}

uint64_t simnccl_arena_chunks (uint64_t bytes)
{
    return (bytes + CHUNK_SIZE - 1) / CHUNK_SIZE;
}

size_t simnccl_arena_chunk (uint64_t bytes, uint64_t chunk, uint64_t *ret_offset)
{
    uint64_t offset = chunk * CHUNK_SIZE;
    assert (offset < bytes);
    *ret_offset = offset;
    return bytes - offset < CHUNK_SIZE ? (size_t) (bytes - offset) : CHUNK_SIZE;
}

void simnccl_arena_ring (simnccl_arena_t *self)
{
    atomic_fetch_add (&self->bell, 1);
    syscall (SYS_futex, &self->bell, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

void simnccl_arena_wait (simnccl_arena_t *self, uint32_t seen, uint64_t most_ns)
{
    struct timespec most = { .tv_sec = (time_t) (most_ns / NS_PER_S),
                             .tv_nsec = (long) (most_ns % NS_PER_S) };
    syscall (SYS_futex, &self->bell, FUTEX_WAIT, seen, &most, NULL, 0);
}
