// SPDX-License-Identifier: Apache-2.0
/*  nccl_test.c - the rules of the simulated NCCL, each with where it is from; ranks are processes
 *
 *  nccl.h's lines are those of 2.28.9; "guide" is the NCCL user guide of that release, with the page. "assumed": neither says so, the
 *  simulation takes the harsher way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/simcuda/nccl_bed.h"

#define SHARE 262145 /* of one rank: more than a chunk, and odd */
#define UINT8 1 /* ncclDataType_t */
#define FLOAT32 7
#define IN_PROGRESS 7 /* ncclResult_t */
#define NOT_READY 600 /* cudaError_t */

static void gather_in_place (nccl_bed_t *bed, unsigned seed)
{
    for (unsigned rank = 0; rank < bed->ranks; rank++)
        assert_int_equal (nccl_bed_ask (bed, rank, "fill %u %u %u", rank * SHARE, SHARE, seed + rank), 0);
    for (unsigned rank = 0; rank < bed->ranks; rank++)
        nccl_bed_tell (bed, rank, "gather %u 0 %u %d", rank * SHARE, SHARE, UINT8);
    for (unsigned rank = 0; rank < bed->ranks; rank++)
        (void) nccl_bed_answer (bed, rank);
    nccl_bed_all (bed, 0, "ready 20000");
}

static void await_streams (nccl_bed_t *bed)
{
    nccl_bed_all (bed, 0, "mark");
    nccl_bed_all (bed, 0, "wait 20000");
}

static void check_gathered (nccl_bed_t *bed, unsigned seed)
{
    for (unsigned rank = 0; rank < bed->ranks; rank++)
        for (unsigned from = 0; from < bed->ranks; from++)
            assert_int_equal (nccl_bed_ask (bed, rank, "check %u %u %u", from * SHARE, SHARE, seed + from),
                              1);
}

static void leave_together (nccl_bed_t *bed, bool blocking)
{
    nccl_bed_all (bed, blocking ? 0 : IN_PROGRESS, "finalize");
    nccl_bed_all (bed, 0, "ready 20000");
    nccl_bed_all (bed, 0, "destroy");
    assert_false (nccl_bed_logged (bed, "nccl."));
    nccl_bed_stop (bed);
}

/*  --- joining */

/*  nccl.h:158, guide: usage/communicators "blocking can be set to 0 to ask NCCL to never block"; api/comms ncclCommGetAsyncError. */
static void a_join_that_does_not_block_is_in_progress_until_all_are_there (void **state)
{
    nccl_bed_t bed;
    (void) state;
    nccl_bed_start (&bed, 2, NULL);
    nccl_bed_draw (&bed, 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "join 0 2 0 %s", bed.id), IN_PROGRESS);
    assert_int_equal (nccl_bed_ask (&bed, 0, "ready 100"), IN_PROGRESS);
    assert_int_equal (nccl_bed_ask (&bed, 1, "join 1 2 0 %s", bed.id), IN_PROGRESS);
    nccl_bed_all (&bed, 0, "ready 20000");
    leave_together (&bed, false);
}

/*  nccl.h:169 "implicitly syncronizes with other ranks". */
static void a_blocking_join_returns_when_all_are_there (void **state)
{
    nccl_bed_t bed;
    (void) state;
    nccl_bed_start (&bed, 2, NULL);
    nccl_bed_draw (&bed, 0);
    nccl_bed_tell (&bed, 0, "join 0 2 1 %s", bed.id);
    assert_int_equal (nccl_bed_answer_within (&bed, 0, 100), NCCL_BED_SILENT);
    assert_int_equal (nccl_bed_ask (&bed, 1, "join 1 2 1 %s", bed.id), 0);
    assert_int_equal (nccl_bed_answer (&bed, 0), 0);
    leave_together (&bed, true);
}

/*  nccl.h:252, 256, 260. */
static void a_communicator_knows_its_ranks_rank_and_device (void **state)
{
    nccl_bed_t bed;
    (void) state;
    nccl_bed_start (&bed, 4, NULL);
    nccl_bed_join (&bed, false);
    for (unsigned rank = 0; rank < 4; rank++)
        assert_int_equal (nccl_bed_ask (&bed, rank, "about"), 40000 + rank * 101);
    leave_together (&bed, false);
}

