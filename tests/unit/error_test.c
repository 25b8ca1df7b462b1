// SPDX-License-Identifier: Apache-2.0
/*  error_test.c - codes, words and sentences of errors.def
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>
#include "actors/ground/error.h"

static void every_code_leads_to_its_word_and_back (void **state)
{
    (void) state;
    for (int code = -1; code > -(int) YARD_ERROR_LAST; code--) {
        const yard_error_row_t *row = yard_error_row (code);
        assert_int_equal (yard_error_code (row->word, strlen (row->word)), code);
        assert_in_range (row->http, 400, 599);
        assert_in_range (row->exit, 1, 99);
    }
    assert_string_equal (yard_error_row (YARD_UNKNOWN_MODEL)->word, "unknown_model");
    assert_int_equal (yard_error_row (YARD_UNKNOWN_MODEL)->http, 404);
}

static void what_is_no_code_or_word_is_internal (void **state)
{
    (void) state;
    const int codes [] = { 0, 1, 12345, -(int) YARD_ERROR_LAST, INT32_MIN };
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        assert_string_equal (yard_error_row (codes [i])->word, "internal");
    assert_int_equal (yard_error_code ("no_such_word", 12), YARD_INTERNAL);
    assert_int_equal (yard_error_code ("", 0), YARD_INTERNAL);
    /* A word is as long as its size says, no shorter and no longer. */
    assert_int_equal (yard_error_code ("gone!", 4), YARD_GONE);
    assert_int_equal (yard_error_code ("gone", 3), YARD_INTERNAL);
}

static void an_error_holds_code_and_sentence (void **state)
{
    (void) state;
    yard_error_t error = { 0 };
    assert_int_equal (yard_error (&error, YARD_BUSY, "%d asks are open; try again", 1024), YARD_BUSY);
    assert_int_equal (error.code, YARD_BUSY);
    assert_string_equal (error.text, "1024 asks are open; try again");
    assert_int_equal (yard_error (NULL, YARD_GONE, "nobody reads this"), YARD_GONE);
}

static void a_sentence_may_quote_the_one_it_replaces (void **state)
{
    (void) state;
    yard_error_t error = { 0 };
    yard_error (&error, YARD_NOT_FOUND, "no file");
    yard_error (&error, YARD_STORE_FAILED, "cannot open the store (%s)", error.text);
    assert_string_equal (error.text, "cannot open the store (no file)");
}

static void a_long_sentence_is_cut_between_characters (void **state)
{
    (void) state;
    char text [YARD_ERROR_TEXT_MAX + 100];
    /* 510 letters, so that the two bytes of u umlaut would lie on both sides of the border at 511. */
    memset (text, 'a', 510);
    memcpy (text + 510, "\xc3\xbcz", 4);
    yard_error_t error = { 0 };
    yard_error (&error, YARD_INTERNAL, "%s", text);
    assert_int_equal (strlen (error.text), 510);
    /* One letter less, and the character fits whole. */
    yard_error (&error, YARD_INTERNAL, "%s", text + 1);
    assert_int_equal (strlen (error.text), 511);
    assert_memory_equal (error.text + 509, "\xc3\xbc", 3);
}

static void an_errno_becomes_the_fitting_code (void **state)
{
    (void) state;
    const struct {
        int number, code;
    } rows [] = {
        { ENOSPC, YARD_DISK_FULL },     { EDQUOT, YARD_DISK_FULL }, { EIO, YARD_DISK_FAILED },
        { ENOENT, YARD_NOT_FOUND },     { EACCES, YARD_FORBIDDEN }, { EEXIST, YARD_CONFLICT },
        { EXDEV, YARD_INVALID_CONFIG }, { 4095, YARD_DISK_FAILED },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal (yard_error_errno (NULL, rows [i].number, "x"), rows [i].code);
    yard_error_t error = { 0 };
    yard_error_errno (&error, ENOSPC, "cannot write %s", "/m/a");
    assert_int_equal (error.code, YARD_DISK_FULL);
    assert_string_equal (error.text, "cannot write /m/a: No space left on device");
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (every_code_leads_to_its_word_and_back),
        cmocka_unit_test (what_is_no_code_or_word_is_internal),
        cmocka_unit_test (an_error_holds_code_and_sentence),
        cmocka_unit_test (a_sentence_may_quote_the_one_it_replaces),
        cmocka_unit_test (a_long_sentence_is_cut_between_characters),
        cmocka_unit_test (an_errno_becomes_the_fitting_code),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
