// SPDX-License-Identifier: Apache-2.0
/*  spread_group.h - this device's end of a group of devices that complete one model together
 *
 *  Each chunk is asked for as soon as this rank's share of it is on the device, and in order, which is the same on all ranks. At most
 *  WINDOW chunks are asked for before all of them must be over: so there is progress to be seen, and a device that stands still is told
 *  from one that is slow. Work is over only when device.h's gather_state says so.
 *
 *  Invariants: `over` runs once, on the loop, unless the group was left before. Nothing here waits for another rank, but leaving in peace,
 *  for a second at most, on the device thread.
 */
#ifndef LOADER_SPREAD_GROUP_H
#define LOADER_SPREAD_GROUP_H

#include "actors/loader/device_thread.h"
#include "actors/loader/read.h"

typedef struct loader_group_t loader_group_t;

typedef struct {
    uint8_t id [LOADER_GATHER_ID_SIZE];
    unsigned rank, ranks;
    int root; /* who has all of it: a broadcast; -1: each reads its shares */
    uint64_t bytes; /* of the plan */
    loader_memory_t *memory; /* with room for the last shares; lives until the group was left */
    const loader_run_t
        *runs; /* what this rank reads, cut at the borders of shares; borrowed until new returns */
    size_t run_count;
    /*  On the loop. error->code is 0: all bytes are there. */
    void (*over) (void *argument, const yard_error_t *error);
    void *argument;
} loader_group_wish_t;

loader_group_t *loader_group_new (loader_device_thread_t *device, loader_mail_t *mail,
                                  const loader_group_wish_t *wish);
/*  Some bytes of this rank's share are on the device. On the device thread. */
void loader_group_copied (loader_group_t *self, uint64_t to, size_t size);
/*  Grows while there is progress. Any thread. */
uint64_t loader_group_steps (const loader_group_t *self);
/*  How many bytes from 0 on are there for certain: of a group that is over. */
uint64_t loader_group_good (const loader_group_t *self);
/*  abort: also what hangs; else all ranks leave now, after theirs were over. `over` runs no more; whatever is asked of the device thread
 *  after this finds the memory at rest. Takes NULL. */
void loader_group_leave (loader_group_t **self_p, bool abort);

#endif
