// SPDX-License-Identifier: Apache-2.0
/*  sandbox.h - probes files in processes that can do nothing else
 *
 *      actor --- link (SEQPACKET) --- server --- fork per probe --- child: reads one file, sends one verdict, ends
 *
 *  The server is forked before the actor has a thread or a ZeroMQ context, so every child is a small, clean
 *  copy. It parses nothing. A child gets the file already open, is confined (confine.h) before it reads the
 *  first byte, and its verdict counts only if it then ended well; one that dies, or is not done in time,
 *  makes a verdict of YARD_PROBE_CRASHED that says how. Nothing outlives its parent: child, server and actor
 *  are chained by parent-death signals.
 *
 *  The actor's side never blocks. At most `children` probes run, at most 256 wait; what is beyond is
 *  YARD_BUSY.
 */
#ifndef YARD_PROBER_SANDBOX_H
#define YARD_PROBER_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "actors/prober/confine.h"
#include "actors/prober/verdict.h"

typedef struct prober_sandbox_t prober_sandbox_t;

/*  Forks the server: to be called from the class's prepare, on the main thread. NULL with error when that
 *  fails. */
prober_sandbox_t *prober_sandbox_new (const prober_limits_t *limits, yard_error_t *error);
/*  ends the server and its children; verdicts not received are lost */
void prober_sandbox_destroy (prober_sandbox_t **self_p);

int prober_sandbox_fd (const prober_sandbox_t *self); /* readable when receive has something */

/*  fd: a model file, opened with O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC; taken on success, the
 *  caller's still on failure. name: the file's, without folders. YARD_BUSY when 256 wait; YARD_GONE when the
 *  server is dead. */
int prober_sandbox_submit (prober_sandbox_t *self, int fd, const char *name, uint64_t ticket,
                           yard_error_t *error);

/*  1: a verdict for a ticket, in order of completion. 0: nothing now. YARD_GONE: the server is dead, and so
 *  are all tickets; the actor is to end and be started anew. The verdict is disarmed (verdict.h). */
int prober_sandbox_receive (prober_sandbox_t *self, uint64_t *ret_ticket, prober_verdict_t *ret_verdict,
                            yard_error_t *error);

size_t prober_sandbox_pending (const prober_sandbox_t *self); /* submitted, not yet received */
pid_t prober_sandbox_server (const prober_sandbox_t *self);

#endif
