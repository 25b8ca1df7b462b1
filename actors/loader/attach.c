// SPDX-License-Identifier: Apache-2.0
/*  attach.c - connections, each through hello, answer, attached
 */
#include "actors/loader/attach.h"

#include <errno.h>
#include <sys/socket.h>
#include "actors/ground/table.h"
#include "actors/loader/attach_packet.h"
#include "actors/loader/attach_socket.h"

#define CONNECTIONS_MAX 4096 /* four for each of the 1,024 leases of the default configuration */
#define ACCEPTS_PER_CALL 64 /* the rest at the next turn, so that a flood does not hold the loop */
#define HELLO_MS_MAX 2000 /* as long as ZeroMQ's handshake; a local peer needs microseconds */
#define ACCEPT_AGAIN_MS \
    1000 /* out of descriptors: wait until some are closed, instead of turning on a readable socket */
#define HELLO_ARENA_BYTES (64 * 1024)

typedef enum {
    HELLO,
    ANSWERING,
    ATTACHED
} step_t;

typedef struct {
    loader_attach_t *door;
    uint64_t number;
    int fd;
    step_t step;
    yard_watch_t *watch;
    yard_timer_t *timer; /* of the hello */
    const loader_model_t *model;
    void *ticket;
    loader_answer_place_t place;
} connection_t;

struct loader_attach_t {
    yard_actor_t *actor;
    loader_door_t door;
    char path [YARD_SOCKET_PATH_MAX + 1];
    int fd;
    yard_watch_t *watch;
    yard_timer_t *again;
    yard_table_t *connections; /* number -> connection_t */
    uint64_t last_number;
};

static void end_connection (connection_t *connection)
{
    loader_attach_t *self = connection->door;
    yard_table_take_u64 (self->connections, connection->number);
    yard_watch_destroy (&connection->watch);
    yard_timer_destroy (&connection->timer);
    close (connection->fd);
    if (connection->step != HELLO)
        self->door.leave (self->door.argument, connection->ticket);
    free (connection);
}

static void refuse (connection_t *connection, const yard_error_t *cause)
{
    yard_log_info ("attach.refused", "code=%s text=%s", yard_error_row (cause->code)->word,
                   YARD_QUOTED (cause->text));
    loader_packet_send_failure (connection->fd, cause);
    end_connection (connection);
}

static void go_on_answering (connection_t *connection)
{
    yard_error_t error = { 0 };
    int rc = loader_packet_send_answer (connection->fd, connection->model, &connection->place, &error);
    /*  busy with a sentence is ours (no descriptors left), not the socket's: waiting for room would turn
     *  the loop. */
    if (rc == YARD_BUSY && !error.code) {
        yard_watch_set (connection->watch, POLLIN | POLLOUT);
    } else if (rc == YARD_GONE) {
        end_connection (connection);
    } else if (rc) {
        error.code = rc;
        refuse (connection, &error);
    } else {
        connection->step = ATTACHED;
        yard_watch_set (connection->watch, POLLIN);
    }
}

/*  Who it is is looked at behind its hello: a connection that is closed with a hello unread is reset, and the reason lost. */
static void hear_hello (connection_t *connection)
{
    loader_attach_t *self = connection->door;
    yard_error_t error = { 0 };
    attach_hello_t hello;
    yard_arena_t *arena = yard_arena_new (HELLO_ARENA_BYTES);
    int rc = loader_packet_read_hello (connection->fd, arena, &hello, &error);
    if (rc == 0)
        rc = loader_attach_socket_check (connection->fd, &error);
    if (rc == 0 && hello.protocol != YARD_PROTOCOL)
        rc = yard_error (&error, YARD_INVALID_MESSAGE,
                         "protocol %llu of the attach socket is not spoken here, %d is",
                         (unsigned long long) hello.protocol, YARD_PROTOCOL);
    if (rc == 0)
        rc = self->door.enter (self->door.argument, hello.lease, &connection->model, &connection->ticket,
                               &error);
    yard_arena_destroy (&arena);
    if (rc == 0) {
        connection->step = ANSWERING;
        yard_timer_destroy (&connection->timer);
        go_on_answering (connection);
    } else if (rc == YARD_GONE) {
        end_connection (connection);
    } else if (rc != YARD_BUSY) {
        error.code = rc;
        refuse (connection, &error);
    }
}

