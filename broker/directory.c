// SPDX-License-Identifier: Apache-2.0
/*  directory.c - tables from names to peers; joining is checked whole before anything is entered
 */
#include "directory.h"

#include <assert.h>
#include <stdlib.h>

#define SERVICES_MAX ((size_t) 1024) /* methods of the whole yard; ours has under 100 */
#define GONE_MAX ((size_t) 4096) /* instances remembered as gone: a day of restarts every 20 s */
#define INSTANCE_DIGITS ((size_t) 32)

struct broker_directory_t {
    yard_table_t *services, *places, *instances, *gone;
    size_t gone_next;
    char gone_ring [GONE_MAX][INSTANCE_DIGITS];
};

broker_directory_t *broker_directory_new (void)
{
    broker_directory_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->services = yard_table_new ();
    self->places = yard_table_new ();
    self->instances = yard_table_new ();
    self->gone = yard_table_new ();
    return self;
}

void broker_directory_destroy (broker_directory_t **self_p)
{
    assert (self_p);
    broker_directory_t *self = *self_p;
    if (!self)
        return;
    broker_service_t *service;
    for (size_t at = 0; broker_directory_next (self, &at, &service);)
        free (service);
    yard_table_destroy (&self->services);
    yard_table_destroy (&self->places);
    yard_table_destroy (&self->instances);
    yard_table_destroy (&self->gone);
    free (self);
    *self_p = NULL;
}

static unsigned roles_of (const hello_method_t *method)
{
    static const unsigned bits [role_count] = {
        [role_viewer] = YARD_ROLE_VIEWER,
        [role_operator] = YARD_ROLE_OPERATOR,
        [role_worker] = YARD_ROLE_WORKER,
        [role_admin] = YARD_ROLE_ADMIN,
    };
    unsigned roles = 0;
    for (size_t i = 0; i < method->roles.count; i++)
        roles |= bits [method->roles.items [i]];
    return roles;
}

