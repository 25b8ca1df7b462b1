// SPDX-License-Identifier: Apache-2.0
/*  lru_model.h - a ledger with its models and, beside them, what a naive model says that must happen
 *
 *  It says beforehand who will be evicted, granted and refused, in which order; it sums up anew from its list
 *  each time. For lru_test.c.
 */
#ifndef YARD_TESTS_LRU_MODEL_H
#define YARD_TESTS_LRU_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "actors/ground/random.h"
#include "actors/loader/lru.h"

#define KEY "loader.test_bytes"
#define MODELS 32
#define WAITERS_MAX 8
#define BUDGET 1000

typedef enum {
    NOTHING, /* the place in the list is free */
    WAITING,
    LOADING,
    CACHED,
    KEPT /* part of its bytes kept, part coming */
} state_t;

typedef struct bed_t bed_t;

/*  What the owner does with the bytes of an idle model when it is evicted. */
typedef enum {
    FREES,
    FREES_LATER, /* half of it */
    KEEPS /* though nobody is attached */
} habit_t;

typedef struct {
    bed_t *bed;
    loader_reservation_t *reservation;
    loader_entry_t *entry;
    state_t state;
    habit_t habit;
    uint64_t bytes, order; /* of the last use; while it waits: of the ask */
    size_t uses, pins, attachments;
    int64_t last_use_ms, ttl_ms;
    loader_fate_t fate;
} model_t;

typedef enum {
    EVICTED = 1,
    GRANTED,
    REFUSED
} what_t;

struct bed_t {
    loader_ledger_t *ledger;
    loader_lru_t *lru;
    yard_random_t random;
    model_t models [MODELS];
    uint64_t order; /* counts uses and asks */
    struct {
        what_t what;
        size_t model;
    } expected [4 * MODELS];
    size_t expected_count, heard;
    loader_lru_numbers_t numbers;
    int64_t now_ms;
};

static void hear (bed_t *bed, what_t what, const model_t *model)
{
    assert_true (bed->heard < bed->expected_count);
    assert_int_equal (bed->expected [bed->heard].what, what);
    assert_int_equal (bed->expected [bed->heard].model, model - bed->models);
    bed->heard++;
}

static void on_evict (void *argument, void *value, loader_fate_t *ret)
{
    model_t *model = value;
    assert_true (model->uses == 0 && model->pins == 0);
    hear (argument, EVICTED, model);
    *ret = model->fate; /* as the naive model said */
    model->entry = NULL;
}

static void on_answer (void *argument, const yard_error_t *refusal)
{
    model_t *model = argument;
    hear (model->bed, refusal ? REFUSED : GRANTED, model);
    if (refusal)
        model->reservation = NULL;
}

static int make_bed (void **state)
{
    bed_t *bed = calloc (1, sizeof *bed);
    assert_non_null (bed);
    yard_random_seed (&bed->random, 7);
    bed->ledger = loader_ledger_new (BUDGET, KEY, WAITERS_MAX);
    bed->lru = loader_lru_new (bed->ledger, on_evict, bed);
    *state = bed;
    return 0;
}

static int clear_bed (void **state)
{
    bed_t *bed = *state;
    loader_lru_destroy (&bed->lru);
    for (size_t at = 0; at < MODELS; at++)
        loader_reservation_cancel (&bed->models [at].reservation);
    loader_ledger_destroy (&bed->ledger);
    free (bed);
    return 0;
}

/*  --- the naive model */

static bool is_idle (const model_t *model)
{
    return model->state == CACHED && model->uses == 0 && model->pins == 0 && model->attachments == 0;
}

/*  Everything anew from the list, in the terms of the ledger. */
static uint64_t sum_of (const bed_t *bed, loader_bytes_t kind)
{
    uint64_t sums [LOADER_BYTES_KINDS] = { 0 }, used = 0;
    for (size_t at = 0; at < MODELS; at++) {
        const model_t *model = &bed->models [at];
        if (model->state == LOADING)
            sums [LOADER_BYTES_RESERVED] += model->bytes;
        else if (model->state == CACHED)
            sums [model->pins       ? LOADER_BYTES_PINNED
                  : is_idle (model) ? LOADER_BYTES_IDLE
                                    : LOADER_BYTES_BUSY] += model->bytes;
        else if (model->state == KEPT) {
            sums [LOADER_BYTES_KEPT] += model->fate.kept;
            sums [LOADER_BYTES_COMING] += model->fate.coming;
        }
    }
    for (size_t at = 1; at < LOADER_BYTES_KINDS; at++)
        used += sums [at];
    sums [LOADER_BYTES_FREE] = BUDGET - used;
    return sums [kind];
}

