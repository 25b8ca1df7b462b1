// SPDX-License-Identifier: Apache-2.0
/*  reply_test.c - the head of a reply, and the table of what follows from it
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include "actors/downloader/reply.h"

#define UNKNOWN DOWNLOADER_SIZE_UNKNOWN
#define LINES_MAX 8

static void read_lines (downloader_reply_t *reply, const char *const *lines)
{
    downloader_reply_init (reply);
    for (size_t i = 0; i < LINES_MAX && lines [i]; i++)
        downloader_reply_line (reply, lines [i], strlen (lines [i]));
}

/*  What is asked: from, the size known, the size published, the validator of what we have. */
static const struct {
    const char *lines [LINES_MAX];
    downloader_asked_t asked;
    downloader_verdict_t verdict;
    uint64_t end, size;
    int code;
} cases [] = {
    /* parts */
    { { "HTTP/1.1 206 Partial Content", "Content-Range: bytes 0-9/10", "ETag: \"a\"" },
      { 0, false, UNKNOWN, UNKNOWN, "" },
      DOWNLOADER_TAKE,
      10,
      10,
      0 },
    { { "HTTP/1.1 206 x", "content-range: bytes 4-9/10", "etag: \"a\"" },
      { 4, false, 10, UNKNOWN, "\"a\"" },
      DOWNLOADER_TAKE,
      10,
      10,
      0 },
    { { "HTTP/1.1 206 x", "Content-Range: bytes 4-6/10", "ETag: \"a\"" },
      { 4, false, 10, UNKNOWN, "\"a\"" },
      DOWNLOADER_TAKE,
      7,
      10,
      0 },
    { { "HTTP/1.1 206 x", "Content-Range: bytes 4-9/*", "ETag: \"a\"" },
      { 4, false, 10, UNKNOWN, "\"a\"" },
      DOWNLOADER_TAKE,
      10,
      10,
      0 },
    { { "HTTP/1.1 206 x", "Content-Range: bytes 0-9/*" },
      { 0, false, UNKNOWN, 10, "" },
      DOWNLOADER_TAKE,
      10,
      10,
      0 },
    { { "HTTP/1.1 206 x", "Content-Range: bytes 0-9/*" },
      { 0, false, UNKNOWN, UNKNOWN, "" },
      DOWNLOADER_AGAIN,
      UNKNOWN,
      UNKNOWN,
      YARD_HTTP_FAILED },
    { { "HTTP/1.1 206 x", "Content-Range: bytes 5-9/10", "ETag: \"a\"" },
      { 4, false, 10, UNKNOWN, "\"a\"" },
      DOWNLOADER_AGAIN,
      UNKNOWN,
      UNKNOWN,
      YARD_HTTP_FAILED },
    { { "HTTP/1.1 206 x", "Content-Range: bytes 3-9/10", "ETag: \"a\"" },
      { 4, false, 10, UNKNOWN, "\"a\"" },
      DOWNLOADER_AGAIN,
      UNKNOWN,
      UNKNOWN,
      YARD_HTTP_FAILED },
    { { "HTTP/1.1 206 x", "ETag: \"a\"" },
      { 4, false, 10, UNKNOWN, "\"a\"" },
      DOWNLOADER_AGAIN,
      UNKNOWN,
      UNKNOWN,
      YARD_HTTP_FAILED },
    { { "HTTP/1.1 206 x", "Content-Range: bytes 0-9/10", "Content-Range: bytes 0-9/10" },
      { 0, false, UNKNOWN, UNKNOWN, "" },
      DOWNLOADER_AGAIN,
      UNKNOWN,
      UNKNOWN,
      YARD_HTTP_FAILED },
    { { "HTTP/1.1 206 x", "Content-Range: bytes 0-9/10", "Content-Type: multipart/byteranges; boundary=x" },
      { 0, false, UNKNOWN, UNKNOWN, "" },
      DOWNLOADER_AGAIN,
      UNKNOWN,
      UNKNOWN,
      YARD_HTTP_FAILED },
    { { "HTTP/1.1 206 x", "Content-Range: bytes 0-9/10" },
      { 0, true, UNKNOWN, UNKNOWN, "" },
      DOWNLOADER_AGAIN,
      UNKNOWN,
      UNKNOWN,
      YARD_HTTP_FAILED },
    { { "HTTP/1.1 206 x", "Content-Range: bytes 4-9/11", "ETag: \"a\"" },
      { 4, false, 10, UNKNOWN, "\"a\"" },
      DOWNLOADER_CHANGED,
      UNKNOWN,
      UNKNOWN,
      YARD_SOURCE_CHANGED },
    { { "HTTP/1.1 206 x", "Content-Range: bytes 4-9/10", "ETag: \"b\"" },
      { 4, false, 10, UNKNOWN, "\"a\"" },
      DOWNLOADER_CHANGED,
      UNKNOWN,
      UNKNOWN,
      YARD_SOURCE_CHANGED },
    { { "HTTP/1.1 206 x", "Content-Range: bytes 4-9/10", "ETag: W/\"a\"" },
      { 4, false, 10, UNKNOWN, "\"a\"" },
      DOWNLOADER_CHANGED,
      UNKNOWN,
      UNKNOWN,
      YARD_SOURCE_CHANGED },
    { { "HTTP/1.1 206 x", "Content-Range: bytes 4-9/10" },
      { 4, false, 10, UNKNOWN, "\"a\"" },
      DOWNLOADER_TAKE,
      10,
      10,
      0 },
    { { "HTTP/1.1 206 x", "Content-Range: bytes 0-9/10" },
      { 0, false, UNKNOWN, 11, "" },
      DOWNLOADER_FAIL,
      UNKNOWN,
      UNKNOWN,
      YARD_INTEGRITY },
    { { "HTTP/1.1 206 x", "Content-Range: bytes 0-9/10", "Content-Encoding: gzip" },
      { 0, false, UNKNOWN, UNKNOWN, "" },
      DOWNLOADER_FAIL,
      UNKNOWN,
      UNKNOWN,
      YARD_HTTP_FAILED },
    /* whole files */
    { { "HTTP/1.0 200 OK", "Content-Length: 10" },
      { 0, false, UNKNOWN, UNKNOWN, "" },
      DOWNLOADER_TAKE,
      10,
      10,
      0 },
    { { "HTTP/1.1 200 OK", "Transfer-Encoding: chunked" },
      { 0, false, UNKNOWN, UNKNOWN, "" },
      DOWNLOADER_TAKE,
      UNKNOWN,
      UNKNOWN,
      0 },
    { { "HTTP/1.1 200 OK", "Transfer-Encoding: chunked" },
      { 0, false, UNKNOWN, 10, "" },
      DOWNLOADER_TAKE,
      10,
      10,
      0 },
    { { "HTTP/1.1 200 OK", "Content-Length: 0" },
      { 0, false, UNKNOWN, UNKNOWN, "" },
      DOWNLOADER_TAKE,
      0,
      0,
      0 },
    { { "HTTP/1.1 200 OK", "Content-Length: 9" },
      { 0, false, UNKNOWN, 10, "" },
      DOWNLOADER_FAIL,
      UNKNOWN,
      UNKNOWN,
      YARD_INTEGRITY },
    { { "HTTP/1.1 200 OK", "Content-Length: 10", "ETag: \"a\"" },
      { 4, false, 10, UNKNOWN, "\"a\"" },
      DOWNLOADER_RESTART,
      UNKNOWN,
      UNKNOWN,
      YARD_HTTP_FAILED },
    { { "HTTP/1.1 200 OK", "Content-Length: 10", "ETag: \"b\"" },
      { 4, false, 10, UNKNOWN, "\"a\"" },
      DOWNLOADER_CHANGED,
      UNKNOWN,
      UNKNOWN,
      YARD_SOURCE_CHANGED },
    { { "HTTP/1.1 200 OK", "Content-Length: 11", "ETag: \"a\"" },
      { 4, false, 10, UNKNOWN, "\"a\"" },
      DOWNLOADER_CHANGED,
      UNKNOWN,
      UNKNOWN,
      YARD_SOURCE_CHANGED },
    { { "HTTP/1.1 200 OK", "Content-Length: ten" },
      { 0, false, UNKNOWN, UNKNOWN, "" },
      DOWNLOADER_AGAIN,
      UNKNOWN,
      UNKNOWN,
      YARD_HTTP_FAILED },
    /* 416 */
    { { "HTTP/1.1 416 x", "Content-Range: bytes */10" },
      { 10, false, 10, UNKNOWN, "\"a\"" },
      DOWNLOADER_COMPLETE,
      UNKNOWN,
      10,
      0 },
    { { "HTTP/1.1 416 x", "Content-Range: bytes */0" },
      { 0, false, UNKNOWN, UNKNOWN, "" },
      DOWNLOADER_COMPLETE,
      UNKNOWN,
      0,
      0 },
    { { "HTTP/1.1 416 x", "Content-Range: bytes */4" },
      { 4, false, 10, UNKNOWN, "\"a\"" },
      DOWNLOADER_CHANGED,
      UNKNOWN,
      UNKNOWN,
      YARD_SOURCE_CHANGED },
    { { "HTTP/1.1 416 x", "Content-Range: bytes */7" },
      { 4, false, 10, UNKNOWN, "\"a\"" },
      DOWNLOADER_CHANGED,
      UNKNOWN,
      UNKNOWN,
      YARD_SOURCE_CHANGED },
    { { "HTTP/1.1 416 x" },
      { 4, false, 10, UNKNOWN, "" },
      DOWNLOADER_RESTART,
      UNKNOWN,
      UNKNOWN,
      YARD_HTTP_FAILED },
    { { "HTTP/1.1 416 x" },
      { 0, false, UNKNOWN, UNKNOWN, "" },
      DOWNLOADER_PLAIN,
      UNKNOWN,
      UNKNOWN,
      YARD_HTTP_FAILED },
    /* the rest */
    { { "HTTP/1.1 302 Found", "Location: /x" },
      { 0, false, UNKNOWN, UNKNOWN, "" },
      DOWNLOADER_FOLLOW,
      UNKNOWN,
      UNKNOWN,
      0 },
    { { "HTTP/1.1 308 x" }, { 0, false, UNKNOWN, UNKNOWN, "" }, DOWNLOADER_FOLLOW, UNKNOWN, UNKNOWN, 0 },
    { { "HTTP/1.1 300 x" },
      { 0, false, UNKNOWN, UNKNOWN, "" },
      DOWNLOADER_FAIL,
      UNKNOWN,
      UNKNOWN,
      YARD_HTTP_FAILED },
    { { "HTTP/1.1 204 x" },
      { 0, false, UNKNOWN, UNKNOWN, "" },
      DOWNLOADER_FAIL,
      UNKNOWN,
      UNKNOWN,
      YARD_HTTP_FAILED },
    { { "HTTP/1.1 401 x" },
      { 0, false, UNKNOWN, UNKNOWN, "" },
      DOWNLOADER_FAIL,
      UNKNOWN,
      UNKNOWN,
      YARD_NOT_AUTHORISED },
    { { "HTTP/1.1 403 x" },
      { 4, false, 10, UNKNOWN, "" },
      DOWNLOADER_FAIL,
      UNKNOWN,
      UNKNOWN,
      YARD_NOT_AUTHORISED },
    { { "HTTP/1.1 404 x" },
      { 0, false, UNKNOWN, UNKNOWN, "" },
      DOWNLOADER_FAIL,
      UNKNOWN,
      UNKNOWN,
      YARD_NOT_FOUND },
    { { "HTTP/1.1 410 x" },
      { 0, false, UNKNOWN, UNKNOWN, "" },
      DOWNLOADER_FAIL,
      UNKNOWN,
      UNKNOWN,
      YARD_NOT_FOUND },
    { { "HTTP/1.1 408 x" },
      { 0, false, UNKNOWN, UNKNOWN, "" },
      DOWNLOADER_AGAIN,
      UNKNOWN,
      UNKNOWN,
      YARD_HTTP_FAILED },
    { { "HTTP/1.1 429 x" },
      { 0, false, UNKNOWN, UNKNOWN, "" },
      DOWNLOADER_AGAIN,
      UNKNOWN,
      UNKNOWN,
      YARD_HTTP_FAILED },
    { { "HTTP/1.1 503 x" },
      { 0, false, UNKNOWN, UNKNOWN, "" },
      DOWNLOADER_AGAIN,
      UNKNOWN,
      UNKNOWN,
      YARD_HTTP_FAILED },
    { { "HTTP/1.1 451 x" },
      { 0, false, UNKNOWN, UNKNOWN, "" },
      DOWNLOADER_FAIL,
      UNKNOWN,
      UNKNOWN,
      YARD_HTTP_FAILED },
    { { "HTTP/1.1 abc x" },
      { 0, false, UNKNOWN, UNKNOWN, "" },
      DOWNLOADER_FAIL,
      UNKNOWN,
      UNKNOWN,
      YARD_HTTP_FAILED },
};

