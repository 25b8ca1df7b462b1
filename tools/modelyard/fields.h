// SPDX-License-Identifier: Apache-2.0
/*  fields.h - any record of the messages as "key  value" lines, for people
 */
#ifndef MODELYARD_FIELDS_H
#define MODELYARD_FIELDS_H

#include <stdio.h>
#include "proto/messages.h"

/*  Records inside are dotted ("bus.command"), or not when flat; absent, unset and empty fields are left out;
 *  texts are cleaned. Binaries, maps and lists of records show how many they hold. Names ending in _ms are
 *  times since 1970 if they are that large; total_bytes and bytes also show their size in IEC units. */
void fields_print (FILE *out, const yard_wire_type_t *type, const void *value, bool flat);

#endif