/*  The first of those in this state that the order puts after `after`; idle only, if that is asked. */
static model_t *next_model (bed_t *bed, state_t state, bool idle, uint64_t after)
{
    model_t *found = NULL;
    for (size_t at = 0; at < MODELS; at++) {
        model_t *model = &bed->models [at];
        if (model->state == state && (!idle || is_idle (model)) && model->order > after &&
            (!found || model->order < found->order))
            found = model;
    }
    return found;
}

static void expect (bed_t *bed, what_t what, const model_t *model)
{
    bed->expected [bed->expected_count].what = what;
    bed->expected [bed->expected_count++].model = (size_t) (model - bed->models);
}

static void model_evicts (bed_t *bed, model_t *model)
{
    bool keeps = model->attachments > 0 || model->habit == KEEPS;
    model->fate = (loader_fate_t){ .kept = keeps ? model->bytes : 0 };
    if (!keeps && model->habit == FREES_LATER)
        model->fate.coming = model->bytes / 2;
    expect (bed, EVICTED, model);
    model->state = KEPT;
    bed->numbers.models--;
    bed->numbers.evictions++;
    bed->numbers.evicted_bytes += model->bytes;
}

/*  Marks in `gone` who has to go for so many bytes: the oldest, as many as are enough; then whoever was not
 *  needed stays, the youngest first. The sum. */
static uint64_t choose (bed_t *bed, uint64_t bytes, bool *gone)
{
    model_t *chosen [MODELS];
    size_t count = 0;
    uint64_t sum = 0;
    for (model_t *model = NULL; sum < bytes; sum += model->bytes) {
        model = next_model (bed, CACHED, true, model ? model->order : 0);
        chosen [count++] = model;
        gone [model - bed->models] = true;
    }
    while (count-- > 0)
        if (sum - chosen [count]->bytes >= bytes) {
            sum -= chosen [count]->bytes;
            gone [chosen [count] - bed->models] = false;
        }
    return sum;
}

/*  Bytes that only eviction can bring, if it can. */
static uint64_t missing_for (const bed_t *bed, uint64_t bytes)
{
    uint64_t there = sum_of (bed, LOADER_BYTES_FREE) + sum_of (bed, LOADER_BYTES_COMING);
    return bytes > there && bytes - there <= sum_of (bed, LOADER_BYTES_IDLE) ? bytes - there : 0;
}

static void model_makes_room (bed_t *bed, uint64_t bytes)
{
    uint64_t missing;
    while ((missing = missing_for (bed, bytes)) > 0) {
        bool gone [MODELS] = { false };
        choose (bed, missing, gone);
        for (model_t *model = next_model (bed, CACHED, true, 0), *next; model; model = next) {
            next = next_model (bed, CACHED, true, model->order);
            if (gone [model - bed->models])
                model_evicts (bed, model);
        }
    }
}

static void model_settles (bed_t *bed)
{
    for (model_t *head; (head = next_model (bed, WAITING, false, 0));) {
        model_t *hopeless = head;
        while (hopeless && hopeless->bytes <= BUDGET - sum_of (bed, LOADER_BYTES_PINNED))
            hopeless = next_model (bed, WAITING, false, hopeless->order);
        if (hopeless) {
            expect (bed, REFUSED, hopeless);
            hopeless->state = NOTHING;
            continue;
        }
        model_makes_room (bed, head->bytes);
        if (head->bytes > sum_of (bed, LOADER_BYTES_FREE))
            return;
        expect (bed, GRANTED, head);
        head->state = LOADING;
    }
}

/*  --- what is done to both */

static void settle_both (bed_t *bed)
{
    bed->expected_count = bed->heard = 0;
    model_settles (bed);
    loader_ledger_settle (bed->ledger, bed->now_ms);
    assert_int_equal (bed->heard, bed->expected_count);
}

static void ask (bed_t *bed, model_t *model, uint64_t bytes)
{
    *model = (model_t){ .bed = bed, .bytes = bytes, .order = ++bed->order };
    const loader_room_wish_t wish = { bytes, 0, LOADER_NO_DEADLINE, on_answer, model };
    if (loader_ledger_ask (bed->ledger, &wish, &model->reservation, NULL) == 0)
        model->state = WAITING;
}

static void use_now (bed_t *bed, model_t *model)
{
    model->order = ++bed->order;
    model->last_use_ms = bed->now_ms;
}

static void add (bed_t *bed, model_t *model, int64_t ttl_ms)
{
    model->ttl_ms = ttl_ms;
    model->uses = 1;
    model->state = CACHED;
    model->entry = loader_lru_add (bed->lru, &model->reservation, model, ttl_ms, bed->now_ms);
    assert_int_equal (loader_entry_bytes (model->entry), model->bytes);
    use_now (bed, model);
    bed->numbers.models++;
    bed->numbers.misses++;
}

static void release (bed_t *bed, model_t *model)
{
    loader_entry_release (model->entry, bed->now_ms);
    model->uses--;
    use_now (bed, model);
}

#endif
