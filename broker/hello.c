// SPDX-License-Identifier: Apache-2.0
/*  hello.c - lets actors and clients in
 *
 *  Promises: a hello is accepted whole or refused whole; said twice it changes nothing; said by a live instance on a new connection it
 *  moves the instance there, with its place, its methods and its name towards others. What was open on the old connection ends, and
 *  both sides of it are told.
 *  Refuses: another protocol, a gone instance, a place or method that a live one holds, methods without the role worker.
 */
#include "actors/ground/log.h"
#include "directory.h"

#define REFUSED_WINDOW_MS ((int64_t) 60000)
#define REFUSED_LINES_MAX \
    20 /* of a window: a dozen actors that are started twice; a loop that never gives up does not fill the disk */

static void welcome (broker_router_t *self, broker_peer_t *peer, bool moved)
{
    welcome_t value;
    yard_wire_init (welcome_type (), &value);
    value.epoch = yard_string (self->options.epoch);
    value.number = broker_event_log_last (self->log);
    value.protocol = YARD_PROTOCOL;
    value.ping_ms = BROKER_PING_MS;
    value.moved = moved;
    yard_envelope_t envelope = { .letter = 'W', .body = broker_pack (self, welcome_type (), &value) };
    broker_send_surely (self, peer, &envelope);
}

static void keep_text (char *field, size_t field_size, yard_string_t text)
{
    size_t size = text.size < field_size ? text.size : field_size - 1;
    memcpy (field, text.data, size);
    field [size] = 0;
}

#define KEEP(peer, hello, field) keep_text ((peer)->field, sizeof (peer)->field, (hello)->field)

static int check (const broker_peer_t *peer, const hello_t *hello, yard_error_t *error)
{
    if (hello->protocol != YARD_PROTOCOL)
        return yard_error (error, YARD_BAD_FRAME,
                           "protocol %llu is not this broker's %d: run one version of both",
                           (unsigned long long) hello->protocol, YARD_PROTOCOL);
    for (size_t i = 0; i < hello->instance.size; i++)
        if (!memchr ("0123456789abcdef", hello->instance.data [i], 16))
            return yard_error (error, YARD_BAD_FRAME,
                               "instance must be 32 hex digits in small letters: draw 128 bits");
    if (hello->methods.count && !(peer->roles & YARD_ROLES_WORKER))
        return yard_error (error, YARD_FORBIDDEN, "%s may serve no methods: give its key the role worker",
                           peer->user);
    return 0;
}

/*  A hello of an instance that is here already: the same connection, or its next one. Then what a stranger
 *  asked on the new one before its hello ends too: the asker would not know which of its asks live. */
static int again (broker_router_t *self, broker_peer_t *known, broker_peer_t *peer, const hello_t *hello,
                  yard_error_t *error)
{
    if (!yard_string_is (hello->place, known->place) || strcmp (known->user, peer->user))
        return yard_error (error, YARD_TAKEN, "instance %s is %s of %s already: draw a fresh instance",
                           known->instance, known->place, known->user);
    if (known == peer)
        return 0;
    yard_log_info ("actor.moved", "place=%s client=%s", YARD_QUOTED (known->place), known->client);
    broker_routing_cut (self, peer);
    broker_trust (self, known);
    known->unreachable = known->ping_open = false;
    known->pong_ms = self->now_ms;
    broker_peer_move (self, known, peer);
    return 0;
}

static int join (broker_router_t *self, broker_peer_t *peer, const hello_t *hello, yard_error_t *error)
{
    KEEP (peer, hello, actor);
    KEEP (peer, hello, place);
    KEEP (peer, hello, instance);
    KEEP (peer, hello, node);
    peer->process = hello->pid;
    int rc = broker_directory_join (self->directory, peer, hello, error);
    if (rc)
        return rc;
    broker_peer_welcome (self, peer);
    broker_routing_joined (peer);
    yard_log_info ("actor.joined", "place=%s client=%s process=%llu", YARD_QUOTED (peer->place), peer->client,
                   (unsigned long long) peer->process);
    return 0;
}

/*  Whoever stands in the way may be dead without our having noticed: a ping to a broken connection says so at once. */
static void probe_holders (broker_router_t *self, const hello_t *hello)
{
    broker_peer_t *holder = broker_directory_place (self->directory, hello->place);
    if (holder)
        broker_probe (self, holder);
    for (size_t i = 0; i < hello->methods.count; i++) {
        broker_service_t *service = broker_directory_service (self->directory, hello->methods.items [i].name);
        if (service && service->routing == routing_single)
            broker_probe (self, service->servers [0]);
    }
}

/*  Whoever is refused may try for ever. */
static void log_refused (broker_router_t *self, const broker_peer_t *peer, const yard_error_t *error)
{
    if (self->now_ms - self->refused_since_ms >= REFUSED_WINDOW_MS) {
        if (self->refused > REFUSED_LINES_MAX)
            yard_log_warning ("hello.refused_more", "count=%llu",
                              (unsigned long long) (self->refused - REFUSED_LINES_MAX));
        self->refused_since_ms = self->now_ms;
        self->refused = 0;
    }
    if (self->refused++ < REFUSED_LINES_MAX)
        yard_log_warning ("hello.refused", "client=%s code=%s text=%s", peer->client,
                          yard_error_row (error->code)->word, YARD_QUOTED (error->text));
}

static void refuse (broker_router_t *self, broker_peer_t *peer, const yard_error_t *error)
{
    log_refused (self, peer, error);
    yard_envelope_t nameless = { .letter = 'H' };
    broker_fail (self, peer, &nameless, error);
}

void broker_on_hello (broker_router_t *self, broker_peer_t *peer, const yard_envelope_t *envelope)
{
    hello_t hello;
    yard_error_t error = { 0 };
    int rc = yard_wire_unpack (hello_type (), envelope->body.data, envelope->body.size, YARD_WIRE_ASK,
                               self->arena, &hello, &error);
    if (!rc)
        rc = check (peer, &hello, &error);
    if (rc) {
        refuse (self, peer, &error);
        return;
    }
    broker_peer_t *known = broker_directory_instance (self->directory, hello.instance);
    bool joins = !known && !peer->hello, moves = known && known != peer;
    if (peer->hello && known != peer)
        rc = yard_error (&error, YARD_TAKEN, "this connection has said hello as %s: open another for %.*s",
                         peer->place, YARD_VIEW (hello.place));
    else if (known)
        rc = again (self, known, peer, &hello, &error);
    else {
        probe_holders (self, &hello);
        rc = join (self, peer, &hello, &error);
    }
    if (rc) {
        refuse (self, peer, &error);
        return;
    }
    welcome (self, known ? known : peer, moves);
    if (moves) {
        broker_routing_cut (self, known);
        broker_follows_cut (self, known);
    }
    if (joins)
        broker_publish_actor (self, &actor_joined_event, peer, "");
}
