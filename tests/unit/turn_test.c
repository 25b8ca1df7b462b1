// SPDX-License-Identifier: Apache-2.0
/*  turn_test.c - timers, files and threads in one loop
 *
 *  The cases with threads wait for what they test, by an eventfd or a line of the log; nothing sleeps.
 */
#include "actor_world.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>

#define FIRED_MAX 16

typedef struct {
    int fired [FIRED_MAX];
    size_t fired_count, settles;
    yard_timer_t *timers [4];
    yard_watch_t *watches [2];
    int fds [2];
    size_t ready [2];
    int work_thread_ran, done;
    int log_fd; /* what the log says, for the slow handler */
    char log [8192];
} looper_t;

static int settle (void *self, yard_error_t *error)
{
    (void) error;
    ((looper_t *) self)->settles++;
    return 0;
}

/*  Runs until the log says that it is slow, or for 10 s. */
static int on_slow (looper_t *self, yard_request_t *request, const record_key_t *ask)
{
    (void) ask;
    size_t size = 0;
    struct pollfd log = { .fd = self->log_fd, .events = POLLIN };
    while (!strstr (self->log, "handler.slow") && size < sizeof self->log - 1 && poll (&log, 1, 10000) == 1) {
        ssize_t count = read (self->log_fd, self->log + size, sizeof self->log - 1 - size);
        if (count <= 0)
            break;
        size += (size_t) count;
    }
    return yard_reply (request, &(record_exists_answer_t){ .exists = true });
}

static const yard_route_t routes [] = { HANDLE (looper_t, record_exists, on_slow), { 0 } };
static const yard_actor_class_t looper_class = {
    .name = "recorder", .size = sizeof (looper_t), .settle = settle, .routes = routes
};

static int begin (void **state)
{
    world_t *world = world_new (&looper_class, true);
    world_welcome (world, EPOCH_ONE);
    *state = world;
    return 0;
}

static int begin_with_threads (void **state)
{
    world_t *world = world_new (&looper_class, false);
    world_welcome (world, EPOCH_ONE);
    *state = world;
    return 0;
}

static int end (void **state)
{
    world_t *world = *state;
    world_destroy (&world);
    return 0;
}

static looper_t *looper_of (world_t *world)
{
    return yard_actor_self (world->actor);
}

/*  --- timers
 *  --------------------------------------------------------------------------------------------------------------- */
static void fire (void *self, void *argument)
{
    looper_t *looper = self;
    assert_true (looper->fired_count < FIRED_MAX);
    looper->fired [looper->fired_count++] = (int) (intptr_t) argument;
}

static void timers_fire_in_order_of_their_time (void **state)
{
    world_t *world = *state;
    looper_t *looper = looper_of (world);
    static const int delays [] = { 30, 10, 20, 10 };
    for (intptr_t i = 0; i < 4; i++) {
        looper->timers [i] = yard_timer_new (world->actor, fire, (void *) i);
        yard_timer_set (looper->timers [i], delays [i]);
    }
    world_pass (world, 9);
    assert_int_equal (looper->fired_count, 0);
    size_t settles = looper->settles;
    world_pass (world, 11);
    assert_int_equal (looper->settles, settles + 1);
    assert_int_equal (looper->fired_count, 3);
    assert_memory_equal (looper->fired, ((int []){ 1, 3, 2 }), 3 * sizeof (int));
    yard_timer_set (looper->timers [0], -1);
    yard_timer_set (looper->timers [1], 5);
    yard_timer_set (looper->timers [1], 50); /* again: only the last counts */
    world_pass (world, 30);
    assert_int_equal (looper->fired_count, 3);
    world_pass (world, 20);
    assert_int_equal (looper->fired_count, 4);
    world_pass (world, 1000); /* once */
    assert_int_equal (looper->fired_count, 4);
    for (size_t i = 0; i < 4; i++)
        yard_timer_destroy (&looper->timers [i]);
}

static void fire_again_at_once (void *self, void *argument)
{
    fire (self, argument);
    yard_timer_set (((looper_t *) self)->timers [0], 0);
}

static void fire_and_end (void *self, void *argument)
{
    fire (self, argument);
    yard_timer_destroy (&((looper_t *) self)->timers [1]);
}

static void a_timer_may_set_itself_again_or_end_itself (void **state)
{
    world_t *world = *state;
    looper_t *looper = looper_of (world);
    looper->timers [0] = yard_timer_new (world->actor, fire_again_at_once, NULL);
    looper->timers [1] = yard_timer_new (world->actor, fire_and_end, NULL);
    yard_timer_set (looper->timers [0], 0);
    yard_timer_set (looper->timers [1], 0);
    world_turn (world);
    assert_int_equal (looper->fired_count, 2);
    world_turn (world);
    assert_int_equal (looper->fired_count, 3);
    assert_null (looper->timers [1]);
    yard_timer_destroy (&looper->timers [0]);
}

