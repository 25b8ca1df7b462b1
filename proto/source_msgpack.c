// SPDX-License-Identifier: Apache-2.0
/*  source_msgpack.c - items out of msgpack bytes (the msgpack specification, "Formats")
 *
 *  Promises: one pass, no allocation; a claimed size or count that the bytes behind it cannot hold is refused
 *  at once, so six bytes never make us reserve memory for a hundred million entries. Texts are views into the
 *  bytes. Refuses: the byte 0xc1, keys that are no text, values nested deeper than YARD_SOURCE_DEPTH_MAX,
 *  bytes behind the value.
 */
#include "source.h"

typedef struct {
    yard_source_t base;
    const unsigned char *at, *end;
} msgpack_source_t;

typedef enum {
    NIL,
    NEVER,
    FALSE_WORD,
    TRUE_WORD,
    BIN,
    EXT,
    FLOAT,
    UNSIGNED,
    SIGNED,
    STR,
    ARRAY,
    MAP
} form_t;

/*  Heads 0xc0 to 0xdf: the form, and the bytes of the number, size or count behind the head. */
static const struct {
    unsigned char form, width, fixed; /* fixed: size of a fixext */
} heads [32] = {
    { NIL, 0, 0 },      { NEVER, 0, 0 },  { FALSE_WORD, 0, 0 }, { TRUE_WORD, 0, 0 }, { BIN, 1, 0 },
    { BIN, 2, 0 },      { BIN, 4, 0 },    { EXT, 1, 0 },        { EXT, 2, 0 },       { EXT, 4, 0 },
    { FLOAT, 4, 0 },    { FLOAT, 8, 0 },  { UNSIGNED, 1, 0 },   { UNSIGNED, 2, 0 },  { UNSIGNED, 4, 0 },
    { UNSIGNED, 8, 0 }, { SIGNED, 1, 0 }, { SIGNED, 2, 0 },     { SIGNED, 4, 0 },    { SIGNED, 8, 0 },
    { EXT, 0, 1 },      { EXT, 0, 2 },    { EXT, 0, 4 },        { EXT, 0, 8 },       { EXT, 0, 16 },
    { STR, 1, 0 },      { STR, 2, 0 },    { STR, 4, 0 },        { ARRAY, 2, 0 },     { ARRAY, 4, 0 },
    { MAP, 2, 0 },      { MAP, 4, 0 },
};

static bool broken (msgpack_source_t *self, const char *problem)
{
    self->base.problem = problem;
    return false;
}

static size_t left (const msgpack_source_t *self)
{
    return (size_t) (self->end - self->at);
}

/*  The number behind a head, big-endian. */
static bool take_number (msgpack_source_t *self, size_t width, uint64_t *ret)
{
    uint64_t number = 0;
    if (left (self) < width)
        return broken (self, "the bytes end inside a value");
    for (size_t i = 0; i < width; i++)
        number = number << 8 | self->at [i];
    self->at += width;
    *ret = number;
    return true;
}

static bool take_bytes (msgpack_source_t *self, yard_item_kind_t kind, uint64_t size, yard_item_t *ret)
{
    if (left (self) < size)
        return broken (self, "the bytes end inside a value");
    *ret = (yard_item_t){ .kind = kind, .text = { (const char *) self->at, (size_t) size } };
    self->at += size;
    return true;
}

/*  An entry has at least one byte, a pair two. */
static bool take_count (msgpack_source_t *self, yard_item_kind_t kind, uint64_t count, yard_item_t *ret)
{
    if (left (self) / (kind == YARD_ITEM_MAP ? 2 : 1) < count)
        return broken (self, "more entries are claimed than the bytes can hold");
    *ret = (yard_item_t){ .kind = kind, .count = (size_t) count };
    return true;
}

static yard_item_t signed_item (uint64_t number, size_t width)
{
    /* Shift the sign up to bit 63, then down again. */
    unsigned shift = (unsigned) (64 - 8 * width);
    /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): width is 1, 2, 4 or 8 */
    int64_t value = (int64_t) (number << shift) >> shift;
    if (value >= 0)
        return (yard_item_t){ .kind = YARD_ITEM_NATURAL, .natural = (uint64_t) value };
    return (yard_item_t){ .kind = YARD_ITEM_NEGATIVE, .integer = value };
}

static yard_item_t real_item (uint64_t number, size_t width)
{
    uint32_t half = (uint32_t) number;
    float small;
    double value;
    memcpy (&small, &half, sizeof small);
    memcpy (&value, &number, sizeof value);
    return (yard_item_t){ .kind = YARD_ITEM_REAL, .real = width == sizeof small ? (double) small : value };
}

