// SPDX-License-Identifier: Apache-2.0
/*  home_lock.h - one recorder per home: <home>/recorder.lock, flocked for the life of the process
 *
 *  The broker lets one recorder on its bus; two buses on one home would still be two writers. The lock ends
 *  with the process, however it ends; the file is never deleted, for its inode is the lock.
 */
#ifndef YARD_RECORDER_HOME_LOCK_H
#define YARD_RECORDER_HOME_LOCK_H

#include "actors/ground/error.h"

/*  Gives the descriptor that is the lock; close it to give the home free. taken: another recorder has it. */
int recorder_home_lock (const char *home, int *ret_fd, yard_error_t *error);

#endif
