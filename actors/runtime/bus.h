// SPDX-License-Identifier: Apache-2.0
/*  bus.h - the door to the network: sockets that carry messages of frames, over ZeroMQ or in memory
 *
 *  bus_zmq.c is libzmq; bus_memory.c keeps everything in one process for tests and the simulation. Both keep
 *  what ZeroMQ really promises: frames of a message stay together and in order on one connection; a
 *  connection that breaks loses what was under way; nothing else is lost, doubled or reordered.
 *
 *  Invariants: a socket belongs to one thread; no call blocks but yard_bus_poll; what send takes it copies.
 */
#ifndef YARD_RUNTIME_BUS_H
#define YARD_RUNTIME_BUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "actors/ground/error.h"
#include "proto/envelope.h"

typedef struct yard_bus_t yard_bus_t;
typedef struct yard_socket_t yard_socket_t;

typedef enum {
    YARD_SOCKET_DEALER, /* connects: an actor or client */
    YARD_SOCKET_ROUTER, /* binds: the broker's command end; the first frame in and out is the peer's routing id */
    YARD_SOCKET_XPUB, /* binds: the broker's event end; receives subscriptions (first byte 1 or 0, then the prefix) */
    YARD_SOCKET_SUBSCRIBER /* connects: hears the event end; send of a frame "\1prefix" subscribes */
} yard_socket_kind_t;

/*  One received message. The frames lie in `bytes` and live until the next receive into it, or
 *  yard_message_clear. */
typedef struct {
    size_t count;
    yard_string_t frames [YARD_FRAMES_MAX +
                          4]; /* a longer message is cut off and counted as bad_frame by who parses it */
    char *bytes;
    size_t capacity;
} yard_message_t;

void yard_message_init (yard_message_t *self);
void yard_message_clear (yard_message_t *self);

typedef struct {
    yard_socket_t *socket; /* or NULL, then fd */
    int fd;
    short events; /* POLLIN, POLLOUT */
    short revents;
} yard_poll_t;

yard_bus_t *yard_bus_zmq_new (void);
void yard_bus_destroy (yard_bus_t **self_p); /* closes what is still open; never hangs (linger 0) */

/*  Options are those of reference design: ROUTER_MANDATORY, no HANDOVER, high-water marks, HANDSHAKE_IVL 2 s,
 *  MAXMSGSIZE, IMMEDIATE on dealers, linger 1 s on dealers and 0 on the broker's, ZMTP heartbeats on tcp
 *  only. Binding an ipc path: the caller holds the lock (broker.lock) and has unlinked a dead path. taken /
 *  unreachable / invalid_config say why not. */
int yard_bus_open (yard_bus_t *self, yard_socket_kind_t kind, const char *endpoint, yard_socket_t **ret,
                   yard_error_t *error);
void yard_socket_close (yard_socket_t **self_p);
const char *yard_socket_endpoint (const yard_socket_t *self); /* as bound: a tcp port * is resolved */

/*  0; YARD_BUSY: the peer takes no more now (EAGAIN; nothing was sent); YARD_GONE: no such peer
 *  (EHOSTUNREACH, ROUTER only); YARD_TOO_LARGE: a frame is over YARD_MESSAGE_MAX, which the other end would
 *  cut the connection for. */
int yard_socket_send (yard_socket_t *self, const yard_string_t *frames, size_t count);
/*  true: a message came. */
bool yard_socket_receive (yard_socket_t *self, yard_message_t *message);

/*  Level-triggered; -1 waits for ever. How many items have revents. EINTR gives 0. */
int yard_bus_poll (yard_bus_t *self, yard_poll_t *items, size_t count, int timeout_ms);

/*  --- in memory
 *  ---------------------------------------------------------------------------------------------------------- */
/*  Endpoints are names. Delivery is instant; yard_bus_poll waits for fds alone, since nobody else can send
 *  while we wait. */
yard_bus_t *yard_bus_memory_new (void);

/*  For a scheduler: from now on what is sent is under way on its connection, each direction in its own order,
 *  until it is let through. before_send runs ahead of every send and may leave by longjmp: a process can die
 *  between any two of them. */
void yard_bus_memory_hold (yard_bus_t *self, void (*before_send) (void *context), void *context);

/*  How many directions of connections have something under way. */
size_t yard_bus_memory_under_way (const yard_bus_t *self);

/*  A message that has just arrived: over whose connection, which way, what. Its frames (without the routing
 *  id) live until its receiver receives it. */
typedef struct {
    const yard_socket_t *connector;
    bool to_connector;
    const yard_string_t *frames;
    size_t count;
} yard_passed_t;
/*  The oldest message of the which-th of those directions arrives. */
void yard_bus_memory_let (yard_bus_t *self, size_t which, yard_passed_t *ret);

/*  The connection of a connector breaks, and what is under way on it is lost; and comes back, as another one. A
 *  new listener is found at once in any case. */
void yard_bus_memory_cut (yard_socket_t *connector);
void yard_bus_memory_connect (yard_socket_t *connector);

/*  Of what this socket has said and is under way, the oldest on one of its connections arrives; false: none is. */
bool yard_bus_memory_let_from (yard_socket_t *sender, yard_passed_t *ret);
/*  Closes a socket as the end of its process does: nothing is said, and what is under way is lost. */
void yard_bus_memory_kill (yard_socket_t **socket_p);

#endif
