// SPDX-License-Identifier: Apache-2.0
/*  offload_test.c - work on threads, done on the loop
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include "actors/ground/offload.h"

typedef struct {
    sem_t *gate; /* work waits here, if there is one */
    pthread_t worker;
    bool term_blocked;
    int number;
} job_t;

typedef struct {
    int numbers [1000];
    size_t count;
    yard_offload_pool_t *pool;
    job_t *again;
} actor_t;

static void work (void *argument)
{
    job_t *job = argument;
    sigset_t mask;
    job->worker = pthread_self ();
    pthread_sigmask (SIG_SETMASK, NULL, &mask);
    job->term_blocked = sigismember (&mask, SIGTERM) == 1;
    if (job->gate)
        while (sem_wait (job->gate))
            ;
}

static void done (void *self, void *argument)
{
    actor_t *actor = self;
    const job_t *job = argument;
    actor->numbers [actor->count++] = job->number;
    if (actor->again) {
        job_t *again = actor->again;
        actor->again = NULL;
        yard_offload_pool_submit (actor->pool, work, done, again);
    }
}

static bool readable (yard_offload_pool_t *pool, int timeout_ms)
{
    struct pollfd watched = { .fd = yard_offload_pool_fd (pool), .events = POLLIN };
    return poll (&watched, 1, timeout_ms) == 1;
}

static void reap_until (yard_offload_pool_t *pool, actor_t *actor, size_t count)
{
    while (actor->count < count) {
        assert_true (readable (pool, 10000));
        assert_true (yard_offload_pool_reap (pool, actor) > 0);
    }
}

static void work_runs_on_a_thread_and_done_once_for_each (void **state)
{
    (void) state;
    yard_offload_pool_t *pool = yard_offload_pool_new (3);
    actor_t actor = { 0 };
    static job_t jobs [1000];
    for (int i = 0; i < 1000; i++) {
        jobs [i] = (job_t){ .number = i };
        yard_offload_pool_submit (pool, work, done, &jobs [i]);
    }
    assert_int_equal (yard_offload_pool_pending (pool), 1000);
    reap_until (pool, &actor, 1000);
    assert_int_equal (yard_offload_pool_pending (pool), 0);
    bool seen [1000] = { false };
    for (int i = 0; i < 1000; i++) {
        assert_false (seen [actor.numbers [i]]);
        seen [actor.numbers [i]] = true;
        assert_false (pthread_equal (jobs [i].worker, pthread_self ()));
        assert_true (jobs [i].term_blocked);
    }
    /* Nothing is left to say. */
    assert_false (readable (pool, 0));
    assert_int_equal (yard_offload_pool_reap (pool, &actor), 0);
    yard_offload_pool_destroy (&pool);
    assert_null (pool);
    yard_offload_pool_destroy (&pool);
}

static void done_comes_in_order_of_completion (void **state)
{
    (void) state;
    yard_offload_pool_t *pool = yard_offload_pool_new (2);
    actor_t actor = { 0 };
    sem_t gate;
    sem_init (&gate, 0, 0);
    job_t slow = { .gate = &gate, .number = 1 }, quick = { .number = 2 };
    yard_offload_pool_submit (pool, work, done, &slow);
    yard_offload_pool_submit (pool, work, done, &quick);
    reap_until (pool, &actor, 1);
    assert_int_equal (actor.numbers [0], 2);
    assert_int_equal (yard_offload_pool_pending (pool), 1);
    sem_post (&gate);
    reap_until (pool, &actor, 2);
    assert_int_equal (actor.numbers [1], 1);
    yard_offload_pool_destroy (&pool);
    sem_destroy (&gate);
}

static void one_thread_keeps_the_order_of_submission (void **state)
{
    (void) state;
    yard_offload_pool_t *pool = yard_offload_pool_new (1);
    actor_t actor = { 0 };
    static job_t jobs [200];
    for (int i = 0; i < 200; i++) {
        jobs [i] = (job_t){ .number = i };
        yard_offload_pool_submit (pool, work, done, &jobs [i]);
    }
    reap_until (pool, &actor, 200);
    for (int i = 0; i < 200; i++)
        assert_int_equal (actor.numbers [i], i);
    yard_offload_pool_destroy (&pool);
}

static void *open_gate (void *argument)
{
    sem_post (argument);
    return NULL;
}

static void destroy_waits_for_running_work_and_drops_the_queue (void **state)
{
    (void) state;
    yard_offload_pool_t *pool = yard_offload_pool_new (1);
    actor_t actor = { 0 };
    sem_t gate;
    sem_init (&gate, 0, 0);
    job_t quick = { .number = 1 }, slow = { .gate = &gate, .number = 2 }, queued = { .number = 3 };
    yard_offload_pool_submit (pool, work, done, &quick);
    reap_until (pool, &actor, 1);
    yard_offload_pool_submit (pool, work, done, &slow);
    yard_offload_pool_submit (pool, work, done, &queued);
    pthread_t opener;
    assert_int_equal (pthread_create (&opener, NULL, open_gate, &gate), 0);
    yard_offload_pool_destroy (&pool);
    pthread_join (opener, NULL);
    /* Neither done was called: the loop that they belong to has ended. */
    assert_int_equal (actor.count, 1);
    sem_destroy (&gate);
}

static void without_threads_work_runs_inside_reap (void **state)
{
    (void) state;
    yard_offload_pool_t *pool = yard_offload_pool_new (0);
    assert_int_equal (yard_offload_pool_fd (pool), -1);
    job_t first = { .number = 1 }, second = { .number = 2 }, third = { .number = 3 };
    actor_t actor = { .pool = pool, .again = &third };
    yard_offload_pool_submit (pool, work, done, &first);
    yard_offload_pool_submit (pool, work, done, &second);
    assert_int_equal (first.worker, 0);
    assert_int_equal (yard_offload_pool_pending (pool), 2);
    /* What done submits waits for the next reap: so one reap always ends. */
    assert_int_equal (yard_offload_pool_reap (pool, &actor), 2);
    assert_true (pthread_equal (first.worker, pthread_self ()));
    assert_int_equal (yard_offload_pool_pending (pool), 1);
    assert_int_equal (yard_offload_pool_reap (pool, &actor), 1);
    assert_int_equal (yard_offload_pool_reap (pool, &actor), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal (actor.numbers [i], i + 1);
    yard_offload_pool_submit (pool, work, done, &first);
    yard_offload_pool_destroy (&pool);
    assert_int_equal (actor.count, 3);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (work_runs_on_a_thread_and_done_once_for_each),
        cmocka_unit_test (done_comes_in_order_of_completion),
        cmocka_unit_test (one_thread_keeps_the_order_of_submission),
        cmocka_unit_test (destroy_waits_for_running_work_and_drops_the_queue),
        cmocka_unit_test (without_threads_work_runs_inside_reap),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
