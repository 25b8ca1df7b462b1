// SPDX-License-Identifier: Apache-2.0
/*  device_proof_peer.c - the second process of a proof: both ends of its socket
 *
 *  Promises: no order waits longer than LOADER_PROOF_WAIT_MS; a peer ends when the process that started it does.
 */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "actors/loader/device_proof.h"
#include "actors/loader/device_proof_peer.h"

#define PEER_SOCKET 3 /* its first descriptor after the standard ones */

extern char **environ;

struct loader_peer_t {
    pid_t pid;
    int socket;
};

typedef struct {
    int code;
    char text [YARD_ERROR_TEXT_MAX];
    loader_handle_t handle;
} answer_t;

/*  --- a packet with at most one descriptor beside it */
typedef union {
    char bytes [CMSG_SPACE (sizeof (int))];
    struct cmsghdr header;
} beside_t;

static int send_packet (int socket, const void *packet, size_t size, int fd, yard_error_t *error)
{
    beside_t beside = {
        .header = { .cmsg_len = CMSG_LEN (sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS }
    };
    struct iovec part = { .iov_base = (void *) (uintptr_t) packet, .iov_len = size };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
    if (fd >= 0) {
        memcpy (CMSG_DATA (&beside.header), &fd, sizeof fd);
        message.msg_control = beside.bytes;
        message.msg_controllen = sizeof beside.bytes;
    }
    if (sendmsg (socket, &message, MSG_NOSIGNAL) != (ssize_t) size)
        return yard_error_errno (error, errno, "writing to the other process of a proof");
    return 0;
}

static int receive_packet (int socket, void *packet, size_t size, int *ret_fd, yard_error_t *error)
{
    beside_t beside = { .bytes = { 0 } };
    struct iovec part = { .iov_base = packet, .iov_len = size };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = beside.bytes, .msg_controllen = sizeof beside.bytes
    };
    ssize_t got = recvmsg (socket, &message, MSG_CMSG_CLOEXEC);
    if (got != (ssize_t) size)
        return yard_error (error, got < 0 && errno == EAGAIN ? YARD_TIMEOUT : YARD_GONE,
                           "the other process of a proof %s",
                           got < 0 && errno == EAGAIN ? "does not answer" : "has ended");
    struct cmsghdr *header = CMSG_FIRSTHDR (&message);
    *ret_fd = -1;
    if (header && header->cmsg_type == SCM_RIGHTS)
        memcpy (ret_fd, CMSG_DATA (header), sizeof *ret_fd);
    return 0;
}

/*  --- the first process's end */
static int start (loader_peer_t *self, const char *device, loader_export_t wish, int theirs,
                  yard_error_t *error)
{
    char form [16];
    snprintf (form, sizeof form, "%d", (int) wish);
    char exe [] = "/proc/self/exe", word [] = LOADER_PROOF_PEER, name [64];
    snprintf (name, sizeof name, "%s", device);
    char *const words [] = { exe, word, name, form, NULL };
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init (&actions) != 0)
        return yard_error (error, YARD_OUT_OF_MEMORY, "no memory to start the other process of a proof");
    posix_spawn_file_actions_adddup2 (&actions, theirs, PEER_SOCKET);
    int saved = posix_spawn (&self->pid, exe, &actions, NULL, words, environ);
    posix_spawn_file_actions_destroy (&actions);
    if (saved)
        self->pid = 0;
    return saved ? yard_error_errno (error, saved, "starting the other process of a proof") : 0;
}

int loader_peer_new (const char *device, loader_export_t wish, loader_peer_t **ret, yard_error_t *error)
{
    const struct timeval limit = { .tv_sec = LOADER_PROOF_WAIT_MS / 1000 };
    int pair [2];
    loader_peer_t *self = calloc (1, sizeof *self);
    if (!self)
        return yard_error (error, YARD_OUT_OF_MEMORY, "no memory for the other process of a proof");
    if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        free (self);
        return yard_error_errno (error, errno, "making a socket for a proof");
    }
    self->socket = pair [0];
    setsockopt (self->socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    int rc = start (self, device, wish, pair [1], error);
    close (pair [1]);
    if (rc)
        loader_peer_destroy (&self);
    else
        *ret = self;
    return rc;
}

void loader_peer_destroy (loader_peer_t **self_p)
{
    loader_peer_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    close (self->socket);
    if (self->pid > 0) {
        kill (self->pid, SIGKILL);
        waitpid (self->pid, NULL, 0);
    }
    free (self);
}

int loader_peer_order (loader_peer_t *self, const loader_order_t *order, yard_error_t *error)
{
    int fd = order->word == LOADER_ORDER_IMPORT ? order->handle.fd : -1;
    return send_packet (self->socket, order, sizeof *order, fd, error);
}

int loader_peer_answer (loader_peer_t *self, loader_handle_t *ret_handle, yard_error_t *error)
{
    answer_t answer;
    int fd = -1, rc = receive_packet (self->socket, &answer, sizeof answer, &fd, error);
    if (rc)
        return rc;
    answer.handle.fd = fd;
    if (answer.code == 0 && ret_handle)
        *ret_handle = answer.handle;
    else if (fd >= 0)
        close (fd);
    return answer.code ? yard_error (error, answer.code, "the other process: %.*s",
                                     (int) sizeof answer.text - 32, answer.text)
                       : 0;
}

