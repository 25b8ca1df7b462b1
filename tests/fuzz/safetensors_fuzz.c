// SPDX-License-Identifier: Apache-2.0
/*  safetensors_fuzz.c - any bytes as a safetensors file: no crash, no read beyond the header, and what is
 *  taken keeps the list's promises
 *
 *  The first input byte says how the rest is used: even, it is a file; odd, it is the JSON of a header,
 *  behind a true length, in a file that has as many bytes more as the byte says. The second way gets past the
 *  length at once.
 */
#include <assert.h>
#include "actors/formats/safetensors.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void check_promises (const yard_tensors_t *tensors, uint64_t file_size)
{
    uint64_t end = tensors->data_offset;
    for (size_t at = 0; at < tensors->count; at++) {
        const yard_tensor_t *tensor = &tensors->items [at];
        uint64_t bits = yard_dtype_row (tensor->dtype)->bits;
        for (uint32_t rank = 0; rank < tensor->rank; rank++)
            bits *= tensor->shape [rank];
        assert (tensor->offset == end && bits == 8 * tensor->bytes);
        assert (tensor->bytes <= file_size - end);
        end += tensor->bytes;
        assert (tensor == yard_tensors_find (tensors, tensor->name));
    }
    assert (end == file_size);
}

static void try_file (const char *file, size_t size, uint64_t file_size)
{
    uint64_t needed;
    yard_error_t error = { 0 };
    yard_tensors_t tensors;
    int rc = yard_safetensors_header_size (file, file_size, &needed, &error);
    if (rc == 0 && needed <= size) {
        char *header = malloc (needed); /* of exactly its size, so that one byte more is an error */
        assert (header);
        memcpy (header, file, needed);
        rc = yard_safetensors_parse (header, needed, file_size, &tensors, &error);
        if (rc == 0) {
            check_promises (&tensors, file_size);
            yard_tensors_clear (&tensors);
        }
        free (header);
    }
    assert (rc == 0 || (rc == error.code && strchr (error.text, ':')));
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    size_t json_size = size - 1;
    if (data [0] % 2 == 0) {
        try_file ((const char *) data + 1, json_size, json_size);
        return 0;
    }
    char *file = malloc (8 + json_size);
    assert (file);
    for (int at = 0; at < 8; at++)
        file [at] = (char) ((uint64_t) json_size >> (8 * at));
    memcpy (file + 8, data + 1, json_size);
    try_file (file, 8 + json_size, 8 + json_size + data [0] / 2);
    free (file);
    return 0;
}
