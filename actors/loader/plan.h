// SPDX-License-Identifier: Apache-2.0
/*  plan.h - where a model's tensors lie on a device, and which bytes of its files go there
 *
 *  A device takes tensors and nothing else: no headers, and of a checkpoint only the part that is loaded. All files share one
 *  allocation. The plan is a pure function of the directory, so every loader of the same files makes the same one; its hash says so
 *  before devices exchange bytes (ARCHITECTURE 7).
 *
 *  Invariants: every tensor starts at a multiple of 16, and at the same place modulo 256 as in its file, if all of them are so aligned
 *  in their files; else every tensor starts at a multiple of 256. Runs are in the order of regions and offsets, at most one for each
 *  tensor, and do not overlap.
 */
#ifndef LOADER_PLAN_H
#define LOADER_PLAN_H

#include "actors/ground/error.h"
#include "actors/loader/read.h"
#include "proto/directory.h"

#define LOADER_PLAN_HASH_SIZE 33 /* half of a sha256, as hex digits */

typedef struct {
    loader_run_t *runs; /* source = the region in the directory that the plan was made from */
    size_t run_count;
    uint64_t bytes; /* of the allocation, a multiple of 256 */
    char hash [LOADER_PLAN_HASH_SIZE];
} loader_plan_t;

/*  Appends to ret_directory the directory of the same tensors as they lie on the device: in region 0, at their new offsets. */
int loader_plan_make (const yard_directory_t *directory, loader_plan_t *ret, yard_buffer_t *ret_directory,
                      yard_error_t *error);
void loader_plan_clear (loader_plan_t *self);

#endif
