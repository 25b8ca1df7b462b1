// SPDX-License-Identifier: Apache-2.0
/*  ledger_test.c - actors/loader/ledger.c: every byte is counted once, and everyone who can be served is
 *
 *  The walk does random things to a ledger and to the model of ledger_model.h, and compares answers, order and
 *  numbers after every step. YARD_TEST_SEED=n walks with that seed.
 */
#include "ledger_model.h"

#define WALKS 8
#define STEPS 2000 /* of each walk */

/*  --- steps, on both */

static bool find_load (bed_t *bed, state_t state, size_t *ret)
{
    size_t start = (size_t) below (bed, LOADS);
    for (size_t at = 0; at < LOADS; at++) {
        *ret = (start + at) % LOADS;
        if (bed->loads [*ret].state == state)
            return true;
    }
    return false;
}

static loader_room_wish_t random_wish (bed_t *bed)
{
    return (loader_room_wish_t){
        .bytes = below (bed, 8) ? below (bed, BUDGET / 3) : below (bed, BUDGET + BUDGET / 8),
        .priority = (int) below (bed, 3),
        .deadline_ms = below (bed, 2) ? LOADER_NO_DEADLINE : bed->now_ms + 1 + (int64_t) below (bed, 60),
        .answer = hear,
    };
}

static void step_ask (bed_t *bed)
{
    size_t at;
    loader_room_wish_t wish = random_wish (bed);
    if (find_load (bed, NOTHING, &at))
        ask (bed, at, &wish);
}

static void step_cancel (bed_t *bed)
{
    size_t at;
    if (!find_load (bed, below (bed, 2) ? WAITING : RESERVED, &at))
        return;
    loader_reservation_cancel (&bed->loads [at].reservation);
    assert_null (bed->loads [at].reservation);
    model_leave (bed, at, NOTHING);
}

static void step_shrink (bed_t *bed)
{
    size_t at;
    if (!find_load (bed, RESERVED, &at))
        return;
    model_load_t *load = &bed->loads [at];
    load->wish.bytes -= below (bed, load->wish.bytes + 1);
    loader_reservation_shrink (load->reservation, load->wish.bytes);
    assert_int_equal (loader_reservation_bytes (load->reservation), load->wish.bytes);
}

static void step_commit (bed_t *bed)
{
    size_t at;
    if (!find_load (bed, RESERVED, &at))
        return;
    assert_int_equal (loader_reservation_commit (&bed->loads [at].reservation), bed->loads [at].wish.bytes);
    bed->loads [at].state = BUSY;
}

/*  What may happen to bytes that are held or draining. */
static const struct {
    state_t from, to;
    loader_bytes_t kind_from, kind_to;
} moves [] = {
    { BUSY, NOTHING, LOADER_BYTES_BUSY, LOADER_BYTES_FREE },
    { BUSY, PINNED, LOADER_BYTES_BUSY, LOADER_BYTES_PINNED },
    { PINNED, BUSY, LOADER_BYTES_PINNED, LOADER_BYTES_BUSY },
    { PINNED, BUSY, LOADER_BYTES_PINNED, LOADER_BYTES_BUSY }, /* twice: pins are few */
    { BUSY, KEPT, LOADER_BYTES_BUSY, LOADER_BYTES_KEPT },
    { BUSY, COMING, LOADER_BYTES_BUSY, LOADER_BYTES_COMING },
    { KEPT, COMING, LOADER_BYTES_KEPT, LOADER_BYTES_COMING },
    { KEPT, NOTHING, LOADER_BYTES_KEPT, LOADER_BYTES_FREE },
    { COMING, NOTHING, LOADER_BYTES_COMING, LOADER_BYTES_FREE },
};
#define MOVES (sizeof moves / sizeof moves [0])

static void step_move (bed_t *bed)
{
    size_t at, move = (size_t) below (bed, MOVES);
    if (!find_load (bed, moves [move].from, &at))
        return;
    loader_ledger_move (bed->ledger, moves [move].kind_from, moves [move].kind_to,
                        bed->loads [at].wish.bytes);
    bed->loads [at].state = moves [move].to;
}

static void step_budget (bed_t *bed)
{
    uint64_t budget = BUDGET / 2 + below (bed, BUDGET);
    int expected = budget < used (bed) ? YARD_BUSY : 0;
    assert_int_equal (loader_ledger_set_budget (bed->ledger, budget, NULL), expected);
    bed->budget = expected ? bed->budget : budget;
}

static void step_settle (bed_t *bed)
{
    bed->now_ms += (int64_t) below (bed, 8);
    settle_both (bed);
}

