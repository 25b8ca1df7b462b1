// SPDX-License-Identifier: Apache-2.0
/*  states_test.c - the two tables of each kind hang together */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "actors/recorder/states.h"

static const job_kind_t kinds [] = { job_kind_download, job_kind_install };

/* R2.5 */
static void every_transition_joins_two_states_of_its_kind (void **state)
{
    (void) state;
    for (size_t i = 0; i < 2; i++) {
        const recorder_kind_t *kind = recorder_kind_find (kinds [i]);
        assert_non_null (kind);
        for (const recorder_transition_t *row = kind->transitions; row->from != job_status_unset; row++) {
            assert_non_null (recorder_state_find (kind, row->from));
            assert_non_null (recorder_state_find (kind, row->to));
        }
    }
}

static void a_move_from_a_status_is_in_the_table_once (void **state)
{
    (void) state;
    for (size_t i = 0; i < 2; i++)
        for (const recorder_transition_t *row = recorder_kind_find (kinds [i])->transitions;
             row->from != job_status_unset; row++)
            for (const recorder_transition_t *other = row + 1; other->from != job_status_unset; other++)
                assert_false (other->move == row->move && other->from == row->from);
}

static void only_reviving_leaves_a_terminal_state (void **state)
{
    (void) state;
    for (size_t i = 0; i < 2; i++) {
        const recorder_kind_t *kind = recorder_kind_find (kinds [i]);
        for (const recorder_transition_t *row = kind->transitions; row->from != job_status_unset; row++)
            if (recorder_state_find (kind, row->from)->terminal)
                assert_int_equal (row->move, RECORDER_MOVE_REVIVE);
    }
}

static void every_live_state_can_be_cancelled (void **state)
{
    (void) state;
    for (size_t i = 0; i < 2; i++) {
        const recorder_kind_t *kind = recorder_kind_find (kinds [i]);
        for (const recorder_state_t *row = kind->states; row->status != job_status_unset; row++)
            assert_int_equal (recorder_state_next (kind, row->status, RECORDER_MOVE_CANCEL),
                              row->terminal ? job_status_unset : job_status_cancelled);
    }
}

static void every_state_of_a_kind_is_reached_from_its_first (void **state)
{
    (void) state;
    for (size_t i = 0; i < 2; i++) {
        const recorder_kind_t *kind = recorder_kind_find (kinds [i]);
        bool reached [job_status_count] = { false };
        reached [kind->first] = reached [kind->first_held] = true;
        for (size_t round = 0; round < job_status_count; round++)
            for (const recorder_transition_t *row = kind->transitions; row->from != job_status_unset; row++)
                reached [row->to] |= reached [row->from];
        for (const recorder_state_t *row = kind->states; row->status != job_status_unset; row++)
            assert_true (reached [row->status]);
    }
}

static void a_kind_without_a_pool_has_no_tables (void **state)
{
    (void) state;
    assert_null (recorder_kind_find (job_kind_convert));
    assert_null (recorder_kind_find (job_kind_unset));
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (every_transition_joins_two_states_of_its_kind),
        cmocka_unit_test (a_move_from_a_status_is_in_the_table_once),
        cmocka_unit_test (only_reviving_leaves_a_terminal_state),
        cmocka_unit_test (every_live_state_can_be_cancelled),
        cmocka_unit_test (every_state_of_a_kind_is_reached_from_its_first),
        cmocka_unit_test (a_kind_without_a_pool_has_no_tables),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
