// SPDX-License-Identifier: Apache-2.0
/*  bus_conformance.c - one suite over memory, ipc and tcp: what a bus promises, whatever carries it
 *
 *  Nothing sleeps: every wait is a poll for the thing waited for, and WAIT_MS bounds it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include "actors/runtime/bus.h"
#include "proto/wire.h"

#define WAIT_MS 10000
#define POLL_MS 20
#define MANY 5000 /* above both ends' high-water marks together */

typedef struct {
    const char *name;
    bool memory;
    char endpoint [64]; /* to bind */
    char directory [32]; /* of ipc; removed at the end */
    yard_bus_t *bus; /* of those that connect; in memory of all */
    yard_bus_t *listeners;
    yard_message_t message;
} carrier_t;

/*  --- small steps
 *  ---------------------------------------------------------------------------------------------------------- */
static yard_socket_t *open_socket (carrier_t *self, yard_socket_kind_t kind, const char *endpoint)
{
    bool binds = kind == YARD_SOCKET_ROUTER || kind == YARD_SOCKET_XPUB;
    yard_socket_t *socket = NULL;
    yard_error_t error = { 0 };
    if (yard_bus_open (binds ? self->listeners : self->bus, kind, endpoint, &socket, &error))
        fail_msg ("%s", error.text);
    return socket;
}

static void wait_for (yard_bus_t *bus, yard_socket_t *socket, short events)
{
    yard_poll_t item = { .socket = socket, .events = events };
    yard_bus_poll (bus, &item, 1, POLL_MS);
}

static void receive (yard_bus_t *bus, yard_socket_t *socket, yard_message_t *message)
{
    for (int i = 0; i < WAIT_MS / POLL_MS; i++) {
        if (yard_socket_receive (socket, message))
            return;
        wait_for (bus, socket, POLLIN);
    }
    fail_msg ("nothing came");
}

static void send_soon (yard_bus_t *bus, yard_socket_t *socket, const yard_string_t *frames, size_t count)
{
    for (int i = 0; i < WAIT_MS / POLL_MS; i++) {
        int code = yard_socket_send (socket, frames, count);
        if (code == 0)
            return;
        assert_int_equal (code, YARD_BUSY);
        wait_for (bus, socket, POLLOUT);
    }
    fail_msg ("the socket took nothing");
}

static void send_text (yard_bus_t *bus, yard_socket_t *socket, const char *text)
{
    send_soon (bus, socket, &(yard_string_t){ text, strlen (text) }, 1);
}

static void assert_frame (const carrier_t *self, size_t at, const char *text)
{
    assert_true (at < self->message.count);
    assert_true (yard_string_is (self->message.frames [at], text));
}

/*  The peer's routing id, as the router sees it; copied, since the message is used again. */
static yard_string_t greet (carrier_t *self, yard_socket_t *dealer, yard_socket_t *router, char *id)
{
    send_text (self->bus, dealer, "here");
    receive (self->listeners, router, &self->message);
    assert_int_equal (self->message.count, 2);
    assert_frame (self, 1, "here");
    yard_string_t peer = self->message.frames [0];
    assert_true (peer.size > 0 && peer.size <= 16);
    memcpy (id, peer.data, peer.size);
    return (yard_string_t){ id, peer.size };
}

/*  --- the suite
 *  ------------------------------------------------------------------------------------------------------------ */
static void messages_arrive_whole_and_in_order (void **state)
{
    carrier_t *self = *state;
    yard_socket_t *router = open_socket (self, YARD_SOCKET_ROUTER, self->endpoint);
    yard_socket_t *dealer = open_socket (self, YARD_SOCKET_DEALER, yard_socket_endpoint (router));
    for (int i = 0; i < 500; i++) {
        char number [16];
        snprintf (number, sizeof number, "%d", i);
        yard_string_t frames [] = {
            yard_string ("YARD1A"), yard_string (number), { "", 0 }, yard_string ("tail")
        };
        send_soon (self->bus, dealer, frames, 4);
    }
    for (int i = 0; i < 500; i++) {
        char number [16];
        snprintf (number, sizeof number, "%d", i);
        receive (self->listeners, router, &self->message);
        assert_int_equal (self->message.count, 5);
        assert_frame (self, 1, "YARD1A");
        assert_frame (self, 2, number);
        assert_frame (self, 3, "");
        assert_frame (self, 4, "tail");
    }
    yard_socket_close (&dealer);
    yard_socket_close (&router);
}

