// SPDX-License-Identifier: Apache-2.0
/*  store_faults_test.c - a store whose disk fails at any call, or whose power goes at any moment, keeps its
 *  word
 *
 *  Each case runs the script of store_workload.c once per place where it can be hurt, starts anew on what is
 *  left, and lets store_verdict.c judge. Places that come by the hundred are taken in strides, from one that
 *  SEED chooses; YARD_LONG=1 takes them all.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "actors/ground/durable.h"
#include "store_verdict.h"
#include "vfs_fault.h"
#include "vfs_memory.h"

#define SCRIPT_CALLS_MAX 5000 /* a script that makes more of one kind is not the one meant here */

/*  Small enough that commits checkpoint, and that transactions spill pages and read them back. */
#define TIGHT "PRAGMA wal_autocheckpoint = 12; PRAGMA cache_size = 8;"

typedef enum {
    END_BY_CLOSE,
    END_BY_KILL,
    END_BY_POWER_CUT,
    ENDS
} end_t;

/*  Between the places hurt of a kind that has many. */
#define READ_STRIDE 25
#define WRITE_STRIDE 24
#define SYNC_STRIDE 2
#define CUT_STRIDE 9
#define BURST 3 /* calls that fail in a row: the repair of the first failure's damage is hurt too */
#define CONTROL_STRIDE 15

typedef struct {
    bool all;
    uint64_t seed;
    char home [40], path [56];
    store_verdict_t *verdict;
} suite_t;

static int suite_setup (void **state)
{
    suite_t *self = calloc (1, sizeof *self);
    snprintf (self->home, sizeof self->home, "/tmp/yard-faults-XXXXXX");
    assert_non_null (mkdtemp (self->home));
    snprintf (self->path, sizeof self->path, "%s/yard.db", self->home);
    self->verdict = store_verdict_new (self->path);
    const char *all = getenv ("YARD_LONG"), *seed = getenv ("SEED");
    self->all = all && strcmp (all, "1") == 0;
    self->seed = seed ? strtoull (seed, NULL, 10) : (uint64_t) time (NULL);
    print_message ("  SEED=%lu\n", self->seed);
    *state = self;
    return 0;
}

static int suite_teardown (void **state)
{
    suite_t *self = *state;
    yard_error_t error;
    assert_int_equal (yard_durable_remove (self->home, &error), 0);
    store_verdict_destroy (&self->verdict);
    free (self);
    return 0;
}

/*  One disk of memory, with a disk of faults over it, and a script to run on them. */
typedef struct {
    yard_memory_disk_t *memory;
    yard_fault_disk_t *faults;
    yard_random_t random; /* the power cut's */
    workload_t workload;
} run_t;

static void run_begin (run_t *self, const suite_t *suite, uint64_t seed, const char *pragmas)
{
    self->memory = vfs_memory_new ("yard-memory", seed, true);
    self->faults = vfs_fault_new ("yard-fault", "yard-memory");
    yard_random_seed (&self->random, seed);
    workload_init (&self->workload, suite->path, pragmas);
}

/*  The next life begins at once; after a power cut, the power is back. */
static void kill_recorder (void *run_p)
{
    run_t *self = run_p;
    vfs_memory_kill (self->memory, 0);
    vfs_memory_act_as (self->memory, 0);
}

/*  Its restarts are kills from now on. */
static void run_with_kills (run_t *self)
{
    self->workload.kill = kill_recorder;
    self->workload.killed = self;
}

/*  Starts anew on what is left, and gives the verdict. */
static const char *run_judge (run_t *self, const suite_t *suite, end_t end)
{
    vfs_fault_arm (self->faults, VFS_FAULT_READ, 1, 0, 0);
    if (end == END_BY_KILL)
        vfs_memory_kill (self->memory, 0);
    if (end == END_BY_POWER_CUT)
        vfs_memory_power_cut (self->memory, &self->random);
    workload_close (&self->workload);
    vfs_memory_cut_instead_of (self->memory, 0, NULL); /* a script may end before its cut */
    vfs_memory_act_as (self->memory, 1);
    if (workload_open (&self->workload))
        return self->workload.error.text;
    return store_verdict (suite->verdict, &self->workload);
}

static void run_end (run_t *self)
{
    workload_close (&self->workload);
    assert_int_equal (vfs_memory_handles (self->memory), 0);
    vfs_fault_destroy (&self->faults);
    vfs_memory_destroy (&self->memory);
}

