// SPDX-License-Identifier: Apache-2.0
/*  services.c - what the broker itself answers: yard.* about itself and its guests, event.publish and event.follow
 */
#include <stdlib.h>
#include "directory.h"

#define ROWS_MAX ((size_t) 256) /* of yard.actors, .methods and .devices (yard.def) */
#define CLIENT_ACTOR "client" /* clients come last where the rows do not suffice */

/*  0 when it has answered; a code: the sentence is in error. */
typedef int (serve_fn) (broker_router_t *self, broker_peer_t *peer, const yard_envelope_t *envelope,
                        const void *ask, yard_error_t *error);

static int by_place (const void *a, const void *b)
{
    const broker_peer_t *const *left = a, *const *right = b;
    return strcmp ((*left)->place, (*right)->place);
}

/*  At most ROWS_MAX guests, ordered by place; actors before clients where there are more. */
static size_t list_guests (const broker_router_t *self, const broker_peer_t **ret)
{
    size_t count = 0;
    for (int clients = 0; clients < 2; clients++) {
        const broker_peer_t *peer;
        TAILQ_FOREACH (peer, &self->guests, link)
        if (count < ROWS_MAX && clients == !strcmp (peer->actor, CLIENT_ACTOR))
            ret [count++] = peer;
    }
    qsort (ret, count, sizeof ret [0], by_place);
    return count;
}

static int serve_actors (broker_router_t *self, broker_peer_t *peer, const yard_envelope_t *envelope,
                         const void *ask, yard_error_t *error)
{
    (void) ask, (void) error;
    const broker_peer_t *guests [ROWS_MAX];
    yard_actor_row_t rows [ROWS_MAX];
    yard_actors_answer_t answer = { { rows, list_guests (self, guests) } };
    for (size_t i = 0; i < answer.actors.count; i++) {
        const broker_peer_t *guest = guests [i];
        yard_wire_init (yard_actor_row_type (), &rows [i]);
        rows [i].actor = yard_string (guest->actor);
        rows [i].place = yard_string (guest->place);
        rows [i].instance = yard_string (guest->instance);
        rows [i].node = yard_string (guest->node);
        rows [i].pid = guest->process;
        rows [i].up_ms = (uint64_t) (self->now_ms - guest->hello_ms);
        rows [i].pong_ms = (uint64_t) (self->now_ms - guest->pong_ms);
        rows [i].busy_us = guest->busy_us;
        rows [i].idle_us = guest->idle_us;
        rows [i].open_requests = guest->open_requests;
        rows [i].open_asks = guest->open_asks;
        rows [i].note = yard_string (guest->note);
    }
    broker_reply (self, peer, envelope, yard_actors_answer_type (), &answer);
    return 0;
}

static int serve_devices (broker_router_t *self, broker_peer_t *peer, const yard_envelope_t *envelope,
                          const void *ask, yard_error_t *error)
{
    (void) ask, (void) error;
    const broker_peer_t *guests [ROWS_MAX];
    yard_device_row_t rows [ROWS_MAX];
    yard_devices_answer_t answer = { { rows, 0 } };
    size_t count = list_guests (self, guests);
    for (size_t i = 0; i < count; i++) {
        char loader [80]; /* "loader/", a node of at most 64, "/" */
        snprintf (loader, sizeof loader, "loader/%s/", guests [i]->node);
        yard_string_t place = yard_string (guests [i]->place);
        size_t size = strlen (loader);
        if (!yard_string_starts (place, loader) || place.size == size || place.size - size > 64)
            continue;
        rows [answer.devices.count++] = (yard_device_row_t){
            .device = { place.data + size, place.size - size },
            .node = yard_string (guests [i]->node),
            .place = place,
        };
    }
    broker_reply (self, peer, envelope, yard_devices_answer_type (), &answer);
    return 0;
}

static int serve_config (broker_router_t *self, broker_peer_t *peer, const yard_envelope_t *envelope,
                         const void *ask, yard_error_t *error)
{
    (void) ask, (void) error;
    broker_reply (self, peer, envelope, configuration_type (), self->options.configuration);
    return 0;
}

static int serve_version (broker_router_t *self, broker_peer_t *peer, const yard_envelope_t *envelope,
                          const void *ask, yard_error_t *error)
{
    (void) ask, (void) error;
    yard_version_answer_t answer = {
        .version = yard_string (self->options.version),
        .protocol = YARD_PROTOCOL,
        .epoch = yard_string (self->options.epoch),
        .zeromq = yard_string (self->options.zeromq),
        .home = yard_string (self->options.home),
        .event_endpoint = yard_string (self->options.event_endpoint),
    };
    broker_reply (self, peer, envelope, yard_version_answer_type (), &answer);
    return 0;
}

static int serve_ping (broker_router_t *self, broker_peer_t *peer, const yard_envelope_t *envelope,
                       const void *ask, yard_error_t *error)
{
    (void) ask, (void) error;
    yard_ping_answer_t answer = {
        .time = (double) yard_clock_wall_ms (self->options.clock) / 1000,
        .epoch = yard_string (self->options.epoch),
        .number = broker_event_log_last (self->log),
    };
    broker_reply (self, peer, envelope, yard_ping_answer_type (), &answer);
    return 0;
}

