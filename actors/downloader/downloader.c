// SPDX-License-Identifier: Apache-2.0
/*  downloader.c - one member of the download pool: leases files, moves bytes, proves them
 *
 *  Keeps one job.lease open while it has room, tells the progress of all it holds with one job.extend, and hands everything back when it is
 *  asked to leave. It keeps no state but the part files and journals beside the files it makes; whoever leases the job next goes on
 *  from them.
 *
 *  Promises: a file gets its name only when its size and content are proven; a credential is shown only to the scheme, host and port it was given
 *  for; no connection goes to a private address unless configured.
 *  Refuses: everything but http and https, more than download.max_parallel files at once.
 *
 *  Reading order: this file, lease (one job and its last word), transfer (its states), attempt (requests and redirects), reply (what an answer
 *  means), fetch (libcurl in the loop), spool and part (bytes to disk), journal, address and url (what is refused).
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "actors/runtime/actor.h"
#include "backoff.h"
#include "fetch.h"
#include "lease.h"

#define HOLDING_MAX 64 /* download.max_parallel's own maximum */
#define TICK_MS 100 /* progress is looked at ten times a second while something is held */
#define EXTEND_MS 1000 /* and told at least once a second */
#define ASK_BASE_MS 100 /* the first wait before job.lease is asked again */
#define ASK_MAX_MS 5000 /* the longest */
#define OFFLOAD_THREADS 4 /* an fsync may take a second; hashing of another file should not wait for it */

typedef struct {
    downloader_lease_t *lease; /* NULL: over */
    uint64_t told_bytes; /* with the last extend */
} held_t;

typedef struct {
    yard_actor_t *actor;
    downloader_fetch_t *fetch;
    held_t held [HOLDING_MAX];
    size_t count, limit; /* limit: download.max_parallel */
    uint64_t leasing; /* the open job.lease; 0 = none */
    uint64_t extending; /* the open job.extend; 0 = none */
    uint64_t failures; /* of job.lease, in a row */
    yard_timer_t *again; /* until job.lease is asked again */
    yard_timer_t *tick;
    int64_t extended_ms;
    bool welcome;
} downloader_t;

static void ask_for_work (downloader_t *self);

static void note (downloader_t *self)
{
    char text [64];
    snprintf (text, sizeof text, "%zu of %zu downloads", self->count, self->limit);
    yard_actor_note (self->actor, text);
}

/*  Stops what is still told of under this lease, or under any of the job (token 0); a last word under way
 *  stays. The token matters: an answer to an extend may be older than a grant of the same job, and must
 *  not stop that one. */
static void stop_telling (downloader_t *self, uint64_t job, uint64_t token, yard_string_t why)
{
    job_progress_t unused;
    for (size_t i = 0; i < self->count; i++) {
        downloader_lease_t *lease = self->held [i].lease;
        if (downloader_lease_job (lease) == job && (!token || downloader_lease_token (lease) == token) &&
            downloader_lease_progress (lease, &unused))
            downloader_lease_revoke (lease, why);
    }
}

/*  --- leasing */
static void on_over (void *argument, downloader_lease_t *lease)
{
    downloader_t *self = argument;
    for (size_t i = 0; i < self->count; i++)
        if (self->held [i].lease == lease) {
            self->held [i] = self->held [--self->count];
            break;
        }
    downloader_lease_destroy (&lease);
    note (self);
    ask_for_work (self);
}

static void on_leased (void *actor_self, void *argument, const yard_outcome_t *outcome)
{
    (void) argument;
    downloader_t *self = actor_self;
    self->leasing = 0;
    if (outcome->code == YARD_CANCELLED)
        return; /* we withdrew it */
    if (outcome->code) {
        yard_log_debug ("download.lease_refused", "code=%s", yard_error_row (outcome->code)->word);
        yard_timer_set (self->again, downloader_backoff_ms (++self->failures, ASK_BASE_MS, ASK_MAX_MS,
                                                            yard_actor_random (self->actor)));
        return;
    }
    self->failures = 0;
    const job_lease_answer_t *answer = outcome->answer;
    for (size_t i = 0; i < answer->grants.count && self->count < self->limit; i++) {
        const job_grant_t *grant = &answer->grants.items [i];
        stop_telling (self, grant->job.id, 0,
                      yard_string ("stale_token")); /* an older lease of ours that was thought lost */
        self->held [self->count++].lease =
            downloader_lease_new (self->actor, self->fetch, grant, on_over, self);
        self->held [self->count - 1].told_bytes = 0;
    }
    note (self);
    yard_timer_set (self->tick, TICK_MS);
    ask_for_work (self);
}

