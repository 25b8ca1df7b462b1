// SPDX-License-Identifier: Apache-2.0
/*  bus_memory.c - the bus inside one process, for tests and the simulation
 *
 *  Promises what ZeroMQ does: a dealer without a listener is told busy, a router's unknown peer is gone,
 *  1,000 messages wait in one direction of a connection and no more, a publisher drops for a full subscriber,
 *  a connector finds the next listener of its name by itself and subscribes again there. What has been
 *  delivered is still read after its connection ended. Refuses a second listener of a name (taken).
 *
 *  Held (yard_bus_memory_hold), a message is under way on its connection until the scheduler lets it through.
 */
#include "bus_class.h"

#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUTING_ID_SIZE 5 /* as libzmq's: a 0 byte and a number of 32 bits */

typedef struct end_t end_t;
typedef struct link_t link_t;

typedef struct packet_t {
    struct packet_t *next;
    link_t *link;
    size_t direction; /* which of link->waiting it counts in */
    size_t count;
    yard_string_t frames []; /* their bytes lie behind */
} packet_t;

/*  One connection. It outlives its ends while messages that came over it wait to be read. */
struct link_t {
    link_t *next; /* of the listener */
    end_t *connector, *listener;
    unsigned char id [ROUTING_ID_SIZE];
    size_t waiting [2]; /* towards the connector, towards the listener; those under way too */
    packet_t *under_way [2]; /* of a held bus, oldest first */
    bool open;
};

typedef struct prefix_t {
    struct prefix_t *next;
    size_t uses, size;
    char data [];
} prefix_t;

struct end_t {
    yard_socket_t base;
    packet_t *first, **last_p;
    link_t *link; /* of a connector, while its listener is there */
    link_t *links; /* of a listener, oldest first */
    prefix_t *prefixes; /* of a subscriber */
};

typedef struct {
    yard_bus_t base;
    uint32_t links_made;
    bool held;
    void (*before_send) (void *context);
    void *context;
} memory_bus_t;

enum {
    TO_CONNECTOR,
    TO_LISTENER
};

static void link_release (link_t *self)
{
    if (!self->open && self->waiting [TO_CONNECTOR] == 0 && self->waiting [TO_LISTENER] == 0)
        free (self);
}

/*  With the peer's routing id in front where a router receives. */
static packet_t *packet_new (link_t *link, size_t direction, const yard_string_t *frames, size_t count)
{
    bool routed = direction == TO_LISTENER && link->listener->base.kind == YARD_SOCKET_ROUTER;
    size_t all = count + (routed ? 1 : 0), bytes = ROUTING_ID_SIZE;
    for (size_t i = 0; i < count; i++)
        bytes += frames [i].size;
    packet_t *self = malloc (sizeof *self + all * sizeof *self->frames + bytes);
    if (!self)
        abort ();
    *self = (packet_t){ .link = link, .direction = direction, .count = all };
    char *at = (char *) &self->frames [all];
    for (size_t i = 0; i < all; i++) {
        yard_string_t frame = routed && i == 0 ? (yard_string_t){ (char *) link->id, ROUTING_ID_SIZE }
                                               : frames [routed ? i - 1 : i];
        if (frame.size)
            memcpy (at, frame.data, frame.size);
        self->frames [i] = (yard_string_t){ at, frame.size };
        at += frame.size;
    }
    return self;
}

static void arrive (packet_t *packet)
{
    link_t *link = packet->link;
    end_t *target = packet->direction == TO_LISTENER ? link->listener : link->connector;
    packet->next = NULL;
    *target->last_p = packet;
    target->last_p = &packet->next;
}

static int deliver (link_t *link, size_t direction, const yard_string_t *frames, size_t count)
{
    if (link->waiting [direction] == YARD_HIGH_WATER_MAX)
        return YARD_BUSY;
    packet_t *packet = packet_new (link, direction, frames, count);
    link->waiting [direction]++;
    if (!((memory_bus_t *) link->listener->base.bus)->held) {
        arrive (packet);
        return 0;
    }
    packet_t **last_p = &link->under_way [direction];
    while (*last_p)
        last_p = &(*last_p)->next;
    *last_p = packet;
    return 0;
}

