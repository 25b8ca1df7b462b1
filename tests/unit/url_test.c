// SPDX-License-Identifier: Apache-2.0
/*  url_test.c - what is fetched, where redirects lead, who sees a credential
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "actors/downloader/source.h"
#include "actors/downloader/url.h"

static void good_urls_are_taken (void **state)
{
    (void) state;
    static const char *const urls [] = { "http://example.com/a", "https://example.com:8443/a?b=c#d",
                                         "HTTPS://EXAMPLE.com/", "http://[2606:4700::1]/x",
                                         "http://1.2.3.4" };
    for (size_t i = 0; i < sizeof urls / sizeof urls [0]; i++) {
        const downloader_source_t *kind = NULL;
        assert_int_equal (downloader_url_check (urls [i], NULL), 0);
        assert_int_equal (downloader_source_find (urls [i], &kind, NULL), 0);
        assert_ptr_equal (kind, &downloader_source_http);
    }
}

/* R3.2 */
static void urls_with_secrets_other_schemes_or_control_bytes_are_refused (void **state)
{
    (void) state;
    static const char *const urls [] = {
        "",
        "example.com/a",
        "/etc/passwd",
        "file:///etc/passwd",
        "ftp://example.com/a",
        "http://",
        "https://:80/",
        "http://user@host/",
        "http://user:pw@host/",
        "http://host/\r\nX: y",
        "http://host/\x7f",
        "http://host:99999/",
        "http://[::1/",
        "gopher://host/",
        "http://ho st/",
    };
    yard_error_t error;
    const downloader_source_t *kind = NULL;
    for (size_t i = 0; i < sizeof urls / sizeof urls [0]; i++) {
        if (downloader_url_check (urls [i], &error) != YARD_INVALID_SOURCE)
            fail_msg ("%s is taken", urls [i]);
        assert_true (strlen (error.text) > 10);
        assert_int_equal (downloader_source_find (urls [i], &kind, &error), YARD_INVALID_SOURCE);
    }
    char *huge = calloc (1, 5001);
    memset (huge, 'a', 5000);
    memcpy (huge, "http://a/", 9);
    assert_int_equal (downloader_url_check (huge, &error), YARD_INVALID_SOURCE);
    free (huge);
}

static void a_location_is_joined_to_its_base (void **state)
{
    (void) state;
    static const char *const cases [][3] = {
        { "https://a.example/x/y?q=1", "z", "https://a.example/x/z" },
        { "https://a.example/x/y", "/r?s=2", "https://a.example/r?s=2" },
        { "https://a.example/x", "//b.example/y", "https://b.example/y" },
        { "http://a.example/x", "https://b.example/y#frag", "https://b.example/y" },
        { "http://a.example/x", "http://a.example:81/y", "http://a.example:81/y" },
        { "http://a.example/x", "/with space", "http://a.example/with%20space" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases [0]; i++) {
        char *url = NULL;
        assert_int_equal (downloader_url_follow (cases [i][0], cases [i][1], &url, NULL), 0);
        assert_string_equal (url, cases [i][2]);
        free (url);
    }
}

static void a_location_that_leads_astray_is_refused (void **state)
{
    (void) state;
    static const char *const cases [][2] = {
        { "https://a.example/x", "http://a.example/x" },
        { "http://a.example/x", "file:///etc/passwd" },
        { "http://a.example/x", "ftp://a.example/x" },
        { "http://a.example/x", "data:,x" },
        { "http://a.example/x", "" },
        { "http://a.example/x", "http://u:p@b.example/" },
        { "http://a.example/x", "http://b.example/\nx" },
        { "http://a.example/x", "http://" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases [0]; i++) {
        char *url = NULL;
        yard_error_t error;
        if (downloader_url_follow (cases [i][0], cases [i][1], &url, &error) != YARD_HTTP_FAILED)
            fail_msg ("%s is followed", cases [i][1]);
        assert_null (url);
    }
}

static void an_origin_is_scheme_host_and_port (void **state)
{
    (void) state;
    static const struct {
        const char *a, *b;
        bool same;
    } cases [] = {
        { "https://h.example/a", "https://h.example/b?c", true },
        { "https://h.example/a", "https://h.example:443/a", true },
        { "http://h.example/a", "http://H.EXAMPLE:80/a", true },
        { "https://h.example/a", "http://h.example/a", false },
        { "https://h.example/a", "https://h.example:444/a", false },
        { "https://h.example/a", "https://cdn.h.example/a", false },
        { "https://h.example/a", "https://h.example.evil.example/a", false },
        { "https://h.example/a", "https://h.example@evil.example/a", false },
        { "http://127.0.0.1:1/a", "http://localhost:1/a", false },
        { "https://h.example/a", "nonsense", false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases [0]; i++)
        if (downloader_url_same_origin (cases [i].a, cases [i].b) != cases [i].same)
            fail_msg ("%s and %s", cases [i].a, cases [i].b);
}

static void the_query_of_a_signed_url_is_not_shown (void **state)
{
    (void) state;
    char *text = downloader_url_public ("https://cdn.example/file?X-Amz-Signature=secret#x");
    assert_string_equal (text, "https://cdn.example/file");
    free (text);
    text = downloader_url_public ("no url ?secret");
    assert_string_equal (text, "");
    free (text);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (good_urls_are_taken),
        cmocka_unit_test (urls_with_secrets_other_schemes_or_control_bytes_are_refused),
        cmocka_unit_test (a_location_is_joined_to_its_base),
        cmocka_unit_test (a_location_that_leads_astray_is_refused),
        cmocka_unit_test (an_origin_is_scheme_host_and_port),
        cmocka_unit_test (the_query_of_a_signed_url_is_not_shown),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
