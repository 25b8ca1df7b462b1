// SPDX-License-Identifier: Apache-2.0
/*  read_inside.h - what the files of the reader share: a file, its plan, its checksums, one chunk, the kernel's ring
 *
 *  read.c makes the reader and takes wishes, read_work.c is what its threads do. The others know nothing of either: read_file.c opens
 *  and compares, read_plan.c cuts, read_check.c proves, read_chunk.c moves the bytes, read_uring.c asks the kernel.
 *
 *  The way of a chunk: cut from the plan when a slot is free -> what the page cache has is copied -> the rest is asked for, by io_uring
 *  or pread -> what is still missing then is read buffered -> checked -> delivered -> its slot is free again.
 */
#ifndef LOADER_READ_INSIDE_H
#define LOADER_READ_INSIDE_H

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include "actors/loader/read.h"

#define LOADER_READ_ALIGN_MAX \
    ((size_t) 65536) /* the largest block size Linux mounts; what wants more is read buffered */

/*  --- read_file.c: a source while it is read */
typedef struct {
    int direct_fd; /* -1: O_DIRECT is not to be had */
    uint32_t align; /* of offset, length and address, a power of 2; 1 without O_DIRECT */
    atomic_bool buffered; /* the kernel refused a direct read since */
    struct timespec changed; /* its mtime when the read began */
} loader_read_file_t;

int loader_read_file_open (loader_read_file_t *self, const loader_source_t *source, bool no_direct,
                           yard_error_t *error);
void loader_read_file_close (loader_read_file_t *self); /* zeroed ones too */
/*  invalid_file, if it is not what it was. */
int loader_read_file_compare (const loader_read_file_t *self, const loader_source_t *source,
                              yard_error_t *error);

/*  --- read_plan.c: runs, joined where they meet, cut at the chunks' borders in the file */
typedef struct {
    uint32_t source;
    uint64_t offset, to;
    size_t size; /* at most chunk_bytes */
    uint64_t stretch_begin,
        stretch_end; /* around it this read wants every byte of the file: what can be checked */
    bool straight; /* into memory, without a slot's bytes between */
} loader_piece_t;

typedef struct {
    const loader_read_wish_t *wish;
    const loader_read_file_t *files;
    size_t chunk_bytes, next_run;
    loader_run_t extent; /* runs that meet in the file and in memory; what is left of them */
    uint32_t stretch_source;
    uint64_t stretch_begin, stretch_end;
} loader_read_plan_t;

/*  Refuses runs that are out of order, overlap, or leave their file. */
int loader_read_plan_look (const loader_read_wish_t *wish, yard_error_t *error);
void loader_read_plan_begin (loader_read_plan_t *self, const loader_read_wish_t *wish,
                             const loader_read_file_t *files, size_t chunk_bytes);
bool loader_read_plan_over (const loader_read_plan_t *self);
void loader_read_plan_next (loader_read_plan_t *self, loader_piece_t *ret); /* not when it is over */

/*  --- read_check.c: crc32c of pieces that arrive in any order; any thread */
typedef struct loader_read_check_t loader_read_check_t;

loader_read_check_t *loader_read_check_new (const loader_source_t *sources, size_t count);
void loader_read_check_destroy (loader_read_check_t **self_p);
/*  integrity, when a checksum is known to be wrong with this piece. ret_checked: bytes whose checksum was compared now. */
int loader_read_check_piece (loader_read_check_t *self, const loader_piece_t *piece, const void *data,
                             uint64_t *ret_checked, yard_error_t *error);

/*  --- read_uring.c */
typedef struct loader_uring_t loader_uring_t;

/*  0, or why there is none, as a negative errno. memory may be NULL: what reads go into, registered if the limit on locked memory
 *  allows. At most `entries` reads are under way at once: the caller counts. */
