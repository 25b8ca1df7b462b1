// SPDX-License-Identifier: Apache-2.0
/*  nccl_end_test.c - what goes wrong in the simulated NCCL, and how it ends; ranks are processes
 *
 *  Sources as in nccl_test.c: nccl.h of 2.28.9 by line, "guide" the NCCL user guide by page, else "assumed".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/simcuda/nccl_bed.h"

#define IN_PROGRESS 7 /* ncclResult_t */
#define NOT_READY 600 /* cudaError_t */

static const char *const impatient [] = { "SIMNCCL_PATIENCE_MS=100", NULL };

/*  A call each, then the streams: neither gets to its end; one aborts, the other goes on hanging until it does as well. */
static void hang_and_abort (nccl_bed_t *bed, const char *first, const char *second, const char *line)
{
    assert_int_equal (nccl_bed_ask (bed, 0, "%s", first), IN_PROGRESS);
    if (second)
        assert_int_equal (nccl_bed_ask (bed, 1, "%s", second), IN_PROGRESS);
    assert_int_equal (nccl_bed_ask (bed, 0, "ready 20000"), 0);
    if (second)
        assert_int_equal (nccl_bed_ask (bed, 1, "ready 20000"), 0);
    nccl_bed_await_log (bed, line);
    nccl_bed_all (bed, 0, "mark");
    assert_int_equal (nccl_bed_ask (bed, 0, "wait 50"), NOT_READY);
    assert_int_equal (nccl_bed_ask (bed, 0, "state"), 0); /* assumed: nothing is reported */
    assert_int_equal (nccl_bed_ask (bed, 0, "abort"), 0);
    assert_int_equal (nccl_bed_ask (bed, 0, "wait 20000"), 0);
    if (second)
        assert_int_equal (nccl_bed_ask (bed, 1, "wait 50"), NOT_READY);
    assert_int_equal (nccl_bed_ask (bed, 1, "abort"), 0);
    assert_int_equal (nccl_bed_ask (bed, 1, "wait 20000"), 0);
}

static void check_mismatch (const char *first, const char *second, const char *line)
{
    nccl_bed_t bed;
    nccl_bed_start (&bed, 2, impatient);
    nccl_bed_join (&bed, false);
    hang_and_abort (&bed, first, second, line);
    nccl_bed_stop (&bed);
}

/*  guide: usage/collectives "have to be called for each rank ..., using the same count and the same datatype", else "undefined behavior,
 *  including hangs, crashes, or data corruption": here it hangs. */
static void another_count_hangs_until_abort (void **state)
{
    (void) state;
    check_mismatch ("gather 0 0 100 1", "gather 104 0 104 1", "nccl.mismatch");
}

/*  As the one before. */
static void another_kind_hangs_until_abort (void **state)
{
    (void) state;
    check_mismatch ("gather 0 0 100 1", "broadcast 0 0 100 1 0", "nccl.mismatch");
}

/*  As the one before. */
static void another_root_hangs_until_abort (void **state)
{
    (void) state;
    check_mismatch ("broadcast 0 0 100 1 0", "broadcast 0 0 100 1 1", "nccl.mismatch");
}

/*  As the one before: one rank does not call at all. */
static void a_call_too_few_hangs_until_abort (void **state)
{
    (void) state;
    check_mismatch ("gather 0 0 100 1", NULL, "nccl.waits");
}

/*  guide: usage/communicators, "Using multiple NCCL communicators" and usage/groups, Group Operation Ordering: another order. */
static void another_order_hangs_until_abort (void **state)
{
    nccl_bed_t bed;
    (void) state;
    nccl_bed_start (&bed, 2, impatient);
    nccl_bed_join (&bed, false);
    for (unsigned rank = 0; rank < 2; rank++)
        for (unsigned call = 0; call < 2; call++) {
            assert_int_equal (nccl_bed_ask (&bed, rank, "gather %u 0 %u 1", rank * (rank == call ? 100 : 200),
                                            rank == call ? 100U : 200U),
                              IN_PROGRESS);
            assert_int_equal (nccl_bed_ask (&bed, rank, "ready 20000"), 0);
        }
    nccl_bed_await_log (&bed, "nccl.mismatch");
    nccl_bed_all (&bed, 0, "mark");
    nccl_bed_all (&bed, NOT_READY, "wait 50");
    nccl_bed_all (&bed, 0, "abort");
    nccl_bed_all (&bed, 0, "wait 20000");
    nccl_bed_stop (&bed);
}

