// SPDX-License-Identifier: Apache-2.0
/*  tier.h - one kind of memory: the host's own, or a device's; who is in it, and how models get there
 *
 *  A loader serves one tier. A model whose files are open is given to it and comes back with memory of its own: room is reserved in the
 *  ledger, memory prepared, filled by the reader, and sealed or exported. Then it is an entry of the LRU until room is needed.
 *
 *      ask room -> prepare -> read -> finish -> held      (fill.c; what prepare and finish are: fill_host.c, fill_device.c)
 *
 *  Invariants: everything here is called on the loop. What blocks runs on the pool or the device thread. A fill that fails or is
 *  cancelled leaves the ledger, memory and descriptors as they were.
 */
#ifndef LOADER_TIER_H
#define LOADER_TIER_H

#include "actors/loader/device_thread.h"
#include "actors/loader/ledger.h"
#include "actors/loader/lru.h"
#include "actors/loader/model.h"
#include "actors/loader/read.h"
#include "actors/runtime/actor.h"

typedef struct loader_tier_t loader_tier_t;

/*  An idle model has to go: the owner takes its own use of it away. reason: "room", "time" or "asked". */
typedef void (loader_evicted_fn) (void *argument, loader_model_t *model, const char *reason);

/*  device: "host", or a GPU's name: then it is opened, which takes as long as the driver does. */
int loader_tier_new (yard_actor_t *actor, const char *device, loader_evicted_fn *evicted, void *argument,
                     loader_tier_t **ret, yard_error_t *error);
/*  The loop turns no more: waits for the fills, all of which have been cancelled; from now on models are freed on the spot. */
void loader_tier_close (loader_tier_t *self);
/*  After close, when all models have been dropped. */
void loader_tier_destroy (loader_tier_t **self_p);

bool loader_tier_is_device (const loader_tier_t *self);
const loader_device_about_t *
loader_tier_about (const loader_tier_t *self); /* of a device; NULL for the host */

/*  --- filling */
typedef struct loader_fill_t loader_fill_t;

/*  Who shares the work of a fill with other devices (spread_part.c): after prepare and after each read the fill is held until it is told
 *  how to go on. On the loop. */
typedef struct {
    uint64_t ranks; /* how many share at most: room for their last shares is allocated behind the model */
    uint64_t extra_bytes; /* reserved beside the memory, given back at the end */
    void (*prepared) (void *argument, loader_fill_t *fill); /* memory is there: loader_fill_read */
    void (*read_over) (
        void *argument); /* loader_fill_finish when all bytes are there, or loader_fill_alone */
    /*  The fill comes to nothing. Whatever works on its memory ends before what is asked of the device thread next. */
    void (*failed) (void *argument);
    void *argument;
} loader_fill_sharing_t;

typedef struct {
    loader_model_t *model; /* its files are open; used by the caller until done */
    const loader_fill_sharing_t *sharing; /* borrowed until done or alone; NULL: nobody */
    int priority;
    int64_t deadline_ms; /* monotonic; LOADER_NO_DEADLINE */
    /*  Once, on the loop, never from inside start. error->code is 0: the model is filled and held, and one use of its entry is the
     *  caller's. The fill is gone after it. */
    void (*done) (void *argument, const yard_error_t *error, const loader_phase_t *phases,
                  size_t phase_count);
    void *argument;
} loader_fill_wish_t;

/*  YARD_OUT_OF_MEMORY, YARD_BUSY at once. */
int loader_fill_start (loader_tier_t *self, const loader_fill_wish_t *wish, loader_fill_t **ret,
                       yard_error_t *error);
void loader_fill_cancel (loader_fill_t *self); /* done comes, with YARD_CANCELLED */
void loader_fill_give_time (loader_fill_t *self,
                            int64_t deadline_ms); /* to wait for room; later than before */
void loader_fill_progress (loader_fill_t *self, uint64_t *ret_bytes, uint64_t *ret_total);

/*  --- of a fill that is shared. The model's plan and allocation are there from prepared on. */
loader_model_t *loader_fill_model (const loader_fill_t *self);
/*  The budget has room for the model, and never for extra_bytes beside it: none are reserved. */
bool loader_fill_is_apart (const loader_fill_t *self);
/*  Reads these runs (taken, to be freed), telling the group of each copy. read_over follows in any case. */
typedef struct loader_group_t loader_group_t;
void loader_fill_read (loader_fill_t *self, loader_run_t *runs, size_t count, loader_group_t *group);
void loader_fill_forget_group (loader_fill_t *self); /* before it is left */
void loader_fill_finish (loader_fill_t *self); /* held: it is full */
/*  Nobody shares it any more: reads all that belongs at `good` or behind it by itself, and finishes. The group is not told any more. */
void loader_fill_alone (loader_fill_t *self, uint64_t good);

/*  --- what is held; models that no tier holds (mapped ones) are left alone */
void loader_tier_use (loader_tier_t *self, loader_model_t *model);
void loader_tier_release (loader_tier_t *self, loader_model_t *model);
/*  Its files are others now: it leaves the cache, whoever uses it. */
void loader_tier_retire (loader_tier_t *self, loader_model_t *model);
int loader_tier_evict (loader_tier_t *self, loader_model_t *model,
                       yard_error_t *error); /* YARD_CONFLICT: in use */
/*  As many idle ones as make `bytes` free, or all with UINT64_MAX. */
void loader_tier_make_room (loader_tier_t *self, uint64_t bytes);

/*  How many bytes a model would take. */
uint64_t loader_tier_need (const loader_tier_t *self, const loader_model_t *model);
loader_verdict_t loader_tier_estimate (const loader_tier_t *self, uint64_t bytes, int priority,
                                       uint64_t *ret_evict);

typedef struct {
    loader_ledger_numbers_t ledger;
    loader_lru_numbers_t lru;
    loader_reader_counts_t reader;
} loader_tier_numbers_t;
void loader_tier_numbers (const loader_tier_t *self, loader_tier_numbers_t *ret);

#endif
