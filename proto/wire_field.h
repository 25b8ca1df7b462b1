// SPDX-License-Identifier: Apache-2.0
/*  wire_field.h - reaching into a struct by its row, for the files of the engine
 *
 *  Values are moved with memcpy: the engine knows a list's or an enum's memory only by its table, not by its
 *  C type.
 */
#ifndef YARD_PROTO_WIRE_FIELD_H
#define YARD_PROTO_WIRE_FIELD_H

#include "wire.h"

/*  What one value may be: a field's row, or the bounds of a list's element. */
typedef struct {
    yard_wire_kind_t kind;
    const yard_wire_type_t *type; /* ENUM, RECORD, LIST */
    int64_t low;
    uint64_t high;
} yard_wire_spec_t;

static inline yard_wire_spec_t yard_wire_spec (const yard_wire_field_t *field)
{
    return (yard_wire_spec_t){ field->kind, field->type ? field->type () : NULL, field->low, field->high };
}

/*  An element of a list: text and numbers have no row of their own, so their bounds are fixed. */
static inline yard_wire_spec_t yard_wire_element (const yard_wire_type_t *type)
{
    return (yard_wire_spec_t){ type->kind, type, 0,
                               type->kind == YARD_WIRE_STRING ? YARD_TEXT_MAX : YARD_SAFE_INTEGER };
}

static inline void *yard_wire_at (void *value, const yard_wire_field_t *field)
{
    return (char *) value + field->offset;
}

static inline const void *yard_wire_peek (const void *value, const yard_wire_field_t *field)
{
    return (const char *) value + field->offset;
}

static inline bool yard_wire_has (const void *value, const yard_wire_field_t *field)
{
    bool has = true;
    if (field->presence == YARD_WIRE_OPTIONAL)
        memcpy (&has, (const char *) value + field->has_offset, sizeof has);
    return has;
}

static inline void yard_wire_set_has (void *value, const yard_wire_field_t *field)
{
    const bool has = true;
    if (field->presence == YARD_WIRE_OPTIONAL)
        memcpy ((char *) value + field->has_offset, &has, sizeof has);
}

static inline int yard_wire_enum (const void *at)
{
    int value;
    memcpy (&value, at, sizeof value);
    return value;
}

static inline yard_list_t yard_wire_list (const void *at)
{
    yard_list_t list;
    memcpy (&list, at, sizeof list);
    return list;
}

static inline yard_string_t yard_wire_string (const void *at)
{
    yard_string_t text;
    memcpy (&text, at, sizeof text);
    return text;
}

/*  DEFAULT's value into a zeroed field. */
void yard_wire_set_default (const yard_wire_field_t *field, void *value);

/*  UTF-8 (RFC 3629: shortest forms, no surrogates, up to U+10FFFF) without 0 bytes. */
bool yard_wire_is_text (yard_string_t text);

#endif
