// SPDX-License-Identifier: Apache-2.0
/*  gguf_fuzz.c - any bytes as a GGUF file: no crash, no read beyond what is at hand, and what is taken keeps the
 *  list's promises
 *
 *  The first two input bytes say how many of the others the reader is given first, so that asking for more is
 *  tried at every place; each time it comes back with what it asked for.
 */
#include <assert.h>
#include "actors/formats/gguf.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static uint64_t bytes_of (const yard_tensor_t *tensor)
{
    const yard_dtype_row_t *row = yard_dtype_row (tensor->dtype);
    uint64_t elements = 1;
    for (uint32_t rank = 0; rank < tensor->rank; rank++)
        elements *= tensor->shape [rank];
    if (row->block_elements == 0)
        return elements * row->bits / 8;
    assert (elements % row->block_elements == 0);
    return elements / row->block_elements * row->block_bytes;
}

static void check_promises (const yard_gguf_t *gguf, uint64_t file_size)
{
    const yard_tensors_t *tensors = &gguf->tensors;
    uint64_t end = tensors->data_offset;
    assert (gguf->alignment > 0 && (gguf->alignment & (gguf->alignment - 1)) == 0);
    for (size_t at = 0; at < tensors->count; at++) {
        const yard_tensor_t *tensor = &tensors->items [at];
        assert (tensor->offset >= end && tensor->offset - end < gguf->alignment);
        assert (tensor->offset % gguf->alignment == 0);
        assert (tensor->offset <= file_size && tensor->bytes <= file_size - tensor->offset);
        assert (tensor->rank <= YARD_GGUF_RANK_MAX && tensor->name.size <= YARD_GGUF_NAME_MAX);
        assert (tensor->bytes == bytes_of (tensor));
        assert (tensor == yard_tensors_find (tensors, tensor->name));
        end = tensor->offset + tensor->bytes;
    }
    for (size_t at = 0; at < tensors->metadata_count; at++)
        assert (tensors->metadata [at].key.size > 0);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    uint64_t file_size = size - 2;
    uint64_t more = (uint64_t) data [0] << 8 | data [1];
    if (more > file_size)
        more = file_size;
    for (uint64_t have = 0;;) {
        char *bytes = malloc (more ? more : 1); /* of exactly its size, so that one byte more is an error */
        yard_gguf_t gguf;
        yard_error_t error = { 0 };
        assert (bytes);
        have = more;
        memcpy (bytes, data + 2, have);
        int rc = yard_gguf_parse (bytes, have, file_size, &gguf, &more, &error);
        assert (rc == 0 || (rc == error.code && strchr (error.text, ':')));
        assert (rc || more == 0 || (more > have && more <= file_size));
        if (rc == 0 && more == 0) {
            check_promises (&gguf, file_size);
            yard_gguf_clear (&gguf);
        }
        free (bytes);
        if (rc || more == 0)
            return 0;
    }
}
