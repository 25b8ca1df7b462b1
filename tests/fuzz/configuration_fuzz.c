// SPDX-License-Identifier: Apache-2.0
/*  configuration_fuzz.c - any bytes as modelyard.yaml: refused with a sentence, or a configuration that packs
 */
#include <assert.h>
#include "proto/messages.h"

#define ARENA_MAX (4 * 1024 * 1024)

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    yard_arena_t *arena = yard_arena_new (ARENA_MAX);
    yard_error_t error = { 0 };
    configuration_t values;
    int failed = yard_wire_from_yaml (configuration_type (), (const char *) data, size, YARD_WIRE_CONFIG,
                                      arena, &values, &error);
    if (failed) {
        assert (error.code == failed && error.text [0]);
    } else {
        yard_buffer_t bytes;
        yard_buffer_init (&bytes, YARD_MESSAGE_MAX);
        failed = yard_wire_pack (configuration_type (), &values, &bytes, NULL);
        assert (!failed);
        yard_buffer_clear (&bytes);
    }
    yard_arena_destroy (&arena);
    return 0;
}
