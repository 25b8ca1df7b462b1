// SPDX-License-Identifier: Apache-2.0
/*  table.c - entries in order of insertion, and an index of their numbers
 *
 *  The index is open addressing with linear probing over the entries' numbers; it is twice as long as
 *  the entries, so at most half full. A taken entry stays where it is, dead: it is the tombstone that
 *  keeps probing right, and the reason why an iteration survives a take. A put that finds the entries
 *  full moves the living together and builds the index anew, larger if more than half are alive; so put
 *  costs amortised O(1), and memory stays proportional to the most entries alive at once.
 */
#include "table.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "random.h"

#define ENTRIES_MIN 8
#define ENTRIES_MAX ((size_t) UINT32_MAX / 2) /* the index holds number + 1 in 32 bits */
#define INLINE_KEY_BYTES 16 /* ids, numbers and 128-bit instances need no malloc of their own */

typedef struct {
    uint64_t hash;
    void *value;
    size_t size;
    union {
        unsigned char near [INLINE_KEY_BYTES];
        unsigned char *far;
    } key;
    bool alive;
} entry_t;

struct yard_table_t {
    entry_t *entries;
    uint32_t *index; /* 0 = free, else the entry's number + 1 */
    size_t used, capacity, count;
    size_t first; /* no entry before it is alive; so taking the oldest again and again stays cheap */
    uint64_t key [2];
};

/*  The hash key of the process: drawn at the first table, or said by the simulation. */
static struct {
    pthread_once_t once;
    uint64_t key [2];
} hash_key = { .once = PTHREAD_ONCE_INIT };

static void draw_hash_key (void)
{
    yard_random_t random;
    yard_random_init (&random);
    yard_random_bytes (&random, hash_key.key, sizeof hash_key.key);
}

void yard_table_seed (uint64_t seed)
{
    pthread_once (&hash_key.once, draw_hash_key);
    yard_random_t random;
    yard_random_seed (&random, seed);
    yard_random_bytes (&random, hash_key.key, sizeof hash_key.key);
}

static uint64_t rotate_left (uint64_t value, int bits)
{
    return (value << bits) | (value >> (64 - bits));
}

/*  One SipRound of the paper, section 2.2. */
static void sip_round (uint64_t *v)
{
    v [0] += v [1];
    v [2] += v [3];
    v [1] = rotate_left (v [1], 13) ^ v [0];
    v [3] = rotate_left (v [3], 16) ^ v [2];
    v [0] = rotate_left (v [0], 32);
    v [2] += v [1];
    v [0] += v [3];
    v [1] = rotate_left (v [1], 17) ^ v [2];
    v [3] = rotate_left (v [3], 21) ^ v [0];
    v [2] = rotate_left (v [2], 32);
}

/*  SipHash-2-4 (Aumasson, Bernstein 2012). Words are read as the machine has them: the hash never
 *  leaves the process. */
static uint64_t sip_hash (const uint64_t *key, const void *data, size_t size)
{
    uint64_t v [4] = { key [0] ^ 0x736f6d6570736575, key [1] ^ 0x646f72616e646f6d,
                       key [0] ^ 0x6c7967656e657261, key [1] ^ 0x7465646279746573 };
    const unsigned char *at = data;
    for (size_t rest = size;; rest -= 8, at += 8) {
        bool last = rest < 8;
        uint64_t word = 0;
        if (rest)
            memcpy (&word, at, last ? rest : 8);
        if (last)
            word |= (uint64_t) size << 56;
        v [3] ^= word;
        sip_round (v);
        sip_round (v);
        v [0] ^= word;
        if (last)
            break;
    }
    v [2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round (v);
    return v [0] ^ v [1] ^ v [2] ^ v [3];
}

yard_table_t *yard_table_new (void)
{
    yard_table_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    pthread_once (&hash_key.once, draw_hash_key);
    /* A copy, so that a later seed does not lose what this table holds. */
    memcpy (self->key, hash_key.key, sizeof self->key);
    return self;
}

static void free_key (entry_t *entry)
{
    if (entry->size > INLINE_KEY_BYTES)
        free (entry->key.far);
}

void yard_table_destroy (yard_table_t **self_p)
{
    assert (self_p);
    yard_table_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->used; i++)
        if (self->entries [i].alive)
            free_key (&self->entries [i]);
    free (self->entries);
    free (self->index);
    free (self);
    *self_p = NULL;
}

