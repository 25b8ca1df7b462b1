// SPDX-License-Identifier: Apache-2.0
/*  lru_test.c - actors/loader/lru.c on a ledger: the least recently used goes, the leased never, and only if
 *  it helps
 *
 *  The walk does random things to both and to the model of lru_model.h, and compares what happened, in which
 *  order, and all numbers after every step. YARD_TEST_SEED=n walks with that seed.
 */
#include "lru_model.h"

#define WALKS 8
#define STEPS 4000 /* of each walk */

/*  --- steps, on both */

static uint64_t below (bed_t *bed, uint64_t bound)
{
    return yard_random_below (&bed->random, bound);
}

static model_t *find_model (bed_t *bed, state_t state)
{
    size_t start = (size_t) below (bed, MODELS);
    for (size_t at = 0; at < MODELS; at++)
        if (bed->models [(start + at) % MODELS].state == state)
            return &bed->models [(start + at) % MODELS];
    return NULL;
}

static uint64_t random_bytes (bed_t *bed)
{
    return below (bed, 12) ? below (bed, BUDGET / 4) : below (bed, BUDGET + BUDGET / 20);
}

static void step_ask (bed_t *bed)
{
    model_t *model = find_model (bed, NOTHING);
    if (!model)
        return;
    ask (bed, model, random_bytes (bed));
    model->habit = below (bed, 8) ? (habit_t) below (bed, KEEPS) : KEEPS;
}

static void step_loaded (bed_t *bed)
{
    model_t *model = find_model (bed, LOADING);
    if (model && below (bed, 4) == 0) {
        loader_reservation_cancel (&model->reservation);
        model->state = NOTHING;
    } else if (model)
        add (bed, model, below (bed, 2) ? 0 : 1 + (int64_t) below (bed, 30));
}

static void step_use (bed_t *bed)
{
    model_t *model = find_model (bed, CACHED);
    if (!model)
        return;
    if (model->uses > 0 && below (bed, 6)) {
        release (bed, model);
        return;
    }
    loader_entry_use (model->entry, bed->now_ms);
    model->uses++;
    bed->numbers.hits++;
    use_now (bed, model);
}

static void detach (bed_t *bed, model_t *model)
{
    loader_entry_detach (model->entry, bed->now_ms);
    model->attachments--;
    use_now (bed, model);
}

static void step_attach (bed_t *bed)
{
    model_t *model = find_model (bed, CACHED);
    if (!model)
        return;
    if (model->attachments > 0 && below (bed, 5))
        detach (bed, model);
    else if (model->uses > 0) {
        loader_entry_attach (model->entry);
        model->attachments++;
    }
}

static void unpin (model_t *model)
{
    loader_entry_unpin (model->entry);
    model->pins--;
}

static void step_pin (bed_t *bed)
{
    model_t *model = find_model (bed, CACHED);
    if (!model)
        return;
    if (model->pins > 0)
        unpin (model);
    else if (below (bed, 8) == 0) {
        loader_entry_pin (model->entry);
        model->pins++;
    }
}

static void step_evict (bed_t *bed)
{
    model_t *model = find_model (bed, CACHED);
    if (!model)
        return;
    bool held = model->uses > 0 || model->pins > 0;
    bed->expected_count = bed->heard = 0;
    if (!held)
        model_evicts (bed, model);
    loader_entry_t *entry = model->entry;
    assert_int_equal (loader_entry_evict (&entry, NULL), held ? YARD_CONFLICT : 0);
    assert_int_equal (bed->heard, held ? 0 : 1);
    assert_true (!entry == !held);
}

static void step_retire (bed_t *bed)
{
    model_t *model = find_model (bed, CACHED);
    if (!model || below (bed, 3))
        return;
    loader_entry_retire (&model->entry);
    assert_null (model->entry);
    model->fate = (loader_fate_t){ .kept = model->bytes };
    model->state = KEPT;
    bed->numbers.models--;
}

static void drain (bed_t *bed, model_t *model)
{
    if (model->fate.kept > 0 && below (bed, 2)) {
        loader_ledger_move (bed->ledger, LOADER_BYTES_KEPT, LOADER_BYTES_COMING, model->fate.kept);
        model->fate = (loader_fate_t){ .coming = model->fate.coming + model->fate.kept };
        return;
    }
    loader_ledger_move (bed->ledger, LOADER_BYTES_KEPT, LOADER_BYTES_FREE, model->fate.kept);
    loader_ledger_move (bed->ledger, LOADER_BYTES_COMING, LOADER_BYTES_FREE, model->fate.coming);
    model->state = NOTHING;
}