static void on_connection_ready (void *actor_self, void *argument, int fd, short events)
{
    (void) actor_self;
    connection_t *connection = argument;
    if (connection->step == HELLO) {
        hear_hello (connection);
        return;
    }
    /*  An attached client has nothing to say: a packet is a mistake of its own, and ends it like its end does. */
    if (events & (POLLIN | POLLHUP | POLLERR)) {
        char byte;
        ssize_t got = recv (fd, &byte, sizeof byte, MSG_DONTWAIT | MSG_TRUNC);
        if (got >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
            end_connection (connection);
            return;
        }
    }
    if (connection->step == ANSWERING && (events & POLLOUT))
        go_on_answering (connection);
}

static void on_hello_late (void *actor_self, void *argument)
{
    (void) actor_self;
    yard_error_t error = { 0 };
    yard_error (&error, YARD_TIMEOUT, "no hello came within %d ms; connect and send attach_hello at once",
                HELLO_MS_MAX);
    refuse (argument, &error);
}

/*  Takes fd. */
static void begin_connection (loader_attach_t *self, int fd)
{
    connection_t *connection = calloc (1, sizeof *connection);
    if (!connection)
        abort ();
    connection->door = self;
    connection->fd = fd;
    connection->number = ++self->last_number;
    connection->watch = yard_watch_new (self->actor, fd, POLLIN, on_connection_ready, connection);
    connection->timer = yard_timer_new (self->actor, on_hello_late, connection);
    yard_timer_set (connection->timer, HELLO_MS_MAX);
    yard_table_put_u64 (self->connections, connection->number, connection);
    yard_error_t error = { 0 };
    if (yard_table_count (self->connections) <= CONNECTIONS_MAX)
        return;
    yard_error (&error, YARD_BUSY, "%d attachments are open, the limit; close some", CONNECTIONS_MAX);
    refuse (connection, &error);
}

static void on_listener_ready (void *actor_self, void *argument, int fd, short events)
{
    (void) actor_self;
    (void) events;
    loader_attach_t *self = argument;
    for (int count = 0; count < ACCEPTS_PER_CALL; count++) {
        int peer = accept4 (fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (peer >= 0) {
            begin_connection (self, peer);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            yard_log_warning ("attach.no_descriptors", "error=%s", YARD_QUOTED (strerror (errno)));
            yard_watch_set (self->watch, 0);
            yard_timer_set (self->again, ACCEPT_AGAIN_MS);
        }
        if (errno != EINTR && errno != ECONNABORTED)
            return;
    }
}

static void on_accept_again (void *actor_self, void *argument)
{
    (void) actor_self;
    loader_attach_t *self = argument;
    yard_watch_set (self->watch, POLLIN);
}

int loader_attach_new (yard_actor_t *actor, const loader_door_t *door, loader_attach_t **ret,
                       yard_error_t *error)
{
    loader_attach_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->actor = actor;
    self->door = *door;
    self->fd = -1;
    self->connections = yard_table_new ();
    int rc = loader_attach_socket_open (yard_actor_paths (actor)->run, yard_actor_instance (actor),
                                        self->path, &self->fd, error);
    if (rc) {
        loader_attach_destroy (&self);
        return rc;
    }
    self->watch = yard_watch_new (actor, self->fd, POLLIN, on_listener_ready, self);
    self->again = yard_timer_new (actor, on_accept_again, self);
    *ret = self;
    return 0;
}

void loader_attach_destroy (loader_attach_t **self_p)
{
    loader_attach_t *self = *self_p;
    if (!self)
        return;
    void *value;
    for (size_t at = 0; yard_table_next (self->connections, &at, &value);)
        end_connection (value);
    yard_watch_destroy (&self->watch);
    yard_timer_destroy (&self->again);
    if (self->fd >= 0) {
        unlink (self->path);
        close (self->fd);
    }
    yard_table_destroy (&self->connections);
    free (self);
    *self_p = NULL;
}

const char *loader_attach_path (const loader_attach_t *self)
{
    return self->path;
}