static bool entry_is (const entry_t *entry, uint64_t hash, const void *key, size_t size)
{
    if (!entry->alive || entry->hash != hash || entry->size != size)
        return false;
    return size == 0 || memcmp (size > INLINE_KEY_BYTES ? entry->key.far : entry->key.near, key, size) == 0;
}

/*  Ends at a free slot, and there always is one: the index is at most half full. */
static entry_t *find (const yard_table_t *self, uint64_t hash, const void *key, size_t size)
{
    if (self->count == 0)
        return NULL;
    size_t mask = self->capacity * 2 - 1;
    for (size_t at = hash & mask; self->index [at]; at = (at + 1) & mask) {
        entry_t *entry = &self->entries [self->index [at] - 1];
        if (entry_is (entry, hash, key, size))
            return entry;
    }
    return NULL;
}

/*  The caller knows that the key is not there. */
static void index_entry (yard_table_t *self, size_t number)
{
    size_t mask = self->capacity * 2 - 1;
    size_t at = self->entries [number].hash & mask;
    while (self->index [at])
        at = (at + 1) & mask;
    self->index [at] = (uint32_t) number + 1;
}

/*  Moves the living to the front, in their order, and builds the index anew. */
static void rebuild (yard_table_t *self)
{
    size_t capacity = self->capacity ? self->capacity : ENTRIES_MIN;
    if (self->count > capacity / 2)
        capacity *= 2;
    assert (capacity <= ENTRIES_MAX);
    size_t alive = 0;
    for (size_t i = 0; i < self->used; i++)
        if (self->entries [i].alive)
            self->entries [alive++] = self->entries [i];
    entry_t *entries = realloc (self->entries, capacity * sizeof *entries);
    free (self->index);
    self->index = calloc (capacity * 2, sizeof *self->index);
    if (!entries || !self->index)
        abort ();
    self->entries = entries;
    self->capacity = capacity;
    self->used = alive;
    self->first = 0;
    for (size_t i = 0; i < alive; i++)
        index_entry (self, i);
}

void *yard_table_get (const yard_table_t *self, const void *key, size_t size)
{
    const entry_t *entry = find (self, sip_hash (self->key, key, size), key, size);
    return entry ? entry->value : NULL;
}

void *yard_table_put (yard_table_t *self, const void *key, size_t size, void *value)
{
    uint64_t hash = sip_hash (self->key, key, size);
    entry_t *entry = find (self, hash, key, size);
    if (entry) {
        void *replaced = entry->value;
        entry->value = value;
        return replaced;
    }
    if (self->used == self->capacity)
        rebuild (self);
    entry = &self->entries [self->used];
    *entry = (entry_t){ .hash = hash, .value = value, .size = size, .alive = true };
    unsigned char *copy = entry->key.near;
    if (size > INLINE_KEY_BYTES) {
        copy = entry->key.far = malloc (size);
        if (!copy)
            abort ();
    }
    if (size)
        memcpy (copy, key, size);
    index_entry (self, self->used++);
    self->count++;
    return NULL;
}

void *yard_table_take (yard_table_t *self, const void *key, size_t size)
{
    entry_t *entry = find (self, sip_hash (self->key, key, size), key, size);
    if (!entry)
        return NULL;
    free_key (entry);
    entry->alive = false;
    self->count--;
    while (self->first < self->used && !self->entries [self->first].alive)
        self->first++;
    return entry->value;
}

size_t yard_table_count (const yard_table_t *self)
{
    return self->count;
}

bool yard_table_next (const yard_table_t *self, size_t *at, void **ret_value)
{
    size_t number = *at > self->first ? *at : self->first;
    while (number < self->used && !self->entries [number].alive)
        number++;
    if (number >= self->used)
        return false;
    *ret_value = self->entries [number].value;
    *at = number + 1;
    return true;
}
