// SPDX-License-Identifier: Apache-2.0
/*  spread_share.h - which bytes of a model each of several devices reads, when they give each other the rest
 *
 *  The plan's bytes [0, bytes) are cut into chunks of `ranks` shares; of each chunk rank r reads the r-th share, and an in-place
 *  all-gather completes it. A share has LOADER_SHARE_BYTES, in the last chunk a part of what is left, rounded up: so shares may reach
 *  over the plan's end, by less than loader_share_padding (ARCHITECTURE 7, "Several GPUs"). All of it is arithmetic.
 *
 *  Invariants: over all ranks, loader_share_cut gives every byte of every run exactly once; what it gives lies in one share each. Runs are
 *  in the order of their files, and keep it.
 */
#ifndef LOADER_SPREAD_SHARE_H
#define LOADER_SPREAD_SHARE_H

#include "actors/loader/read.h"

#define LOADER_SHARE_BYTES LOADER_CHUNK_BYTES /* a share is read, and copied to the device, as one chunk */
#define LOADER_SHARE_ALIGNMENT \
    256u /* of the plan's tensors (plan.h), and more than NCCL's fast paths ask for */

/*  One chunk: ranks * share bytes at offset. */
typedef struct {
    uint64_t offset, share;
} loader_share_t;

size_t loader_share_chunks (uint64_t bytes, unsigned ranks);
loader_share_t loader_share_of (uint64_t bytes, unsigned ranks, size_t chunk);
/*  Which chunk has the byte at `to` of the plan. */
size_t loader_share_chunk_at (unsigned ranks, uint64_t to);
/*  How far the last share of so many ranks, or fewer, may reach over the plan's end. */
uint64_t loader_share_padding (unsigned ranks);

/*  What rank reads; *ret_runs is the caller's to free, also when it is 0. */
size_t loader_share_cut (const loader_run_t *runs, size_t count, uint64_t bytes, unsigned rank,
                         unsigned ranks, loader_run_t **ret_runs);
/*  What belongs at `from` or behind it; the same. */
size_t loader_share_rest (const loader_run_t *runs, size_t count, uint64_t from, loader_run_t **ret_runs);

#endif
