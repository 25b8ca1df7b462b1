// SPDX-License-Identifier: Apache-2.0
/*  json_line.h - a line of --json that is put together from several messages
 */
#ifndef MODELYARD_JSON_LINE_H
#define MODELYARD_JSON_LINE_H

#include "proto/messages.h"

/*  Appends "key":"text"; bytes that are no text come out as "". */
void json_line_text (yard_buffer_t *line, const char *key, yard_string_t text);

/*  Appends the record's fields without the braces around them; nothing for a record that does not pass its own
 *  rules. */
void json_line_fields (yard_buffer_t *line, const yard_wire_type_t *type, const void *value);

#endif
