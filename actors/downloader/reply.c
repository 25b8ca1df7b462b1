// SPDX-License-Identifier: Apache-2.0
/*  reply.c - reads the head of a reply and judges it (RFC 9110, sections 10, 13.1.5, 14, 15)
 */
#include "reply.h"

#include <curl/curl.h>
#include <string.h>
#include <strings.h>
#include "proto/wire.h"

#define MODIFIED_AGE_S \
    60 /* a date with second resolution is strong only when the file has rested for a minute */
#define SIZE_MAX_BYTES ((uint64_t) YARD_SAFE_INTEGER) /* larger sizes cannot be told over the bus */

void downloader_reply_init (downloader_reply_t *self)
{
    memset (self, 0, sizeof *self);
    self->total = self->length = DOWNLOADER_SIZE_UNKNOWN;
}

/*  --- header lines */
/*  Digits only, in bounds; moves *at behind them. */
static bool read_number (const char **at, uint64_t *ret_number)
{
    const char *digit = *at;
    uint64_t number = 0;
    for (; *digit >= '0' && *digit <= '9'; digit++) {
        number = number * 10 + (uint64_t) (*digit - '0');
        if (number > SIZE_MAX_BYTES)
            return false;
    }
    if (digit == *at)
        return false;
    *at = digit;
    *ret_number = number;
    return true;
}

/*  bytes 0-9/10, bytes 0-9/ *, bytes * /10 */
static void read_range (downloader_reply_t *self, const char *value)
{
    bool again = self->ranged || self->unsatisfied;
    const char *at = value;
    self->broken = true;
    if (again || strncasecmp (at, "bytes ", 6) != 0)
        return;
    at += 6;
    bool star = *at == '*';
    uint64_t first = 0, last = 0, total = DOWNLOADER_SIZE_UNKNOWN;
    if (star)
        at++;
    else if (!read_number (&at, &first) || *at++ != '-' || !read_number (&at, &last) || last < first)
        return;
    if (*at++ != '/')
        return;
    if (*at == '*' && !star)
        at++;
    else if (!read_number (&at, &total) || (!star && last >= total))
        return;
    if (*at)
        return;
    self->broken = false;
    self->ranged = !star;
    self->unsatisfied = star;
    self->first = first;
    self->last = last;
    self->total = total;
}

static void read_length (downloader_reply_t *self, const char *value)
{
    uint64_t length;
    const char *at = value;
    if (!read_number (&at, &length) || *at ||
        (self->length != DOWNLOADER_SIZE_UNKNOWN && self->length != length))
        self->broken = true;
    else
        self->length = length;
}

static void read_encoding (downloader_reply_t *self, const char *value)
{
    self->encoded = self->encoded || (*value && strcasecmp (value, "identity") != 0);
}

static void read_transfer (downloader_reply_t *self, const char *value)
{
    self->chunked = self->chunked || strcasecmp (value, "chunked") == 0;
}

static void read_type (downloader_reply_t *self, const char *value)
{
    self->multipart = strncasecmp (value, "multipart/byteranges", 20) == 0;
    self->html = strncasecmp (value, "text/html", 9) == 0;
}

/*  A value that does not fit is dropped whole: half an ETag is another ETag. */
static void keep (char *field, size_t size, const char *value)
{
    size_t length = strlen (value);
    memset (field, 0, size);
    if (length < size)
        memcpy (field, value, length + 1);
}

static void read_etag (downloader_reply_t *self, const char *value)
{
    keep (self->etag, sizeof self->etag, value);
}
static void read_modified (downloader_reply_t *self, const char *value)
{
    keep (self->modified, sizeof self->modified, value);
}
static void read_date (downloader_reply_t *self, const char *value)
{
    keep (self->date, sizeof self->date, value);
}
static void read_retry (downloader_reply_t *self, const char *value)
{
    keep (self->retry_after, sizeof self->retry_after, value);
}
static void read_location (downloader_reply_t *self, const char *value)
{
    keep (self->location, sizeof self->location, value);
}

static const struct {
    const char *name;
    void (*read) (downloader_reply_t *self, const char *value);
} headers [] = {
    { "content-range", read_range },       { "content-length", read_length },
    { "content-encoding", read_encoding }, { "transfer-encoding", read_transfer },
    { "content-type", read_type },         { "etag", read_etag },
    { "last-modified", read_modified },    { "date", read_date },
    { "retry-after", read_retry },         { "location", read_location },
};

/*  "HTTP/1.1 206 Partial Content": three digits behind the first space. */
static void read_status (downloader_reply_t *self, const char *line, size_t size)
{
    downloader_reply_init (self);
    const char *space = memchr (line, ' ', size);
    if (!space || (size_t) (line + size - space) < 4)
        return;
    for (int i = 1; i <= 3; i++)
        self->status = self->status * 10 + (space [i] - '0');
    if (self->status < 100 || self->status > 999)
        self->status = 0;
}

