// SPDX-License-Identifier: Apache-2.0
/*  followers.c - one cursor per follower into the one log
 *
 *  A follower costs its prefixes and a cursor, never a queue: what it has no credit for, or its connection no room, stays in the log. A
 *  cursor that the log has left behind gets too_old, and that follow has ended.
 */
#include <assert.h>
#include <stdlib.h>
#include "inside.h"

#define FOLLOWS_OF_PEER_MAX ((size_t) 64) /* a dashboard has a handful */
#define FOLLOWERS_MAX ((size_t) 4096) /* 10 MiB with 32 prefixes each */
#define CREDIT_MAX ((uint64_t) 65536) /* the log's default length: more could not be waiting */
#define PREFIX_MAX 63 /* bytes of an event's name */
#define LOOKED_AT_MAX 4096 /* events per follower and turn: under a millisecond of comparing */
#define SENT_MAX 256 /* the default credit: then the next follower's turn */
#define RETRY_MS ((int64_t) 10) /* a full connection is looked at again */

typedef struct {
    size_t size;
    char text [PREFIX_MAX];
} prefix_t;

struct broker_follower_t {
    broker_peer_t *peer;
    TAILQ_ENTRY (broker_follower_t) link, of_peer;
    size_t id_size;
    char id [YARD_ID_MAX];
    char subject [129]; /* "" = any */
    uint64_t seen; /* number of the last event that was looked at */
    uint64_t credit;
    size_t prefix_count;
    prefix_t prefixes [];
};

static broker_follower_t *find (const broker_peer_t *peer, yard_string_t id)
{
    broker_follower_t *follower;
    TAILQ_FOREACH (follower, &peer->follows, of_peer)
    if (yard_string_equal ((yard_string_t){ follower->id, follower->id_size }, id))
        return follower;
    return NULL;
}

static void drop (broker_router_t *self, broker_follower_t *follower)
{
    TAILQ_REMOVE (&self->followers, follower, link);
    TAILQ_REMOVE (&follower->peer->follows, follower, of_peer);
    self->follower_count--;
    follower->peer->follow_count--;
    free (follower);
}

/*  Where it begins; too_old if that is not in the log. */
static int find_start (const broker_router_t *self, const event_follow_ask_t *ask, uint64_t *ret_seen,
                       yard_error_t *error)
{
    uint64_t first = broker_event_log_first (self->log), last = broker_event_log_last (self->log);
    if (!ask->has_after) {
        *ret_seen = last;
        return 0;
    }
    if (ask->has_epoch && !yard_string_is (ask->epoch, self->options.epoch))
        return yard_error (error, YARD_TOO_OLD,
                           "number %llu is of another epoch, this is %s: fill from event.history",
                           (unsigned long long) ask->after, self->options.epoch);
    if (ask->after > last || ask->after + 1 < first)
        return yard_error (
            error, YARD_TOO_OLD, "the log has numbers %llu to %llu, not what follows %llu: take a snapshot",
            (unsigned long long) first, (unsigned long long) last, (unsigned long long) ask->after);
    *ret_seen = ask->after;
    return 0;
}

static int check (const broker_router_t *self, const broker_peer_t *peer, yard_string_t id,
                  const event_follow_ask_t *ask, yard_error_t *error)
{
    if (!id.size)
        return yard_error (error, YARD_BAD_FRAME, "a follow needs an id of 1 to %d bytes in its head",
                           YARD_ID_MAX);
    if (find (peer, id))
        return yard_error (error, YARD_CONFLICT,
                           "a follow with this id is open: withdraw it first, or draw another id");
    if (peer->follow_count == FOLLOWS_OF_PEER_MAX)
        return yard_error (error, YARD_BUSY, "this peer has %zu follows, the limit: withdraw one",
                           FOLLOWS_OF_PEER_MAX);
    if (self->follower_count == FOLLOWERS_MAX)
        return yard_error (error, YARD_BUSY, "the broker has %zu followers, the limit: subscribe instead",
                           FOLLOWERS_MAX);
    for (size_t i = 0; i < ask->prefixes.count; i++)
        if (ask->prefixes.items [i].size > PREFIX_MAX)
            return yard_error (error, YARD_INVALID_MESSAGE,
                               "prefixes [%zu]: no event's name is longer than %d bytes", i, PREFIX_MAX);
    return 0;
}

static broker_follower_t *new_follower (const event_follow_ask_t *ask, yard_string_t id)
{
    broker_follower_t *follower = calloc (1, sizeof *follower + ask->prefixes.count * sizeof (prefix_t));
    if (!follower)
        abort ();
    memcpy (follower->id, id.data, id.size);
    follower->id_size = id.size;
    if (ask->has_subject)
        memcpy (follower->subject, ask->subject.data, ask->subject.size);
    follower->credit = ask->credit;
    for (size_t i = 0; i < ask->prefixes.count; i++) {
        prefix_t *prefix = &follower->prefixes [follower->prefix_count++];
        prefix->size = ask->prefixes.items [i].size;
        if (prefix->size)
            memcpy (prefix->text, ask->prefixes.items [i].data, prefix->size);
    }
    return follower;
}

