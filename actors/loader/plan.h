// SPDX-License-Identifier: Apache-2.0
/*  plan.h - where a model's tensors lie on a device, and which bytes of its files go there
 *
 *  A device takes tensors and nothing else: no headers, and of a checkpoint only the part that is loaded. All files share one
 *  allocation. The plan is a pure function of the directory, so every loader of the same files makes the same one; its hash says so
 *  before devices exchange bytes (ARCHITECTURE 7).
 *
 *  Invariants: every tensor starts at a multiple of 16, and at the same place modulo 256 as in its file, if all of them are so aligned
 *  in their files; else every tensor starts at a multiple of 256. One without bytes lies anywhere
 *  within the allocation. Runs are in the order of regions and offsets, at most one for each tensor, and do not overlap.
 */
#ifndef LOADER_PLAN_H
#define LOADER_PLAN_H

#include "actors/ground/error.h"
#include "actors/loader/read.h"
#include "proto/directory.h"

#define LOADER_PLAN_HASH_SIZE 33 /* half of a sha256, as hex digits */

#define LOADER_PACKED ((uint64_t) 1 << 62) /* a run's `to` from here on is in a pack: no device has so much */

/*  A tensor of which every row gives a segment to the device (spread_slice.h). Its run reads all of it to `at`. */
typedef struct {
    uint64_t at, bytes; /* of the whole */
    uint64_t stride, first, segment; /* bytes: of a row; in it, before the segment; of the segment */
    uint64_t to; /* on the device, where the segments lie one behind the other */
} loader_pack_t;

typedef struct {
    loader_run_t *runs; /* source = the region in the directory that the plan was made from */
    size_t run_count;
    loader_pack_t *packs; /* in the order of `at`; NULL: none, as for a whole model */
    size_t pack_count;
    uint64_t bytes; /* of the allocation, a multiple of 256 */
    char hash [LOADER_PLAN_HASH_SIZE];
} loader_plan_t;

/*  Appends to ret_directory the directory of the same tensors as they lie on the device: in region 0, at their new offsets. */
int loader_plan_make (const yard_directory_t *directory, loader_plan_t *ret, yard_buffer_t *ret_directory,
                      yard_error_t *error);
void loader_plan_clear (loader_plan_t *self);

/*  By file, then by offset: negative, 0 or positive, as for qsort. */
int loader_plan_order (const yard_tensor_row_t *a, const yard_tensor_row_t *b);

#endif