void downloader_reply_line (downloader_reply_t *self, const char *line, size_t size)
{
    char value [DOWNLOADER_LOCATION_SIZE + 1];
    const char *colon = memchr (line, ':', size);
    if (size >= 5 && strncasecmp (line, "HTTP/", 5) == 0) {
        read_status (self, line, size);
        return;
    }
    if (!colon)
        return;
    size_t name_size = (size_t) (colon - line);
    const char *begin = colon + 1, *end = line + size;
    while (begin < end && (*begin == ' ' || *begin == '\t'))
        begin++;
    while (end > begin && (end [-1] == ' ' || end [-1] == '\t' || end [-1] == '\r' || end [-1] == '\n'))
        end--;
    size_t value_size = (size_t) (end - begin);
    if (value_size >= sizeof value || memchr (begin, 0, value_size))
        return;
    memcpy (value, begin, value_size);
    value [value_size] = 0;
    for (size_t i = 0; i < sizeof headers / sizeof headers [0]; i++)
        if (strlen (headers [i].name) == name_size && strncasecmp (headers [i].name, line, name_size) == 0)
            headers [i].read (self, value);
}

void downloader_reply_validator (const downloader_reply_t *self, char *ret_validator)
{
    memset (ret_validator, 0, DOWNLOADER_VALIDATOR_SIZE);
    size_t size = strlen (self->etag);
    if (size >= 2 && self->etag [0] == '"' && self->etag [size - 1] == '"') {
        memcpy (ret_validator, self->etag, size);
        return;
    }
    if (self->etag [0] || !self->modified [0])
        return; /* a weak ETag says that the date is no better */
    time_t modified = curl_getdate (self->modified, NULL), date = curl_getdate (self->date, NULL);
    if (modified > 0 && date > 0 && date - modified >= MODIFIED_AGE_S)
        memcpy (ret_validator, self->modified, strlen (self->modified));
}

int64_t downloader_reply_retry_ms (const downloader_reply_t *self, int64_t wall_ms)
{
    const char *at = self->retry_after;
    uint64_t seconds = 0;
    int64_t ms = 0;
    if (*at >= '0' && *at <= '9' && strspn (at, "0123456789") == strlen (at)) {
        ms = DOWNLOADER_RETRY_AFTER_MAX_MS; /* more digits than a number can have */
        if (read_number (&at, &seconds) && seconds < DOWNLOADER_RETRY_AFTER_MAX_MS / 1000)
            ms = (int64_t) seconds * 1000;
    } else if (*at) {
        time_t when = curl_getdate (at, NULL);
        ms = when > 0 ? (int64_t) when * 1000 - wall_ms : 0;
    }
    return ms < 0 ? 0 : ms > DOWNLOADER_RETRY_AFTER_MAX_MS ? DOWNLOADER_RETRY_AFTER_MAX_MS : ms;
}

/*  --- the decision */
/*  Is this reply about the file we began? Says CHANGED or, against what the job published, FAIL. */
static bool is_same_file (const downloader_reply_t *self, const downloader_asked_t *asked, uint64_t size,
                          downloader_decision_t *ret)
{
    char validator [DOWNLOADER_VALIDATOR_SIZE];
    downloader_reply_validator (self, validator);
    bool known = size != DOWNLOADER_SIZE_UNKNOWN;
    /* A 206 that names no version at all was sent because of our If-Range: the server vouches for it. */
    bool unnamed = self->status == 206 && !self->etag [0] && !self->modified [0];
    if (known && asked->published_size != DOWNLOADER_SIZE_UNKNOWN && size != asked->published_size) {
        ret->verdict = DOWNLOADER_FAIL;
        yard_error (&ret->error, YARD_INTEGRITY,
                    "the server has %llu bytes where %llu were published; check the URL",
                    (unsigned long long) size, (unsigned long long) asked->published_size);
        return false;
    }
    if ((known && asked->size != DOWNLOADER_SIZE_UNKNOWN && size != asked->size) ||
        (asked->from && asked->validator [0] && !unnamed && strcmp (asked->validator, validator) != 0)) {
        ret->verdict = DOWNLOADER_CHANGED;
        yard_error (&ret->error, YARD_SOURCE_CHANGED,
                    "the file changed at its source while it was fetched; try again when its owner is done");
        return false;
    }
    return true;
}

static void judge_whole (const downloader_reply_t *self, const downloader_asked_t *asked,
                         downloader_decision_t *ret)
{
    if (!is_same_file (self, asked, self->chunked ? DOWNLOADER_SIZE_UNKNOWN : self->length, ret))
        return;
    if (asked->from) {
        ret->verdict = DOWNLOADER_RESTART;
        yard_error (&ret->error, YARD_HTTP_FAILED,
                    "the server no longer sends parts of the file; it is fetched from its start");
        return;
    }
    ret->verdict = DOWNLOADER_TAKE;
    ret->size =
        self->chunked || self->length == DOWNLOADER_SIZE_UNKNOWN ? asked->published_size : self->length;
    ret->end = ret->size;
}

