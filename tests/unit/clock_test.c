// SPDX-License-Identifier: Apache-2.0
/*  clock_test.c - the system's clocks and the text of a time
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "actors/ground/clock.h"

static void times_read_as_people_write_them (void **state)
{
    (void) state;
    const struct {
        int64_t wall_ms;
        const char *text;
    } rows [] = {
        { 0, "1970-01-01T00:00:00.000Z" },
        { 1795299471123, "2026-11-21T22:17:51.123Z" },
        { 951782400001, "2000-02-29T00:00:00.001Z" },
        { -1, "1969-12-31T23:59:59.999Z" },
        { -1000, "1969-12-31T23:59:59.000Z" },
        { INT64_MAX, "9999-12-31T23:59:59.999Z" },
        { INT64_MIN, "0000-01-01T00:00:00.000Z" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text [YARD_TIME_TEXT_SIZE];
        yard_time_text (rows [i].wall_ms, text);
        assert_string_equal (text, rows [i].text);
    }
}

static void the_monotonic_clock_never_runs_back (void **state)
{
    (void) state;
    const yard_clock_t *clock = yard_clock_system ();
    int64_t last = clock->monotonic_ns (clock->context);
    for (int i = 0; i < 10000; i++) {
        int64_t now = clock->monotonic_ns (clock->context);
        assert_true (now >= last);
        last = now;
    }
    assert_true (yard_clock_ms (clock) >= last / 1000000);
}

static void the_wall_clock_counts_milliseconds_since_1970 (void **state)
{
    (void) state;
    /* Between 2020 and 2100. */
    int64_t now = yard_clock_wall_ms (yard_clock_system ());
    assert_true (now > 1577836800000 && now < 4102444800000);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (times_read_as_people_write_them),
        cmocka_unit_test (the_monotonic_clock_never_runs_back),
        cmocka_unit_test (the_wall_clock_counts_milliseconds_since_1970),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
