// SPDX-License-Identifier: Apache-2.0
/*  wire_write.c - the write walk: a value and its type in, calls of a sink out
 *
 *  Promises: what it lets through, the read walk takes: sizes, numbers and UTF-8 are checked before a byte is
 *  written. Refuses: nothing for log lines, where a wrong value is the one to be seen.
 */
#include <inttypes.h>
#include "sink.h"
#include "wire_place.h"

typedef struct {
    yard_sink_t *sink;
    bool bounds;
    yard_error_t *error;
} walk_t;

static int write_value (walk_t *walk, yard_wire_spec_t spec, const void *at, const yard_wire_place_t *place);

static int refuse_size (walk_t *walk, yard_wire_spec_t spec, size_t size, const char *unit,
                        const yard_wire_place_t *place)
{
    int code = size > spec.high ? YARD_TOO_LARGE : YARD_INVALID_MESSAGE;
    return yard_wire_refuse (walk->error, code, place, "must have %" PRId64 " to %" PRIu64 " %s, has %zu",
                             spec.low, spec.high, unit, size);
}

static bool outside (walk_t *walk, yard_wire_spec_t spec, size_t size)
{
    return walk->bounds && (size > spec.high || size < (size_t) spec.low);
}

static int write_text (walk_t *walk, yard_wire_spec_t spec, yard_string_t text,
                       const yard_wire_place_t *place)
{
    const yard_sink_class_t *to = walk->sink->class;
    if (outside (walk, spec, text.size))
        return refuse_size (walk, spec, text.size, "bytes", place);
    if (spec.kind != YARD_WIRE_BINARY && walk->bounds && !yard_wire_is_text (text))
        return yard_wire_refuse (walk->error, YARD_INVALID_MESSAGE, place, "is not UTF-8, or has a 0 byte");
    if (spec.kind == YARD_WIRE_STRING)
        to->text (walk->sink, text);
    else if (spec.kind == YARD_WIRE_BINARY)
        to->bytes (walk->sink, text);
    else
        to->secret (walk->sink, text);
    return 0;
}

static int write_integer (walk_t *walk, yard_wire_spec_t spec, int64_t value, const yard_wire_place_t *place)
{
    if (walk->bounds && (value < spec.low || (value > 0 && (uint64_t) value > spec.high)))
        return yard_wire_refuse (walk->error, YARD_INVALID_MESSAGE, place,
                                 "must be %" PRId64 " to %" PRId64 ", is %" PRId64, spec.low,
                                 (int64_t) spec.high, value);
    walk->sink->class->integer (walk->sink, value);
    return 0;
}

static int write_natural (walk_t *walk, yard_wire_spec_t spec, uint64_t value, const yard_wire_place_t *place)
{
    if (walk->bounds && (value > spec.high || value < (uint64_t) spec.low))
        return yard_wire_refuse (walk->error, YARD_INVALID_MESSAGE, place,
                                 "must be %" PRId64 " to %" PRIu64 ", is %" PRIu64, spec.low, spec.high,
                                 value);
    walk->sink->class->natural (walk->sink, value);
    return 0;
}

static int write_real (walk_t *walk, yard_wire_spec_t spec, double value, const yard_wire_place_t *place)
{
    /* Written so that a NaN fails too. */
    if (walk->bounds && !(value >= (double) spec.low && value <= (double) spec.high))
        return yard_wire_refuse (walk->error, YARD_INVALID_MESSAGE, place,
                                 "must be %" PRId64 " to %" PRIu64 ", is %g", spec.low, spec.high, value);
    walk->sink->class->real (walk->sink, value);
    return 0;
}

/*  An element that is unset (a word of a newer yard, read from an answer) is left out like an unset field. */
static bool left_out (const yard_wire_type_t *type, const yard_list_t *list, size_t i)
{
    return type->kind == YARD_WIRE_ENUM &&
           *yard_wire_word (type, yard_wire_enum ((const int *) list->items + i)) == 0;
}

static int write_list (walk_t *walk, yard_wire_spec_t spec, yard_list_t list, const yard_wire_place_t *place)
{
    size_t count = 0;
    for (size_t i = 0; i < list.count; i++)
        count += !left_out (spec.type, &list, i);
    if (outside (walk, spec, count))
        return refuse_size (walk, spec, count, "entries", place);
    walk->sink->class->list (walk->sink, count);
    for (size_t i = 0; i < list.count; i++) {
        if (left_out (spec.type, &list, i))
            continue;
        yard_wire_place_t here = { .parent = place, .index = i };
        const char *item = (const char *) list.items + i * spec.type->size;
        int failed = write_value (walk, yard_wire_element (spec.type), item, &here);
        if (failed)
            return failed;
    }
    walk->sink->class->end_list (walk->sink);
    return 0;
}

