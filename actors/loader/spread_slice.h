// SPDX-License-Identifier: Apache-2.0
/*  spread_slice.h - one device's slices of a model, by a tensor-parallel plan: names' patterns, and the axis that each is cut along
 *
 *  Of a tensor that is cut, rank r of n has the r-th of n equal parts of one dimension, row-major without gaps; any other tensor is whole
 *  on each rank. Cut along its first dimension it is one run of its file. Cut along another it is a segment of each row: long segments
 *  are read one by one; short ones are packed: the whole tensor is read, and each chunk of it shrinks in its slot to what is wanted before
 *  it is copied to the device, since a disk reads everything sooner than a tenth of it in small pieces.
 *
 *  Invariants: pure functions of the directory and the slices. Over all ranks, every byte of a cut tensor goes to exactly one.
 */
#ifndef LOADER_SPREAD_SLICE_H
#define LOADER_SPREAD_SLICE_H

#include "actors/loader/plan.h"

#define LOADER_SLICES_MAX 64 /* load_spread_ask.slices */
#define LOADER_PATTERN_SIZE 256 /* load_slice.pattern */

typedef struct {
    unsigned rank, ranks;
    size_t count;
    struct {
        char pattern [LOADER_PATTERN_SIZE]; /* of the shell's kind (fnmatch) */
        uint32_t axis;
    } rows [LOADER_SLICES_MAX];
    char name [64]; /* of all of the above, for a cache: equal slices have equal names (loader_slices_name) */
} loader_slices_t;

void loader_slices_name (loader_slices_t *self);

/*  As loader_plan_make, with the slices' shapes in the directory. YARD_INVALID_MESSAGE names the tensor that cannot be cut. */
int loader_slice_plan_make (const yard_directory_t *directory, const loader_slices_t *slices,
                            loader_plan_t *ret, yard_buffer_t *ret_directory, yard_error_t *error);

/*  A chunk that was read for a pack (slot->to is LOADER_PACKED or above): moves what is wanted of it to its beginning. *ret_size bytes
 *  of it belong at *ret_to on the device; there may be none. */
void loader_slice_pack (const loader_plan_t *plan, const loader_slot_t *slot, uint64_t *ret_to,
                        size_t *ret_size);

#endif