int loader_peer_ask (loader_peer_t *self, const loader_order_t *order, loader_handle_t *ret_handle,
                     yard_error_t *error)
{
    int rc = loader_peer_order (self, order, error);
    return rc ? rc : loader_peer_answer (self, ret_handle, error);
}

/*  --- the second process's end: one memory, one group */
typedef struct {
    const loader_device_class_t *class;
    loader_device_t *device;
    loader_memory_t *memory;
    loader_gather_t *gather;
} side_t;

static int on_allocate (side_t *self, const loader_order_t *order, loader_handle_t *ret, yard_error_t *error)
{
    (void) ret;
    return self->class->allocate (self->device, order->size, &self->memory, error);
}

static int on_fill (side_t *self, const loader_order_t *order, loader_handle_t *ret, yard_error_t *error)
{
    (void) ret;
    return loader_proof_fill (self->class, self->device, self->memory, order->offset, order->size,
                              order->seed, error);
}

static int on_export (side_t *self, const loader_order_t *order, loader_handle_t *ret, yard_error_t *error)
{
    (void) order;
    return self->class->export_memory (self->device, self->memory, ret, error);
}

static int on_import (side_t *self, const loader_order_t *order, loader_handle_t *ret, yard_error_t *error)
{
    (void) ret;
    return self->class->import_memory (self->device, &order->handle, &self->memory, error);
}

static int on_check (side_t *self, const loader_order_t *order, loader_handle_t *ret, yard_error_t *error)
{
    (void) ret;
    return loader_proof_check (self->class, self->device, self->memory, order->offset, order->size,
                               order->seed, error);
}

static int on_release (side_t *self, const loader_order_t *order, loader_handle_t *ret, yard_error_t *error)
{
    (void) order, (void) ret, (void) error;
    self->class->release (self->device, &self->memory);
    return 0;
}

static int on_join (side_t *self, const loader_order_t *order, loader_handle_t *ret, yard_error_t *error)
{
    (void) ret;
    return self->class->gather_join (self->device, order->id, order->rank, order->ranks, &self->gather,
                                     error);
}

static int on_gather (side_t *self, const loader_order_t *order, loader_handle_t *ret, yard_error_t *error)
{
    (void) ret;
    return self->class->gather (self->gather, self->memory, order->offset, order->size, NULL, error);
}

static int on_broadcast (side_t *self, const loader_order_t *order, loader_handle_t *ret, yard_error_t *error)
{
    (void) ret;
    return self->class->broadcast (self->gather, self->memory, order->offset, order->size, order->rank, NULL,
                                   error);
}

static int on_settle (side_t *self, const loader_order_t *order, loader_handle_t *ret, yard_error_t *error)
{
    (void) order, (void) ret;
    return loader_proof_settle (self->class, self->gather, error);
}

static int on_leave (side_t *self, const loader_order_t *order, loader_handle_t *ret, yard_error_t *error)
{
    (void) order, (void) ret, (void) error;
    self->class->gather_leave (&self->gather, 0);
    return 0;
}

typedef int (order_fn) (side_t *self, const loader_order_t *order, loader_handle_t *ret, yard_error_t *error);
static order_fn *const orders [LOADER_ORDERS] = {
    [LOADER_ORDER_ALLOCATE] = on_allocate,   [LOADER_ORDER_FILL] = on_fill,
    [LOADER_ORDER_EXPORT] = on_export,       [LOADER_ORDER_IMPORT] = on_import,
    [LOADER_ORDER_CHECK] = on_check,         [LOADER_ORDER_RELEASE] = on_release,
    [LOADER_ORDER_JOIN] = on_join,           [LOADER_ORDER_GATHER] = on_gather,
    [LOADER_ORDER_BROADCAST] = on_broadcast, [LOADER_ORDER_SETTLE] = on_settle,
    [LOADER_ORDER_LEAVE] = on_leave,
};

/*  Orders until the socket ends. opened: how opening the device went, the answer to all of them when it failed. */
static void serve (side_t *side, const yard_error_t *opened)
{
    loader_order_t order;
    int fd = -1;
    while (receive_packet (PEER_SOCKET, &order, sizeof order, &fd, NULL) == 0) {
        yard_error_t error = *opened;
        answer_t answer = { .handle.fd = -1 };
        order.handle.fd = fd;
        answer.code = error.code ? error.code
                      : order.word >= LOADER_ORDERS
                          ? yard_error (&error, YARD_INVALID_MESSAGE, "no such order")
                          : orders [order.word](side, &order, &answer.handle, &error);
        snprintf (answer.text, sizeof answer.text, "%s", answer.code ? error.text : "");
        send_packet (PEER_SOCKET, &answer, sizeof answer, answer.handle.fd, NULL);
        if (answer.handle.fd >= 0)
            close (answer.handle.fd);
        if (fd >= 0)
            close (fd);
    }
}

int loader_device_proof_peer (int argc, char **argv)
{
    if (argc != 4 || strcmp (argv [1], LOADER_PROOF_PEER) != 0)
        return -1;
    side_t side = { 0 };
    yard_error_t error = { 0 };
    loader_export_t wish = (loader_export_t) strtol (argv [3], NULL, 10);
    if (loader_device_class (argv [2], &side.class, &error) == 0)
        side.class->open (argv [2], wish, &side.device, &error);
    serve (&side, &error);
    if (side.class && side.device) {
        if (side.gather)
            side.class->gather_leave (&side.gather, 1);
        side.class->release (side.device, &side.memory);
        side.class->close (&side.device);
    }
    return 0;
}
