// SPDX-License-Identifier: Apache-2.0
/*  table_test.c - order, growth, removal
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "actors/ground/random.h"
#include "actors/ground/table.h"

static void *value_of (uintptr_t number)
{
    return (void *) number;
}

static void get_put_take_and_count (void **state)
{
    (void) state;
    yard_table_t *table = yard_table_new ();
    assert_null (yard_table_get (table, "a", 1));
    assert_null (yard_table_take (table, "a", 1));
    assert_null (yard_table_put (table, "a", 1, value_of (1)));
    assert_null (yard_table_put (table, "ab", 2, value_of (2)));
    assert_ptr_equal (yard_table_put (table, "a", 1, value_of (3)), value_of (1));
    assert_ptr_equal (yard_table_get (table, "a", 1), value_of (3));
    assert_ptr_equal (yard_table_get (table, "ab", 2), value_of (2));
    assert_int_equal (yard_table_count (table), 2);
    assert_ptr_equal (yard_table_take (table, "a", 1), value_of (3));
    assert_null (yard_table_get (table, "a", 1));
    assert_null (yard_table_take (table, "a", 1));
    assert_int_equal (yard_table_count (table), 1);
    yard_table_destroy (&table);
    assert_null (table);
    yard_table_destroy (&table);
}

static void keys_are_bytes_of_any_length_and_are_copied (void **state)
{
    (void) state;
    yard_table_t *table = yard_table_new ();
    unsigned char key [100] = { 0 };
    /* Prefixes of one run of zeros differ by length alone; 16 and 17 lie on both sides of the keys held in place. */
    for (size_t size = 0; size <= sizeof key; size++)
        assert_null (yard_table_put (table, key, size, value_of (size + 1)));
    memset (key, 0xff, sizeof key);
    assert_null (yard_table_get (table, key, 17));
    memset (key, 0, sizeof key);
    for (size_t size = 0; size <= sizeof key; size++)
        assert_ptr_equal (yard_table_get (table, key, size), value_of (size + 1));
    assert_ptr_equal (yard_table_get (table, NULL, 0), value_of (1));
    for (size_t size = 0; size <= sizeof key; size += 2)
        assert_ptr_equal (yard_table_take (table, key, size), value_of (size + 1));
    yard_table_destroy (&table);
}

static void iteration_is_in_order_of_insertion (void **state)
{
    (void) state;
    yard_table_t *table = yard_table_new ();
    for (uint64_t i = 0; i < 1000; i++)
        yard_table_put_u64 (table, i * 7919 % 1000, value_of (i * 7919 % 1000 + 1));
    /* Replacing keeps the place, taking and putting again goes to the end. */
    yard_table_put_u64 (table, 0, value_of (1));
    void *last = yard_table_take_u64 (table, 7919 % 1000);
    yard_table_put_u64 (table, 7919 % 1000, last);
    void *value = NULL;
    uint64_t seen = 0;
    for (size_t at = 0; yard_table_next (table, &at, &value); seen++) {
        uint64_t turn = seen == 0 ? 0 : seen == 999 ? 1 : seen + 1;
        assert_ptr_equal (value, value_of (turn * 7919 % 1000 + 1));
    }
    assert_int_equal (seen, 1000);
    yard_table_destroy (&table);
}

static void the_current_entry_may_be_taken_while_iterating (void **state)
{
    (void) state;
    yard_table_t *table = yard_table_new ();
    for (uintptr_t i = 1; i <= 500; i++)
        yard_table_put_u64 (table, i, value_of (i));
    void *value = NULL;
    uintptr_t expected = 1;
    for (size_t at = 0; yard_table_next (table, &at, &value); expected++) {
        assert_ptr_equal (value, value_of (expected));
        if (expected % 3)
            assert_ptr_equal (yard_table_take_u64 (table, expected), value);
    }
    assert_int_equal (expected, 501);
    assert_int_equal (yard_table_count (table), 166);
    for (size_t at = 0; yard_table_next (table, &at, &value);)
        yard_table_take_u64 (table, (uintptr_t) value);
    size_t at = 0;
    assert_false (yard_table_next (table, &at, &value));
    assert_int_equal (yard_table_count (table), 0);
    yard_table_destroy (&table);
}

static void a_table_used_as_a_queue_stays_small_and_in_order (void **state)
{
    (void) state;
    yard_table_t *table = yard_table_new ();
    /* 200,000 entries pass through, ten at a time: tombstones must be swept, and finding the oldest must not cost what passed. */
    for (uint64_t i = 1; i <= 200000; i++) {
        yard_table_put_u64 (table, i, value_of (i));
        if (i > 10) {
            size_t at = 0;
            void *oldest = NULL;
            assert_true (yard_table_next (table, &at, &oldest));
            assert_ptr_equal (oldest, value_of (i - 10));
            assert_ptr_equal (yard_table_take_u64 (table, i - 10), oldest);
        }
    }
    assert_int_equal (yard_table_count (table), 10);
    yard_table_destroy (&table);
}

#define MODEL_KEYS 512

/*  Against the plainest model there is: an array. */
static void random_work_agrees_with_an_array (void **state)
{
    (void) state;
    yard_random_t random;
    yard_random_seed (&random, 20);
    yard_table_t *table = yard_table_new ();
    void *model [MODEL_KEYS] = { 0 };
    size_t count = 0;
    for (uintptr_t i = 1; i < 50000; i++) {
        /* Long stretches of mostly putting, then of mostly taking, so that it fills and empties. */
        bool put = yard_random_below (&random, 10) < (i / 5000 % 2 ? 2 : 8);
        uint64_t key = yard_random_below (&random, MODEL_KEYS);
        if (put) {
            assert_ptr_equal (yard_table_put_u64 (table, key, value_of (i)), model [key]);
            count += model [key] == NULL;
            model [key] = value_of (i);
        } else {
            assert_ptr_equal (yard_table_take_u64 (table, key), model [key]);
            count -= model [key] != NULL;
            model [key] = NULL;
        }
        assert_int_equal (yard_table_count (table), count);
        key = yard_random_below (&random, MODEL_KEYS);
        assert_ptr_equal (yard_table_get_u64 (table, key), model [key]);
    }
    size_t seen = 0;
    void *value = NULL;
    for (size_t at = 0; yard_table_next (table, &at, &value);)
        seen++;
    assert_int_equal (seen, count);
    yard_table_destroy (&table);
}

static void a_seed_does_not_lose_what_a_table_holds (void **state)
{
    (void) state;
    yard_table_t *before = yard_table_new ();
    yard_table_put (before, "key", 3, value_of (1));
    yard_table_seed (42);
    yard_table_t *after = yard_table_new ();
    yard_table_put (after, "key", 3, value_of (2));
    assert_ptr_equal (yard_table_get (before, "key", 3), value_of (1));
    assert_ptr_equal (yard_table_get (after, "key", 3), value_of (2));
    yard_table_destroy (&before);
    yard_table_destroy (&after);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (get_put_take_and_count),
        cmocka_unit_test (keys_are_bytes_of_any_length_and_are_copied),
        cmocka_unit_test (iteration_is_in_order_of_insertion),
        cmocka_unit_test (the_current_entry_may_be_taken_while_iterating),
        cmocka_unit_test (a_table_used_as_a_queue_stays_small_and_in_order),
        cmocka_unit_test (random_work_agrees_with_an_array),
        cmocka_unit_test (a_seed_does_not_lose_what_a_table_holds),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