/*  assumed: the real one may report ncclRemoteError, or hang; this one hangs. In the middle of the bytes, too. */
static void a_killed_rank_hangs_the_others_until_they_abort (void **state)
{
    const char *const slow [] = { "SIMNCCL_LINK_MB=1", NULL };
    for (int midway = 0; midway < 2; midway++) {
        nccl_bed_t bed;
        (void) state;
        nccl_bed_start (&bed, 3, slow);
        nccl_bed_join (&bed, false);
        for (unsigned rank = 0; rank < 2U + (unsigned) midway; rank++)
            assert_int_equal (nccl_bed_ask (&bed, rank, "gather %u 0 1300000 1", rank * 1300000),
                              IN_PROGRESS);
        nccl_bed_kill (&bed, 2);
        nccl_bed_await_log (&bed, "nccl.peer_gone rank=2");
        for (unsigned rank = 0; rank < 2; rank++) {
            assert_int_equal (nccl_bed_ask (&bed, rank, "ready 20000"), 0);
            assert_int_equal (nccl_bed_ask (&bed, rank, "mark"), 0);
            assert_int_equal (nccl_bed_ask (&bed, rank, "wait 50"), NOT_READY);
            assert_int_equal (nccl_bed_ask (&bed, rank, "abort"), 0);
            assert_int_equal (nccl_bed_ask (&bed, rank, "wait 20000"), 0);
        }
        nccl_bed_stop (&bed);
    }
}

/*  nccl.h:195 "aborts any operations that might still be running": also one whose turn has not come. */
static void abort_ends_what_has_not_begun (void **state)
{
    nccl_bed_t bed;
    (void) state;
    nccl_bed_start (&bed, 2, NULL);
    nccl_bed_join (&bed, false);
    assert_int_equal (nccl_bed_ask (&bed, 0, "hold"), 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "gather 0 0 100 1"), IN_PROGRESS);
    assert_int_equal (nccl_bed_ask (&bed, 0, "abort"), 0); /* while in progress, too */
    assert_int_equal (nccl_bed_ask (&bed, 0, "open"), 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "mark"), 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "wait 20000"), 0);
    assert_int_equal (nccl_bed_ask (&bed, 1, "abort"), 0);
    nccl_bed_stop (&bed);
}

/*  --- arguments */

/*  guide: api/types ncclInvalidArgument; env NCCL_CHECK_POINTERS (here always on). A reach over the end, an overlap that is not in place:
 *  assumed. That a refusal stays (it does not block): the real library's (nccl 2.28, ncclEnqueueCheck). */
static void wrong_arguments_are_refused (void **state)
{
    static const char *const wrong [] = {
        "broadcast 0 0 8 1 2",  "broadcast 0 0 8 1 -1", "gather 0 0 8 12", "gather 0 0 8 -1",     "host",
        "gather 0 0 4194304 1", "gather 8388608 0 8 1", "gather 4 0 8 1",  "broadcast 4 0 8 1 0",
    };
    nccl_bed_t bed;
    (void) state;
    nccl_bed_start (&bed, 2, NULL);
    nccl_bed_join (&bed, true);
    for (size_t at = 0; at < sizeof wrong / sizeof wrong [0]; at++)
        assert_int_equal (nccl_bed_ask (&bed, 0, "%s", wrong [at]), 4);
    assert_int_equal (nccl_bed_ask (&bed, 0, "state"), 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "gather 0 0 0 1"),
                      0); /* nothing to move, nobody to wait for: assumed */
    nccl_bed_all (&bed, 0, "destroy");
    assert_true (nccl_bed_logged (&bed, "nccl.refused code=4"));
    assert_false (nccl_bed_logged (&bed, "nccl.leak"));
    nccl_bed_join (&bed, false);
    assert_int_equal (nccl_bed_ask (&bed, 0, "host"), 4);
    assert_int_equal (nccl_bed_ask (&bed, 0, "ready 100"), 4);
    nccl_bed_all (&bed, 0, "abort");
    nccl_bed_stop (&bed);
}

