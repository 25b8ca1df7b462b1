// SPDX-License-Identifier: Apache-2.0
/*  arena_test.c - memory of one request
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "actors/ground/arena.h"

static void blocks_are_aligned_and_zeroed_even_after_a_reset (void **state)
{
    (void) state;
    yard_arena_t *arena = yard_arena_new (1 << 20);
    static const unsigned char zeros [300];
    for (int round = 0; round < 3; round++) {
        for (size_t size = 0; size < 300; size++) {
            unsigned char *memory = yard_arena_alloc (arena, size);
            assert_non_null (memory);
            assert_int_equal ((uintptr_t) memory % 16, 0);
            assert_memory_equal (memory, zeros, size);
            memset (memory, 0xaa, size);
        }
        yard_arena_reset (arena);
        assert_int_equal (yard_arena_used (arena), 0);
    }
    yard_arena_destroy (&arena);
    assert_null (arena);
    yard_arena_destroy (&arena);
}

static void what_was_given_never_moves (void **state)
{
    (void) state;
    yard_arena_t *arena = yard_arena_new (SIZE_MAX);
    char *texts [2000];
    for (int i = 0; i < 2000; i++)
        texts [i] = yard_arena_printf (arena, "text %d with some more bytes behind it", i);
    assert_non_null (yard_arena_alloc (arena, 3000000));
    for (int i = 0; i < 2000; i++) {
        const char *expected = yard_arena_printf (arena, "text %d with some more bytes behind it", i);
        assert_string_equal (texts [i], expected);
    }
    yard_arena_destroy (&arena);
}

static void beyond_the_limit_there_is_nothing (void **state)
{
    (void) state;
    yard_arena_t *arena = yard_arena_new (100);
    assert_null (yard_arena_alloc (arena, 101));
    assert_null (yard_arena_alloc (arena, SIZE_MAX));
    assert_null (yard_arena_text (arena, (yard_string_t){ "", SIZE_MAX }));
    assert_int_equal (yard_arena_used (arena), 0);
    assert_non_null (yard_arena_alloc (arena, 100));
    assert_null (yard_arena_alloc (arena, 1));
    assert_null (yard_arena_printf (arena, "%s", "text"));
    assert_null (yard_arena_copy (arena, yard_string ("text")).data);
    yard_arena_reset (arena);
    assert_non_null (yard_arena_alloc (arena, 100));
    yard_arena_destroy (&arena);
}

static void many_small_pieces_count_what_they_cost (void **state)
{
    (void) state;
    yard_arena_t *arena = yard_arena_new (16000);
    int given = 0;
    while (given < 100000 && yard_arena_alloc (arena, 1))
        given++;
    assert_int_equal (given, 1000);
    yard_arena_destroy (&arena);
}

static void copies_are_terminated (void **state)
{
    (void) state;
    yard_arena_t *arena = yard_arena_new (10000);
    yard_string_t view = { "abcdef", 3 };
    assert_string_equal (yard_arena_text (arena, view), "abc");
    yard_string_t copy = yard_arena_copy (arena, view);
    assert_int_equal (copy.size, 3);
    assert_ptr_not_equal (copy.data, view.data);
    assert_memory_equal (copy.data, "abc", 4);
    assert_string_equal (yard_arena_text (arena, (yard_string_t){ NULL, 0 }), "");
    assert_string_equal (yard_arena_printf (arena, "%s-%d", "a", 7), "a-7");
    yard_arena_destroy (&arena);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (blocks_are_aligned_and_zeroed_even_after_a_reset),
        cmocka_unit_test (what_was_given_never_moves),
        cmocka_unit_test (beyond_the_limit_there_is_nothing),
        cmocka_unit_test (many_small_pieces_count_what_they_cost),
        cmocka_unit_test (copies_are_terminated),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