static void a_router_answers_the_peer_it_heard (void **state)
{
    carrier_t *self = *state;
    yard_socket_t *router = open_socket (self, YARD_SOCKET_ROUTER, self->endpoint);
    yard_socket_t *one = open_socket (self, YARD_SOCKET_DEALER, yard_socket_endpoint (router));
    yard_socket_t *other = open_socket (self, YARD_SOCKET_DEALER, yard_socket_endpoint (router));
    char one_id [16], other_id [16];
    yard_string_t first = greet (self, one, router, one_id), second = greet (self, other, router, other_id);
    assert_false (yard_string_equal (first, second));
    send_soon (self->listeners, router, (yard_string_t []){ second, yard_string ("to the other") }, 2);
    send_soon (self->listeners, router, (yard_string_t []){ first, yard_string ("to the one") }, 2);
    receive (self->bus, one, &self->message);
    assert_int_equal (self->message.count, 1);
    assert_frame (self, 0, "to the one");
    receive (self->bus, other, &self->message);
    assert_frame (self, 0, "to the other");
    assert_false (yard_socket_receive (other, &self->message));
    yard_socket_close (&one);
    yard_socket_close (&other);
    yard_socket_close (&router);
}

static void an_unknown_peer_is_gone (void **state)
{
    carrier_t *self = *state;
    yard_socket_t *router = open_socket (self, YARD_SOCKET_ROUTER, self->endpoint);
    yard_string_t frames [] = { { "\0\x01\x02\x03\x04", 5 }, yard_string ("anybody?") };
    assert_int_equal (yard_socket_send (router, frames, 2), YARD_GONE);
    yard_socket_close (&router);
}

static void a_peer_that_closed_becomes_gone (void **state)
{
    carrier_t *self = *state;
    yard_socket_t *router = open_socket (self, YARD_SOCKET_ROUTER, self->endpoint);
    yard_socket_t *dealer = open_socket (self, YARD_SOCKET_DEALER, yard_socket_endpoint (router));
    char id [16];
    yard_string_t peer = greet (self, dealer, router, id);
    yard_socket_close (&dealer);
    int code = 0;
    for (int i = 0; i < WAIT_MS / POLL_MS && code == 0; i++) {
        code = yard_socket_send (router, (yard_string_t []){ peer, yard_string ("still there?") }, 2);
        wait_for (self->listeners, router, POLLIN);
    }
    assert_int_equal (code, YARD_GONE);
    yard_socket_close (&router);
}

static void a_dealer_without_a_listener_is_busy (void **state)
{
    carrier_t *self = *state;
    yard_socket_t *router = open_socket (self, YARD_SOCKET_ROUTER, self->endpoint);
    char endpoint [256];
    snprintf (endpoint, sizeof endpoint, "%s%s", yard_socket_endpoint (router),
              strncmp (self->endpoint, "tcp", 3) ? "x" : "");
    yard_socket_close (&router);
    if (!self->memory) { /* only the end of its bus ends a listener for sure */
        yard_bus_destroy (&self->listeners);
        self->listeners = yard_bus_zmq_new ();
    }
    yard_socket_t *dealer = open_socket (self, YARD_SOCKET_DEALER, endpoint);
    assert_int_equal (yard_socket_send (dealer, &(yard_string_t){ "x", 1 }, 1), YARD_BUSY);
    yard_poll_t item = { .socket = dealer, .events = POLLOUT };
    assert_int_equal (yard_bus_poll (self->bus, &item, 1, 0), 0);
    yard_socket_close (&dealer);
}

/*  Numbers from the sender until it is told busy; then every one of them comes, in order, and there is room
 *  again. */
