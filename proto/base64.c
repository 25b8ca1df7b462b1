// SPDX-License-Identifier: Apache-2.0
/*  base64.c - bytes as text and back
 */
#include "base64.h"

static const char digits [] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void yard_base64_append (yard_buffer_t *buffer, yard_string_t bytes)
{
    const unsigned char *data = (const unsigned char *) bytes.data;
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        unsigned group = (unsigned) data [i] << 16;
        group |= left > 1 ? (unsigned) data [i + 1] << 8 : 0;
        group |= left > 2 ? (unsigned) data [i + 2] : 0;
        const char text [4] = { digits [group >> 18], digits [group >> 12 & 63],
                                left > 1 ? digits [group >> 6 & 63] : '=',
                                left > 2 ? digits [group & 63] : '=' };
        yard_buffer_append (buffer, text, sizeof text);
    }
}

/*  Four digits as 24 bits; false for what is no digit. Padding counts as 0, only the last group may have it. */
static bool read_group (const char *text, size_t padding, unsigned *ret)
{
    unsigned group = 0;
    for (size_t i = 0; i < 4; i++) {
        const char *digit = i + padding >= 4 ? digits : text [i] ? strchr (digits, text [i]) : NULL;
        if (!digit)
            return false;
        group = group << 6 | (unsigned) (digit - digits);
    }
    *ret = group;
    /* Bits that the padding cuts off must be 0, else two texts would mean the same bytes. */
    return (group & ((1u << 8 * padding) - 1)) == 0;
}

bool yard_base64_read (yard_string_t text, yard_arena_t *arena, yard_string_t *ret)
{
    if (text.size % 4 != 0)
        return false;
    unsigned char *data = yard_arena_alloc (arena, text.size / 4 * 3 + 1);
    size_t size = 0;
    for (size_t i = 0; data && i < text.size; i += 4) {
        size_t padding = 0;
        unsigned group;
        if (i + 4 == text.size)
            padding =
                (size_t) (text.data [i + 3] == '=') + (text.data [i + 3] == '=' && text.data [i + 2] == '=');
        if (!read_group (text.data + i, padding, &group))
            return false;
        for (size_t j = 0; j < 3 - padding; j++)
            data [size++] = (unsigned char) (group >> (16 - 8 * j));
    }
    *ret = (yard_string_t){ (const char *) data, size };
    return data != NULL;
}
