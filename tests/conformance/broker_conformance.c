// SPDX-License-Identifier: Apache-2.0
/*  broker_conformance.c - one conversation through the broker's sockets, the same over memory, ipc and tcp
 *
 *  Everything runs on this thread, turn by turn: nobody waits for anybody but for a message, at most
 *  DEADLINE_MS.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <poll.h>
#include "actors/ground/durable.h"
#include "broker/server.h"

#define DEADLINE_MS 10000
#define TURN_MS 20

typedef enum {
    MEMORY,
    IPC,
    TCP
} transport_t;

typedef struct {
    transport_t transport;
    char folder [32];
    yard_paths_t paths;
    yard_random_t random;
    yard_configuration_t *configuration;
    yard_bus_t *bus;
    broker_server_t *server;
    yard_arena_t *arena;
    yard_message_t message;
    yard_envelope_t heard; /* leans on message */
} yard_t;

static int open_yard (void **state, transport_t transport)
{
    static const char *const tcp [] = { "bus.command=tcp://127.0.0.1:*", "bus.event=tcp://127.0.0.1:*",
                                        "bus.insecure_loopback=true" };
    yard_t *self = calloc (1, sizeof *self);
    assert_non_null (self);
    yard_error_t error = { 0 };
    self->transport = transport;
    snprintf (self->folder, sizeof self->folder, "/tmp/yard-broker-XXXXXX");
    assert_non_null (mkdtemp (self->folder));
    snprintf (self->paths.home, sizeof self->paths.home, "%s", self->folder);
    snprintf (self->paths.run, sizeof self->paths.run, "%s", self->folder);
    yard_random_init (&self->random);
    self->arena = yard_arena_new (1 << 20);
    yard_message_init (&self->message);
    self->bus = transport == MEMORY ? yard_bus_memory_new () : yard_bus_zmq_new ();
    if (yard_configuration_read (&self->paths, tcp, transport == TCP ? 3 : 0, &self->configuration, &error))
        fail_msg ("%s", error.text);
    broker_server_options_t options = { self->bus, yard_clock_system (), &self->random, self->configuration,
                                        &self->paths };
    if (broker_server_new (&options, &self->server, &error))
        fail_msg ("%s", error.text);
    *state = self;
    return 0;
}

static int open_memory (void **state)
{
    return open_yard (state, MEMORY);
}

static int open_ipc (void **state)
{
    return open_yard (state, IPC);
}

static int open_tcp (void **state)
{
    return open_yard (state, TCP);
}

static int close_yard (void **state)
{
    yard_t *self = *state;
    broker_server_destroy (&self->server);
    yard_bus_destroy (&self->bus);
    yard_configuration_destroy (&self->configuration);
    yard_message_clear (&self->message);
    yard_arena_destroy (&self->arena);
    assert_int_equal (yard_durable_remove (self->folder, NULL), 0);
    free (self);
    return 0;
}

static yard_socket_t *connect_to (yard_t *self, yard_socket_kind_t kind, const char *endpoint)
{
    yard_error_t error = { 0 };
    yard_socket_t *socket = NULL;
    if (yard_bus_open (self->bus, kind, endpoint, &socket, &error))
        fail_msg ("%s", error.text);
    return socket;
}

/*  A dealer may send once its connection stands: turns until it does. */
static void send_text (yard_t *self, yard_socket_t *socket, const char *head, const char *name,
                       yard_string_t body)
{
    yard_string_t frames [] = { yard_string (head), yard_string (name), body };
    int64_t end_ms = yard_clock_ms (yard_clock_system ()) + DEADLINE_MS;
    while (yard_socket_send (socket, frames, 3)) {
        assert_true (yard_clock_ms (yard_clock_system ()) < end_ms);
        broker_server_turn (self->server, TURN_MS, -1);
    }
}