static void step_drain (bed_t *bed)
{
    model_t *model = find_model (bed, KEPT);
    if (model)
        drain (bed, model);
}

static void step_expire (bed_t *bed)
{
    size_t expired = 0;
    bed->expected_count = bed->heard = 0;
    bed->now_ms += (int64_t) below (bed, 10);
    bool all = below (bed, 32) == 0;
    for (model_t *model = next_model (bed, CACHED, true, 0), *next; model; model = next) {
        next = next_model (bed, CACHED, true, model->order);
        if (!all && (model->ttl_ms == 0 || model->last_use_ms + model->ttl_ms > bed->now_ms))
            continue;
        model_evicts (bed, model);
        expired++;
    }
    if (all)
        assert_int_equal (loader_lru_empty (bed->lru), expired);
    else
        assert_int_equal (loader_lru_expire (bed->lru, bed->now_ms), expired);
    bed->numbers.expired += all ? 0 : expired;
    assert_int_equal (bed->heard, expired);
}

typedef void (step_fn) (bed_t *bed);
static step_fn *const steps [] = { step_ask,    step_ask,    step_ask,   step_loaded, step_loaded,
                                   step_loaded, step_use,    step_use,   step_use,    step_use,
                                   step_attach, step_attach, step_pin,   step_pin,    step_evict,
                                   step_retire, step_drain,  step_drain, step_drain,  step_expire,
                                   settle_both, settle_both, settle_both };

/*  --- comparing */

static void check_numbers (bed_t *bed)
{
    loader_lru_numbers_t numbers;
    int64_t next = LOADER_NO_EXPIRY;
    loader_lru_numbers (bed->lru, &numbers);
    assert_memory_equal (&numbers, &bed->numbers, sizeof numbers);
    for (loader_bytes_t kind = 0; kind < LOADER_BYTES_KINDS; kind++)
        assert_int_equal (loader_ledger_bytes (bed->ledger, kind), sum_of (bed, kind));
    for (size_t at = 0; at < MODELS; at++) {
        const model_t *model = &bed->models [at];
        if (is_idle (model) && model->ttl_ms > 0 && model->last_use_ms + model->ttl_ms < next)
            next = model->last_use_ms + model->ttl_ms;
    }
    assert_int_equal (loader_lru_next_ms (bed->lru), next);
}

static void check_estimate (bed_t *bed)
{
    const loader_room_wish_t wish = { .bytes = random_bytes (bed), .deadline_ms = LOADER_NO_DEADLINE };
    uint64_t evict, evict_expected = 0;
    uint64_t soon = sum_of (bed, LOADER_BYTES_FREE) + sum_of (bed, LOADER_BYTES_COMING);
    uint64_t missing = missing_for (bed, wish.bytes);
    bool gone [MODELS];
    loader_verdict_t expected = LOADER_MUST_WAIT;
    if (wish.bytes > BUDGET - sum_of (bed, LOADER_BYTES_PINNED))
        expected = LOADER_NEVER_FITS;
    else if (next_model (bed, WAITING, false, 0))
        expected = LOADER_MUST_WAIT;
    else if (wish.bytes <= sum_of (bed, LOADER_BYTES_FREE))
        expected = LOADER_FITS_NOW;
    else if (missing > 0 || wish.bytes <= soon)
        expected = LOADER_FITS_EVICTING;
    if (expected == LOADER_FITS_EVICTING && missing > 0)
        evict_expected = choose (bed, missing, gone);
    assert_int_equal (loader_ledger_estimate (bed->ledger, &wish, &evict), expected);
    assert_int_equal (evict, evict_expected);
}

