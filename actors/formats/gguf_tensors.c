// SPDX-License-Identifier: Apache-2.0
/*  gguf_tensors.c - the tensors' infos of a GGUF header, and where their bytes lie
 */
#include "actors/formats/gguf_inside.h"

#include <assert.h>

static const struct {
    uint32_t number;
    yard_dtype_t dtype;
} types [] = {
#define GGML_PLAIN(number, dtype) { number, YARD_DTYPE_##dtype },
#define GGML_BLOCK(number, id, elements, bytes) { number, YARD_DTYPE_GGML_##id },
#include "ggml_types.def"
#undef GGML_PLAIN
#undef GGML_BLOCK
};

static int find_type (yard_gguf_parse_t *self, yard_tensor_t *tensor, uint64_t number)
{
    for (size_t at = 0; at < sizeof types / sizeof types [0]; at++)
        if (types [at].number == number) {
            tensor->dtype = types [at].dtype;
            return 0;
        }
    return yard_gguf_refuse (self, "BadTensorType", tensor->name,
                             "is of a type that ggml does not have, or no longer");
}

/*  shape is outermost first: the innermost dimension is the one that is cut into blocks. */
static int measure (yard_gguf_parse_t *self, yard_tensor_t *tensor)
{
    const yard_dtype_row_t *row = yard_dtype_row (tensor->dtype);
    uint64_t elements = row->block_elements ? row->block_elements : 1;
    uint64_t bytes = row->block_elements ? row->block_bytes : row->bits / 8;
    uint64_t inner = tensor->rank > 0 ? tensor->shape [tensor->rank - 1] : 1, count = 1;
    if (inner % elements != 0)
        return yard_gguf_refuse (self, "BadShape", tensor->name,
                                 "has rows that are no whole blocks of its type");
    if (__builtin_mul_overflow (bytes, inner / elements, &bytes))
        return yard_gguf_refuse (self, "BadShape", tensor->name, "has more bytes than can be counted");
    for (uint32_t at = tensor->rank; at-- > 0;) {
        /*  Elements are counted with a sign by whoever computes with them. */
        bool over = __builtin_mul_overflow (count, tensor->shape [at], &count) || count > INT64_MAX;
        if (at + 1 < tensor->rank)
            over = __builtin_mul_overflow (bytes, tensor->shape [at], &bytes) || over;
        if (over)
            return yard_gguf_refuse (self, "BadShape", tensor->name, "has more elements than can be counted");
    }
    tensor->bytes = bytes;
    return 0;
}

static int parse_shape (yard_gguf_parse_t *self, yard_tensor_t *tensor)
{
    uint64_t rank = 0, *shape = NULL;
    int rc = yard_gguf_take_number (self, 4, &rank);
    if (rc)
        return rc;
    if (rank > YARD_GGUF_RANK_MAX)
        return yard_gguf_refuse (self, "BadShape", tensor->name, "has more than 4 dimensions");
    if (rank > 0) {
        shape = yard_arena_alloc (self->gguf.tensors.arena, rank * sizeof *shape);
        assert (shape); /* the limit covers whatever the header can hold */
    }
    for (uint64_t at = rank; at-- > 0;) {
        if ((rc = yard_gguf_take_number (self, sizeof *shape, &shape [at])))
            return rc;
        if (shape [at] > INT64_MAX)
            return yard_gguf_refuse (self, "BadShape", tensor->name, "has a negative dimension");
    }
    tensor->rank = (uint32_t) rank;
    tensor->shape = shape;
    return 0;
}

static void add_tensor (yard_gguf_parse_t *self, const yard_tensor_t *tensor)
{
    yard_tensors_t *list = &self->gguf.tensors;
    if (list->count == self->tensor_room) {
        self->tensor_room = self->tensor_room ? 2 * self->tensor_room : 64;
        list->items = realloc (list->items, self->tensor_room * sizeof *list->items);
        if (!list->items)
            abort ();
    }
    list->items [list->count++] = *tensor;
}

static int parse_info (yard_gguf_parse_t *self)
{
    yard_tensor_t tensor = { .name = { NULL, 0 } };
    uint64_t type = 0;
    int rc = yard_gguf_take_string (self, &tensor.name);
    if (rc)
        return rc;
    if (tensor.name.size > YARD_GGUF_NAME_MAX || !yard_gguf_is_text (tensor.name))
        return yard_gguf_refuse (self, "BadName", tensor.name, "has more than 63 bytes, or is no text");
    rc = parse_shape (self, &tensor);
    if (rc == 0)
        rc = yard_gguf_take_number (self, 4, &type);
    if (rc == 0)
        rc = find_type (self, &tensor, type);
    if (rc == 0)
        rc = measure (self, &tensor);
    if (rc == 0)
        rc = yard_gguf_take_number (self, sizeof tensor.offset, &tensor.offset);
    if (rc == 0)
        add_tensor (self, &tensor);
    return rc;
}

static uint64_t padded (uint64_t bytes, uint32_t alignment)
{
    return bytes + (-bytes & (alignment - 1u)); /* wraps only for what does not fit into a file */
}

/*  Offsets are the padded sum of what lies before, and the bytes are there. */
static int place_tensors (yard_gguf_parse_t *self)
{
    yard_tensors_t *list = &self->gguf.tensors;
    uint64_t begin = 0;
    list->data_offset = padded (self->at, self->gguf.alignment);
    for (size_t at = 0; at < list->count; at++) {
        yard_tensor_t *tensor = &list->items [at];
        if (tensor->offset != begin)
            return yard_gguf_refuse (self, "BadOffset", tensor->name,
                                     "does not begin where the tensor before it ends");
        tensor->offset += list->data_offset;
        if (tensor->offset < begin || tensor->offset > self->file_size ||
            tensor->bytes > self->file_size - tensor->offset)
            return yard_gguf_refuse (self, "NotEnoughData", tensor->name, "ends behind the end of the file");
        begin += padded (tensor->bytes, self->gguf.alignment);
    }
    return 0;
}

int yard_gguf_parse_tensors (yard_gguf_parse_t *self)
{
    yard_tensors_t *list = &self->gguf.tensors;
    int rc = 0;
    for (uint64_t at = 0; rc == 0 && at < self->tensor_count; at++)
        rc = parse_info (self);
    if (rc || list->count == 0) {
        list->data_offset = self->at;
        return rc;
    }
    const yard_string_t *twice =
        yard_names_duplicate (&list->items [0].name, list->count, sizeof list->items [0]);
    return twice ? yard_gguf_refuse (self, "DuplicateName", *twice, "stands there twice")
                 : place_tensors (self);
}