static void every_reply_has_its_decision (void **state)
{
    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof cases [0]; i++) {
        downloader_reply_t reply;
        downloader_decision_t decision;
        read_lines (&reply, cases [i].lines);
        downloader_reply_judge (&reply, &cases [i].asked, &decision);
        if (decision.verdict != cases [i].verdict || decision.end != cases [i].end ||
            decision.size != cases [i].size || decision.error.code != cases [i].code)
            fail_msg ("case %zu (%s, %s): verdict %d, end %llu, size %llu, code %d", i, cases [i].lines [0],
                      cases [i].lines [1] ? cases [i].lines [1] : "-", (int) decision.verdict,
                      (unsigned long long) decision.end, (unsigned long long) decision.size,
                      decision.error.code);
        assert_true (!decision.error.code || strlen (decision.error.text) > 20);
    }
}

static void a_content_range_that_is_not_exact_is_broken (void **state)
{
    (void) state;
    static const char *const values [] = {
        "",
        "bytes",
        "bytes 0-9",
        "bytes 0-9/",
        "bytes 9-0/10",
        "bytes 0-10/10",
        "bytes -9/10",
        "bytes 0-/10",
        "bytes */*",
        "items 0-9/10",
        "bytes 0-9/10 ,",
        "bytes 0 -9/10",
        "bytes 0x0-9/10",
        "bytes +0-9/10",
        "bytes 0-9/99999999999999999999999",
        "bytes 0-18446744073709551615/18446744073709551616",
        "bytes 0-9/-1",
    };
    for (size_t i = 0; i < sizeof values / sizeof values [0]; i++) {
        downloader_reply_t reply;
        char line [128];
        snprintf (line, sizeof line, "Content-Range: %s", values [i]);
        read_lines (&reply, (const char *const []){ "HTTP/1.1 206 x", line, NULL });
        if (!reply.broken || reply.ranged || reply.unsatisfied)
            fail_msg ("%s is taken", values [i]);
    }
}

