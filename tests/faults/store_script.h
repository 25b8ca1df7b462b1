// SPDX-License-Identifier: Apache-2.0
/*  store_script.h - the script's rows: what happens, and where turns end
 */
#ifndef YARD_FAULTS_STORE_SCRIPT_H
#define YARD_FAULTS_STORE_SCRIPT_H

#include "store_workload.h"

#define STORE_LEASE_MS 30000

typedef enum {
    STORE_EFFECT, /* in a turn, with others or alone */
    STORE_RESTART, /* the end of one life and the begin of the next */
    STORE_PUBLISH, /* the broker took the events: known at once, kept with the next commit whatever it is */
} store_kind_t;

typedef struct {
    const char *name;
    store_kind_t kind;
    int (*happen) (workload_t *); /* STORE_EFFECT */
    bool ends_turn;
} store_effect_t;

extern const store_effect_t store_script [];
extern const size_t store_script_count;

#endif
