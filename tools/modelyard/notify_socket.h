// SPDX-License-Identifier: Apache-2.0
/*  notify_socket.h - where supervised processes say how they are (man 3 sd_notify)
 *
 *  The kernel tells who sent a datagram (SCM_CREDENTIALS), so a process can speak only for itself.
 */
#ifndef MODELYARD_NOTIFY_SOCKET_H
#define MODELYARD_NOTIFY_SOCKET_H

#include <stdbool.h>
#include <sys/types.h>
#include "actors/ground/error.h"

typedef struct notify_socket_t notify_socket_t;

typedef struct {
    pid_t pid;
    bool ready; /* READY=1 */
    bool watchdog; /* WATCHDOG=1 */
} notification_t;

/*  Binds path anew: the caller holds the lock that says nobody else does. */
int notify_socket_new (const char *path, notify_socket_t **ret, yard_error_t *error);
void notify_socket_destroy (notify_socket_t **self_p); /* and removes the path */
int notify_socket_fd (const notify_socket_t *self);
bool notify_socket_receive (notify_socket_t *self, notification_t *ret); /* false: nothing more now */

/*  The lines of one datagram; unknown ones are skipped. */
void notification_read (notification_t *self, const char *text, size_t size);

#endif
