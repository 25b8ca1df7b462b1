// SPDX-License-Identifier: Apache-2.0
/*  spread_part_inside.h - one device's part in a spread; for spread_part.c (its life) and spread_exchange.c (load.gather)
 */
#ifndef LOADER_SPREAD_PART_INSIDE_H
#define LOADER_SPREAD_PART_INSIDE_H

#include "actors/loader/spread_group.h"
#include "actors/loader/spread_part.h"
#include "actors/loader/tier_inside.h"

#define SPREAD_SIZE 33 /* load_turn_ask.spread */
#define AGREEMENT_SIZE 33 /* load_join_answer.plan */
#define GRANTED_MAX \
    256 /* spreads whose leases are remembered, so that their leader can end them; older ones end with it */

typedef enum {
    PART_WAITING, /* for its turn */
    PART_TURN, /* has it; nothing is prepared */
    PART_JOINING,
    PART_READY, /* memory is there, or the model */
    PART_GATHERING,
    PART_GATHERED, /* or failed to */
    PART_COMPLETING
} part_step_t;

typedef struct loader_part_t {
    struct loader_part_t *next;
    loader_parts_t *parts;
    char spread [SPREAD_SIZE], leader [LOADER_OWNER_SIZE];
    part_step_t step;
    yard_request_t *request; /* the leader's open ask; NULL: none */
    spread_mode_t mode;
    loader_slices_t slices; /* of mode shard */
    loader_waiter_t *waiter; /* NULL: the model is there */
    loader_fill_t *fill; /* held, or reading what it was told; NULL: none of ours */
    loader_fill_sharing_t sharing;
    loader_model_t *present; /* it was there: used once here and in the tier; NULL: it was not */
    loader_reservation_t *reservation; /* of NCCL's memory, for a model that was there */
    load_gather_ask_t gather; /* of the ask under way; its strings are read */
    uint8_t id [LOADER_GATHER_ID_SIZE];
    loader_group_t *group;
    bool reading, exchanged; /* our own share; all of it */
    uint64_t good; /* bytes that are there for certain, of a group that was left */
    uint64_t steps; /* of the group, when it was last looked at … */
    int64_t moved_ms; /* … and had changed */
    loader_load_t *load; /* of load.complete */
    yard_error_t error; /* why the load has failed, until somebody asks; code 0: it has not */
} loader_part_t;

typedef struct {
    char spread [SPREAD_SIZE], lease [LOADER_LEASE_SIZE];
} granted_t;

struct loader_parts_t {
    loader_t *loader;
    loader_part_t *first; /* has the turn */
    yard_timer_t *look;
    granted_t granted [GRANTED_MAX]; /* a ring */
    size_t next_granted;
};

/*  spread_part.c: the part that has the turn, if it is this spread's, at one of these steps, and nothing is asked of it now. YARD_CONFLICT. */
int loader_part_find (loader_t *loader, yard_request_t *request, yard_string_t spread, part_step_t first,
                      part_step_t last, loader_part_t **ret);
void loader_part_keep (loader_part_t *self, yard_request_t *request);

/*  spread_exchange.c. Ends the exchange; what is there for certain is noted. */
void loader_part_leave_group (loader_part_t *self, bool abort);
/*  Answers load.gather; the part goes on to wait for load.complete, with whatever there is. error NULL: all of it is. */
void loader_part_answer_gather (loader_part_t *self, const yard_error_t *error);
void loader_part_read_over (void *argument); /* our own share is on the device */
void loader_part_look (void *actor_self, void *argument); /* a yard_timer_fn: does the group stand still? */

#endif