static void fill_and_empty (carrier_t *self, yard_bus_t *from_bus, yard_socket_t *from, yard_string_t peer,
                            yard_bus_t *to_bus, yard_socket_t *to)
{
    int sent = 0, code = 0;
    /* Under zmq the other end's pipe and the kernel take some more after the first busy; wait until it stays so. */
    for (int busy = 0; busy < 3 && sent < MANY * 100;) {
        char bytes [1000];
        memset (bytes, 'x', sizeof bytes);
        memcpy (bytes, &sent, sizeof sent);
        yard_string_t frames [] = { peer, { bytes, sizeof bytes } };
        code = yard_socket_send (from, peer.size ? frames : frames + 1, peer.size ? 2 : 1);
        if (code == 0) {
            sent++;
            busy = 0;
        } else {
            assert_int_equal (code, YARD_BUSY);
            busy++;
            wait_for (from_bus, from, peer.size ? POLLIN : POLLOUT);
        }
    }
    assert_int_equal (code, YARD_BUSY);
    assert_true (sent >= 999); /* the greeting may still count */
    for (int i = 0; i < sent; i++) {
        int number;
        receive (to_bus, to, &self->message);
        yard_string_t last = self->message.frames [self->message.count - 1];
        assert_int_equal (last.size, 1000);
        memcpy (&number, last.data, sizeof number);
        assert_int_equal (number, i);
    }
    yard_string_t again [] = { peer, yard_string ("again") };
    send_soon (from_bus, from, peer.size ? again : again + 1, peer.size ? 2 : 1);
    receive (to_bus, to, &self->message);
    assert_frame (self, self->message.count - 1, "again");
}

static void a_router_that_does_not_read_makes_its_dealer_busy (void **state)
{
    carrier_t *self = *state;
    yard_socket_t *router = open_socket (self, YARD_SOCKET_ROUTER, self->endpoint);
    yard_socket_t *dealer = open_socket (self, YARD_SOCKET_DEALER, yard_socket_endpoint (router));
    char id [16];
    greet (self, dealer, router, id);
    fill_and_empty (self, self->bus, dealer, (yard_string_t){ NULL, 0 }, self->listeners, router);
    yard_socket_close (&dealer);
    yard_socket_close (&router);
}

static void a_dealer_that_does_not_read_is_busy_for_the_router (void **state)
{
    carrier_t *self = *state;
    yard_socket_t *router = open_socket (self, YARD_SOCKET_ROUTER, self->endpoint);
    yard_socket_t *dealer = open_socket (self, YARD_SOCKET_DEALER, yard_socket_endpoint (router));
    char id [16];
    yard_string_t peer = greet (self, dealer, router, id);
    fill_and_empty (self, self->listeners, router, peer, self->bus, dealer);
    yard_socket_close (&dealer);
    yard_socket_close (&router);
}

static void a_frame_of_one_mebibyte_passes_and_a_longer_one_is_refused (void **state)
{
    carrier_t *self = *state;
    yard_socket_t *router = open_socket (self, YARD_SOCKET_ROUTER, self->endpoint);
    yard_socket_t *dealer = open_socket (self, YARD_SOCKET_DEALER, yard_socket_endpoint (router));
    char *big = malloc (YARD_MESSAGE_MAX + 1);
    for (size_t i = 0; i <= YARD_MESSAGE_MAX; i++)
        big [i] = (char) (i * 7 + i / 4096);
    send_soon (self->bus, dealer,
               (yard_string_t []){ yard_string ("head"), { big, YARD_MESSAGE_MAX }, { big, 77 } }, 3);
    receive (self->listeners, router, &self->message);
    assert_int_equal (self->message.count, 4);
    assert_true (yard_string_equal (self->message.frames [2], (yard_string_t){ big, YARD_MESSAGE_MAX }));
    assert_true (yard_string_equal (self->message.frames [3], (yard_string_t){ big, 77 }));
    assert_int_equal (yard_socket_send (dealer, &(yard_string_t){ big, YARD_MESSAGE_MAX + 1 }, 1),
                      YARD_TOO_LARGE);
    free (big);
    yard_socket_close (&dealer);
    yard_socket_close (&router);
}