typedef void (step_fn) (bed_t *bed);
static step_fn *const steps [] = { step_ask,    step_ask,    step_ask,   step_cancel, step_shrink,
                                   step_commit, step_commit, step_move,  step_move,   step_move,
                                   step_budget, step_settle, step_settle };

static void check_estimate (bed_t *bed)
{
    uint64_t evict = 1;
    loader_room_wish_t wish = random_wish (bed);
    uint64_t free_bytes = bed->budget - used (bed);
    loader_verdict_t expected = fits_never (bed, wish.bytes)                      ? LOADER_NEVER_FITS
                                : place_of (bed, &wish) > 0                       ? LOADER_MUST_WAIT
                                : wish.bytes <= free_bytes                        ? LOADER_FITS_NOW
                                : wish.bytes <= free_bytes + sum_of (bed, COMING) ? LOADER_FITS_EVICTING
                                                                                  : LOADER_MUST_WAIT;
    assert_int_equal (loader_ledger_estimate (bed->ledger, &wish, &evict), expected);
    assert_int_equal (evict, 0); /* nobody here can be evicted */
}

static void check_numbers (bed_t *bed)
{
    loader_ledger_numbers_t numbers;
    int64_t next = LOADER_NO_DEADLINE;
    for (size_t at = 0; at < bed->queued; at++)
        if (bed->loads [bed->queue [at]].wish.deadline_ms < next)
            next = bed->loads [bed->queue [at]].wish.deadline_ms;
    loader_ledger_numbers (bed->ledger, &numbers);
    note_peak (bed);
    assert_int_equal (numbers.budget, bed->budget);
    assert_int_equal (numbers.reserved, sum_of (bed, RESERVED));
    assert_int_equal (numbers.held, sum_of (bed, BUSY) + sum_of (bed, PINNED));
    assert_int_equal (numbers.pinned, sum_of (bed, PINNED));
    assert_int_equal (numbers.draining, sum_of (bed, KEPT) + sum_of (bed, COMING));
    assert_int_equal (numbers.free + numbers.reserved + numbers.held + numbers.draining, numbers.budget);
    assert_int_equal (numbers.waiting, sum_of (bed, WAITING));
    assert_int_equal (numbers.waiters, bed->queued);
    assert_int_equal (numbers.granted, bed->granted);
    assert_int_equal (numbers.peak, bed->peak);
    assert_int_equal (loader_ledger_next_ms (bed->ledger), next);
}

/*  Everything that is held or under way ends; whoever waits must then be served, a round for each at most. */
static void end_all (bed_t *bed)
{
    for (size_t round = 0; round <= LOADS; round++) {
        for (size_t at = 0; at < LOADS; at++) {
            model_load_t *load = &bed->loads [at];
            static const loader_bytes_t kinds [] = { [BUSY] = LOADER_BYTES_BUSY,
                                                     [PINNED] = LOADER_BYTES_PINNED,
                                                     [KEPT] = LOADER_BYTES_KEPT,
                                                     [COMING] = LOADER_BYTES_COMING };
            if (load->state == RESERVED)
                loader_reservation_cancel (&load->reservation);
            else if (load->state >= BUSY)
                loader_ledger_move (bed->ledger, kinds [load->state], LOADER_BYTES_FREE, load->wish.bytes);
            load->state = load->state == WAITING ? WAITING : NOTHING;
        }
        settle_both (bed);
        for (size_t at = 0; at < bed->expected_count; at++)
            assert_true (bed->expected [at].code != YARD_OUT_OF_MEMORY || round == 0);
    }
    assert_int_equal (bed->queued, 0);
    assert_int_equal (used (bed), 0);
    check_numbers (bed);
}

static void walk (uint64_t seed)
{
    bed_t *bed;
    print_message ("seed %llu\n", (unsigned long long) seed);
    make_bed ((void **) &bed);
    yard_random_seed (&bed->random, seed);
    for (size_t step = 0; step < STEPS; step++) {
        steps [below (bed, sizeof steps / sizeof steps [0])](bed);
        check_numbers (bed);
        check_estimate (bed);
    }
    assert_true (bed->granted > STEPS / 100); /* or the walk has shown nothing */
    end_all (bed);
    clear_bed ((void **) &bed);
}

/*  R6.5 */
static void every_byte_is_counted_once_and_every_waiter_is_served_in_order (void **state)
{
    (void) state;
    const char *seed = getenv ("YARD_TEST_SEED");
    if (seed)
        walk (strtoull (seed, NULL, 10));
    for (uint64_t at = 1; !seed && at <= WALKS; at++)
        walk (at);
}

/*  --- single cases; loads are numbered in the order of asking */

