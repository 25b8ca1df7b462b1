// SPDX-License-Identifier: Apache-2.0
/*  source_json.c - items out of JSON text, by way of jansson's tree
 *
 *  Promises: texts are copied into the arena; the tree is gone when the value is read. Refuses: a key twice
 *  in an object, \u0000, more than one value (all three by jansson), more than YARD_TEXT_SOURCE_MAX bytes.
 */
#include <jansson.h>
#include "base64.h"
#include "source.h"

/*  One open object or array. */
typedef struct {
    json_t *of;
    void *pair; /* of an object: where its iterator stands */
    size_t index; /* of an array: the next entry */
} level_t;

typedef struct {
    yard_source_t base;
    json_t *value; /* the root, then the value of the last key */
    level_t levels [YARD_SOURCE_DEPTH_MAX];
    size_t depth;
} json_source_t;

static bool broken (yard_source_t *self, const char *problem)
{
    self->problem = problem;
    return false;
}

static bool enter (json_source_t *self, yard_item_kind_t kind, json_t *of, yard_item_t *ret)
{
    if (self->depth == YARD_SOURCE_DEPTH_MAX)
        return broken (&self->base, "is nested too deep");
    self->levels [self->depth++] = (level_t){ .of = of };
    *ret = (yard_item_t){ .kind = kind,
                          .count = kind == YARD_ITEM_MAP ? json_object_size (of) : json_array_size (of) };
    return true;
}

/*  Bytes come as base64, integers beyond 2^53 as digits (sink_json.c). */
static bool text_item (json_source_t *self, yard_wire_kind_t wanted, const json_t *from, yard_item_t *ret)
{
    yard_string_t text = { json_string_value (from), json_string_length (from) };
    if (wanted == YARD_WIRE_INT || wanted == YARD_WIRE_UINT) {
        yard_source_plain (text, wanted, ret);
        return true;
    }
    if (wanted == YARD_WIRE_BINARY) {
        *ret = (yard_item_t){ .kind = YARD_ITEM_BYTES };
        return yard_base64_read (text, self->base.arena, &ret->text) ||
               broken (&self->base, "must be base64 text");
    }
    *ret = (yard_item_t){ .kind = YARD_ITEM_TEXT, .text = yard_arena_copy (self->base.arena, text) };
    return ret->text.data || broken (&self->base, "does not fit into the memory of one request");
}

static bool next (yard_source_t *base, yard_wire_kind_t wanted, yard_item_t *ret)
{
    json_source_t *self = (json_source_t *) base;
    level_t *level = self->depth ? &self->levels [self->depth - 1] : NULL;
    json_t *from =
        level && json_is_array (level->of) ? json_array_get (level->of, level->index++) : self->value;
    switch (json_typeof (from)) {
    case JSON_OBJECT:
        return enter (self, YARD_ITEM_MAP, from, ret);
    case JSON_ARRAY:
        return enter (self, YARD_ITEM_LIST, from, ret);
    case JSON_STRING:
        return text_item (self, wanted, from, ret);
    case JSON_INTEGER:
        if (json_integer_value (from) < 0)
            *ret = (yard_item_t){ .kind = YARD_ITEM_NEGATIVE, .integer = json_integer_value (from) };
        else
            *ret =
                (yard_item_t){ .kind = YARD_ITEM_NATURAL, .natural = (uint64_t) json_integer_value (from) };
        return true;
    case JSON_REAL:
        *ret = (yard_item_t){ .kind = YARD_ITEM_REAL, .real = json_real_value (from) };
        return true;
    case JSON_TRUE:
    case JSON_FALSE:
        *ret = (yard_item_t){ .kind = YARD_ITEM_BOOLEAN, .boolean = json_is_true (from) };
        return true;
    case JSON_NULL:
        break;
    }
    *ret = (yard_item_t){ .kind = YARD_ITEM_NOTHING };
    return true;
}

static bool key (yard_source_t *base, yard_string_t *ret)
{
    json_source_t *self = (json_source_t *) base;
    level_t *level = &self->levels [self->depth - 1];
    level->pair = level->pair ? json_object_iter_next (level->of, level->pair) : json_object_iter (level->of);
    self->value = json_object_iter_value (level->pair);
    /* jansson takes no 0 byte in a key, so its length is strlen's. */
    *ret = yard_arena_copy (base->arena, yard_string (json_object_iter_key (level->pair)));
    return ret->data || broken (base, "does not fit into the memory of one request");
}

static bool skip (yard_source_t *base)
{
    (void) base; /* the next key stands beside it */
    return true;
}

static void leave (yard_source_t *base)
{
    ((json_source_t *) base)->depth--;
}

int yard_wire_from_json (const yard_wire_type_t *type, const char *text, size_t size,
                         yard_wire_reader_t reader, yard_arena_t *arena, void *ret_value, yard_error_t *error)
{
    static const yard_source_class_t class = { .next = next, .key = key, .skip = skip, .leave = leave };
    json_source_t self = { .base = { .class = &class, .arena = arena } };
    json_error_t place;
    memset (ret_value, 0, type->size);
    if (size > YARD_TEXT_SOURCE_MAX)
        return yard_error (error, YARD_TOO_LARGE, "%s: the JSON has %zu bytes, it may have %d", type->name,
                           size, YARD_TEXT_SOURCE_MAX);
    json_t *root = json_loadb (text ? text : "", size, JSON_REJECT_DUPLICATES, &place);
    if (!root)
        return yard_error (error, reader == YARD_WIRE_CONFIG ? YARD_INVALID_CONFIG : YARD_INVALID_MESSAGE,
                           "%s: no JSON object: %s (line %d, column %d)", type->name, place.text, place.line,
                           place.column);
    self.value = root;
    int failed = yard_wire_read (&self.base, type, reader, arena, ret_value, error);
    json_decref (root);
    return failed;
}
