// SPDX-License-Identifier: Apache-2.0
/*  reply.h - what a server's head says, and what to do about it
 *
 *  Pure: header lines in, facts out; facts and what was asked in, one decision out. No socket, no file, no clock of its own.
 *
 *  Invariants: a 206 is taken only if it starts at the byte asked for, belongs to the file we have begun, and is not encoded; nothing of any
 *  other reply is ever joined to bytes of an earlier one.
 */
#ifndef YARD_DOWNLOADER_REPLY_H
#define YARD_DOWNLOADER_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "actors/ground/error.h"

#define DOWNLOADER_VALIDATOR_SIZE \
    256 /* with its 0; ETags in the wild have up to 80 bytes; a longer one counts as none */
#define DOWNLOADER_LOCATION_SIZE 4097 /* with its 0; signed URLs have about 1 KiB */
#define DOWNLOADER_RETRY_AFTER_MAX_MS 600000 /* a server may ask for 10 minutes, not for a year */
#define DOWNLOADER_SIZE_UNKNOWN UINT64_MAX

typedef struct {
    long status; /* 0 before the first line */
    bool encoded; /* Content-Encoding other than identity */
    bool chunked;
    bool multipart; /* multipart/byteranges */
    bool html; /* Content-Type says it is a page */
    bool broken; /* a Content-Range or Content-Length that cannot be read, or two of them */
    bool ranged; /* Content-Range: bytes first-last/total */
    bool unsatisfied; /* Content-Range: bytes * /total */
    uint64_t first, last;
    uint64_t total; /* or DOWNLOADER_SIZE_UNKNOWN */
    uint64_t length; /* Content-Length, or DOWNLOADER_SIZE_UNKNOWN */
    char etag [DOWNLOADER_VALIDATOR_SIZE]; /* as sent; "" for none */
    char modified [64], date [64], retry_after [64];
    char location [DOWNLOADER_LOCATION_SIZE];
} downloader_reply_t;

void downloader_reply_init (downloader_reply_t *self);

/*  One header line, without its end of line. A status line begins anew (1xx replies come before the real one). */
void downloader_reply_line (downloader_reply_t *self, const char *line, size_t size);

/*  What If-Range may carry: a strong ETag, else a Last-Modified at least 60 s older than Date (RFC 9110, 8.8.2.2). "" for none. */
void downloader_reply_validator (const downloader_reply_t *self, char *ret_validator);

/*  Retry-After in ms from now (seconds or a date), at most DOWNLOADER_RETRY_AFTER_MAX_MS; 0 for none or nonsense. */
int64_t downloader_reply_retry_ms (const downloader_reply_t *self, int64_t wall_ms);

/*  What was asked for. */
typedef struct {
    uint64_t from; /* first byte wanted */
    bool whole; /* asked without Range */
    uint64_t size; /* as earlier replies said, or DOWNLOADER_SIZE_UNKNOWN */
    uint64_t published_size; /* as the job says, or DOWNLOADER_SIZE_UNKNOWN */
    const char *validator; /* of the bytes before `from`; "" for none */
} downloader_asked_t;

typedef enum {
    DOWNLOADER_TAKE, /* the body starts at `from` */
    DOWNLOADER_COMPLETE, /* all bytes are here already */
    DOWNLOADER_RESTART, /* the range was refused: from zero, into a fresh file */
    DOWNLOADER_CHANGED, /* another file than the one we began: from zero, into a fresh file */
    DOWNLOADER_PLAIN, /* ask again without Range */
    DOWNLOADER_FOLLOW, /* a redirect */
    DOWNLOADER_AGAIN, /* a failure that may pass */
    DOWNLOADER_FAIL /* a failure that will not */
} downloader_verdict_t;

typedef struct {
    downloader_verdict_t verdict;
    uint64_t end; /* TAKE: first byte behind the body, or DOWNLOADER_SIZE_UNKNOWN */
    uint64_t size; /* TAKE, COMPLETE: of the whole file, or DOWNLOADER_SIZE_UNKNOWN */
    yard_error_t error; /* RESTART, CHANGED, AGAIN, FAIL: why */
} downloader_decision_t;

void downloader_reply_judge (const downloader_reply_t *self, const downloader_asked_t *asked,
                             downloader_decision_t *ret_decision);

#endif
