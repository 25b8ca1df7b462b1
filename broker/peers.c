// SPDX-License-Identifier: Apache-2.0
/*  peers.c - connections: strangers, who may only ask, and guests, who said hello
 *
 *  A stranger costs memory for as long as it has asks open, and a while longer; the one heard of longest ago makes room for a new one. A
 *  guest stays until liveness.c sweeps it.
 */
#include <assert.h>
#include <stdlib.h>
#include "actors/ground/log.h"
#include "inside.h"

#define PEERS_MAX ((size_t) 16384) /* connections; 25 MiB */
#define STRANGER_IDLE_MS ((int64_t) 60000) /* a REQ that polls once a minute keeps its name */
#define FROM_BYTES_MAX ((size_t) 512) /* two texts of 64, four roles: under 200 */

broker_peer_t *broker_peer_find (const broker_router_t *self, yard_string_t routing)
{
    return yard_table_get (self->by_routing, routing.data, routing.size);
}

static void set_routing (broker_router_t *self, broker_peer_t *peer, const char *routing, size_t size)
{
    memcpy (peer->routing, routing, size);
    peer->routing_size = size;
    yard_table_put (self->by_routing, routing, size, peer);
}

/*  The idle stranger that was heard of longest ago. */
static bool make_room (broker_router_t *self)
{
    broker_peer_t *peer;
    TAILQ_FOREACH (peer, &self->strangers, link)
    if (!peer->asked_count) {
        broker_peer_forget (self, peer);
        return true;
    }
    return false;
}

static broker_peer_t *new_peer (broker_router_t *self, const broker_origin_t *origin)
{
    broker_peer_t *peer = calloc (1, sizeof *peer);
    if (!peer)
        abort ();
    peer->number = ++self->last_peer;
    snprintf (peer->client, sizeof peer->client, "c%llu", (unsigned long long) peer->number);
    snprintf (peer->user, sizeof peer->user, "%s", origin->user);
    peer->roles = origin->roles;
    peer->distant = origin->distant;
    TAILQ_INIT (&peer->asked);
    TAILQ_INIT (&peer->serving);
    TAILQ_INIT (&peer->follows);
    yard_buffer_init (&peer->from, FROM_BYTES_MAX);
    set_routing (self, peer, origin->routing.data, origin->routing.size);
    TAILQ_INSERT_TAIL (&self->strangers, peer, link);
    return peer;
}

broker_peer_t *broker_peer_of (broker_router_t *self, const broker_origin_t *origin)
{
    if (!origin->routing.size || origin->routing.size > BROKER_ROUTING_MAX)
        return NULL;
    broker_peer_t *peer = broker_peer_find (self, origin->routing);
    if (!peer) {
        if (yard_table_count (self->by_routing) >= PEERS_MAX && !make_room (self))
            return NULL;
        peer = new_peer (self, origin);
    } else if (!peer->hello) {
        TAILQ_REMOVE (&self->strangers, peer, link);
        TAILQ_INSERT_TAIL (&self->strangers, peer, link);
    }
    peer->heard_ms = self->now_ms;
    return peer;
}

void broker_peer_move (broker_router_t *self, broker_peer_t *peer, broker_peer_t *stranger)
{
    assert (peer->hello && !stranger->hello && !stranger->asked_count);
    yard_table_take (self->by_routing, peer->routing, peer->routing_size);
    char routing [BROKER_ROUTING_MAX];
    size_t size = stranger->routing_size;
    memcpy (routing, stranger->routing, size);
    broker_peer_forget (self, stranger);
    set_routing (self, peer, routing, size);
}

void broker_peer_welcome (broker_router_t *self, broker_peer_t *peer)
{
    TAILQ_REMOVE (&self->strangers, peer, link);
    TAILQ_INSERT_TAIL (&self->guests, peer, link);
    self->guest_count++;
    peer->hello = true;
    yard_buffer_reset (&peer->from);
    peer->hello_ms = peer->pong_ms = self->now_ms;
}

void broker_peer_forget (broker_router_t *self, broker_peer_t *peer)
{
    assert (!peer->asked_count && !peer->serving_count && !peer->follow_count);
    broker_trust (self, peer);
    broker_forgive (self, peer);
    TAILQ_REMOVE (peer->hello ? &self->guests : &self->strangers, peer, link);
    self->guest_count -= peer->hello;
    yard_table_take (self->by_routing, peer->routing, peer->routing_size);
    yard_table_destroy (&peer->servers);
    yard_buffer_clear (&peer->from);
    free (peer);
}

void broker_peers_forget_idle (broker_router_t *self)
{
    broker_peer_t *peer = TAILQ_FIRST (&self->strangers), *next;
    for (; peer && self->now_ms - peer->heard_ms >= STRANGER_IDLE_MS; peer = next) {
        next = TAILQ_NEXT (peer, link);
        if (!peer->asked_count)
            broker_peer_forget (self, peer);
    }
}

void broker_peer_write_from (broker_router_t *self, broker_peer_t *peer)
{
    static const struct {
        unsigned bit;
        role_t role;
    } rows [] = {
        { YARD_ROLE_VIEWER, role_viewer },
        { YARD_ROLE_OPERATOR, role_operator },
        { YARD_ROLE_WORKER, role_worker },
        { YARD_ROLE_ADMIN, role_admin },
    };
    role_t roles [sizeof rows / sizeof rows [0]];
    from_t from;
    yard_wire_init (from_type (), &from);
    from.client = yard_string (peer->client);
    from.user = yard_string (peer->user);
    from.hello = peer->hello;
    from.roles.items = roles;
    for (size_t i = 0; i < sizeof rows / sizeof rows [0]; i++)
        if (peer->roles & rows [i].bit)
            roles [from.roles.count++] = rows [i].role;
    yard_string_t packed = broker_pack (self, from_type (), &from);
    yard_buffer_append (&peer->from, packed.data, packed.size);
}
