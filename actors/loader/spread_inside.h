// SPDX-License-Identifier: Apache-2.0
/*  spread_inside.h - one spread as its leader sees it; for spread_ask.c, spread.c and spread_answer.c
 */
#ifndef LOADER_SPREAD_INSIDE_H
#define LOADER_SPREAD_INSIDE_H

#include "actors/loader/loader.h"

#define LOADER_SPREAD_DEVICES_MAX 16 /* load_spread_ask.devices; of the largest machines that are sold */

typedef struct loader_spread_t loader_spread_t;

/*  One device of a spread. */
typedef struct {
    loader_spread_t *spread;
    char device [65], place [201];
    uint64_t asked; /* 0: nothing is open */
    bool turn, late, grouped;
    yard_error_t failure; /* code 0: it takes part */
    load_join_answer_t joined;
    char plan [33], uuid [65]; /* joined points here */
    spread_way_t way;
    bool has_load;
    load_model_answer_t load; /* in the request's arena */
} loader_rank_t;

struct loader_spread_t {
    loader_spread_t *next;
    loader_t *loader;
    char id [33], client [LOADER_OWNER_SIZE];
    yard_request_t *request; /* NULL once it has ended */
    const load_spread_ask_t *ask;
    load_model_ask_t as; /* with its record */
    int64_t began_ns;
    loader_rank_t ranks [LOADER_SPREAD_DEVICES_MAX];
    size_t count, open; /* devices; asks without an answer */
    size_t turn; /* whose turn is asked for */
    yard_timer_t *patience; /* while devices join */
    bool drawing; /* the device thread has it */
    uint8_t group [LOADER_GATHER_ID_SIZE];
    bool fallback;
    yard_error_t fallback_error;
};

/*  spread.c: takes it from its first turn to its end. */
void loader_spread_lead (loader_spread_t *self);

/*  spread_answer.c: the end of the request, and what everybody hears. At least one device has the model, or none has. */
void loader_spread_answer (loader_spread_t *self);
void loader_spread_tell (const loader_spread_t *self, const yard_event_t *event, const yard_error_t *error);

#endif