/*  Heads from 0xc0 to 0xdf. */
static bool take_form (msgpack_source_t *self, unsigned head, yard_item_t *ret)
{
    size_t width = heads [head - 0xc0].width, fixed = heads [head - 0xc0].fixed;
    uint64_t number;
    if (!take_number (self, width, &number))
        return false;
    switch ((form_t) heads [head - 0xc0].form) {
    case NIL:
        *ret = (yard_item_t){ .kind = YARD_ITEM_NOTHING };
        return true;
    case FALSE_WORD:
    case TRUE_WORD:
        *ret = (yard_item_t){ .kind = YARD_ITEM_BOOLEAN, .boolean = head == 0xc3 };
        return true;
    case UNSIGNED:
        *ret = (yard_item_t){ .kind = YARD_ITEM_NATURAL, .natural = number };
        return true;
    case SIGNED:
        *ret = signed_item (number, width);
        return true;
    case FLOAT:
        *ret = real_item (number, width);
        return true;
    case BIN:
        return take_bytes (self, YARD_ITEM_BYTES, number, ret);
    case STR:
        return take_bytes (self, YARD_ITEM_TEXT, number, ret);
    case EXT: /* one byte more: its type */
        return take_bytes (self, YARD_ITEM_OTHER, number + fixed + 1, ret);
    case ARRAY:
        return take_count (self, YARD_ITEM_LIST, number, ret);
    case MAP:
        return take_count (self, YARD_ITEM_MAP, number, ret);
    case NEVER:
        break;
    }
    return broken (self, "the byte 0xc1 is no msgpack");
}

static bool next (yard_source_t *base, yard_wire_kind_t wanted, yard_item_t *ret)
{
    msgpack_source_t *self = (msgpack_source_t *) base;
    (void) wanted;
    if (self->at == self->end)
        return broken (self, "the bytes end before it");
    unsigned head = *self->at++;
    if (head <= 0x7f)
        *ret = (yard_item_t){ .kind = YARD_ITEM_NATURAL, .natural = head };
    else if (head <= 0x8f)
        return take_count (self, YARD_ITEM_MAP, head & 0x0f, ret);
    else if (head <= 0x9f)
        return take_count (self, YARD_ITEM_LIST, head & 0x0f, ret);
    else if (head <= 0xbf)
        return take_bytes (self, YARD_ITEM_TEXT, head & 0x1f, ret);
    else if (head <= 0xdf)
        return take_form (self, head, ret);
    else
        *ret = (yard_item_t){ .kind = YARD_ITEM_NEGATIVE, .integer = (int64_t) head - 256 };
    return true;
}

static bool key (yard_source_t *base, yard_string_t *ret)
{
    yard_item_t item;
    if (!next (base, YARD_WIRE_STRING, &item))
        return false;
    if (item.kind != YARD_ITEM_TEXT)
        return broken ((msgpack_source_t *) base, "has a key that is no text");
    *ret = item.text;
    return true;
}

/*  Without recursion: how many values are still to come, per open list or map. */
static bool skip (yard_source_t *base)
{
    size_t open [YARD_SOURCE_DEPTH_MAX], depth = 0;
    yard_item_t item;
    do {
        if (depth)
            open [depth - 1]--;
        if (!next (base, YARD_WIRE_RECORD, &item))
            return false;
        size_t entries = item.kind == YARD_ITEM_LIST  ? item.count
                         : item.kind == YARD_ITEM_MAP ? 2 * item.count
                                                      : 0;
        if (entries && depth == YARD_SOURCE_DEPTH_MAX)
            return broken ((msgpack_source_t *) base, "is nested too deep");
        if (entries)
            open [depth++] = entries;
        while (depth && open [depth - 1] == 0)
            depth--;
    } while (depth);
    return true;
}

static void leave (yard_source_t *base)
{
    (void) base; /* the head had the count */
}

int yard_wire_unpack (const yard_wire_type_t *type, const void *data, size_t size, yard_wire_reader_t reader,
                      yard_arena_t *arena, void *ret_value, yard_error_t *error)
{
    static const yard_source_class_t class = { .next = next, .key = key, .skip = skip, .leave = leave };
    msgpack_source_t self = { .base = { .class = &class, .arena = arena }, .at = data };
    memset (ret_value, 0, type->size);
    if (size > YARD_MESSAGE_MAX)
        return yard_error (error, YARD_TOO_LARGE, "%s: has %zu bytes, a message may have %d", type->name,
                           size, YARD_MESSAGE_MAX);
    if (size == 0)
        return yard_error (error, YARD_INVALID_MESSAGE, "%s: must be a msgpack map, got no bytes",
                           type->name);
    self.end = self.at + size;
    int failed = yard_wire_read (&self.base, type, reader, arena, ret_value, error);
    if (!failed && left (&self)) {
        memset (ret_value, 0, type->size);
        failed = yard_error (error, YARD_INVALID_MESSAGE, "%s: has %zu bytes behind its map", type->name,
                             left (&self));
    }
    return failed;
}
