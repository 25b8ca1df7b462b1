// SPDX-License-Identifier: Apache-2.0
/*  bus.c - what both buses share: the list of open sockets, the way to a bus's own functions, and messages
 *
 *  Refuses, for both, a frame over YARD_MESSAGE_MAX: the other end would cut the connection for it, and with
 *  it everything under way.
 */
#include "bus_class.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "proto/wire.h"

/*  A message's memory starts at this many bytes: most messages are below it. */
#define MESSAGE_BYTES_FIRST 4096
/*  And is given back after a message that needed more than this, so that one big message does not weigh for
 *  ever. */
#define MESSAGE_BYTES_KEPT (2 * YARD_MESSAGE_MAX)

#define FRAME_SLOTS (sizeof ((yard_message_t *) 0)->frames / sizeof (yard_string_t))

int yard_bus_open (yard_bus_t *self, yard_socket_kind_t kind, const char *endpoint, yard_socket_t **ret,
                   yard_error_t *error)
{
    if (strlen (endpoint) >= YARD_ENDPOINT_MAX)
        return yard_error (error, YARD_INVALID_CONFIG,
                           "the endpoint %.40s… is longer than %d bytes; choose a shorter run directory",
                           endpoint, YARD_ENDPOINT_MAX - 1);
    yard_socket_t *socket = NULL;
    int code = self->class->open (self, kind, endpoint, &socket, error);
    if (code)
        return code;
    socket->next = self->first;
    if (self->first)
        self->first->previous = socket;
    self->first = socket;
    *ret = socket;
    return 0;
}

static void socket_end (yard_socket_t *self, bool at_once)
{
    if (self->previous)
        self->previous->next = self->next;
    else
        self->bus->first = self->next;
    if (self->next)
        self->next->previous = self->previous;
    self->bus->class->close (self, at_once);
}

void yard_socket_close (yard_socket_t **self_p)
{
    if (*self_p)
        socket_end (*self_p, false);
    *self_p = NULL;
}

void yard_socket_kill (yard_socket_t **self_p)
{
    if (*self_p)
        socket_end (*self_p, true);
    *self_p = NULL;
}

void yard_bus_destroy (yard_bus_t **self_p)
{
    yard_bus_t *self = *self_p;
    if (!self)
        return;
    while (self->first)
        socket_end (self->first, true);
    self->class->destroy (self);
    *self_p = NULL;
}

const char *yard_socket_endpoint (const yard_socket_t *self)
{
    return self->endpoint;
}

int yard_socket_send (yard_socket_t *self, const yard_string_t *frames, size_t count)
{
    assert (count > 0);
    for (size_t i = 0; i < count; i++)
        if (frames [i].size > YARD_MESSAGE_MAX)
            return YARD_TOO_LARGE;
    return self->bus->class->send (self, frames, count);
}

bool yard_socket_receive (yard_socket_t *self, yard_message_t *message)
{
    return self->bus->class->receive (self, message);
}

int yard_bus_poll (yard_bus_t *self, yard_poll_t *items, size_t count, int timeout_ms)
{
    return self->class->poll (self, items, count, timeout_ms);
}

void yard_message_init (yard_message_t *self)
{
    *self = (yard_message_t){ 0 };
}

void yard_message_clear (yard_message_t *self)
{
    free (self->bytes);
    *self = (yard_message_t){ 0 };
}

void yard_message_reset (yard_message_t *self)
{
    if (self->capacity > MESSAGE_BYTES_KEPT)
        yard_message_clear (self);
    self->count = 0;
}

/*  While frames are added their data is unset, since `bytes` still moves; seal sets it from the sizes. */
void yard_message_add (yard_message_t *self, const void *data, size_t size)
{
    if (self->count == FRAME_SLOTS)
        return;
    size_t used = 0;
    for (size_t i = 0; i < self->count; i++)
        used += self->frames [i].size;
    if (used + size > self->capacity) {
        size_t capacity = self->capacity ? self->capacity : MESSAGE_BYTES_FIRST;
        while (capacity < used + size)
            capacity *= 2;
        char *bytes = realloc (self->bytes, capacity);
        if (!bytes)
            abort ();
        self->bytes = bytes;
        self->capacity = capacity;
    }
    if (size)
        memcpy (self->bytes + used, data, size);
    self->frames [self->count++] = (yard_string_t){ NULL, size };
}

void yard_message_seal (yard_message_t *self)
{
    const char *at = self->bytes ? self->bytes : "";
    for (size_t i = 0; i < self->count; i++) {
        self->frames [i].data = at;
        at += self->frames [i].size;
    }
}