static int write_map (walk_t *walk, yard_wire_spec_t spec, yard_map_t map, const yard_wire_place_t *place)
{
    const yard_wire_spec_t text = { .kind = YARD_WIRE_STRING, .high = YARD_TEXT_MAX };
    if (outside (walk, spec, map.count))
        return refuse_size (walk, spec, map.count, "entries", place);
    walk->sink->class->map (walk->sink, map.count);
    for (size_t i = 0; i < map.count; i++) {
        const yard_pair_t *pair = &map.items [i];
        yard_wire_place_t here = { .parent = place, .index = i };
        if (walk->bounds && (pair->key.size > YARD_TEXT_MAX || !yard_wire_is_text (pair->key)))
            return yard_wire_refuse (walk->error, YARD_INVALID_MESSAGE, &here,
                                     "has a key that is no short text");
        for (size_t j = 0; walk->bounds && j < i; j++)
            if (yard_string_equal (pair->key, map.items [j].key))
                return yard_wire_refuse (walk->error, YARD_INVALID_MESSAGE, &here,
                                         "has the key of another entry");
        walk->sink->class->key (walk->sink, pair->key);
        int failed = write_text (walk, text, pair->value, &here);
        if (failed)
            return failed;
    }
    walk->sink->class->end_map (walk->sink);
    return 0;
}

static bool is_present (const yard_wire_field_t *field, const void *value)
{
    if (field->kind == YARD_WIRE_ENUM &&
        *yard_wire_word (field->type (), yard_wire_enum (yard_wire_peek (value, field))) == 0)
        return false;
    return yard_wire_has (value, field);
}

static int write_record (walk_t *walk, const yard_wire_type_t *type, const void *value,
                         const yard_wire_place_t *place)
{
    size_t count = 0;
    for (size_t i = 0; i < type->field_count; i++)
        count += is_present (&type->fields [i], value);
    walk->sink->class->map (walk->sink, count);
    for (size_t i = 0; i < type->field_count; i++) {
        const yard_wire_field_t *field = &type->fields [i];
        if (!is_present (field, value))
            continue;
        walk->sink->class->key (walk->sink, yard_string (field->name));
        yard_wire_place_t here = { .parent = place, .name = field->name };
        int failed = write_value (walk, yard_wire_spec (field), yard_wire_peek (value, field), &here);
        if (failed)
            return failed;
    }
    walk->sink->class->end_map (walk->sink);
    return 0;
}

static int write_value (walk_t *walk, yard_wire_spec_t spec, const void *at, const yard_wire_place_t *place)
{
    switch (spec.kind) {
    case YARD_WIRE_BOOL:
        walk->sink->class->boolean (walk->sink, *(const bool *) at);
        return 0;
    case YARD_WIRE_INT:
        return write_integer (walk, spec, *(const int64_t *) at, place);
    case YARD_WIRE_UINT:
        return write_natural (walk, spec, *(const uint64_t *) at, place);
    case YARD_WIRE_DOUBLE:
        return write_real (walk, spec, *(const double *) at, place);
    case YARD_WIRE_STRING:
    case YARD_WIRE_BINARY:
    case YARD_WIRE_SECRET:
        return write_text (walk, spec, yard_wire_string (at), place);
    case YARD_WIRE_ENUM:
        walk->sink->class->text (walk->sink, yard_string (yard_wire_word (spec.type, yard_wire_enum (at))));
        return 0;
    case YARD_WIRE_RECORD:
        return write_record (walk, spec.type, at, place);
    case YARD_WIRE_LIST:
        return write_list (walk, spec, yard_wire_list (at), place);
    case YARD_WIRE_MAP:
        return write_map (walk, spec, *(const yard_map_t *) at, place);
    }
    return 0;
}

int yard_wire_write (yard_sink_t *sink, const yard_wire_type_t *type, const void *value, bool bounds,
                     yard_error_t *error)
{
    yard_buffer_t *buffer = sink->buffer;
    size_t start = buffer->size;
    bool overflow = buffer->overflow;
    walk_t walk = { sink, bounds, error };
    int failed = write_record (&walk, type, value, NULL);
    if (!failed && bounds && buffer->overflow)
        failed = yard_error (error, YARD_TOO_LARGE,
                             "%s: has more than %zu bytes; ask for fewer rows or shorten its texts",
                             type->name, buffer->limit - start);
    if (failed && !overflow) {
        buffer->size = start;
        buffer->overflow = false;
        if (buffer->capacity)
            buffer->data [start] = 0;
    }
    return failed;
}