/*  guide: usage/communicators "Using the same CUDA device multiple times as different ranks of the same NCCL communicator is not supported
 *  and may lead to hangs"; that those two are told and the third hangs is assumed. */
static void a_device_twice_is_refused (void **state)
{
    nccl_bed_t bed;
    (void) state;
    nccl_bed_start (&bed, 3, NULL);
    assert_int_equal (nccl_bed_ask (&bed, 1, "device 0"), 0);
    nccl_bed_draw (&bed, 0);
    for (unsigned rank = 0; rank < 3; rank++)
        assert_int_equal (nccl_bed_ask (&bed, rank, "join %u 3 0 %s", rank, bed.id), IN_PROGRESS);
    assert_int_equal (nccl_bed_ask (&bed, 0, "ready 20000"), 5);
    assert_int_equal (nccl_bed_ask (&bed, 1, "ready 20000"), 5);
    assert_int_equal (nccl_bed_ask (&bed, 2, "ready 100"), IN_PROGRESS);
    nccl_bed_await_log (&bed, "nccl.duplicate_device");
    nccl_bed_all (&bed, 0, "abort");
    nccl_bed_stop (&bed);
}

/*  nccl.h:166 "unique within a communicator clique"; that it hangs is assumed. */
static void a_rank_twice_hangs (void **state)
{
    nccl_bed_t bed;
    (void) state;
    nccl_bed_start (&bed, 2, NULL);
    nccl_bed_draw (&bed, 0);
    for (unsigned rank = 0; rank < 2; rank++)
        assert_int_equal (nccl_bed_ask (&bed, rank, "join 0 2 0 %s", bed.id), IN_PROGRESS);
    nccl_bed_await_log (&bed, "nccl.meeting_mismatch");
    for (unsigned rank = 0; rank < 2; rank++)
        assert_int_equal (nccl_bed_ask (&bed, rank, "ready 50"), IN_PROGRESS);
    nccl_bed_all (&bed, 0, "abort");
    nccl_bed_stop (&bed);
}

/*  nccl.h:155 "should be called once ... before calling ncclCommInitRank"; the code is assumed, from guide: api/types ncclRemoteError "a
 *  remote process exiting prematurely". */
static void an_id_makes_one_communicator (void **state)
{
    nccl_bed_t bed;
    (void) state;
    nccl_bed_start (&bed, 2, NULL);
    nccl_bed_join (&bed, false);
    assert_int_equal (nccl_bed_ask (&bed, 0, "seat 1"), 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "join 0 2 0 %s", bed.id), IN_PROGRESS);
    assert_int_equal (nccl_bed_ask (&bed, 0, "ready 20000"), 6);
    assert_int_equal (nccl_bed_ask (&bed, 0, "abort"), 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "seat 0"), 0);
    nccl_bed_all (&bed, 0, "destroy");
    nccl_bed_stop (&bed);
}

/*  As the one before. */
static void an_id_dies_with_the_process_that_drew_it (void **state)
{
    nccl_bed_t bed;
    (void) state;
    nccl_bed_start (&bed, 2, NULL);
    nccl_bed_draw (&bed, 0);
    nccl_bed_kill (&bed, 0);
    assert_int_equal (nccl_bed_ask (&bed, 1, "join 1 2 0 %s", bed.id), IN_PROGRESS);
    assert_int_equal (nccl_bed_ask (&bed, 1, "ready 20000"), 6);
    assert_int_equal (nccl_bed_ask (&bed, 1, "abort"), 0);
    assert_int_equal (nccl_bed_ask (&bed, 1, "join 1 2 1 %s", bed.id), 6);
    assert_int_equal (nccl_bed_ask (&bed, 1, "about"), -4); /* a blocking one leaves NULL */
    nccl_bed_stop (&bed);
}