static void the_script_does_all_of_its_effects (void **state)
{
    run_t run;
    run_begin (&run, *state, 1, TIGHT);
    workload_run (&run.workload);
    for (size_t at = 0; at < workload_count (); at++)
        if (!run.workload.acknowledged [at])
            fail_msg ("%s (%zu): %s", workload_name (at), at, run.workload.error.text);
    const char *wrong = run_judge (&run, *state, END_BY_CLOSE);
    if (wrong)
        fail_msg ("%s", wrong);
    run_end (&run);
}

static uint64_t first_place (const suite_t *suite, uint64_t stride)
{
    return suite->all ? 1 : 1 + suite->seed % stride;
}

/*  --- calls that fail ----------------------------------------------------------------------------------- */
/*  Hurts the n-th such call; false: the script did not make so many. */
static bool hurt (const suite_t *suite, vfs_fault_call_t call, uint64_t n, int code, uint64_t times,
                  end_t end)
{
    run_t run;
    run_begin (&run, suite, n, TIGHT);
    vfs_fault_arm (run.faults, call, n, code, times);
    if (end != END_BY_CLOSE)
        run_with_kills (&run);
    workload_run (&run.workload);
    bool struck = vfs_fault_struck (run.faults) > 0;
    const char *wrong = run_judge (&run, suite, end);
    if (wrong)
        fail_msg ("call %d, the %lu. fails with %d, %ld times, end %d: %s", (int) call, n, code, (long) times,
                  (int) end, wrong);
    run_end (&run);
    return struck;
}

/*  With one end: how many places were hurt. Rare calls meet every end at each place, others take turns. */
static unsigned hurt_until_clean (const suite_t *suite, vfs_fault_call_t call, int code, uint64_t times,
                                  uint64_t stride, end_t end)
{
    uint64_t between = suite->all ? 1 : stride;
    uint64_t step = stride == 1 ? 1 : between * ENDS;
    unsigned places = 0;
    for (uint64_t n = 1 + (suite->seed + end * between) % step; hurt (suite, call, n, code, times, end);
         n += step) {
        assert_true (n < SCRIPT_CALLS_MAX);
        places++;
    }
    return places;
}

static void hurt_all (const suite_t *suite, vfs_fault_call_t call, int code, uint64_t stride)
{
    static const struct {
        const char *word;
        uint64_t times;
    } lasts [] = { { "once", 1 }, { "in a row", BURST }, { "for good", VFS_FAULT_FOR_GOOD } };
    for (size_t i = 0; i < sizeof lasts / sizeof lasts [0]; i++) {
        unsigned places = 0;
        for (int end = 0; end < ENDS; end++)
            places += hurt_until_clean (suite, call, code, lasts [i].times, stride, (end_t) end);
        assert_true (places > 0);
        print_message ("  %u places, %s\n", places, lasts [i].word);
    }
}

static void a_write_that_fails_loses_nothing (void **state)
{
    hurt_all (*state, VFS_FAULT_WRITE, SQLITE_IOERR_WRITE, WRITE_STRIDE);
}

static void a_full_disk_loses_nothing (void **state)
{
    hurt_all (*state, VFS_FAULT_WRITE, SQLITE_FULL, WRITE_STRIDE);
}

static void a_sync_that_fails_loses_nothing (void **state)
{
    hurt_all (*state, VFS_FAULT_SYNC, SQLITE_IOERR_FSYNC, SYNC_STRIDE);
}

static void a_sync_that_fails_and_then_succeeds_is_not_believed (void **state)
{
    for (uint64_t n = 1; hurt (*state, VFS_FAULT_SYNC, n, SQLITE_IOERR_FSYNC, 1, END_BY_POWER_CUT); n++)
        assert_true (n < SCRIPT_CALLS_MAX);
}

static void a_read_that_fails_loses_nothing (void **state)
{
    hurt_all (*state, VFS_FAULT_READ, SQLITE_IOERR_READ, READ_STRIDE);
}

static void an_open_that_fails_loses_nothing (void **state)
{
    hurt_all (*state, VFS_FAULT_OPEN, SQLITE_CANTOPEN, 1);
}

static void a_truncate_that_fails_loses_nothing (void **state)
{
    hurt_all (*state, VFS_FAULT_TRUNCATE, SQLITE_IOERR_TRUNCATE, SYNC_STRIDE);
}

