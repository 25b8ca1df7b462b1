// SPDX-License-Identifier: Apache-2.0
/*  envelope_test.c - frames to an envelope and back
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "proto/envelope.h"

#define FRAMES_MAX 12 /* two more than an envelope may have */

/*  Frames of words, up to a NULL. */
static int parse (yard_envelope_t *ret, ...)
{
    yard_string_t frames [FRAMES_MAX];
    size_t count = 0;
    va_list words;
    va_start (words, ret);
    for (const char *word; count < FRAMES_MAX && (word = va_arg (words, const char *)) != NULL;)
        frames [count++] = yard_string (word);
    va_end (words);
    yard_error_t error = { 0 };
    int failed = yard_envelope_parse (frames, count, ret, &error);
    assert_int_equal (failed, error.code);
    return failed;
}

static void an_ask_has_its_parts_and_may_lack_meta_and_from (void **state)
{
    (void) state;
    yard_envelope_t envelope;
    assert_int_equal (parse (&envelope, "YARD1A17", "job.get@recorder", "body", NULL), 0);
    assert_int_equal (envelope.letter, 'A');
    assert_true (yard_string_is (envelope.id, "17"));
    assert_true (yard_string_is (envelope.name, "job.get@recorder"));
    assert_true (yard_string_is (envelope.body, "body"));
    assert_int_equal (envelope.meta.size, 0);
    assert_int_equal (envelope.from.size, 0);
    assert_int_equal (parse (&envelope, "YARD1A17", "job.get", "body", "meta", "from", NULL), 0);
    assert_true (yard_string_is (envelope.meta, "meta"));
    assert_true (yard_string_is (envelope.from, "from"));
}

static void up_to_four_frames_before_the_head_are_kept (void **state)
{
    (void) state;
    yard_envelope_t envelope;
    assert_int_equal (parse (&envelope, "", "YARD1A1", "n", "b", NULL), 0);
    assert_int_equal (envelope.prefix_count, 1);
    assert_int_equal (parse (&envelope, "w", "x", "y", "z", "YARD1A1", "n", "b", NULL), 0);
    assert_int_equal (envelope.prefix_count, 4);
    assert_true (yard_string_is (envelope.prefix [3], "z"));
    assert_int_equal (parse (&envelope, "v", "w", "x", "y", "z", "YARD1A1", "n", "b", NULL), YARD_BAD_FRAME);
}

static void what_is_no_envelope_is_refused (void **state)
{
    (void) state;
    yard_envelope_t envelope;
    char long_name [YARD_NAME_MAX + 2];
    memset (long_name, 'n', sizeof long_name - 1);
    long_name [sizeof long_name - 1] = 0;
    assert_int_equal (parse (&envelope, NULL), YARD_BAD_FRAME);
    assert_int_equal (parse (&envelope, "hello", NULL), YARD_BAD_FRAME);
    assert_int_equal (parse (&envelope, "YARD1", "n", "b", NULL), YARD_BAD_FRAME); /* no letter */
    assert_int_equal (parse (&envelope, "YARD1Z1", "n", "b", NULL), YARD_BAD_FRAME); /* no such letter */
    assert_int_equal (parse (&envelope, "YARD1A", "n", "b", NULL), YARD_BAD_FRAME); /* no id */
    assert_int_equal (parse (&envelope, "YARD1H1", "", "b", NULL), YARD_BAD_FRAME); /* an id too many */
    assert_int_equal (parse (&envelope, "YARD1A1", "n", NULL), YARD_BAD_FRAME); /* no body */
    assert_int_equal (parse (&envelope, "YARD1R1", "n", "b", "m", NULL), YARD_BAD_FRAME);
    assert_int_equal (parse (&envelope, "YARD1A1", "n", "b", "m", "f", "more", NULL), YARD_BAD_FRAME);
    assert_int_equal (parse (&envelope, "YARD1A1", long_name, "b", NULL), YARD_BAD_FRAME);
    assert_int_equal (parse (&envelope, "YARD1A12345678901234567890123456789012", "n", "b", NULL), 0);
    assert_int_equal (parse (&envelope, "YARD1A123456789012345678901234567890123", "n", "b", NULL),
                      YARD_BAD_FRAME);
}

