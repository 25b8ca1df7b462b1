// SPDX-License-Identifier: Apache-2.0
/*  routing.c - carries asks to servers and answers back
 *
 *  Promises: what is refused here (not_served, busy, forbidden, hello_first, unknown_method) certainly did not reach a server. An answer
 *  counts only from the connection that got the ask.
 */
#include "actors/ground/fault.h"
#include "asks.h"
#include "directory.h"

#define HOST_LOADER_SIZE 80 /* "loader/", a node of at most 64, "/host" */

/*  Opens meta, where it came. An epoch in it says that the asker leans on a welcome: it must be ours, and this connection's. */
static int check_meta (broker_router_t *self, const broker_peer_t *peer, const yard_envelope_t *envelope,
                       yard_error_t *error)
{
    if (!envelope->meta.size)
        return 0;
    meta_t meta;
    int rc = yard_wire_unpack (meta_type (), envelope->meta.data, envelope->meta.size, YARD_WIRE_ASK,
                               self->arena, &meta, error);
    if (rc)
        return rc;
    if (meta.has_epoch && (!peer->hello || !yard_string_is (meta.epoch, self->options.epoch)))
        return YARD_HELLO_FIRST;
    return 0;
}

/*  Nobody serves it now: is it one of ours, and who would? */
static int refuse_unserved (yard_string_t name, yard_error_t *error)
{
    const yard_method_t *method = yard_method_find (name);
    if (!method)
        return yard_error (error, YARD_UNKNOWN_METHOD,
                           "%.*s is no method of this yard: yard.methods lists what can be asked",
                           YARD_VIEW (name));
    if (method->routing == YARD_ROUTING_BROKER)
        return yard_error (error, YARD_NOT_SERVED, "%.*s is served by the broker itself: ask it without an @",
                           YARD_VIEW (name));
    static const struct {
        const char *service, *actor;
    } actors [] = {
        { "record.", "recorder" }, { "job.", "recorder" },      { "download.", "recorder" },
        { "event.", "recorder" },  { "install.", "installer" }, { "metadata.", "downloader" },
        { "probe.", "prober" },    { "convert.", "converter" }, { "archive.", "converter" },
        { "load.", "loader" },
    };
    const char *actor = "actor that serves it";
    for (size_t i = 0; i < sizeof actors / sizeof actors [0]; i++)
        if (yard_string_starts (name, actors [i].service))
            actor = actors [i].actor;
    return yard_error (error, YARD_NOT_SERVED,
                       "%.*s: the %s is not here: start it with `modelyard up`, or modelyard-%s by itself",
                       YARD_VIEW (name), actor, actor);
}

/*  The server that `@at` names: by place or by instance. */
static broker_peer_t *server_at (broker_router_t *self, const broker_service_t *service, yard_string_t at)
{
    broker_peer_t *server = broker_directory_place (self->directory, at);
    if (!server)
        server = broker_directory_instance (self->directory, at);
    return server && !server->unreachable && broker_directory_serves (service, server) ? server : NULL;
}

/*  The next one to try, or NULL; `at` may be empty. */
static broker_peer_t *next_server (broker_router_t *self, broker_service_t *service, yard_string_t at)
{
    if (!at.size && service->routing != routing_placed)
        return broker_directory_choose (service, self->round);
    char host [HOST_LOADER_SIZE];
    if (!at.size) {
        snprintf (host, sizeof host, "loader/%s/host", self->options.node);
        at = yard_string (host);
    }
    broker_peer_t *server = server_at (self, service, at);
    if (!server || server->tried == self->round)
        return NULL;
    server->tried = self->round;
    return server;
}

/*  Whoever asks a server of this client, so that its end can be told there. A stranger's end is told nowhere. */
static void note_server (broker_peer_t *asker, broker_peer_t *server)
{
    if (!asker->hello || asker->last_server == server->number)
        return;
    asker->last_server = server->number;
    if (!asker->servers)
        asker->servers = yard_table_new ();
    yard_table_put_u64 (asker->servers, server->number, server);
}