static void want (bed_t *bed, size_t load, uint64_t bytes, int priority, int64_t deadline_ms)
{
    const loader_room_wish_t wish = { bytes, priority, deadline_ms, hear, NULL };
    ask (bed, load, &wish);
    bed->loads [load].fleeting = false;
}

/*  R6.5: the last bytes, once */
static void of_two_loads_that_race_for_the_last_bytes_one_wins (void **state)
{
    bed_t *bed = *state;
    want (bed, 0, 600, 0, LOADER_NO_DEADLINE);
    want (bed, 1, 600, 0, LOADER_NO_DEADLINE);
    settle_both (bed);
    assert_int_equal (bed->loads [0].state, RESERVED);
    assert_int_equal (bed->loads [1].state, WAITING);
    loader_reservation_cancel (&bed->loads [0].reservation); /* its load fails */
    bed->loads [0].state = NOTHING;
    settle_both (bed);
    assert_int_equal (bed->loads [1].state, RESERVED);
    loader_reservation_cancel (&bed->loads [1].reservation);
}

static void a_small_load_does_not_overtake_a_big_one (void **state)
{
    bed_t *bed = *state;
    want (bed, 0, 600, 0, LOADER_NO_DEADLINE);
    settle_both (bed);
    want (bed, 1, 900, 0, LOADER_NO_DEADLINE);
    want (bed, 2, 100, 0, LOADER_NO_DEADLINE); /* would fit */
    settle_both (bed);
    assert_int_equal (bed->loads [2].state, WAITING);
    want (bed, 3, 100, 1, LOADER_NO_DEADLINE); /* more urgent */
    settle_both (bed);
    assert_int_equal (bed->loads [3].state, RESERVED);
    loader_reservation_shrink (bed->loads [0].reservation, 0);
    loader_reservation_cancel (&bed->loads [0].reservation);
    loader_reservation_cancel (&bed->loads [3].reservation);
    bed->loads [0].state = bed->loads [3].state = NOTHING;
    settle_both (bed);
    assert_int_equal (bed->loads [1].state, RESERVED);
    assert_int_equal (bed->loads [2].state, RESERVED);
    loader_reservation_cancel (&bed->loads [1].reservation);
    loader_reservation_cancel (&bed->loads [2].reservation);
}

static size_t count_passes (bed_t *bed, const loader_room_wish_t *wish, loader_reservation_t *waiter)
{
    size_t passed = 0;
    loader_reservation_t *hurried;
    for (; passed < 2 * LOADER_PASSES_MAX; passed++) {
        uint64_t evict;
        if (loader_ledger_estimate (bed->ledger, wish, &evict) == LOADER_MUST_WAIT)
            break;
        assert_int_equal (loader_ledger_ask (bed->ledger, wish, &hurried, NULL), 0);
        loader_reservation_cancel (&hurried); /* stood before the waiter */
    }
    loader_reservation_cancel (&waiter);
    return passed;
}

static void hurried_loads_pass_a_patient_one_only_so_often (void **state)
{
    bed_t *bed = *state;
    loader_reservation_t *patient;
    loader_room_wish_t wish = { 500, 0, LOADER_NO_DEADLINE, hear, NULL };
    assert_int_equal (loader_ledger_ask (bed->ledger, &wish, &patient, NULL), 0);
    wish.deadline_ms = 10;
    assert_int_equal (count_passes (bed, &wish, patient), LOADER_PASSES_MAX);
}

static void a_load_that_fits_never_is_told_the_numbers_and_the_key (void **state)
{
    bed_t *bed = *state;
    yard_error_t error = { .code = 0 };
    loader_reservation_t *reservation;
    const loader_room_wish_t wish = { 1001, 0, LOADER_NO_DEADLINE, hear, NULL };
    uint64_t evict;
    assert_int_equal (loader_ledger_ask (bed->ledger, &wish, &reservation, &error), YARD_OUT_OF_MEMORY);
    assert_non_null (strstr (error.text, "1001"));
    assert_non_null (strstr (error.text, "1000"));
    assert_non_null (strstr (error.text, KEY));
    assert_int_equal (loader_ledger_estimate (bed->ledger, &wish, &evict), LOADER_NEVER_FITS);
}

static void a_waiter_that_pins_leave_no_room_for_is_refused_and_blocks_nobody (void **state)
{
    bed_t *bed = *state;
    want (bed, 0, 500, 0, LOADER_NO_DEADLINE);
    settle_both (bed);
    want (bed, 1, 600, 0, LOADER_NO_DEADLINE);
    want (bed, 2, 500, 0, LOADER_NO_DEADLINE);
    settle_both (bed);
    assert_int_equal (bed->loads [1].state, WAITING);
    loader_reservation_commit (&bed->loads [0].reservation);
    loader_ledger_move (bed->ledger, LOADER_BYTES_BUSY, LOADER_BYTES_PINNED, 500);
    bed->loads [0].state = PINNED;
    settle_both (bed); /* the model expects out_of_memory for 1 */
    assert_int_equal (bed->loads [1].state, NOTHING);
    assert_int_equal (bed->loads [2].state, RESERVED);
    loader_reservation_cancel (&bed->loads [2].reservation);
}