static void a_ping_and_a_bye_need_no_more_than_their_head (void **state)
{
    (void) state;
    yard_envelope_t envelope;
    assert_int_equal (parse (&envelope, "YARD1P", NULL), 0);
    assert_int_equal (envelope.body.size, 0);
    assert_int_equal (parse (&envelope, "YARD1B", NULL), 0);
    assert_int_equal (parse (&envelope, "YARD1B17", "", "b", NULL), 0);
    assert_true (yard_string_is (envelope.id, "17"));
}

static void a_failure_of_a_hello_has_no_id (void **state)
{
    (void) state;
    yard_envelope_t envelope;
    assert_int_equal (parse (&envelope, "YARD1F", "", "b", NULL), 0);
    assert_int_equal (envelope.id.size, 0);
}

/*  What frames () lays out, parse () takes apart into the same, for every letter with and without its
 *  optional parts. */
static void every_envelope_comes_back_as_it_was (void **state)
{
    (void) state;
    static const struct {
        char letter;
        const char *id, *name, *body, *meta, *from;
    } rows [] = {
        { 'A', "1", "n", "b", "", "" },   { 'A', "1", "n", "b", "m", "" }, { 'A', "1", "n", "b", "", "f" },
        { 'A', "1", "n", "b", "m", "f" }, { 'R', "1", "n", "b", "", "" },  { 'F', "1", "n", "b", "", "" },
        { 'E', "1", "n", "b", "m", "" },  { 'H', "", "", "b", "", "" },    { 'W', "", "", "b", "", "" },
        { 'C', "1", "", "b", "", "" },    { 'P', "", "", "b", "", "" },    { 'O', "", "", "b", "", "" },
        { 'B', "", "", "b", "", "" },     { 'B', "1", "", "b", "", "" },
    };
    const yard_string_t prefix [2] = { yard_string ("route"), yard_string ("") };
    for (size_t i = 0; i < sizeof rows / sizeof rows [0]; i++) {
        yard_envelope_t envelope = {
            .prefix = prefix, .prefix_count = i % 3, .letter = rows [i].letter,
            .id = yard_string (rows [i].id), .name = yard_string (rows [i].name), .body = yard_string (rows [i].body),
            .meta = yard_string (rows [i].meta), .from = yard_string (rows [i].from),
        }, back;
        char head [YARD_HEAD_MAX];
        yard_string_t frames [YARD_FRAMES_MAX];
        size_t count = yard_envelope_frames (&envelope, head, frames);
        assert_in_range (count, 3, YARD_FRAMES_MAX);
        assert_int_equal (yard_envelope_parse (frames, count, &back, NULL), 0);
        assert_int_equal (back.prefix_count, i % 3);
        assert_int_equal (back.letter, envelope.letter);
        assert_true (yard_string_equal (back.id, envelope.id) &&
                     yard_string_equal (back.name, envelope.name));
        assert_true (yard_string_equal (back.body, envelope.body) &&
                     yard_string_equal (back.meta, envelope.meta));
        assert_true (yard_string_equal (back.from, envelope.from));
    }
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (an_ask_has_its_parts_and_may_lack_meta_and_from),
        cmocka_unit_test (up_to_four_frames_before_the_head_are_kept),
        cmocka_unit_test (what_is_no_envelope_is_refused),
        cmocka_unit_test (a_ping_and_a_bye_need_no_more_than_their_head),
        cmocka_unit_test (a_failure_of_a_hello_has_no_id),
        cmocka_unit_test (every_envelope_comes_back_as_it_was),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
