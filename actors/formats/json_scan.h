// SPDX-License-Identifier: Apache-2.0
/*  json_scan.h - reads JSON in one pass over memory, without building anything
 *
 *  For headers of a hundred megabytes: nothing is copied or allocated, strings are views. The grammar is RFC
 *  8259 to the letter; refused beyond it are a lone surrogate in an escape, which no UTF-8 can hold, and
 *  values nested deeper than 125. The caller has proven that the text is UTF-8.
 *
 *  Every function returns false on a text that breaks the grammar; `problem` then says how and `at` stands
 *  where. After a false the scan is over.
 */
#ifndef YARD_FORMATS_JSON_SCAN_H
#define YARD_FORMATS_JSON_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "actors/ground/view.h"

typedef struct {
    const char *at, *end;
    const char *problem;
} yard_scan_t;

/*  A string between its quotes, as it stands in the text. */
typedef struct {
    yard_string_t raw;
    bool escaped; /* holds a backslash: decode before use */
} yard_scan_text_t;

/*  Skips white space; the byte under the cursor, or -1 at the end. */
int yard_scan_peek (yard_scan_t *self);

/*  Skips white space, then exactly this byte. */
bool yard_scan_take (yard_scan_t *self, char byte);

/*  Inside an object or array, before each member: for (bool first = true; yard_scan_more (&scan, '}', &first,
 *  &more) && more;) { … } Sets *ret_more to false when `close` ended it. */
bool yard_scan_more (yard_scan_t *self, char close, bool *first, bool *ret_more);

bool yard_scan_text (yard_scan_t *self, yard_scan_text_t *ret_text);
bool yard_scan_key (yard_scan_t *self, yard_scan_text_t *ret_text); /* a string and its colon */
bool yard_scan_u64 (yard_scan_t *self,
                    uint64_t *ret_number); /* digits alone: no sign, fraction, exponent or leading 0 */
bool yard_scan_value (yard_scan_t *self); /* any value, looked at for grammar only */
bool yard_scan_end (yard_scan_t *self); /* nothing but white space is left */

/*  What an escaped text means, into out; writes at most out_size bytes, returns how many it has (never more
 *  than raw.size). */
size_t yard_scan_decode (yard_scan_text_t text, char *out, size_t out_size);

#endif
