// SPDX-License-Identifier: Apache-2.0
/*  child_state.h - the life of one supervised process, as a table
 *
 *  Knows no process and no clock: what happens goes in as an event, what to do comes out as an action. Every
 *  state has a time it may last; when that is over the event is DUE.
 */
#ifndef MODELYARD_CHILD_STATE_H
#define MODELYARD_CHILD_STATE_H

#include <stdint.h>
#include "actors/ground/random.h"

typedef enum {
    CHILD_WAITING, /* not running; DUE starts it */
    CHILD_STARTING, /* running, not ready yet */
    CHILD_READY, /* running, feeds its watchdog */
    CHILD_ABORTING, /* silent too long; SIGABRT, so that it leaves a trace */
    CHILD_KILLING, /* survived that; SIGKILL */
    CHILD_STOPPING, /* SIGTERM, because the yard goes down; SIGKILL when DUE */
    CHILD_DOWN, /* ended for good */
    CHILD_STATES
} child_state_t;

typedef enum {
    CHILD_DUE, /* the state's time is over */
    CHILD_SAID_READY, /* READY=1 */
    CHILD_FED, /* WATCHDOG=1 */
    CHILD_ENDED, /* the process is reaped */
    CHILD_STOP, /* the yard goes down */
    CHILD_EVENTS
} child_event_t;

typedef enum {
    CHILD_DO_NOTHING,
    CHILD_DO_CLOCK, /* the state's time begins anew */
    CHILD_DO_SPAWN,
    CHILD_DO_BACK_OFF, /* wait child_back_off_ms, then DUE */
    CHILD_DO_ABORT,
    CHILD_DO_KILL,
    CHILD_DO_TERMINATE
} child_action_t;

typedef struct {
    child_state_t next;
    child_action_t action;
} child_transition_t;

child_transition_t child_transition (child_state_t state, child_event_t event);

/*  How long the state may last; -1 = for ever. WAITING's time is set by whoever backs off. */
int64_t child_state_ms (child_state_t state);
const char *child_state_word (child_state_t state);

#define CHILD_BACK_OFF_MIN_MS 100 /* one crash is not felt; a loop of them costs little */
#define CHILD_BACK_OFF_MAX_MS 60000 /* ARCHITECTURE 10 */
#define CHILD_GOOD_LIFE_MS 30000 /* who lived so long starts again at the minimum */
#define CHILD_WATCHDOG_MS 10000 /* twice the longest silence that the broker lets pass */

/*  The wait before the start after `failures` (from 1) short lives in a row: doubles, and is drawn from its
 *  upper half, so that actors which fell together do not come back together. */
int64_t child_back_off_ms (unsigned failures, yard_random_t *random);

#endif
