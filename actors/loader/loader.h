// SPDX-License-Identifier: Apache-2.0
/*  loader.h - the loader's struct, for the two files that handle its asks: loader.c and load.c
 */
#ifndef LOADER_LOADER_H
#define LOADER_LOADER_H

#include "actors/loader/attach.h"
#include "actors/loader/leases.h"
#include "actors/loader/loads.h"
#include "actors/loader/views.h"

#define LOADER_FORM "mapped" /* load_model_answer.form */

typedef struct {
    yard_actor_t *actor;
    loader_registry_t *registry;
    loader_loads_t *loads;
    loader_leases_t *leases;
    loader_attach_t *attach;
    loader_views_t views;
    yard_timer_t *lease_timer; /* fires when the next lease's time is over */
    size_t open_loads; /* asks of load.model that are not answered yet */
} loader_t;

/*  load.c: one load.model, from ask to answer. */
int loader_on_load_model (loader_t *self, yard_request_t *request, const load_model_ask_t *ask);

/*  loader.c: after every grant. */
void loader_leases_changed (loader_t *self);

#endif
