// SPDX-License-Identifier: Apache-2.0
/*  directory_fuzz.c - any bytes as the directory of a loaded model: what opens is within its bytes, and can be
 *  written again
 */
#include <assert.h>
#include "proto/directory.h"

#define FILE_MAX (64 * 1024 * 1024)

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/*  Reads every byte that the row leads to. */
static uint64_t touch (const yard_tensor_row_t *row)
{
    uint64_t sum = 0;
    for (size_t at = 0; at < row->name.size; at++)
        sum += (uint8_t) row->name.data [at];
    for (size_t at = 0; at < row->dtype.size; at++)
        sum += (uint8_t) row->dtype.data [at];
    for (uint32_t at = 0; at < row->rank; at++)
        sum += row->shape [at] + (row->strides ? row->strides [at] : 0);
    return sum;
}

static void write_again (const yard_directory_t *directory)
{
    yard_directory_writer_t *writer = yard_directory_writer_new ();
    yard_buffer_t bytes;
    yard_directory_t again;
    yard_buffer_init (&bytes, FILE_MAX);
    int failed = 0;
    for (size_t at = 0; at < directory->count && !failed; at++) {
        yard_tensor_row_t row = yard_directory_get (directory, at);
        failed = yard_directory_writer_add (writer, &row, NULL);
    }
    assert (!failed);
    /* Rows may share names and shapes; written one by one they may be too many. */
    if (yard_directory_writer_finish (writer, &bytes, NULL) == 0) {
        failed = yard_directory_open (&again, bytes.data, bytes.size, NULL);
        assert (!failed && again.count == directory->count);
        for (size_t at = 0; at < again.count; at++) {
            yard_tensor_row_t one = yard_directory_get (directory, at),
                              other = yard_directory_get (&again, at);
            assert (touch (&one) == touch (&other) && one.offset == other.offset && one.bytes == other.bytes);
        }
    }
    yard_buffer_clear (&bytes);
    yard_directory_writer_destroy (&writer);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    static const uint64_t regions [] = { 64, UINT64_MAX, 0 };
    uint8_t *bytes = malloc (size + !size); /* of exactly their size, so that one byte more is an error */
    assert (bytes);
    memcpy (bytes, data, size);
    yard_directory_t directory;
    yard_error_t error = { 0 };
    int failed = yard_directory_open (&directory, bytes, size, &error);
    if (failed) {
        assert (error.code == failed && error.text [0]);
    } else {
        for (size_t at = 0; at < directory.count; at++) {
            yard_tensor_row_t row = yard_directory_get (&directory, at);
            if (yard_directory_fits (&row, regions, sizeof regions / sizeof regions [0]))
                assert (row.bytes <= regions [row.region] && row.offset <= regions [row.region] - row.bytes);
        }
        write_again (&directory);
    }
    free (bytes);
    return 0;
}
