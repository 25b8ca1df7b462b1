// SPDX-License-Identifier: Apache-2.0
/*  transfer_inside.h - what the files of a transfer share, and nobody else
 *
 *  transfer.c: the states, what is done in them, where they lead. transfer_body.c: what a connection brings, on its way to the disk.
 *  transfer_begin.c: from a grant to the first state, and what the outside sees.
 */
#ifndef YARD_DOWNLOADER_TRANSFER_INSIDE_H
#define YARD_DOWNLOADER_TRANSFER_INSIDE_H

#include "attempt.h"
#include "part.h"
#include "spool.h"
#include "transfer.h"

typedef enum {
    DOWNLOADER_OPENING,
    DOWNLOADER_ASKING,
    DOWNLOADER_SETTLING,
    DOWNLOADER_WAITING,
    DOWNLOADER_RESETTING,
    DOWNLOADER_PROVING,
    DOWNLOADER_LEAVING,
    DOWNLOADER_STATE_ENDED,
    DOWNLOADER_STATES
} downloader_state_t;
typedef enum {
    DOWNLOADER_EVENT_DONE, /* the state's work is done */
    DOWNLOADER_EVENT_THERE, /* the finished file was found */
    DOWNLOADER_EVENT_WHOLE, /* all bytes are here */
    DOWNLOADER_EVENT_ON, /* go on from where we are, at once */
    DOWNLOADER_EVENT_BROKEN, /* go on after a while */
    DOWNLOADER_EVENT_ANEW, /* from zero, into a fresh file */
    DOWNLOADER_EVENT_END /* no more: failed or stopped */
} downloader_event_t;

typedef int (downloader_disk_fn) (downloader_part_t *part, yard_error_t *error);

struct downloader_transfer_t {
    yard_actor_t *actor;
    downloader_fetch_t *fetch;
    downloader_transfer_fn *ended;
    void *argument;
    uint64_t job;
    char *source, *credential;
    const downloader_source_t *kind;
    char published_sha256 [65]; /* "" for none */
    uint64_t published_size;
    downloader_state_t state;
    downloader_event_t then; /* settling: what comes after it */
    downloader_part_t *part;
    downloader_spool_t *spool;
    downloader_attempt_t *attempt;
    yard_timer_t *timer; /* waiting: the wait; asking: the next look at the clock */
    downloader_disk_fn *work; /* in the pool */
    int work_code;
    yard_error_t work_error;
    uint64_t received, best; /* bytes so far; the most there ever were */
    uint64_t size; /* or DOWNLOADER_SIZE_UNKNOWN */
    char validator [DOWNLOADER_VALIDATOR_SIZE];
    uint64_t checkpoint_bytes; /* at the last checkpoint */
    int64_t checkpoint_ms;
    bool taking; /* asking: a body flows */
    bool sniffed, page;
    uint64_t failures; /* since the last new byte */
    uint64_t restarts;
    int64_t retry_ms;
    bool stopping, remove;
    bool doomed; /* destroyed while work was in the pool: its end frees us */
    bool busy;
    yard_error_t error; /* the last failure */
    char *url;
    downloader_result_t result;
};

/*  --- transfer.c --- */
void downloader_transfer_step (downloader_transfer_t *self, downloader_event_t event);
void downloader_transfer_start_work (downloader_transfer_t *self, downloader_disk_fn *work);
/*  Notes a failure that ends the transfer, or one that costs a restart; what to step with. */
downloader_event_t downloader_transfer_give_up (downloader_transfer_t *self, const yard_error_t *error);
downloader_event_t downloader_transfer_restart (downloader_transfer_t *self, const yard_error_t *error);
void downloader_transfer_free (downloader_transfer_t *self);
void downloader_transfer_on_timer (void *actor_self, void *argument);

/*  --- transfer_body.c --- */
extern const downloader_attempt_listener_t downloader_transfer_attempt_listener;
void downloader_transfer_on_moved (void *argument, int code, const yard_error_t *error);
/*  Ends the connection; when its bytes are written, steps with `then`. */
void downloader_transfer_settle (downloader_transfer_t *self, downloader_event_t then);
/*  Asking: is it time to prove what is written? */
void downloader_transfer_tick (downloader_transfer_t *self);

#endif
