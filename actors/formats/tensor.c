// SPDX-License-Identifier: Apache-2.0
/*  tensor.c - the table of element types, and the small questions that are asked of a list of tensors
 */
#include "actors/formats/tensor.h"

#include <assert.h>

static const yard_dtype_row_t dtypes [] = {
#define DTYPE(id, word, bits, numpy) { word, bits, numpy, 0, 0 },
#include "dtypes.def"
#undef DTYPE
#define GGML_PLAIN(number, dtype)
#define GGML_BLOCK(number, id, elements, bytes) { "ggml:" #id, 0, "u1 (blocks)", elements, bytes },
#include "ggml_types.def"
#undef GGML_PLAIN
#undef GGML_BLOCK
};

const yard_dtype_row_t *yard_dtype_row (yard_dtype_t dtype)
{
    assert (dtype < YARD_DTYPE_END);
    return &dtypes [dtype];
}

int yard_dtype_from (yard_string_t word)
{
    for (int at = 0; at < YARD_DTYPE_COUNT; at++)
        if (yard_string_is (word, dtypes [at].word))
            return at;
    return -1;
}

void yard_tensors_clear (yard_tensors_t *self)
{
    free (self->items);
    free (self->metadata);
    yard_arena_destroy (&self->arena);
    *self = (yard_tensors_t){ 0 };
}

const yard_tensor_t *yard_tensors_find (const yard_tensors_t *self, yard_string_t name)
{
    for (size_t at = 0; at < self->count; at++)
        if (yard_string_equal (self->items [at].name, name))
            return &self->items [at];
    return NULL;
}

yard_string_t yard_tensors_metadata (const yard_tensors_t *self, const char *key)
{
    for (size_t at = 0; at < self->metadata_count; at++)
        if (yard_string_is (self->metadata [at].key, key))
            return self->metadata [at].value;
    return (yard_string_t){ NULL, 0 };
}

void yard_name_text (yard_string_t name, char *ret_text)
{
    static const char cut [] = "...";
    size_t size = name.size;
    if (size > YARD_NAME_TEXT_SIZE - 1)
        size = YARD_NAME_TEXT_SIZE - sizeof cut;
    for (size_t at = 0; at < size; at++) {
        char byte = name.data [at];
        ret_text [at] = byte >= ' ' && byte <= '~' ? byte : '?';
    }
    ret_text [size] = 0;
    if (size < name.size)
        memcpy (ret_text + size, cut, sizeof cut);
}

/*  A name by its hash. The hash need not resist an enemy: names that collide on purpose are only compared
 *  byte by byte. */
typedef struct {
    uint64_t hash;
    const yard_string_t *name;
} hashed_t;

/*  Eight bytes a step; the multiplier is 2^64 divided by the golden ratio (Knuth, volume 3, 6.4). */
static uint64_t hash_of (yard_string_t name)
{
    const uint64_t golden = 0x9e3779b97f4a7c15u;
    uint64_t hash = name.size;
    for (size_t at = 0; at < name.size; at += sizeof hash) {
        uint64_t word = 0;
        size_t rest = name.size - at;
        memcpy (&word, name.data + at, rest < sizeof word ? rest : sizeof word);
        hash = (hash ^ word) * golden;
        hash ^= hash >> 29;
    }
    return hash;
}

static int by_hash_then_name (const void *left, const void *right)
{
    const hashed_t *a = left, *b = right;
    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    if (a->name->size != b->name->size)
        return a->name->size < b->name->size ? -1 : 1;
    return a->name->size == 0 ? 0 : memcmp (a->name->data, b->name->data, a->name->size);
}

const yard_string_t *yard_names_duplicate (const yard_string_t *first, size_t count, size_t stride)
{
    if (count < 2)
        return NULL;
    hashed_t *names = calloc (count, sizeof *names);
    if (!names)
        abort ();
    for (size_t at = 0; at < count; at++) {
        names [at].name = (const yard_string_t *) (const void *) ((const char *) first + at * stride);
        names [at].hash = hash_of (*names [at].name);
    }
    qsort (names, count, sizeof *names, by_hash_then_name);
    const yard_string_t *found = NULL;
    for (size_t at = 1; at < count && !found; at++)
        if (by_hash_then_name (&names [at - 1], &names [at]) == 0)
            found = names [at - 1].name;
    free (names);
    return found;
}
