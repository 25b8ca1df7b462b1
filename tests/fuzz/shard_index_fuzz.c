// SPDX-License-Identifier: Apache-2.0
/*  shard_index_fuzz.c - any bytes as a shard index: no crash, and every file that comes out is a plain name
 */
#include <assert.h>
#include "actors/formats/shard_index.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    yard_shard_index_t index;
    if (yard_shard_index_parse ((const char *) data, size, &index, NULL) != 0)
        return 0;
    assert (index.count > 0 && index.file_count > 0);
    for (size_t at = 0; at < index.file_count; at++) {
        yard_string_t file = index.files [at];
        assert (file.size > 0 && !memchr (file.data, '/', file.size) && !memchr (file.data, 0, file.size));
        assert (file.data [0] != '.');
    }
    for (size_t at = 0; at < index.count; at++)
        assert (index.entries [at].shard < index.file_count);
    yard_shard_index_clear (&index);
    return 0;
}
