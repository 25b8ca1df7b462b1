// SPDX-License-Identifier: Apache-2.0
/*  table.h - a hash table from bytes to a pointer
 *
 *  Keys are copied. Values are the caller's: destroy does not free them. Order of iteration is order of
 *  insertion, so that the simulation replays. Hashing is keyed (siphash-2-4 with a random key per process;
 *  fixed by the simulation), so hostile keys do not collide on purpose.
 */
#ifndef YARD_GROUND_TABLE_H
#define YARD_GROUND_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct yard_table_t yard_table_t;

yard_table_t *yard_table_new (void);
void yard_table_destroy (yard_table_t **self_p);

void *yard_table_get (const yard_table_t *self, const void *key, size_t size); /* NULL when absent */
/*  the value it replaces, or NULL */
void *yard_table_put (yard_table_t *self, const void *key, size_t size, void *value);
/*  removes and gives the value, or NULL */
void *yard_table_take (yard_table_t *self, const void *key, size_t size);
size_t yard_table_count (const yard_table_t *self);

/*  The hash key of all tables made from now on, for the simulation. Without it the key is drawn from
 *  getrandom at the first table. Call it before any thread is started. */
void yard_table_seed (uint64_t seed);

/*  for (size_t at = 0; yard_table_next (table, &at, &value);) — taking the current entry inside the loop is
 *  allowed. */
bool yard_table_next (const yard_table_t *self, size_t *at, void **ret_value);

/*  The same by number. */
static inline void *yard_table_get_u64 (const yard_table_t *self, uint64_t key)
{
    return yard_table_get (self, &key, sizeof key);
}
static inline void *yard_table_put_u64 (yard_table_t *self, uint64_t key, void *value)
{
    return yard_table_put (self, &key, sizeof key, value);
}
static inline void *yard_table_take_u64 (yard_table_t *self, uint64_t key)
{
    return yard_table_take (self, &key, sizeof key);
}

#endif
