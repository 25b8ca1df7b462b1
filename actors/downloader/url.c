// SPDX-License-Identifier: Apache-2.0
/*  url.c - a thin, strict layer over libcurl's URL parser
 */
#include "url.h"

#include <assert.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/*  Control bytes would end a header or a log line early; libcurl refuses most of them, not all. */
static bool is_printable (const char *text)
{
    for (const unsigned char *at = (const unsigned char *) text; *at; at++)
        if (*at < 0x20 || *at == 0x7f)
            return false;
    return true;
}

/*  One part as malloc'ed text, or NULL where the URL has none. curl_free is free, as curl_global_init_mem is never used here. */
static char *part_of (CURLU *handle, CURLUPart part, unsigned flags)
{
    char *text = NULL;
    return curl_url_get (handle, part, &text, flags) == CURLUE_OK ? text : NULL;
}

static bool is_web (CURLU *handle)
{
    char *scheme = part_of (handle, CURLUPART_SCHEME, 0);
    bool web = scheme && (strcasecmp (scheme, "http") == 0 || strcasecmp (scheme, "https") == 0);
    curl_free (scheme);
    return web;
}

int downloader_url_check (const char *url, yard_error_t *error)
{
    if (strlen (url) > DOWNLOADER_URL_MAX || !is_printable (url))
        return yard_error (
            error, YARD_INVALID_SOURCE,
            "the URL has control characters or more than %d bytes; give it as the site shows it",
            DOWNLOADER_URL_MAX);
    CURLU *handle = curl_url ();
    assert (handle);
    CURLUcode code = curl_url_set (handle, CURLUPART_URL, url, CURLU_DISALLOW_USER);
    int rc = 0;
    if (code == CURLUE_USER_NOT_ALLOWED)
        rc = yard_error (error, YARD_INVALID_SOURCE,
                         "the URL holds a user name or password; leave it out and give access_token instead");
    else if (code == CURLUE_UNSUPPORTED_SCHEME || (code == CURLUE_OK && !is_web (handle)))
        rc = yard_error (error, YARD_INVALID_SOURCE, "the URL is neither http:// nor https://");
    else if (code)
        rc = yard_error (error, YARD_INVALID_SOURCE, "this is no URL (%s); it looks like https://host/path",
                         curl_url_strerror (code));
    curl_url_cleanup (handle);
    return rc;
}

static CURLU *parsed (const char *url)
{
    CURLU *handle = curl_url ();
    assert (handle);
    if (curl_url_set (handle, CURLUPART_URL, url, CURLU_DISALLOW_USER) == CURLUE_OK)
        return handle;
    curl_url_cleanup (handle);
    return NULL;
}

static bool is_https (CURLU *handle)
{
    char *scheme = part_of (handle, CURLUPART_SCHEME, 0);
    bool https = scheme && strcasecmp (scheme, "https") == 0;
    curl_free (scheme);
    return https;
}

int downloader_url_follow (const char *base, const char *location, char **ret_url, yard_error_t *error)
{
    if (!*location || strlen (location) > DOWNLOADER_URL_MAX || !is_printable (location))
        return yard_error (error, YARD_HTTP_FAILED,
                           "the server redirects without a usable Location; look at the URL in a browser");
    CURLU *handle = parsed (base);
    if (!handle)
        return yard_error (error, YARD_INTERNAL, "a redirect from what is no URL");
    bool secure = is_https (handle);
    unsigned flags = CURLU_URLENCODE | CURLU_ALLOW_SPACE | CURLU_DISALLOW_USER;
    int rc = 0;
    char *url = NULL;
    if (curl_url_set (handle, CURLUPART_URL, location, flags) || !is_web (handle))
        rc = yard_error (
            error, YARD_HTTP_FAILED,
            "the server redirects to what is neither http:// nor https://, or holds a user name; refused");
    else if (secure && !is_https (handle))
        rc = yard_error (
            error, YARD_HTTP_FAILED,
            "the server redirects from https down to http; refused, give the final URL if you trust it");
    else if (curl_url_set (handle, CURLUPART_FRAGMENT, NULL, 0) ||
             !(url = part_of (handle, CURLUPART_URL, 0)) || strlen (url) > DOWNLOADER_URL_MAX)
        rc = yard_error (error, YARD_HTTP_FAILED, "the server redirects to a URL of more than %d bytes",
                         DOWNLOADER_URL_MAX);
    if (rc == 0)
        *ret_url = url;
    else
        curl_free (url);
    curl_url_cleanup (handle);
    return rc;
}

static bool same_part (CURLU *a, CURLU *b, CURLUPart part)
{
    char *first = part_of (a, part, CURLU_DEFAULT_PORT), *second = part_of (b, part, CURLU_DEFAULT_PORT);
    bool same = first && second && strcasecmp (first, second) == 0;
    curl_free (first);
    curl_free (second);
    return same;
}

bool downloader_url_same_origin (const char *a, const char *b)
{
    CURLU *first = parsed (a), *second = parsed (b);
    bool same = first && second && same_part (first, second, CURLUPART_SCHEME) &&
                same_part (first, second, CURLUPART_HOST) && same_part (first, second, CURLUPART_PORT);
    curl_url_cleanup (first);
    curl_url_cleanup (second);
    return same;
}

char *downloader_url_public (const char *url)
{
    CURLU *handle = parsed (url);
    char *text = NULL;
    if (handle && !curl_url_set (handle, CURLUPART_QUERY, NULL, 0) &&
        !curl_url_set (handle, CURLUPART_FRAGMENT, NULL, 0))
        text = part_of (handle, CURLUPART_URL, 0);
    curl_url_cleanup (handle);
    if (!text)
        text = strdup ("");
    assert (text);
    return text;
}