/*  assumed: the real one may report it, or hang. */
static void a_rank_or_root_killed_while_they_meet_hangs_the_others_until_they_abort (void **state)
{
    for (unsigned victim = 0; victim < 2; victim++) {
        nccl_bed_t bed;
        (void) state;
        nccl_bed_start (&bed, 3, NULL);
        nccl_bed_draw (&bed, 0);
        for (unsigned rank = 0; rank < 2; rank++)
            assert_int_equal (nccl_bed_ask (&bed, rank, "join %u 3 0 %s", rank, bed.id), IN_PROGRESS);
        assert_int_equal (nccl_bed_ask (&bed, victim, "ready 100"), IN_PROGRESS);
        nccl_bed_kill (&bed, victim);
        nccl_bed_await_log (&bed, victim == 0 ? "nccl.root_gone" : "nccl.peer_gone");
        assert_int_equal (nccl_bed_ask (&bed, !victim, "ready 50"), IN_PROGRESS);
        assert_int_equal (nccl_bed_ask (&bed, !victim, "abort"), 0);
        nccl_bed_stop (&bed);
    }
}

/*  guide: api/comms ncclCommGetAsyncError "users must query the states ... until all the states become ncclSuccess before calling another
 *  NCCL function"; the code is the real library's (nccl 2.28, ncclCommEnsureReady), that the error stays as well. */
static void a_call_before_the_last_one_is_over_is_refused (void **state)
{
    nccl_bed_t bed;
    (void) state;
    nccl_bed_start (&bed, 2, NULL);
    nccl_bed_draw (&bed, 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "join 0 2 0 %s", bed.id), IN_PROGRESS);
    assert_int_equal (nccl_bed_ask (&bed, 0, "about"), -4);
    assert_int_equal (nccl_bed_ask (&bed, 0, "destroy"), 4);
    assert_int_equal (nccl_bed_ask (&bed, 0, "state"), IN_PROGRESS);
    assert_int_equal (nccl_bed_ask (&bed, 0, "gather 0 0 8 1"), 4);
    assert_int_equal (nccl_bed_ask (&bed, 0, "state"), 4);
    assert_int_equal (nccl_bed_ask (&bed, 1, "join 1 2 0 %s", bed.id), IN_PROGRESS);
    assert_int_equal (nccl_bed_ask (&bed, 1, "ready 20000"), 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "error 0 100"), 0); /* though the join is over now */
    nccl_bed_all (&bed, 0, "abort");
    nccl_bed_stop (&bed);
}

/*  --- moving */

/*  nccl.h:440-445. */
static void an_all_gather_in_place_puts_every_share_in_its_place (void **state)
{
    for (unsigned ranks = 2; ranks <= 8; ranks *= 2) {
        nccl_bed_t bed;
        (void) state;
        nccl_bed_start (&bed, ranks, NULL);
        nccl_bed_join (&bed, false);
        for (unsigned round = 0; round < 3; round++) {
            gather_in_place (&bed, round * 100);
            await_streams (&bed);
            check_gathered (&bed, round * 100);
        }
        leave_together (&bed, false);
    }
}

/*  nccl.h:440: counts are of the type (nccl.h:300), not bytes. */
static void an_all_gather_out_of_place_leaves_its_source (void **state)
{
    const unsigned count = 1001, size = count * 4, source = 3U << 20;
    nccl_bed_t bed;
    (void) state;
    nccl_bed_start (&bed, 4, NULL);
    nccl_bed_join (&bed, true);
    for (unsigned rank = 0; rank < 4; rank++)
        assert_int_equal (nccl_bed_ask (&bed, rank, "fill %u %u %u", source, size, rank), 0);
    for (unsigned rank = 0; rank < 4; rank++)
        assert_int_equal (nccl_bed_ask (&bed, rank, "gather %u 0 %u %d", source, count, FLOAT32), 0);
    await_streams (&bed);
    for (unsigned rank = 0; rank < 4; rank++) {
        assert_int_equal (nccl_bed_ask (&bed, rank, "check %u %u %u", source, size, rank), 1);
        for (unsigned from = 0; from < 4; from++)
            assert_int_equal (nccl_bed_ask (&bed, rank, "check %u %u %u", from * size, size, from), 1);
    }
    leave_together (&bed, true);
}

