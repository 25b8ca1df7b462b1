// SPDX-License-Identifier: Apache-2.0
/*  notify.c - datagrams to the supervisor
 *
 *  Each is sent to the address anew, not over a connected socket: so a supervisor that was restarted
 *  and bound the same path hears us again. What cannot be sent now is dropped: the next watchdog line
 *  follows soon, and a supervisor that never hears READY says so itself.
 */
#include "notify.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct yard_notify_t {
    int socket;
    struct sockaddr_un address;
    socklen_t address_size;
    int64_t watchdog_ms;
};

/*  A whole positive decimal number, or 0. */
static int64_t positive_number (const char *text)
{
    char *end = NULL;
    errno = 0;
    long long value = text ? strtoll (text, &end, 10) : 0;
    return text && end != text && *end == 0 && errno == 0 && value > 0 ? value : 0;
}

/*  WATCHDOG_PID names the process that is watched: a child that inherited the variables is not. */
static int64_t watchdog_ms_from_environment (void)
{
    const char *pid = getenv ("WATCHDOG_PID");
    if (pid && positive_number (pid) != getpid ())
        return 0;
    return positive_number (getenv ("WATCHDOG_USEC")) / 1000;
}

yard_notify_t *yard_notify_new (void)
{
    const char *path = getenv ("NOTIFY_SOCKET");
    size_t size = path ? strlen (path) : 0;
    /* An absolute path, or @name for the abstract namespace. */
    if (size < 2 || (path [0] != '/' && path [0] != '@'))
        return NULL;
    yard_notify_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->socket = -1;
    if (size >= sizeof self->address.sun_path)
        goto fail;
    self->address.sun_family = AF_UNIX;
    memcpy (self->address.sun_path, path, size);
    self->address_size = (socklen_t) (offsetof (struct sockaddr_un, sun_path) + size);
    if (path [0] == '@')
        self->address.sun_path [0] = 0;
    self->socket = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (self->socket < 0)
        goto fail;
    self->watchdog_ms = watchdog_ms_from_environment ();
    return self;
fail:
    yard_notify_destroy (&self);
    return NULL;
}

void yard_notify_destroy (yard_notify_t **self_p)
{
    assert (self_p);
    yard_notify_t *self = *self_p;
    if (!self)
        return;
    if (self->socket >= 0)
        close (self->socket);
    free (self);
    *self_p = NULL;
}

void yard_notify_send (yard_notify_t *self, const char *lines)
{
    if (!self)
        return;
    ssize_t sent = sendto (self->socket, lines, strlen (lines), MSG_NOSIGNAL | MSG_DONTWAIT,
                           (const struct sockaddr *) &self->address, self->address_size);
    (void) sent;
}

int64_t yard_notify_watchdog_ms (const yard_notify_t *self)
{
    return self ? self->watchdog_ms : 0;
}