static void a_delete_that_fails_loses_nothing (void **state)
{
    hurt_all (*state, VFS_FAULT_DELETE, SQLITE_IOERR_DELETE, 1);
}

/*  --- power cuts ---------------------------------------------------------------------------------------- */
static uint64_t operations_of (const suite_t *suite, const char *pragmas, uint64_t *ret_syncs)
{
    run_t run;
    run_begin (&run, suite, 1, pragmas);
    workload_run (&run.workload);
    uint64_t operations = vfs_memory_operations (run.memory);
    if (ret_syncs)
        *ret_syncs = vfs_fault_count (run.faults, VFS_FAULT_SYNC);
    run_end (&run);
    return operations;
}

/*  NULL, or what was lost by a cut instead of this operation, or of this sync. */
static const char *cut (const suite_t *suite, uint64_t operation, uint64_t sync, const char *pragmas)
{
    run_t run;
    run_begin (&run, suite, suite->seed + operation + sync, pragmas);
    if (sync)
        vfs_memory_cut_instead_of_sync (run.memory, sync, &run.random);
    else
        vfs_memory_cut_instead_of (run.memory, operation, &run.random);
    if (suite->seed & 1)
        run_with_kills (&run);
    workload_run (&run.workload);
    const char *wrong = run_judge (&run, suite, END_BY_KILL);
    run_end (&run);
    return wrong;
}

static void what_was_acknowledged_survives_a_power_cut_at_any_operation (void **state)
{
    const suite_t *suite = *state;
    uint64_t operations = operations_of (suite, TIGHT, NULL);
    for (uint64_t n = first_place (suite, CUT_STRIDE); n <= operations; n += suite->all ? 1 : CUT_STRIDE) {
        const char *wrong = cut (suite, n, 0, TIGHT);
        if (wrong)
            fail_msg ("cut instead of operation %lu: %s", n, wrong);
    }
    print_message ("  %lu operations\n", operations);
}

static void what_was_acknowledged_survives_a_power_cut_at_every_sync (void **state)
{
    const suite_t *suite = *state;
    uint64_t syncs;
    operations_of (suite, TIGHT, &syncs);
    for (uint64_t n = 1; n <= syncs; n++) {
        const char *wrong = cut (suite, 0, n, TIGHT);
        if (wrong)
            fail_msg ("cut instead of sync %lu: %s", n, wrong);
    }
    print_message ("  %lu syncs\n", syncs);
}

static unsigned losses (const suite_t *suite, const char *pragmas)
{
    unsigned lost = 0, cuts = 0;
    uint64_t operations = operations_of (suite, pragmas, NULL);
    for (uint64_t n = 1; n <= operations; n += CONTROL_STRIDE, cuts++)
        lost += cut (suite, n, 0, pragmas) != NULL;
    print_message ("  %u of %u cuts lose something\n", lost, cuts);
    return lost;
}

/*  Controls: a judge that cannot find a loss proves nothing. */
static void without_a_sync_per_commit_a_power_cut_is_found_to_lose (void **state)
{
    assert_true (losses (*state, TIGHT "PRAGMA synchronous = NORMAL;") > 0);
}

static void without_any_sync_a_power_cut_is_found_to_lose (void **state)
{
    assert_true (losses (*state, TIGHT "PRAGMA synchronous = OFF;") > 0);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (the_script_does_all_of_its_effects),
        cmocka_unit_test (a_write_that_fails_loses_nothing),
        cmocka_unit_test (a_full_disk_loses_nothing),
        cmocka_unit_test (a_sync_that_fails_loses_nothing),
        cmocka_unit_test (a_sync_that_fails_and_then_succeeds_is_not_believed),
        cmocka_unit_test (a_read_that_fails_loses_nothing),
        cmocka_unit_test (an_open_that_fails_loses_nothing),
        cmocka_unit_test (a_truncate_that_fails_loses_nothing),
        cmocka_unit_test (a_delete_that_fails_loses_nothing),
        cmocka_unit_test (what_was_acknowledged_survives_a_power_cut_at_any_operation),
        cmocka_unit_test (what_was_acknowledged_survives_a_power_cut_at_every_sync),
        cmocka_unit_test (without_a_sync_per_commit_a_power_cut_is_found_to_lose),
        cmocka_unit_test (without_any_sync_a_power_cut_is_found_to_lose),
    };
    return cmocka_run_group_tests (tests, suite_setup, suite_teardown);
}