static void a_message_of_too_many_frames_is_cut_and_shows_it (void **state)
{
    carrier_t *self = *state;
    yard_socket_t *router = open_socket (self, YARD_SOCKET_ROUTER, self->endpoint);
    yard_socket_t *dealer = open_socket (self, YARD_SOCKET_DEALER, yard_socket_endpoint (router));
    yard_string_t frames [64];
    for (size_t i = 0; i < 64; i++)
        frames [i] = yard_string ("f");
    send_soon (self->bus, dealer, frames, 64);
    send_text (self->bus, dealer, "next");
    receive (self->listeners, router, &self->message);
    assert_true (self->message.count > YARD_FRAMES_MAX);
    receive (self->listeners, router, &self->message);
    assert_int_equal (self->message.count, 2);
    assert_frame (self, 1, "next");
    yard_socket_close (&dealer);
    yard_socket_close (&router);
}

/*  Until the publisher was told of the prefix. */
static void subscribe (carrier_t *self, yard_socket_t *subscriber, yard_socket_t *publisher,
                       const char *prefix)
{
    char frame [64];
    int size = snprintf (frame, sizeof frame, "\1%s", prefix);
    assert_int_equal (yard_socket_send (subscriber, &(yard_string_t){ frame, (size_t) size }, 1), 0);
    receive (self->listeners, publisher, &self->message);
    assert_int_equal (self->message.count, 1);
    assert_frame (self, 0, frame);
}

static void publish (yard_socket_t *publisher, const char *topic, const char *body)
{
    assert_int_equal (
        yard_socket_send (publisher, (yard_string_t []){ yard_string (topic), yard_string (body) }, 2), 0);
}

static void a_subscriber_hears_its_prefixes_and_nothing_else (void **state)
{
    carrier_t *self = *state;
    yard_socket_t *publisher = open_socket (self, YARD_SOCKET_XPUB, self->endpoint);
    yard_socket_t *subscriber = open_socket (self, YARD_SOCKET_SUBSCRIBER, yard_socket_endpoint (publisher));
    subscribe (self, subscriber, publisher, "model_install_");
    subscribe (self, subscriber, publisher, "yard_beat/");
    publish (publisher, "model_load_started/k/", "not heard");
    publish (publisher, "model_install_completed/17/", "one");
    publish (publisher, "model_install", "not heard");
    publish (publisher, "yard_beat//", "two");
    receive (self->bus, subscriber, &self->message);
    assert_int_equal (self->message.count, 2);
    assert_frame (self, 0, "model_install_completed/17/");
    assert_frame (self, 1, "one");
    receive (self->bus, subscriber, &self->message);
    assert_frame (self, 1, "two");

    yard_string_t no_more = yard_string ("0yard_beat/");
    char frame [16];
    memcpy (frame, no_more.data, no_more.size);
    frame [0] = 0;
    assert_int_equal (yard_socket_send (subscriber, &(yard_string_t){ frame, no_more.size }, 1), 0);
    receive (self->listeners, publisher, &self->message);
    assert_int_equal (self->message.frames [0].data [0], 0);
    publish (publisher, "yard_beat//", "not heard");
    publish (publisher, "model_install_error/1/", "three");
    receive (self->bus, subscriber, &self->message);
    assert_frame (self, 1, "three");
    yard_socket_close (&subscriber);
    yard_socket_close (&publisher);
}

static void a_publisher_never_waits_for_a_slow_subscriber (void **state)
{
    carrier_t *self = *state;
    yard_socket_t *publisher = open_socket (self, YARD_SOCKET_XPUB, self->endpoint);
    yard_socket_t *subscriber = open_socket (self, YARD_SOCKET_SUBSCRIBER, yard_socket_endpoint (publisher));
    subscribe (self, subscriber, publisher, "e");
    for (int i = 0; i < MANY; i++)
        publish (publisher, "e", "x");
    receive (self->bus, subscriber, &self->message);
    yard_socket_close (&subscriber);
    yard_socket_close (&publisher);
}

