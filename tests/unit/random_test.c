// SPDX-License-Identifier: Apache-2.0
/*  random_test.c - chance, and its repetition
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "actors/ground/random.h"

static void xoshiro_gives_the_published_sequence (void **state)
{
    (void) state;
    /* From the state 1, 2, 3, 4. The first by hand: (2 * 5 rotated by 7) * 9 = 11520; the rest by an independent program. */
    yard_random_t random = { { 1, 2, 3, 4 }, 1 };
    const uint64_t expected [] = { 11520, 0, 1509978240, 1215971899390074240 };
    for (size_t i = 0; i < 4; i++)
        assert_int_equal (yard_random_next (&random), expected [i]);
}

static void a_seed_is_spread_by_splitmix (void **state)
{
    (void) state;
    /* The first outputs of splitmix64 from 0. */
    yard_random_t random;
    yard_random_seed (&random, 0);
    assert_int_equal (random.state [0], 0xe220a8397b1dcdaf);
    assert_int_equal (random.state [1], 0x6e789e6aa1b965f4);
    assert_int_equal (random.state [2], 0x06c45d188009454f);
    assert_int_equal (random.state [3], 0xf88bb8a8724c81ec);
}

static void the_same_seed_gives_the_same_bytes (void **state)
{
    (void) state;
    unsigned char a [37], b [37];
    yard_random_t first, second;
    yard_random_seed (&first, 7);
    yard_random_seed (&second, 7);
    yard_random_bytes (&first, a, sizeof a);
    yard_random_bytes (&second, b, sizeof b);
    assert_memory_equal (a, b, sizeof a);
    yard_random_seed (&second, 8);
    yard_random_bytes (&second, b, sizeof b);
    assert_memory_not_equal (a, b, sizeof a);
}

static void without_a_seed_no_two_are_alike (void **state)
{
    (void) state;
    yard_random_t first, second;
    yard_random_init (&first);
    yard_random_init (&second);
    assert_true (yard_random_next (&first) != yard_random_next (&second));
    unsigned char a [32] = { 0 }, b [32] = { 0 };
    second = first; /* the same state: bytes come from the kernel nevertheless */
    yard_random_bytes (&first, a, sizeof a);
    yard_random_bytes (&second, b, sizeof b);
    assert_memory_not_equal (a, b, sizeof a);
}

static void below_stays_below_and_reaches_all (void **state)
{
    (void) state;
    yard_random_t random;
    yard_random_seed (&random, 1);
    unsigned int seen [6] = { 0 };
    for (int i = 0; i < 6000; i++) {
        uint64_t value = yard_random_below (&random, 6);
        assert_true (value < 6);
        seen [value]++;
    }
    /* 1000 expected each; 150 are five standard deviations. */
    for (int i = 0; i < 6; i++)
        assert_in_range (seen [i], 850, 1150);
    for (int i = 0; i < 100; i++) {
        assert_int_equal (yard_random_below (&random, 1), 0);
        assert_true (yard_random_below (&random, UINT64_MAX) < UINT64_MAX);
        assert_true (yard_random_below (&random, (UINT64_C (1) << 63) + 1) <= UINT64_C (1) << 63);
    }
}

static void hex_has_as_many_digits_as_asked (void **state)
{
    (void) state;
    yard_random_t random;
    yard_random_seed (&random, 1);
    for (size_t digits = 0; digits < 100; digits++) {
        char text [101];
        memset (text, '?', sizeof text);
        yard_random_hex (&random, text, digits);
        assert_int_equal (strlen (text), digits);
        assert_int_equal (strspn (text, "0123456789abcdef"), digits);
    }
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (xoshiro_gives_the_published_sequence),
        cmocka_unit_test (a_seed_is_spread_by_splitmix),
        cmocka_unit_test (the_same_seed_gives_the_same_bytes),
        cmocka_unit_test (without_a_seed_no_two_are_alike),
        cmocka_unit_test (below_stays_below_and_reaches_all),
        cmocka_unit_test (hex_has_as_many_digits_as_asked),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
