// SPDX-License-Identifier: Apache-2.0
/*  wire_hint.h - what an error may suggest
 */
#ifndef YARD_PROTO_WIRE_HINT_H
#define YARD_PROTO_WIRE_HINT_H

#include "wire.h"

/*  The field whose name is nearest to a wrong one (at most a third of its letters changed, added, left out),
 *  or NULL. */
const char *yard_wire_nearest (const yard_wire_type_t *type, yard_string_t name);

/*  "a, b, c" of an enum, cut with dots where size ends. */
void yard_wire_list_words (const yard_wire_type_t *type, char *text, size_t size);

#endif
