// SPDX-License-Identifier: Apache-2.0
/*  buffer_test.c - bytes that grow to a limit
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "actors/ground/buffer.h"

static void an_empty_buffer_is_an_empty_text (void **state)
{
    (void) state;
    yard_buffer_t buffer;
    yard_buffer_init (&buffer, 10);
    assert_string_equal (buffer.data, "");
    yard_buffer_append (&buffer, NULL, 0);
    yard_buffer_printf (&buffer, "%s", "");
    yard_buffer_reset (&buffer);
    assert_string_equal (buffer.data, "");
    assert_int_equal (yard_buffer_view (&buffer).size, 0);
    yard_buffer_clear (&buffer);
    yard_buffer_clear (&buffer);
}

static void it_grows_and_stays_terminated (void **state)
{
    (void) state;
    yard_buffer_t buffer;
    yard_buffer_init (&buffer, SIZE_MAX);
    for (size_t i = 0; i < 5000; i++) {
        yard_buffer_append (&buffer, "x", 1);
        assert_int_equal (buffer.size, i + 1);
        assert_int_equal (buffer.data [i + 1], 0);
    }
    yard_buffer_reset (&buffer);
    yard_buffer_printf (&buffer, "%d/%s", 42, "answer");
    yard_buffer_text (&buffer, "!");
    assert_string_equal (buffer.data, "42/answer!");
    assert_true (yard_string_is (yard_buffer_view (&buffer), "42/answer!"));
    assert_false (buffer.overflow);
    yard_buffer_clear (&buffer);
}

static void a_zero_byte_is_a_byte (void **state)
{
    (void) state;
    yard_buffer_t buffer;
    yard_buffer_init (&buffer, 100);
    yard_buffer_append (&buffer, "a\0b", 3);
    assert_int_equal (buffer.size, 3);
    assert_memory_equal (buffer.data, "a\0b", 4);
    yard_buffer_clear (&buffer);
}

static void the_limit_is_exact_and_what_does_not_fit_is_dropped_whole (void **state)
{
    (void) state;
    yard_buffer_t buffer;
    yard_buffer_init (&buffer, 6);
    yard_buffer_text (&buffer, "12345");
    yard_buffer_text (&buffer, "6");
    assert_false (buffer.overflow);
    yard_buffer_text (&buffer, "7");
    assert_true (buffer.overflow);
    assert_string_equal (buffer.data, "123456");
    yard_buffer_clear (&buffer);
}

static void after_an_overflow_nothing_more_is_taken_until_a_reset (void **state)
{
    (void) state;
    yard_buffer_t buffer;
    yard_buffer_init (&buffer, 6);
    yard_buffer_text (&buffer, "123");
    yard_buffer_printf (&buffer, "%d", 4567);
    yard_buffer_text (&buffer, "4");
    assert_true (buffer.overflow);
    assert_string_equal (buffer.data, "123");
    yard_buffer_append (&buffer, "", SIZE_MAX);
    yard_buffer_reset (&buffer);
    assert_false (buffer.overflow);
    yard_buffer_text (&buffer, "4");
    assert_string_equal (buffer.data, "4");
    yard_buffer_clear (&buffer);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (an_empty_buffer_is_an_empty_text),
        cmocka_unit_test (it_grows_and_stays_terminated),
        cmocka_unit_test (a_zero_byte_is_a_byte),
        cmocka_unit_test (the_limit_is_exact_and_what_does_not_fit_is_dropped_whole),
        cmocka_unit_test (after_an_overflow_nothing_more_is_taken_until_a_reset),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
