// SPDX-License-Identifier: Apache-2.0
/*  json_scan.c - the scanner: one cursor, no recursion, no allocation
 */
#include "actors/formats/json_scan.h"

/*  serde_json, which reads these headers elsewhere, refuses the 128th level; two are around a tensor's field. */
#define DEPTH_MAX 125

static bool refuse (yard_scan_t *self, const char *problem)
{
    self->problem = problem;
    return false;
}

int yard_scan_peek (yard_scan_t *self)
{
    while (self->at < self->end &&
           (*self->at == ' ' || *self->at == '\n' || *self->at == '\r' || *self->at == '\t'))
        self->at++;
    return self->at < self->end ? (unsigned char) *self->at : -1;
}

static const struct {
    char byte;
    const char *problem;
} missing [] = {
    { '{', "an object is missing" },
    { '[', "an array is missing" },
    { ']', "the end of an array is missing" },
    { ':', "a colon is missing" },
    { ',', "a comma is missing" },
};

bool yard_scan_take (yard_scan_t *self, char byte)
{
    if (yard_scan_peek (self) == (unsigned char) byte) {
        self->at++;
        return true;
    }
    size_t at = 0;
    while (at + 1 < sizeof missing / sizeof missing [0] && missing [at].byte != byte)
        at++;
    return refuse (self, missing [at].problem);
}

bool yard_scan_more (yard_scan_t *self, char close, bool *first, bool *ret_more)
{
    *ret_more = yard_scan_peek (self) != (unsigned char) close;
    if (!*ret_more) {
        self->at++;
        return true;
    }
    bool comma = !*first;
    *first = false;
    return !comma || yard_scan_take (self, ',');
}

/*  Four hexadecimal digits at `at`; -1 when they are not. */
static int hex4 (const char *at, const char *end)
{
    int value = 0;
    if (end - at < 4)
        return -1;
    for (int digit = 0; digit < 4; digit++) {
        int byte = (unsigned char) at [digit];
        int low = byte | 0x20;
        if (byte >= '0' && byte <= '9')
            value = value * 16 + byte - '0';
        else if (low >= 'a' && low <= 'f')
            value = value * 16 + low - 'a' + 10;
        else
            return -1;
    }
    return value;
}

/*  Length of the escape at `at` (a backslash) and the character it means; 0 when it is none. */
static size_t escape (const char *at, const char *end, uint32_t *ret_character)
{
    static const char letters [] = "\"\\/bfnrt", meanings [] = "\"\\/\b\f\n\r\t";
    if (end - at < 2)
        return 0;
    const char *letter = at [1] ? strchr (letters, at [1]) : NULL;
    if (letter) {
        *ret_character = (unsigned char) meanings [letter - letters];
        return 2;
    }
    int unit = at [1] == 'u' ? hex4 (at + 2, end) : -1;
    if (unit < 0 || (unit >= 0xdc00 && unit <= 0xdfff))
        return 0;
    *ret_character = (uint32_t) unit;
    if (unit < 0xd800 || unit > 0xdbff)
        return 6;
    /* A high surrogate: the low one must follow, in an escape of its own. */
    int low = end - at >= 12 && at [6] == '\\' && at [7] == 'u' ? hex4 (at + 8, end) : -1;
    if (low < 0xdc00 || low > 0xdfff)
        return 0;
    *ret_character = 0x10000u + (((uint32_t) unit - 0xd800u) << 10) + ((uint32_t) low - 0xdc00u);
    return 12;
}

bool yard_scan_text (yard_scan_t *self, yard_scan_text_t *ret_text)
{
    if (yard_scan_peek (self) != '"')
        return refuse (self, "a string is missing");
    const char *begin = self->at + 1, *at = begin, *end = self->end;
    bool escaped = false;
    for (; at < end && *at != '"';) {
        uint32_t character;
        size_t length = 1;
        if (*at == '\\') {
            escaped = true;
            length = escape (at, end, &character);
        } else if ((unsigned char) *at < 0x20) {
            length = 0;
        }
        if (length == 0) {
            self->at = at;
            return refuse (self, *at == '\\' ? "no valid escape" : "a control character in a string");
        }
        at += length;
    }
    self->at = at;
    if (at == end)
        return refuse (self, "a string without an end");
    self->at++;
    *ret_text = (yard_scan_text_t){ { begin, (size_t) (at - begin) }, escaped };
    return true;
}

bool yard_scan_key (yard_scan_t *self, yard_scan_text_t *ret_text)
{
    return yard_scan_text (self, ret_text) && yard_scan_take (self, ':');
}

static bool is_digit (const char *at, const char *end)
{
    return at < end && *at >= '0' && *at <= '9';
}

