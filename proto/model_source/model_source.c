// SPDX-License-Identifier: Apache-2.0
/*  model_source.c - tells a path from an URL from a form that is not built yet
 *
 *  Promises: the same source always gives the same text, so equal asks are seen to be equal. Refuses:
 *  relative paths (the server's directory is not the asker's), user names in URLs, schemes that are no
 *  download.
 */
#include "proto/model_source/model_source.h"

#include <ctype.h>
#include <curl/curl.h>

/*  Forms that will be sources later, by how their text begins. */
static const struct {
    const char *prefix, *what;
} later_forms [] = {
    { "s3://", "S3 sources" },
    { "hf://", "Hugging Face sources" },
    { "civitai:", "Civitai sources" },
};

static bool is_windows_path (yard_string_t text)
{
    return text.size >= 3 && isalpha ((unsigned char) text.data [0]) && text.data [1] == ':' &&
           (text.data [2] == '\\' || text.data [2] == '/');
}

/*  org/name with anything a repository may be called, and the :variant forms behind it. */
static bool is_hub_form (yard_string_t text)
{
    size_t slashes = 0;
    for (size_t i = 0; i < text.size && text.data [i] != ':'; i++) {
        unsigned char byte = (unsigned char) text.data [i];
        if (byte == '/')
            slashes++;
        else if (!isalnum (byte) && !strchr ("._-", byte))
            return false;
    }
    return slashes == 1 && text.data [0] != '/' && text.data [0] != '.';
}

/*  Removes //, /./ and /../ by text alone; a symlink keeps its name. */
int yard_source_parse_path (yard_string_t text, yard_arena_t *arena, yard_string_t *ret, yard_error_t *error)
{
    if (text.size == 0 || text.data [0] != '/')
        return yard_error (error, YARD_INVALID_SOURCE,
                           "\"%.*s\" is not an absolute path; give the whole path from / on",
                           YARD_VIEW (text));
    char *path = yard_arena_alloc (arena, text.size + 1);
    size_t size = 0;
    for (size_t at = 0; at < text.size;) {
        size_t end = at + 1;
        while (end < text.size && text.data [end] != '/')
            end++;
        yard_string_t part = { text.data + at + 1, end - at - 1 };
        if (yard_string_is (part, ".."))
            while (size > 0 && path [--size] != '/')
                ;
        else if (part.size > 0 && !yard_string_is (part, ".")) {
            memcpy (path + size, text.data + at, end - at);
            size += end - at;
        }
        at = end;
    }
    if (size == 0)
        return yard_error (error, YARD_INVALID_SOURCE,
                           "\"%.*s\" names no file; give the path of one model file", YARD_VIEW (text));
    *ret = (yard_string_t){ path, size };
    return 0;
}

int yard_source_parse_url (yard_string_t text, yard_arena_t *arena, yard_string_t *ret, yard_error_t *error)
{
    CURLU *url = curl_url ();
    char *scheme = NULL, *user = NULL, *whole = NULL;
    int code = 0;
    CURLUcode parsed = curl_url_set (url, CURLUPART_URL, yard_arena_text (arena, text), 0);
    if (parsed) {
        code = yard_error (error, YARD_INVALID_SOURCE, "\"%.*s\" is no URL: %s", YARD_VIEW (text),
                           curl_url_strerror (parsed));
        goto end;
    }
    if (curl_url_get (url, CURLUPART_SCHEME, &scheme, 0) ||
        (strcmp (scheme, "http") && strcmp (scheme, "https"))) {
        code = yard_error (error, YARD_INVALID_SOURCE, "\"%.*s\": only http and https are downloaded",
                           YARD_VIEW (text));
        goto end;
    }
    if (curl_url_get (url, CURLUPART_USER, &user, 0) == CURLUE_OK) {
        code = yard_error (
            error, YARD_INVALID_SOURCE,
            "the URL holds a user name; give the credential as access_token instead, URLs are logged");
        goto end;
    }
    curl_url_set (url, CURLUPART_FRAGMENT, NULL, 0);
    if (curl_url_get (url, CURLUPART_URL, &whole, CURLU_NO_DEFAULT_PORT)) {
        code = yard_error (error, YARD_INVALID_SOURCE, "\"%.*s\" is no URL", YARD_VIEW (text));
        goto end;
    }
    *ret = yard_arena_copy (arena, yard_string (whole));
end:
    curl_free (scheme);
    curl_free (user);
    curl_free (whole);
    curl_url_cleanup (url);
    return code;
}

int yard_source_parse (yard_string_t text, yard_arena_t *arena, yard_string_t *ret, bool *ret_local,
                       yard_error_t *error)
{
    for (size_t i = 0; i < sizeof later_forms / sizeof later_forms [0]; i++)
        if (yard_string_starts (text, later_forms [i].prefix))
            return yard_error (error, YARD_NOT_IMPLEMENTED,
                               "%s are not built yet; give an http(s) URL or an absolute path",
                               later_forms [i].what);
    *ret_local = !memmem (text.data, text.size, "://", 3);
    if (!*ret_local)
        return yard_source_parse_url (text, arena, ret, error);
    if (is_windows_path (text))
        return yard_error (error, YARD_INVALID_SOURCE, "\"%.*s\" is a path of another system",
                           YARD_VIEW (text));
    if (is_hub_form (text))
        return yard_error (
            error, YARD_NOT_IMPLEMENTED,
            "\"%.*s\" looks like a Hugging Face repository, which is not built yet; give the URL of one "
            "file, or an absolute path",
            YARD_VIEW (text));
    return yard_source_parse_path (text, arena, ret, error);
}

const char *yard_source_safe_name (yard_string_t text, size_t size_max, yard_arena_t *arena)
{
    while (text.size > 0 && strchr (".-", text.data [0]))
        text.data++, text.size--;
    if (text.size == 0)
        return "model";
    if (text.size > size_max)
        text.size = size_max;
    char *name = yard_arena_text (arena, text);
    for (char *byte = name; *byte; byte++)
        if (!isalnum ((unsigned char) *byte) && !strchr ("._-", *byte))
            *byte = '_';
    return name;
}

const char *yard_source_file_name (yard_string_t path, bool local, yard_arena_t *arena)
{
    if (!local) {
        const char *query = memchr (path.data, '?', path.size);
        if (query)
            path.size = (size_t) (query - path.data);
        const char *host = memmem (path.data, path.size, "://", 3);
        if (host) {
            path.size -= (size_t) (host + 3 - path.data);
            path.data = host + 3;
        }
    }
    const char *slash = memrchr (path.data, '/', path.size);
    if (!slash)
        return "model";
    path.size -= (size_t) (slash + 1 - path.data);
    path.data = slash + 1;
    /* A long name keeps its end: the suffix says what the file is. */
    if (path.size > YARD_SOURCE_FILE_NAME_MAX) {
        path.data += path.size - YARD_SOURCE_FILE_NAME_MAX;
        path.size = YARD_SOURCE_FILE_NAME_MAX;
    }
    return yard_source_safe_name (path, YARD_SOURCE_FILE_NAME_MAX, arena);
}