/*  All leases, attachments, pins and loads end; whoever waits must then be served, a round for each at most. */
static void end_all (bed_t *bed)
{
    for (size_t round = 0; round <= 2 * WAITERS_MAX; round++) {
        for (size_t at = 0; at < MODELS; at++) {
            model_t *model = &bed->models [at];
            if (model->state == LOADING)
                add (bed, model, 0);
            while (model->state == CACHED && model->pins > 0)
                unpin (model);
            while (model->state == CACHED && model->uses > 0)
                release (bed, model);
            while (model->state == CACHED && model->attachments > 0)
                detach (bed, model);
            while (model->state == KEPT)
                drain (bed, model);
        }
        settle_both (bed);
        for (size_t at = 0; at < bed->expected_count; at++)
            assert_true (bed->expected [at].what != REFUSED); /* without pins all are feasible */
    }
    assert_null (find_model (bed, WAITING));
    check_numbers (bed);
}

/*  What all walks together came to. */
typedef struct {
    size_t granted, refused, evicted_for_room, expired;
} sum_t;

static void walk (uint64_t seed, sum_t *sum)
{
    bed_t *bed;
    print_message ("seed %llu\n", (unsigned long long) seed);
    make_bed ((void **) &bed);
    yard_random_seed (&bed->random, seed);
    for (size_t step = 0; step < STEPS; step++) {
        step_fn *fn = steps [below (bed, sizeof steps / sizeof steps [0])];
        fn (bed);
        for (size_t at = 0; fn == settle_both && at < bed->expected_count; at++) {
            sum->granted += bed->expected [at].what == GRANTED;
            sum->refused += bed->expected [at].what == REFUSED;
            sum->evicted_for_room += bed->expected [at].what == EVICTED;
        }
        check_numbers (bed);
        check_estimate (bed);
    }
    end_all (bed);
    sum->expired += bed->numbers.expired;
    clear_bed ((void **) &bed);
}

/*  R6.5 */
static void the_least_recently_used_go_the_held_never_and_every_waiter_is_served (void **state)
{
    (void) state;
    sum_t sum = { 0 };
    const char *seed = getenv ("YARD_TEST_SEED");
    if (seed) {
        walk (strtoull (seed, NULL, 10), &sum);
        return;
    }
    for (uint64_t at = 1; at <= WALKS; at++)
        walk (at, &sum);
    /* or the walks have shown nothing */
    assert_true (sum.granted > 1000 && sum.evicted_for_room > 200 && sum.refused > 5 && sum.expired > 20);
}

/*  --- single cases; models are numbered in the order of loading */

static model_t *load (bed_t *bed, size_t at, uint64_t bytes, int64_t ttl_ms)
{
    model_t *model = &bed->models [at];
    ask (bed, model, bytes);
    settle_both (bed);
    assert_int_equal (model->state, LOADING);
    add (bed, model, ttl_ms);
    release (bed, model);
    return model;
}

static void a_used_model_outlives_an_older_use (void **state)
{
    bed_t *bed = *state;
    model_t *first = load (bed, 0, 400, 0);
    model_t *second = load (bed, 1, 400, 0);
    loader_entry_use (first->entry, 0);
    first->uses++;
    release (bed, first);
    load (bed, 2, 400, 0);
    assert_int_equal (first->state, CACHED);
    assert_int_equal (second->state, KEPT);
    assert_null (second->entry);
}

/*  R6.2 */
static void a_leased_a_pinned_and_an_attached_model_stay_and_the_load_waits_for_them (void **state)
{
    bed_t *bed = *state;
    model_t *leased = load (bed, 0, 300, 0), *pinned = load (bed, 1, 300, 0);
    model_t *attached = load (bed, 2, 300, 0), *waiter = &bed->models [3];
    loader_entry_use (leased->entry, 0);
    leased->uses++;
    loader_entry_pin (pinned->entry);
    pinned->pins++;
    loader_entry_attach (attached->entry);
    attached->attachments++;
    ask (bed, waiter, 400);
    settle_both (bed);
    assert_int_equal (waiter->state, WAITING);
    release (bed, leased);
    settle_both (bed);
    assert_int_equal (waiter->state, LOADING);
    assert_true (leased->state == KEPT && pinned->state == CACHED && attached->state == CACHED);
}

static void nothing_is_evicted_for_a_load_that_would_still_not_fit (void **state)
{
    bed_t *bed = *state;
    model_t *idle = load (bed, 0, 300, 0), *leased = load (bed, 1, 600, 0), *waiter = &bed->models [2];
    loader_entry_use (leased->entry, 0);
    leased->uses++;
    ask (bed, waiter, 500);
    settle_both (bed);
    assert_int_equal (waiter->state, WAITING);
    assert_int_equal (idle->state, CACHED);
}