int loader_uring_new (unsigned entries, void *memory, size_t memory_bytes, loader_uring_t **ret);
void loader_uring_destroy (loader_uring_t **self_p);
void loader_uring_read (loader_uring_t *self, int fd, void *data, size_t size, uint64_t offset,
                        void *token); /* any thread */
void loader_uring_stop (loader_uring_t *self); /* any thread: wait gives NULL */
/*  One thread. The token of a read that ended and its bytes or negative errno. */
void *loader_uring_wait (loader_uring_t *self, ssize_t *ret_result);

/*  --- read_chunk.c */
typedef struct loader_chunk_t {
    loader_read_t *read; /* NULL: the slot is free */
    struct loader_chunk_t *next; /* of those that arrived */
    loader_piece_t piece;
    const loader_source_t *source;
    loader_read_file_t *file;
    char *slot, *data; /* data: where the piece's first byte lands, in the slot or in memory */
    size_t got; /* bytes of the piece that are there */
    uint64_t
        asked_at; /* where the direct or buffered read began: at most align - 1 bytes before piece.offset + got */
    bool direct; /* how it was asked for */
    ssize_t result; /* of that */
    uint64_t cached, past_cache, through_cache; /* bytes, for the counts */
    unsigned index;
} loader_chunk_t;

/*  Takes what the page cache has. false: there is a rest. */
bool loader_chunk_take_cached (loader_chunk_t *self);
/*  What to ask for the rest. */
typedef struct {
    int fd;
    char *data;
    size_t size;
    uint64_t offset;
} loader_chunk_wish_t;
void loader_chunk_ask (loader_chunk_t *self, loader_chunk_wish_t *ret);
/*  Judges `result`, and reads buffered what is missing still. */
int loader_chunk_complete (loader_chunk_t *self, yard_error_t *error);
/*  Its bytes to where they belong in host memory, if that is not where they are. */
int loader_chunk_place (loader_chunk_t *self, const loader_read_wish_t *wish, yard_error_t *error);

/*  --- read.c and read_work.c: the reader itself */
typedef enum {
    LOADER_READ_NEW, /* its files are not looked at yet */
    LOADER_READ_OPENING,
    LOADER_READ_RUNNING,
    LOADER_READ_ENDED /* in the list of the ended: all but done is over */
} loader_read_stage_t;

struct loader_read_t {
    loader_reader_t *reader;
    loader_read_t *next;
    loader_read_wish_t wish;
    loader_read_file_t *files; /* one per source */
    loader_read_check_t *check; /* NULL: no source has checksums */
    loader_read_plan_t plan;
    loader_read_stage_t stage;
    size_t under_way; /* chunks that hold a slot */
    bool cancelled;
    yard_error_t error; /* the first one */
    uint64_t delivered; /* bytes */
};

struct loader_reader_t {
    pthread_mutex_t mutex; /* guards all that changes: lists, slots, reads, counts */
    pthread_cond_t work, idle;
    loader_read_t *reads; /* the most urgent first */
    loader_read_t *ended;
    loader_chunk_t *arrived, **arrived_last;
    size_t live; /* reads whose done has not returned */
    bool closing;

    loader_chunk_t *chunks; /* one per slot */
    unsigned *free_slots; /* a stack: the slot used last is the one in the processor's cache */
    size_t slot_count, free_count;
    char *ring;
    size_t ring_bytes, chunk_bytes;
    bool for_device, no_direct;
    bool touched; /* slots hold memory since the reader was idle */

    pthread_t *threads;
    size_t thread_count;
    pthread_t waiter;
    loader_uring_t *uring; /* NULL: pread */
    loader_reader_counts_t counts;
};

void *loader_reader_work_main (void *reader); /* each of the threads */
void *loader_reader_wait_main (void *reader); /* the waiter */
/*  The lock is held. Moves a read of which nothing is under way or to come to where a thread calls its done. */
void loader_read_settle (loader_read_t *self);
void loader_chunk_give_back (loader_chunk_t *self); /* its slot is free */

#endif