bool yard_scan_u64 (yard_scan_t *self, uint64_t *ret_number)
{
    yard_scan_peek (self);
    const char *at = self->at;
    uint64_t number = 0;
    if (!is_digit (at, self->end))
        return refuse (self, "a whole number from 0 is missing");
    bool leading_zero = *at == '0';
    for (; is_digit (at, self->end); at++)
        if (__builtin_mul_overflow (number, 10u, &number) ||
            __builtin_add_overflow (number, (uint64_t) (*at - '0'), &number))
            return refuse (self, "a number above 18446744073709551615");
    if (leading_zero && at - self->at > 1)
        return refuse (self, "a number with a leading 0");
    if (at < self->end && (*at == '.' || *at == 'e' || *at == 'E'))
        return refuse (self, "a number with a fraction or an exponent");
    self->at = at;
    *ret_number = number;
    return true;
}

/*  A number of any form, and nothing of it kept. */
static bool skip_number (yard_scan_t *self)
{
    const char *at = self->at, *end = self->end;
    at += *at == '-';
    if (!is_digit (at, end))
        return refuse (self, "no value");
    if (*at++ != '0')
        while (is_digit (at, end))
            at++;
    if (at < end && *at == '.') {
        if (!is_digit (++at, end))
            return refuse (self, "a number without digits behind its point");
        while (is_digit (at, end))
            at++;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        if (!is_digit (at, end))
            return refuse (self, "a number without digits in its exponent");
        while (is_digit (at, end))
            at++;
    }
    self->at = at;
    return true;
}

/*  A string, number or word: what has nothing inside. */
static bool skip_scalar (yard_scan_t *self)
{
    static const char *const words [] = { "true", "false", "null" };
    if (self->at < self->end && *self->at == '"')
        return yard_scan_text (self, &(yard_scan_text_t){ 0 });
    yard_string_t rest = { self->at, (size_t) (self->end - self->at) };
    for (size_t word = 0; word < sizeof words / sizeof words [0]; word++)
        if (yard_string_starts (rest, words [word])) {
            self->at += strlen (words [word]);
            return true;
        }
    return self->at < self->end ? skip_number (self) : refuse (self, "no value");
}

bool yard_scan_value (yard_scan_t *self)
{
    /* Which kind of container each level is: the stack that recursion would have kept. */
    bool in_object [DEPTH_MAX];
    size_t depth = 0;
    bool first = true, more = true;
    do {
        /* Before a value, unless the container at hand has just ended. */
        if (depth > 0) {
            if (!yard_scan_more (self, in_object [depth - 1] ? '}' : ']', &first, &more))
                return false;
            if (!more) {
                depth--;
                first = false; /* what ended was a member of the next level up */
                continue;
            }
            if (in_object [depth - 1] && !yard_scan_key (self, &(yard_scan_text_t){ 0 }))
                return false;
        }
        int byte = yard_scan_peek (self);
        if (byte == '{' || byte == '[') {
            if (depth == DEPTH_MAX)
                return refuse (self, "values nested too deep");
            self->at++;
            in_object [depth++] = byte == '{';
            first = true;
        } else if (!skip_scalar (self)) {
            return false;
        }
    } while (depth > 0);
    return true;
}

bool yard_scan_end (yard_scan_t *self)
{
    return yard_scan_peek (self) == -1 || refuse (self, "something stands behind the end");
}

/*  The bytes of a character in UTF-8: how many. */
static size_t encode (uint32_t character, char *out)
{
    if (character < 0x80) {
        out [0] = (char) character;
        return 1;
    }
    size_t rest = character < 0x800 ? 1 : character < 0x10000 ? 2 : 3;
    static const unsigned char leads [] = { 0, 0xc0, 0xe0, 0xf0 };
    out [0] = (char) (leads [rest] | (character >> (6 * rest)));
    for (size_t at = 1; at <= rest; at++)
        out [at] = (char) (0x80 | ((character >> (6 * (rest - at))) & 0x3f));
    return rest + 1;
}

size_t yard_scan_decode (yard_scan_text_t text, char *out, size_t out_size)
{
    const char *at = text.raw.data, *end = at + text.raw.size;
    size_t size = 0;
    while (at < end) {
        char bytes [4] = { *at };
        size_t length = 1, step = 1;
        uint32_t character = 0;
        if (*at == '\\') {
            step = escape (at, end, &character);
            length = encode (character, bytes);
        }
        for (size_t byte = 0; byte < length; byte++, size++)
            if (size < out_size)
                out [size] = bytes [byte];
        at += step;
    }
    return size;
}
