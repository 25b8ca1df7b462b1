// SPDX-License-Identifier: Apache-2.0
/*  server.c - polls, feeds the router, sends what it says
 */
#include "server.h"

#include <assert.h>
#include <poll.h>
#include <stdlib.h>
#include <zmq.h>
#include "actors/ground/log.h"
#include "router.h"

#define MAILBOX_BUDGET \
    4096 /* messages of one turn: 20 ms at full speed, then pings and followers get their turn */
#define EPOCH_DIGITS 16

struct broker_server_t {
    broker_server_options_t options;
    yard_socket_t *command, *event;
    broker_router_t *router;
    yard_message_t message;
    broker_origin_t origin; /* all but routing: one endpoint, one kind of peers */
    char epoch [EPOCH_DIGITS + 1], zeromq [16];
};

static bool is_tcp (const char *endpoint)
{
    return yard_string_starts (yard_string (endpoint), "tcp://");
}

/*  Without keys tcp is for this machine, and only when somebody said that every user of it may do everything. */
static int check_endpoint (const configuration_t *values, const char *key, const char *endpoint,
                           yard_error_t *error)
{
    if (!is_tcp (endpoint))
        return 0;
    yard_string_t text = yard_string (endpoint);
    if (!yard_string_starts (text, "tcp://127.0.0.1:") && !yard_string_starts (text, "tcp://[::1]:"))
        return yard_error (error, YARD_INVALID_CONFIG,
                           "%s = %s: tcp without keys would let anybody in: use ipc, or tcp://127.0.0.1:PORT",
                           key, endpoint);
    if (!values->bus.insecure_loopback)
        return yard_error (error, YARD_INVALID_CONFIG,
                           "%s = %s: every user of this machine could do everything: use ipc, or set "
                           "bus.insecure_loopback=true",
                           key, endpoint);
    return 0;
}

static int send_frames (void *context, yard_string_t routing, const yard_string_t *frames, size_t count)
{
    broker_server_t *self = context;
    yard_string_t all [YARD_FRAMES_MAX + 1];
    assert (count <= YARD_FRAMES_MAX);
    all [0] = routing;
    memcpy (all + 1, frames, count * sizeof frames [0]);
    return yard_socket_send (self->command, all, count + 1);
}

/*  A subscriber that takes no more loses; its numbers tell it. */
static void publish_frames (void *context, const yard_string_t *frames, size_t count)
{
    broker_server_t *self = context;
    yard_socket_send (self->event, frames, count);
}

static int bind_both (broker_server_t *self, const configuration_t *values, yard_error_t *error)
{
    const broker_server_options_t *options = &self->options;
    int rc = check_endpoint (values, "bus.command", values->bus.command.data, error);
    if (!rc)
        rc = check_endpoint (values, "bus.event", values->bus.event.data, error);
    if (!rc)
        rc =
            yard_bus_open (options->bus, YARD_SOCKET_ROUTER, values->bus.command.data, &self->command, error);
    if (!rc)
        rc = yard_bus_open (options->bus, YARD_SOCKET_XPUB, values->bus.event.data, &self->event, error);
    return rc;
}

static void open_router (broker_server_t *self, const configuration_t *values)
{
    int major, minor, patch;
    zmq_version (&major, &minor, &patch);
    snprintf (self->zeromq, sizeof self->zeromq, "%d.%d.%d", major, minor, patch);
    self->origin = (broker_origin_t){ .user = "local",
                                      .roles = YARD_ROLES_ANYONE,
                                      .distant = is_tcp (yard_socket_endpoint (self->command)) };
    broker_options_t inside = {
        .epoch = self->epoch,
        .node = values->node.data,
        .home = self->options.paths->home,
        .event_endpoint = yard_socket_endpoint (self->event),
        .version = YARD_VERSION,
        .zeromq = self->zeromq,
        .configuration = values,
        .clock = self->options.clock,
        .context = self,
        .send = send_frames,
        .publish = publish_frames,
    };
    self->router = broker_router_new (&inside);
}

int broker_server_new (const broker_server_options_t *options, broker_server_t **ret, yard_error_t *error)
{
    const configuration_t *values = yard_configuration_values (options->configuration);
    broker_server_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->options = *options;
    yard_message_init (&self->message);
    yard_random_hex (options->random, self->epoch, EPOCH_DIGITS);
    int rc = bind_both (self, values, error);
    if (rc) {
        broker_server_destroy (&self);
        return rc;
    }
    open_router (self, values);
    yard_log_info ("broker.open", "epoch=%s command=%s event=%s", self->epoch,
                   yard_socket_endpoint (self->command), yard_socket_endpoint (self->event));
    *ret = self;
    return 0;
}

void broker_server_destroy (broker_server_t **self_p)
{
    assert (self_p);
    broker_server_t *self = *self_p;
    if (!self)
        return;
    broker_router_destroy (&self->router);
    yard_socket_close (&self->command);
    yard_socket_close (&self->event);
    yard_message_clear (&self->message);
    free (self);
    *self_p = NULL;
}

/*  true: it was read until it was empty. */
static bool read_mailbox (broker_server_t *self)
{
    for (int i = 0; i < MAILBOX_BUDGET; i++) {
        if (!yard_socket_receive (self->command, &self->message))
            return true;
        self->origin.routing = self->message.frames [0];
        broker_router_input (self->router, yard_clock_ms (self->options.clock), &self->origin,
                             self->message.frames + 1, self->message.count - 1);
    }
    return false;
}

/*  XPUB hands up who subscribes to what; nobody here needs it, but unread it would pile up. */
static void read_subscriptions (broker_server_t *self)
{
    for (int i = 0; i < MAILBOX_BUDGET && yard_socket_receive (self->event, &self->message); i++)
        continue;
}

bool broker_server_turn (broker_server_t *self, int timeout_ms, int other_fd)
{
    yard_poll_t items [] = {
        { .socket = self->command, .events = POLLIN },
        { .socket = self->event, .events = POLLIN },
        { .fd = other_fd, .events = POLLIN },
    };
    int64_t wait_ms = broker_router_wait_ms (self->router, yard_clock_ms (self->options.clock));
    if (timeout_ms < 0 || wait_ms < timeout_ms)
        timeout_ms = (int) wait_ms;
    yard_bus_poll (self->options.bus, items, other_fd < 0 ? 2 : 3, timeout_ms);
    if (items [1].revents)
        read_subscriptions (self);
    bool drained = read_mailbox (self);
    broker_router_tick (self->router, yard_clock_ms (self->options.clock), drained);
    return other_fd >= 0 && items [2].revents;
}

const char *broker_server_command (const broker_server_t *self)
{
    return yard_socket_endpoint (self->command);
}

const char *broker_server_event (const broker_server_t *self)
{
    return yard_socket_endpoint (self->event);
}
