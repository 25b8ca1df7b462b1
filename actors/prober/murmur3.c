// SPDX-License-Identifier: Apache-2.0
/*  murmur3.c - MurmurHash3 x64 128 with seed 0 (Austin Appleby, 2011, public domain)
 *
 *  Not for anything an attacker may choose: it only tells files apart that nobody forged.
 */
#include "hash.h"

#include <endian.h>

#define C1 UINT64_C (0x87c37b91114253d5)
#define C2 UINT64_C (0x4cf5ad432745937f)

static uint64_t rotate (uint64_t value, int bits)
{
    return value << bits | value >> (64 - bits);
}

static uint64_t scramble (uint64_t value, uint64_t first, int bits, uint64_t second)
{
    return rotate (value * first, bits) * second;
}

static uint64_t finish (uint64_t value)
{
    value = (value ^ value >> 33) * UINT64_C (0xff51afd7ed558ccd);
    value = (value ^ value >> 33) * UINT64_C (0xc4ceb9fe1a85ec53);
    return value ^ value >> 33;
}

static uint64_t load (const uint8_t *bytes)
{
    uint64_t word;
    memcpy (&word, bytes, sizeof word);
    return le64toh (word);
}

void prober_murmur3 (const void *data, size_t size, uint8_t ret_hash [16])
{
    const uint8_t *at = data;
    uint64_t low = 0, high = 0;
    for (size_t left = size; left >= 16; left -= 16, at += 16) {
        low ^= scramble (load (at), C1, 31, C2);
        low = (rotate (low, 27) + high) * 5 + 0x52dce729;
        high ^= scramble (load (at + 8), C2, 33, C1);
        high = (rotate (high, 31) + low) * 5 + 0x38495ab5;
    }
    uint8_t tail [16] = { 0 };
    if (size % 16)
        memcpy (tail, at, size % 16);
    high ^= scramble (load (tail + 8), C2, 33, C1);
    low ^= scramble (load (tail), C1, 31, C2);
    low ^= size;
    high ^= size;
    low += high;
    high += low;
    low = finish (low);
    high = finish (high);
    low += high;
    high += low;
    low = htobe64 (low);
    high = htobe64 (high);
    memcpy (ret_hash, &low, 8);
    memcpy (ret_hash + 8, &high, 8);
}
