// SPDX-License-Identifier: Apache-2.0
/*  utf8.c - the table of RFC 3629, section 4, walked; eight ASCII bytes in one step, since headers are nearly
 *  all ASCII
 */
#include "actors/ground/utf8.h"

#include <stdint.h>
#include "actors/ground/view.h"

/*  A lead byte in [lead_low, lead_high] is followed by a byte in [low, high] and then `rest` bytes in [0x80,
 *  0xbf]. */
static const struct {
    unsigned char lead_low, lead_high, low, high, rest;
} forms [] = {
    { 0xc2, 0xdf, 0x80, 0xbf, 0 }, { 0xe0, 0xe0, 0xa0, 0xbf, 1 }, { 0xe1, 0xec, 0x80, 0xbf, 1 },
    { 0xed, 0xed, 0x80, 0x9f, 1 }, { 0xee, 0xef, 0x80, 0xbf, 1 }, { 0xf0, 0xf0, 0x90, 0xbf, 2 },
    { 0xf1, 0xf3, 0x80, 0xbf, 2 }, { 0xf4, 0xf4, 0x80, 0x8f, 2 },
};

/*  Bytes of the character at data, whose lead byte is not ASCII; 0 when it is none. */
static size_t character (const unsigned char *data, size_t size)
{
    for (size_t at = 0; at < sizeof forms / sizeof forms [0]; at++) {
        if (data [0] < forms [at].lead_low || data [0] > forms [at].lead_high)
            continue;
        size_t length = (size_t) forms [at].rest + 2;
        if (size < length || data [1] < forms [at].low || data [1] > forms [at].high)
            return 0;
        for (size_t next = 2; next < length; next++)
            if ((data [next] & 0xc0) != 0x80)
                return 0;
        return length;
    }
    return 0;
}

size_t yard_utf8_valid (const char *data, size_t size)
{
    const uint64_t high_bits = 0x8080808080808080u;
    size_t at = 0;
    while (at < size) {
        uint64_t word;
        if (size - at >= sizeof word) {
            memcpy (&word, data + at, sizeof word);
            if ((word & high_bits) == 0) {
                at += sizeof word;
                continue;
            }
        }
        size_t length = 1;
        if ((unsigned char) data [at] >= 0x80)
            length = character ((const unsigned char *) data + at, size - at);
        if (length == 0)
            break;
        at += length;
    }
    return at;
}
