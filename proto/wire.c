// SPDX-License-Identifier: Apache-2.0
/*  wire.c - what the engine does with a value where it lies: start it, copy it, name its words
 *
 *  Promises: a started or copied value passes its own bounds wherever the rows' defaults do; a copy leans on
 *  nothing but its arena.
 */
#include "wire.h"

#include <assert.h>
#include "wire_field.h"

const yard_wire_type_t *yard_text_type (void)
{
    static const yard_wire_type_t type = {
        .name = "text", .doc = "a short text", .kind = YARD_WIRE_STRING, .size = sizeof (yard_text_t)
    };
    return &type;
}

const yard_wire_type_t *yard_uint_type (void)
{
    static const yard_wire_type_t type = {
        .name = "uint", .doc = "a natural number", .kind = YARD_WIRE_UINT, .size = sizeof (yard_uint_t)
    };
    return &type;
}

/*  The fallback is the row's text: "fp16" has its quotes, and false may have become 0 (it is a macro of
 *  stdbool.h). */
void yard_wire_set_default (const yard_wire_field_t *field, void *value)
{
    void *at = yard_wire_at (value, field);
    yard_string_t word = yard_string (field->fallback);
    switch (field->kind) {
    case YARD_WIRE_BOOL:
        *(bool *) at = yard_string_is (word, "true") || yard_string_is (word, "1");
        break;
    case YARD_WIRE_INT:
        *(int64_t *) at = strtoll (word.data, NULL, 10);
        break;
    case YARD_WIRE_UINT:
        *(uint64_t *) at = strtoull (word.data, NULL, 10);
        break;
    case YARD_WIRE_DOUBLE:
        *(double *) at = strtod (word.data, NULL);
        break;
    case YARD_WIRE_STRING:
        assert (word.size >= 2); /* the two quotes */
        *(yard_string_t *) at = (yard_string_t){ word.data + 1, word.size - 2 };
        break;
    case YARD_WIRE_ENUM:
        *(int *) at = yard_wire_value (field->type (), word);
        break;
    case YARD_WIRE_RECORD:
        yard_wire_init (field->type (), at);
        break;
    default: /* lists, maps, bytes: empty is all that a row can say */
        break;
    }
}

void yard_wire_init (const yard_wire_type_t *type, void *value)
{
    memset (value, 0, type->size);
    for (size_t i = 0; i < type->field_count; i++)
        if (type->fields [i].presence == YARD_WIRE_DEFAULT)
            yard_wire_set_default (&type->fields [i], value);
}

const char *yard_wire_word (const yard_wire_type_t *type, int value)
{
    /* Rows are numbered from 1 in their order (messages.h). */
    if (value < 1 || (size_t) value > type->value_count)
        return "";
    assert (type->values [value - 1].value == value);
    return type->values [value - 1].word;
}

int yard_wire_value (const yard_wire_type_t *type, yard_string_t word)
{
    for (size_t i = 0; i < type->value_count; i++)
        if (yard_string_is (word, type->values [i].word))
            return type->values [i].value;
    return 0;
}

static bool copy_string (yard_arena_t *arena, void *at)
{
    yard_string_t text = yard_wire_string (at);
    if (!text.data)
        return true;
    text = yard_arena_copy (arena, text);
    memcpy (at, &text, sizeof text);
    return text.data != NULL;
}

static bool copy_value (yard_wire_spec_t spec, yard_arena_t *arena, void *at);

static bool copy_list (const yard_wire_type_t *type, yard_arena_t *arena, void *at)
{
    yard_list_t list = yard_wire_list (at);
    if (list.count == 0)
        return true;
    const void *from = list.items;
    list.items = yard_arena_alloc (arena, list.count * type->size);
    if (!list.items)
        return false;
    memcpy (list.items, from, list.count * type->size);
    memcpy (at, &list, sizeof list);
    for (size_t i = 0; i < list.count; i++)
        if (!copy_value (yard_wire_element (type), arena, (char *) list.items + i * type->size))
            return false;
    return true;
}

static bool copy_map (yard_arena_t *arena, yard_map_t *map)
{
    if (map->count == 0)
        return true;
    const yard_pair_t *from = map->items;
    map->items = yard_arena_alloc (arena, map->count * sizeof *map->items);
    if (!map->items)
        return false;
    memcpy (map->items, from, map->count * sizeof *map->items);
    for (size_t i = 0; i < map->count; i++)
        if (!copy_string (arena, &map->items [i].key) || !copy_string (arena, &map->items [i].value))
            return false;
    return true;
}

/*  at holds a shallow copy, which becomes a deep one; false when the arena is full. */
static bool copy_value (yard_wire_spec_t spec, yard_arena_t *arena, void *at)
{
    bool done = true;
    switch (spec.kind) {
    case YARD_WIRE_STRING:
    case YARD_WIRE_BINARY:
    case YARD_WIRE_SECRET:
        return copy_string (arena, at);
    case YARD_WIRE_LIST:
        return copy_list (spec.type, arena, at);
    case YARD_WIRE_MAP:
        return copy_map (arena, at);
    case YARD_WIRE_RECORD:
        for (size_t i = 0; done && i < spec.type->field_count; i++)
            done = copy_value (yard_wire_spec (&spec.type->fields [i]), arena,
                               yard_wire_at (at, &spec.type->fields [i]));
        return done;
    default:
        return true;
    }
}

int yard_wire_copy (const yard_wire_type_t *type, const void *value, yard_arena_t *arena, void *ret_value)
{
    memmove (ret_value, value, type->size);
    if (copy_value ((yard_wire_spec_t){ .kind = type->kind, .type = type }, arena, ret_value))
        return 0;
    memset (ret_value, 0, type->size);
    return YARD_TOO_LARGE;
}
