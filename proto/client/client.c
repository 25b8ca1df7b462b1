// SPDX-License-Identifier: Apache-2.0
/*  client.c - the connection of libmodelyard: one DEALER, hello, pings, and what came for whom
 *
 *  Promises: never blocks but in client_wait; whatever the other end sends, the client lives; a broker that
 *  was replaced is noticed and told to all who lean on the old one.
 */
#include "inside.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>
#include "proto/configuration.h"

#define CONNECT_MS \
    2000 /* a broker on this machine answers in under 1 ms; on a busy network in far less than this */
#define HANDSHAKE_MS 2000 /* a peer that accepts and says nothing is given up and tried again */
#define RECONNECT_MS 20 /* a restarted broker is found at once … */
#define RECONNECT_MAX_MS 500 /* … and a dead one costs nothing */
#define LINGER_MS 200 /* for the last B frames at the end of a program */
#define SILENCE_MS 2000 /* ARCHITECTURE 2: after this without a ping, hello again */
#define GONE_MS 10000 /* ARCHITECTURE 2: tcp's; twice what the broker itself waits for */
#define READING_BYTES_MAX \
    (64 * 1024 * 1024) /* structs of a 1 MiB message: a row of 30 bytes may become 600 */
#define MESSAGES_PER_DISPATCH 256 /* so that a flood does not keep callbacks from the caller's loop */

static int nothing_there (yard_error_t *error, const char *endpoint)
{
    return yard_error (error, YARD_UNREACHABLE, "no yard answers at %s; start one with `modelyard up`",
                       endpoint);
}

/*  Where: a run directory, an endpoint, or what environment and configuration say. Also the node's name. */
static int find_endpoint (yard_client_t *self, const char *where, yard_error_t *error)
{
    yard_paths_t paths;
    yard_configuration_t *configuration = NULL;
    int rc = yard_paths_find (&paths, error), size;
    if (rc == 0 && where && *where == '/')
        snprintf (paths.run, sizeof paths.run, "%s", where);
    if (rc == 0)
        rc = yard_configuration_read (&paths, NULL, 0, &configuration, error);
    if (rc)
        return rc;
    const configuration_t *values = yard_configuration_values (configuration);
    snprintf (self->node_text, sizeof self->node_text, "%.*s", YARD_VIEW (values->node));
    if (where && strstr (where, "://"))
        size = snprintf (self->endpoint, sizeof self->endpoint, "%s", where);
    else if (where)
        size = snprintf (self->endpoint, sizeof self->endpoint, "ipc://%s/command.ipc", where);
    else
        size = snprintf (self->endpoint, sizeof self->endpoint, "%.*s", YARD_VIEW (values->bus.command));
    yard_configuration_destroy (&configuration);
    return size < (int) sizeof self->endpoint ? 0
                                              : nothing_there (error, where ? where : "so long an endpoint");
}

/*  libzmq tries for ever and does not say why; whether anybody listens on a local socket can be asked at
 *  once. */
static int check_local (const char *endpoint, yard_error_t *error)
{
    static const char ipc [] = "ipc://";
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    if (strncmp (endpoint, ipc, sizeof ipc - 1) != 0)
        return 0;
    const char *path = endpoint + sizeof ipc - 1;
    if (strlen (path) >= sizeof address.sun_path)
        return yard_error (error, YARD_TOO_LARGE,
                           "the socket path %s is too long; set MODELYARD_RUN to a shorter directory", path);
    memcpy (address.sun_path, path, strlen (path) + 1);
    int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return yard_error_errno (error, errno, "cannot make a socket");
    /* EAGAIN: somebody listens and is busy. */
    int rc = connect (fd, (const struct sockaddr *) &address, sizeof address) && errno != EAGAIN
                 ? nothing_there (error, endpoint)
                 : 0;
    close (fd);
    return rc;
}

