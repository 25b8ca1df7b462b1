// SPDX-License-Identifier: Apache-2.0
/*  simcuda.h - what the simulated NCCL needs of the simulated CUDA; no product code sees this
 *
 *  Both are libraries of ours with the real ones' names, linked together. The simulated libcudart exports these under the version node
 *  SIMCUDA_1.
 */
#ifndef SIMCUDA_H
#define SIMCUDA_H

#include <stddef.h>
#include <stdint.h>

/*  Work of ours in a stream's order, on that stream's thread. Returns 0 when it is over, or 1: not yet, ask again soon; the stream waits.
 *  A negative number: the stream has failed (sticky). */
typedef int (simcuda_work_fn) (void *argument);
int simcuda_enqueue (void *stream, simcuda_work_fn *work, void *argument);

/*  The simulation's own writable mapping of [pointer, pointer + size) on a device, or NULL: no such memory, or it reaches over its
 *  allocation's end. ret_device: whose it is. */
void *simcuda_memory (const void *pointer, size_t size, int *ret_device);

/*  One line into the simulation's log (SIMCUDA_LOG, a file's name), with process and thread. */
void simcuda_log (const char *format, ...) __attribute__ ((format (printf, 1, 2)));

/*  A script of failures, SIMCUDA_FAULTS: "cudaMalloc:3=2,ncclAllGather:1=hang". The n-th call of this name from now on; what to do
 *  instead (a number: return it), or NULL: nothing. */
const char *simcuda_fault (const char *name);

#endif
