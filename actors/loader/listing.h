// SPDX-License-Identifier: Apache-2.0
/*  listing.h - the names in a folder, and which of its weights a variant means (REQUIREMENTS R6.12)
 *
 *  A folder may hold the same weights several times, told apart by a label in the name: `model.safetensors` is
 *  the plain one, `model.fp16.safetensors` and the index `model.safetensors.index.fp16.json` (or
 *  `model.fp16.safetensors.index.json`) are those of variant fp16. The rule: a variant that was asked for is
 *  taken, or it is an error that lists what is there; "fp32" is also the plain one, which is what publishers
 *  mean by it; without a variant the plain one, else the only one there is.
 *
 *  Invariants: a listing is sorted by bytes, and names that begin with a dot are not in it (our manifest, what
 *  other tools leave). Blocks on the disk.
 */
#ifndef LOADER_LISTING_H
#define LOADER_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include "actors/ground/arena.h"
#include "actors/ground/error.h"

typedef struct {
    const char *name;
    bool folder;
} loader_listed_t;

typedef struct {
    loader_listed_t *entries;
    size_t count;
    yard_arena_t *arena; /* the names */
} loader_listing_t;

/*  path is for sentences. YARD_TOO_LARGE with more names than any published model has. */
int loader_listing_read (int folder_fd, const char *path, loader_listing_t *ret, yard_error_t *error);
void loader_listing_clear (loader_listing_t *self);

/*  A safetensors file's or index's name taken apart; the views are into the name. */
typedef struct {
    yard_string_t stem, label; /* "model", "fp16"; no label: empty */
    bool index, shard; /* "-00001-of-00002" belongs to neither */
} loader_weights_t;

bool loader_weights_read (const char *name, loader_weights_t *ret); /* false: it is none */

/*  The label that the variant means among the folder's weights of this stem (NULL: of all). not_found with what
 *  is there; without any weights the label is empty. */
int loader_weights_label (const loader_listing_t *self, const char *variant, const yard_string_t *stem,
                          const char *path, yard_string_t *ret_label, yard_error_t *error);

/*  The one index, or the one file, of the variant. *ret_name is NULL when the folder has no safetensors at
 *  all. YARD_INVALID_FILE when nothing tells several of them apart. */
int loader_weights_choose (const loader_listing_t *self, const char *variant, const char *path,
                           const char **ret_name, bool *ret_index, yard_error_t *error);

#endif
