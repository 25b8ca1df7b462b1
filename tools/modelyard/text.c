// SPDX-License-Identifier: Apache-2.0
/*  text.c - values as people read them
 */
#include "text.h"

#include <stdio.h>
#include <stdlib.h>

#define KIB 1024.0
#define SECOND_MS 1000
#define MINUTE_S 60
#define HOUR_S 3600
#define DAY_S 86400
#define WEEK_S 604800 /* the longest ttl_s of an ask (bus.def) */

/*  What must not reach a terminal (Unicode 15: general category Cc, Zl, Zp; property Bidi_Control; and the
 *  byte order mark, which hides). */
static const struct {
    uint32_t first, last;
} unprintable [] = {
    { 0x0000, 0x001f }, { 0x007f, 0x009f }, { 0x061c, 0x061c }, { 0x200b, 0x200f },   { 0x2028, 0x202e },
    { 0x2060, 0x2069 }, { 0xfeff, 0xfeff }, { 0xfff9, 0xfffb }, { 0xe0000, 0xe007f },
};

/*  One character of UTF-8 (RFC 3629): how many bytes, 0 for none. */
static size_t decode (const unsigned char *bytes, size_t left, uint32_t *ret)
{
    static const struct {
        unsigned char mask, lead;
        uint32_t least;
    } forms [] = { { 0x80, 0x00, 0 }, { 0xe0, 0xc0, 0x80 }, { 0xf0, 0xe0, 0x800 }, { 0xf8, 0xf0, 0x10000 } };
    for (size_t size = 1; size <= 4 && size <= left; size++) {
        if ((bytes [0] & forms [size - 1].mask) != forms [size - 1].lead)
            continue;
        uint32_t value = bytes [0] & (unsigned char) ~forms [size - 1].mask;
        for (size_t i = 1; i < size; i++) {
            if ((bytes [i] & 0xc0) != 0x80)
                return 0;
            value = value << 6 | (bytes [i] & 0x3f);
        }
        *ret = value;
        return value < forms [size - 1].least || value > 0x10ffff || (value >= 0xd800 && value < 0xe000)
                   ? 0
                   : size;
    }
    return 0;
}

static bool may_be_printed (uint32_t character)
{
    for (size_t i = 0; i < sizeof unprintable / sizeof unprintable [0]; i++)
        if (character >= unprintable [i].first && character <= unprintable [i].last)
            return false;
    return true;
}

const char *text_clean (char *into, size_t size, yard_string_t text)
{
    size_t used = 0;
    for (size_t at = 0; at < text.size;) {
        uint32_t character = 0;
        size_t taken = decode ((const unsigned char *) text.data + at, text.size - at, &character);
        bool good = taken > 0 && may_be_printed (character);
        size_t written = good ? taken : 1;
        if (used + written >= size)
            break;
        memcpy (into + used, good ? text.data + at : "?", written);
        used += written;
        at += taken > 0 ? taken : 1;
    }
    into [used] = 0;
    return into;
}

void text_json (yard_buffer_t *into, yard_string_t json)
{
    for (size_t at = 0; at < json.size;) {
        uint32_t character = 0;
        size_t taken = decode ((const unsigned char *) json.data + at, json.size - at, &character);
        taken = taken ? taken : 1;
        if (may_be_printed (character))
            yard_buffer_append (into, json.data + at, taken);
        else if (character < 0x10000)
            yard_buffer_printf (into, "\\u%04x", character);
        else /* as a surrogate pair (RFC 8259, 7) */
            yard_buffer_printf (into, "\\u%04x\\u%04x", 0xd800 + ((character - 0x10000) >> 10),
                                0xdc00 + ((character - 0x10000) & 0x3ff));
        at += taken;
    }
}

const char *text_size (char *into, size_t size, uint64_t bytes)
{
    static const char *const units [] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    double value = (double) bytes;
    size_t unit = 0;
    /* 999.5 would be written as 1000: it is 0.98 of the next. */
    for (; value >= 999.5 && unit + 1 < sizeof units / sizeof units [0]; unit++)
        value /= KIB;
    int digits = unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    snprintf (into, size, "%.*f %s", digits, value, units [unit]);
    return into;
}

const char *text_duration (char *into, size_t size, int64_t ms)
{
    int64_t s = ms < 0 ? 0 : ms / SECOND_MS;
    if (s < 10)
        snprintf (into, size, "%.1f s", ms < 0 ? 0.0 : (double) ms / SECOND_MS);
    else if (s < MINUTE_S)
        snprintf (into, size, "%lld s", (long long) s);
    else if (s < HOUR_S)
        snprintf (into, size, "%lld m %02lld s", (long long) (s / MINUTE_S), (long long) (s % MINUTE_S));
    else if (s < DAY_S)
        snprintf (into, size, "%lld h %02lld m", (long long) (s / HOUR_S),
                  (long long) (s % HOUR_S / MINUTE_S));
    else
        snprintf (into, size, "%lld d %lld h", (long long) (s / DAY_S), (long long) (s % DAY_S / HOUR_S));
    return into;
}

/*  Three digits, as sizes have. */
const char *text_microseconds (char *into, size_t size, uint64_t us)
{
    if (us < 1000)
        snprintf (into, size, "%llu µs", (unsigned long long) us);
    else if (us < 10 * 1000 * 1000) {
        double value = (double) us / (us < 999500 ? 1e3 : 1e6);
        snprintf (into, size, "%.*f %s",
                  value >= 99.95   ? 0
                  : value >= 9.995 ? 1
                                   : 2,
                  value, us < 999500 ? "ms" : "s");
    } else
        text_duration (into, size, (int64_t) (us / 1000));
    return into;
}

bool text_seconds (const char *text, uint64_t *ret)
{
    static const struct {
        const char *unit;
        uint64_t seconds;
    } units [] = { { "", 1 }, { "s", 1 }, { "m", MINUTE_S }, { "h", HOUR_S }, { "d", DAY_S } };
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    unsigned long long value = strtoull (text, &end, 10);
    for (size_t i = 0; i < sizeof units / sizeof units [0]; i++) {
        if (strcmp (end, units [i].unit) != 0 || value == 0 || value > WEEK_S / units [i].seconds)
            continue;
        *ret = value * units [i].seconds;
        return true;
    }
    return false;
}

static bool begins_character (char byte)
{
    return ((unsigned char) byte & 0xc0) != 0x80;
}

size_t text_columns (const char *clean)
{
    size_t columns = 0;
    for (; *clean; clean++)
        columns += begins_character (*clean);
    return columns;
}

void text_cut (char *clean, size_t columns)
{
    static const char mark [] = "…";
    if (text_columns (clean) <= columns || columns == 0)
        return;
    size_t at = 0, left = columns;
    for (; left > 0; at++)
        if (begins_character (clean [at]) && left-- == 1)
            break;
    /* What is cut away may be shorter than the mark: at least one character of one byte and all behind it. */
    size_t room = strlen (clean + at);
    if (room >= sizeof mark - 1)
        memcpy (clean + at, mark, sizeof mark);
    else
        memcpy (clean + at, ".", 2);
}
