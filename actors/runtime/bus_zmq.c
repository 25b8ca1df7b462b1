// SPDX-License-Identifier: Apache-2.0
/*  bus_zmq.c - the bus over libzmq
 *
 *  Promises: no send or receive ever waits; nothing lingers at the end but what a dealer said last, for a
 *  second. The options are two tables below: what every socket gets, and what tcp gets on top. None of them
 *  meters work (that is credit's business); the high-water marks are safety valves.
 */
#include "bus_class.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>
#include "proto/envelope.h"
#include "proto/wire.h"

#define LINGER_MS 1000 /* a dealer's last words (bye, answers at drain) */
#define HANDSHAKE_MS 2000 /* libzmq's 30 s would hide a wrong port or key for half a minute */
#define RECONNECT_MS 100 /* first wait; libzmq adds as much again by chance */
#define RECONNECT_LOCAL_MAX_MS 1000 /* ipc: a restarted broker is found within its actors' patience */
#define RECONNECT_TCP_MAX_MS 5000
#define HEARTBEAT_MS 2000 /* tcp: sees a pulled cable or a stopped host; on ipc the pings of the broker do */
#define HEARTBEAT_TIMEOUT_MS 5000
#define HEARTBEAT_TTL_MS 10000
#define TCP_UNACKNOWLEDGED_MS 20000 /* data under way to a host without power */
#define SUBSCRIPTION_BYTES_MAX \
    1024 /* a topic has 255, a command of the handshake under 400; libzmq keeps a tree node for each byte */
#define SUBSCRIPTIONS_AT_ONCE \
    64 /* libzmq takes in all that wait on a connection before it lets go: some 30 us each; the rest waits in the kernel */
#define FRAMES_UNTIL_NEWS 100 /* libzmq's inbound_poll_rate */
#define POLL_FIRST 16 /* slots of the poll array at the start */

typedef struct {
    yard_bus_t base;
    void *context;
    zmq_pollitem_t *items;
    size_t capacity;
} zmq_bus_t;

typedef struct {
    yard_socket_t base;
    void *handle;
    unsigned frames_taken; /* since there was none to take */
} zmq_end_t;

typedef struct {
    int option, value;
} option_t;

static const option_t every_socket [] = {
    { ZMQ_SNDHWM, YARD_HIGH_WATER_MAX },
    { ZMQ_RCVHWM, YARD_HIGH_WATER_MAX },
    { ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS },
    { ZMQ_RECONNECT_IVL, RECONNECT_MS },
    { ZMQ_RECONNECT_IVL_MAX, RECONNECT_LOCAL_MAX_MS },
};

static const option_t tcp_socket [] = {
    { ZMQ_RECONNECT_IVL_MAX, RECONNECT_TCP_MAX_MS },
    { ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS },
    { ZMQ_HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS },
    { ZMQ_HEARTBEAT_TTL, HEARTBEAT_TTL_MS },
    { ZMQ_TCP_KEEPALIVE, 1 },
    { ZMQ_TCP_KEEPALIVE_IDLE, 30 },
    { ZMQ_TCP_KEEPALIVE_INTVL, 5 },
    { ZMQ_TCP_KEEPALIVE_CNT, 3 },
    { ZMQ_TCP_MAXRT, TCP_UNACKNOWLEDGED_MS },
};

static const int socket_types [] = {
    [YARD_SOCKET_DEALER] = ZMQ_DEALER,
    [YARD_SOCKET_ROUTER] = ZMQ_ROUTER,
    [YARD_SOCKET_XPUB] = ZMQ_XPUB,
    [YARD_SOCKET_SUBSCRIBER] = ZMQ_SUB,
};

/*  Every option is one that libzmq 4.3 knows for every socket, so a refusal is our mistake. */
static void set_option (void *handle, int option, int value)
{
    int rc = zmq_setsockopt (handle, option, &value, sizeof value);
    assert (rc == 0);
}

