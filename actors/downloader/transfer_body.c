// SPDX-License-Identifier: Apache-2.0
/*  transfer_body.c - what a connection brings: looked at, counted, spooled to the disk, and what its end means
 *
 *  Promises: a page instead of a model is caught before any of it is written; every 64 MiB or 5 seconds what is written is proven.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "page.h"
#include "transfer_inside.h"
#include "url.h"

#define CHECKPOINT_BYTES \
    67108864 /* 64 MiB: what a crash may cost at most, and well above what one fsync costs */
#define CHECKPOINT_MS 5000 /* the same for slow connections */
#define TICK_MS 1000 /* how often the time of a checkpoint is looked at */
#define SNIFF_BYTES 512 /* enough to tell a page from a model */

/*  --- what an attempt says */
static void on_taken (void *argument, uint64_t size, const char *validator)
{
    downloader_transfer_t *self = argument;
    bool first = !self->taking && !self->received;
    self->taking = true;
    self->size = size;
    memcpy (self->validator, validator, strlen (validator) + 1);
    downloader_part_expect (self->part, size,
                            validator); /* nothing is in the pool before the first byte of a body */
    self->checkpoint_ms = yard_now_ms (self->actor);
    self->sniffed = !first || !downloader_is_model_name (downloader_part_name (self->part));
    yard_timer_set (self->timer, TICK_MS);
}

/*  Looks at the first bytes while they are still in memory. */
static bool is_page (downloader_transfer_t *self, bool last)
{
    size_t size;
    const void *data = downloader_spool_waiting (self->spool, &size);
    if (self->sniffed || (size < SNIFF_BYTES && !last))
        return false;
    self->sniffed = true;
    self->page = size && downloader_is_page (data, size);
    return self->page;
}

static void checkpoint (downloader_transfer_t *self)
{
    self->checkpoint_bytes = self->received;
    self->checkpoint_ms = yard_now_ms (self->actor);
    downloader_spool_flush (self->spool, true);
}

static downloader_body_t on_body (void *argument, const void *data, size_t size)
{
    downloader_transfer_t *self = argument;
    if (!downloader_spool_put (self->spool, data, size))
        return DOWNLOADER_BODY_WAIT;
    self->received += size;
    if (self->received > self->best) {
        self->best = self->received;
        self->failures = 0;
    }
    if (is_page (self, false))
        return DOWNLOADER_BODY_STOP;
    if (self->received - self->checkpoint_bytes >= CHECKPOINT_BYTES)
        checkpoint (self);
    return DOWNLOADER_BODY_TAKEN;
}

static downloader_event_t page_event (downloader_transfer_t *self)
{
    yard_error_t error;
    yard_error (&error, YARD_INVALID_FILE,
                "the server sent a web page or a message where %s was due; log in at the site, or give "
                "access_token or the "
                "file's own URL",
                downloader_part_name (self->part));
    downloader_spool_drop (self->spool);
    return downloader_transfer_give_up (self, &error);
}

static downloader_event_t whole_event (downloader_transfer_t *self, bool framed)
{
    yard_error_t error;
    if (framed || self->published_sha256 [0] || self->size != DOWNLOADER_SIZE_UNKNOWN)
        return DOWNLOADER_EVENT_WHOLE;
    yard_error (
        &error, YARD_INTEGRITY,
        "the server does not say how long the file is, and no hash is known: nothing can prove it whole");
    return downloader_transfer_give_up (self, &error);
}

static downloader_event_t attempt_event (downloader_transfer_t *self, const downloader_outcome_t *outcome)
{
    self->retry_ms = outcome->retry_ms;
    if (self->page || (self->taking && is_page (self, true)))
        return page_event (self);
    switch (outcome->how) {
    case DOWNLOADER_ENDED_WHOLE:
        return whole_event (self, outcome->framed);
    case DOWNLOADER_ENDED_SHORT:
        return DOWNLOADER_EVENT_ON;
    case DOWNLOADER_ENDED_RESTART:
        return DOWNLOADER_EVENT_ANEW;
    case DOWNLOADER_ENDED_CHANGED:
        return downloader_transfer_restart (self, &outcome->error);
    case DOWNLOADER_ENDED_AGAIN:
        self->error = outcome->error;
        return DOWNLOADER_EVENT_BROKEN;
    default:
        return downloader_transfer_give_up (self, &outcome->error);
    }
}

/*  The connection is over; what it brought is written first. */
void downloader_transfer_settle (downloader_transfer_t *self, downloader_event_t then)
{
    self->state = DOWNLOADER_SETTLING;
    self->then = then;
    self->taking = false;
    yard_timer_set (self->timer, -1);
    downloader_attempt_destroy (&self->attempt);
    if (self->received > self->checkpoint_bytes)
        checkpoint (self);
    else if (downloader_spool_is_idle (self->spool))
        downloader_transfer_step (self, then);
}

static void on_attempt_ended (void *argument, const downloader_outcome_t *outcome)
{
    downloader_transfer_t *self = argument;
    free (self->url);
    self->url = downloader_url_public (downloader_attempt_url (self->attempt));
    downloader_transfer_settle (self, attempt_event (self, outcome));
}

const downloader_attempt_listener_t downloader_transfer_attempt_listener = { on_taken, on_body,
                                                                             on_attempt_ended };

/*  The spool has room, or is empty. */
void downloader_transfer_on_moved (void *argument, int code, const yard_error_t *error)
{
    downloader_transfer_t *self = argument;
    if (self->doomed) {
        if (downloader_spool_is_idle (self->spool))
            downloader_transfer_free (self);
        return;
    }
    if (code && !(self->state == DOWNLOADER_SETTLING && self->then == DOWNLOADER_EVENT_END)) {
        downloader_event_t event = downloader_transfer_give_up (self, error);
        self->checkpoint_bytes = self->received; /* there is nothing left to prove */
        downloader_transfer_settle (self, event);
    } else if (self->state == DOWNLOADER_SETTLING && downloader_spool_is_idle (self->spool))
        downloader_transfer_step (self, self->then);
    else if (self->attempt)
        downloader_attempt_go_on (self->attempt);
}

void downloader_transfer_tick (downloader_transfer_t *self)
{
    if (self->taking && self->sniffed && self->received > self->checkpoint_bytes &&
        yard_now_ms (self->actor) - self->checkpoint_ms >= CHECKPOINT_MS)
        checkpoint (self);
    yard_timer_set (self->timer, TICK_MS);
}
