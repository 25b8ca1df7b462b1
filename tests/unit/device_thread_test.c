// SPDX-License-Identifier: Apache-2.0
/*  device_thread_test.c - jobs and copies on a device whose copies happen late
 */
#include "actor_world.h"

#include "actors/loader/device_thread.h"
#include "late_device.h"

#define COPIES 3000
#define PIECE 512u
#define JOBS 500

static const yard_route_t routes [] = { { 0 } };
static const yard_actor_class_t owner_class = { .name = "owner", .size = 1, .routes = routes };

typedef struct {
    world_t *world;
    loader_mail_t *mail;
    loader_device_thread_t *thread;
    loader_memory_t *memory; /* COPIES pieces */
    uint8_t source [COPIES][PIECE];
    atomic_int copied [COPIES], failed, first_code;
    int done, code; /* of jobs, on the loop */
    int worked; /* the device thread's */
    int looks;
    unsigned ended; /* copies; the device thread's */
    bool release_behind_last; /* the memory, with the last copy */
} bench_t;

static int make (void **state)
{
    bench_t *bench = calloc (1, sizeof *bench);
    late_begin (LATE_NOTHING, 0, 0);
    bench->world = world_new (&owner_class, true);
    bench->mail = loader_mail_new (bench->world->actor);
    *state = bench;
    return 0;
}

static int unmake (void **state)
{
    bench_t *bench = *state;
    loader_device_thread_destroy (&bench->thread);
    loader_mail_destroy (&bench->mail);
    world_destroy (&bench->world);
    late_assert_over ();
    free (bench);
    return 0;
}

static void open_thread (bench_t *bench, bool verify)
{
    yard_error_t error = { 0 };
    if (loader_device_thread_new ("late:0", LOADER_EXPORT_AUTO, verify, bench->mail, &bench->thread, &error))
        fail_msg ("%s", error.text);
}

static int allocate (void *argument, const loader_device_class_t *class, loader_device_t *device,
                     yard_error_t *error)
{
    bench_t *bench = argument;
    return class->allocate (device, sizeof bench->source, &bench->memory, error);
}

static int release (void *argument, const loader_device_class_t *class, loader_device_t *device,
                    yard_error_t *error)
{
    bench_t *bench = argument;
    (void) error;
    class->release (device, &bench->memory);
    return 0;
}

/*  Are the bytes of all that was copied without failing there? */
static int compare (void *argument, const loader_device_class_t *class, loader_device_t *device,
                    yard_error_t *error)
{
    bench_t *bench = argument;
    uint8_t piece [PIECE];
    for (unsigned at = 0; at < COPIES; at++) {
        int rc = class->read (device, bench->memory, at * PIECE, piece, PIECE, error);
        if (rc == 0 && atomic_load (&bench->copied [at]) == 1 &&
            memcmp (piece, bench->source [at], PIECE) != 0)
            rc = yard_error (error, YARD_INTEGRITY, "piece %u is another", at);
        if (rc)
            return rc;
    }
    return 0;
}

static void on_done (void *argument, const yard_error_t *error)
{
    bench_t *bench = argument;
    bench->done++;
    bench->code = error->code;
}

static void turn_until (bench_t *bench, int done)
{
    while (bench->done < done)
        assert_true (yard_actor_turn (bench->world->actor, 10000, &bench->world->exit_code));
    assert_int_equal (bench->done, done);
}

static int run (bench_t *bench, loader_device_work_fn *work)
{
    int before = bench->done;
    loader_device_thread_do (bench->thread, work, on_done, bench);
    turn_until (bench, before + 1);
    return bench->code;
}

static void on_copied (void *argument, const loader_device_copy_t *copy, const yard_error_t *error)
{
    bench_t *bench = argument;
    atomic_fetch_add (&bench->copied [copy->index], error->code ? 1000 : 1);
    if (error->code && atomic_fetch_add (&bench->failed, 1) == 0)
        atomic_store (&bench->first_code, error->code);
    /*  The source is ours again. */
    memset (bench->source [copy->index], error->code ? 0 : (int) (copy->index & 0xff), PIECE);
    if (++bench->ended == COPIES && bench->release_behind_last)
        late_release (NULL, &bench->memory);
}

