// SPDX-License-Identifier: Apache-2.0
/*  router.c - takes frames in by their letter, and lets time pass; inside.h says which file does the rest
 */
#include "router.h"

#include <assert.h>
#include <stdlib.h>
#include "asks.h"
#include "directory.h"

#define ARENA_BYTES_MAX ((size_t) 16 * 1024 * 1024) /* decoding 1 MiB of the densest list takes under 8 MiB */
#define STAMP_BYTES_MAX ((size_t) 1024) /* its texts have at most 400 bytes */

static const struct {
    char letter;
    broker_letter_fn *take;
} letters [] = {
    { 'A', broker_on_ask },    { 'R', broker_on_answer }, { 'F', broker_on_answer }, { 'O', broker_on_pong },
    { 'C', broker_on_credit }, { 'H', broker_on_hello },  { 'B', broker_on_bye },
};

broker_router_t *broker_router_new (const broker_options_t *options)
{
    broker_router_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->options = *options;
    self->arena = yard_arena_new (ARENA_BYTES_MAX);
    yard_buffer_init (&self->body, YARD_MESSAGE_MAX);
    yard_buffer_init (&self->stamp, STAMP_BYTES_MAX);
    self->by_routing = yard_table_new ();
    self->directory = broker_directory_new ();
    self->asks = broker_asks_new ();
    self->log = broker_event_log_new ((size_t) options->configuration->bus.log_events,
                                      (size_t) options->configuration->bus.log_bytes);
    self->names = yard_table_new ();
    self->stores = yard_table_new ();
    self->flush_ms = INT64_MAX;
    TAILQ_INIT (&self->strangers);
    TAILQ_INIT (&self->guests);
    TAILQ_INIT (&self->suspects);
    TAILQ_INIT (&self->owing);
    TAILQ_INIT (&self->followers);
    return self;
}

static void close_peers (broker_router_t *self, struct broker_peers_t *peers)
{
    broker_peer_t *peer;
    TAILQ_FOREACH (peer, peers, link)
    {
        broker_unfollow_all (self, peer);
        while (!TAILQ_EMPTY (&peer->asked))
            broker_asks_close (self->asks, TAILQ_FIRST (&peer->asked));
    }
}

void broker_router_destroy (broker_router_t **self_p)
{
    assert (self_p);
    broker_router_t *self = *self_p;
    if (!self)
        return;
    close_peers (self, &self->guests);
    close_peers (self, &self->strangers);
    while (!TAILQ_EMPTY (&self->guests))
        broker_peer_forget (self, TAILQ_FIRST (&self->guests));
    while (!TAILQ_EMPTY (&self->strangers))
        broker_peer_forget (self, TAILQ_FIRST (&self->strangers));
    broker_publish_close (self);
    broker_event_log_destroy (&self->log);
    broker_asks_destroy (&self->asks);
    broker_directory_destroy (&self->directory);
    yard_table_destroy (&self->by_routing);
    yard_buffer_clear (&self->body);
    yard_buffer_clear (&self->stamp);
    yard_arena_destroy (&self->arena);
    free (self);
    *self_p = NULL;
}

/*  Frames that are no message. A REQ waits for an answer all the same, so its empty first frame is echoed. */
static void refuse_frames (broker_router_t *self, broker_peer_t *peer, const yard_string_t *frames,
                           size_t count, const yard_error_t *error)
{
    yard_envelope_t nameless = { .prefix = frames, .prefix_count = count && !frames [0].size };
    broker_fail (self, peer, &nameless, error);
}

static void take (broker_router_t *self, broker_peer_t *peer, const yard_string_t *frames, size_t count)
{
    yard_envelope_t envelope;
    yard_error_t error = { 0 };
    if (yard_envelope_parse (frames, count, &envelope, &error)) {
        refuse_frames (self, peer, frames, count, &error);
        return;
    }
    for (size_t i = 0; i < sizeof letters / sizeof letters [0]; i++)
        if (letters [i].letter == envelope.letter) {
            letters [i].take (self, peer, &envelope);
            return;
        }
    yard_error (&error, YARD_BAD_FRAME, "the letter %c is the broker's own: ask with A, answer with R or F",
                envelope.letter);
    envelope.id = envelope.name = (yard_string_t){ 0 };
    broker_fail (self, peer, &envelope, &error);
}

/*  No place for one more connection: it is told so, by a peer that is in no list. */
static void refuse_peer (broker_router_t *self, const broker_origin_t *origin, const yard_string_t *frames,
                         size_t count)
{
    broker_peer_t nobody = { .routing_size = origin->routing.size,
                             .reason = "it was never here",
                             .owed_bytes = SIZE_MAX }; /* so nothing can be owed to it */
    yard_envelope_t envelope;
    yard_error_t error = { 0 };
    if (!origin->routing.size || origin->routing.size > BROKER_ROUTING_MAX ||
        yard_envelope_parse (frames, count, &envelope, &error) || !strchr ("AH", envelope.letter))
        return;
    memcpy (nobody.routing, origin->routing.data, origin->routing.size);
    yard_error (&error, YARD_BUSY,
                "the broker has as many connections as it may have: ask again in a minute");
    broker_fail (self, &nobody, &envelope, &error);
}

void broker_router_input (broker_router_t *self, int64_t now_ms, const broker_origin_t *origin,
                          const yard_string_t *frames, size_t count)
{
    self->now_ms = now_ms;
    broker_peer_t *peer = broker_peer_of (self, origin);
    if (peer)
        take (self, peer, frames, count);
    else
        refuse_peer (self, origin, frames, count);
    yard_arena_reset (self->arena);
}

void broker_router_tick (broker_router_t *self, int64_t now_ms, bool drained)
{
    self->now_ms = now_ms;
    broker_pay (self);
    broker_liveness_tick (self, drained);
    broker_publish_tick (self);
    broker_followers_flush (self);
    yard_arena_reset (self->arena);
}

int64_t broker_router_wait_ms (const broker_router_t *self, int64_t now_ms)
{
    int64_t due_ms = self->next_ping_ms < self->next_beat_ms ? self->next_ping_ms : self->next_beat_ms;
    if (self->flush_ms < due_ms)
        due_ms = self->flush_ms;
    if (!TAILQ_EMPTY (&self->owing) && self->pay_ms < due_ms)
        due_ms = self->pay_ms;
    const broker_peer_t *peer;
    TAILQ_FOREACH (peer, &self->suspects, suspect_link)
    if (!peer->distant || !peer->hello)
        return 0;
    return due_ms > now_ms ? due_ms - now_ms : 0;
}