static void an_old_small_model_is_spared_when_the_next_one_is_enough (void **state)
{
    bed_t *bed = *state;
    model_t *small = load (bed, 0, 50, 0), *big = load (bed, 1, 900, 0);
    load (bed, 2, 900, 0);
    assert_int_equal (small->state, CACHED);
    assert_int_equal (big->state, KEPT); /* of which nothing is left */
}

static void bytes_that_are_being_freed_are_waited_for_and_nobody_else_is_evicted (void **state)
{
    bed_t *bed = *state;
    model_t *slow = load (bed, 0, 500, 0), *other = load (bed, 1, 500, 0), *waiter = &bed->models [2];
    uint64_t evict;
    slow->habit = FREES_LATER;
    ask (bed, waiter, 400);
    settle_both (bed);
    assert_int_equal (waiter->state, WAITING);
    settle_both (bed);
    assert_int_equal (other->state, CACHED);
    const loader_room_wish_t urgent = { 400, 1, LOADER_NO_DEADLINE, on_answer, NULL };
    assert_int_equal (loader_ledger_estimate (bed->ledger, &urgent, &evict), LOADER_FITS_EVICTING);
    assert_int_equal (evict, 0);
    loader_ledger_move (bed->ledger, LOADER_BYTES_COMING, LOADER_BYTES_FREE, slow->fate.coming);
    slow->fate.coming = 0;
    settle_both (bed);
    assert_int_equal (waiter->state, LOADING);
    assert_int_equal (other->state, CACHED);
}

static void an_evicted_model_that_is_attached_drains_until_its_owner_says_otherwise (void **state)
{
    bed_t *bed = *state;
    loader_ledger_numbers_t numbers;
    model_t *model = load (bed, 0, 700, 0), *waiter = &bed->models [1];
    loader_entry_attach (model->entry);
    model->attachments++;
    bed->expected_count = bed->heard = 0;
    model_evicts (bed, model);
    assert_int_equal (loader_entry_evict (&model->entry, NULL), 0);
    loader_ledger_numbers (bed->ledger, &numbers);
    assert_int_equal (numbers.draining, 700);
    assert_int_equal (numbers.held, 0);
    ask (bed, waiter, 400);
    settle_both (bed);
    assert_int_equal (waiter->state, WAITING);
    loader_ledger_move (bed->ledger, LOADER_BYTES_KEPT, LOADER_BYTES_FREE, 700);
    model->state = NOTHING;
    settle_both (bed);
    assert_int_equal (waiter->state, LOADING);
}

static void a_model_expires_at_its_time_after_the_last_use_and_not_before (void **state)
{
    bed_t *bed = *state;
    bed->now_ms = 1000;
    model_t *model = load (bed, 0, 10, 100);
    load (bed, 1, 10, 0);
    assert_int_equal (loader_lru_next_ms (bed->lru), 1100);
    loader_entry_use (model->entry, 1050);
    assert_int_equal (loader_lru_next_ms (bed->lru), LOADER_NO_EXPIRY); /* leased */
    loader_entry_release (model->entry, 1200);
    assert_int_equal (loader_lru_next_ms (bed->lru), 1300);
    model->uses = 0;
    assert_int_equal (loader_lru_expire (bed->lru, 1299), 0);
    bed->expected_count = bed->heard = 0;
    model_evicts (bed, model);
    assert_int_equal (loader_lru_expire (bed->lru, 1300), 1);
    assert_int_equal (loader_lru_expire (bed->lru, INT64_MAX), 0); /* the other one stays for ever */
}

int main (void)
{
#define CASE(name) cmocka_unit_test_setup_teardown (name, make_bed, clear_bed)
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (the_least_recently_used_go_the_held_never_and_every_waiter_is_served),
        CASE (a_used_model_outlives_an_older_use),
        CASE (a_leased_a_pinned_and_an_attached_model_stay_and_the_load_waits_for_them),
        CASE (nothing_is_evicted_for_a_load_that_would_still_not_fit),
        CASE (an_old_small_model_is_spared_when_the_next_one_is_enough),
        CASE (bytes_that_are_being_freed_are_waited_for_and_nobody_else_is_evicted),
        CASE (an_evicted_model_that_is_attached_drains_until_its_owner_says_otherwise),
        CASE (a_model_expires_at_its_time_after_the_last_use_and_not_before),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
