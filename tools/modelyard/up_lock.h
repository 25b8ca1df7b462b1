// SPDX-License-Identifier: Apache-2.0
/*  up_lock.h - <run>/up.lock: held by the one `modelyard up` of a run directory, which writes its process id
 *  into it
 *
 *  The lock is the truth, the number only where to send a signal: it is believed while the lock is held.
 */
#ifndef MODELYARD_UP_LOCK_H
#define MODELYARD_UP_LOCK_H

#include <sys/types.h>
#include "actors/ground/error.h"

/*  Gives the locked descriptor; taken says who holds it. The lock ends with the last process that has the
 *  descriptor. */
int up_lock_take (const char *run, int *ret_fd, yard_error_t *error);
int up_lock_write (int fd, yard_error_t *error); /* our process id */

/*  Who holds it, as a descriptor of that process (close it); not_found when nobody does. */
int up_lock_holder (const char *run, pid_t *ret_pid, int *ret_pidfd, yard_error_t *error);

#endif