/*  nccl.h:166 and guide: api/types ncclConfig_t; nccl.h:100 for an id and a configuration that nobody made. */
static void wrong_joins_are_refused (void **state)
{
    nccl_bed_t bed;
    (void) state;
    nccl_bed_start (&bed, 1, NULL);
    nccl_bed_draw (&bed, 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "join 2 2 0 %s", bed.id), 4);
    assert_int_equal (nccl_bed_ask (&bed, 0, "join -1 2 0 %s", bed.id), 4);
    assert_int_equal (nccl_bed_ask (&bed, 0, "join 0 0 0 %s", bed.id), 4);
    assert_int_equal (nccl_bed_ask (&bed, 0, "join 0 1 7 %s", bed.id), 4);
    assert_int_equal (nccl_bed_ask (&bed, 0, "join 0 1 0 0000"), 4);
    nccl_bed_stop (&bed);
}

/*  A collective's memory must be the communicator's device's (guide: env NCCL_CHECK_POINTERS, "the device"). */
static void memory_of_another_device_is_refused (void **state)
{
    nccl_bed_t bed;
    (void) state;
    nccl_bed_start (&bed, 1, NULL);
    assert_int_equal (nccl_bed_ask (&bed, 0, "device 3"), 0);
    nccl_bed_draw (&bed, 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "join 0 1 1 %s", bed.id), 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "gather 0 0 8 1"), 4);
    nccl_bed_await_log (&bed, "another device");
    assert_int_equal (nccl_bed_ask (&bed, 0, "destroy"), 0);
    nccl_bed_stop (&bed);
}

/*  --- groups */

/*  nccl.h:536-555: two ranks of one process, which would wait for each other without a group. */
static void a_group_starts_everything_at_its_end (void **state)
{
    nccl_bed_t bed;
    (void) state;
    nccl_bed_start (&bed, 1, NULL);
    nccl_bed_draw (&bed, 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "group_start"), 0);
    for (unsigned rank = 0; rank < 2; rank++) {
        assert_int_equal (nccl_bed_ask (&bed, 0, "seat %u", rank), 0);
        assert_int_equal (nccl_bed_ask (&bed, 0, "device %u", rank), 0);
        if (rank == 1)
            assert_int_equal (nccl_bed_ask (&bed, 0, "allocate 1000000"), 0);
        assert_int_equal (nccl_bed_ask (&bed, 0, "join %u 2 1 %s", rank, bed.id), 0);
    }
    assert_int_equal (nccl_bed_ask (&bed, 0, "group_end"), 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "group_start"), 0);
    for (unsigned rank = 0; rank < 2; rank++) {
        assert_int_equal (nccl_bed_ask (&bed, 0, "seat %u", rank), 0);
        assert_int_equal (nccl_bed_ask (&bed, 0, "fill %u 1000 %u", rank * 1000, rank), 0);
        assert_int_equal (nccl_bed_ask (&bed, 0, "fill %u 1000 77", 1000 - rank * 1000), 0);
        assert_int_equal (nccl_bed_ask (&bed, 0, "gather %u 0 1000 1", rank * 1000), 0);
    }
    assert_int_equal (nccl_bed_ask (&bed, 0, "check 0 1000 77"), 1); /* nothing is enqueued yet */
    assert_int_equal (nccl_bed_ask (&bed, 0, "group_end"), 0);
    for (unsigned rank = 0; rank < 2; rank++) {
        assert_int_equal (nccl_bed_ask (&bed, 0, "seat %u", rank), 0);
        assert_int_equal (nccl_bed_ask (&bed, 0, "mark"), 0);
        assert_int_equal (nccl_bed_ask (&bed, 0, "wait 20000"), 0);
        assert_int_equal (nccl_bed_ask (&bed, 0, "check 0 1000 0"), 1);
        assert_int_equal (nccl_bed_ask (&bed, 0, "check 1000 1000 1"), 1);
        assert_int_equal (nccl_bed_ask (&bed, 0, "abort"), 0);
    }
    nccl_bed_stop (&bed);
}