static int open_socket (yard_client_t *self, yard_error_t *error)
{
    static const struct {
        int option, value;
    } options [] = {
        { ZMQ_LINGER, LINGER_MS },
        { ZMQ_IMMEDIATE, 1 },
        { ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS },
        { ZMQ_RECONNECT_IVL, RECONNECT_MS },
        { ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS },
        { ZMQ_SNDHWM, 4096 }, /* four times the broker's open asks of one peer */
        { ZMQ_RCVHWM,
          0 }, /* bounded by credit and open asks; a limit here would make the broker drop answers */
    };
    const int64_t frame_max = YARD_MESSAGE_MAX;
    self->context = zmq_ctx_new ();
    self->socket = self->context ? zmq_socket (self->context, ZMQ_DEALER) : NULL;
    if (!self->socket)
        return yard_error (error, YARD_INTERNAL, "cannot make a ZeroMQ socket: %s", zmq_strerror (errno));
    for (size_t i = 0; i < sizeof options / sizeof options [0]; i++)
        zmq_setsockopt (self->socket, options [i].option, &options [i].value, sizeof (int));
    zmq_setsockopt (self->socket, ZMQ_MAXMSGSIZE, &frame_max, sizeof frame_max);
    if (zmq_connect (self->socket, self->endpoint))
        return yard_error (error, YARD_UNREACHABLE,
                           "%s is no endpoint to connect to: %s; give a run directory, ipc:// or tcp://",
                           self->endpoint, zmq_strerror (errno));
    return 0;
}

int yard_client_connect (const char *where, yard_client_t **ret, yard_error_t *error)
{
    yard_client_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->calls = yard_table_new ();
    self->reading = yard_arena_new (READING_BYTES_MAX);
    yard_buffer_init (&self->packing, YARD_MESSAGE_MAX);
    yard_random_init (&self->random);
    yard_random_hex (&self->random, self->instance, 32);
    self->heard_ms = client_now_ms ();
    int rc = find_endpoint (self, where, error);
    self->node = yard_string (self->node_text);
    if (rc == 0)
        rc = check_local (self->endpoint, error);
    if (rc == 0)
        rc = open_socket (self, error);
    for (int64_t end = client_now_ms () + CONNECT_MS; rc == 0 && !self->welcomed && client_now_ms () < end;)
        client_wait (self, client_left_ms (end));
    if (rc == 0 && !self->welcomed)
        rc = nothing_there (error, self->endpoint);
    if (rc)
        yard_client_destroy (&self);
    else
        *ret = self;
    return rc;
}

void yard_client_destroy (yard_client_t **self_p)
{
    assert (self_p);
    yard_client_t *self = *self_p;
    if (!self)
        return;
    client_calls_end (self, true, YARD_CANCELLED, "the client was closed");
    if (self->welcomed) {
        bye_t bye;
        yard_wire_init (bye_type (), &bye);
        client_say (self, 'B', 0, bye_type (), &bye);
    }
    if (self->socket)
        zmq_close (self->socket);
    if (self->context)
        zmq_ctx_term (self->context);
    yard_table_destroy (&self->calls);
    yard_arena_destroy (&self->reading);
    yard_buffer_clear (&self->packing);
    free (self);
    *self_p = NULL;
}

const char *yard_client_endpoint (const yard_client_t *self)
{
    return self->endpoint;
}

const char *yard_client_epoch (const yard_client_t *self)
{
    return self->epoch;
}

/*  --- out */
bool client_send (yard_client_t *self, const yard_envelope_t *envelope)
{
    char head [YARD_HEAD_MAX];
    yard_string_t frames [YARD_FRAMES_MAX];
    size_t count = yard_envelope_frames (envelope, head, frames);
    for (size_t i = 0; i < count; i++)
        /* Only the first frame of a message can meet EAGAIN. */
        if (zmq_send (self->socket, frames [i].size ? frames [i].data : "", frames [i].size,
                      ZMQ_DONTWAIT | (i + 1 < count ? ZMQ_SNDMORE : 0)) < 0)
            return false;
    return true;
}

