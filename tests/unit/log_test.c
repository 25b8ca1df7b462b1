// SPDX-License-Identifier: Apache-2.0
/*  log_test.c - one line per event, whatever its fields hold
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "actors/ground/log.h"

#define LINE_BYTES_MAX 4096

static int saved_stderr = -1, reader = -1;

/*  stderr becomes a datagram-like pipe: O_DIRECT keeps each write apart, so that two writes for one line
 *  would show. */
static int catch_stderr (void **state)
{
    (void) state;
    int ends [2];
    if (pipe2 (ends, O_CLOEXEC | O_NONBLOCK | O_DIRECT))
        return -1;
    saved_stderr = dup (STDERR_FILENO);
    reader = ends [0];
    int rc = dup2 (ends [1], STDERR_FILENO);
    close (ends [1]);
    yard_log_open ("tester", YARD_LOG_INFO);
    return rc < 0 ? -1 : 0;
}

static int give_stderr_back (void **state)
{
    (void) state;
    dup2 (saved_stderr, STDERR_FILENO);
    close (saved_stderr);
    close (reader);
    return 0;
}

/*  One write of the log, without its time: from the level on. "" when nothing was said. */
static const char *said (void)
{
    static char line [2 * LINE_BYTES_MAX];
    ssize_t size = read (reader, line, sizeof line - 1);
    line [size > 0 ? size : 0] = 0;
    if (size <= 0)
        return "";
    assert_true (size <= LINE_BYTES_MAX);
    assert_int_equal (line [size - 1], '\n');
    assert_ptr_equal (memchr (line, '\n', (size_t) size), line + size - 1);
    /* 2026-11-21T22:17:51.123Z and a space. */
    assert_int_equal (line [10], 'T');
    assert_int_equal (line [23], 'Z');
    return line + 25;
}

static void a_line_has_time_level_actor_event_and_fields (void **state)
{
    (void) state;
    char expected [200];
    yard_log_info ("lease.expired", "job=%d worker=%s", 7, "w2");
    snprintf (expected, sizeof expected, "info  tester[%d] lease.expired job=7 worker=w2\n", (int) getpid ());
    assert_string_equal (said (), expected);
    yard_log_warning ("disk.slow", "%s", "");
    snprintf (expected, sizeof expected, "warning tester[%d] disk.slow\n", (int) getpid ());
    assert_string_equal (said (), expected);
    assert_string_equal (said (), "");
}

static void what_is_below_the_level_is_not_said (void **state)
{
    (void) state;
    yard_log_debug ("quiet", "x=%d", 1);
    assert_string_equal (said (), "");
    yard_log_open ("tester", YARD_LOG_ERROR);
    yard_log_warning ("quiet", "x=%d", 1);
    assert_string_equal (said (), "");
    yard_log_error ("loud", "x=%d", 1);
    assert_non_null (strstr (said (), "loud x=1\n"));
    yard_log_open ("tester", YARD_LOG_DEBUG);
    yard_log_debug ("loud", "x=%d", 1);
    assert_non_null (strstr (said (), "debug tester"));
}

static void levels_have_words (void **state)
{
    (void) state;
    assert_int_equal (yard_log_level_from ("error"), YARD_LOG_ERROR);
    assert_int_equal (yard_log_level_from ("warning"), YARD_LOG_WARNING);
    assert_int_equal (yard_log_level_from ("info"), YARD_LOG_INFO);
    assert_int_equal (yard_log_level_from ("debug"), YARD_LOG_DEBUG);
    assert_int_equal (yard_log_level_from ("INFO"), -1);
    assert_int_equal (yard_log_level_from (""), -1);
}

static void control_bytes_are_escaped (void **state)
{
    (void) state;
    yard_log_info ("file.named", "name=%s", "a\nb\tc\x1b[31m\x7f\xc2\x9b!");
    assert_non_null (strstr (said (), "name=a\\x0ab\\x09c\\x1b[31m\\x7f\\xc2\\x9b!\n"));
    yard_log_info ("forged\n2026", "%s", "x");
    assert_non_null (strstr (said (), "forged\\x0a2026 x\n"));
    /* Letters beyond ASCII stay as they are. */
    yard_log_info ("file.named", "name=%s", "gr\xc3\xbc\xc3\x9f\xe2\x82\xac");
    assert_non_null (strstr (said (), "name=gr\xc3\xbc\xc3\x9f\xe2\x82\xac\n"));
}

static void quoted_values_cannot_forge_a_field (void **state)
{
    (void) state;
    const struct {
        const char *value, *shown;
    } rows [] = {
        { "plain", "text=plain end=1\n" },
        { "", "text=\"\" end=1\n" },
        { "two words", "text=\"two words\" end=1\n" },
        { "x\" job=9", "text=\"x\\\" job=9\" end=1\n" },
        { "back\\slash", "text=\"back\\\\slash\" end=1\n" },
        { "a=b", "text=\"a=b\" end=1\n" },
        { "new\nline", "text=new\\x0aline end=1\n" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        yard_log_info ("quoted", "text=%s end=%d", YARD_QUOTED (rows [i].value), 1);
        assert_non_null (strstr (said (), rows [i].shown));
    }
    char text [3000];
    memset (text, ' ', sizeof text - 1);
    text [sizeof text - 1] = 0;
    yard_log_info ("quoted", "text=%s end=%d", YARD_QUOTED (text), 1);
    assert_non_null (strstr (said (), "   ...\" end=1\n"));
}

static void a_line_is_at_most_4_kib (void **state)
{
    (void) state;
    static char text [10000];
    for (size_t size = 3900; size < 4200; size++) {
        memset (text, 'x', size);
        text [size] = 0;
        yard_log_info ("long", "%s", text);
        const char *line = said (); /* checks the size */
        bool whole = strspn (strchr (line, 'x'), "x") == size;
        assert_int_equal (whole, strstr (line, "...\n") == NULL);
    }
    /* Escaping makes it four times as long. */
    memset (text, 1, sizeof text - 1);
    yard_log_info ("long", "%s", text);
    const char *line = said ();
    assert_true (strlen (line) > 4000);
    assert_non_null (strstr (line, "\\x01...\n"));
    /* And a cut does not split a character. */
    for (size_t i = 0; i + 2 < sizeof text; i += 2)
        memcpy (text + i, "\xc3\xbc", 3);
    for (int shift = 0; shift < 2; shift++) {
        yard_log_info ("long", "%s%s", shift ? "x" : "", text);
        assert_non_null (strstr (said (), "\xc3\xbc...\n"));
    }
}

static void errno_survives (void **state)
{
    (void) state;
    int full [2];
    assert_int_equal (pipe2 (full, O_CLOEXEC), 0);
    close (full [0]);
    close (full [1]);
    int caught = dup (STDERR_FILENO);
    close (STDERR_FILENO); /* so that the write itself fails */
    errno = 1234;
    yard_log_info ("lost", "x=%d", 1);
    int number = errno;
    dup2 (caught, STDERR_FILENO);
    close (caught);
    assert_int_equal (number, 1234);
}

#define CASE(name) cmocka_unit_test_setup_teardown (name, catch_stderr, give_stderr_back)

int main (void)
{
    const struct CMUnitTest tests [] = {
        CASE (a_line_has_time_level_actor_event_and_fields),
        CASE (what_is_below_the_level_is_not_said),
        CASE (levels_have_words),
        CASE (control_bytes_are_escaped),
        CASE (quoted_values_cannot_forge_a_field),
        CASE (a_line_is_at_most_4_kib),
        CASE (errno_survives),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
