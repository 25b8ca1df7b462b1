// SPDX-License-Identifier: Apache-2.0
/*  wire_fuzz.c - any bytes as any message: what is read packs again, and reads as the same
 *
 *  The first two bytes choose the type, so one corpus serves all of them.
 */
#include <assert.h>
#include "proto/messages.h"

#define ARENA_MAX (16 * 1024 * 1024)
#define MEMORY_FACTOR 1024 /* bytes of memory per byte read: the largest record in a list, empty */

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static const yard_wire_type_t *choose (unsigned number)
{
    const yard_wire_type_t *const *types = yard_types ();
    size_t count = 0;
    while (types [count])
        count++;
    const yard_wire_type_t *type = types [number % count];
    return type->kind == YARD_WIRE_RECORD ? type : job_type ();
}

/*  pack, unpack, pack: the bytes of both packs are the same. */
static void round_trip (const yard_wire_type_t *type, void *value, yard_arena_t *arena)
{
    yard_buffer_t first, second;
    yard_buffer_init (&first, 2 * YARD_MESSAGE_MAX);
    yard_buffer_init (&second, 2 * YARD_MESSAGE_MAX);
    int failed = yard_wire_pack (type, value, &first, NULL);
    assert (!failed);
    failed = yard_wire_unpack (type, first.data, first.size, YARD_WIRE_ASK, arena, value, NULL);
    assert (!failed);
    failed = yard_wire_pack (type, value, &second, NULL);
    assert (!failed && first.size == second.size && memcmp (first.data, second.data, first.size) == 0);
    yard_buffer_clear (&first);
    yard_buffer_clear (&second);
}

static void log_and_json (const yard_wire_type_t *type, const void *value)
{
    yard_buffer_t text;
    yard_buffer_init (&text, 8 * YARD_MESSAGE_MAX);
    yard_wire_log (type, value, &text);
    yard_wire_json (type, value, &text, NULL);
    yard_buffer_clear (&text);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const yard_wire_type_t *type = choose (data [0] | (unsigned) data [1] << 8);
    yard_arena_t *arena = yard_arena_new (ARENA_MAX);
    void *value = malloc (type->size);
    assert (value);
    if (yard_wire_unpack (type, data + 2, size - 2, YARD_WIRE_ASK, arena, value, NULL) == 0)
        round_trip (type, value, arena);
    assert (yard_arena_used (arena) <= MEMORY_FACTOR * size * 2);
    if (yard_wire_unpack (type, data + 2, size - 2, YARD_WIRE_ANSWER, arena, value, NULL) == 0)
        log_and_json (type, value);
    if (yard_wire_from_json (type, (const char *) data + 2, size - 2, YARD_WIRE_ASK, arena, value, NULL) == 0)
        round_trip (type, value, arena);
    free (value);
    yard_arena_destroy (&arena);
    return 0;
}
