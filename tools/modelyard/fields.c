// SPDX-License-Identifier: Apache-2.0
/*  fields.c - any record of the messages as "key  value" lines, for people
 */
#include "fields.h"

#include "actors/ground/clock.h"
#include "text.h"

#define KEY_MAX 128
#define KEY_COLUMNS 26
#define LINE_MAX_BYTES \
    (2 * YARD_TEXT_MAX) /* a path or URL; longer descriptions are cut here and whole in --json */
#define WALL_MS_MIN 100000000000 /* 1973: what is larger and ends in _ms is a time, not a span */

static bool ends_with (const char *text, const char *end)
{
    size_t size = strlen (text), end_size = strlen (end);
    return size >= end_size && strcmp (text + size - end_size, end) == 0;
}

static void number (char *into, size_t size, const char *name, uint64_t value)
{
    char text [YARD_TIME_TEXT_SIZE];
    if (ends_with (name, "_ms") && value > WALL_MS_MIN && value < INT64_MAX) {
        yard_time_text ((int64_t) value, text);
        snprintf (into, size, "%s", text);
    } else if (ends_with (name, "bytes") && value >= 1024)
        snprintf (into, size, "%llu (%s)", (unsigned long long) value, text_size (text, sizeof text, value));
    else
        snprintf (into, size, "%llu", (unsigned long long) value);
}

static void list (char *into, size_t size, const yard_wire_type_t *type, yard_list_t items)
{
    yard_buffer_t line;
    yard_buffer_init (&line, size - 1);
    for (size_t i = 0; i < items.count && type->kind != YARD_WIRE_RECORD; i++) {
        const char *at = (const char *) items.items + i * type->size;
        char clean [YARD_TEXT_MAX + 1];
        yard_buffer_text (&line, i ? ", " : "");
        if (type->kind == YARD_WIRE_ENUM)
            yard_buffer_text (&line, yard_wire_word (type, *(const int *) at));
        else if (type->kind == YARD_WIRE_STRING)
            yard_buffer_text (&line, text_clean (clean, sizeof clean, *(const yard_string_t *) at));
        else
            yard_buffer_printf (&line, "%llu", *(const unsigned long long *) at);
    }
    if (type->kind == YARD_WIRE_RECORD && items.count)
        yard_buffer_printf (&line, "%zu of %s", items.count, type->name);
    snprintf (into, size, "%s", line.data);
    yard_buffer_clear (&line);
}

/*  The value of one field as text; "" = nothing to show. */
static void show (char *into, size_t size, const yard_wire_field_t *field, const void *at)
{
    into [0] = 0;
    switch (field->kind) {
    case YARD_WIRE_BOOL:
        snprintf (into, size, "%s", *(const bool *) at ? "true" : "false");
        break;
    case YARD_WIRE_INT:
        if (*(const int64_t *) at < 0)
            snprintf (into, size, "%lld", *(const long long *) at);
        else
            number (into, size, field->name, (uint64_t) * (const int64_t *) at);
        break;
    case YARD_WIRE_UINT:
        number (into, size, field->name, *(const uint64_t *) at);
        break;
    case YARD_WIRE_DOUBLE:
        snprintf (into, size, "%g", *(const double *) at);
        break;
    case YARD_WIRE_ENUM:
        snprintf (into, size, "%s", yard_wire_word (field->type (), *(const int *) at));
        break;
    case YARD_WIRE_STRING:
        text_clean (into, size, *(const yard_string_t *) at);
        break;
    case YARD_WIRE_LIST:
        list (into, size, field->type (), *(const yard_list_t *) at);
        break;
    case YARD_WIRE_BINARY:
        snprintf (into, size, "%zu bytes", ((const yard_string_t *) at)->size);
        break;
    case YARD_WIRE_MAP:
        snprintf (into, size, "%zu entries", ((const yard_map_t *) at)->count);
        break;
    case YARD_WIRE_RECORD:
    case YARD_WIRE_SECRET:
        break;
    }
}

static void print (FILE *out, const yard_wire_type_t *type, const void *value, bool flat, const char *prefix)
{
    for (size_t i = 0; i < type->field_count; i++) {
        const yard_wire_field_t *field = &type->fields [i];
        const char *at = (const char *) value + field->offset;
        char key [KEY_MAX], line [LINE_MAX_BYTES];
        if (field->presence == YARD_WIRE_OPTIONAL &&
            !*(const bool *) ((const char *) value + field->has_offset))
            continue;
        snprintf (key, sizeof key, "%s%s%s", flat ? "" : prefix, flat || !*prefix ? "" : ".", field->name);
        if (field->kind == YARD_WIRE_RECORD) {
            print (out, field->type (), at, flat, key);
            continue;
        }
        show (line, sizeof line, field, at);
        if (line [0])
            fprintf (out, "%-*s  %s\n", KEY_COLUMNS, key, line);
    }
}

void fields_print (FILE *out, const yard_wire_type_t *type, const void *value, bool flat)
{
    print (out, type, value, flat, "");
}
