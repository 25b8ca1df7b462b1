// SPDX-License-Identifier: Apache-2.0
/*  top_frame_test.c - one picture of `modelyard top`
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include "tools/modelyard/text.h"
#include "tools/modelyard/top_frame.h"

#define MIB ((uint64_t) 1024 * 1024)

static loader_seen_t loader_of (const char *place, uint64_t read_bytes)
{
    loader_seen_t seen = { .device = yard_string ("host"),
                           .node = yard_string ("a"),
                           .place = yard_string (place) };
    yard_wire_init (load_device_answer_type (), &seen.about);
    seen.about.device = seen.device;
    seen.about.name = yard_string ("a");
    seen.about.budget_bytes = seen.about.free_bytes = 1024 * MIB;
    seen.about.read_bytes = read_bytes;
    return seen;
}

static char *drawn (const loaders_t *loaders, const top_rates_t *rates, size_t width, size_t height,
                    const char *failure)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream (&text, &size);
    const top_view_t view = { .when = "14:03:22", .failure = failure, .width = width, .height = height };
    top_frame_draw (loaders, rates, &view, out);
    fclose (out);
    return text;
}

static void a_rate_is_the_difference_of_two_looks (void **state)
{
    (void) state;
    top_rates_t *rates = calloc (1, sizeof *rates);
    loader_seen_t seen = loader_of ("loader/a/host", 100 * MIB);
    loaders_t loaders = { &seen, 1 };
    top_rates_told (rates, &loaders, 1000);
    char *text = drawn (&loaders, rates, 0, 0, NULL);
    assert_null (strstr (text, "reads"));
    free (text);
    seen.about.read_bytes = 150 * MIB;
    top_rates_told (rates, &loaders, 1500);
    text = drawn (&loaders, rates, 0, 0, NULL);
    assert_non_null (strstr (text, "reads 100 MiB/s"));
    free (text);
    free (rates);
}

static void a_loader_that_began_anew_has_no_rate_until_the_look_after (void **state)
{
    (void) state;
    top_rates_t *rates = calloc (1, sizeof *rates);
    loader_seen_t seen = loader_of ("loader/a/host", 100 * MIB);
    loaders_t loaders = { &seen, 1 };
    top_rates_told (rates, &loaders, 1000);
    seen.about.read_bytes = 10;
    top_rates_told (rates, &loaders, 2000);
    assert_false (rates->items [0].known);
    seen.about.read_bytes = 2010;
    top_rates_told (rates, &loaders, 3000);
    assert_true (rates->items [0].known);
    assert_int_equal (rates->items [0].bytes_per_s, 2000);
    free (rates);
}

static void two_looks_at_once_are_no_rate (void **state)
{
    (void) state;
    top_rates_t *rates = calloc (1, sizeof *rates);
    loader_seen_t seen = loader_of ("loader/a/host", 1);
    loaders_t loaders = { &seen, 1 };
    top_rates_told (rates, &loaders, 1000);
    top_rates_told (rates, &loaders, 1000);
    assert_false (rates->items [0].known);
    free (rates);
}

static void a_silent_loader_keeps_its_last_count (void **state)
{
    (void) state;
    top_rates_t *rates = calloc (1, sizeof *rates);
    loader_seen_t seen = loader_of ("loader/a/host", 1000);
    loaders_t loaders = { &seen, 1 };
    top_rates_told (rates, &loaders, 1000);
    seen.described = (loader_outcome_t){ YARD_TIMEOUT, "stopped" };
    top_rates_told (rates, &loaders, 2000);
    char *text = drawn (&loaders, rates, 0, 0, NULL);
    assert_non_null (strstr (text, "loader/a/host does not answer: stopped (timeout)"));
    free (text);
    seen.described.code = 0;
    seen.about.read_bytes = 3000;
    top_rates_told (rates, &loaders, 3000);
    assert_int_equal (rates->items [0].bytes_per_s, 1000);
    free (rates);
}

static void more_loaders_than_there_is_room_for_are_left_out (void **state)
{
    (void) state;
    top_rates_t *rates = calloc (1, sizeof *rates);
    for (unsigned i = 0; i < TOP_RATES_MAX + 10; i++) {
        char place [64];
        snprintf (place, sizeof place, "loader/box%u/host", i);
        loader_seen_t seen = loader_of (place, 1);
        top_rates_told (rates, &(loaders_t){ &seen, 1 }, 1000);
    }
    assert_int_equal (rates->count, TOP_RATES_MAX);
    free (rates);
}

static void a_picture_fits_its_terminal (void **state)
{
    (void) state;
    load_row_t rows [40];
    for (size_t i = 0; i < 40; i++) {
        yard_wire_init (load_row_type (), &rows [i]);
        rows [i].name =
            yard_string ("a model with a rather long name that must be cut somewhere on a small terminal");
        rows [i].key = yard_string ("0123456789abcdef");
        rows [i].device = yard_string ("host");
        rows [i].state = yard_string ("leased");
    }
    loader_seen_t seen = loader_of ("loader/a/host", 1);
    seen.list.loads.items = rows;
    seen.list.loads.count = 40;
    top_rates_t *rates = calloc (1, sizeof *rates);
    for (size_t width = 20; width < 140; width += 13)
        for (size_t height = 1; height < 60; height += 7) {
            char *text = drawn (&(loaders_t){ &seen, 1 }, rates, width, height, "gone away");
            size_t lines = 0;
            for (char *line = text, *end; *line; line = end + 1, lines++) {
                end = strchr (line, '\n');
                assert_non_null (end);
                *end = 0;
                assert_true (text_columns (line) <= width);
            }
            assert_true (lines <= height);
            free (text);
        }
    free (rates);
}

static void the_head_counts_and_the_device_line_says_where_its_budget_is (void **state)
{
    (void) state;
    load_row_t rows [3];
    static const char *const states [] = { "leased", "loading", "idle" };
    for (size_t i = 0; i < 3; i++) {
        yard_wire_init (load_row_type (), &rows [i]);
        rows [i].state = yard_string (states [i]);
    }
    loader_seen_t seen = loader_of ("loader/a/host", 1);
    seen.list.loads.items = rows;
    seen.list.loads.count = 3;
    seen.about.models = 2;
    seen.about.held_bytes = 512 * MIB;
    seen.about.idle_bytes = 256 * MIB;
    seen.about.reserved_bytes = 256 * MIB;
    seen.about.free_bytes = 256 * MIB;
    seen.about.loads = 4;
    seen.about.hits = 3;
    top_rates_t *rates = calloc (1, sizeof *rates);
    char *text = drawn (&(loaders_t){ &seen, 1 }, rates, 0, 0, NULL);
    assert_non_null (strstr (text, "14:03:22  1 device, 2 models, 1 leased, 1 loading, 1 idle\n"));
    assert_non_null (strstr (
        text, "host     [########=======++++++++.......]  held 512 MiB  idle 256 MiB  reserved 256 MiB  "
              "free 256 MiB of 1.00 GiB  hits 75 %\n"));
    free (text);
    free (rates);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (a_rate_is_the_difference_of_two_looks),
        cmocka_unit_test (a_loader_that_began_anew_has_no_rate_until_the_look_after),
        cmocka_unit_test (two_looks_at_once_are_no_rate),
        cmocka_unit_test (a_silent_loader_keeps_its_last_count),
        cmocka_unit_test (more_loaders_than_there_is_room_for_are_left_out),
        cmocka_unit_test (a_picture_fits_its_terminal),
        cmocka_unit_test (the_head_counts_and_the_device_line_says_where_its_budget_is),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