bool client_say (yard_client_t *self, char letter, uint64_t number, const yard_wire_type_t *type,
                 const void *body)
{
    yard_buffer_reset (&self->packing);
    if (yard_wire_pack (type, body, &self->packing, NULL))
        return false;
    const yard_envelope_t envelope = { .letter = letter,
                                       .id = { (const char *) &number, number ? sizeof number : 0 },
                                       .body = yard_buffer_view (&self->packing) };
    return client_send (self, &envelope);
}

void client_hello (yard_client_t *self)
{
    char place [64];
    snprintf (place, sizeof place, "client/%s", self->instance);
    hello_t hello;
    yard_wire_init (hello_type (), &hello);
    hello.actor = yard_string ("client");
    hello.place = yard_string (place);
    hello.instance = yard_string (self->instance);
    hello.node = self->node;
    hello.protocol = YARD_PROTOCOL;
    hello.pid = (uint64_t) getpid ();
    self->welcomed = false;
    self->hello_sent = client_say (self, 'H', 0, hello_type (), &hello);
    self->hello_ms = client_now_ms ();
}

/*  --- in */
static void on_welcome (yard_client_t *self, const yard_envelope_t *envelope)
{
    welcome_t welcome;
    if (yard_wire_unpack (welcome_type (), envelope->body.data, envelope->body.size, YARD_WIRE_ANSWER,
                          self->reading, &welcome, NULL))
        return;
    bool other = self->epoch [0] && !yard_string_is (welcome.epoch, self->epoch);
    snprintf (self->epoch, sizeof self->epoch, "%.*s", YARD_VIEW (welcome.epoch));
    self->welcomed = true;
    if (other || welcome.moved)
        client_calls_end (self, false, YARD_GONE,
                          other
                              ? "the yard's broker was started anew before an answer came; look at the state "
                                "before asking again"
                              : "the connection to the yard ended before an answer came; look at the state "
                                "before asking again");
}

static void on_ping (yard_client_t *self, const yard_envelope_t *envelope)
{
    (void) envelope;
    pong_t pong;
    yard_wire_init (pong_type (), &pong);
    pong.open_asks = yard_table_count (self->calls);
    client_say (self, 'O', 0, pong_type (), &pong);
}

/*  About our hello: the yard took this instance for dead, or another has it. What leaned on it is lost; a
 *  fresh one is drawn. */
static void on_refused (yard_client_t *self)
{
    client_calls_end (self, false, YARD_GONE,
                      "the yard took this client for dead (it did not answer pings); look at the state "
                      "before asking again");
    yard_random_hex (&self->random, self->instance, 32);
    self->welcomed = self->hello_sent = false;
    self->hello_ms = client_now_ms ();
}

static void on_fail (yard_client_t *self, const yard_envelope_t *envelope)
{
    failure_t failure;
    if (envelope->id.size) {
        client_calls_answer (self, envelope);
        return;
    }
    if (yard_wire_unpack (failure_type (), envelope->body.data, envelope->body.size, YARD_WIRE_ANSWER,
                          self->reading, &failure, NULL))
        return;
    if (yard_string_is (failure.code, "hello_first"))
        client_hello (self);
    else if (yard_string_is (failure.code, "gone") || yard_string_is (failure.code, "taken"))
        on_refused (self);
}

static const struct {
    char letter;
    void (*take) (yard_client_t *self, const yard_envelope_t *envelope);
} letters [] = {
    { 'R', client_calls_answer }, { 'F', on_fail }, { 'E', client_calls_answer }, { 'P', on_ping },
    { 'W', on_welcome },
};

static void take (yard_client_t *self, const yard_string_t *frames, size_t count)
{
    yard_envelope_t envelope;
    self->heard_ms = client_now_ms ();
    if (yard_envelope_parse (frames, count, &envelope, NULL))
        return;
    yard_arena_reset (self->reading);
    for (size_t i = 0; i < sizeof letters / sizeof letters [0]; i++)
        if (letters [i].letter == envelope.letter)
            letters [i].take (self, &envelope);
}

