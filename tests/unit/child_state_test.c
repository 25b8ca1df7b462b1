// SPDX-License-Identifier: Apache-2.0
/*  child_state_test.c - the life of a supervised process, without a process
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>

#include "tools/modelyard/child_state.h"

/*  From state, through events, to where it must end and what must be done last. */
static void expect (child_state_t state, child_event_t event, child_state_t next, child_action_t action)
{
    child_transition_t step = child_transition (state, event);
    assert_int_equal (step.next, next);
    assert_int_equal (step.action, action);
}

static void a_healthy_life_starts_feeds_and_stops (void **state)
{
    (void) state;
    expect (CHILD_WAITING, CHILD_DUE, CHILD_STARTING, CHILD_DO_SPAWN);
    expect (CHILD_STARTING, CHILD_SAID_READY, CHILD_READY, CHILD_DO_CLOCK);
    expect (CHILD_READY, CHILD_FED, CHILD_READY, CHILD_DO_CLOCK);
    expect (CHILD_READY, CHILD_STOP, CHILD_STOPPING, CHILD_DO_TERMINATE);
    expect (CHILD_STOPPING, CHILD_ENDED, CHILD_DOWN, CHILD_DO_NOTHING);
}

static void who_ends_unasked_is_started_again (void **state)
{
    (void) state;
    static const child_state_t running [] = { CHILD_STARTING, CHILD_READY, CHILD_ABORTING, CHILD_KILLING };
    for (size_t i = 0; i < sizeof running / sizeof running [0]; i++)
        expect (running [i], CHILD_ENDED, CHILD_WAITING, CHILD_DO_BACK_OFF);
}

static void who_is_silent_is_aborted_then_killed (void **state)
{
    (void) state;
    expect (CHILD_READY, CHILD_DUE, CHILD_ABORTING, CHILD_DO_ABORT);
    expect (CHILD_ABORTING, CHILD_FED, CHILD_ABORTING, CHILD_DO_NOTHING);
    expect (CHILD_ABORTING, CHILD_DUE, CHILD_KILLING, CHILD_DO_KILL);
    expect (CHILD_STARTING, CHILD_DUE, CHILD_ABORTING, CHILD_DO_ABORT);
}

static void who_does_not_stop_is_killed (void **state)
{
    (void) state;
    expect (CHILD_STOPPING, CHILD_DUE, CHILD_STOPPING, CHILD_DO_KILL);
    expect (CHILD_ABORTING, CHILD_STOP, CHILD_STOPPING, CHILD_DO_KILL);
}

static void after_stop_nothing_starts_again (void **state)
{
    (void) state;
    for (int from = 0; from < CHILD_STATES; from++) {
        child_state_t stopped = child_transition ((child_state_t) from, CHILD_STOP).next;
        assert_true (stopped == CHILD_STOPPING || stopped == CHILD_DOWN);
        for (int event = 0; event < CHILD_EVENTS; event++) {
            child_transition_t step = child_transition (stopped, (child_event_t) event);
            assert_true (step.next == CHILD_STOPPING || step.next == CHILD_DOWN);
            assert_true (step.action != CHILD_DO_SPAWN && step.action != CHILD_DO_BACK_OFF);
        }
    }
}

static void a_running_state_never_spawns (void **state)
{
    (void) state;
    for (int from = 0; from < CHILD_STATES; from++)
        for (int event = 0; event < CHILD_EVENTS; event++)
            if (from != CHILD_WAITING)
                assert_int_not_equal (child_transition ((child_state_t) from, (child_event_t) event).action,
                                      CHILD_DO_SPAWN);
}

static void every_state_has_a_word_and_running_ones_a_limit (void **state)
{
    (void) state;
    for (int from = 0; from < CHILD_STATES; from++) {
        assert_non_null (child_state_word ((child_state_t) from));
        bool runs = from != CHILD_WAITING && from != CHILD_DOWN;
        assert_int_equal (child_state_ms ((child_state_t) from) > 0, runs);
    }
}

static void the_wait_doubles_up_to_a_minute_with_jitter (void **state)
{
    (void) state;
    yard_random_t random;
    yard_random_seed (&random, 7);
    int64_t full = CHILD_BACK_OFF_MIN_MS;
    for (unsigned failures = 1; failures < 40; failures++) {
        bool differs = false;
        int64_t first = child_back_off_ms (failures, &random);
        for (int i = 0; i < 100; i++) {
            int64_t wait = child_back_off_ms (failures, &random);
            assert_in_range (wait, full / 2, full);
            differs = differs || wait != first;
        }
        assert_true (differs);
        full = full * 2 > CHILD_BACK_OFF_MAX_MS ? CHILD_BACK_OFF_MAX_MS : full * 2;
    }
    assert_int_equal (full, CHILD_BACK_OFF_MAX_MS);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (a_healthy_life_starts_feeds_and_stops),
        cmocka_unit_test (who_ends_unasked_is_started_again),
        cmocka_unit_test (who_is_silent_is_aborted_then_killed),
        cmocka_unit_test (who_does_not_stop_is_killed),
        cmocka_unit_test (after_stop_nothing_starts_again),
        cmocka_unit_test (a_running_state_never_spawns),
        cmocka_unit_test (every_state_has_a_word_and_running_ones_a_limit),
        cmocka_unit_test (the_wait_doubles_up_to_a_minute_with_jitter),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