/*  nccl.h:395-399, in place and not, from every root. */
static void a_broadcast_copies_the_roots_bytes (void **state)
{
    for (unsigned ranks = 2; ranks <= 8; ranks *= 2) {
        nccl_bed_t bed;
        (void) state;
        nccl_bed_start (&bed, ranks, NULL);
        nccl_bed_join (&bed, false);
        for (unsigned root = 0; root < ranks; root += 3) {
            unsigned receive = root % 2 ? 2U << 20 : 0;
            char command [64];
            assert_int_equal (nccl_bed_ask (&bed, root, "fill 0 1500001 %u", root), 0);
            snprintf (command, sizeof command, "broadcast 0 %u 1500001 1 %u", receive, root);
            nccl_bed_all (&bed, IN_PROGRESS, command);
            nccl_bed_all (&bed, 0, "ready 20000");
            await_streams (&bed);
            snprintf (command, sizeof command, "check %u 1500001 %u", receive, root);
            nccl_bed_all (&bed, 1, command);
        }
        leave_together (&bed, false);
    }
}

/*  nccl.h:355 "return when operations have been enqueued on the CUDA stream"; guide: usage/streams. */
static void nothing_moves_before_the_streams_earlier_work_is_over (void **state)
{
    nccl_bed_t bed;
    (void) state;
    nccl_bed_start (&bed, 2, NULL);
    nccl_bed_join (&bed, false);
    assert_int_equal (nccl_bed_ask (&bed, 0, "hold"), 0);
    gather_in_place (&bed, 0);
    nccl_bed_all (&bed, 0, "mark");
    nccl_bed_all (&bed, NOT_READY, "wait 50"); /* the other one waits for it */
    assert_int_equal (nccl_bed_ask (&bed, 1, "poisoned 0 %u", SHARE), 1);
    assert_int_equal (nccl_bed_ask (&bed, 0, "open"), 0);
    nccl_bed_all (&bed, 0, "wait 20000");
    check_gathered (&bed, 0);
    leave_together (&bed, false);
}

/*  cuda_runtime_api.h, cudaStreamWaitEvent: the collective is work "submitted to stream" like any other. */
static void nothing_moves_before_an_event_that_the_stream_waits_for (void **state)
{
    nccl_bed_t bed;
    (void) state;
    nccl_bed_start (&bed, 2, NULL);
    nccl_bed_join (&bed, false);
    nccl_bed_all (&bed, 0, "seat 1"); /* another stream, as copies have */
    nccl_bed_all (&bed, 0, "allocate 8");
    nccl_bed_all (&bed, 0, "hold");
    nccl_bed_all (&bed, 0, "seat 0");
    nccl_bed_all (&bed, 0, "after 1");
    gather_in_place (&bed, 0);
    nccl_bed_all (&bed, 0, "mark");
    nccl_bed_all (&bed, NOT_READY, "wait 50");
    assert_int_equal (nccl_bed_ask (&bed, 1, "poisoned 0 %u", SHARE), 1);
    nccl_bed_all (&bed, 0, "seat 1");
    nccl_bed_all (&bed, 0, "open");
    nccl_bed_all (&bed, 0, "seat 0");
    nccl_bed_all (&bed, 0, "wait 20000");
    check_gathered (&bed, 0);
    leave_together (&bed, false);
}

/*  assumed: a device may write anything to a destination before it is over. Its own share in place stays. */
static void the_destination_is_poisoned_when_enqueued (void **state)
{
    nccl_bed_t bed;
    (void) state;
    nccl_bed_start (&bed, 2, NULL);
    nccl_bed_join (&bed, false);
    nccl_bed_all (&bed, 0, "hold");
    assert_int_equal (nccl_bed_ask (&bed, 0, "fill %u %u 77", SHARE, SHARE), 0);
    gather_in_place (&bed, 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "poisoned %u %u", SHARE, SHARE), 1);
    assert_int_equal (nccl_bed_ask (&bed, 0, "check 0 %u 0", SHARE), 1);
    nccl_bed_all (&bed, 0, "open");
    await_streams (&bed);
    check_gathered (&bed, 0);
    leave_together (&bed, false);
}