static void a_strong_validator_is_an_etag_or_an_old_date (void **state)
{
    (void) state;
    static const struct {
        const char *lines [LINES_MAX], *validator;
    } list [] = {
        { { "HTTP/1.1 200 x", "ETag: \"abc\"", "Last-Modified: Sat, 21 Nov 2020 10:00:00 GMT" }, "\"abc\"" },
        { { "HTTP/1.1 200 x", "ETag: W/\"abc\"" }, "" },
        { { "HTTP/1.1 200 x", "ETag: abc" }, "" },
        { { "HTTP/1.1 200 x", "ETag: \"" }, "" },
        { { "HTTP/1.1 200 x", "ETag: W/\"abc\"", "Last-Modified: Sat, 21 Nov 2020 10:00:00 GMT",
            "Date: Sun, 22 Nov 2020 10:00:00 GMT" },
          "" },
        { { "HTTP/1.1 200 x", "Last-Modified: Sat, 21 Nov 2020 10:00:00 GMT",
            "Date: Sat, 21 Nov 2020 10:01:00 GMT" },
          "Sat, 21 Nov 2020 10:00:00 GMT" },
        { { "HTTP/1.1 200 x", "Last-Modified: Sat, 21 Nov 2020 10:00:00 GMT",
            "Date: Sat, 21 Nov 2020 10:00:59 GMT" },
          "" },
        { { "HTTP/1.1 200 x", "Last-Modified: Sat, 21 Nov 2020 10:00:00 GMT" }, "" },
        { { "HTTP/1.1 200 x" }, "" },
    };
    for (size_t i = 0; i < sizeof list / sizeof list [0]; i++) {
        downloader_reply_t reply;
        char validator [DOWNLOADER_VALIDATOR_SIZE];
        read_lines (&reply, list [i].lines);
        downloader_reply_validator (&reply, validator);
        assert_string_equal (validator, list [i].validator);
    }
}