int broker_follow (broker_router_t *self, broker_peer_t *peer, const yard_envelope_t *envelope,
                   const event_follow_ask_t *ask, yard_error_t *error)
{
    uint64_t seen = 0;
    int rc = check (self, peer, envelope->id, ask, error);
    if (!rc)
        rc = find_start (self, ask, &seen, error);
    if (rc)
        return rc;
    event_follow_answer_t answer;
    yard_wire_init (event_follow_answer_type (), &answer);
    answer.epoch = yard_string (self->options.epoch);
    answer.number = seen;
    broker_reply (self, peer, envelope, event_follow_answer_type (), &answer);
    broker_follower_t *follower = new_follower (ask, envelope->id);
    follower->peer = peer;
    follower->seen = seen;
    TAILQ_INSERT_TAIL (&self->followers, follower, link);
    TAILQ_INSERT_TAIL (&peer->follows, follower, of_peer);
    self->follower_count++;
    peer->follow_count++;
    self->flush_ms = self->now_ms;
    return 0;
}

bool broker_unfollow (broker_router_t *self, broker_peer_t *peer, yard_string_t id)
{
    broker_follower_t *follower = find (peer, id);
    if (follower)
        drop (self, follower);
    return follower != NULL;
}

void broker_unfollow_all (broker_router_t *self, broker_peer_t *peer)
{
    while (!TAILQ_EMPTY (&peer->follows))
        drop (self, TAILQ_FIRST (&peer->follows)); /* NOLINT(clang-analyzer-unix.Malloc): it unlinks */
}

void broker_on_credit (broker_router_t *self, broker_peer_t *peer, const yard_envelope_t *envelope)
{
    if (!peer->hello) {
        broker_hello_first (self, peer, envelope);
        return;
    }
    credit_t credit;
    broker_follower_t *follower = find (peer, envelope->id);
    if (!follower || yard_wire_unpack (credit_type (), envelope->body.data, envelope->body.size,
                                       YARD_WIRE_ASK, self->arena, &credit, NULL))
        return; /* the follow has ended meanwhile, or the frame says nothing */
    follower->credit += credit.more;
    if (follower->credit > CREDIT_MAX)
        follower->credit = CREDIT_MAX;
    self->flush_ms = self->now_ms;
}

static bool wants (const broker_follower_t *self, const broker_event_t *event)
{
    if (self->subject [0] && !yard_string_is (event->subject, self->subject))
        return false;
    for (size_t i = 0; i < self->prefix_count; i++) {
        const prefix_t *prefix = &self->prefixes [i];
        if (prefix->size <= event->name.size && memcmp (prefix->text, event->name.data, prefix->size) == 0)
            return true;
    }
    return false;
}

static int send_event (broker_router_t *self, const broker_follower_t *follower, const broker_event_t *event)
{
    yard_envelope_t envelope = {
        .letter = 'E',
        .id = { follower->id, follower->id_size },
        .name = event->topic,
        .body = event->body,
        .meta = event->stamp,
    };
    return broker_send (self, follower->peer, &envelope);
}

static void fail (broker_router_t *self, broker_follower_t *follower, const yard_error_t *error)
{
    yard_envelope_t envelope = {
        .id = { follower->id, follower->id_size },
        .name = yard_string ("event.follow"),
    };
    broker_fail (self, follower->peer, &envelope, error);
    drop (self, follower);
}

static void end_too_old (broker_router_t *self, broker_follower_t *follower)
{
    yard_error_t error;
    yard_error (&error, YARD_TOO_OLD,
                "the log begins at %llu, this follow stood at %llu: take a snapshot and follow anew",
                (unsigned long long) broker_event_log_first (self->log), (unsigned long long) follower->seen);
    fail (self, follower, &error);
}

void broker_follows_cut (broker_router_t *self, broker_peer_t *peer)
{
    yard_error_t error;
    yard_error (&error, YARD_GONE,
                "the connection of this follow has ended: follow again behind the last number you saw");
    while (!TAILQ_EMPTY (&peer->follows))
        fail (self, TAILQ_FIRST (&peer->follows),
              &error); /* NOLINT(clang-analyzer-unix.Malloc): it unlinks */
}

/*  When it should be looked at again without a new event or credit; INT64_MAX = not before. */
static int64_t flush_follower (broker_router_t *self, broker_follower_t *follower)
{
    if (follower->seen + 1 < broker_event_log_first (self->log)) {
        end_too_old (self, follower);
        return INT64_MAX;
    }
    size_t sent = 0;
    for (size_t i = 0; i < LOOKED_AT_MAX && sent < SENT_MAX && follower->credit; i++) {
        const broker_event_t *event = broker_event_log_get (self->log, follower->seen + 1);
        if (!event)
            return INT64_MAX;
        if (wants (follower, event)) {
            int rc = send_event (self, follower, event);
            if (rc)
                return rc == YARD_BUSY ? self->now_ms + RETRY_MS : INT64_MAX;
            follower->credit--;
            sent++;
        }
        follower->seen++;
    }
    return follower->credit && follower->seen < broker_event_log_last (self->log) ? self->now_ms : INT64_MAX;
}

void broker_followers_flush (broker_router_t *self)
{
    if (self->now_ms < self->flush_ms)
        return;
    self->flush_ms = INT64_MAX;
    broker_follower_t *follower = TAILQ_FIRST (&self->followers), *next;
    for (; follower; follower = next) {
        next = TAILQ_NEXT (follower, link);
        int64_t again_ms = flush_follower (self, follower);
        if (again_ms < self->flush_ms)
            self->flush_ms = again_ms;
    }
}
