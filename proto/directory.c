// SPDX-License-Identifier: Apache-2.0
/*  directory.c - tensors into the bytes of a memory file, and out of bytes that somebody else wrote
 *
 *  Promises: the writer's file opens; the reader follows no offset that it has not held against the size.
 *  Refuses: machines that are not little-endian (at compile time): the file is read where it lies.
 */
#include "directory.h"

#include <assert.h>
#include <stdlib.h>
#include "wire_field.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "a directory is read where it lies, as little-endian numbers");

#define MAGIC "YARDDIR1"
#define VERSION 1
#define DTYPE_BYTES_MAX 32 /* "ggml:IQ2_XXS" has 12 */
#define STRINGS_BYTES_MAX UINT32_MAX

typedef struct {
    char magic [8];
    uint32_t version, rows;
    uint64_t rows_offset, strings_offset, strings_bytes, shapes_offset, shapes_count, reserved;
} header_t;

_Static_assert(sizeof (header_t) == 64 && sizeof (yard_directory_row_t) == 64,
               "both are in the description in directory.h");

struct yard_directory_writer_t {
    yard_buffer_t rows, shapes, strings;
    yard_directory_row_t last; /* most tensors have the dtype of the one before: it is written once */
    size_t count;
};

yard_directory_writer_t *yard_directory_writer_new (void)
{
    yard_directory_writer_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    yard_buffer_init (&self->rows, YARD_DIRECTORY_BYTES_MAX / 4);
    yard_buffer_init (&self->shapes, YARD_DIRECTORY_BYTES_MAX / 4);
    yard_buffer_init (&self->strings, YARD_DIRECTORY_BYTES_MAX / 4);
    return self;
}

void yard_directory_writer_destroy (yard_directory_writer_t **self_p)
{
    assert (self_p);
    yard_directory_writer_t *self = *self_p;
    if (!self)
        return;
    yard_buffer_clear (&self->rows);
    yard_buffer_clear (&self->shapes);
    yard_buffer_clear (&self->strings);
    free (self);
    *self_p = NULL;
}

/*  Index of the first. */
static size_t add_numbers (yard_directory_writer_t *self, const uint64_t *numbers, size_t count)
{
    size_t index = self->shapes.size / sizeof *numbers;
    yard_buffer_append (&self->shapes, numbers, count * sizeof *numbers);
    return index;
}

static uint32_t add_text (yard_directory_writer_t *self, yard_string_t text)
{
    size_t offset = self->strings.size;
    yard_buffer_append (&self->strings, text.data, text.size);
    return (uint32_t) offset;
}

static bool is_last_dtype (const yard_directory_writer_t *self, yard_string_t dtype)
{
    yard_string_t last = { self->strings.data + self->last.dtype_offset, self->last.dtype_bytes };
    return self->count && yard_string_equal (last, dtype);
}

int yard_directory_writer_add (yard_directory_writer_t *self, const yard_tensor_row_t *row,
                               yard_error_t *error)
{
    if (self->count == YARD_DIRECTORY_ROWS_MAX)
        return yard_error (error, YARD_TOO_LARGE, "a model may have %d tensors", YARD_DIRECTORY_ROWS_MAX);
    if (row->rank > YARD_DIRECTORY_RANK_MAX || row->dtype.size > DTYPE_BYTES_MAX)
        return yard_error (error, YARD_TOO_LARGE, "tensor %zu has %u dimensions, it may have %d", self->count,
                           row->rank, YARD_DIRECTORY_RANK_MAX);
    yard_directory_row_t next = { .region = row->region, .offset = row->offset, .bytes = row->bytes };
    if (is_last_dtype (self, row->dtype))
        next.dtype_offset = self->last.dtype_offset;
    else
        next.dtype_offset = add_text (self, row->dtype);
    next.dtype_bytes = (uint32_t) row->dtype.size;
    next.name_offset = add_text (self, row->name);
    next.name_bytes = (uint32_t) row->name.size;
    next.rank = row->rank;
    next.shape_index = (uint32_t) add_numbers (self, row->shape, row->rank);
    next.strides_index =
        row->strides ? add_numbers (self, row->strides, row->rank) : YARD_DIRECTORY_ROW_MAJOR;
    yard_buffer_append (&self->rows, &next, sizeof next);
    if (self->rows.overflow || self->shapes.overflow || self->strings.overflow)
        return yard_error (error, YARD_TOO_LARGE, "the names of the tensors have more than %u bytes",
                           YARD_DIRECTORY_BYTES_MAX / 4);
    self->last = next;
    self->count++;
    return 0;
}

