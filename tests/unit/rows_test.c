// SPDX-License-Identifier: Apache-2.0
/*  rows_test.c - a table for people
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tools/modelyard/rows.h"
#include "tools/modelyard/text.h"

static const column_t columns [] = { { .heading = "KEY" },
                                     { .heading = "NAME", .cut = true },
                                     { .heading = "SIZE", .right = true } };

static char *printed (const char *name, size_t width)
{
    char *text = NULL;
    size_t size = 0;
    rows_t *rows = rows_new (columns, 3);
    const yard_string_t first [] = { yard_string ("abcd"), yard_string (name), yard_string ("1 B") };
    const yard_string_t second [] = { yard_string ("ef"), yard_string ("short"), yard_string ("100 MiB") };
    rows_add (rows, first);
    rows_add (rows, second);
    FILE *out = open_memstream (&text, &size);
    rows_print (rows, out, width);
    fclose (out);
    rows_destroy (&rows);
    return text;
}

static void columns_line_up (void **state)
{
    (void) state;
    char *text = printed ("a name", 0);
    assert_string_equal (text, "KEY   NAME       SIZE\n"
                               "abcd  a name      1 B\n"
                               "ef    short   100 MiB\n");
    free (text);
}

static void off_a_terminal_nothing_is_cut (void **state)
{
    (void) state;
    char name [301];
    memset (name, 'n', 300);
    name [300] = 0;
    char *text = printed (name, 0);
    assert_non_null (strstr (text, name));
    free (text);
}

static void on_a_terminal_rows_fit (void **state)
{
    (void) state;
    char name [301];
    memset (name, 'n', 300);
    name [300] = 0;
    char *text = printed (name, 40);
    for (char *line = strtok_r (text, "\n", &(char *){ NULL }); line; line = NULL)
        assert_in_range (text_columns (line), 1, 40);
    free (text);
    text = printed (name, 40);
    assert_non_null (strstr (text, "nnn…"));
    free (text);
}

static void a_hostile_name_stays_in_its_cell (void **state)
{
    (void) state;
    char *text = printed ("evil\033[2J\nabcd  forged  9 GiB", 0);
    assert_null (strchr (text, '\033'));
    size_t lines = 0;
    for (char *at = text; (at = strchr (at, '\n')); at++)
        lines++;
    assert_int_equal (lines, 3);
    free (text);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (columns_line_up),
        cmocka_unit_test (off_a_terminal_nothing_is_cut),
        cmocka_unit_test (on_a_terminal_rows_fit),
        cmocka_unit_test (a_hostile_name_stays_in_its_cell),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
