// SPDX-License-Identifier: Apache-2.0
/*  gguf_pairs.c - the key-value pairs of a GGUF header
 *
 *  All are read past; texts are kept as views; the few that decide how the file is read are taken at once.
 */
#include "actors/formats/gguf_inside.h"

enum {
    TYPE_U16 = 2,
    TYPE_U32 = 4,
    TYPE_I32 = 5,
    TYPE_STRING = 8,
    TYPE_ARRAY = 9
};

/*  Bytes of a value by its type; 0: its length is told. */
static const unsigned char widths [] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };
#define TYPES (sizeof widths / sizeof widths [0])

static int set_alignment (yard_gguf_parse_t *self, yard_string_t key, uint64_t value)
{
    if (value == 0 || (value & (value - 1)) != 0 || value > YARD_GGUF_ALIGNMENT_MAX)
        return yard_gguf_refuse (self, "BadAlignment", key, "is no power of two up to 1 MiB");
    self->gguf.alignment = (uint32_t) value;
    return 0;
}

static int set_split_no (yard_gguf_parse_t *self, yard_string_t key, uint64_t value)
{
    (void) key;
    self->gguf.split_no = (uint32_t) value;
    return 0;
}

static int set_split_count (yard_gguf_parse_t *self, yard_string_t key, uint64_t value)
{
    (void) key;
    self->gguf.split_count = (uint32_t) value;
    return 0;
}

static int set_split_tensors (yard_gguf_parse_t *self, yard_string_t key, uint64_t value)
{
    if (value > INT32_MAX)
        return yard_gguf_refuse (self, "BadSplit", key, "is negative");
    self->gguf.split_tensors = (uint32_t) value;
    return 0;
}

static int set_file_type (yard_gguf_parse_t *self, yard_string_t key, uint64_t value)
{
    (void) key;
    self->gguf.has_file_type = true;
    self->gguf.file_type = (uint32_t) value;
    return 0;
}

/*  Pairs that decide how the file is read, and must be of their type; and one that does not. */
static const struct {
    const char *key;
    unsigned type;
    const char *rule; /* broken by another type; NULL: then the pair does not count */
    int (*set) (yard_gguf_parse_t *self, yard_string_t key, uint64_t value);
} known [] = {
    { "general.alignment", TYPE_U32, "BadAlignment", set_alignment },
    { "split.no", TYPE_U16, "BadSplit", set_split_no },
    { "split.count", TYPE_U16, "BadSplit", set_split_count },
    { "split.tensors.count", TYPE_I32, "BadSplit", set_split_tensors },
    { "general.file_type", TYPE_U32, NULL, set_file_type },
};

static int set_known (yard_gguf_parse_t *self, yard_string_t key, uint64_t type, uint64_t value)
{
    for (size_t at = 0; at < sizeof known / sizeof known [0]; at++) {
        if (!yard_string_is (key, known [at].key))
            continue;
        if (type == known [at].type)
            return known [at].set (self, key, value);
        return known [at].rule
                   ? yard_gguf_refuse (self, known [at].rule, key, "is of another type than it must be")
                   : 0;
    }
    return 0;
}

static int skip_array (yard_gguf_parse_t *self, yard_string_t key)
{
    uint64_t type = 0, count = 0;
    yard_string_t skipped;
    int rc = yard_gguf_take_number (self, 4, &type);
    if (rc == 0)
        rc = yard_gguf_take_number (self, 8, &count);
    if (rc)
        return rc;
    if (type >= TYPES || type == TYPE_ARRAY)
        return yard_gguf_refuse (self, "BadValue", key,
                                 "is an array of a type that the format does not have");
    unsigned width = type == TYPE_STRING ? 8 : widths [type];
    if ((rc = yard_gguf_check_count (self, count, width, "elements of an array")))
        return rc;
    if (type != TYPE_STRING) {
        if ((rc = yard_gguf_need (self, count * width)) == 0)
            self->at += count * width;
        return rc;
    }
    while (rc == 0 && count-- > 0)
        rc = yard_gguf_take_string (self, &skipped);
    return rc;
}

static void add_pair (yard_gguf_parse_t *self, yard_metadata_t pair)
{
    yard_tensors_t *list = &self->gguf.tensors;
    if (list->metadata_count == self->pair_room) {
        self->pair_room = self->pair_room ? 2 * self->pair_room : 64;
        list->metadata = realloc (list->metadata, self->pair_room * sizeof *list->metadata);
        if (!list->metadata)
            abort ();
    }
    list->metadata [list->metadata_count++] = pair;
}

static int parse_pair (yard_gguf_parse_t *self)
{
    yard_metadata_t pair = { .key = { NULL, 0 } };
    uint64_t type = 0, value = 0;
    int rc = yard_gguf_take_string (self, &pair.key);
    if (rc)
        return rc;
    if (pair.key.size == 0 || !yard_gguf_is_text (pair.key))
        return yard_gguf_refuse (self, "BadKey", pair.key, "is empty, or no text");
    if ((rc = yard_gguf_take_number (self, 4, &type)))
        return rc;
    if (type >= TYPES)
        return yard_gguf_refuse (self, "BadValue", pair.key, "is of a type that the format does not have");
    if (type == TYPE_STRING)
        rc = yard_gguf_take_string (self, &pair.value);
    else if (type == TYPE_ARRAY)
        rc = skip_array (self, pair.key);
    else
        rc = yard_gguf_take_number (self, widths [type], &value);
    if (rc == 0)
        rc = set_known (self, pair.key, type, value);
    if (rc)
        return rc;
    if (!yard_gguf_is_text (pair.value))
        pair.value = (yard_string_t){ NULL, 0 };
    add_pair (self, pair);
    return 0;
}

int yard_gguf_parse_pairs (yard_gguf_parse_t *self)
{
    const yard_tensors_t *list = &self->gguf.tensors;
    int rc = 0;
    for (uint64_t at = 0; rc == 0 && at < self->pair_count; at++)
        rc = parse_pair (self);
    if (rc || list->metadata_count == 0)
        return rc;
    const yard_string_t *twice =
        yard_names_duplicate (&list->metadata [0].key, list->metadata_count, sizeof list->metadata [0]);
    if (twice)
        return yard_gguf_refuse (self, "DuplicateKey", *twice, "stands there twice");
    const yard_gguf_t *gguf = &self->gguf;
    if (gguf->split_count > 0 && gguf->split_no >= gguf->split_count)
        return yard_gguf_refuse (self, "BadSplit", yard_string ("split.no"), "is not below split.count");
    return 0;
}