static void copy_all (bench_t *bench)
{
    for (unsigned at = 0; at < COPIES; at++) {
        memset (bench->source [at], (int) (at & 0xff), PIECE);
        loader_device_thread_copy (bench->thread, &(loader_device_copy_t){ .memory = bench->memory,
                                                                           .to = at * PIECE,
                                                                           .data = bench->source [at],
                                                                           .size = PIECE,
                                                                           .index = at,
                                                                           .copied = on_copied,
                                                                           .argument = bench });
    }
}

/*  A job that is asked for behind copies runs when they have begun, not when they have ended. */
static void wait_for_copies (bench_t *bench)
{
    for (unsigned at = 0; at < COPIES;)
        if (atomic_load (&bench->copied [at]))
            at++;
        else
            world_turn (bench->world);
}

typedef struct {
    bench_t *bench;
    int number, code;
    bool worked;
} errand_t;

static int work_in_order (void *argument, const loader_device_class_t *class, loader_device_t *device,
                          yard_error_t *error)
{
    errand_t *job = argument;
    (void) class, (void) device;
    job->worked = job->bench->worked++ == job->number;
    return job->number % 3 == 2 ? yard_error (error, YARD_BUSY, "job %d", job->number) : 0;
}

static void done_in_order (void *argument, const yard_error_t *error)
{
    errand_t *job = argument;
    char text [32];
    assert_true (job->worked);
    assert_int_equal (job->bench->done++, job->number);
    assert_int_equal (error->code, job->number % 3 == 2 ? YARD_BUSY : 0);
    snprintf (text, sizeof text, "job %d", job->number);
    assert_string_equal (error->text, error->code ? text : "");
}

static void jobs_run_one_after_the_other_and_are_told_in_order (void **state)
{
    bench_t *bench = *state;
    errand_t jobs [JOBS];
    open_thread (bench, false);
    for (int at = 0; at < JOBS; at++) {
        jobs [at] = (errand_t){ .bench = bench, .number = at };
        loader_device_thread_do (bench->thread, work_in_order, done_in_order, &jobs [at]);
    }
    turn_until (bench, JOBS);
}

static void thousands_of_copies_end_once_each_and_their_bytes_arrive (void **state)
{
    bench_t *bench = *state;
    open_thread (bench, false);
    assert_int_equal (run (bench, allocate), 0);
    copy_all (bench);
    wait_for_copies (bench);
    for (unsigned at = 0; at < COPIES; at++)
        assert_int_equal (atomic_load (&bench->copied [at]), 1);
    assert_int_equal (run (bench, compare), 0);
    assert_int_equal (run (bench, release), 0);
}

static void a_copy_that_fails_fails_alone (void **state)
{
    static const late_point_t points [] = { LATE_EVENT, LATE_COPY, LATE_DONE };
    bench_t *bench = *state;
    for (size_t point = 0; point < sizeof points / sizeof points [0]; point++) {
        late_begin (points [point], points [point] == LATE_EVENT ? 1 : 700, YARD_OUT_OF_MEMORY);
        open_thread (bench, false);
        assert_int_equal (run (bench, allocate), 0);
        atomic_store (&bench->failed, 0);
        for (unsigned at = 0; at < COPIES; at++)
            atomic_store (&bench->copied [at], 0);
        copy_all (bench);
        wait_for_copies (bench);
        assert_int_equal (atomic_load (&bench->failed), 1);
        assert_int_equal (atomic_load (&bench->first_code), YARD_OUT_OF_MEMORY);
        assert_int_equal (run (bench, compare), 0);
        assert_int_equal (run (bench, release), 0);
        loader_device_thread_destroy (&bench->thread);
        late_assert_over ();
    }
}

static void a_lost_device_fails_every_copy_behind_it (void **state)
{
    bench_t *bench = *state;
    late_begin (LATE_COPY, 1000, YARD_DEVICE_LOST);
    open_thread (bench, false);
    assert_int_equal (run (bench, allocate), 0);
    copy_all (bench);
    wait_for_copies (bench);
    assert_true (atomic_load (&bench->failed) > COPIES - 1000);
    assert_int_equal (atomic_load (&bench->first_code), YARD_DEVICE_LOST);
    assert_int_equal (run (bench, release), 0);
}