/*  The oldest one under way is there. */
static packet_t *let (link_t *link, size_t direction)
{
    packet_t *packet = link->under_way [direction];
    if (packet) {
        link->under_way [direction] = packet->next;
        arrive (packet);
    }
    return packet;
}

static void lose_under_way (link_t *link)
{
    for (size_t direction = 0; direction < 2; direction++)
        for (packet_t *packet; (packet = link->under_way [direction]);) {
            link->under_way [direction] = packet->next;
            link->waiting [direction]--;
            free (packet);
        }
}

static packet_t *packet_take (end_t *self)
{
    packet_t *packet = self->first;
    if (!packet)
        return NULL;
    if (!(self->first = packet->next))
        self->last_p = &self->first;
    packet->link->waiting [packet->direction]--;
    link_release (packet->link);
    return packet;
}

/*  --- subscriptions */
static prefix_t **prefix_find (end_t *self, yard_string_t prefix)
{
    prefix_t **at_p = &self->prefixes;
    while (*at_p && !yard_string_equal (prefix, (yard_string_t){ (*at_p)->data, (*at_p)->size }))
        at_p = &(*at_p)->next;
    return at_p;
}

static bool subscribed_to (const end_t *self, yard_string_t topic)
{
    for (const prefix_t *prefix = self->prefixes; prefix; prefix = prefix->next)
        if (prefix->size <= topic.size && memcmp (prefix->data, topic.data, prefix->size) == 0)
            return true;
    return false;
}

/*  A publisher hears of the first subscriber of a prefix and of its last one's end, as libzmq's does. */
static void tell_publisher (end_t *subscriber, char what, yard_string_t prefix)
{
    for (const link_t *link = subscriber->link->listener->links; link; link = link->next)
        if (link->connector != subscriber && *prefix_find (link->connector, prefix))
            return;
    char *data = malloc (prefix.size + 1);
    if (!data)
        abort ();
    data [0] = what;
    memcpy (data + 1, prefix.data, prefix.size);
    deliver (subscriber->link, TO_LISTENER, &(yard_string_t){ data, prefix.size + 1 }, 1);
    free (data);
}

static int subscribe (end_t *self, yard_string_t frame)
{
    assert (frame.size > 0);
    yard_string_t name = { frame.data + 1, frame.size - 1 };
    prefix_t **at_p = prefix_find (self, name), *prefix = *at_p;
    if (frame.data [0] == 1) {
        if (!prefix) {
            prefix = malloc (sizeof *prefix + name.size);
            if (!prefix)
                abort ();
            *prefix = (prefix_t){ .size = name.size };
            memcpy (prefix->data, name.data, name.size);
            *at_p = prefix;
        }
        if (prefix->uses++ == 0 && self->link)
            tell_publisher (self, 1, name);
    } else if (prefix && --prefix->uses == 0) {
        *at_p = prefix->next;
        if (self->link)
            tell_publisher (self, 0, name);
        free (prefix);
    }
    return 0;
}

/*  --- connections
 *  --------------------------------------------------------------------------------------------------------- */
static void link_make (end_t *connector, end_t *listener)
{
    memory_bus_t *bus = (memory_bus_t *) connector->base.bus;
    link_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    uint32_t number = ++bus->links_made;
    self->connector = connector;
    self->listener = listener;
    self->open = true;
    for (int i = 1; i < ROUTING_ID_SIZE; i++)
        self->id [i] = (unsigned char) (number >> 8 * (ROUTING_ID_SIZE - 1 - i));
    link_t **at_p = &listener->links;
    while (*at_p)
        at_p = &(*at_p)->next;
    *at_p = self;
    connector->link = self;
    for (const prefix_t *prefix = connector->prefixes; prefix; prefix = prefix->next)
        tell_publisher (connector, 1, (yard_string_t){ prefix->data, prefix->size });
}

static void link_break (link_t *self)
{
    link_t **at_p = &self->listener->links;
    while (*at_p != self)
        at_p = &(*at_p)->next;
    *at_p = self->next;
    self->connector->link = NULL;
    self->open = false;
    lose_under_way (self);
    link_release (self);
}

/*  A connector and a listener find each other by name and kind, whichever came first. */
static bool fits (const yard_socket_t *connector, const yard_socket_t *listener)
{
    return strcmp (connector->endpoint, listener->endpoint) == 0 &&
           ((connector->kind == YARD_SOCKET_DEALER && listener->kind == YARD_SOCKET_ROUTER) ||
            (connector->kind == YARD_SOCKET_SUBSCRIBER && listener->kind == YARD_SOCKET_XPUB));
}

