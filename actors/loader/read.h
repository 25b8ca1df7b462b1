// SPDX-License-Identifier: Apache-2.0
/*  read.h - model files into memory, as fast as the disk gives them
 *
 *  A reader has threads of its own and one ring of chunks; it serves any number of reads, the most urgent first. A read is a list of
 *  runs (byte ranges of files); each chunk of a run is taken from the page cache where it is there, else read past it (O_DIRECT), by
 *  io_uring, or by pread where the kernel refuses that. Its bytes land either at their place in host memory (`memory`, `memory_fd`), or
 *  in a slot of the ring that the reader hands to `filled`, which gives it back when its copy to the device is over.
 *
 *  Invariants:
 *  - At most `in_flight` bytes of all reads together are being read or held in slots; a read without a slot waits, it fails not.
 *  - `filled` and `done` run on the reader's threads; done runs exactly once, after the last filled, when no byte of this read is under
 *    way any more and every slot was given back. On success every byte of every run was delivered, once.
 *  - A file that is shorter than it was, or changes while it is read, ends the read with invalid_file; a checksum that does not fit with
 *    integrity, naming file and offset; nothing here maps a file, so nobody gets SIGBUS.
 *  - Cancelling is answered at once: no further chunk begins; done follows with YARD_CANCELLED when what was under way has ended.
 */
#ifndef LOADER_READ_H
#define LOADER_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "actors/ground/error.h"

#define LOADER_CHUNK_BYTES ((size_t) 8 * 1024 * 1024) /* ARCHITECTURE 7 */
#define LOADER_IN_FLIGHT_BYTES ((size_t) 128 * 1024 * 1024) /* the same; half of it without a ring */

typedef struct loader_reader_t loader_reader_t;
typedef struct loader_read_t loader_read_t;

/*  A file to read from. fd is borrowed until done, open for reading without O_DIRECT. */
typedef struct {
    int fd;
    uint64_t bytes; /* its size when it was opened */
    const char *name; /* for sentences */
    const uint32_t *crc32c; /* of each crc_bytes of it, the last one shorter; NULL = not known */
    size_t crc_count;
    uint64_t crc_bytes;
    int memory_fd; /* where this file's runs go, writable, as large as they need; 0 = none */
} loader_source_t;

/*  bytes [offset, offset + bytes) of sources [source] go to `to`. Runs are in file order and do not overlap at either end. */
typedef struct {
    uint32_t source;
    uint64_t offset, bytes, to;
} loader_run_t;

/*  A filled chunk: size bytes at data belong at `to`. data lies in the ring, which may have been pinned, and is aligned as the bytes are
 *  in their file, up to the disk's block. */
typedef struct {
    void *data;
    size_t size;
    uint64_t to;
    unsigned index; /* of the slot in the ring: 0 to loader_reader_slots - 1 */
} loader_slot_t;

typedef struct {
    const loader_source_t *sources; /* all borrowed until done */
    size_t source_count;
    const loader_run_t *runs;
    size_t run_count;
    /*  Where `to` counts from: this memory, or the memory_fd of each run's source, or neither: through the ring. Memory that is there
     *  already is best read into as memory; fresh memory is filled faster as a memfd (read_chunk.c), and needs no mapping:
     *  then seal it against writing after done. */
    char *memory; /* writable; NULL = none */
    void (*filled) (void *argument, const loader_slot_t *slot); /* ring only; then loader_slot_return */
    void (*done) (void *argument, const yard_error_t *error); /* error->code is 0 on success */
    void *argument;
    int priority; /* higher goes first; equal ones: the earlier deadline, then the earlier start */
    int64_t deadline_ms; /* monotonic; for the order only; INT64_MAX = none */
} loader_read_wish_t;

typedef struct {
    size_t chunk_bytes, in_flight_bytes; /* 0 = as above; a slot has some more for alignment */
    unsigned threads; /* 0 = 4; of pread where io_uring is refused, and of checksums */
    bool ring; /* slots are needed: a reader for a device */
    bool no_uring, no_direct; /* for tests, and for a machine that does them badly */
} loader_reader_options_t;

int loader_reader_new (const loader_reader_options_t *options, loader_reader_t **ret, yard_error_t *error);
void loader_reader_destroy (loader_reader_t **self_p); /* cancels what is left, waits for it */

/*  The ring, for pinning: one run of memory. NULL without one. */
void *loader_reader_ring (const loader_reader_t *self, size_t *ret_bytes);
size_t loader_reader_slots (const loader_reader_t *self);

/*  Any thread. The read is freed after its done has returned. */
int loader_read_start (loader_reader_t *self, const loader_read_wish_t *wish, loader_read_t **ret,
                       yard_error_t *error);
void loader_read_cancel (loader_read_t *self); /* before its done has run */
uint64_t loader_read_bytes (const loader_read_t *self); /* delivered so far; before its done has run */
void loader_slot_return (loader_read_t *self, unsigned index); /* any thread */

/*  What a reader did since it was made, for people and benchmarks. */
typedef struct {
    uint64_t bytes_cached, bytes_direct, bytes_buffered, bytes_checked;
    bool uring; /* io_uring is in use */
} loader_reader_counts_t;
void loader_reader_counts (const loader_reader_t *self, loader_reader_counts_t *ret);

#endif
