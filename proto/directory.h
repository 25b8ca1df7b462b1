// SPDX-License-Identifier: Apache-2.0
/*  directory.h - the tensors of a loaded model, as a memory file that others map (ARCHITECTURE 7)
 *
 *  One fixed layout, little-endian, so that 2,000 tensors are there in a fraction of a millisecond and any
 *  language reads them with a struct; offsets count from the start of the file.
 *
 *      0  header   8 magic "YARDDIR1", u32 version (1), u32 rows, u64 rows_offset, u64 strings_offset, u64 strings_bytes,
 *                  u64 shapes_offset, u64 shapes_count, u64 0: 64 bytes
 *     64  rows     of 64 bytes each, see yard_directory_row_t: names and dtypes lie in strings (offset from strings_offset, UTF-8,
 *                  no 0 behind), shapes and strides in shapes (index of their first u64; `rank` of them)
 *         shapes   shapes_count u64
 *         strings  strings_bytes bytes
 *
 *  strides_index all ones means row-major without gaps; else there are `rank` strides, counted in elements. A
 *  dtype is safetensors' word ("F16") or "ggml:" and GGUF's ("ggml:Q4_K"). `region` is the number of the file
 *  that `offset` and `bytes` are in.
 *
 *  Invariants: a directory that was opened has every offset, index and text within its bytes; what a tensor
 *  says of its region is for the reader to hold against the region's size (yard_directory_fits).
 */
#ifndef YARD_PROTO_DIRECTORY_H
#define YARD_PROTO_DIRECTORY_H

#include <stdbool.h>
#include <stdint.h>
#include "actors/ground/buffer.h"
#include "actors/ground/error.h"

#define YARD_DIRECTORY_ROWS_MAX \
    1000000 /* tensors; the largest models we know have some 200,000 (experts of a mixture) */
#define YARD_DIRECTORY_RANK_MAX 16 /* dimensions; models have up to 5 */
#define YARD_DIRECTORY_BYTES_MAX (1024u * 1024u * 1024u)
#define YARD_DIRECTORY_ROW_MAJOR UINT64_MAX

/*  One row as it lies in the file. */
typedef struct {
    uint32_t name_offset, name_bytes;
    uint32_t dtype_offset, dtype_bytes;
    uint32_t shape_index, rank;
    uint32_t region, reserved;
    uint64_t offset, bytes;
    uint64_t strides_index;
    uint64_t reserved_too;
} yard_directory_row_t;

/*  One tensor; all of it views. */
typedef struct {
    yard_string_t name, dtype;
    const uint64_t *shape;
    const uint64_t *strides; /* NULL = row-major without gaps */
    uint32_t rank, region;
    uint64_t offset, bytes;
} yard_tensor_row_t;

/*  --- writing
 *  ----------------------------------------------------------------------------------------------------------- */
typedef struct yard_directory_writer_t yard_directory_writer_t;

yard_directory_writer_t *yard_directory_writer_new (void);
void yard_directory_writer_destroy (yard_directory_writer_t **self_p);

/*  Copies the row. too_large past the limits above. */
int yard_directory_writer_add (yard_directory_writer_t *self, const yard_tensor_row_t *row,
                               yard_error_t *error);

/*  The file's bytes, appended to ret. too_large when ret is too small for them. */
int yard_directory_writer_finish (yard_directory_writer_t *self, yard_buffer_t *ret, yard_error_t *error);

/*  --- reading
 *  ----------------------------------------------------------------------------------------------------------- */
/*  A directory leans on bytes that the caller keeps mapped, aligned to 8. */
typedef struct {
    const yard_directory_row_t *rows;
    const uint64_t *shapes;
    const char *strings;
    size_t count;
} yard_directory_t;

/*  Looks at every row once. invalid_file says what is wrong. */
int yard_directory_open (yard_directory_t *self, const void *data, size_t size, yard_error_t *error);

/*  index < count. */
yard_tensor_row_t yard_directory_get (const yard_directory_t *self, size_t index);

/*  Whether the tensor lies within regions of these sizes. */
bool yard_directory_fits (const yard_tensor_row_t *row, const uint64_t *region_bytes, size_t regions);

#endif