static void many_timers_keep_their_order (void **state)
{
    world_t *world = *state;
    yard_timer_t *timers [500];
    yard_random_t random;
    yard_random_seed (&random, 3);
    for (size_t i = 0; i < 500; i++) {
        timers [i] = yard_timer_new (world->actor, fire, NULL);
        yard_timer_set (timers [i], (int64_t) yard_random_below (&random, 1000) + 10000);
    }
    for (size_t i = 0; i < 500; i += 3)
        yard_timer_set (timers [i], i % 2 ? -1 : (int64_t) yard_random_below (&random, 1000) + 10000);
    yard_actor_t *actor = world->actor;
    for (size_t slot = 2; slot <= actor->timer_count; slot++) {
        assert_true (actor->timers [slot / 2]->due_ms <= actor->timers [slot]->due_ms);
        assert_int_equal (actor->timers [slot]->slot, slot);
    }
    for (size_t i = 0; i < 500; i++)
        yard_timer_destroy (&timers [i]);
    assert_int_equal (actor->timer_count, 1); /* the runtime's own, for silence */
}

/*  --- files
 *  ---------------------------------------------------------------------------------------------------------------- */
static void ready (void *self, void *argument, int fd, short events)
{
    looper_t *looper = self;
    size_t at = (size_t) argument;
    assert_int_equal (fd, looper->fds [at]);
    assert_int_equal (events, POLLIN);
    looper->ready [at]++;
    yard_watch_destroy (&looper->watches [0]);
    yard_watch_destroy (&looper->watches [1]);
}

static void a_watch_may_be_destroyed_in_a_callback (void **state)
{
    world_t *world = *state;
    looper_t *looper = looper_of (world);
    for (size_t i = 0; i < 2; i++) {
        looper->fds [i] = eventfd (1, EFD_NONBLOCK | EFD_CLOEXEC);
        looper->watches [i] = yard_watch_new (world->actor, looper->fds [i], POLLIN, ready, (void *) i);
    }
    yard_watch_set (looper->watches [0], 0);
    yard_watch_set (looper->watches [1], 0);
    world_turn (world);
    assert_int_equal (looper->ready [0] + looper->ready [1], 0);
    yard_watch_set (looper->watches [0], POLLIN);
    yard_watch_set (looper->watches [1], POLLIN);
    world_turn (world);
    world_turn (world);
    assert_int_equal (looper->ready [0] + looper->ready [1], 1); /* the first ended the other too */
    close (looper->fds [0]);
    close (looper->fds [1]);
}

/*  --- threads
 *  -------------------------------------------------------------------------------------------------------------- */
static void work (void *argument)
{
    ((looper_t *) argument)->work_thread_ran = 7;
}

static void done (void *self, void *argument)
{
    assert_ptr_equal (self, argument);
    ((looper_t *) self)->done += ((looper_t *) self)->work_thread_ran;
}

static void offloaded_work_comes_back_on_the_loop (void **state)
{
    world_t *world = *state;
    looper_t *looper = looper_of (world);
    yard_offload (world->actor, work, done, looper);
    for (int i = 0; i < 1000 && !looper->done; i++)
        yard_actor_turn (world->actor, 10000, &world->exit_code); /* wakes by the pool's eventfd */
    assert_int_equal (looper->done, 7);
}

static void offloaded_work_is_waited_for_at_the_end (void **state)
{
    world_t *world = *state;
    looper_t *looper = looper_of (world);
    yard_offload (world->actor, work, done, looper);
    yard_actor_close_all (world->actor);
    assert_int_equal (looper->done, 7);
}

static void a_slow_handler_is_named_with_its_message (void **state)
{
    world_t *world = *state;
    looper_t *looper = looper_of (world);
    int ends [2], saved = dup (STDERR_FILENO);
    assert_int_equal (pipe2 (ends, O_CLOEXEC), 0);
    looper->log_fd = ends [0];
    record_key_t body = { .key = yard_string ("k") };
    world_ask (world, "number_1", "record.exists", record_key_type (), &body, "c1", -1);
    dup2 (ends [1], STDERR_FILENO);
    world_turn (world);
    dup2 (saved, STDERR_FILENO);
    close (saved);
    close (ends [0]);
    close (ends [1]);
    assert_non_null (strstr (looper->log, "handler.slow handler=request message=record_exists ms="));
}

int main (void)
{
#define CASE(name) cmocka_unit_test_setup_teardown (name, begin, end)
#define THREADED(name) cmocka_unit_test_setup_teardown (name, begin_with_threads, end)
    const struct CMUnitTest cases [] = {
        CASE (timers_fire_in_order_of_their_time),
        CASE (a_timer_may_set_itself_again_or_end_itself),
        CASE (many_timers_keep_their_order),
        CASE (a_watch_may_be_destroyed_in_a_callback),
        CASE (offloaded_work_comes_back_on_the_loop),
        THREADED (offloaded_work_comes_back_on_the_loop),
        THREADED (offloaded_work_is_waited_for_at_the_end),
        THREADED (a_slow_handler_is_named_with_its_message),
    };
    return cmocka_run_group_tests (cases, NULL, NULL);
}
