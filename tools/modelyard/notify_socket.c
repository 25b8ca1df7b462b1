// SPDX-License-Identifier: Apache-2.0
/*  notify_socket.c - where supervised processes say how they are
 */
#include "notify_socket.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "actors/ground/paths.h"
#include "actors/ground/view.h"

#define DATAGRAM_MAX \
    4096 /* ours are under 300 bytes; what is longer is cut, and its last line not understood */

struct notify_socket_t {
    int fd;
    char path [YARD_SOCKET_PATH_MAX + 1];
};

int notify_socket_new (const char *path, notify_socket_t **ret, yard_error_t *error)
{
    if (strlen (path) > YARD_SOCKET_PATH_MAX)
        return yard_error (
            error, YARD_TOO_LARGE,
            "the socket path %s is longer than %d bytes; choose a shorter run directory with --run", path,
            YARD_SOCKET_PATH_MAX);
    notify_socket_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    memcpy (self->path, path, strlen (path) + 1);
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    memcpy (address.sun_path, path, strlen (path) + 1);
    self->fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unlink (path);
    if (self->fd < 0 || bind (self->fd, (const struct sockaddr *) &address, sizeof address) ||
        setsockopt (self->fd, SOL_SOCKET, SO_PASSCRED, &(int){ 1 }, sizeof (int))) {
        int rc = yard_error_errno (error, errno, "cannot make the socket %s", path);
        notify_socket_destroy (&self);
        return rc;
    }
    *ret = self;
    return 0;
}

void notify_socket_destroy (notify_socket_t **self_p)
{
    assert (self_p);
    notify_socket_t *self = *self_p;
    if (!self)
        return;
    if (self->fd >= 0)
        close (self->fd);
    unlink (self->path);
    free (self);
    *self_p = NULL;
}

int notify_socket_fd (const notify_socket_t *self)
{
    return self->fd;
}

void notification_read (notification_t *self, const char *text, size_t size)
{
    while (size > 0) {
        const char *end = memchr (text, '\n', size);
        yard_string_t line = { text, end ? (size_t) (end - text) : size };
        self->ready = self->ready || yard_string_is (line, "READY=1");
        self->watchdog = self->watchdog || yard_string_is (line, "WATCHDOG=1");
        size_t taken = line.size + (end ? 1 : 0);
        text += taken;
        size -= taken;
    }
}

bool notify_socket_receive (notify_socket_t *self, notification_t *ret)
{
    char bytes [DATAGRAM_MAX];
    _Alignas(
        struct cmsghdr) char control [CMSG_SPACE (sizeof (struct ucred)) + CMSG_SPACE (sizeof (int) * 8)];
    struct iovec part = { bytes, sizeof bytes };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
    };
    ssize_t size = recvmsg (self->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (size < 0)
        return false;
    *ret = (notification_t){ 0 };
    for (struct cmsghdr *row = CMSG_FIRSTHDR (&message); row; row = CMSG_NXTHDR (&message, row)) {
        if (row->cmsg_level != SOL_SOCKET)
            continue;
        if (row->cmsg_type == SCM_CREDENTIALS) {
            struct ucred credentials;
            memcpy (&credentials, CMSG_DATA (row), sizeof credentials);
            ret->pid = credentials.pid;
        } else if (row->cmsg_type ==
                   SCM_RIGHTS) { /* nobody is asked for descriptors: they must not pile up */
            for (size_t at = CMSG_LEN (0); at + sizeof (int) <= row->cmsg_len; at += sizeof (int)) {
                int fd;
                memcpy (&fd, (const char *) row + at, sizeof fd);
                close (fd);
            }
        }
    }
    notification_read (ret, bytes, (size_t) size);
    return true;
}
