// SPDX-License-Identifier: Apache-2.0
/*  offload.h - blocking work off the loop: fsync, hash, copy
 *
 *  One pool per process. work runs on a pool thread and touches only its argument; done runs on the loop, in
 *  yard_offload_pool_reap, once for every submit, in order of completion. A pool of 0 threads runs work at
 *  once inside reap (the simulation).
 */
#ifndef YARD_GROUND_OFFLOAD_H
#define YARD_GROUND_OFFLOAD_H

#include <stddef.h>

typedef struct yard_offload_pool_t yard_offload_pool_t;
typedef void (yard_work_fn) (void *argument); /* on a pool thread */
typedef void (yard_done_fn) (void *self, void *argument); /* on the loop; self is the actor's struct */

yard_offload_pool_t *yard_offload_pool_new (size_t threads);
/*  waits for running work; queued work is dropped, done not called */
void yard_offload_pool_destroy (yard_offload_pool_t **self_p);

void yard_offload_pool_submit (yard_offload_pool_t *self, yard_work_fn *work, yard_done_fn *done,
                               void *argument);
/*  an eventfd, readable when reap has work; -1 with 0 threads */
int yard_offload_pool_fd (const yard_offload_pool_t *self);
/*  calls done for what has ended; how many */
size_t yard_offload_pool_reap (yard_offload_pool_t *self, void *actor);
size_t yard_offload_pool_pending (const yard_offload_pool_t *self); /* submitted, not yet reaped */

#endif