/*  Another life of the listener, at the same endpoint. */
static yard_socket_t *rebind (carrier_t *self, yard_socket_t *listener, yard_socket_kind_t kind)
{
    char endpoint [256];
    snprintf (endpoint, sizeof endpoint, "%s", yard_socket_endpoint (listener));
    yard_socket_close (&listener);
    if (!self->memory) {
        yard_bus_destroy (&self->listeners);
        self->listeners = yard_bus_zmq_new ();
    }
    return open_socket (self, kind, endpoint);
}

static void a_dealer_finds_the_next_listener (void **state)
{
    carrier_t *self = *state;
    yard_socket_t *router = open_socket (self, YARD_SOCKET_ROUTER, self->endpoint);
    yard_socket_t *dealer = open_socket (self, YARD_SOCKET_DEALER, yard_socket_endpoint (router));
    char id [16];
    greet (self, dealer, router, id);
    router = rebind (self, router, YARD_SOCKET_ROUTER);
    /* A message may be lost while the end is not seen yet; say it until it is heard. */
    bool heard = false;
    for (int i = 0; i < WAIT_MS / POLL_MS && !heard; i++) {
        yard_socket_send (dealer, &(yard_string_t){ "again", 5 }, 1);
        wait_for (self->listeners, router, POLLIN);
        heard = yard_socket_receive (router, &self->message);
    }
    assert_true (heard);
    assert_frame (self, 1, "again");
    yard_socket_close (&dealer);
    yard_socket_close (&router);
}

static void a_subscription_is_said_again_to_the_next_publisher (void **state)
{
    carrier_t *self = *state;
    yard_socket_t *publisher = open_socket (self, YARD_SOCKET_XPUB, self->endpoint);
    yard_socket_t *subscriber = open_socket (self, YARD_SOCKET_SUBSCRIBER, yard_socket_endpoint (publisher));
    subscribe (self, subscriber, publisher, "model_");
    publisher = rebind (self, publisher, YARD_SOCKET_XPUB);
    /* libzmq says it again from inside the subscriber's own calls: one that never looks is never subscribed. */
    bool told = false;
    for (int i = 0; i < WAIT_MS / POLL_MS && !told; i++) {
        assert_false (yard_socket_receive (subscriber, &self->message));
        wait_for (self->listeners, publisher, POLLIN);
        told = yard_socket_receive (publisher, &self->message);
    }
    assert_true (told);
    assert_frame (self, 0, "\1model_");
    publish (publisher, "model_x/", "heard");
    receive (self->bus, subscriber, &self->message);
    assert_frame (self, 1, "heard");
    yard_socket_close (&subscriber);
    yard_socket_close (&publisher);
}

static void a_poll_sees_sockets_and_files_alike (void **state)
{
    carrier_t *self = *state;
    yard_socket_t *router = open_socket (self, YARD_SOCKET_ROUTER, self->endpoint);
    yard_socket_t *dealer = open_socket (self, YARD_SOCKET_DEALER, yard_socket_endpoint (router));
    int fd = eventfd (0, EFD_NONBLOCK | EFD_CLOEXEC);
    yard_poll_t items [] = { { .socket = router, .events = POLLIN }, { .fd = fd, .events = POLLIN } };
    assert_int_equal (yard_bus_poll (self->listeners, items, 2, 0), 0);
    assert_int_equal (eventfd_write (fd, 1), 0);
    assert_int_equal (yard_bus_poll (self->listeners, items, 2, WAIT_MS), 1);
    assert_int_equal (items [0].revents, 0);
    assert_int_equal (items [1].revents, POLLIN);
    send_text (self->bus, dealer, "x");
    for (int i = 0; i < WAIT_MS && !items [0].revents; i++) /* the file is ready at once, the message soon */
        yard_bus_poll (self->listeners, items, 2, POLL_MS);
    assert_int_equal (items [0].revents, POLLIN);
    assert_int_equal (yard_bus_poll (self->listeners, items, 2, 0), 2); /* level-triggered */
    close (fd);
    yard_socket_close (&dealer);
    yard_socket_close (&router);
}