int yard_directory_writer_finish (yard_directory_writer_t *self, yard_buffer_t *ret, yard_error_t *error)
{
    header_t header = {
        .magic = MAGIC,
        .version = VERSION,
        .rows = (uint32_t) self->count,
        .rows_offset = sizeof header,
        .shapes_offset = sizeof header + self->rows.size,
        .shapes_count = self->shapes.size / sizeof (uint64_t),
        .strings_offset = sizeof header + self->rows.size + self->shapes.size,
        .strings_bytes = self->strings.size,
    };
    yard_buffer_append (ret, &header, sizeof header);
    yard_buffer_append (ret, self->rows.data, self->rows.size);
    yard_buffer_append (ret, self->shapes.data, self->shapes.size);
    yard_buffer_append (ret, self->strings.data, self->strings.size);
    if (ret->overflow)
        return yard_error (error, YARD_TOO_LARGE, "the directory of %zu tensors has more than %zu bytes",
                           self->count, ret->limit);
    return 0;
}

/*  --- reading: the bytes are another process's */
/*  count things of size bytes from offset lie within total. */
static bool inside (uint64_t offset, uint64_t count, uint64_t size, uint64_t total)
{
    return offset <= total && count <= (total - offset) / size;
}

static bool header_holds (const header_t *header, size_t size)
{
    return header->rows <= YARD_DIRECTORY_ROWS_MAX && header->strings_bytes <= STRINGS_BYTES_MAX &&
           header->rows_offset % 8 == 0 && header->shapes_offset % 8 == 0 &&
           inside (header->rows_offset, header->rows, sizeof (yard_directory_row_t), size) &&
           inside (header->shapes_offset, header->shapes_count, sizeof (uint64_t), size) &&
           inside (header->strings_offset, header->strings_bytes, 1, size);
}

static bool row_holds (const yard_directory_row_t *row, const char *strings, const header_t *header)
{
    return inside (row->name_offset, row->name_bytes, 1, header->strings_bytes) &&
           inside (row->dtype_offset, row->dtype_bytes, 1, header->strings_bytes) &&
           row->dtype_bytes <= DTYPE_BYTES_MAX && row->rank <= YARD_DIRECTORY_RANK_MAX &&
           inside (row->shape_index, row->rank, 1, header->shapes_count) &&
           (row->strides_index == YARD_DIRECTORY_ROW_MAJOR ||
            inside (row->strides_index, row->rank, 1, header->shapes_count)) &&
           yard_wire_is_text ((yard_string_t){ strings + row->name_offset, row->name_bytes }) &&
           yard_wire_is_text ((yard_string_t){ strings + row->dtype_offset, row->dtype_bytes });
}

int yard_directory_open (yard_directory_t *self, const void *data, size_t size, yard_error_t *error)
{
    const char *bytes = data;
    header_t header; /* a copy: what was checked is what is used, whoever writes to the file meanwhile */
    if (size < sizeof header || (uintptr_t) data % 8 != 0)
        return yard_error (error, YARD_INVALID_FILE, "a directory has at least %zu bytes, this has %zu",
                           sizeof header, size);
    memcpy (&header, bytes, sizeof header);
    if (memcmp (header.magic, MAGIC, sizeof header.magic) != 0 || header.version != VERSION)
        return yard_error (error, YARD_INVALID_FILE, "these bytes are no directory of version %d", VERSION);
    if (!header_holds (&header, size))
        return yard_error (error, YARD_INVALID_FILE, "the directory's header points outside its %zu bytes",
                           size);
    yard_directory_t found = {
        .rows = (const yard_directory_row_t *) (bytes + header.rows_offset),
        .shapes = (const uint64_t *) (bytes + header.shapes_offset),
        .strings = bytes + header.strings_offset,
        .count = header.rows,
    };
    for (size_t i = 0; i < found.count; i++)
        if (!row_holds (&found.rows [i], found.strings, &header))
            return yard_error (error, YARD_INVALID_FILE,
                               "row %zu of the directory points outside it or has no text for a name", i);
    *self = found;
    return 0;
}

yard_tensor_row_t yard_directory_get (const yard_directory_t *self, size_t index)
{
    assert (index < self->count);
    const yard_directory_row_t *row = &self->rows [index];
    return (yard_tensor_row_t){
        .name = { self->strings + row->name_offset, row->name_bytes },
        .dtype = { self->strings + row->dtype_offset, row->dtype_bytes },
        .shape = self->shapes + row->shape_index,
        .strides = row->strides_index == YARD_DIRECTORY_ROW_MAJOR ? NULL : self->shapes + row->strides_index,
        .rank = row->rank,
        .region = row->region,
        .offset = row->offset,
        .bytes = row->bytes,
    };
}

bool yard_directory_fits (const yard_tensor_row_t *row, const uint64_t *region_bytes, size_t regions)
{
    return row->region < regions && inside (row->offset, row->bytes, 1, region_bytes [row->region]);
}