static void judge_part (const downloader_reply_t *self, const downloader_asked_t *asked,
                        downloader_decision_t *ret)
{
    uint64_t size = self->total != DOWNLOADER_SIZE_UNKNOWN   ? self->total
                    : asked->size != DOWNLOADER_SIZE_UNKNOWN ? asked->size
                                                             : asked->published_size;
    if (!self->ranged || self->multipart || self->first != asked->from || asked->whole ||
        size == DOWNLOADER_SIZE_UNKNOWN || self->last >= size) {
        ret->verdict = DOWNLOADER_AGAIN;
        yard_error (&ret->error, YARD_HTTP_FAILED,
                    "the server sent another part than the one asked for; its Range support is broken");
        return;
    }
    if (!is_same_file (self, asked, size, ret))
        return;
    ret->verdict = DOWNLOADER_TAKE;
    ret->size = size;
    ret->end = self->last + 1;
}

/*  416: we have it all, or the file shrank, or the server dislikes ranges (of an empty file, for one). */
static void judge_unsatisfied (const downloader_reply_t *self, const downloader_asked_t *asked,
                               downloader_decision_t *ret)
{
    bool fits = (asked->size == DOWNLOADER_SIZE_UNKNOWN || asked->size == asked->from) &&
                (asked->published_size == DOWNLOADER_SIZE_UNKNOWN || asked->published_size == asked->from);
    if (self->unsatisfied && self->total == asked->from && fits) {
        ret->verdict = DOWNLOADER_COMPLETE;
        ret->size = self->total;
        return;
    }
    ret->verdict =
        asked->from ? self->unsatisfied ? DOWNLOADER_CHANGED : DOWNLOADER_RESTART : DOWNLOADER_PLAIN;
    yard_error (&ret->error, ret->verdict == DOWNLOADER_CHANGED ? YARD_SOURCE_CHANGED : YARD_HTTP_FAILED,
                "the server refuses the rest of the file; it is fetched from its start");
}

static const struct {
    long low, high;
    downloader_verdict_t verdict;
    int code;
    const char *text;
} failures [] = {
    { 401, 401, DOWNLOADER_FAIL, YARD_NOT_AUTHORISED, "log in at the site and give access_token" },
    { 403, 403, DOWNLOADER_FAIL, YARD_NOT_AUTHORISED,
      "this credential (or its absence) is refused; accept the model's terms at the site, or give another "
      "access_token" },
    { 407, 407, DOWNLOADER_FAIL, YARD_NOT_AUTHORISED,
      "a proxy wants a credential; reach the server without it" },
    { 404, 404, DOWNLOADER_FAIL, YARD_NOT_FOUND, "no such file there; check the URL" },
    { 410, 410, DOWNLOADER_FAIL, YARD_NOT_FOUND, "the file was taken away; look for another source" },
    { 408, 408, DOWNLOADER_AGAIN, YARD_HTTP_FAILED, "it is tried again" },
    { 425, 425, DOWNLOADER_AGAIN, YARD_HTTP_FAILED, "it is tried again" },
    { 429, 429, DOWNLOADER_AGAIN, YARD_HTTP_FAILED, "too many requests; it is tried again later" },
    { 500, 599, DOWNLOADER_AGAIN, YARD_HTTP_FAILED, "the server is in trouble; it is tried again later" },
};

static void judge_failure (const downloader_reply_t *self, downloader_decision_t *ret)
{
    for (size_t i = 0; i < sizeof failures / sizeof failures [0]; i++)
        if (self->status >= failures [i].low && self->status <= failures [i].high) {
            ret->verdict = failures [i].verdict;
            yard_error (&ret->error, failures [i].code, "the server answered %ld: %s", self->status,
                        failures [i].text);
            return;
        }
    ret->verdict = DOWNLOADER_FAIL;
    yard_error (&ret->error, YARD_HTTP_FAILED,
                "the server answered %ld, which is no file; look at the URL in a browser", self->status);
}

static bool is_redirect (long status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

void downloader_reply_judge (const downloader_reply_t *self, const downloader_asked_t *asked,
                             downloader_decision_t *ret)
{
    *ret = (downloader_decision_t){ .end = DOWNLOADER_SIZE_UNKNOWN, .size = DOWNLOADER_SIZE_UNKNOWN };
    bool body = self->status == 200 || self->status == 206;
    if (body && self->encoded) {
        ret->verdict = DOWNLOADER_FAIL;
        yard_error (&ret->error, YARD_HTTP_FAILED,
                    "the server sends the file compressed though asked not to; its bytes cannot be proven, "
                    "use another URL");
    } else if (body && self->broken) {
        ret->verdict = DOWNLOADER_AGAIN;
        yard_error (&ret->error, YARD_HTTP_FAILED,
                    "the server's Content-Range or Content-Length cannot be read");
    } else if (self->status == 200)
        judge_whole (self, asked, ret);
    else if (self->status == 206)
        judge_part (self, asked, ret);
    else if (self->status == 416)
        judge_unsatisfied (self, asked, ret);
    else if (is_redirect (self->status))
        ret->verdict = DOWNLOADER_FOLLOW;
    else
        judge_failure (self, ret);
}
