// SPDX-License-Identifier: Apache-2.0
/*  event_log_test.c - dense numbers, two limits
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "broker/event_log.h"

static void append (broker_event_log_t *log, const char *body)
{
    broker_event_t event = {
        .number = broker_event_log_last (log) + 1,
        .name = yard_string ("name"),
        .topic = yard_string ("name/1/"),
        .subject = yard_string ("1"),
        .body = yard_string (body),
        .stamp = yard_string ("stamp"),
    };
    broker_event_log_append (log, &event);
}

static void an_empty_log_has_no_numbers (void **state)
{
    (void) state;
    broker_event_log_t *log = broker_event_log_new (4, 1000);
    assert_int_equal (broker_event_log_first (log), 1);
    assert_int_equal (broker_event_log_last (log), 0);
    assert_null (broker_event_log_get (log, 0));
    assert_null (broker_event_log_get (log, 1));
    broker_event_log_destroy (&log);
    assert_null (log);
    broker_event_log_destroy (&log);
}

static void what_was_appended_is_kept_as_it_was (void **state)
{
    (void) state;
    broker_event_log_t *log = broker_event_log_new (4, 1000);
    char body [] = "first";
    append (log, body);
    body [0] = 'x';
    append (log, "");
    const broker_event_t *event = broker_event_log_get (log, 1);
    assert_true (yard_string_is (event->body, "first"));
    assert_true (yard_string_is (event->name, "name"));
    assert_true (yard_string_is (event->topic, "name/1/"));
    assert_true (yard_string_is (event->subject, "1"));
    assert_true (yard_string_is (event->stamp, "stamp"));
    assert_int_equal (broker_event_log_get (log, 2)->body.size, 0);
    assert_null (broker_event_log_get (log, 3));
    broker_event_log_destroy (&log);
}

static void the_oldest_leave_when_there_are_too_many (void **state)
{
    (void) state;
    broker_event_log_t *log = broker_event_log_new (1000, 1 << 30);
    for (uint64_t number = 1; number <= 3000; number++) {
        append (log, "body");
        uint64_t first = number > 1000 ? number - 999 : 1;
        assert_int_equal (broker_event_log_first (log), first);
        assert_int_equal (broker_event_log_get (log, first)->number, first);
        assert_int_equal (broker_event_log_get (log, number)->number, number);
        assert_null (broker_event_log_get (log, first - 1));
    }
    broker_event_log_destroy (&log);
}

static void the_oldest_leave_when_there_are_too_many_bytes (void **state)
{
    (void) state;
    char body [1001] = { 0 };
    memset (body, 'b', sizeof body - 1);
    broker_event_log_t *log = broker_event_log_new (1000, 3500);
    for (int i = 0; i < 10; i++) {
        append (log, body);
        assert_in_range (broker_event_log_bytes (log), 1000, 3500);
    }
    assert_int_equal (broker_event_log_first (log), 8);
    assert_int_equal (broker_event_log_last (log), 10);
    broker_event_log_destroy (&log);
}

static void one_event_larger_than_the_log_is_kept_alone (void **state)
{
    (void) state;
    char body [1001] = { 0 };
    memset (body, 'b', sizeof body - 1);
    broker_event_log_t *log = broker_event_log_new (10, 100);
    append (log, "small");
    append (log, body);
    assert_int_equal (broker_event_log_first (log), 2);
    assert_int_equal (broker_event_log_get (log, 2)->body.size, 1000);
    append (log, "small");
    assert_int_equal (broker_event_log_first (log), 3);
    broker_event_log_destroy (&log);
}

int main (void)
{
    const struct CMUnitTest cases [] = {
        cmocka_unit_test (an_empty_log_has_no_numbers),
        cmocka_unit_test (what_was_appended_is_kept_as_it_was),
        cmocka_unit_test (the_oldest_leave_when_there_are_too_many),
        cmocka_unit_test (the_oldest_leave_when_there_are_too_many_bytes),
        cmocka_unit_test (one_event_larger_than_the_log_is_kept_alone),
    };
    return cmocka_run_group_tests (cases, NULL, NULL);
}