static int serve_publish (broker_router_t *self, broker_peer_t *peer, const yard_envelope_t *envelope,
                          const void *ask, yard_error_t *error)
{
    event_publish_answer_t answer;
    yard_wire_init (event_publish_answer_type (), &answer);
    int rc = broker_publish (self, peer, ask, &answer, error);
    if (!rc)
        broker_reply (self, peer, envelope, event_publish_answer_type (), &answer);
    return rc;
}

static int serve_follow (broker_router_t *self, broker_peer_t *peer, const yard_envelope_t *envelope,
                         const void *ask, yard_error_t *error)
{
    if (!peer->hello)
        return yard_error (error, YARD_HELLO_FIRST,
                           "a stream of events goes to peers that said hello: say it, or subscribe");
    return broker_follow (self, peer, envelope, ask, error);
}

static serve_fn serve_methods; /* lists the table that it stands in */

static const struct {
    const char *name;
    const yard_method_t *method;
    serve_fn *serve;
} services [] = {
    { "event.follow", &event_follow_method, serve_follow },
    { "event.publish", &event_publish_method, serve_publish },
    { "yard.actors", &yard_actors_method, serve_actors },
    { "yard.config", &yard_config_method, serve_config },
    { "yard.devices", &yard_devices_method, serve_devices },
    { "yard.methods", &yard_methods_method, serve_methods },
    { "yard.ping", &yard_ping_method, serve_ping },
    { "yard.version", &yard_version_method, serve_version },
};

#define SERVICES (sizeof services / sizeof services [0])

/*  The words of a set of roles, in the arena. */
static void set_roles (broker_router_t *self, yard_method_row_t *row, unsigned roles)
{
    static const unsigned bits [role_count] = {
        [role_viewer] = YARD_ROLE_VIEWER,
        [role_operator] = YARD_ROLE_OPERATOR,
        [role_worker] = YARD_ROLE_WORKER,
        [role_admin] = YARD_ROLE_ADMIN,
    };
    row->roles.items = yard_arena_alloc (self->arena, role_count * sizeof row->roles.items [0]);
    for (role_t role = role_viewer; row->roles.items && role < role_count; role++)
        if (roles & bits [role])
            row->roles.items [row->roles.count++] = role;
}

static void set_places (broker_router_t *self, yard_method_row_t *row, const broker_service_t *service)
{
    row->places.items = yard_arena_alloc (self->arena, service->count * sizeof row->places.items [0]);
    for (size_t i = 0; row->places.items && i < service->count; i++)
        row->places.items [row->places.count++] = yard_string (service->servers [i]->place);
}

static int by_name (const void *a, const void *b)
{
    const yard_method_row_t *left = a, *right = b;
    size_t size = left->name.size < right->name.size ? left->name.size : right->name.size;
    int order = memcmp (left->name.data, right->name.data, size);
    return order ? order : (left->name.size > right->name.size) - (left->name.size < right->name.size);
}

static int serve_methods (broker_router_t *self, broker_peer_t *peer, const yard_envelope_t *envelope,
                          const void *ask, yard_error_t *error)
{
    (void) ask, (void) error;
    static yard_text_t broker_place = { "broker", 6 };
    yard_method_row_t rows [ROWS_MAX];
    yard_methods_answer_t answer = { { rows, 0 } };
    for (size_t i = 0; i < SERVICES; i++) {
        yard_method_row_t *row = &rows [answer.methods.count++];
        *row = (yard_method_row_t){ .name = yard_string (services [i].name), .routing = routing_broker };
        set_roles (self, row, services [i].method->roles);
        row->places.items = &broker_place;
        row->places.count = 1;
    }
    broker_service_t *service;
    for (size_t at = 0;
         answer.methods.count < ROWS_MAX && broker_directory_next (self->directory, &at, &service);) {
        yard_method_row_t *row = &rows [answer.methods.count++];
        *row = (yard_method_row_t){ .name = yard_string (service->name), .routing = service->routing };
        set_roles (self, row, service->roles);
        set_places (self, row, service);
    }
    qsort (rows, answer.methods.count, sizeof rows [0], by_name);
    broker_reply (self, peer, envelope, yard_methods_answer_type (), &answer);
    return 0;
}

static size_t find (yard_string_t name)
{
    size_t i = 0;
    if (!yard_string_starts (name, "yard.") && !yard_string_starts (name, "event."))
        return SERVICES; /* nearly every ask */
    while (i < SERVICES && !yard_string_is (name, services [i].name))
        i++;
    return i;
}

bool broker_serves (yard_string_t name)
{
    return find (name) < SERVICES;
}

void broker_serve (broker_router_t *self, broker_peer_t *peer, const yard_envelope_t *envelope)
{
    size_t at = find (envelope->name);
    const yard_method_t *method = services [at].method;
    yard_error_t error = { 0 };
    const yard_wire_type_t *type = method->ask ();
    void *ask = yard_arena_alloc (self->arena, type->size);
    int rc = 0;
    if (!(method->roles & peer->roles))
        rc = yard_error (&error, YARD_FORBIDDEN, "%s may not ask %s: its roles do not include it", peer->user,
                         services [at].name);
    if (!rc)
        rc = yard_wire_unpack (type, envelope->body.data, envelope->body.size, YARD_WIRE_ASK, self->arena,
                               ask, &error);
    if (!rc)
        rc = services [at].serve (self, peer, envelope, ask, &error);
    if (rc)
        broker_fail (self, peer, envelope, &error);
}
