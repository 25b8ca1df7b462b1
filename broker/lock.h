// SPDX-License-Identifier: Apache-2.0
/*  lock.h - one broker per socket path
 *
 *  A bind to an ipc path that a live process holds succeeds and steals its new connections, and a dead one's file stays behind. So: flock a
 *  file beside it, then take the dead socket away, then bind. The kernel gives the lock back when its process ends, however it ends.
 */
#ifndef YARD_BROKER_LOCK_H
#define YARD_BROKER_LOCK_H

#include "actors/ground/error.h"

/*  ret_fd holds the lock while it is open. taken: a live process has it; the sentence names it. */
int broker_lock (const char *path, int *ret_fd, yard_error_t *error);

/*  Removes the socket that a dead process left at an ipc endpoint; other endpoints and missing paths are fine. */
int broker_lock_clear (const char *endpoint, yard_error_t *error);

#endif
