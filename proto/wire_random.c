// SPDX-License-Identifier: Apache-2.0
/*  wire_random.c - a random value that keeps its type's rules, for tests and fuzz corpora
 *
 *  Bounds come often, since mistakes live there; long texts and lists come seldom, so that a value stays far
 *  below the size of a message.
 */
#include <assert.h>
#include "wire_field.h"

#define SHORT_TEXT 40 /* bytes: most texts */
#define LONG_TEXT 3000 /* the seldom long one; longer than 16-bit sizes are tested by hand */
#define SHORT_LIST 3 /* entries: most lists; three levels of them stay under a hundred values */
#define LONG_LIST 20 /* more than the 15 that fit into a fixarray's head */

typedef struct {
    yard_random_t *random;
    yard_arena_t *arena;
} walk_t;

static void draw_value (walk_t *walk, yard_wire_spec_t spec, void *at);

static bool one_in (walk_t *walk, uint64_t n)
{
    return yard_random_below (walk->random, n) == 0;
}

static void *memory (walk_t *walk, size_t size)
{
    void *data = yard_arena_alloc (walk->arena, size);
    assert (data); /* the test's arena is too small */
    return data;
}

/*  From low to high, both in reach; a bound each eighth time. */
static uint64_t draw_between (walk_t *walk, uint64_t low, uint64_t high)
{
    if (one_in (walk, 8))
        return low;
    if (one_in (walk, 8))
        return high;
    uint64_t span = high - low;
    if (one_in (walk, 2) && span > 255)
        span = 255; /* small numbers have other heads than large ones */
    return low + (span == UINT64_MAX ? yard_random_next (walk->random)
                                     : yard_random_below (walk->random, span + 1));
}

static size_t draw_size (walk_t *walk, yard_wire_spec_t spec, size_t usual, size_t seldom)
{
    size_t low = (size_t) spec.low, most = one_in (walk, 16) ? seldom : usual;
    size_t high = spec.high < most ? (size_t) spec.high : most;
    return high <= low ? low : low + (size_t) yard_random_below (walk->random, high - low + 1);
}

/*  One character of at most room bytes: mostly ASCII, else two, three or four bytes. */
static size_t draw_character (walk_t *walk, char *at, size_t room)
{
    static const char *const wide [] = { "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\xa6\x8a", "\x7f", "\"", "\\",
                                         "\n",       "\x01" };
    const char *text = wide [yard_random_below (walk->random, sizeof wide / sizeof wide [0])];
    if (one_in (walk, 8) && strlen (text) <= room) {
        memcpy (at, text, strlen (text));
        return strlen (text);
    }
    *at = (char) (' ' + yard_random_below (walk->random, 0x7f - ' '));
    return 1;
}

static yard_string_t draw_text (walk_t *walk, yard_wire_spec_t spec)
{
    size_t size = draw_size (walk, spec, SHORT_TEXT, LONG_TEXT);
    char *data = memory (walk, size + 1);
    if (spec.kind == YARD_WIRE_BINARY)
        yard_random_bytes (walk->random, data, size);
    for (size_t at = 0; spec.kind != YARD_WIRE_BINARY && at < size;)
        at += draw_character (walk, data + at, size - at);
    return (yard_string_t){ data, size };
}

static yard_list_t draw_list (walk_t *walk, yard_wire_spec_t spec)
{
    yard_list_t list = { .count = draw_size (walk, spec, SHORT_LIST,
                                             spec.type->kind == YARD_WIRE_RECORD ? SHORT_LIST : LONG_LIST) };
    list.items = list.count ? memory (walk, list.count * spec.type->size) : NULL;
    for (size_t i = 0; i < list.count; i++)
        draw_value (walk, yard_wire_element (spec.type), (char *) list.items + i * spec.type->size);
    return list;
}

/*  Keys begin with their number, so no two are equal. */
static yard_map_t draw_map (walk_t *walk, yard_wire_spec_t spec)
{
    const yard_wire_spec_t text = { .kind = YARD_WIRE_STRING, .high = YARD_TEXT_MAX };
    yard_map_t map = { .count = draw_size (walk, spec, SHORT_LIST, LONG_LIST) };
    map.items = map.count ? memory (walk, map.count * sizeof *map.items) : NULL;
    for (size_t i = 0; i < map.count; i++) {
        map.items [i].key = yard_string (yard_arena_printf (walk->arena, "%zu key", i));
        map.items [i].value = draw_text (walk, text);
    }
    return map;
}

static void draw_record (walk_t *walk, const yard_wire_type_t *type, void *value)
{
    yard_wire_init (type, value);
    for (size_t i = 0; i < type->field_count; i++) {
        const yard_wire_field_t *field = &type->fields [i];
        if (field->presence != YARD_WIRE_REQUIRED && one_in (walk, 2))
            continue;
        yard_wire_set_has (value, field);
        draw_value (walk, yard_wire_spec (field), yard_wire_at (value, field));
    }
}

static void draw_value (walk_t *walk, yard_wire_spec_t spec, void *at)
{
    switch (spec.kind) {
    case YARD_WIRE_BOOL:
        *(bool *) at = one_in (walk, 2);
        break;
    case YARD_WIRE_INT: /* counted from low, so that the span is never negative */
        *(int64_t *) at =
            (int64_t) ((uint64_t) spec.low + draw_between (walk, 0, spec.high - (uint64_t) spec.low));
        break;
    case YARD_WIRE_UINT:
        *(uint64_t *) at = draw_between (walk, (uint64_t) spec.low, spec.high);
        break;
    case YARD_WIRE_DOUBLE: /* quarters: not whole, and exact below 2^51 */
        *(double *) at = (double) draw_between (walk, (uint64_t) spec.low, spec.high / 8) + 0.25;
        break;
    case YARD_WIRE_STRING:
    case YARD_WIRE_BINARY:
    case YARD_WIRE_SECRET:
        *(yard_string_t *) at = draw_text (walk, spec);
        break;
    case YARD_WIRE_ENUM:
        *(int *) at = spec.type->values [yard_random_below (walk->random, spec.type->value_count)].value;
        break;
    case YARD_WIRE_RECORD:
        draw_record (walk, spec.type, at);
        break;
    case YARD_WIRE_LIST: {
        yard_list_t list = draw_list (walk, spec);
        memcpy (at, &list, sizeof list);
        break;
    }
    case YARD_WIRE_MAP:
        *(yard_map_t *) at = draw_map (walk, spec);
        break;
    }
}

void yard_wire_random (const yard_wire_type_t *type, yard_random_t *random, yard_arena_t *arena,
                       void *ret_value)
{
    walk_t walk = { random, arena };
    draw_value (&walk, (yard_wire_spec_t){ .kind = type->kind, .type = type }, ret_value);
}
