// SPDX-License-Identifier: Apache-2.0
/*  ledger_model.h - a ledger and, beside it, what a naive model says that it must answer
 *
 *  The model counts anew from a list of loads each time. For ledger_test.c.
 */
#ifndef YARD_TESTS_LEDGER_MODEL_H
#define YARD_TESTS_LEDGER_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "actors/ground/random.h"
#include "actors/loader/ledger.h"

#define KEY "loader.test_bytes"
#define LOADS 40
#define WAITERS_MAX 12
#define BUDGET 1000

typedef enum {
    NOTHING, /* the place in the list is free */
    WAITING,
    RESERVED,
    BUSY,
    PINNED,
    KEPT,
    COMING
} state_t;

typedef struct {
    loader_reservation_t *reservation;
    state_t state;
    loader_room_wish_t wish;
    unsigned passed;
    bool fleeting; /* cancels itself inside its answer */
} model_load_t;

typedef struct bed_t bed_t;
typedef struct {
    bed_t *bed;
    size_t load;
} told_t;

struct bed_t {
    loader_ledger_t *ledger;
    yard_random_t random;
    model_load_t loads [LOADS];
    told_t told [LOADS]; /* arguments of the answers */
    size_t queue [LOADS], queued; /* loads that wait, in the order of the model */
    struct {
        size_t load;
        int code;
    } expected [2 * LOADS];
    size_t expected_count, heard;
    uint64_t budget, granted, peak;
    int64_t now_ms;
};

static int make_bed (void **state)
{
    bed_t *bed = calloc (1, sizeof *bed);
    assert_non_null (bed);
    bed->ledger = loader_ledger_new (BUDGET, KEY, WAITERS_MAX);
    bed->budget = BUDGET;
    yard_random_seed (&bed->random, 7);
    *state = bed;
    return 0;
}

static int clear_bed (void **state)
{
    bed_t *bed = *state;
    loader_ledger_destroy (&bed->ledger);
    free (bed);
    return 0;
}

/*  --- the model */

static uint64_t sum_of (const bed_t *bed, state_t state)
{
    uint64_t sum = 0;
    for (size_t at = 0; at < LOADS; at++)
        sum += bed->loads [at].state == state ? bed->loads [at].wish.bytes : 0;
    return sum;
}

static uint64_t used (const bed_t *bed)
{
    return sum_of (bed, RESERVED) + sum_of (bed, BUSY) + sum_of (bed, PINNED) + sum_of (bed, KEPT) +
           sum_of (bed, COMING);
}

static void note_peak (bed_t *bed)
{
    bed->peak = used (bed) > bed->peak ? used (bed) : bed->peak;
}

static size_t place_of (const bed_t *bed, const loader_room_wish_t *wish)
{
    size_t place = bed->queued;
    for (; place > 0; place--) {
        const model_load_t *other = &bed->loads [bed->queue [place - 1]];
        bool higher = wish->priority > other->wish.priority;
        bool sooner = wish->priority == other->wish.priority && wish->deadline_ms < other->wish.deadline_ms &&
                      other->passed < LOADER_PASSES_MAX;
        if (!higher && !sooner)
            break;
    }
    return place;
}

static void model_enter (bed_t *bed, size_t load)
{
    size_t place = place_of (bed, &bed->loads [load].wish);
    for (size_t at = bed->queued; at > place; at--) {
        bed->queue [at] = bed->queue [at - 1];
        model_load_t *other = &bed->loads [bed->queue [at]];
        if (other->wish.priority == bed->loads [load].wish.priority)
            other->passed++;
    }
    bed->queue [place] = load;
    bed->queued++;
    bed->loads [load].state = WAITING;
}

static void model_leave (bed_t *bed, size_t load, state_t state)
{
    size_t kept = 0;
    for (size_t at = 0; at < bed->queued; at++)
        if (bed->queue [at] != load)
            bed->queue [kept++] = bed->queue [at];
    bed->queued = kept;
    bed->loads [load].state = state;
}

static bool fits_never (const bed_t *bed, uint64_t bytes)
{
    return bytes > bed->budget - sum_of (bed, PINNED);
}

static void expect (bed_t *bed, size_t load, int code)
{
    bed->expected [bed->expected_count].load = load;
    bed->expected [bed->expected_count++].code = code;
}

static bool model_refuses_one (bed_t *bed)
{
    for (size_t at = 0; at < bed->queued; at++) {
        size_t load = bed->queue [at];
        const loader_room_wish_t *wish = &bed->loads [load].wish;
        int code = fits_never (bed, wish->bytes)      ? YARD_OUT_OF_MEMORY
                   : wish->deadline_ms <= bed->now_ms ? YARD_TIMEOUT
                                                      : 0;
        if (code == 0)
            continue;
        expect (bed, load, code);
        model_leave (bed, load, NOTHING);
        return true;
    }
    return false;
}

static void model_settle (bed_t *bed)
{
    for (;;) {
        if (model_refuses_one (bed))
            continue;
        if (bed->queued == 0 || bed->loads [bed->queue [0]].wish.bytes > bed->budget - used (bed))
            return;
        size_t load = bed->queue [0];
        model_leave (bed, load, RESERVED);
        expect (bed, load, 0);
        note_peak (bed);
        bed->granted++;
        if (bed->loads [load].fleeting)
            bed->loads [load].state = NOTHING;
    }
}

/*  --- the ledger beside it */

static void hear (void *argument, const yard_error_t *refusal)
{
    const told_t *told = argument;
    bed_t *bed = told->bed;
    model_load_t *load = &bed->loads [told->load];
    assert_true (bed->heard < bed->expected_count);
    assert_int_equal (bed->expected [bed->heard].load, told->load);
    assert_int_equal (bed->expected [bed->heard].code, refusal ? refusal->code : 0);
    bed->heard++;
    assert_int_equal (loader_ledger_settle (bed->ledger, bed->now_ms), 0); /* the outer one goes on */
    if (refusal)
        load->reservation = NULL;
    else if (load->fleeting)
        loader_reservation_cancel (&load->reservation);
}

static void settle_both (bed_t *bed)
{
    bed->expected_count = bed->heard = 0;
    model_settle (bed);
    assert_int_equal (loader_ledger_settle (bed->ledger, bed->now_ms), bed->expected_count);
    assert_int_equal (bed->heard, bed->expected_count);
    assert_int_equal (loader_ledger_settle (bed->ledger, bed->now_ms), 0); /* nothing is left over */
}

static uint64_t below (bed_t *bed, uint64_t bound)
{
    return yard_random_below (&bed->random, bound);
}

static void ask (bed_t *bed, size_t at, const loader_room_wish_t *wish)
{
    model_load_t *load = &bed->loads [at];
    yard_error_t error = { .code = 0 };
    bed->told [at] = (told_t){ bed, at };
    *load = (model_load_t){ .wish = *wish, .fleeting = below (bed, 10) == 0 };
    load->wish.argument = &bed->told [at];
    int expected = fits_never (bed, wish->bytes) ? YARD_OUT_OF_MEMORY
                   : bed->queued >= WAITERS_MAX  ? YARD_BUSY
                                                 : 0;
    size_t heard = bed->heard;
    assert_int_equal (loader_ledger_ask (bed->ledger, &load->wish, &load->reservation, &error), expected);
    assert_int_equal (bed->heard, heard); /* never from inside */
    if (expected)
        assert_non_null (strstr (error.text, KEY));
    else
        model_enter (bed, at);
}

#endif
