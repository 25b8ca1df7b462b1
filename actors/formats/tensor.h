// SPDX-License-Identifier: Apache-2.0
/*  tensor.h - what a model file holds: its tensors, as names, types, shapes and byte ranges
 *
 *  This folder knows model files as bytes: a reader is given memory and the file's size and answers with this
 *  list. It opens nothing, reads nothing, and never looks at a tensor's values.
 *
 *  Invariants of a list that a reader gave: ranges lie inside the file, in order of offset, without an overlap
 *  and without a hole but for the padding of a format that pads (GGUF); bytes is what shape and dtype make;
 *  names and keys are valid UTF-8, of any length, unique, and may hold any character, 0 included. Values are
 *  little-endian, row-major; no alignment is promised beyond the format's.
 *
 *  Ownership: the list owns its arrays; a name without escapes is a view into the header that the reader was
 *  given, so that header must outlive the list.
 */
#ifndef YARD_FORMATS_TENSOR_H
#define YARD_FORMATS_TENSOR_H

#include <stddef.h>
#include <stdint.h>
#include "actors/ground/arena.h"
#include "actors/ground/view.h"

typedef enum {
#define DTYPE(id, word, bits, numpy) YARD_DTYPE_##id,
#include "dtypes.def"
#undef DTYPE
    YARD_DTYPE_COUNT, /* of the plain ones, which a safetensors header may name */
    YARD_DTYPE_LAST_PLAIN = YARD_DTYPE_COUNT - 1,
#define GGML_PLAIN(number, dtype)
#define GGML_BLOCK(number, id, elements, bytes) YARD_DTYPE_GGML_##id,
#include "ggml_types.def"
#undef GGML_PLAIN
#undef GGML_BLOCK
    YARD_DTYPE_END
} yard_dtype_t;

/*  One row of dtypes.def, or a block type of ggml_types.def. */
typedef struct {
    const char *word;
    uint32_t bits; /* of an element; 0 for a block type */
    const char *numpy;
    uint32_t block_elements, block_bytes; /* of a block type; 0 for the others */
} yard_dtype_row_t;

const yard_dtype_row_t *yard_dtype_row (yard_dtype_t dtype);
int yard_dtype_from (yard_string_t word); /* a plain yard_dtype_t, or -1 */

typedef struct {
    yard_string_t name;
    yard_dtype_t dtype;
    uint32_t rank; /* 0 is a scalar: one element */
    const uint64_t *shape; /* rank dimensions, outermost first; NULL for a scalar */
    uint64_t offset; /* of the first byte, from the file's start */
    uint64_t bytes;
} yard_tensor_t;

/*  One pair of the file's __metadata__, or of a GGUF header; a value that is no text is { NULL, 0 }. */
typedef struct {
    yard_string_t key, value;
} yard_metadata_t;

typedef struct {
    yard_tensor_t *items; /* sorted by offset */
    size_t count;
    yard_metadata_t *metadata; /* in the file's order */
    size_t metadata_count;
    uint64_t data_offset; /* where the first tensor begins */
    yard_arena_t *arena; /* shapes, and names that had escapes */
} yard_tensors_t;

/*  Frees what the list owns and empties it; an all-zero list is a cleared one. */
void yard_tensors_clear (yard_tensors_t *self);

/*  By a walk over the list: for a few names, not for each of a million. NULL when absent; the value is then {
 *  NULL, 0 }. */
const yard_tensor_t *yard_tensors_find (const yard_tensors_t *self, yard_string_t name);
yard_string_t yard_tensors_metadata (const yard_tensors_t *self, const char *key);

/*  A hostile name as text for a person: bytes outside printable ASCII become '?', a long one is cut and ends
 *  in "...". */
#define YARD_NAME_TEXT_SIZE 128 /* the longest key of Stable Diffusion has 95 bytes */
void yard_name_text (yard_string_t name, char *ret_text);

/*  The first of two equal strings among count strings that lie stride bytes apart, or NULL when all differ. n
 *  log n at worst, whatever the names; takes 16 bytes a string meanwhile. */
const yard_string_t *yard_names_duplicate (const yard_string_t *first, size_t count, size_t stride);

#endif
