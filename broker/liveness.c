// SPDX-License-Identifier: Apache-2.0
/*  liveness.c - pings, suspicion, and the sweep
 *
 *  A guest is suspected when a frame cannot be sent to it or a ping stays unanswered. On ipc that is its end, at the next tick with
 *  an empty mailbox: a broken socket file does not come back. Over tcp it has a grace in which its instance may say hello anew.
 *
 *  The sweep: gone to its askers, then B {client} to every place that ever took an ask from it, then the event, then it is forgotten and
 *  its instance refused.
 */
#include <stdlib.h>
#include "actors/ground/log.h"
#include "asks.h"
#include "directory.h"

#define PONG_MAX_MS ((int64_t) 5000) /* no pong for so long: suspected */
#define DISTANT_GRACE_MS ((int64_t) 10000) /* tcp: a network hiccup is shorter */
#define PATIENCE_MS ((int64_t) 2000) /* a mailbox that is never empty holds a sweep up for so long at most */

void broker_suspect (broker_router_t *self, broker_peer_t *peer, const char *reason)
{
    if (peer->reason)
        return;
    peer->reason = reason;
    peer->suspect_ms = self->now_ms;
    TAILQ_INSERT_TAIL (&self->suspects, peer, suspect_link);
}

void broker_trust (broker_router_t *self, broker_peer_t *peer)
{
    if (!peer->reason)
        return;
    peer->reason = NULL;
    TAILQ_REMOVE (&self->suspects, peer, suspect_link);
}

void broker_tell_bye (broker_router_t *self, broker_peer_t *server, uint64_t number, const char *client)
{
    if (server->unreachable)
        return;
    bye_t bye;
    yard_wire_init (bye_type (), &bye);
    if (!number) {
        bye.has_client = true;
        bye.client = yard_string (client);
    }
    yard_envelope_t envelope = { .letter = 'B', .body = broker_pack (self, bye_type (), &bye) };
    if (number)
        envelope.id = (yard_string_t){ (const char *) &number, sizeof number };
    broker_send_surely (self, server, &envelope);
}

/*  Nothing points to the peer any more, but the tables that forget takes it from. */
static void forget_as_server (broker_router_t *self, broker_peer_t *peer)
{
    broker_peer_t *other;
    TAILQ_FOREACH (other, &self->guests, link)
    if (other->servers)
        yard_table_take_u64 (other->servers, peer->number);
}

void broker_sweep (broker_router_t *self, broker_peer_t *peer, const char *reason)
{
    peer->unreachable = true;
    broker_unfollow_all (self, peer);
    broker_routing_end (self, peer, !peer->hello);
    if (peer->hello) {
        yard_log_info ("actor.lost", "place=%s client=%s reason=%s", YARD_QUOTED (peer->place), peer->client,
                       YARD_QUOTED (reason));
        void *server;
        for (size_t at = 0; peer->servers && yard_table_next (peer->servers, &at, &server);)
            if (server != peer)
                broker_tell_bye (self, server, 0, peer->client);
        forget_as_server (self, peer);
        broker_directory_leave (self->directory, peer);
        broker_publish_actor (self, &actor_lost_event, peer, reason);
    }
    broker_peer_forget (self, peer);
}

/*  One outstanding: a peer that does not answer is not flooded for its return. */
static void ping (broker_router_t *self, broker_peer_t *peer)
{
    nothing_t nothing;
    yard_wire_init (nothing_type (), &nothing);
    yard_envelope_t envelope = { .letter = 'P', .body = broker_pack (self, nothing_type (), &nothing) };
    peer->ping_ms = peer->ping_open ? peer->ping_ms : self->now_ms;
    peer->ping_open = true;
    broker_send_surely (self, peer, &envelope);
}

void broker_probe (broker_router_t *self, broker_peer_t *peer)
{
    ping (self, peer);
    if (peer->unreachable && !peer->distant)
        broker_sweep (self, peer, peer->reason);
}

void broker_on_pong (broker_router_t *self, broker_peer_t *peer, const yard_envelope_t *envelope)
{
    if (!peer->hello) {
        broker_hello_first (self, peer, envelope);
        return;
    }
    pong_t pong;
    if (yard_wire_unpack (pong_type (), envelope->body.data, envelope->body.size, YARD_WIRE_ANSWER,
                          self->arena, &pong, NULL))
        return; /* a pong that cannot be read is none */
    peer->ping_open = false;
    peer->pong_ms = self->now_ms;
    peer->busy_us = pong.busy_us;
    peer->idle_us = pong.idle_us;
    peer->open_requests = pong.open_requests;
    peer->open_asks = pong.open_asks;
    memcpy (peer->note, pong.note.data, pong.note.size);
    peer->note [pong.note.size] = 0;
    if (!peer->unreachable)
        broker_trust (self, peer);
}

static void ping_guests (broker_router_t *self)
{
    broker_peer_t *peer;
    TAILQ_FOREACH (peer, &self->guests, link)
    {
        if (!peer->ping_open)
            ping (self, peer);
        if (peer->ping_open && self->now_ms - peer->ping_ms >= PONG_MAX_MS)
            broker_suspect (self, peer, "its loop gave no sign for 5 s");
    }
}

static void sweep_suspects (broker_router_t *self, bool drained)
{
    broker_peer_t *peer = TAILQ_FIRST (&self->suspects), *next;
    for (; peer; peer = next) {
        next = TAILQ_NEXT (peer, suspect_link);
        int64_t wait_ms = peer->hello && peer->distant ? DISTANT_GRACE_MS : 0;
        if (!drained)
            wait_ms += PATIENCE_MS;
        if (self->now_ms - peer->suspect_ms >= wait_ms)
            broker_sweep (self, peer, peer->reason);
    }
}

void broker_liveness_tick (broker_router_t *self, bool drained)
{
    if (self->now_ms >= self->next_ping_ms) {
        self->next_ping_ms = self->now_ms + BROKER_PING_MS;
        ping_guests (self);
        broker_peers_forget_idle (self);
    }
    sweep_suspects (self, drained);
}