static void set_options (void *handle, yard_socket_kind_t kind, const char *endpoint)
{
    int64_t size_max = kind == YARD_SOCKET_XPUB ? SUBSCRIPTION_BYTES_MAX : YARD_MESSAGE_MAX;
    int rc = zmq_setsockopt (handle, ZMQ_MAXMSGSIZE, &size_max, sizeof size_max);
    assert (rc == 0);
    for (size_t i = 0; i < sizeof every_socket / sizeof *every_socket; i++)
        set_option (handle, every_socket [i].option, every_socket [i].value);
    if (strncmp (endpoint, "tcp://", 6) == 0) {
        set_option (handle, ZMQ_IPV6, 1);
        for (size_t i = 0; i < sizeof tcp_socket / sizeof *tcp_socket; i++)
            set_option (handle, tcp_socket [i].option, tcp_socket [i].value);
    }
    set_option (handle, ZMQ_LINGER, kind == YARD_SOCKET_DEALER ? LINGER_MS : 0);
    if (kind == YARD_SOCKET_XPUB)
        set_option (handle, ZMQ_RCVHWM, SUBSCRIPTIONS_AT_ONCE);
    /* Without it a message to a peer that has gone would be dropped without a word. */
    if (kind == YARD_SOCKET_ROUTER)
        set_option (handle, ZMQ_ROUTER_MANDATORY, 1);
    /* Without it messages would pile up for a broker that is not there, and reach the next one out of its time. */
    if (kind == YARD_SOCKET_DEALER)
        set_option (handle, ZMQ_IMMEDIATE, 1);
}

static int attach (zmq_end_t *self, const char *endpoint, yard_error_t *error)
{
    bool binds = yard_socket_binds (&self->base);
    int rc = binds ? zmq_bind (self->handle, endpoint) : zmq_connect (self->handle, endpoint);
    if (rc == 0) {
        size_t size = sizeof self->base.endpoint;
        if (zmq_getsockopt (self->handle, ZMQ_LAST_ENDPOINT, self->base.endpoint, &size) == 0)
            return 0;
        return yard_error (error, YARD_INVALID_CONFIG, "the endpoint %s resolves to a name over %d bytes",
                           endpoint, YARD_ENDPOINT_MAX - 1);
    }
    switch (zmq_errno ()) {
    case EADDRINUSE:
        return yard_error (error, YARD_TAKEN, "cannot listen on %s: another process does; stop it first",
                           endpoint);
    case EINVAL:
    case EPROTONOSUPPORT:
    case ENOCOMPATPROTO:
    case ENAMETOOLONG:
        return yard_error (error, YARD_INVALID_CONFIG,
                           "%s is no endpoint that works here (%s); write ipc://PATH, with a path under 108 "
                           "bytes, or tcp://ADDRESS:PORT",
                           endpoint, zmq_strerror (zmq_errno ()));
    default:
        return yard_error (error, YARD_UNREACHABLE, "cannot %s %s: %s", binds ? "listen on" : "connect to",
                           endpoint, zmq_strerror (zmq_errno ()));
    }
}

static int end_open (yard_bus_t *bus, yard_socket_kind_t kind, const char *endpoint, yard_socket_t **ret,
                     yard_error_t *error)
{
    void *handle = zmq_socket (((zmq_bus_t *) bus)->context, socket_types [kind]);
    if (!handle)
        return yard_error (error, YARD_BUSY, "cannot make a socket: %s; raise the limit of open files",
                           zmq_strerror (zmq_errno ()));
    zmq_end_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->base.bus = bus;
    self->base.kind = kind;
    self->handle = handle;
    set_options (handle, kind, endpoint);
    int code = attach (self, endpoint, error);
    if (code) {
        zmq_close (handle);
        free (self);
        return code;
    }
    *ret = &self->base;
    return 0;
}

static void end_close (yard_socket_t *base, bool at_once)
{
    zmq_end_t *self = (zmq_end_t *) base;
    if (at_once)
        set_option (self->handle, ZMQ_LINGER, 0);
    zmq_close (self->handle);
    free (self);
}

/*  A subscriber speaks by socket option: only that way libzmq says it again to a publisher that comes back. */
static int subscribe (zmq_end_t *self, yard_string_t frame)
{
    assert (frame.size > 0);
    int option = frame.data [0] == 1 ? ZMQ_SUBSCRIBE : ZMQ_UNSUBSCRIBE;
    zmq_setsockopt (self->handle, option, frame.data + 1, frame.size - 1);
    return 0;
}

/*  A failure after the first frame means that the connection broke in the middle: libzmq has dropped the
 *  message whole. */
static int end_send (yard_socket_t *base, const yard_string_t *frames, size_t count)
{
    zmq_end_t *self = (zmq_end_t *) base;
    if (base->kind == YARD_SOCKET_SUBSCRIBER)
        return subscribe (self, frames [0]);
    for (size_t i = 0; i < count;) {
        int flags = ZMQ_DONTWAIT | (i + 1 < count ? ZMQ_SNDMORE : 0);
        if (zmq_send (self->handle, frames [i].data, frames [i].size, flags) >= 0)
            i++;
        else if (zmq_errno () == EHOSTUNREACH)
            return YARD_GONE;
        else if (zmq_errno () != EINTR)
            return YARD_BUSY;
    }
    return 0;
}