static void send_packed (yard_t *self, yard_socket_t *socket, const char *head, const char *name,
                         const yard_wire_type_t *type, const char *json)
{
    yard_error_t error = { 0 };
    yard_buffer_t body;
    void *value = yard_arena_alloc (self->arena, type->size);
    yard_buffer_init (&body, YARD_MESSAGE_MAX);
    if (yard_wire_from_json (type, json, strlen (json), YARD_WIRE_ASK, self->arena, value, &error) ||
        yard_wire_pack (type, value, &body, &error))
        fail_msg ("%s", error.text);
    send_text (self, socket, head, name, yard_buffer_view (&body));
    yard_buffer_clear (&body);
}

/*  The next message that is no ping; pings are answered. */
static void hear (yard_t *self, yard_socket_t *socket, char letter)
{
    int64_t end_ms = yard_clock_ms (yard_clock_system ()) + DEADLINE_MS;
    for (;;) {
        while (!yard_socket_receive (socket, &self->message)) {
            assert_true (yard_clock_ms (yard_clock_system ()) < end_ms);
            broker_server_turn (self->server, TURN_MS, -1);
        }
        assert_int_equal (yard_envelope_parse (self->message.frames, self->message.count, &self->heard, NULL),
                          0);
        if (self->heard.letter != 'P')
            break;
        send_packed (self, socket, "YARD1O", "", pong_type (), "{}");
    }
    assert_int_equal (self->heard.letter, letter);
}

#define HELLO(place, digit, methods) \
    "{\"actor\":\"" place "\",\"place\":\"" place "\",\"instance\":\"" digit digit digit digit \
    "\",\"node\":\"n\"," \
    "\"protocol\":1,\"methods\":[" methods "]}"
#define SERVES "{\"name\":\"job.get\",\"routing\":\"single\",\"roles\":[\"viewer\",\"admin\"]}"

/* R8.1 */
static void hello_ask_reply_and_follow (void **state)
{
    yard_t *self = *state;
    yard_socket_t *server = connect_to (self, YARD_SOCKET_DEALER, broker_server_command (self->server));
    yard_socket_t *client = connect_to (self, YARD_SOCKET_DEALER, broker_server_command (self->server));
    send_packed (self, server, "YARD1H", "", hello_type (), HELLO ("recorder", "aaaaaaaa", SERVES));
    hear (self, server, 'W');
    send_packed (self, client, "YARD1H", "", hello_type (), HELLO ("client", "bbbbbbbb", ""));
    hear (self, client, 'W');

    send_text (self, client, "YARD1A1", "job.get", yard_string ("question"));
    hear (self, server, 'A');
    assert_true (yard_string_is (self->heard.body, "question"));
    assert_true (self->heard.from.size > 0);
    char head [15] = "YARD1R";
    memcpy (head + 6, self->heard.id.data, 8);
    yard_string_t frames [] = { { head, 14 }, yard_string ("job.get"), yard_string ("answer") };
    assert_int_equal (yard_socket_send (server, frames, 3), 0);
    hear (self, client, 'R');
    assert_true (yard_string_is (self->heard.id, "1"));
    assert_true (yard_string_is (self->heard.body, "answer"));

    send_packed (self, client, "YARD1Af", "event.follow", event_follow_ask_type (),
                 "{\"prefixes\":[\"told_\"],\"credit\":2}");
    hear (self, client, 'R');
    for (int i = 0; i < 2; i++)
        send_packed (self, server, "YARD1Ap", "event.publish", event_publish_ask_type (),
                     "{\"events\":[{\"name\":\"told_you\",\"subject\":\"7\",\"body\":\"gA==\",\"time\":1}]}");
    for (int i = 0; i < 2; i++) {
        hear (self, client, 'E');
        assert_true (yard_string_is (self->heard.id, "f"));
        assert_true (yard_string_is (self->heard.name, "told_you/7/"));
    }
}