/*  Not on ipc: there libzmq takes the path over, and the broker's lock is what refuses. */
static void a_second_listener_is_refused (void **state)
{
    carrier_t *self = *state;
    if (strncmp (self->endpoint, "ipc", 3) == 0)
        return;
    yard_socket_t *router = open_socket (self, YARD_SOCKET_ROUTER, self->endpoint), *second = NULL;
    yard_error_t error = { 0 };
    assert_int_equal (
        yard_bus_open (self->listeners, YARD_SOCKET_ROUTER, yard_socket_endpoint (router), &second, &error),
        YARD_TAKEN);
    assert_non_null (strstr (error.text, "stop it first"));
    yard_socket_close (&router);
}

static void the_bus_closes_what_is_open (void **state)
{
    carrier_t *self = *state;
    yard_socket_t *router = open_socket (self, YARD_SOCKET_ROUTER, self->endpoint);
    yard_socket_t *dealer = open_socket (self, YARD_SOCKET_DEALER, yard_socket_endpoint (router));
    send_text (self->bus, dealer, "never read");
    /* The group's teardown destroys the buses, in its time. */
}

/*  --- carriers
 *  ------------------------------------------------------------------------------------------------------------- */
static int begin (void **state)
{
    carrier_t *self = *state;
    self->bus = self->memory ? yard_bus_memory_new () : yard_bus_zmq_new ();
    self->listeners = self->memory ? self->bus : yard_bus_zmq_new ();
    yard_message_init (&self->message);
    return 0;
}

static int end (void **state)
{
    carrier_t *self = *state;
    if (!self->memory)
        yard_bus_destroy (&self->listeners);
    yard_bus_destroy (&self->bus);
    yard_message_clear (&self->message);
    return 0;
}

static int run_over (carrier_t *carrier)
{
#define CASE(name) \
    { \
#        name, name, begin, end, carrier \
    }
    const struct CMUnitTest cases [] = {
        CASE (messages_arrive_whole_and_in_order),
        CASE (a_router_answers_the_peer_it_heard),
        CASE (an_unknown_peer_is_gone),
        CASE (a_peer_that_closed_becomes_gone),
        CASE (a_dealer_without_a_listener_is_busy),
        CASE (a_router_that_does_not_read_makes_its_dealer_busy),
        CASE (a_dealer_that_does_not_read_is_busy_for_the_router),
        CASE (a_frame_of_one_mebibyte_passes_and_a_longer_one_is_refused),
        CASE (a_message_of_too_many_frames_is_cut_and_shows_it),
        CASE (a_subscriber_hears_its_prefixes_and_nothing_else),
        CASE (a_publisher_never_waits_for_a_slow_subscriber),
        CASE (a_dealer_finds_the_next_listener),
        CASE (a_subscription_is_said_again_to_the_next_publisher),
        CASE (a_poll_sees_sockets_and_files_alike),
        CASE (a_second_listener_is_refused),
        CASE (the_bus_closes_what_is_open),
    };
#undef CASE
    return _cmocka_run_group_tests (carrier->name, cases, sizeof cases / sizeof *cases, NULL, NULL);
}

int main (void)
{
    carrier_t memory = { .name = "memory", .memory = true, .endpoint = "command" };
    carrier_t tcp = { .name = "tcp", .endpoint = "tcp://127.0.0.1:*" };
    carrier_t ipc = { .name = "ipc", .directory = "/tmp/yard-bus-XXXXXX" };
    if (!mkdtemp (ipc.directory))
        return 1;
    snprintf (ipc.endpoint, sizeof ipc.endpoint, "ipc://%s/bus", ipc.directory);
    int failed = run_over (&memory) + run_over (&ipc) + run_over (&tcp);
    char path [64];
    snprintf (path, sizeof path, "%s/bus", ipc.directory);
    unlink (path);
    if (rmdir (ipc.directory))
        failed++;
    return failed;
}