/*  libzmq 4.3 aborts (fq.cpp: !_more) when it learns between two frames of a message that a dealer's connection has
 *  ended. Where frames never run out it looks for such news at every hundredth, wherever that is; a broker that is
 *  killed under load would take its actors along. So it is made to look here, between two messages. */
static void take_news (zmq_end_t *self)
{
    int events;
    size_t size = sizeof events;
    if (self->base.kind == YARD_SOCKET_DEALER && self->frames_taken + YARD_FRAMES_MAX >= FRAMES_UNTIL_NEWS)
        zmq_getsockopt (self->handle, ZMQ_EVENTS, &events, &size);
}

/*  All frames of a message have come before its first is given, so only the first can be missing. */
static bool end_receive (yard_socket_t *base, yard_message_t *message)
{
    zmq_end_t *self = (zmq_end_t *) base;
    yard_message_reset (message);
    take_news (self);
    for (bool more = true; more;) {
        zmq_msg_t part;
        zmq_msg_init (&part);
        int rc;
        do
            rc = zmq_msg_recv (&part, self->handle, ZMQ_DONTWAIT);
        while (rc < 0 && zmq_errno () == EINTR);
        if (rc < 0) {
            zmq_msg_close (&part);
            self->frames_taken = 0;
            return false;
        }
        self->frames_taken++;
        yard_message_add (message, zmq_msg_data (&part), zmq_msg_size (&part));
        more = zmq_msg_more (&part);
        zmq_msg_close (&part);
    }
    yard_message_seal (message);
    return true;
}

static short events_to_zmq (short events)
{
    return (short) ((events & POLLIN ? ZMQ_POLLIN : 0) | (events & POLLOUT ? ZMQ_POLLOUT : 0) |
                    (events & POLLPRI ? ZMQ_POLLPRI : 0));
}

static short events_from_zmq (short events)
{
    return (short) ((events & ZMQ_POLLIN ? POLLIN : 0) | (events & ZMQ_POLLOUT ? POLLOUT : 0) |
                    (events & ZMQ_POLLPRI ? POLLPRI : 0) | (events & ZMQ_POLLERR ? POLLERR : 0));
}

static void items_reserve (zmq_bus_t *self, size_t count)
{
    if (count <= self->capacity)
        return;
    size_t capacity = self->capacity ? self->capacity : POLL_FIRST;
    while (capacity < count)
        capacity *= 2;
    zmq_pollitem_t *items = realloc (self->items, capacity * sizeof *items);
    if (!items)
        abort ();
    self->items = items;
    self->capacity = capacity;
}

/*  zmq_poll is level-triggered for sockets and files alike; ZMQ_FD is not, and is not used anywhere. */
static int bus_poll (yard_bus_t *base, yard_poll_t *items, size_t count, int timeout_ms)
{
    zmq_bus_t *self = (zmq_bus_t *) base;
    items_reserve (self, count);
    for (size_t i = 0; i < count; i++) {
        self->items [i] = (zmq_pollitem_t){
            .socket = items [i].socket ? ((zmq_end_t *) items [i].socket)->handle : NULL,
            .fd = items [i].socket ? 0 : items [i].fd,
            .events = events_to_zmq (items [i].events),
        };
        items [i].revents = 0;
    }
    int ready = zmq_poll (self->items, (int) count, timeout_ms);
    if (ready <= 0)
        return 0;
    for (size_t i = 0; i < count; i++)
        items [i].revents = events_from_zmq (self->items [i].revents);
    return ready;
}

static void bus_free (yard_bus_t *base)
{
    zmq_bus_t *self = (zmq_bus_t *) base;
    int rc;
    do
        rc = zmq_ctx_term (self->context);
    while (rc < 0 && zmq_errno () == EINTR);
    free (self->items);
    free (self);
}

yard_bus_t *yard_bus_zmq_new (void)
{
    static const yard_bus_class_t class = {
        .open = end_open,
        .close = end_close,
        .send = end_send,
        .receive = end_receive,
        .poll = bus_poll,
        .destroy = bus_free,
    };
    zmq_bus_t *self = calloc (1, sizeof *self);
    if (!self || !(self->context = zmq_ctx_new ()))
        abort ();
    zmq_ctx_set (self->context, ZMQ_BLOCKY, 0);
    self->base.class = &class;
    return &self->base;
}
