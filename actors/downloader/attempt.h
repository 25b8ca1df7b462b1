// SPDX-License-Identifier: Apache-2.0
/*  attempt.h - one try at a file: from its source, through redirects, to the end of one body
 *
 *  Every try begins at the job's own URL, never at where an earlier redirect led: a signed URL may have expired. Redirects are followed by
 *  hand, and the credential is shown only where the source allows it.
 *
 *  Invariants: `taken` runs at most once, before `body`; `ended` runs exactly once, last, never from inside downloader_attempt_new, and not
 *  after destroy. The attempt destroys itself never.
 */
#ifndef YARD_DOWNLOADER_ATTEMPT_H
#define YARD_DOWNLOADER_ATTEMPT_H

#include "fetch.h"
#include "source.h"

typedef struct downloader_attempt_t downloader_attempt_t;

typedef enum {
    DOWNLOADER_ENDED_WHOLE, /* the last byte is here (or was: a 416 said so) */
    DOWNLOADER_ENDED_SHORT, /* the server sent a shorter part than it could; ask on */
    DOWNLOADER_ENDED_RESTART, /* ranges are refused */
    DOWNLOADER_ENDED_CHANGED, /* the source has another file now */
    DOWNLOADER_ENDED_AGAIN, /* broke; may work the next time */
    DOWNLOADER_ENDED_FAILED /* will not work */
} downloader_ended_t;

typedef struct {
    downloader_ended_t how;
    yard_error_t error; /* why, unless WHOLE or SHORT */
    int64_t retry_ms; /* AGAIN: the server wants us to wait so long; 0 = says nothing */
    bool framed; /* WHOLE: HTTP itself said that the body ended here, not just the connection */
} downloader_outcome_t;

typedef struct {
    /*  A body is taken: what the file is. */
    void (*taken) (void *argument, uint64_t size, const char *validator);
    downloader_body_t (*body) (void *argument, const void *data, size_t size);
    void (*ended) (void *argument, const downloader_outcome_t *outcome);
} downloader_attempt_listener_t;

typedef struct {
    const downloader_source_t *kind;
    const char *source; /* the job's URL */
    const char *credential; /* or NULL */
    downloader_asked_t asked; /* its validator is copied */
} downloader_attempt_options_t;

/*  Borrows source and credential. */
downloader_attempt_t *downloader_attempt_new (yard_actor_t *actor, downloader_fetch_t *fetch,
                                              const downloader_attempt_options_t *options,
                                              const downloader_attempt_listener_t *listener, void *argument);
void downloader_attempt_destroy (downloader_attempt_t **self_p);
/*  After body said WAIT. May run body and ended. */
void downloader_attempt_go_on (downloader_attempt_t *self);
/*  Where the last request went. */
const char *downloader_attempt_url (const downloader_attempt_t *self);

#endif