/*  0; YARD_BUSY or YARD_GONE: not this server, try another; other codes end the search. */
static int hand_over (broker_router_t *self, broker_peer_t *asker, broker_peer_t *server,
                      const yard_envelope_t *envelope, yard_error_t *error)
{
    broker_ask_t *ask = broker_asks_open (self->asks, envelope, asker, server);
    if (!ask)
        return yard_error (error, YARD_TOO_LARGE,
                           "the frames before the head have over %zu bytes, the limit: shorten them",
                           BROKER_PREFIX_BYTES_MAX);
    yard_envelope_t out = {
        .letter = 'A',
        .id = { (const char *) &ask->number, sizeof ask->number },
        .name = envelope->name,
        .body = envelope->body,
        .meta = envelope->meta,
        .from = yard_buffer_view (&asker->from),
    };
    int rc = broker_send (self, server, &out);
    if (rc)
        broker_asks_close (self->asks, ask);
    else
        note_server (asker, server);
    return rc;
}

/*  Tries one server after the other. */
static int route (broker_router_t *self, broker_peer_t *peer, const yard_envelope_t *envelope,
                  broker_service_t *service, yard_string_t at, yard_error_t *error)
{
    int last = YARD_GONE;
    self->round++;
    for (broker_peer_t *server; (server = next_server (self, service, at));) {
        int rc = hand_over (self, peer, server, envelope, error);
        if (rc != YARD_BUSY && rc != YARD_GONE)
            return rc;
        if (rc == YARD_BUSY)
            last = YARD_BUSY;
    }
    if (last == YARD_BUSY)
        return yard_error (error, YARD_BUSY, "%.*s: every server has its queue full: ask again in a moment",
                           YARD_VIEW (envelope->name));
    return yard_error (
        error, YARD_NOT_SERVED, "%.*s: no server of it can be reached%s: yard.methods lists the places",
        YARD_VIEW (envelope->name), service->routing == routing_placed ? " at this place" : "");
}

/*  Into *ret_at what stands behind the @, empty where there is none; gives the name before it. */
static yard_string_t split_name (yard_string_t name, yard_string_t *ret_at)
{
    const char *sign = memchr (name.data, '@', name.size);
    *ret_at = (yard_string_t){ 0 };
    if (!sign)
        return name;
    size_t size = (size_t) (sign - name.data);
    *ret_at = (yard_string_t){ sign + 1, name.size - size - 1 };
    return (yard_string_t){ name.data, size };
}

static int check_limits (const broker_router_t *self, const broker_peer_t *peer, yard_error_t *error)
{
    if (peer->asked_count >= self->options.configuration->bus.open_asks_max)
        return yard_error (error, YARD_BUSY,
                           "this peer has %zu open asks, the limit (bus.open_asks_max): wait for answers",
                           peer->asked_count);
    if (broker_asks_count (self->asks) == BROKER_ASKS_MAX)
        return yard_error (error, YARD_BUSY, "the broker has %zu open asks, its limit: ask again in a moment",
                           BROKER_ASKS_MAX);
    return 0;
}

static int ask (broker_router_t *self, broker_peer_t *peer, const yard_envelope_t *envelope,
                yard_error_t *error)
{
    if (envelope->from.size)
        return yard_error (error, YARD_BAD_FRAME,
                           "only the broker says who asks: leave out the frame behind meta");
    int rc = check_meta (self, peer, envelope, error);
    if (rc)
        return rc;
    if (broker_serves (envelope->name)) {
        broker_serve (self, peer, envelope);
        return 0;
    }
    yard_string_t at, name = split_name (envelope->name, &at);
    broker_service_t *service = broker_directory_service (self->directory, name);
    if (!service)
        return refuse_unserved (name, error);
    if (!(service->roles & peer->roles))
        return yard_error (error, YARD_FORBIDDEN, "%s may not ask %s: its roles do not include it",
                           peer->user, service->name);
    rc = check_limits (self, peer, error);
    if (rc)
        return rc;
    if (!peer->from.size)
        broker_peer_write_from (self, peer);
    return route (self, peer, envelope, service, at, error);
}

