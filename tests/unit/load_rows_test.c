// SPDX-License-Identifier: Apache-2.0
/*  load_rows_test.c - tables of devices and of what is loaded on them
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include "tools/modelyard/load_rows.h"

#define GIB ((uint64_t) 1024 * 1024 * 1024)

static load_row_t row_of (const char *name, const char *state)
{
    load_row_t row;
    yard_wire_init (load_row_type (), &row);
    row.lease = yard_string ("0123456789abcdef0123456789abcdef");
    row.key = yard_string ("fedcba98765432100123456789abcdef");
    row.name = yard_string (name);
    row.device = yard_string ("host");
    row.form = load_form_resident;
    row.state = yard_string (state);
    row.owner = yard_string ("yard");
    row.bytes = GIB;
    row.attachments = 2;
    row.age_ms = 61000;
    return row;
}

static loader_seen_t loader_of (const char *place, const char *node, load_row_t *rows, size_t count)
{
    return (loader_seen_t){ .device = yard_string ("host"),
                            .node = yard_string (node),
                            .place = yard_string (place),
                            .list = { .loads = { rows, count } } };
}

static char *table_of (const loaders_t *loaders)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream (&text, &size);
    rows_t *rows = load_rows_new (loaders);
    rows_print (rows, out, 0);
    load_rows_print_silent (loaders, out);
    rows_destroy (&rows);
    fclose (out);
    return text;
}

static void a_row_says_what_where_how_large_and_whose (void **state)
{
    (void) state;
    load_row_t row = row_of ("watercolour", "leased");
    loader_seen_t seen = loader_of ("loader/a/host", "a", &row, 1);
    char *text = table_of (&(loaders_t){ &seen, 1 });
    assert_string_equal (
        text,
        "NAME         KEY       PART  DEVICE  FORM          SIZE  STATE   OWNER  USERS       AGE  LEASE\n"
        "watercolour  fedcba98  -     host    resident  1.00 GiB  leased  yard       2  1 m 01 s  "
        "01234567\n");
    free (text);
}

static void a_load_under_way_shows_how_far_it_is_and_100_only_at_the_end (void **state)
{
    (void) state;
    static const struct {
        uint64_t done, all;
        const char *text;
    } rows [] = { { 0, 200, "loading 0 %" },          { 87, 200, "loading 43 %" },
                  { 199999, 200000, "loading 99 %" }, { 200, 200, "loading 100 %" },
                  { 300, 200, "loading 100 %" },      { 5, 0, "loading" } };
    char into [64];
    for (size_t i = 0; i < sizeof rows / sizeof rows [0]; i++) {
        load_row_t row = row_of ("a", "loading");
        row.done_bytes = rows [i].done;
        row.bytes = rows [i].all;
        assert_string_equal (load_row_state (&row, into, sizeof into), rows [i].text);
    }
    load_row_t row = row_of ("a", "draining");
    assert_string_equal (load_row_state (&row, into, sizeof into), "draining");
}

static void the_machine_is_named_where_there_are_several (void **state)
{
    (void) state;
    load_row_t rows [] = { row_of ("one", "idle"), row_of ("two", "leased") };
    loader_seen_t seen [] = { loader_of ("loader/a/host", "a", &rows [0], 1),
                              loader_of ("loader/b/host", "b", &rows [1], 1) };
    char *text = table_of (&(loaders_t){ seen, 2 });
    assert_non_null (strstr (text, "a host"));
    assert_non_null (strstr (text, "b host"));
    free (text);
}

static void a_silent_loader_is_a_line_and_hides_nobody (void **state)
{
    (void) state;
    load_row_t row = row_of ("one", "leased");
    loader_seen_t seen [] = { loader_of ("loader/a/cuda:0", "a", NULL, 0),
                              loader_of ("loader/a/host", "a", &row, 1) };
    seen [0].listed = (loader_outcome_t){ YARD_TIMEOUT, "no answer\033[2J came" };
    seen [1].list.left_out = 7;
    char *text = table_of (&(loaders_t){ seen, 2 });
    assert_non_null (strstr (text, "one "));
    assert_non_null (strstr (text, "loader/a/cuda:0 does not answer: no answer?[2J came (timeout)\n"));
    assert_non_null (strstr (text, "loader/a/host has 7 more"));
    free (text);
}

static load_device_answer_t budget_of (uint64_t held, uint64_t idle, uint64_t reserved, uint64_t draining)
{
    load_device_answer_t about = { .budget_bytes = 100 * GIB,
                                   .held_bytes = held * GIB,
                                   .idle_bytes = idle * GIB,
                                   .reserved_bytes = reserved * GIB,
                                   .draining_bytes = draining * GIB };
    return about;
}

static void a_bar_shows_each_part_of_the_budget (void **state)
{
    (void) state;
    char into [LOAD_BAR_MAX + 1];
    load_device_answer_t about = budget_of (50, 20, 10, 10);
    assert_string_equal (load_bar (&about, 20, into, sizeof into), "######====++~~......");
    about = budget_of (0, 0, 0, 0);
    assert_string_equal (load_bar (&about, 10, into, sizeof into), "..........");
    about.budget_bytes = 0;
    assert_string_equal (load_bar (&about, 10, into, sizeof into), "..........");
}

static void a_bar_is_never_longer_than_its_room (void **state)
{
    (void) state;
    char into [LOAD_BAR_MAX + 1], small [5];
    load_device_answer_t about = budget_of (90, 95, 90, UINT64_MAX / GIB);
    for (size_t columns = 0; columns < 200; columns++)
        assert_true (strlen (load_bar (&about, columns, into, sizeof into)) ==
                     (columns < LOAD_BAR_MAX ? columns : LOAD_BAR_MAX));
    assert_int_equal (strlen (load_bar (&about, 20, small, sizeof small)), sizeof small - 1);
}

static void json_has_the_rows_or_the_reason (void **state)
{
    (void) state;
    yard_buffer_t line;
    load_row_t row = row_of ("o\"ne", "leased");
    loader_seen_t seen = loader_of ("loader/a/host", "a", &row, 1);
    yard_buffer_init (&line, YARD_MESSAGE_MAX);
    load_rows_json (&line, &seen);
    assert_ptr_equal (
        strstr (line.data, "{\"place\":\"loader/a/host\",\"node\":\"a\",\"loads\":[{\"lease\":\"0123"),
        line.data);
    assert_non_null (strstr (line.data, "\"name\":\"o\\\"ne\""));
    seen.listed = (loader_outcome_t){ YARD_GONE, "it \"ended\"" };
    yard_buffer_reset (&line);
    load_rows_json (&line, &seen);
    assert_string_equal (
        line.data, "{\"place\":\"loader/a/host\",\"node\":\"a\",\"failure\":{\"code\":\"gone\",\"text\":\"it "
                   "\\\"ended\\\"\"}}");
    yard_buffer_clear (&line);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (a_row_says_what_where_how_large_and_whose),
        cmocka_unit_test (a_load_under_way_shows_how_far_it_is_and_100_only_at_the_end),
        cmocka_unit_test (the_machine_is_named_where_there_are_several),
        cmocka_unit_test (a_silent_loader_is_a_line_and_hides_nobody),
        cmocka_unit_test (a_bar_shows_each_part_of_the_budget),
        cmocka_unit_test (a_bar_is_never_longer_than_its_room),
        cmocka_unit_test (json_has_the_rows_or_the_reason),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
