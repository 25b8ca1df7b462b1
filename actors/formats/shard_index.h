// SPDX-License-Identifier: Apache-2.0
/*  shard_index.h - which file of a sharded model holds which tensor (model.safetensors.index.json,
 *  pytorch_model.bin.index.json)
 *
 *      {"metadata": {"total_size": 123}, "weight_map": {"tensor": "model-00001-of-00003.safetensors", …}}
 *
 *  Promises: every file is one plain name in the index's own folder. Refuses: a path of any kind, a name that
 *  begins with a dot, a tensor mapped twice, a map that maps nothing. Ignores, as readers must: total_size
 *  (some writers sum tensors, some files, some write text there) and all other keys; tensors that a shard
 *  holds beyond the map; files beside it.
 *
 *  Whether a name is a symlink that leaves the model's folder is for whoever opens it.
 */
#ifndef YARD_FORMATS_SHARD_INDEX_H
#define YARD_FORMATS_SHARD_INDEX_H

#include <stddef.h>
#include <stdint.h>
#include "actors/formats/tensor.h"
#include "actors/ground/error.h"

#define YARD_SHARD_INDEX_BYTES_MAX (32u << 20) /* the largest published index, of 10^5 tensors, has 9 MB */
#define YARD_SHARD_FILES_MAX 4096u /* the largest published model has 163 */
#define YARD_SHARD_NAME_MAX 255u /* NAME_MAX of Linux */

typedef struct {
    yard_string_t tensor;
    uint32_t shard; /* in files */
} yard_shard_entry_t;

typedef struct {
    yard_string_t *files; /* sorted by name */
    size_t file_count;
    yard_shard_entry_t *entries; /* in the index's order */
    size_t count;
    yard_arena_t *arena; /* names that had escapes */
} yard_shard_index_t;

/*  json must outlive *ret, which is to be cleared. YARD_INVALID_FILE, or YARD_TOO_LARGE over a limit. */
int yard_shard_index_parse (const char *json, size_t size, yard_shard_index_t *ret, yard_error_t *error);
void yard_shard_index_clear (yard_shard_index_t *self);

/*  Does every mapped tensor exist in its shard? shards [at] is the list of files [at]. YARD_INVALID_FILE
 *  names the first that does not. */
int yard_shard_index_check (const yard_shard_index_t *self, const yard_tensors_t *shards,
                            yard_error_t *error);

#endif