/*  "service.method" of letters, digits, _ and -: names stand in logs, texts and topics. */
static bool is_method_name (yard_string_t name)
{
    const char *dot = memchr (name.data, '.', name.size);
    if (!dot || dot == name.data || dot == name.data + name.size - 1)
        return false;
    for (size_t i = 0; i < name.size; i++) {
        unsigned char byte = (unsigned char) name.data [i];
        bool word =
            (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9');
        if (!word && byte != '_' && byte != '-' && byte != '.')
            return false;
    }
    return true;
}

static int check_method (const broker_directory_t *self, const hello_method_t *method, yard_error_t *error)
{
    if (!is_method_name (method->name) || method->routing == routing_unset ||
        method->routing == routing_broker)
        return yard_error (
            error, YARD_INVALID_MESSAGE,
            "methods: %.*s is no service.method with routing single, pool or placed: correct the hello",
            YARD_VIEW (method->name));
    if (broker_serves (method->name))
        return yard_error (error, YARD_TAKEN, "%.*s is served by the broker itself: choose another name",
                           YARD_VIEW (method->name));
    const broker_service_t *service = broker_directory_service (self, method->name);
    if (!service)
        return 0;
    const char *place = service->servers [0]->place;
    if (service->routing != method->routing || service->roles != roles_of (method))
        return yard_error (
            error, YARD_TAKEN,
            "%.*s is served by %s with another routing or other roles: run one version of both",
            YARD_VIEW (method->name), place);
    if (service->routing == routing_single)
        return yard_error (
            error, YARD_TAKEN, "%.*s is served by %s (process %llu) already: stop that one first",
            YARD_VIEW (method->name), place, (unsigned long long) service->servers [0]->process);
    if (service->count == BROKER_SERVERS_MAX)
        return yard_error (error, YARD_BUSY, "%.*s has %d servers, the limit: start no more of them",
                           YARD_VIEW (method->name), BROKER_SERVERS_MAX);
    return 0;
}

static void enter (broker_directory_t *self, broker_peer_t *peer, const hello_method_t *method)
{
    broker_service_t *service = broker_directory_service (self, method->name);
    if (!service) {
        service = calloc (1, sizeof *service);
        if (!service)
            abort ();
        memcpy (service->name, method->name.data, method->name.size);
        service->routing = method->routing;
        service->roles = roles_of (method);
        yard_table_put (self->services, method->name.data, method->name.size, service);
    }
    if (!broker_directory_serves (service, peer)) /* named twice in one hello */
        service->servers [service->count++] = peer;
}

int broker_directory_join (broker_directory_t *self, broker_peer_t *peer, const hello_t *hello,
                           yard_error_t *error)
{
    yard_string_t place = yard_string (peer->place), instance = yard_string (peer->instance);
    if (broker_directory_is_gone (self, instance))
        return yard_error (error, YARD_GONE, "instance %s was declared gone: end this process and start anew",
                           peer->instance);
    const broker_peer_t *holder = broker_directory_place (self, place);
    if (holder)
        return yard_error (error, YARD_TAKEN, "%s is held by process %llu (instance %s): stop that one first",
                           peer->place, (unsigned long long) holder->process, holder->instance);
    if (yard_table_count (self->services) + hello->methods.count > SERVICES_MAX)
        return yard_error (error, YARD_BUSY, "the yard has %zu methods, the limit is %zu",
                           yard_table_count (self->services), SERVICES_MAX);
    for (size_t i = 0; i < hello->methods.count; i++) {
        int rc = check_method (self, &hello->methods.items [i], error);
        if (rc)
            return rc;
    }
    for (size_t i = 0; i < hello->methods.count; i++)
        enter (self, peer, &hello->methods.items [i]);
    yard_table_put (self->places, place.data, place.size, peer);
    yard_table_put (self->instances, instance.data, instance.size, peer);
    return 0;
}

/*  The oldest remembered instance makes room. */
static void remember_gone (broker_directory_t *self, const char *instance)
{
    char *slot = self->gone_ring [self->gone_next++ % GONE_MAX];
    if (slot [0])
        yard_table_take (self->gone, slot, INSTANCE_DIGITS);
    memcpy (slot, instance, INSTANCE_DIGITS);
    yard_table_put (self->gone, slot, INSTANCE_DIGITS, slot);
}

void broker_directory_leave (broker_directory_t *self, broker_peer_t *peer)
{
    broker_service_t *service;
    for (size_t at = 0; broker_directory_next (self, &at, &service);) {
        for (size_t i = 0; i < service->count; i++)
            if (service->servers [i] == peer) {
                service->count--;
                memmove (&service->servers [i], &service->servers [i + 1],
                         (service->count - i) * sizeof service->servers [0]);
            }
        if (!service->count) {
            yard_table_take (self->services, service->name, strlen (service->name));
            free (service);
        }
    }
    yard_table_take (self->places, peer->place, strlen (peer->place));
    yard_table_take (self->instances, peer->instance, strlen (peer->instance));
    remember_gone (self, peer->instance);
}

bool broker_directory_is_gone (const broker_directory_t *self, yard_string_t instance)
{
    return yard_table_get (self->gone, instance.data, instance.size) != NULL;
}

broker_peer_t *broker_directory_instance (const broker_directory_t *self, yard_string_t instance)
{
    return yard_table_get (self->instances, instance.data, instance.size);
}

broker_peer_t *broker_directory_place (const broker_directory_t *self, yard_string_t place)
{
    return yard_table_get (self->places, place.data, place.size);
}

broker_service_t *broker_directory_service (const broker_directory_t *self, yard_string_t name)
{
    return yard_table_get (self->services, name.data, name.size);
}

bool broker_directory_next (const broker_directory_t *self, size_t *at, broker_service_t **ret)
{
    void *value;
    if (!yard_table_next (self->services, at, &value))
        return false;
    *ret = value;
    return true;
}

broker_peer_t *broker_directory_choose (broker_service_t *service, uint64_t round)
{
    broker_peer_t *best = NULL;
    size_t chosen = 0;
    for (size_t i = 0; i < service->count; i++) {
        size_t at = (service->turn + i) % service->count;
        broker_peer_t *peer = service->servers [at];
        if (peer->tried == round || peer->unreachable || (best && peer->serving_count >= best->serving_count))
            continue;
        best = peer;
        chosen = at;
    }
    if (best) {
        best->tried = round;
        service->turn = (chosen + 1) % service->count;
    }
    return best;
}

bool broker_directory_serves (const broker_service_t *service, const broker_peer_t *peer)
{
    for (size_t i = 0; i < service->count; i++)
        if (service->servers [i] == peer)
            return true;
    return false;
}
