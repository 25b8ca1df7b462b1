// SPDX-License-Identifier: Apache-2.0
/*  wire_text.c - is this text? what does this word mean?
 *
 *  Promises: reads each byte once; a word that fits no number is text, never a half-read number.
 */
#include <errno.h>
#include <stdint.h>
#include "source.h"
#include "wire_field.h"

#define NUMBER_DIGITS_MAX 63 /* 2^64 has 20 digits, a double in %.17g 24; longer ones are text */

/*  How the first byte of a sequence decides the rest: how many bytes follow, and the bounds of the first of
 *  them (RFC 3629, section 4). */
typedef struct {
    unsigned char first, last, follow, low, high;
} lead_t;

static const lead_t leads [] = {
    { 0xc2, 0xdf, 1, 0x80, 0xbf }, { 0xe0, 0xe0, 2, 0xa0, 0xbf }, { 0xe1, 0xec, 2, 0x80, 0xbf },
    { 0xed, 0xed, 2, 0x80, 0x9f }, { 0xee, 0xef, 2, 0x80, 0xbf }, { 0xf0, 0xf0, 3, 0x90, 0xbf },
    { 0xf1, 0xf3, 3, 0x80, 0xbf }, { 0xf4, 0xf4, 3, 0x80, 0x8f },
};

/*  Bytes of the sequence at the start, 0 for a broken one. */
static size_t sequence (const unsigned char *at, size_t size)
{
    for (size_t i = 0; i < sizeof leads / sizeof leads [0]; i++) {
        const lead_t *lead = &leads [i];
        if (at [0] < lead->first || at [0] > lead->last)
            continue;
        if (size <= lead->follow || at [1] < lead->low || at [1] > lead->high)
            return 0;
        for (size_t j = 2; j <= lead->follow; j++)
            if ((at [j] & 0xc0) != 0x80)
                return 0;
        return lead->follow + (size_t) 1;
    }
    return 0;
}

bool yard_wire_is_text (yard_string_t text)
{
    if (text.size == 0)
        return true;
    const unsigned char *at = (const unsigned char *) text.data, *end = at + text.size;
    while (at < end) {
        uint64_t eight;
        /* Eight ASCII bytes at once: no high bit, and (Mycroft's test) no zero byte. */
        if (end - at >= 8) {
            memcpy (&eight, at, sizeof eight);
            if (((eight | (eight - 0x0101010101010101)) & 0x8080808080808080) == 0) {
                at += 8;
                continue;
            }
        }
        size_t size = *at == 0 ? 0 : *at < 0x80 ? 1 : sequence (at, (size_t) (end - at));
        if (size == 0)
            return false;
        at += size;
    }
    return true;
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
