// SPDX-License-Identifier: Apache-2.0
/*  model.h - a loaded model: its files or the memory that was filled from them, and its directory, in a sealed memory file
 *
 *  Forms: `mapped` holds the model's own files, open; `resident` a memory file for each of them, filled and sealed; `device` one
 *  allocation for all. Whichever it is, the files' identities are kept, to see when one has been replaced.
 *
 *  Invariants: what is handed out is read-only and is what the directory was made from; the directory's memory file can no longer be
 *  changed by anybody, us included. A model counts who uses it (the cache, leases, loads under way) and ends with the last use; it is
 *  made on a pool thread, and belongs to the loop from then on.
 */
#ifndef LOADER_MODEL_H
#define LOADER_MODEL_H

#include <stddef.h>
#include "actors/loader/device.h"
#include "actors/loader/model_file.h"
#include "actors/loader/plan.h"
#include "proto/messages.h"

#define LOADER_FILES_MAX 256 /* load_model_answer.regions */
#define LOADER_PHASES_MAX 8
#define LOADER_PRECISION_SIZE 32 /* load_told.precision */

typedef struct {
    const char *name; /* of load_phase */
    uint64_t us;
} loader_phase_t;

/*  What is known of a file's bytes: a crc32c of each chunk_bytes of them, the last one shorter. */
typedef struct {
    uint32_t *crc32c; /* NULL = nothing */
    size_t count;
    uint64_t chunk_bytes;
} loader_checksums_t;

typedef struct loader_model_t loader_model_t;

/*  Who counts a model's memory, and frees it off the loop: tier.c. */
typedef struct {
    void (*ended) (void *argument,
                   loader_model_t *model); /* nobody uses it any more; ends in loader_model_free */
    void *argument;
    void *hold; /* the tier's own, of this model */
} loader_keeper_t;

struct loader_model_t {
    load_form_t form;
    loader_file_t *files;
    size_t file_count;
    loader_checksums_t *checksums; /* one for each file; NULL = none */
    int directory_fd;
    uint64_t directory_bytes, tensors;
    uint64_t bytes; /* of all regions */
    char precision [LOADER_PRECISION_SIZE];
    size_t uses;
    size_t *count; /* of open files, borrowed: what loader_model_count said; NULL = not counted yet */
    loader_keeper_t keeper; /* ended = NULL: nobody, it is freed on the spot */

    /*  resident: all files' memory, mapped side by side and locked, if the limits allow. */
    char *memory;
    size_t memory_bytes; /* 0: not mapped */
    bool locked;

    /*  device. The memory is the device thread's to touch. */
    loader_plan_t plan; /* runs = NULL: none */
    uint64_t padding; /* allocated behind the plan's bytes, for the last shares of a spread */
    loader_memory_t *allocation;
    loader_handle_t handle; /* fd -1 until it is exported */
    char device_name [64], device_uuid [41];

    uint64_t checked_bytes; /* held against their checksums while they were read */
};

loader_model_t *loader_model_new (size_t file_count); /* files closed, no directory, used once */
loader_model_t *loader_model_use (loader_model_t *self);
void loader_model_drop (loader_model_t **self_p); /* one use less; at the last it ends */
void loader_model_free (loader_model_t *self); /* by its keeper: closes everything but an allocation */

/*  How many regions are handed out: one a file, one in all on a device. */
size_t loader_model_regions (const loader_model_t *self);

/*  Where the descriptors of published models go: a range of numbers of their own, used in turn, so that a
 *  number that somebody still has in a path of /proc leads to another model only after the whole range was
 *  used up. */
typedef struct {
    int first, next, end;
} loader_numbers_t;

/*  raises the process's limit of open files, as far as it may */
void loader_numbers_init (loader_numbers_t *self);
void loader_model_number (loader_model_t *self, loader_numbers_t *numbers);

/*  Adds the files to *count now, and takes them off it when they are closed. */
void loader_model_count (loader_model_t *self, size_t *count);

/*  Is this the very same set of files? files [count]. */
bool loader_model_is (const loader_model_t *self, const loader_file_t *files, size_t count);

#endif