/*  guide: usage/streams "executed asynchronously on the CUDA device": a source that changes meanwhile is seen changed. */
static void sources_are_read_when_the_collective_runs (void **state)
{
    nccl_bed_t bed;
    (void) state;
    nccl_bed_start (&bed, 2, NULL);
    nccl_bed_join (&bed, false);
    nccl_bed_all (&bed, 0, "hold");
    gather_in_place (&bed, 0);
    for (unsigned rank = 0; rank < 2; rank++)
        assert_int_equal (nccl_bed_ask (&bed, rank, "fill %u %u %u", rank * SHARE, SHARE, 50 + rank), 0);
    nccl_bed_all (&bed, 0, "open");
    await_streams (&bed);
    check_gathered (&bed, 50);
    leave_together (&bed, false);
}

/*  guide: api/comms ncclCommGetAsyncError "it means the operation is in the process of being enqueued in the background"; usage/groups,
 *  Nonblocking Group Operation. */
static void an_event_recorded_while_in_progress_is_before_the_collective (void **state)
{
    nccl_bed_t bed;
    (void) state;
    nccl_bed_start (&bed, 2, NULL);
    nccl_bed_join (&bed, false);
    nccl_bed_tell (&bed, 0, "gather 0 0 %u 1\nmark", SHARE);
    assert_int_equal (nccl_bed_answer (&bed, 0), IN_PROGRESS);
    assert_int_equal (nccl_bed_answer (&bed, 0), 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "wait 20000"), 0); /* over, and nothing is gathered */
    assert_int_equal (nccl_bed_ask (&bed, 0, "ready 20000"), 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "mark"), 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "wait 50"), NOT_READY);
    assert_int_equal (nccl_bed_ask (&bed, 1, "gather %u 0 %u 1", SHARE, SHARE), IN_PROGRESS);
    nccl_bed_all (&bed, 0, "ready 20000");
    await_streams (&bed);
    leave_together (&bed, false);
}

/*  assumed: the model is a ring's; guide: none. Slower than promised is allowed, faster never. */
static void a_link_has_its_rate (void **state)
{
    const char *const settings [] = { "SIMNCCL_LINK_MB=10", NULL };
    struct timespec from, to;
    nccl_bed_t bed;
    double took;
    (void) state;
    nccl_bed_start (&bed, 4, settings);
    nccl_bed_join (&bed, false);
    clock_gettime (CLOCK_MONOTONIC, &from);
    for (unsigned round = 0; round < 4; round++) {
        gather_in_place (&bed, 0);
        await_streams (&bed);
    }
    clock_gettime (CLOCK_MONOTONIC, &to);
    took = (double) (to.tv_sec - from.tv_sec) + (double) (to.tv_nsec - from.tv_nsec) / 1e9;
    assert_true (took > 4 * 3.0 * SHARE / 10e6 * 0.95);
    assert_true (took < 4 * 3.0 * SHARE / 10e6 * 20); /* a loaded machine; still no other unit */
    check_gathered (&bed, 0);
    leave_together (&bed, false);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (a_join_that_does_not_block_is_in_progress_until_all_are_there),
        cmocka_unit_test (a_blocking_join_returns_when_all_are_there),
        cmocka_unit_test (a_communicator_knows_its_ranks_rank_and_device),
        cmocka_unit_test (a_device_twice_is_refused),
        cmocka_unit_test (a_rank_twice_hangs),
        cmocka_unit_test (an_id_makes_one_communicator),
        cmocka_unit_test (an_id_dies_with_the_process_that_drew_it),
        cmocka_unit_test (a_rank_or_root_killed_while_they_meet_hangs_the_others_until_they_abort),
        cmocka_unit_test (a_call_before_the_last_one_is_over_is_refused),
        cmocka_unit_test (an_all_gather_in_place_puts_every_share_in_its_place),
        cmocka_unit_test (an_all_gather_out_of_place_leaves_its_source),
        cmocka_unit_test (a_broadcast_copies_the_roots_bytes),
        cmocka_unit_test (nothing_moves_before_the_streams_earlier_work_is_over),
        cmocka_unit_test (nothing_moves_before_an_event_that_the_stream_waits_for),
        cmocka_unit_test (the_destination_is_poisoned_when_enqueued),
        cmocka_unit_test (sources_are_read_when_the_collective_runs),
        cmocka_unit_test (an_event_recorded_while_in_progress_is_before_the_collective),
        cmocka_unit_test (a_link_has_its_rate),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