/*  nccl.h:543 "but not together"; the code and what is left are assumed. */
static void a_group_of_what_does_not_go_together_is_refused (void **state)
{
    nccl_bed_t bed;
    (void) state;
    nccl_bed_start (&bed, 1, NULL);
    nccl_bed_draw (&bed, 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "join 0 1 1 %s", bed.id), 0);
    nccl_bed_draw (&bed, 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "group_start"), 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "gather 0 0 8 1"), 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "seat 1"), 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "join 0 1 1 %s", bed.id), 5);
    assert_int_equal (nccl_bed_ask (&bed, 0, "group_end"), 5);
    assert_int_equal (nccl_bed_ask (&bed, 0, "seat 0"), 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "destroy"), 0);
    nccl_bed_stop (&bed);
}

/*  guide: usage/groups, Nonblocking Group Operation. */
static void a_group_that_does_not_block_is_in_progress_at_its_end (void **state)
{
    nccl_bed_t bed;
    (void) state;
    nccl_bed_start (&bed, 2, NULL);
    nccl_bed_join (&bed, false);
    for (unsigned rank = 0; rank < 2; rank++) {
        assert_int_equal (nccl_bed_ask (&bed, rank, "fill %u 1000 %u", rank * 1000, rank), 0);
        assert_int_equal (nccl_bed_ask (&bed, rank, "fill 8000 1000 9"), 0);
        assert_int_equal (nccl_bed_ask (&bed, rank, "group_start"), 0);
        assert_int_equal (nccl_bed_ask (&bed, rank, "gather %u 0 1000 1", rank * 1000), 0);
        assert_int_equal (nccl_bed_ask (&bed, rank, "broadcast 8000 4000 1000 1 1"), 0);
        assert_int_equal (nccl_bed_ask (&bed, rank, "group_end"), IN_PROGRESS);
    }
    nccl_bed_all (&bed, 0, "ready 20000");
    nccl_bed_all (&bed, 0, "mark");
    nccl_bed_all (&bed, 0, "wait 20000");
    nccl_bed_all (&bed, 1, "check 0 1000 0");
    nccl_bed_all (&bed, 1, "check 1000 1000 1");
    nccl_bed_all (&bed, 1, "check 4000 1000 9");
    nccl_bed_all (&bed, 0, "destroy");
    nccl_bed_stop (&bed);
}

/*  --- the end */

/*  nccl.h:183-188. */
static void finalize_is_over_when_all_have_called_it (void **state)
{
    nccl_bed_t bed;
    (void) state;
    nccl_bed_start (&bed, 2, impatient);
    nccl_bed_join (&bed, false);
    assert_int_equal (nccl_bed_ask (&bed, 0, "finalize"), IN_PROGRESS);
    assert_int_equal (nccl_bed_ask (&bed, 0, "ready 50"), IN_PROGRESS);
    nccl_bed_await_log (&bed, "nccl.waits rank=0 finalizes");
    assert_int_equal (nccl_bed_ask (&bed, 1, "finalize"), IN_PROGRESS);
    nccl_bed_all (&bed, 0, "ready 20000");
    assert_int_equal (nccl_bed_ask (&bed, 0, "gather 0 0 8 1"), 5); /* assumed */
    assert_int_equal (nccl_bed_ask (&bed, 0, "abort"), 0);
    assert_int_equal (nccl_bed_ask (&bed, 1, "destroy"), 0);
    nccl_bed_stop (&bed);
}

/*  guide: api/comms ncclCommDestroy "will call ncclCommFinalize internally", "intra-node collective call, which all ranks on the same node
 *  should call to avoid a hang". */
static void destroy_without_finalize_waits_for_all (void **state)
{
    nccl_bed_t bed;
    (void) state;
    nccl_bed_start (&bed, 2, NULL);
    nccl_bed_join (&bed, false);
    nccl_bed_tell (&bed, 0, "destroy");
    assert_int_equal (nccl_bed_answer_within (&bed, 0, 100), NCCL_BED_SILENT);
    assert_int_equal (nccl_bed_ask (&bed, 1, "destroy"), 0);
    assert_int_equal (nccl_bed_answer (&bed, 0), 0);
    assert_false (nccl_bed_logged (&bed, "nccl."));
    nccl_bed_stop (&bed);
}

