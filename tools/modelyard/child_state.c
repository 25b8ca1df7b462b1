// SPDX-License-Identifier: Apache-2.0
/*  child_state.c - the life of one supervised process, as a table
 */
#include "child_state.h"

#include <assert.h>

#define STARTING_MS 60000 /* a recorder that migrates a large store; a usual start takes 0.1 s */
#define ABORTING_MS 5000 /* to write a trace */
#define STOPPING_MS 10000 /* the runtime's drain, and a little */
#define DOUBLINGS_MAX 20 /* far past CHILD_BACK_OFF_MAX_MS; keeps the shift defined */

static const child_transition_t transitions [CHILD_STATES][CHILD_EVENTS] = {
    [CHILD_WAITING] = {
        [CHILD_DUE] = { CHILD_STARTING, CHILD_DO_SPAWN },
        [CHILD_SAID_READY] = { CHILD_WAITING, CHILD_DO_NOTHING },
        [CHILD_FED] = { CHILD_WAITING, CHILD_DO_NOTHING },
        [CHILD_ENDED] = { CHILD_WAITING, CHILD_DO_NOTHING },
        [CHILD_STOP] = { CHILD_DOWN, CHILD_DO_NOTHING },
    },
    [CHILD_STARTING] = {
        [CHILD_DUE] = { CHILD_ABORTING, CHILD_DO_ABORT },
        [CHILD_SAID_READY] = { CHILD_READY, CHILD_DO_CLOCK },
        [CHILD_FED] = { CHILD_STARTING, CHILD_DO_NOTHING },
        [CHILD_ENDED] = { CHILD_WAITING, CHILD_DO_BACK_OFF },
        [CHILD_STOP] = { CHILD_STOPPING, CHILD_DO_TERMINATE },
    },
    [CHILD_READY] = {
        [CHILD_DUE] = { CHILD_ABORTING, CHILD_DO_ABORT },
        [CHILD_SAID_READY] = { CHILD_READY, CHILD_DO_CLOCK },
        [CHILD_FED] = { CHILD_READY, CHILD_DO_CLOCK },
        [CHILD_ENDED] = { CHILD_WAITING, CHILD_DO_BACK_OFF },
        [CHILD_STOP] = { CHILD_STOPPING, CHILD_DO_TERMINATE },
    },
    /* Once condemned, a late sign of life changes nothing. */
    [CHILD_ABORTING] = {
        [CHILD_DUE] = { CHILD_KILLING, CHILD_DO_KILL },
        [CHILD_SAID_READY] = { CHILD_ABORTING, CHILD_DO_NOTHING },
        [CHILD_FED] = { CHILD_ABORTING, CHILD_DO_NOTHING },
        [CHILD_ENDED] = { CHILD_WAITING, CHILD_DO_BACK_OFF },
        [CHILD_STOP] = { CHILD_STOPPING, CHILD_DO_KILL },
    },
    [CHILD_KILLING] = {
        [CHILD_DUE] = { CHILD_KILLING, CHILD_DO_KILL },
        [CHILD_SAID_READY] = { CHILD_KILLING, CHILD_DO_NOTHING },
        [CHILD_FED] = { CHILD_KILLING, CHILD_DO_NOTHING },
        [CHILD_ENDED] = { CHILD_WAITING, CHILD_DO_BACK_OFF },
        [CHILD_STOP] = { CHILD_STOPPING, CHILD_DO_KILL },
    },
    [CHILD_STOPPING] = {
        [CHILD_DUE] = { CHILD_STOPPING, CHILD_DO_KILL },
        [CHILD_SAID_READY] = { CHILD_STOPPING, CHILD_DO_NOTHING },
        [CHILD_FED] = { CHILD_STOPPING, CHILD_DO_NOTHING },
        [CHILD_ENDED] = { CHILD_DOWN, CHILD_DO_NOTHING },
        [CHILD_STOP] = { CHILD_STOPPING, CHILD_DO_NOTHING },
    },
    [CHILD_DOWN] = {
        [CHILD_DUE] = { CHILD_DOWN, CHILD_DO_NOTHING },
        [CHILD_SAID_READY] = { CHILD_DOWN, CHILD_DO_NOTHING },
        [CHILD_FED] = { CHILD_DOWN, CHILD_DO_NOTHING },
        [CHILD_ENDED] = { CHILD_DOWN, CHILD_DO_NOTHING },
        [CHILD_STOP] = { CHILD_DOWN, CHILD_DO_NOTHING },
    },
};

static const struct {
    const char *word;
    int64_t ms;
} states [CHILD_STATES] = {
    [CHILD_WAITING] = { "waiting", -1 },
    [CHILD_STARTING] = { "starting", STARTING_MS },
    [CHILD_READY] = { "ready", CHILD_WATCHDOG_MS },
    [CHILD_ABORTING] = { "aborting", ABORTING_MS },
    [CHILD_KILLING] = { "killing", ABORTING_MS },
    [CHILD_STOPPING] = { "stopping", STOPPING_MS },
    [CHILD_DOWN] = { "down", -1 },
};

child_transition_t child_transition (child_state_t state, child_event_t event)
{
    assert (state < CHILD_STATES && event < CHILD_EVENTS);
    return transitions [state][event];
}

int64_t child_state_ms (child_state_t state)
{
    assert (state < CHILD_STATES);
    return states [state].ms;
}

const char *child_state_word (child_state_t state)
{
    assert (state < CHILD_STATES);
    return states [state].word;
}

int64_t child_back_off_ms (unsigned failures, yard_random_t *random)
{
    unsigned doublings = failures > 0 ? failures - 1 : 0;
    int64_t wait = (int64_t) CHILD_BACK_OFF_MIN_MS << (doublings < DOUBLINGS_MAX ? doublings : DOUBLINGS_MAX);
    if (wait > CHILD_BACK_OFF_MAX_MS)
        wait = CHILD_BACK_OFF_MAX_MS;
    return wait / 2 + (int64_t) yard_random_below (random, (uint64_t) (wait - wait / 2) + 1);
}
