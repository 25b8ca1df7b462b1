// SPDX-License-Identifier: Apache-2.0
/*  supervisor.h - starts processes in stages, restarts them one for one, stops them in reverse (ARCHITECTURE
 *  10)
 *
 *  Promises: a stage starts when all below it are ready; who ends is started again after a wait that grows
 *  from 0.1 s to 60 s; who is silent for 10 s is aborted, then killed; on SIGTERM or SIGINT the stages stop
 *  from the last to the first, and it returns.
 *  Refuses: a first start in which a process says that it cannot start (exit code 2), or is not ready in
 *  time: then all are stopped.
 *
 *  One thread, no ZeroMQ. SIGTERM, SIGINT and SIGHUP are blocked in the caller's thread from new on.
 */
#ifndef MODELYARD_SUPERVISOR_H
#define MODELYARD_SUPERVISOR_H

#include "actors/ground/error.h"

typedef struct supervisor_t supervisor_t;

/*  log_directory NULL: the processes write where we write. */
int supervisor_new (const char *notify_path, const char *log_directory, supervisor_t **ret,
                    yard_error_t *error);
void supervisor_destroy (supervisor_t **self_p); /* kills what still runs */

/*  words ends with NULL; words [0] is the program's path. */
int supervisor_add (supervisor_t *self, const char *name, unsigned stage, const char *const *words,
                    yard_error_t *error);

/*  Blocks. ready is called once, when every process has been ready. 0: it was asked to stop and all have
 *  ended. A code: the first start failed, and all have ended too. */
typedef void (supervisor_ready_fn) (void *argument);
int supervisor_run (supervisor_t *self, supervisor_ready_fn *ready, void *argument, yard_error_t *error);

#endif