void broker_on_ask (broker_router_t *self, broker_peer_t *peer, const yard_envelope_t *envelope)
{
    yard_error_t error = { 0 };
    int rc = ask (self, peer, envelope, &error);
    if (rc == YARD_HELLO_FIRST)
        broker_hello_first (self, peer, envelope);
    else if (rc)
        broker_fail (self, peer, envelope, &error);
}

void broker_on_answer (broker_router_t *self, broker_peer_t *peer, const yard_envelope_t *envelope)
{
    if (!peer->hello) {
        if (envelope->letter == 'R')
            broker_hello_first (self, peer, envelope);
        return;
    }
    broker_ask_t *open = broker_asks_find (self->asks, envelope->id);
    if (!open || (open->server != peer && !FAULT ("planted.any_connection")))
        return; /* its asker has gone, or it is none of this connection's business */
    yard_string_t prefix [YARD_PREFIX_MAX];
    yard_envelope_t answer = broker_ask_echo (open, envelope->letter, envelope->body, prefix);
    broker_send_surely (self, open->asker, &answer);
    broker_asks_close (self->asks, open);
}

/*  A withdrawn ask stays open until its server has answered: an answer that was under way may grant something,
 *  and only who asked for it can give it back. */
void broker_on_bye (broker_router_t *self, broker_peer_t *peer, const yard_envelope_t *envelope)
{
    if (!envelope->id.size) {
        if (peer->hello)
            broker_sweep (self, peer, "it left");
        return;
    }
    if (broker_unfollow (self, peer, envelope->id))
        return;
    broker_ask_t *open;
    TAILQ_FOREACH (open, &peer->asked, of_asker)
    {
        if (open->withdrawn || !yard_string_equal (broker_ask_id (open), envelope->id))
            continue;
        open->withdrawn = true;
        broker_tell_bye (self, open->server, open->number, NULL);
    }
}

void broker_routing_joined (broker_peer_t *peer)
{
    broker_ask_t *open;
    TAILQ_FOREACH (open, &peer->asked, of_asker)
    note_server (peer, open->server);
}

static void end_serving (broker_router_t *self, broker_peer_t *peer, bool tell_peer)
{
    for (broker_ask_t *open; (open = TAILQ_FIRST (&peer->serving));) {
        char text [YARD_ERROR_TEXT_MAX];
        snprintf (text, sizeof text,
                  "%s ended before it answered: the outcome is unknown, repeat only with a once key",
                  peer->place);
        if (tell_peer)
            broker_tell_bye (self, peer, open->number, NULL);
        broker_fail_open (self, open, YARD_GONE, text);
        broker_asks_close (self->asks, open);
    }
}

void broker_routing_cut (broker_router_t *self, broker_peer_t *peer)
{
    end_serving (self, peer, true);
    for (broker_ask_t *open; (open = TAILQ_FIRST (&peer->asked));) {
        if (!open->withdrawn)
            broker_tell_bye (self, open->server, open->number, NULL);
        broker_fail_open (
            self, open, YARD_GONE,
            "the connection that asked this has ended: the outcome is unknown, repeat only with a once key");
        broker_asks_close (self->asks, open);
    }
}

void broker_routing_end (broker_router_t *self, broker_peer_t *peer, bool tell_servers)
{
    end_serving (self, peer, false);
    for (broker_ask_t *open; (open = TAILQ_FIRST (&peer->asked));) {
        if (tell_servers && !open->withdrawn)
            broker_tell_bye (self, open->server, open->number, NULL);
        broker_asks_close (self->asks, open);
    }
}