static void retry_after_is_seconds_or_a_date_within_reason (void **state)
{
    (void) state;
    int64_t now = 1605952800000; /* Sat, 21 Nov 2020 10:00:00 GMT */
    static const struct {
        const char *line;
        int64_t ms;
    } list [] = {
        { "Retry-After: 3", 3000 },
        { "Retry-After: 0", 0 },
        { "Retry-After: -5", 0 },
        { "Retry-After: soon", 0 },
        { "Retry-After: 1000000000", DOWNLOADER_RETRY_AFTER_MAX_MS },
        { "Retry-After: 99999999999999999999999", DOWNLOADER_RETRY_AFTER_MAX_MS },
        { "Retry-After: Sat, 21 Nov 2020 10:00:10 GMT", 10000 },
        { "Retry-After: Sat, 21 Nov 2020 09:00:00 GMT", 0 },
        { "Retry-After: Sat, 21 Nov 2099 10:00:00 GMT", DOWNLOADER_RETRY_AFTER_MAX_MS },
    };
    for (size_t i = 0; i < sizeof list / sizeof list [0]; i++) {
        downloader_reply_t reply;
        read_lines (&reply, (const char *const []){ "HTTP/1.1 429 x", list [i].line, NULL });
        assert_int_equal (downloader_reply_retry_ms (&reply, now), list [i].ms);
    }
}

