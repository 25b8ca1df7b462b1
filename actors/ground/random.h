// SPDX-License-Identifier: Apache-2.0
/*  random.h - the one source of chance in a process
 *
 *  Seeded from getrandom(2), or by the simulation. xoshiro256** (Blackman, Vigna 2018): for jitter and test
 *  values, never for secrets; keys, tokens and instances come from yard_random_bytes, which is getrandom
 *  unless the simulation seeded it.
 */
#ifndef YARD_GROUND_RANDOM_H
#define YARD_GROUND_RANDOM_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t state [4];
    int seeded; /* nonzero: everything comes from the seed */
} yard_random_t;

void yard_random_init (yard_random_t *self); /* from getrandom */
void yard_random_seed (yard_random_t *self, uint64_t seed); /* for the simulation and for tests */
uint64_t yard_random_next (yard_random_t *self);
uint64_t yard_random_below (yard_random_t *self, uint64_t bound); /* uniform in [0, bound), bound > 0 */
void yard_random_bytes (yard_random_t *self, void *data, size_t size);
void yard_random_hex (yard_random_t *self, char *text, size_t digits); /* text has room for digits + 1 */

#endif
