// SPDX-License-Identifier: Apache-2.0
/*  text_test.c - values as people read them
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tools/modelyard/text.h"

static void clean_is (const char *given, size_t size, const char *expected)
{
    char into [128];
    assert_string_equal (text_clean (into, sizeof into, (yard_string_t){ given, size }), expected);
}

static void plain_and_foreign_text_passes (void **state)
{
    (void) state;
    clean_is ("a name", 6, "a name");
    clean_is ("模型 é 😀", strlen ("模型 é 😀"), "模型 é 😀");
    clean_is ("", 0, "");
}

static void what_steers_a_terminal_does_not_pass (void **state)
{
    (void) state;
    clean_is ("a\033[31mb", 7, "a?[31mb");
    clean_is ("a\nb\rc\td\0e", 9, "a?b?c?d?e");
    clean_is ("\x7f", 1, "?");
    clean_is ("\xc2\x9b"
              "31m",
              5, "?31m"); /* CSI as C1 */
    clean_is ("a\xe2\x80\xae"
              "b",
              5, "a?b"); /* right-to-left override */
    clean_is ("a\xe2\x81\xa6"
              "b",
              5, "a?b"); /* left-to-right isolate */
    clean_is ("a\xe2\x80\xa8"
              "b",
              5, "a?b"); /* line separator */
}

static void broken_utf8_does_not_pass (void **state)
{
    (void) state;
    clean_is ("\xff\xfe", 2, "??");
    clean_is ("\xc0\xaf", 2, "??"); /* too long a form of / */
    clean_is ("\xed\xa0\x80", 3, "???"); /* half a surrogate pair */
    clean_is ("\xe2\x82", 2, "??"); /* cut off */
    clean_is ("\xf4\x90\x80\x80", 4, "????"); /* past U+10FFFF */
}

static void every_single_byte_comes_out_printable (void **state)
{
    (void) state;
    for (int byte = 0; byte < 256; byte++) {
        char given = (char) byte, into [8];
        text_clean (into, sizeof into, (yard_string_t){ &given, 1 });
        assert_int_equal (strlen (into), 1);
        assert_true (into [0] >= 0x20 && into [0] < 0x7f);
    }
}

static void a_text_that_does_not_fit_is_cut_between_characters (void **state)
{
    (void) state;
    char into [4];
    assert_string_equal (text_clean (into, sizeof into, yard_string ("éé")), "é");
    assert_string_equal (text_clean (into, sizeof into, yard_string ("abcdef")), "abc");
}

static void json_is_one_plain_line_of_the_same_value (void **state)
{
    (void) state;
    yard_buffer_t line;
    yard_buffer_init (&line, 1024);
    text_json (&line, yard_string ("{\"a\":\"é\xc2\x9b"
                                   "31m\xe2\x80\xa8\xf3\xa0\x80\x81\"}"));
    assert_string_equal (line.data, "{\"a\":\"é\\u009b31m\\u2028\\udb40\\udc01\"}");
    yard_buffer_clear (&line);
}

static void sizes_have_three_digits (void **state)
{
    (void) state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } rows [] = {
        { 0, "0 B" },
        { 999, "999 B" },
        { 1000, "0.98 KiB" },
        { 1024, "1.00 KiB" },
        { 10240, "10.0 KiB" },
        { 102400, "100 KiB" },
        { 1023 * 1024, "1.00 MiB" },
        { 1536 * 1024, "1.50 MiB" },
        { 1ULL << 30, "1.00 GiB" },
        { UINT64_MAX, "16.0 EiB" },
    };
    char into [32];
    for (size_t i = 0; i < sizeof rows / sizeof rows [0]; i++)
        assert_string_equal (text_size (into, sizeof into, rows [i].bytes), rows [i].text);
}

static void durations_have_two_units (void **state)
{
    (void) state;
    static const struct {
        int64_t ms;
        const char *text;
    } rows [] = {
        { -1, "0.0 s" },        { 0, "0.0 s" },          { 430, "0.4 s" },         { 12000, "12 s" },
        { 185000, "3 m 05 s" }, { 7800000, "2 h 10 m" }, { 442800000, "5 d 3 h" },
    };
    char into [64];
    for (size_t i = 0; i < sizeof rows / sizeof rows [0]; i++)
        assert_string_equal (text_duration (into, sizeof into, rows [i].ms), rows [i].text);
}

static void short_times_have_three_digits (void **state)
{
    (void) state;
    static const struct {
        uint64_t us;
        const char *text;
    } rows [] = {
        { 0, "0 µs" },        { 999, "999 µs" },         { 1000, "1.00 ms" },   { 12345, "12.3 ms" },
        { 999499, "999 ms" }, { 999500, "1.00 s" },      { 1514000, "1.51 s" }, { 9994999, "9.99 s" },
        { 12000000, "12 s" }, { 185000000, "3 m 05 s" },
    };
    char into [64];
    for (size_t i = 0; i < sizeof rows / sizeof rows [0]; i++)
        assert_string_equal (text_microseconds (into, sizeof into, rows [i].us), rows [i].text);
}

static void a_time_to_live_is_a_number_and_a_unit (void **state)
{
    (void) state;
    static const struct {
        const char *text;
        uint64_t seconds; /* 0: refused */
    } rows [] = {
        { "600", 600 },
        { "90s", 90 },
        { "10m", 600 },
        { "2h", 7200 },
        { "7d", 604800 },
        { "604800", 604800 },
        { "8d", 0 },
        { "604801", 0 },
        { "0", 0 },
        { "0m", 0 },
        { "", 0 },
        { "m", 0 },
        { "-1", 0 },
        { "+1", 0 },
        { " 1", 0 },
        { "1.5h", 0 },
        { "1w", 0 },
        { "10mm", 0 },
        { "99999999999999999999999", 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows [0]; i++) {
        uint64_t seconds = 0;
        assert_int_equal (text_seconds (rows [i].text, &seconds), rows [i].seconds > 0);
        assert_int_equal (seconds, rows [i].seconds);
    }
}

static void cutting_counts_characters_not_bytes (void **state)
{
    (void) state;
    char text [] = "模型模型模型";
    text_cut (text, 4);
    assert_string_equal (text, "模型模…");
    char fits [] = "abc";
    text_cut (fits, 3);
    assert_string_equal (fits, "abc");
    char plain [] = "abcdefgh";
    text_cut (plain, 5);
    assert_string_equal (plain, "abcd…");
    assert_int_equal (text_columns (plain), 5);
    char tail [] = "abcd";
    text_cut (tail, 3);
    assert_int_equal (text_columns (tail), 3);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (plain_and_foreign_text_passes),
        cmocka_unit_test (what_steers_a_terminal_does_not_pass),
        cmocka_unit_test (broken_utf8_does_not_pass),
        cmocka_unit_test (every_single_byte_comes_out_printable),
        cmocka_unit_test (a_text_that_does_not_fit_is_cut_between_characters),
        cmocka_unit_test (json_is_one_plain_line_of_the_same_value),
        cmocka_unit_test (sizes_have_three_digits),
        cmocka_unit_test (durations_have_two_units),
        cmocka_unit_test (short_times_have_three_digits),
        cmocka_unit_test (a_time_to_live_is_a_number_and_a_unit),
        cmocka_unit_test (cutting_counts_characters_not_bytes),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
