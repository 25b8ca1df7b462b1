// SPDX-License-Identifier: Apache-2.0
/*  manifest_fuzz.c - any bytes as .modelyard.json: refused with a sentence, or a manifest that is written and read
 *  as the same, and that proves nothing where there are no files
 */
#include <assert.h>
#include "actors/installer/installer.h"

#define ARENA_MAX (64 * 1024 * 1024)
#define TEXT_MAX (16 * 1024 * 1024)
#define NOWHERE "/nowhere/modelyard" /* no path that a manifest names may lead out of it */

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/*  write, read, write: the text of both is the same. */
static void round_trip (const manifest_t *manifest, yard_arena_t *arena)
{
    yard_buffer_t first, second;
    manifest_t again;
    yard_buffer_init (&first, TEXT_MAX);
    yard_buffer_init (&second, TEXT_MAX);
    int failed = yard_wire_json (manifest_type (), manifest, &first, NULL);
    assert (!failed);
    failed =
        yard_wire_from_json (manifest_type (), first.data, first.size, YARD_WIRE_ASK, arena, &again, NULL);
    assert (!failed);
    failed = yard_wire_json (manifest_type (), &again, &second, NULL);
    assert (!failed && first.size == second.size && memcmp (first.data, second.data, first.size) == 0);
    yard_buffer_clear (&first);
    yard_buffer_clear (&second);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    yard_arena_t *arena = yard_arena_new (ARENA_MAX);
    yard_error_t error = { 0 };
    manifest_t manifest;
    int failed = yard_wire_from_json (manifest_type (), (const char *) data, size, YARD_WIRE_ASK, arena,
                                      &manifest, &error);
    if (failed) {
        assert (error.code == failed && error.text [0]);
    } else {
        round_trip (&manifest, arena);
        failed = installer_manifest_prove (NOWHERE, &manifest, arena, &error);
        assert (failed && error.code == failed);
    }
    yard_arena_destroy (&arena);
    return 0;
}