static void an_ended_server_is_gone_to_its_asker (void **state)
{
    yard_t *self = *state;
    if (self->transport == TCP)
        return; /* there it has ten seconds of grace: router_test proves them on its own clock */
    yard_socket_t *server = connect_to (self, YARD_SOCKET_DEALER, broker_server_command (self->server));
    yard_socket_t *client = connect_to (self, YARD_SOCKET_DEALER, broker_server_command (self->server));
    send_packed (self, server, "YARD1H", "", hello_type (), HELLO ("recorder", "aaaaaaaa", SERVES));
    hear (self, server, 'W');
    send_text (self, client, "YARD1A1", "job.get", yard_string ("question"));
    hear (self, server, 'A');
    yard_socket_close (&server);
    hear (self, client, 'F');
    failure_t failure;
    assert_int_equal (yard_wire_unpack (failure_type (), self->heard.body.data, self->heard.body.size,
                                        YARD_WIRE_ANSWER, self->arena, &failure, NULL),
                      0);
    assert_true (yard_string_is (failure.code, "gone"));
}

/* R9.2 */
static void a_subscriber_hears_the_beat (void **state)
{
    yard_t *self = *state;
    yard_socket_t *subscriber = connect_to (self, YARD_SOCKET_SUBSCRIBER, broker_server_event (self->server));
    yard_string_t prefix = yard_string ("\1yard_beat/");
    assert_int_equal (yard_socket_send (subscriber, &prefix, 1), 0);
    int64_t end_ms = yard_clock_ms (yard_clock_system ()) + DEADLINE_MS;
    while (!yard_socket_receive (subscriber, &self->message)) {
        assert_true (yard_clock_ms (yard_clock_system ()) < end_ms);
        broker_server_turn (self->server, TURN_MS, -1);
    }
    assert_int_equal (self->message.count, 3);
    assert_true (yard_string_is (self->message.frames [0], "yard_beat/"));
    stamp_t stamp;
    assert_int_equal (yard_wire_unpack (stamp_type (), self->message.frames [1].data,
                                        self->message.frames [1].size, YARD_WIRE_ANSWER, self->arena, &stamp,
                                        NULL),
                      0);
}

static void tcp_without_leave_does_not_start (void **state)
{
    (void) state;
    static const char *const settings [][2] = {
        { "bus.command=tcp://127.0.0.1:*", "bus.insecure_loopback=false" },
        { "bus.command=tcp://0.0.0.0:*", "bus.insecure_loopback=true" },
        { "bus.event=tcp://*:*", "bus.insecure_loopback=true" },
    };
    yard_paths_t paths = { "/tmp/no-such-yard", "/tmp/no-such-yard" };
    yard_random_t random;
    yard_random_init (&random);
    for (size_t i = 0; i < sizeof settings / sizeof settings [0]; i++) {
        yard_configuration_t *configuration = NULL;
        yard_error_t error = { 0 };
        assert_int_equal (yard_configuration_read (&paths, settings [i], 2, &configuration, &error), 0);
        yard_bus_t *bus = yard_bus_memory_new ();
        broker_server_t *server = NULL;
        broker_server_options_t options = { bus, yard_clock_system (), &random, configuration, &paths };
        assert_int_equal (broker_server_new (&options, &server, &error), YARD_INVALID_CONFIG);
        assert_null (server);
        yard_bus_destroy (&bus);
        yard_configuration_destroy (&configuration);
    }
}

#define EVERYWHERE(name) \
    { #name " over memory", name, open_memory, close_yard, NULL }, \
        { #name " over ipc", name, open_ipc, close_yard, NULL }, \
    { \
#        name " over tcp", name, open_tcp, close_yard, NULL \
    }

int main (void)
{
    const struct CMUnitTest cases [] = {
        EVERYWHERE (hello_ask_reply_and_follow),
        EVERYWHERE (an_ended_server_is_gone_to_its_asker),
        EVERYWHERE (a_subscriber_hears_the_beat),
        cmocka_unit_test (tcp_without_leave_does_not_start),
    };
    return cmocka_run_group_tests (cases, NULL, NULL);
}
