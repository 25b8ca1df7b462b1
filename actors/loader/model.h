// SPDX-License-Identifier: Apache-2.0
/*  model.h - a loaded model: its files, open, and its directory, in a sealed memory file
 *
 *  Invariants: the files are open read-only and hold the identity that they had when the directory was made
 *  from them; the directory's memory file can no longer be changed by anybody, us included. A model counts
 *  who uses it (leases, attachments, loads under way) and is freed by the last; it is made on a pool thread,
 *  and belongs to the loop from then on.
 */
#ifndef LOADER_MODEL_H
#define LOADER_MODEL_H

#include <stddef.h>
#include "actors/loader/model_file.h"

#define LOADER_FILES_MAX 256 /* load_model_answer.regions */
#define LOADER_PHASES_MAX 8
#define LOADER_PRECISION_SIZE 32 /* load_told.precision */

typedef struct {
    const char *name; /* of load_phase */
    uint64_t us;
} loader_phase_t;

typedef struct {
    loader_file_t *files;
    size_t file_count;
    int directory_fd;
    uint64_t directory_bytes, tensors;
    uint64_t bytes; /* of all files */
    char precision [LOADER_PRECISION_SIZE];
    size_t uses;
    size_t *count; /* of open files, borrowed: what loader_model_count said; NULL = not counted yet */
} loader_model_t;

loader_model_t *loader_model_new (size_t file_count); /* files closed, no directory, used once */
loader_model_t *loader_model_use (loader_model_t *self);
void loader_model_drop (loader_model_t **self_p); /* one use less; closes everything at the last */

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
