// SPDX-License-Identifier: Apache-2.0
/*  fetch.h - the door to HTTP: one GET at a time per call, many calls in one loop
 *
 *  libcurl's multi interface, driven by the actor's watches and timers; nothing here blocks. A call follows no redirect, knows no credential but the
 *  one it is given, decodes nothing, uses no proxy and no .netrc, and opens no connection to a private address unless told that it may.
 *
 *  Invariants: `head` runs at most once and before `body`; `ended` runs exactly once, last, and never from inside downloader_fetch_get; after
 *  downloader_fetch_stop nothing of the call runs any more. Handlers do not call into the door, but `ended` may start another call. A
 *  handler that refuses (head: nonzero; body: STOP) ends the call with cancelled.
 */
#ifndef YARD_DOWNLOADER_FETCH_H
#define YARD_DOWNLOADER_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "actors/runtime/actor.h"
#include "reply.h"

typedef struct downloader_fetch_t downloader_fetch_t;
typedef struct downloader_call_t downloader_call_t;

typedef enum {
    DOWNLOADER_BODY_TAKEN,
    DOWNLOADER_BODY_WAIT, /* nothing was taken: hold the connection until downloader_fetch_go_on, then the same bytes come again */
    DOWNLOADER_BODY_STOP
} downloader_body_t;

typedef struct {
    int code; /* 0: the body came whole as HTTP frames it; cancelled: a handler refused; else what broke */
    bool again; /* it may work the next time */
    const char *text;
} downloader_end_t;

typedef struct {
    int (*head) (void *argument, const downloader_reply_t *reply);
    downloader_body_t (*body) (void *argument, const void *data, size_t size); /* at most 16 KiB */
    void (*ended) (void *argument, const downloader_end_t *end);
} downloader_listener_t;

typedef struct {
    const char *url; /* checked */
    const char *credential; /* for Authorization: Bearer; NULL for none. No control characters */
    bool ranged;
    uint64_t from; /* ranged: Range: bytes=<from>- */
    const char *validator; /* ranged: If-Range; "" for none */
} downloader_get_t;

int downloader_fetch_new (yard_actor_t *actor, downloader_fetch_t **ret, yard_error_t *error);
void downloader_fetch_destroy (downloader_fetch_t **self_p); /* stops all calls */

/*  Listener and argument are borrowed until `ended`; the rest is copied. */
downloader_call_t *downloader_fetch_get (downloader_fetch_t *self, const downloader_get_t *get,
                                         const downloader_listener_t *listener, void *argument);
void downloader_fetch_stop (downloader_call_t **call_p);
/*  May run body, and if that refuses, ended: the call is gone then. */
void downloader_fetch_go_on (downloader_call_t *call);

#endif