static void a_waiter_is_refused_at_its_deadline_and_not_before (void **state)
{
    bed_t *bed = *state;
    want (bed, 0, 1000, 0, LOADER_NO_DEADLINE);
    settle_both (bed);
    want (bed, 1, 10, 0, 50);
    assert_int_equal (loader_ledger_next_ms (bed->ledger), 50);
    bed->now_ms = 49;
    settle_both (bed);
    assert_int_equal (bed->loads [1].state, WAITING);
    bed->now_ms = 50;
    settle_both (bed);
    assert_int_equal (bed->loads [1].state, NOTHING);
    assert_int_equal (loader_ledger_next_ms (bed->ledger), LOADER_NO_DEADLINE);
    loader_reservation_cancel (&bed->loads [0].reservation);
}

/*  --- answers that act */

typedef struct {
    loader_ledger_t *ledger;
    loader_reservation_t *own, *other, *next;
    size_t answers;
} busy_answer_t;

static void count_answer (void *argument, const yard_error_t *refusal)
{
    assert_null (refusal);
    (*(size_t *) argument)++;
}

static void act (void *argument, const yard_error_t *refusal)
{
    busy_answer_t *self = argument;
    assert_null (refusal);
    loader_reservation_cancel (&self->own);
    loader_reservation_cancel (&self->other);
    const loader_room_wish_t wish = { 1000, 0, LOADER_NO_DEADLINE, count_answer, &self->answers };
    assert_int_equal (loader_ledger_ask (self->ledger, &wish, &self->next, NULL), 0);
}

static void an_answer_may_cancel_itself_and_others_and_ask_anew (void **state)
{
    bed_t *bed = *state;
    busy_answer_t busy = { .ledger = bed->ledger };
    const loader_room_wish_t first = { 1000, 0, LOADER_NO_DEADLINE, act, &busy };
    const loader_room_wish_t second = { 1000, 0, 0, count_answer, &busy.answers };
    assert_int_equal (loader_ledger_ask (bed->ledger, &first, &busy.own, NULL), 0);
    assert_int_equal (loader_ledger_ask (bed->ledger, &first, &busy.other, NULL), 0);
    assert_int_equal (loader_ledger_settle (bed->ledger, 0), 2); /* own and next */
    assert_int_equal (busy.answers, 1);
    assert_int_equal (loader_ledger_bytes (bed->ledger, LOADER_BYTES_RESERVED), 1000);
    assert_int_equal (loader_ledger_ask (bed->ledger, &second, &busy.other, NULL), 0);
    loader_reservation_cancel (&busy.other); /* never told */
    assert_int_equal (loader_ledger_settle (bed->ledger, 0), 0);
    loader_reservation_cancel (&busy.next);
}

static void a_ledger_that_ends_forgets_who_waits (void **state)
{
    (void) state;
    size_t answers = 0;
    loader_reservation_t *reservation;
    loader_ledger_t *ledger = loader_ledger_new (BUDGET, KEY, WAITERS_MAX);
    const loader_room_wish_t wish = { 10, 0, LOADER_NO_DEADLINE, count_answer, &answers };
    assert_int_equal (loader_ledger_ask (ledger, &wish, &reservation, NULL), 0);
    assert_int_equal (loader_ledger_ask (ledger, &wish, &reservation, NULL), 0);
    loader_ledger_destroy (&ledger);
    assert_null (ledger);
    loader_ledger_destroy (&ledger);
    assert_int_equal (answers, 0);
}

int main (void)
{
#define CASE(name) cmocka_unit_test_setup_teardown (name, make_bed, clear_bed)
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (every_byte_is_counted_once_and_every_waiter_is_served_in_order),
        CASE (of_two_loads_that_race_for_the_last_bytes_one_wins),
        CASE (a_small_load_does_not_overtake_a_big_one),
        CASE (hurried_loads_pass_a_patient_one_only_so_often),
        CASE (a_load_that_fits_never_is_told_the_numbers_and_the_key),
        CASE (a_waiter_that_pins_leave_no_room_for_is_refused_and_blocks_nobody),
        CASE (a_waiter_is_refused_at_its_deadline_and_not_before),
        CASE (an_answer_may_cancel_itself_and_others_and_ask_anew),
        cmocka_unit_test (a_ledger_that_ends_forgets_who_waits),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