/*  guide: usage/communicators, Destroying; that it is worth a line is ours. */
static void destroying_with_work_pending_is_logged (void **state)
{
    nccl_bed_t bed;
    (void) state;
    nccl_bed_start (&bed, 2, NULL);
    nccl_bed_join (&bed, false);
    nccl_bed_all (&bed, 0, "hold");
    nccl_bed_all (&bed, IN_PROGRESS, "broadcast 0 0 8 1 0");
    nccl_bed_all (&bed, 0, "ready 20000");
    nccl_bed_tell (&bed, 0, "destroy");
    nccl_bed_await_log (&bed, "nccl.destroy_pending rank=0 operations=1");
    assert_int_equal (nccl_bed_answer_within (&bed, 0, 50), NCCL_BED_SILENT);
    nccl_bed_kill (&bed, 0);
    nccl_bed_kill (&bed, 1);
    nccl_bed_stop (&bed);
}

/*  guide: api/comms ncclCommDestroy "should no longer be accessed after"; that it is seen, not undefined, is ours. */
static void use_after_the_end_and_leaks_are_logged (void **state)
{
    nccl_bed_t bed;
    (void) state;
    nccl_bed_start (&bed, 2, NULL);
    nccl_bed_join (&bed, false);
    assert_int_equal (nccl_bed_ask (&bed, 0, "abort"), 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "abort"), 4);
    assert_int_equal (nccl_bed_ask (&bed, 0, "gather 0 0 8 1"), 4);
    nccl_bed_await_log (&bed, "nccl.use_after_end");
    nccl_bed_leave (&bed, 0);
    assert_false (nccl_bed_logged (&bed, "nccl.leak"));
    nccl_bed_leave (&bed, 1);
    assert_true (nccl_bed_logged (&bed, "nccl.leak rank=1"));
    nccl_bed_stop (&bed);
}

/*  A mistake that hardware answers with whatever is there then: here the stream fails, and the line says why. */
static void memory_freed_under_a_collective_is_logged (void **state)
{
    nccl_bed_t bed;
    (void) state;
    nccl_bed_start (&bed, 2, NULL);
    nccl_bed_join (&bed, false);
    nccl_bed_all (&bed, 0, "hold");
    nccl_bed_all (&bed, IN_PROGRESS, "broadcast 0 0 8 1 0");
    nccl_bed_all (&bed, 0, "ready 20000");
    assert_int_equal (nccl_bed_ask (&bed, 1, "free"), 0);
    nccl_bed_all (&bed, 0, "open");
    nccl_bed_await_log (&bed, "is no device memory");
    nccl_bed_all (&bed, 0, "abort");
    nccl_bed_stop (&bed);
}

/*  --- the script of failures */

static void faulty_bed (nccl_bed_t *bed, const char *script)
{
    const char *const settings [] = { script, NULL };
    nccl_bed_start (bed, 1, settings);
    nccl_bed_draw (bed, 0);
    assert_int_equal (nccl_bed_ask (bed, 0, "join 0 1 0 %s", bed->id), IN_PROGRESS);
}

static void a_number_is_returned_instead (void **state)
{
    nccl_bed_t bed;
    (void) state;
    faulty_bed (&bed, "SIMCUDA_FAULTS=ncclAllGather:2=3");
    assert_int_equal (nccl_bed_ask (&bed, 0, "ready 20000"), 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "gather 0 0 8 1"), IN_PROGRESS);
    assert_int_equal (nccl_bed_ask (&bed, 0, "ready 20000"), 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "gather 0 0 8 1"), 3);
    assert_int_equal (nccl_bed_ask (&bed, 0, "state"), 3);
    assert_int_equal (nccl_bed_ask (&bed, 0, "abort"), 0);
    nccl_bed_stop (&bed);
}

static void a_hanging_collective_ends_by_abort (void **state)
{
    nccl_bed_t bed;
    (void) state;
    faulty_bed (&bed, "SIMCUDA_FAULTS=ncclAllGather:1=hang");
    assert_int_equal (nccl_bed_ask (&bed, 0, "ready 20000"), 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "gather 0 0 8 1"), IN_PROGRESS);
    assert_int_equal (nccl_bed_ask (&bed, 0, "ready 20000"), 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "mark"), 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "wait 50"), NOT_READY);
    assert_int_equal (nccl_bed_ask (&bed, 0, "abort"), 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "wait 20000"), 0);
    nccl_bed_stop (&bed);
}