static int end_open (yard_bus_t *bus, yard_socket_kind_t kind, const char *endpoint, yard_socket_t **ret,
                     yard_error_t *error)
{
    end_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->base.bus = bus;
    self->base.kind = kind;
    self->last_p = &self->first;
    snprintf (self->base.endpoint, sizeof self->base.endpoint, "%s", endpoint);
    for (yard_socket_t *other = bus->first; other; other = other->next) {
        if (yard_socket_binds (&self->base) && yard_socket_binds (other) &&
            strcmp (other->endpoint, endpoint) == 0) {
            free (self);
            return yard_error (error, YARD_TAKEN, "cannot listen on %s: another socket does; stop it first",
                               endpoint);
        }
    }
    for (yard_socket_t *other = bus->first; other; other = other->next) {
        if (fits (&self->base, other))
            link_make (self, (end_t *) other);
        else if (fits (other, &self->base))
            link_make ((end_t *) other, self);
    }
    *ret = &self->base;
    return 0;
}

/*  What a connector has said lingers, as the real one's: it still arrives. */
static void end_close (yard_socket_t *base, bool at_once)
{
    end_t *self = (end_t *) base;
    while (self->prefixes) {
        prefix_t *prefix = self->prefixes;
        self->prefixes = prefix->next;
        if (self->link)
            tell_publisher (self, 0, (yard_string_t){ prefix->data, prefix->size });
        free (prefix);
    }
    while (self->link && !at_once && let (self->link, TO_LISTENER))
        continue;
    if (self->link)
        link_break (self->link);
    while (self->links)
        /* The analyser does not see that it takes itself off the list. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        link_break (self->links);
    for (packet_t *packet; (packet = packet_take (self));)
        free (packet);
    free (self);
}

/*  --- messages
 *  ------------------------------------------------------------------------------------------------------------ */
static int send_routed (end_t *self, const yard_string_t *frames, size_t count)
{
    for (link_t *link = self->links; link; link = link->next)
        if (yard_string_equal (frames [0], (yard_string_t){ (char *) link->id, ROUTING_ID_SIZE }))
            return deliver (link, TO_CONNECTOR, frames + 1, count - 1);
    return YARD_GONE;
}

static int send_published (end_t *self, const yard_string_t *frames, size_t count)
{
    for (link_t *link = self->links; link; link = link->next)
        if (subscribed_to (link->connector, frames [0]))
            deliver (link, TO_CONNECTOR, frames, count);
    return 0;
}

static int end_send (yard_socket_t *base, const yard_string_t *frames, size_t count)
{
    end_t *self = (end_t *) base;
    const memory_bus_t *bus = (memory_bus_t *) base->bus;
    if (bus->before_send)
        bus->before_send (bus->context);
    switch (base->kind) {
    case YARD_SOCKET_ROUTER:
        return send_routed (self, frames, count);
    case YARD_SOCKET_XPUB:
        return send_published (self, frames, count);
    case YARD_SOCKET_SUBSCRIBER:
        return subscribe (self, frames [0]);
    default:
        return self->link ? deliver (self->link, TO_LISTENER, frames, count) : YARD_BUSY;
    }
}

static bool end_receive (yard_socket_t *base, yard_message_t *message)
{
    yard_message_reset (message);
    packet_t *packet = packet_take ((end_t *) base);
    if (!packet)
        return false;
    for (size_t i = 0; i < packet->count; i++)
        yard_message_add (message, packet->frames [i].data, packet->frames [i].size);
    yard_message_seal (message);
    free (packet);
    return true;
}

/*  As libzmq: a router and a publisher always are (they find out by sending), a dealer while its one
 *  connection takes more. */
static bool writable (const end_t *self)
{
    if (self->base.kind != YARD_SOCKET_DEALER)
        return true;
    return self->link && self->link->waiting [TO_LISTENER] < YARD_HIGH_WATER_MAX;
}

/*  Nobody else sends while we wait, so a wait makes sense for files alone. */
static int bus_poll (yard_bus_t *bus, yard_poll_t *items, size_t count, int timeout_ms)
{
    (void) bus;
    struct pollfd *files = calloc (count ? count : 1, sizeof *files);
    if (!files)
        abort ();
    int ready = 0;
    bool any_file = false;
    for (size_t i = 0; i < count; i++) {
        items [i].revents = 0;
        if (items [i].socket) {
            const end_t *end = (end_t *) items [i].socket;
            short now = (short) ((writable (end) ? POLLOUT : 0) | (end->first ? POLLIN : 0));
            items [i].revents = now & items [i].events;
            ready += items [i].revents != 0;
        }
        files [i].fd = items [i].socket ? -1 : items [i].fd;
        files [i].events = items [i].events;
        any_file = any_file || !items [i].socket;
    }
    if (any_file && poll (files, count, ready ? 0 : timeout_ms) > 0)
        for (size_t i = 0; i < count; i++)
            if (!items [i].socket && (items [i].revents = files [i].revents) != 0)
                ready++;
    free (files);
    return ready;
}

static void bus_free (yard_bus_t *bus)
{
    free (bus);
}

/*  --- a scheduler's hands
 *  ------------------------------------------------------------------------------------------------------------- */
void yard_bus_memory_hold (yard_bus_t *bus, void (*before_send) (void *context), void *context)
{
    memory_bus_t *self = (memory_bus_t *) bus;
    self->held = true;
    self->before_send = before_send;
    self->context = context;
}

/*  Finds the which-th direction with something under way, counting them; NULL and their number past the last. */
static link_t *find_under_way (const yard_bus_t *bus, size_t which, size_t *ret_direction, size_t *ret_count)
{
    *ret_count = 0;
    for (yard_socket_t *socket = bus->first; socket; socket = socket->next)
        for (link_t *link = ((end_t *) socket)->links; link; link = link->next)
            for (size_t direction = 0; direction < 2; direction++) {
                if (!link->under_way [direction])
                    continue;
                *ret_direction = direction;
                if ((*ret_count)++ == which)
                    return link;
            }
    return NULL;
}

size_t yard_bus_memory_under_way (const yard_bus_t *bus)
{
    size_t direction, count;
    find_under_way (bus, SIZE_MAX, &direction, &count);
    return count;
}

/*  There is one. */
static void let_pass (link_t *link, size_t direction, yard_passed_t *ret)
{
    const packet_t *packet = let (link, direction);
    bool routed = direction == TO_LISTENER && link->listener->base.kind == YARD_SOCKET_ROUTER;
    *ret = (yard_passed_t){ .connector = &link->connector->base,
                            .to_connector = direction == TO_CONNECTOR,
                            .frames = packet->frames + (routed ? 1 : 0),
                            .count = packet->count - (routed ? 1 : 0) };
}

void yard_bus_memory_let (yard_bus_t *bus, size_t which, yard_passed_t *ret)
{
    size_t direction, count;
    link_t *link = find_under_way (bus, which, &direction, &count);
    assert (link);
    let_pass (link, direction, ret);
}

bool yard_bus_memory_let_from (yard_socket_t *sender, yard_passed_t *ret)
{
    end_t *self = (end_t *) sender;
    size_t direction = yard_socket_binds (sender) ? TO_CONNECTOR : TO_LISTENER;
    link_t *link = yard_socket_binds (sender) ? self->links : self->link;
    while (link && !link->under_way [direction])
        link = yard_socket_binds (sender) ? link->next : NULL;
    if (link)
        let_pass (link, direction, ret);
    return link != NULL;
}

void yard_bus_memory_cut (yard_socket_t *connector)
{
    end_t *self = (end_t *) connector;
    if (self->link)
        link_break (self->link);
}

void yard_bus_memory_connect (yard_socket_t *connector)
{
    end_t *self = (end_t *) connector;
    for (yard_socket_t *other = connector->bus->first; other && !self->link; other = other->next)
        if (fits (connector, other))
            link_make (self, (end_t *) other);
}

void yard_bus_memory_kill (yard_socket_t **socket_p)
{
    yard_socket_kill (socket_p);
}

yard_bus_t *yard_bus_memory_new (void)
{
    static const yard_bus_class_t class = {
        .open = end_open,
        .close = end_close,
        .send = end_send,
        .receive = end_receive,
        .poll = bus_poll,
        .destroy = bus_free,
    };
    memory_bus_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->base.class = &class;
    return &self->base;
}