static void a_value_too_long_counts_as_none (void **state)
{
    (void) state;
    char line [9000];
    memset (line, 'a', sizeof line);
    memcpy (line, "ETag: \"", 7);
    line [400] = '"';
    downloader_reply_t reply;
    downloader_reply_init (&reply);
    downloader_reply_line (&reply, line, 401);
    assert_string_equal (reply.etag, "");
    memcpy (line, "Location: ", 10);
    downloader_reply_line (&reply, line, sizeof line);
    assert_string_equal (reply.location, "");
    /* A header with a 0 in it is dropped, one without a colon too. */
    downloader_reply_line (&reply, "ETag: \"a\0b\"", 11);
    downloader_reply_line (&reply, "ETag", 4);
    assert_string_equal (reply.etag, "");
}

static void a_status_line_begins_anew (void **state)
{
    (void) state;
    downloader_reply_t reply;
    read_lines (&reply, (const char *const []){ "HTTP/1.1 103 Early Hints", "ETag: \"early\"",
                                                "HTTP/1.1 200 OK", "Content-Length: 5", NULL });
    assert_int_equal (reply.status, 200);
    assert_string_equal (reply.etag, "");
    assert_int_equal (reply.length, 5);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (every_reply_has_its_decision),
        cmocka_unit_test (a_content_range_that_is_not_exact_is_broken),
        cmocka_unit_test (a_strong_validator_is_an_etag_or_an_old_date),
        cmocka_unit_test (retry_after_is_seconds_or_a_date_within_reason),
        cmocka_unit_test (a_value_too_long_counts_as_none),
        cmocka_unit_test (a_status_line_begins_anew),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