static void a_copy_that_arrived_otherwise_is_found_where_copies_are_verified (void **state)
{
    bench_t *bench = *state;
    late_begin (LATE_READ, 17, YARD_INTEGRITY);
    open_thread (bench, true);
    assert_int_equal (run (bench, allocate), 0);
    copy_all (bench);
    wait_for_copies (bench);
    assert_int_equal (atomic_load (&bench->failed), 1);
    assert_int_equal (atomic_load (&bench->first_code), YARD_INTEGRITY);
    assert_int_equal (run (bench, release), 0);
}

static int count_work (void *argument, const loader_device_class_t *class, loader_device_t *device,
                       yard_error_t *error)
{
    bench_t *bench = argument;
    (void) class, (void) device, (void) error;
    bench->worked++;
    return 0;
}

static void what_was_asked_for_before_the_end_is_done_before_the_end (void **state)
{
    bench_t *bench = *state;
    open_thread (bench, false);
    assert_int_equal (run (bench, allocate), 0);
    bench->done = 0;
    bench->release_behind_last = true;
    for (int at = 0; at < JOBS; at++)
        loader_device_thread_do (bench->thread, count_work, at % 2 ? on_done : NULL, bench);
    copy_all (bench);
    loader_device_thread_destroy (&bench->thread);
    assert_int_equal (bench->worked, JOBS);
    for (unsigned at = 0; at < COPIES; at++)
        assert_int_equal (atomic_load (&bench->copied [at]), 1);
    assert_int_equal (bench->done, 0); /* on the loop, which has not turned */
    loader_mail_destroy (&bench->mail); /* the letters of the last jobs */
    assert_int_equal (bench->done, JOBS / 2);
}

static bool look (void *argument, const loader_device_class_t *class, loader_device_t *device)
{
    bench_t *bench = argument;
    (void) class, (void) device;
    return ++bench->looks < 5;
}

static int watch (void *argument, const loader_device_class_t *class, loader_device_t *device,
                  yard_error_t *error)
{
    bench_t *bench = argument;
    (void) class, (void) device, (void) error;
    loader_device_thread_watch (bench->thread, look, bench);
    return 0;
}

static int count_looks (void *argument, const loader_device_class_t *class, loader_device_t *device,
                        yard_error_t *error)
{
    const bench_t *bench = argument;
    (void) class, (void) device;
    return bench->looks < 5 ? yard_error (error, YARD_BUSY, "not yet") : 0;
}

static void what_is_watched_is_looked_at_until_it_says_no (void **state)
{
    bench_t *bench = *state;
    open_thread (bench, false);
    assert_int_equal (run (bench, watch), 0);
    while (run (bench, count_looks) == YARD_BUSY)
        ;
    assert_int_equal (run (bench, watch), 0); /* one at a time, and the first has ended */
    assert_int_equal (run (bench, count_looks), 0);
}

static void a_device_that_does_not_open_is_an_error_with_its_sentence (void **state)
{
    static const late_point_t points [] = { LATE_OPEN, LATE_ABOUT };
    bench_t *bench = *state;
    for (size_t point = 0; point < 2; point++) {
        yard_error_t error = { 0 };
        late_begin (points [point], 1, YARD_NOT_SERVED);
        assert_int_equal (loader_device_thread_new ("late:0", LOADER_EXPORT_AUTO, false, bench->mail,
                                                    &bench->thread, &error),
                          YARD_NOT_SERVED);
        assert_string_equal (error.text, "the test said so");
        assert_null (bench->thread);
        late_assert_over ();
    }
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test_setup_teardown (jobs_run_one_after_the_other_and_are_told_in_order, make, unmake),
        cmocka_unit_test_setup_teardown (thousands_of_copies_end_once_each_and_their_bytes_arrive, make,
                                         unmake),
        cmocka_unit_test_setup_teardown (a_copy_that_fails_fails_alone, make, unmake),
        cmocka_unit_test_setup_teardown (a_lost_device_fails_every_copy_behind_it, make, unmake),
        cmocka_unit_test_setup_teardown (a_copy_that_arrived_otherwise_is_found_where_copies_are_verified,
                                         make, unmake),
        cmocka_unit_test_setup_teardown (what_was_asked_for_before_the_end_is_done_before_the_end, make,
                                         unmake),
        cmocka_unit_test_setup_teardown (what_is_watched_is_looked_at_until_it_says_no, make, unmake),
        cmocka_unit_test_setup_teardown (a_device_that_does_not_open_is_an_error_with_its_sentence, make,
                                         unmake),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
