// SPDX-License-Identifier: Apache-2.0
/*  progress_test.c - how far, how fast, how long still
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include "tools/modelyard/progress.h"

#define MIB (1024 * 1024)

static void nothing_told_has_no_speed_and_no_end (void **state)
{
    (void) state;
    progress_t progress = { 0 };
    assert_int_equal (progress_speed (&progress, 1000), 0);
    assert_int_equal (progress_left_ms (&progress, 1000), -1);
}

static void a_steady_stream_shows_speed_and_time_left (void **state)
{
    (void) state;
    progress_t progress = { 0 };
    for (int64_t ms = 0; ms <= 10000; ms += 100)
        progress_told (&progress, ms, (uint64_t) ms * MIB / 100, 200 * MIB);
    assert_in_range (progress_speed (&progress, 10000), 9 * MIB, 11 * MIB);
    assert_in_range (progress_left_ms (&progress, 10000), 9000, 11000);
}

static void a_stall_shows_within_the_window (void **state)
{
    (void) state;
    progress_t progress = { 0 };
    for (int64_t ms = 0; ms <= 5000; ms += 100)
        progress_told (&progress, ms, (uint64_t) ms * 1000, 100 * MIB);
    for (int64_t ms = 5100; ms <= 12000; ms += 100)
        progress_told (&progress, ms, 5000 * 1000, 100 * MIB);
    assert_int_equal (progress_speed (&progress, 12000), 0);
    assert_int_equal (progress_left_ms (&progress, 12000), -1);
}

static void a_resumed_download_does_not_count_what_it_had (void **state)
{
    (void) state;
    progress_t progress = { 0 };
    for (int64_t ms = 0; ms <= 2000; ms += 100)
        progress_told (&progress, ms, 500 * MIB + (uint64_t) ms * 1000, 1000 * MIB);
    assert_in_range (progress_speed (&progress, 2000), 900 * 1000, 1100 * 1000);
}

static void beginning_anew_forgets_the_old_speed (void **state)
{
    (void) state;
    progress_t progress = { 0 };
    progress_told (&progress, 0, 500 * MIB, 1000 * MIB);
    progress_told (&progress, 1000, 600 * MIB, 1000 * MIB);
    progress_told (&progress, 1100, 0, 1000 * MIB);
    assert_int_equal (progress_speed (&progress, 1200), 0);
}

static void a_million_reports_stay_in_the_ring (void **state)
{
    (void) state;
    progress_t progress = { 0 };
    for (int64_t ms = 0; ms < 1000000; ms++)
        progress_told (&progress, ms, (uint64_t) ms, 1000000);
    assert_in_range (progress.count, 2, PROGRESS_SAMPLES);
    assert_in_range (progress_speed (&progress, 999999), 990, 1010);
}

static void the_line_says_all_four (void **state)
{
    (void) state;
    char line [256];
    progress_t progress = { 0 };
    progress_told (&progress, 0, 0, 100 * MIB);
    progress_told (&progress, 1000, 25 * MIB, 100 * MIB);
    assert_string_equal (progress_line (&progress, 1000, 0, line, sizeof line),
                         " 25 %  25.0 MiB of 100 MiB  25.0 MiB/s  3.0 s left");
}

static void the_bar_fills_the_room_and_no_more (void **state)
{
    (void) state;
    char line [256];
    progress_t progress = { 0 };
    progress_told (&progress, 0, 50, 100);
    for (size_t columns = 0; columns < 200; columns++) {
        progress_line (&progress, 0, columns, line, sizeof line);
        if (columns > 60)
            assert_true (strlen (line) <= columns && line [0] == '[');
    }
    progress_line (&progress, 0, 200, line, sizeof line);
    assert_non_null (strstr (line, "[###################-------------------]"));
}

static void percent_is_100_only_when_all_is_there (void **state)
{
    (void) state;
    char line [256];
    progress_t progress = { 0 };
    progress_told (&progress, 0, 999999, 1000000);
    assert_non_null (strstr (progress_line (&progress, 0, 0, line, sizeof line), " 99 %"));
    progress_told (&progress, 0, 1000000, 1000000);
    assert_non_null (strstr (progress_line (&progress, 0, 0, line, sizeof line), "100 %"));
}

static void an_unknown_total_shows_bytes_and_speed (void **state)
{
    (void) state;
    char line [256];
    progress_t progress = { 0 };
    progress_told (&progress, 0, 0, 0);
    progress_told (&progress, 1000, 2048, 0);
    assert_string_equal (progress_line (&progress, 1000, 120, line, sizeof line), "2.00 KiB  2.00 KiB/s");
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (nothing_told_has_no_speed_and_no_end),
        cmocka_unit_test (a_steady_stream_shows_speed_and_time_left),
        cmocka_unit_test (a_stall_shows_within_the_window),
        cmocka_unit_test (a_resumed_download_does_not_count_what_it_had),
        cmocka_unit_test (beginning_anew_forgets_the_old_speed),
        cmocka_unit_test (a_million_reports_stay_in_the_ring),
        cmocka_unit_test (the_line_says_all_four),
        cmocka_unit_test (the_bar_fills_the_room_and_no_more),
        cmocka_unit_test (percent_is_100_only_when_all_is_there),
        cmocka_unit_test (an_unknown_total_shows_bytes_and_speed),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