/*  Asked between messages, since it is also where libzmq takes in that a connection has ended. Left to itself it
 *  does so at every hundredth frame, and aborts if that is in the middle of a message (4.3, fq.cpp: !_more). */
static bool has_message (yard_client_t *self)
{
    int events = 0;
    size_t size = sizeof events;
    zmq_getsockopt (self->socket, ZMQ_EVENTS, &events, &size);
    return events & ZMQ_POLLIN;
}

/*  One whole message; frames past YARD_FRAMES_MAX are read and forgotten, and what is left is no envelope. */
static bool receive (yard_client_t *self)
{
    zmq_msg_t parts [YARD_FRAMES_MAX + 1];
    yard_string_t frames [YARD_FRAMES_MAX + 1];
    size_t count = 0;
    bool more = has_message (self), any = false;
    while (more) {
        zmq_msg_t *part = &parts [count];
        zmq_msg_init (part);
        if (zmq_msg_recv (part, self->socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close (part);
            break;
        }
        any = true;
        more = zmq_msg_more (part);
        if (count == YARD_FRAMES_MAX) {
            zmq_msg_close (part);
            continue;
        }
        frames [count++] = (yard_string_t){ zmq_msg_data (part), zmq_msg_size (part) };
    }
    if (count)
        take (self, frames, count);
    for (size_t i = 0; i < count; i++)
        zmq_msg_close (&parts [i]);
    return any;
}

/*  --- time */
/*  hello until welcomed, and again when the yard is silent. */
static void tick (yard_client_t *self)
{
    int64_t now = client_now_ms ();
    bool silent = now - self->heard_ms >= SILENCE_MS && now - self->hello_ms >= SILENCE_MS;
    if (!self->hello_sent || silent)
        client_hello (self);
    if (now - self->heard_ms >= GONE_MS)
        client_calls_end (self, false, YARD_GONE,
                          "the yard has been silent for 10 s; is it still up? `modelyard status`");
    client_calls_tick (self);
    if (self->welcomed)
        client_calls_flush (self);
}

int client_left_ms (int64_t deadline_ms)
{
    int64_t left = deadline_ms - client_now_ms ();
    return left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int) left;
}

static int64_t due_ms (const yard_client_t *self)
{
    int64_t due = client_calls_due_ms (self);
    int64_t silence = (self->heard_ms > self->hello_ms ? self->heard_ms : self->hello_ms) + SILENCE_MS;
    if (silence < due)
        due = silence;
    /* Not sent: POLLOUT would tell when it can be, but who polls our descriptor cannot see it. */
    if (!self->hello_sent && client_now_ms () + RECONNECT_MS < due)
        due = client_now_ms () + RECONNECT_MS;
    return due;
}

void yard_client_dispatch (yard_client_t *self)
{
    for (size_t i = 0; i < MESSAGES_PER_DISPATCH && receive (self); i++)
        continue;
    tick (self);
}

void client_wait (yard_client_t *self, int timeout_ms)
{
    int due = client_left_ms (due_ms (self));
    zmq_pollitem_t item = { .socket = self->socket,
                            .events = (short) (ZMQ_POLLIN | (self->hello_sent ? 0 : ZMQ_POLLOUT)) };
    zmq_poll (&item, 1, timeout_ms >= 0 && timeout_ms < due ? timeout_ms : due);
    yard_client_dispatch (self);
}

int yard_client_fd (const yard_client_t *self)
{
    int fd = -1;
    size_t size = sizeof fd;
    zmq_getsockopt (self->socket, ZMQ_FD, &fd, &size);
    return fd;
}

int yard_client_timeout_ms (yard_client_t *self)
{
    int events = 0;
    size_t size = sizeof events;
    zmq_getsockopt (self->socket, ZMQ_EVENTS, &events, &size);
    return events & ZMQ_POLLIN ? 0 : client_left_ms (due_ms (self));
}
