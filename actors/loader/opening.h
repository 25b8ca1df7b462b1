// SPDX-License-Identifier: Apache-2.0
/*  opening.h - the blocking half of a load: files opened, headers read, the directory made
 *
 *  Invariants: runs on a pool thread and touches nothing but itself, so everything it needs is copied in, and
 *  everything it makes is taken out when it is back on the loop. If the files are those of the model that is
 *  loaded already (`known`), it says `same` and reads nothing further.
 */
#ifndef LOADER_OPENING_H
#define LOADER_OPENING_H

#include <limits.h>
#include "actors/formats/tensor.h"
#include "actors/ground/buffer.h"
#include "actors/ground/table.h"
#include "actors/loader/model.h"
#include "actors/loader/spread_slice.h"
#include "proto/messages.h"

#define LOADER_MODEL_PATH_SIZE 4097 /* model_config.path */
#define LOADER_ANYWHERE \
    "/" /* as models directory: the path is the caller's own, and may lead through symlinks */
#define LOADER_SUBMODEL_SIZE 65 /* load_model_ask.submodel */
#define LOADER_VARIANT_SIZE 33 /* "fp16"; the longest label that a weights file's name may have */

typedef struct loader_opening_t {
    /*  In. */
    char models_dir [PATH_MAX], path [LOADER_MODEL_PATH_SIZE];
    char submodel [LOADER_SUBMODEL_SIZE]; /* empty: whole */
    char variant [LOADER_VARIANT_SIZE]; /* of a folder's weights; empty: the plain ones (listing.h) */
    bool variant_soft; /* a preference: where there is none of it, the plain ones are taken */
    base_model_t base;
    model_type_t type;
    bool into_memory; /* its bytes will be read: checksums are wanted */
    bool onto_device; /* and a plan of where they lie there */
    int (*open) (struct loader_opening_t *self); /* of the loader that serves the model */
    loader_slices_t *slices; /* and only these of it; NULL: all */
    loader_file_t *known; /* names and identities, closed; NULL: nothing is loaded yet */
    size_t known_count;
    /*  Out. */
    loader_model_t *model; /* NULL on failure, and when same */
    bool same;
    yard_error_t error;
    loader_phase_t phases [LOADER_PHASES_MAX];
    size_t phase_count;
    int64_t mark_ns; /* where the running phase began */
} loader_opening_t;

loader_opening_t *loader_opening_new (void);
void loader_opening_destroy (loader_opening_t **self_p);

void loader_opening_run (loader_opening_t *self);

/*  For loaders: the phase that began at the last call (or at the start) ends, and was this. */
void loader_opening_phase (loader_opening_t *self, const char *name);
/*  For loaders, as soon as all files are open: are they the known ones? Then `same` is set, and the loader
 *  drops the model and is done. */
bool loader_opening_known (loader_opening_t *self, const loader_model_t *model);

/*  One file's header, in memory with its tensors; all zero: a file without any. */
typedef struct {
    char *bytes;
    uint64_t size;
    yard_tensors_t tensors;
} loader_header_t;

int loader_header_read (const loader_file_t *file, loader_header_t *ret, yard_error_t *error);
void loader_header_clear (loader_header_t *self);

/*  Which tensors are the model's; both NULL: all. */
typedef struct {
    const char *prefix; /* names begin so */
    const yard_table_t
        *shards; /* name -> the number of its file + 1, as a pointer: names in other files do not count */
} loader_pick_t;

/*  Makes the model's directory from the headers of its files (count = model->file_count), and tensors, bytes
 *  and precision. YARD_NO_SUBMODEL when there is a prefix and no name begins so. */
int loader_directory_make (loader_model_t *model, const loader_header_t *headers, const loader_pick_t *pick,
                           yard_error_t *error);

/*  The directory's bytes become the model's, in a memory file that nobody can change any more. */
int loader_directory_seal (loader_model_t *model, const yard_buffer_t *bytes, yard_error_t *error);

#endif
