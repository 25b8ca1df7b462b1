// SPDX-License-Identifier: Apache-2.0
/*  wire_text.c - is this text? what does this word mean?
 *
 *  Promises: a word that fits no number is text, never a half-read number.
 */
#include <errno.h>
#include <stdint.h>
#include "actors/ground/utf8.h"
#include "source.h"
#include "wire_field.h"

#define NUMBER_DIGITS_MAX 63 /* 2^64 has 20 digits, a double in %.17g 24; longer ones are text */

bool yard_wire_is_text (yard_string_t text)
{
    return text.size == 0 ||
           (yard_utf8_valid (text.data, text.size) == text.size && !memchr (text.data, 0, text.size));
}

static bool looks_like_number (yard_string_t word, bool fraction)
{
    size_t i = word.size && (word.data [0] == '-' || word.data [0] == '+');
    if (i == word.size || word.size > NUMBER_DIGITS_MAX)
        return false;
    for (; i < word.size; i++)
        if ((word.data [i] < '0' || word.data [i] > '9') && !(fraction && strchr (".eE+-", word.data [i])))
            return false;
    return true;
}

/*  A word in digits as an item; false when it is none or does not fit. */
static bool number (yard_string_t word, bool fraction, yard_item_t *ret)
{
    char text [NUMBER_DIGITS_MAX + 1] = { 0 };
    char *end;
    if (!looks_like_number (word, fraction) || memchr (word.data, 0, word.size))
        return false;
    memcpy (text, word.data, word.size);
    errno = 0;
    if (fraction) {
        *ret = (yard_item_t){ .kind = YARD_ITEM_REAL, .real = strtod (text, &end) };
    } else if (text [0] == '-') {
        *ret = (yard_item_t){ .kind = YARD_ITEM_NEGATIVE, .integer = strtoll (text, &end, 10) };
        if (ret->integer == 0)
            *ret = (yard_item_t){ .kind = YARD_ITEM_NATURAL };
    } else {
        *ret = (yard_item_t){ .kind = YARD_ITEM_NATURAL, .natural = strtoull (text, &end, 10) };
    }
    return errno == 0 && *end == 0;
}

void yard_source_plain (yard_string_t word, yard_wire_kind_t wanted, yard_item_t *ret)
{
    bool known = false;
    if (wanted == YARD_WIRE_BOOL && (yard_string_is (word, "true") || yard_string_is (word, "false"))) {
        *ret = (yard_item_t){ .kind = YARD_ITEM_BOOLEAN, .boolean = word.size == 4 };
        known = true;
    } else if (wanted == YARD_WIRE_INT || wanted == YARD_WIRE_UINT) {
        known = number (word, false, ret);
    } else if (wanted == YARD_WIRE_DOUBLE) {
        known = number (word, true, ret);
    }
    if (!known)
        *ret = (yard_item_t){ .kind = YARD_ITEM_TEXT, .text = word };
}