/*  guide: api/comms ncclCommGetAsyncError "may also report errors through ncclCommGetAsyncError() until they are completed". */
static void an_asynchronous_error_comes_later_and_stays (void **state)
{
    nccl_bed_t bed;
    (void) state;
    faulty_bed (&bed, "SIMCUDA_FAULTS=ncclAllGather:1=async6");
    assert_int_equal (nccl_bed_ask (&bed, 0, "ready 20000"), 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "gather 0 0 8 1"), IN_PROGRESS);
    assert_int_equal (nccl_bed_ask (&bed, 0, "error 6 20000"), 1);
    assert_int_equal (nccl_bed_ask (&bed, 0, "gather 0 0 8 1"), 6);
    assert_int_equal (nccl_bed_ask (&bed, 0, "destroy"), 6);
    assert_int_equal (nccl_bed_ask (&bed, 0, "abort"), 0);
    nccl_bed_stop (&bed);
}

static void a_join_can_hang_or_fail_later (void **state)
{
    nccl_bed_t bed;
    (void) state;
    faulty_bed (&bed, "SIMCUDA_FAULTS=ncclCommInitRankConfig:1=hang,ncclCommInitRankConfig:2=async2");
    assert_int_equal (nccl_bed_ask (&bed, 0, "ready 100"), IN_PROGRESS);
    assert_int_equal (nccl_bed_ask (&bed, 0, "abort"), 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "join 0 1 0 %s", bed.id), IN_PROGRESS);
    assert_int_equal (nccl_bed_ask (&bed, 0, "ready 20000"), 2);
    assert_int_equal (nccl_bed_ask (&bed, 0, "abort"), 0);
    nccl_bed_stop (&bed);
}

static void a_finalize_can_hang (void **state)
{
    nccl_bed_t bed;
    (void) state;
    faulty_bed (&bed, "SIMCUDA_FAULTS=ncclCommFinalize:1=hang");
    assert_int_equal (nccl_bed_ask (&bed, 0, "ready 20000"), 0);
    assert_int_equal (nccl_bed_ask (&bed, 0, "finalize"), IN_PROGRESS);
    assert_int_equal (nccl_bed_ask (&bed, 0, "ready 100"), IN_PROGRESS);
    assert_int_equal (nccl_bed_ask (&bed, 0, "abort"), 0);
    nccl_bed_stop (&bed);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (another_count_hangs_until_abort),
        cmocka_unit_test (another_kind_hangs_until_abort),
        cmocka_unit_test (another_root_hangs_until_abort),
        cmocka_unit_test (a_call_too_few_hangs_until_abort),
        cmocka_unit_test (another_order_hangs_until_abort),
        cmocka_unit_test (a_killed_rank_hangs_the_others_until_they_abort),
        cmocka_unit_test (abort_ends_what_has_not_begun),
        cmocka_unit_test (wrong_arguments_are_refused),
        cmocka_unit_test (wrong_joins_are_refused),
        cmocka_unit_test (memory_of_another_device_is_refused),
        cmocka_unit_test (a_group_starts_everything_at_its_end),
        cmocka_unit_test (a_group_of_what_does_not_go_together_is_refused),
        cmocka_unit_test (a_group_that_does_not_block_is_in_progress_at_its_end),
        cmocka_unit_test (finalize_is_over_when_all_have_called_it),
        cmocka_unit_test (destroy_without_finalize_waits_for_all),
        cmocka_unit_test (destroying_with_work_pending_is_logged),
        cmocka_unit_test (use_after_the_end_and_leaks_are_logged),
        cmocka_unit_test (memory_freed_under_a_collective_is_logged),
        cmocka_unit_test (a_number_is_returned_instead),
        cmocka_unit_test (a_hanging_collective_ends_by_abort),
        cmocka_unit_test (an_asynchronous_error_comes_later_and_stays),
        cmocka_unit_test (a_join_can_hang_or_fail_later),
        cmocka_unit_test (a_finalize_can_hang),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
