// SPDX-License-Identifier: Apache-2.0
/*  loads.h - what is loaded here, and what is being loaded; equal wishes share one load
 *
 *  A model is found by its key, part, variant, form and path; then its files are looked at again, off the loop, and only if they are
 *  still the very same files (device, inode, size, time) is it shared. A mapped model that nobody uses any more is closed by the next
 *  sweep; one that has memory of its own stays in the cache until room is needed (tier.h).
 *
 *  Invariants: the waiter's function runs exactly once, from the loop, never from inside want, unless it was forgotten first; forgetting
 *  one waiter does not stop the load for another, forgetting the last one does.
 */
#ifndef LOADER_LOADS_H
#define LOADER_LOADS_H

#include "actors/loader/opening.h"
#include "actors/loader/registry.h"
#include "actors/loader/tier.h"
#include "actors/runtime/actor.h"

typedef struct loader_loads_t loader_loads_t;
typedef struct loader_waiter_t loader_waiter_t;

typedef struct {
    const model_config_t *config;
    yard_string_t submodel; /* empty for the whole */
    yard_string_t variant; /* empty: the plain files */
    bool variant_soft; /* as in opening.h */
    load_form_t form;
    bool look_only; /* opened, planned and closed again: for estimates; never shared */
    const loader_kind_t *kind; /* NULL: the registry's */
    const char *root; /* below which the path is; NULL: the models directory */
    int priority;
    int64_t deadline_ms; /* monotonic; LOADER_NO_DEADLINE */
    const loader_slices_t *slices; /* of a device: what it takes of the model; NULL: all */
    const loader_fill_sharing_t *sharing; /* of a load that this wish begins; NULL: nobody */
} loader_wish_t;

typedef struct {
    int code; /* 0, or why not; the sentence is in error */
    const yard_error_t *error;
    loader_model_t *model; /* borrowed: use it, and its entry (loader_tier_use), to keep it */
    bool shared; /* it was loaded, or under way, before this wish */
    const loader_phase_t *phases;
    size_t phase_count;
} loader_loaded_t;
typedef void (loader_loaded_fn) (void *argument, const loader_loaded_t *loaded);

loader_loads_t *loader_loads_new (yard_actor_t *actor, const loader_registry_t *registry,
                                  loader_tier_t *tier);
void loader_loads_destroy (loader_loads_t **self_p); /* after the runtime has reaped all offloaded work */

/*  YARD_NOT_IMPLEMENTED, YARD_TOO_LARGE, YARD_BUSY at once; everything else through fn. */
int loader_loads_want (loader_loads_t *self, const loader_wish_t *wish, loader_loaded_fn *fn, void *argument,
                       loader_waiter_t **ret, yard_error_t *error);
void loader_loads_forget (loader_waiter_t **waiter_p);
/*  Nobody shares the load any more (loader_fill_alone). */
void loader_loads_alone (loader_waiter_t *waiter, uint64_t good);
/*  Stops every load under way: its waiters hear YARD_CANCELLED. */
void loader_loads_cancel (loader_loads_t *self);

/*  Closes the mapped models that nobody uses. */
void loader_loads_sweep (loader_loads_t *self);
/*  The tier evicts: takes the model out, and tells its key and part [LOADER_SUBMODEL_SIZE]. */
void loader_loads_evicted (loader_loads_t *self, loader_model_t *model, char *ret_key, size_t key_size,
                           char *ret_submodel);
size_t loader_loads_models (const loader_loads_t *self);
size_t loader_loads_under_way (const loader_loads_t *self);

/*  What is loaded, and what is being loaded but for looks and what is being cancelled:
 *  for (size_t at = 0; loader_loads_next (self, &at, &row);) */
typedef struct {
    const char *key, *submodel, *name;
    loader_model_t *model; /* NULL: under way */
    uint64_t bytes, total_bytes; /* under way: read so far, to read */
    int64_t since_ms; /* monotonic: of the last use, or the beginning */
    load_form_t form;
} loader_load_row_t;
bool loader_loads_next (const loader_loads_t *self, size_t *at, loader_load_row_t *ret);
bool loader_loads_next_under_way (const loader_loads_t *self, size_t *at, loader_load_row_t *ret);

#endif
