// SPDX-License-Identifier: Apache-2.0
/*  wire_place.h - where a walk is, as a chain on the stack that costs nothing until an error needs its text
 */
#ifndef YARD_PROTO_WIRE_PLACE_H
#define YARD_PROTO_WIRE_PLACE_H

#include "wire_field.h"

typedef struct yard_wire_place_t {
    const struct yard_wire_place_t *parent; /* NULL: the message itself */
    const char *name; /* of a field; NULL for an entry of a list or map */
    size_t index;
} yard_wire_place_t;

/*  "children [3].url: must be …": the place, then the sentence. Returns code. The whole is "the message" or
 *  "the configuration". */
int yard_wire_refuse (yard_error_t *error, int code, const yard_wire_place_t *place, const char *format, ...)
    __attribute__ ((format (printf, 4, 5)));

#endif
