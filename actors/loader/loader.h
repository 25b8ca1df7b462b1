// SPDX-License-Identifier: Apache-2.0
/*  loader.h - the loader's struct, for the files that handle its asks
 *
 *  load.c is the way of one load, load_answer.c what its asker gets, load_path.c and load_remote.c load without a record, lock.c goes on with a lease,
 *  cache.c looks at what is in memory and evicts; loader.c is the rest.
 */
#ifndef LOADER_LOADER_H
#define LOADER_LOADER_H

#include "actors/loader/attach.h"
#include "actors/loader/leases.h"
#include "actors/loader/loads.h"
#include "actors/loader/views.h"

typedef struct loader_parts_t loader_parts_t;

typedef struct {
    yard_actor_t *actor;
    loader_registry_t *registry;
    loader_tier_t *tier;
    loader_loads_t *loads;
    loader_leases_t *leases;
    loader_attach_t *attach;
    loader_views_t views;
    yard_timer_t *lease_timer; /* fires when the next lease's time is over */
    yard_timer_t *progress_timer; /* fires while loads read */
    loader_parts_t *parts; /* of spreads, in which this device takes part (spread_part.c) */
    struct loader_spread_t *spreads; /* that this loader leads (spread.c) */
    struct loader_remote_t *remotes; /* loads that wait for their download (load_remote.c) */
    size_t open_loads; /* asks that are not answered yet */
    uint64_t load_count, hit_count; /* asks of load.model since the start, and those whose model was there */
} loader_t;

/*  What an asker gets in the end. */
typedef enum {
    LOADER_OP_LEASE,
    LOADER_OP_PREFETCH,
    LOADER_OP_ESTIMATE,
    LOADER_OP_SPREAD /* of load.spread: ends where the record is known */
} loader_op_t;

/*  One ask for a load. Lives from the ask to the later of two ends: that of the request (which the runtime may end: deadline, asker
 *  gone) and that of what it waits for. So each of the two clears its own side, and the last frees. */
typedef struct {
    loader_t *self;
    loader_op_t op;
    yard_request_t *request; /* NULL once it has ended */
    const load_model_ask_t *ask;
    model_config_t *config; /* in the request's arena */
    load_form_t form;
    const loader_kind_t *kind; /* NULL: the one that the record says */
    const char *root; /* NULL: the models directory */
    uint64_t asked; /* of the recorder; 0 when not waiting for it */
    loader_waiter_t *waiter; /* of loads.c; NULL when not waiting for it */
    int64_t began_ns;
    loader_phase_t record;
} loader_load_t;

/*  load.c */
int loader_on_load_model (loader_t *self, yard_request_t *request, const load_model_ask_t *ask);
int loader_on_load_prefetch (loader_t *self, yard_request_t *request, const load_model_ask_t *ask);
int loader_on_load_estimate (loader_t *self, yard_request_t *request, const load_model_ask_t *ask);
/*  Begins a load whose record is known: config is copied. kind and root as in loader_load_t. */
int loader_load_begin (loader_t *self, yard_request_t *request, const load_model_ask_t *ask,
                       const model_config_t *config, const loader_kind_t *kind, const char *root);
/*  The same in two steps, for loads whose record is known later. *ret is NULL where the request was answered, or is to be answered with the
 *  code; else it is gone on with, or refused, or freed by whoever finds its request ended. */
int loader_load_open (loader_t *self, yard_request_t *request, const load_model_ask_t *ask,
                      const loader_kind_t *kind, const char *root, loader_load_t **ret);
void loader_load_go_on (loader_load_t *load, const model_config_t *config);
void loader_load_refuse (loader_load_t *load, int code, const char *text);
loader_wish_t loader_load_wish (const loader_load_t *load);
uint64_t loader_microseconds_since (int64_t ns);
int64_t loader_now_ns (void);

/*  load_answer.c: the model is there; answers the request. 0, or a code with its sentence, and nothing was granted. */
int loader_load_answer (loader_load_t *load, const loader_loaded_t *loaded, yard_error_t *error);
void loader_load_tell (const loader_load_t *load, const yard_event_t *event, const char *precision);
void loader_load_tell_failed (const loader_load_t *load, int code, const char *text);

/*  load_path.c */
int loader_on_load_path (loader_t *self, yard_request_t *request, const load_path_ask_t *ask);
/*  The loader of this name, else the one that fits. YARD_NOT_IMPLEMENTED lists the names. */
int loader_path_kind (bool named, yard_string_t name, const loader_kind_t **ret, yard_error_t *error);
/*  A record for what has none, with views of path, source and key [LOADER_KEY_SIZE], which is of the path: equal paths share a load. */
void loader_path_config (yard_string_t path, yard_string_t source, const load_model_ask_t *as, char *key,
                         model_config_t *ret);

/*  load_remote.c */
int loader_on_load_remote (loader_t *self, yard_request_t *request, const load_remote_ask_t *ask);
void loader_remotes_welcomed (
    loader_t *self); /* by another broker: who was lost with the old one may ask again, so downloads go on */
void loader_remotes_drain (loader_t *self); /* refuses those that wait; their downloads go on */
void loader_remotes_close (loader_t *self);

/*  spread.c */
int loader_on_load_spread (loader_t *self, yard_request_t *request, const load_spread_ask_t *ask);
int loader_load_spread (loader_t *self, yard_request_t *request,
                        const load_model_ask_t *ask); /* load.c: finds the record, then: */
void loader_spread_begin (loader_load_t *load); /* takes it */
void loader_spreads_client_gone (loader_t *self, yard_string_t client);
void loader_spreads_forget (loader_t *self); /* another broker numbers its clients anew */
void loader_spreads_close (loader_t *self);

/*  lock.c */
int loader_on_load_lock (loader_t *self, yard_request_t *request, const load_lock_ask_t *ask);
void loader_lock_over (loader_t *self, const loader_lease_t *lease); /* and so is its state dict's */

/*  cache.c */
int loader_on_load_list (loader_t *self, yard_request_t *request, const load_list_ask_t *ask);
int loader_on_load_device (loader_t *self, yard_request_t *request, const load_device_ask_t *ask);
int loader_on_load_evict (loader_t *self, yard_request_t *request, const load_evict_ask_t *ask);
loader_evicted_fn loader_on_evicted; /* argument is the loader */
void loader_on_progress (void *self, void *argument); /* a yard_timer_fn */
void loader_progress_changed (loader_t *self); /* loads began */

/*  loader.c: after every grant and every end. */
void loader_leases_changed (loader_t *self);

#endif
