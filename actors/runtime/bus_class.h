// SPDX-License-Identifier: Apache-2.0
/*  bus_class.h - what a bus is made of: for bus.c and the two buses behind it, and nobody else
 *
 *  Invariants: every open socket is in its bus's list; bus.c puts it there and takes it out, the classes only
 *  make and free.
 */
#ifndef YARD_RUNTIME_BUS_CLASS_H
#define YARD_RUNTIME_BUS_CLASS_H

#include "bus.h"

#define YARD_ENDPOINT_MAX 256 /* bytes with the 0; config.def allows 255 */
#define YARD_HIGH_WATER_MAX \
    1000 /* messages waiting in one direction of a connection: libzmq's default, said aloud */

typedef struct {
    /*  A socket of the class's own size, with what the class needs; NULL and a sentence on failure. */
    int (*open) (yard_bus_t *bus, yard_socket_kind_t kind, const char *endpoint, yard_socket_t **ret,
                 yard_error_t *error);
    void (*close) (yard_socket_t *socket, bool at_once); /* frees it; at_once: nothing lingers */
    int (*send) (yard_socket_t *socket, const yard_string_t *frames, size_t count);
    bool (*receive) (yard_socket_t *socket, yard_message_t *message);
    int (*poll) (yard_bus_t *bus, yard_poll_t *items, size_t count, int timeout_ms);
    void (*destroy) (yard_bus_t *bus); /* frees it; its sockets are closed */
} yard_bus_class_t;

struct yard_bus_t {
    const yard_bus_class_t *class;
    yard_socket_t *first;
};

struct yard_socket_t {
    yard_bus_t *bus;
    yard_socket_t *next, *previous;
    yard_socket_kind_t kind;
    char endpoint [YARD_ENDPOINT_MAX];
};

/*  yard_socket_close without the manners: nothing lingers. */
void yard_socket_kill (yard_socket_t **self_p);

static inline bool yard_socket_binds (const yard_socket_t *self)
{
    return self->kind == YARD_SOCKET_ROUTER || self->kind == YARD_SOCKET_XPUB;
}

/*  How a receive fills a message: reset, add each frame, seal. Frames past the array are dropped; the count
 *  that is left is more than any valid message has, so whoever parses it refuses it. */
void yard_message_reset (yard_message_t *self);
void yard_message_add (yard_message_t *self, const void *data, size_t size);
void yard_message_seal (yard_message_t *self);

#endif
