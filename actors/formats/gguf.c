// SPDX-License-Identifier: Apache-2.0
/*  gguf.c - from the first bytes of a GGUF file to its list of tensors: the cursor, and the first 24 bytes
 */
#include "actors/formats/gguf_inside.h"

#include <assert.h>
#include "actors/ground/utf8.h"

#define GROWTH 4u
#define PAIR_BYTES_MIN 14u /* length, one character, type, one byte */
#define INFO_BYTES_MIN 24u /* length, dimensions, type, offset */
#define ARENA_LIMIT(size) ((size) + (1u << 20)) /* a shape takes less than its info; and the arena's own */

int yard_gguf_need (yard_gguf_parse_t *self, uint64_t count)
{
    if (count > self->file_size - self->at)
        return yard_error (
            self->error, YARD_INVALID_FILE,
            "Truncated: byte %llu of the header claims %llu bytes more, the file ends before" YARD_GGUF_AGAIN,
            (unsigned long long) self->at, (unsigned long long) count);
    if (count > YARD_GGUF_HEADER_MAX - self->at)
        return yard_error (self->error, YARD_TOO_LARGE,
                           "HeaderTooLarge: the header has more than %u bytes; have the file written anew",
                           YARD_GGUF_HEADER_MAX);
    if (count > self->size - self->at) {
        self->wanted = self->at + count;
        return YARD_GGUF_MORE_BYTES;
    }
    return 0;
}

int yard_gguf_take_number (yard_gguf_parse_t *self, unsigned width, uint64_t *ret)
{
    int rc = yard_gguf_need (self, width);
    if (rc)
        return rc;
    uint64_t number = 0;
    for (unsigned at = width; at-- > 0;)
        number = number << 8 | self->bytes [self->at + at];
    self->at += width;
    *ret = number;
    return 0;
}

int yard_gguf_take_string (yard_gguf_parse_t *self, yard_string_t *ret)
{
    uint64_t length = 0;
    int rc = yard_gguf_take_number (self, sizeof length, &length);
    if (rc == 0)
        rc = yard_gguf_need (self, length);
    if (rc)
        return rc;
    *ret = (yard_string_t){ (const char *) self->bytes + self->at, length };
    self->at += length;
    return 0;
}

int yard_gguf_check_count (yard_gguf_parse_t *self, uint64_t count, unsigned width, const char *what)
{
    if (count <= (self->file_size - self->at) / width)
        return 0;
    return yard_error (
        self->error, YARD_INVALID_FILE,
        "Truncated: the header claims %llu %s, the file has %llu bytes for them" YARD_GGUF_AGAIN,
        (unsigned long long) count, what, (unsigned long long) (self->file_size - self->at));
}

bool yard_gguf_is_text (yard_string_t text)
{
    return text.size == 0 ||
           (yard_utf8_valid (text.data, text.size) == text.size && !memchr (text.data, 0, text.size));
}

int yard_gguf_refuse (yard_gguf_parse_t *self, const char *rule, yard_string_t name, const char *problem)
{
    char text [YARD_NAME_TEXT_SIZE];
    yard_name_text (name, text);
    return yard_error (self->error, YARD_INVALID_FILE, "%s: \"%s\" %s" YARD_GGUF_AGAIN, rule, text, problem);
}

static int check_version (yard_gguf_parse_t *self, uint64_t version)
{
    if (version != 0 && (version & 0xffff) == 0)
        return yard_error (
            self->error, YARD_NOT_IMPLEMENTED,
            "BigEndian: the file was written for big-endian machines; have it written anew for "
            "little-endian ones");
    if (version == 2 || version == 3) {
        self->gguf.version = (uint32_t) version;
        return 0;
    }
    return yard_error (self->error, YARD_NOT_IMPLEMENTED,
                       "BadVersion: the file is of version %llu, and 2 and 3 are read; convert it",
                       (unsigned long long) version);
}

static int parse_start (yard_gguf_parse_t *self)
{
    static const char magic [] = "GGUF";
    uint64_t version = 0;
    int rc = yard_gguf_need (self, sizeof magic - 1);
    if (rc)
        return rc;
    if (memcmp (self->bytes, magic, sizeof magic - 1) != 0)
        return yard_error (self->error, YARD_INVALID_FILE,
                           "BadMagic: the file does not begin with GGUF" YARD_GGUF_AGAIN);
    self->at = sizeof magic - 1;
    rc = yard_gguf_take_number (self, 4, &version);
    if (rc == 0)
        rc = check_version (self, version);
    if (rc == 0)
        rc = yard_gguf_take_number (self, 8, &self->tensor_count);
    if (rc == 0)
        rc = yard_gguf_take_number (self, 8, &self->pair_count);
    if (rc == 0)
        rc = yard_gguf_check_count (self, self->tensor_count, INFO_BYTES_MIN, "tensors");
    if (rc == 0)
        rc = yard_gguf_check_count (self, self->pair_count, PAIR_BYTES_MIN, "pairs");
    if (rc == 0 && self->tensor_count > YARD_GGUF_TENSORS_MAX)
        rc = yard_error (self->error, YARD_TOO_LARGE,
                         "TooManyTensors: the header claims more than %u; split the file",
                         YARD_GGUF_TENSORS_MAX);
    if (rc == 0 && self->pair_count > YARD_GGUF_PAIRS_MAX)
        rc = yard_error (self->error, YARD_TOO_LARGE,
                         "TooManyPairs: the header claims more than %u; have the file written anew",
                         YARD_GGUF_PAIRS_MAX);
    return rc;
}

/*  How many bytes to come back with. */
static uint64_t grown (const yard_gguf_parse_t *self)
{
    uint64_t end = self->file_size < YARD_GGUF_HEADER_MAX ? self->file_size : YARD_GGUF_HEADER_MAX;
    uint64_t more = self->wanted > self->size * GROWTH ? self->wanted : self->size * GROWTH;
    return more < end ? more : end;
}

int yard_gguf_parse (const void *bytes, size_t size, uint64_t file_size, yard_gguf_t *ret, uint64_t *ret_more,
                     yard_error_t *error)
{
    if (size > YARD_GGUF_HEADER_MAX)
        size = YARD_GGUF_HEADER_MAX;
    yard_gguf_parse_t parse = { .bytes = bytes, .size = size, .file_size = file_size, .error = error };
    assert (size <= file_size && file_size <= INT64_MAX);
    parse.gguf.alignment = YARD_GGUF_ALIGNMENT;
    parse.gguf.tensors.arena = yard_arena_new (ARENA_LIMIT (size));
    int rc = parse_start (&parse);
    if (rc == 0)
        rc = yard_gguf_parse_pairs (&parse);
    if (rc == 0)
        rc = yard_gguf_parse_tensors (&parse);
    if (rc) {
        yard_gguf_clear (&parse.gguf);
        if (rc == YARD_GGUF_MORE_BYTES)
            *ret_more = grown (&parse);
        return rc == YARD_GGUF_MORE_BYTES ? 0 : rc;
    }
    *ret = parse.gguf;
    *ret_more = 0;
    return 0;
}

void yard_gguf_clear (yard_gguf_t *self)
{
    yard_tensors_clear (&self->tensors);
    *self = (yard_gguf_t){ 0 };
}
