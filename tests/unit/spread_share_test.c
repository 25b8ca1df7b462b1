// SPDX-License-Identifier: Apache-2.0
/*  spread_share_test.c - shares of devices: every byte once, nothing over the padding, whatever the runs */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "actors/ground/random.h"
#include "actors/loader/spread_share.h"

#define UNIT \
    4096u /* bytes that one byte of a map stands for: all borders here are multiples of it, but for the last share's */
#define RUNS_MAX 40
#define ROUNDS 400

typedef struct {
    loader_run_t runs [RUNS_MAX];
    size_t count;
    uint64_t bytes;
} model_t;

static uint64_t below (yard_random_t *random, uint64_t bound)
{
    return yard_random_below (random, bound);
}

/*  Runs of any sizes in the order of their files, some with gaps on the device, some without. */
static void make_model (yard_random_t *random, model_t *ret)
{
    uint64_t to = 0, offset = 0;
    uint32_t source = 0;
    *ret = (model_t){ .count = 1 + below (random, RUNS_MAX - 1) };
    for (size_t at = 0; at < ret->count; at++) {
        uint64_t most = below (random, 4) == 0 ? 12 * LOADER_SHARE_BYTES / UNIT : 300;
        if (below (random, 4) == 0) {
            source++;
            offset = 0;
        }
        offset += below (random, 3) * UNIT;
        to += below (random, 3) * UNIT;
        uint64_t bytes = (1 + below (random, most)) * UNIT;
        ret->runs [at] = (loader_run_t){ .source = source, .offset = offset, .bytes = bytes, .to = to };
        offset += bytes;
        to += bytes;
    }
    ret->bytes = to + below (random, 16) * LOADER_SHARE_ALIGNMENT;
}

/*  Of what is cut out of one run: is it that run's, and not yet counted? */
static void count_bytes (const model_t *model, const loader_run_t *cut, uint64_t *counted)
{
    for (size_t at = 0; at < model->count; at++) {
        const loader_run_t *run = &model->runs [at];
        if (cut->to < run->to || cut->to >= run->to + run->bytes)
            continue;
        assert_true (cut->to + cut->bytes <= run->to + run->bytes);
        assert_int_equal (cut->source, run->source);
        assert_int_equal (cut->offset - run->offset, cut->to - run->to);
        counted [at] += cut->bytes;
        return;
    }
    fail ();
}

static void check_order (const loader_run_t *cut, size_t count)
{
    for (size_t at = 1; at < count; at++)
        assert_true (cut [at - 1].source < cut [at].source ||
                     (cut [at - 1].source == cut [at].source &&
                      cut [at - 1].offset + cut [at - 1].bytes <= cut [at].offset));
}

/*  In one share of its rank. */
static void check_share (const model_t *model, unsigned rank, unsigned ranks, const loader_run_t *cut)
{
    loader_share_t share = loader_share_of (model->bytes, ranks, loader_share_chunk_at (ranks, cut->to));
    uint64_t begin = share.offset + rank * share.share;
    assert_true (cut->to >= begin && cut->to + cut->bytes <= begin + share.share);
    assert_true (cut->bytes <= LOADER_SHARE_BYTES);
}

static void over_all_ranks_every_byte_of_every_run_is_read_exactly_once (void **state)
{
    (void) state;
    yard_random_t random;
    yard_random_seed (&random, 1);
    for (unsigned round = 0; round < ROUNDS; round++) {
        model_t model;
        uint64_t counted [RUNS_MAX] = { 0 }, cut_bytes = 0, all = 0;
        unsigned ranks = 1 + (unsigned) below (&random, 16);
        make_model (&random, &model);
        for (unsigned rank = 0; rank < ranks; rank++) {
            loader_run_t *cut;
            size_t count = loader_share_cut (model.runs, model.count, model.bytes, rank, ranks, &cut);
            check_order (cut, count);
            for (size_t at = 0; at < count; at++) {
                check_share (&model, rank, ranks, &cut [at]);
                count_bytes (&model, &cut [at], counted);
                cut_bytes += cut [at].bytes;
            }
            /*  No two pieces of one rank overlap (they are in order), and none of two ranks (each lies in its own share). */
            free (cut);
        }
        for (size_t at = 0; at < model.count; at++) {
            assert_int_equal (counted [at], model.runs [at].bytes);
            all += model.runs [at].bytes;
        }
        assert_int_equal (cut_bytes, all);
    }
}

static void chunks_follow_each_other_and_end_within_the_padding (void **state)
{
    (void) state;
    yard_random_t random;
    yard_random_seed (&random, 2);
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned ranks = 1 + (unsigned) below (&random, 16);
        uint64_t bytes = (1 + below (&random, 2000000)) * LOADER_SHARE_ALIGNMENT, end = 0;
        size_t chunks = loader_share_chunks (bytes, ranks);
        for (size_t at = 0; at < chunks; at++) {
            loader_share_t share = loader_share_of (bytes, ranks, at);
            assert_int_equal (share.offset, end);
            assert_int_equal (share.share % LOADER_SHARE_ALIGNMENT, 0);
            assert_true (share.share > 0 && share.share <= LOADER_SHARE_BYTES);
            end = share.offset + share.share * ranks;
            assert_true (at + 1 == chunks || share.share == LOADER_SHARE_BYTES);
        }
        assert_true (end >= bytes && end <= bytes + loader_share_padding (ranks));
    }
}

static void the_rest_from_a_byte_on_and_what_is_before_it_are_the_whole (void **state)
{
    (void) state;
    yard_random_t random;
    yard_random_seed (&random, 3);
    for (unsigned round = 0; round < ROUNDS; round++) {
        model_t model;
        uint64_t rest = 0, want = 0;
        loader_run_t *runs;
        make_model (&random, &model);
        uint64_t from = below (&random, model.bytes / UNIT + 2) * UNIT;
        size_t count = loader_share_rest (model.runs, model.count, from, &runs);
        check_order (runs, count);
        for (size_t at = 0; at < count; at++) {
            assert_true (runs [at].to >= from);
            rest += runs [at].bytes;
        }
        for (size_t at = 0; at < model.count; at++) {
            uint64_t end = model.runs [at].to + model.runs [at].bytes;
            want += end <= from ? 0 : model.runs [at].to >= from ? model.runs [at].bytes : end - from;
        }
        assert_int_equal (rest, want);
        free (runs);
    }
}

static void a_model_without_bytes_has_no_chunk (void **state)
{
    (void) state;
    loader_run_t *runs;
    assert_int_equal (loader_share_chunks (0, 4), 0);
    assert_int_equal (loader_share_cut (NULL, 0, 0, 0, 4, &runs), 0);
    free (runs);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (over_all_ranks_every_byte_of_every_run_is_read_exactly_once),
        cmocka_unit_test (chunks_follow_each_other_and_end_within_the_padding),
        cmocka_unit_test (the_rest_from_a_byte_on_and_what_is_before_it_are_the_whole),
        cmocka_unit_test (a_model_without_bytes_has_no_chunk),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
