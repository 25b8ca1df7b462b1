// SPDX-License-Identifier: Apache-2.0
/*  json_line.c - a line of --json that is put together from several messages
 *
 *  All text goes through the message engine, so there is one place that knows how JSON is escaped.
 */
#include "json_line.h"

#include "invocation.h"

void json_line_text (yard_buffer_t *line, const char *key, yard_string_t text)
{
    /* A record with one string is the engine's way to write a string: strip what is around it. */
    const yard_wire_field_t field = { .name = "s", .kind = YARD_WIRE_STRING, .high = YARD_MESSAGE_MAX };
    const yard_wire_type_t type = {
        .name = "text", .kind = YARD_WIRE_RECORD, .size = sizeof text, .fields = &field, .field_count = 1
    };
    yard_buffer_t object;
    yard_buffer_init (&object, INVOCATION_JSON_MAX);
    if (yard_wire_json (&type, &text, &object, NULL) == 0) {
        const char *colon = strchr (object.data, ':');
        yard_buffer_printf (line, "\"%s\":%.*s", key,
                            (int) (object.size - (size_t) (colon + 1 - object.data) - 1), colon + 1);
    } else
        yard_buffer_printf (line, "\"%s\":\"\"", key);
    yard_buffer_clear (&object);
}

void json_line_fields (yard_buffer_t *line, const yard_wire_type_t *type, const void *value)
{
    yard_buffer_t object;
    yard_buffer_init (&object, INVOCATION_JSON_MAX);
    if (yard_wire_json (type, value, &object, NULL) == 0)
        yard_buffer_append (line, object.data + 1, object.size - 2);
    yard_buffer_clear (&object);
}
