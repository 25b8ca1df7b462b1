// SPDX-License-Identifier: Apache-2.0
/*  loads.h - what is loaded here, and what is being loaded; equal wishes share one load
 *
 *  A model is found by its key, part and path; then its files are looked at again, off the loop, and only if
 *  they are still the very same files (device, inode, size, time) is it shared. A model that nobody uses any
 *  more is closed by the next sweep.
 *
 *  Invariants: the waiter's function runs exactly once, from the loop, never from inside want, unless it was
 *  forgotten first; forgetting one waiter does not stop the load for another.
 */
#ifndef LOADER_LOADS_H
#define LOADER_LOADS_H

#include "actors/loader/opening.h"
#include "actors/loader/registry.h"
#include "actors/runtime/actor.h"

typedef struct loader_loads_t loader_loads_t;
typedef struct loader_waiter_t loader_waiter_t;

typedef struct {
    int code; /* 0, or why not; the sentence is in error */
    const yard_error_t *error;
    loader_model_t *model; /* borrowed: use it to keep it */
    bool shared; /* it was loaded, or under way, before this wish */
    const loader_phase_t *phases;
    size_t phase_count;
} loader_loaded_t;
typedef void (loader_loaded_fn) (void *argument, const loader_loaded_t *loaded);

loader_loads_t *loader_loads_new (yard_actor_t *actor, const loader_registry_t *registry);
void loader_loads_destroy (loader_loads_t **self_p); /* after the runtime has reaped all offloaded work */

/*  submodel: empty for the whole. YARD_NOT_IMPLEMENTED, YARD_TOO_LARGE, YARD_BUSY at once; everything else
 *  through fn. */
int loader_loads_want (loader_loads_t *self, const model_config_t *config, yard_string_t submodel,
                       loader_loaded_fn *fn, void *argument, loader_waiter_t **ret, yard_error_t *error);
void loader_loads_forget (loader_waiter_t **waiter_p);

/*  Closes the models that nobody uses. */
void loader_loads_sweep (loader_loads_t *self);
size_t loader_loads_models (const loader_loads_t *self);

#endif
