// SPDX-License-Identifier: Apache-2.0
/*  random.c - xoshiro256** for chance, getrandom for secrets
 *
 *  xoshiro256** 1.0: Blackman, Vigna, "Scrambled linear pseudorandom number generators" (2018). A
 *  64-bit seed is spread over its 256 bits by splitmix64 (Steele, Lea, Flood 2014), as they recommend:
 *  it never yields the all-zero state.
 */
#include "random.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include "digest.h"

/*  A machine that cannot give random bytes cannot give keys: nothing goes on without them. */
static void kernel_bytes (void *data, size_t size)
{
    unsigned char *at = data;
    while (size) {
        ssize_t got = getrandom (at, size, 0);
        if (got < 0 && errno != EINTR)
            abort ();
        if (got > 0) {
            at += got;
            size -= (size_t) got;
        }
    }
}

void yard_random_init (yard_random_t *self)
{
    self->seeded = 0;
    do
        kernel_bytes (self->state, sizeof self->state);
    while (!(self->state [0] | self->state [1] | self->state [2] | self->state [3]));
}

void yard_random_seed (yard_random_t *self, uint64_t seed)
{
    self->seeded = 1;
    for (int i = 0; i < 4; i++) {
        seed += 0x9e3779b97f4a7c15;
        uint64_t mixed = seed;
        mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
        mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
        self->state [i] = mixed ^ (mixed >> 31);
    }
}

static uint64_t rotate_left (uint64_t value, int bits)
{
    return (value << bits) | (value >> (64 - bits));
}

/*  The names of the paper: starstar scrambler over the linear engine of 256 bits. */
uint64_t yard_random_next (yard_random_t *self)
{
    uint64_t *state = self->state;
    uint64_t result = rotate_left (state [1] * 5, 7) * 9;
    uint64_t shifted = state [1] << 17;
    state [2] ^= state [0];
    state [3] ^= state [1];
    state [1] ^= state [2];
    state [0] ^= state [3];
    state [2] ^= shifted;
    state [3] = rotate_left (state [3], 45);
    return result;
}

uint64_t yard_random_below (yard_random_t *self, uint64_t bound)
{
    assert (bound > 0);
    /* The lowest 2^64 mod bound values are drawn again, so that every rest is equally likely. */
    uint64_t uneven = (0 - bound) % bound;
    uint64_t value;
    do
        value = yard_random_next (self);
    while (value < uneven);
    return value % bound;
}

void yard_random_bytes (yard_random_t *self, void *data, size_t size)
{
    if (!self->seeded) {
        kernel_bytes (data, size);
        return;
    }
    unsigned char *at = data;
    while (size) {
        uint64_t value = yard_random_next (self);
        size_t part = size < sizeof value ? size : sizeof value;
        memcpy (at, &value, part);
        at += part;
        size -= part;
    }
}

void yard_random_hex (yard_random_t *self, char *text, size_t digits)
{
    while (digits) {
        unsigned char bytes [16];
        char hex [2 * sizeof bytes + 1];
        size_t part = digits < 2 * sizeof bytes ? digits : 2 * sizeof bytes;
        yard_random_bytes (self, bytes, (part + 1) / 2);
        yard_hex (bytes, (part + 1) / 2, hex);
        memcpy (text, hex, part);
        text += part;
        digits -= part;
    }
    *text = 0;
}
