// SPDX-License-Identifier: Apache-2.0
/*  over_bus.c - our own frames: an asker is a DEALER, to the broker or straight to an answerer; that one is a bound ROUTER
 */
#include "carrier.h"

#include <poll.h>
#include "actors/runtime/bus.h"

#define READY_MS 20000 /* until the other end is connected */

struct bench_carrier_t {
    yard_bus_t *bus;
    yard_socket_t *socket;
    yard_message_t message;
    const char *method;
    bool asks;
    size_t routing_size;
    char routing [255]; /* answerer: of the connection that asked last */
};

static void wait_for (bench_carrier_t *self, short events, int timeout_ms)
{
    yard_poll_t item = { .socket = self->socket, .events = events };
    while (!yard_bus_poll (self->bus, &item, 1, timeout_ms))
        if (timeout_ms >= 0)
            bench_die ("%s: nobody is there", yard_socket_endpoint (self->socket));
}

static bench_carrier_t *over_bus_open (const char *where, bool asks, const char *method)
{
    bench_carrier_t *self = calloc (1, sizeof *self);
    if (!self)
        bench_die ("out of memory");
    yard_error_t error;
    self->bus = yard_bus_zmq_new ();
    self->method = method;
    self->asks = asks;
    yard_message_init (&self->message);
    if (yard_bus_open (self->bus, asks ? YARD_SOCKET_DEALER : YARD_SOCKET_ROUTER, where, &self->socket,
                       &error))
        bench_die ("%s", error.text);
    if (asks)
        wait_for (self, POLLOUT, READY_MS);
    return self;
}

static void over_bus_say (bench_carrier_t *self, uint64_t number, yard_string_t body)
{
    yard_envelope_t envelope = {
        .letter = self->asks ? 'A' : 'R',
        .id = { (const char *) &number, sizeof number },
        .name = yard_string (self->method),
        .body = body,
    };
    char head [YARD_HEAD_MAX];
    yard_string_t frames [YARD_FRAMES_MAX + 1] = { { self->routing, self->routing_size } };
    size_t count = yard_envelope_frames (&envelope, head, frames + 1);
    int code;
    while ((code = yard_socket_send (self->socket, self->asks ? frames + 1 : frames,
                                     self->asks ? count : count + 1)) == YARD_BUSY)
        wait_for (self, POLLOUT, READY_MS);
    if (code && self->asks)
        bench_die ("cannot ask: %s", yard_error_row (code)->word);
}

/*  A direct ask has its sender's id in front, and no more; an answer of the broker has the same frames without it. */
static yard_string_t over_bus_hear (bench_carrier_t *self, uint64_t *ret_number)
{
    while (!yard_socket_receive (self->socket, &self->message))
        wait_for (self, POLLIN, -1);
    size_t first = self->asks ? 0 : 1;
    yard_envelope_t envelope;
    yard_error_t error;
    if (self->message.count <= first ||
        yard_envelope_parse (self->message.frames + first, self->message.count - first, &envelope, &error))
        bench_die ("frames that are no message");
    if (!self->asks) {
        self->routing_size = self->message.frames [0].size;
        memcpy (self->routing, self->message.frames [0].data, self->routing_size);
    } else if (envelope.letter != 'R')
        bench_die ("%.*s was refused: %.*s", YARD_VIEW (envelope.name), YARD_VIEW (envelope.body));
    if (envelope.id.size != sizeof *ret_number)
        bench_die ("an id that we did not draw");
    memcpy (ret_number, envelope.id.data, sizeof *ret_number);
    return envelope.body;
}

static void over_bus_close (bench_carrier_t *self)
{
    yard_message_clear (&self->message);
    yard_bus_destroy (&self->bus);
    free (self);
}

const bench_carrier_class_t bench_over_bus = { "bus", over_bus_open, over_bus_say, over_bus_hear,
                                               over_bus_close };
