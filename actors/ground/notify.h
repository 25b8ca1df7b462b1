// SPDX-License-Identifier: Apache-2.0
/*  notify.h - tells the supervisor (systemd or `modelyard up`) how this process is
 *
 *  The sd_notify protocol: a datagram of NAME=value lines to the AF_UNIX socket in $NOTIFY_SOCKET (man 3
 *  sd_notify, "Notes"). Without that variable nothing is sent. Never blocks.
 */
#ifndef YARD_GROUND_NOTIFY_H
#define YARD_GROUND_NOTIFY_H

#include <stdint.h>

typedef struct yard_notify_t yard_notify_t;

yard_notify_t *yard_notify_new (void); /* reads NOTIFY_SOCKET and WATCHDOG_USEC; NULL when nobody listens */
void yard_notify_destroy (yard_notify_t **self_p);
void yard_notify_send (yard_notify_t *self, const char *lines); /* "READY=1\nSTATUS=..."; self may be NULL */
int64_t yard_notify_watchdog_ms (const yard_notify_t *self); /* 0 = no watchdog; feed at half of it */

#endif