/*  One ask is open while there is room. What we hold is told with it, so what a lost answer granted goes back to the queue. */
static void ask_for_work (downloader_t *self)
{
    if (self->leasing || !self->welcome || self->count == self->limit || yard_actor_draining (self->actor))
        return;
    yard_timer_set (self->again, -1);
    job_kind_t kinds [] = { job_kind_download };
    job_holding_t holding [HOLDING_MAX];
    for (size_t i = 0; i < self->count; i++)
        holding [i] = (job_holding_t){ .job = downloader_lease_job (self->held [i].lease),
                                       .token = downloader_lease_token (self->held [i].lease) };
    job_lease_ask_t ask;
    yard_wire_init (job_lease_ask_type (), &ask);
    ask.kinds.items = kinds;
    ask.kinds.count = 1;
    ask.node = yard_string (yard_actor_node (self->actor));
    ask.member = yard_string (yard_actor_instance (self->actor));
    ask.room = self->limit - self->count;
    ask.holding.items = holding;
    ask.holding.count = self->count;
    self->leasing = yard_ask (self->actor, &job_lease_method, &ask, NULL, on_leased, NULL);
}

static void on_again (void *actor_self, void *argument)
{
    (void) argument;
    ask_for_work (actor_self);
}

/*  --- progress */
static void on_extended (void *actor_self, void *argument, const yard_outcome_t *outcome)
{
    (void) argument;
    downloader_t *self = actor_self;
    self->extending = 0;
    if (outcome->code)
        return; /* the next one says it all again */
    const job_extend_answer_t *answer = outcome->answer;
    for (size_t i = 0; i < answer->revoked.count; i++)
        stop_telling (self, answer->revoked.items [i].job, answer->revoked.items [i].token,
                      answer->revoked.items [i].why);
}

static void extend (downloader_t *self)
{
    job_progress_t leases [HOLDING_MAX];
    size_t count = 0;
    for (size_t i = 0; i < self->count; i++)
        if (downloader_lease_progress (self->held [i].lease, &leases [count])) {
            self->held [i].told_bytes = leases [count].bytes;
            count++;
        }
    self->extended_ms = yard_now_ms (self->actor);
    if (!count)
        return;
    job_extend_ask_t ask;
    yard_wire_init (job_extend_ask_type (), &ask);
    ask.leases.items = leases;
    ask.leases.count = count;
    self->extending = yard_ask (self->actor, &job_extend_method, &ask, NULL, on_extended, NULL);
}

/*  Has any of them moved by a percent since it was last told of? */
static bool has_moved (downloader_t *self)
{
    job_progress_t now;
    for (size_t i = 0; i < self->count; i++)
        if (downloader_lease_progress (self->held [i].lease, &now) && now.total_bytes &&
            (now.bytes < self->held [i].told_bytes ||
             now.bytes - self->held [i].told_bytes >= now.total_bytes / 100 + 1))
            return true;
    return false;
}

static void on_tick (void *actor_self, void *argument)
{
    (void) argument;
    downloader_t *self = actor_self;
    if (!self->count)
        return;
    bool due = yard_now_ms (self->actor) - self->extended_ms >= EXTEND_MS;
    if (!self->extending && self->welcome && (due || has_moved (self)))
        extend (self);
    yard_timer_set (self->tick, TICK_MS);
}

/*  --- the actor */
static int downloader_open (void *actor_self, yard_actor_t *actor, yard_error_t *error)
{
    downloader_t *self = actor_self;
    self->actor = actor;
    self->limit = yard_actor_configuration (actor)->download.max_parallel;
    assert (self->limit > 0 && self->limit <= HOLDING_MAX); /* bounds of its definition */
    self->again = yard_timer_new (actor, on_again, NULL);
    self->tick = yard_timer_new (actor, on_tick, NULL);
    note (self);
    return downloader_fetch_new (actor, &self->fetch, error);
}

static void downloader_welcomed (void *actor_self, bool new_epoch)
{
    (void) new_epoch; /* asks of the old epoch have ended with gone already */
    downloader_t *self = actor_self;
    self->welcome = true;
    ask_for_work (self);
}

static size_t downloader_drain (void *actor_self)
{
    downloader_t *self = actor_self;
    yard_timer_set (self->again, -1);
    if (self->leasing)
        yard_withdraw (self->actor, self->leasing);
    for (size_t i = 0; i < self->count; i++)
        downloader_lease_release (self->held [i].lease);
    return self->count + (self->leasing ? 1 : 0);
}

static void downloader_close (void *actor_self)
{
    downloader_t *self = actor_self;
    for (size_t i = 0; i < self->count; i++)
        downloader_lease_destroy (&self->held [i].lease);
    self->count = 0;
    downloader_fetch_destroy (&self->fetch);
    yard_timer_destroy (&self->again);
    yard_timer_destroy (&self->tick);
}

static const yard_route_t routes [] = {
    { 0 }, /* it asks, and is asked nothing */
};

extern const yard_actor_class_t downloader_class;
const yard_actor_class_t downloader_class = {
    .name = "downloader",
    .size = sizeof (downloader_t),
    .routes = routes,
    .offload_threads = OFFLOAD_THREADS,
    .pool = true,
    .open = downloader_open,
    .welcomed = downloader_welcomed,
    .drain = downloader_drain,
    .close = downloader_close,
};

YARD_ACTOR_MAIN (downloader_class)
