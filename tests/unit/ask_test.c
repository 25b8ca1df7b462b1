// SPDX-License-Identifier: Apache-2.0
/*  ask_test.c - the handler of an ask runs exactly once, and events leave after settle
 */
#include "actor_world.h"

#define ANSWERS_MAX 64

typedef struct {
    int codes [ANSWERS_MAX];
    bool exists [ANSWERS_MAX];
    char texts [ANSWERS_MAX][128];
    size_t count;
    int settle_code;
    bool ask_again;
} asker_t;

static void answered (void *self, void *argument, const yard_outcome_t *outcome);

static uint64_t ask_exists (yard_actor_t *actor, const char *key, const yard_ask_options_t *options)
{
    record_key_t ask = { .key = yard_string (key) };
    return yard_ask (actor, &record_exists_method, &ask, options, answered, actor);
}

static void answered (void *self, void *argument, const yard_outcome_t *outcome)
{
    asker_t *asker = self;
    assert_true (asker->count < ANSWERS_MAX);
    size_t at = asker->count++;
    asker->codes [at] = outcome->code;
    if (outcome->code == 0)
        asker->exists [at] = ((const record_exists_answer_t *) outcome->answer)->exists;
    else
        assert_null (outcome->answer);
    snprintf (asker->texts [at], sizeof asker->texts [at], "%s", outcome->text ? outcome->text : "");
    if (asker->ask_again) {
        asker->ask_again = false;
        ask_exists (argument, "again", NULL);
    }
}

static int settle (void *self, yard_error_t *error)
{
    asker_t *asker = self;
    return asker->settle_code ? yard_error (error, asker->settle_code, "the disk is full") : 0;
}

static const yard_actor_class_t asker_class = { .name = "installer",
                                                .size = sizeof (asker_t),
                                                .settle = settle };

static int begin (void **state)
{
    world_t *world = world_new (&asker_class, true);
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

static asker_t *asker_of (world_t *world)
{
    return yard_actor_self (world->actor);
}

static void assert_answered (world_t *world, size_t count, int code)
{
    assert_int_equal (asker_of (world)->count, count);
    assert_int_equal (asker_of (world)->codes [count - 1], code);
}

/*  The next ask that came; its id lives in the world's arena. */
static yard_string_t expect_ask (world_t *world, const char *name, const meta_t **ret_meta)
{
    yard_envelope_t envelope;
    world_expect (world, 'A', &envelope);
    assert_true (yard_string_is (envelope.name, name));
    const meta_t *meta = world_read (world, meta_type (), envelope.meta);
    if (ret_meta)
        *ret_meta = meta;
    return yard_arena_copy (world->arena, envelope.id);
}

static void answer (world_t *world, yard_string_t id)
{
    record_exists_answer_t exists = { .exists = true };
    world_say (world, 'R', id, yard_string ("record.exists"), record_exists_answer_type (), &exists);
}

/*  --- cases
 *  ---------------------------------------------------------------------------------------------------------------- */
static void an_answer_reaches_its_handler_once (void **state)
{
    world_t *world = *state;
    assert_true (ask_exists (world->actor, "k", &(yard_ask_options_t){ .once = "key-1", .ttl_s = 60 }) > 0);
    world_turn (world);
    const meta_t *meta;
    yard_string_t id = expect_ask (world, "record.exists", &meta);
    assert_true (yard_string_is (meta->epoch, EPOCH_ONE));
    assert_int_equal (meta->deadline_ms, record_exists_method.deadline_ms);
    assert_true (yard_string_is (meta->once, "key-1"));
    assert_int_equal (meta->ttl_s, 60);
    answer (world, id);
    answer (world, id);
    world_turn (world);
    assert_answered (world, 1, 0);
    assert_true (asker_of (world)->exists [0]);
    world_pass (world, 20000);
    assert_int_equal (asker_of (world)->count, 1);
}

static void a_place_stands_behind_the_name (void **state)
{
    world_t *world = *state;
    ask_exists (world->actor, "k", &(yard_ask_options_t){ .at = "recorder" });
    world_turn (world);
    expect_ask (world, "record.exists@recorder", NULL);
}

static void a_failure_comes_with_code_and_text (void **state)
{
    world_t *world = *state;
    ask_exists (world->actor, "k", NULL);
    world_turn (world);
    world_fail (world, expect_ask (world, "record.exists", NULL), "not_served");
    world_turn (world);
    assert_answered (world, 1, YARD_NOT_SERVED);
    assert_string_equal (asker_of (world)->texts [0], "said the broker");
}

static void a_deadline_ends_an_ask_and_withdraws_it (void **state)
{
    world_t *world = *state;
    ask_exists (world->actor, "k", &(yard_ask_options_t){ .deadline_ms = 300 });
    world_turn (world);
    yard_string_t id = expect_ask (world, "record.exists", NULL);
    world_pass (world, 299);
    assert_int_equal (asker_of (world)->count, 0);
    world_pass (world, 1);
    assert_answered (world, 1, YARD_TIMEOUT);
    yard_envelope_t envelope;
    world_expect (world, 'B', &envelope);
    assert_true (yard_string_equal (envelope.id, id));
    answer (world, id);
    world_turn (world);
    assert_int_equal (asker_of (world)->count, 1);
}

static void another_epoch_ends_what_was_sent_with_gone (void **state)
{
    world_t *world = *state;
    ask_exists (world->actor, "k", NULL);
    world_turn (world);
    expect_ask (world, "record.exists", NULL);
    asker_of (world)->ask_again = true; /* from inside the handler */
    world_new_broker (world, EPOCH_TWO);
    assert_answered (world, 1, YARD_GONE);
    const meta_t *meta;
    expect_ask (world, "record.exists", &meta);
    assert_true (yard_string_is (meta->epoch, EPOCH_TWO));
}

static void the_same_epoch_again_ends_nothing (void **state)
{
    world_t *world = *state;
    ask_exists (world->actor, "k", NULL);
    world_turn (world);
    yard_string_t id = expect_ask (world, "record.exists", NULL);
    world_pass (world, 2000);
    world_welcome (world, EPOCH_ONE);
    answer (world, id);
    world_turn (world);
    assert_answered (world, 1, 0);
}

static void a_connection_that_moved_ends_what_was_sent_with_gone (void **state)
{
    world_t *world = *state;
    ask_exists (world->actor, "k", NULL);
    world_turn (world);
    yard_string_t id = expect_ask (world, "record.exists", NULL);
    world_move (world, EPOCH_ONE);
    assert_answered (world, 1, YARD_GONE);
    world_fail (world, id, "gone"); /* the broker says it too, where it knew of it */
    world_turn (world);
    assert_int_equal (asker_of (world)->count, 1);
    ask_exists (world->actor, "k", NULL);
    world_turn (world);
    answer (world, expect_ask (world, "record.exists", NULL));
    world_turn (world);
    assert_answered (world, 2, 0);
}

static void what_was_never_sent_waits_for_the_welcome_or_is_unreachable (void **state)
{
    world_t *world = *state;
    world_pass (world, 2000); /* silent: hello is out */
    ask_exists (world->actor, "short", &(yard_ask_options_t){ .deadline_ms = 100 });
    ask_exists (world->actor, "long", NULL);
    world_turn (world);
    world_pass (world, 100);
    assert_answered (world, 1, YARD_UNREACHABLE);
    world_welcome (world, EPOCH_TWO);
    const meta_t *meta;
    answer (world, expect_ask (world, "record.exists", &meta));
    assert_true (yard_string_is (meta->epoch, EPOCH_TWO));
    assert_int_equal (meta->deadline_ms, record_exists_method.deadline_ms - 100);
    world_turn (world);
    assert_answered (world, 2, 0);
    world_expect_nothing (world);
}

static void hello_first_is_answered_by_hello_and_the_ask_again_once (void **state)
{
    world_t *world = *state;
    ask_exists (world->actor, "k", NULL);
    world_turn (world);
    world_fail (world, expect_ask (world, "record.exists", NULL), "hello_first");
    world_turn (world);
    assert_int_equal (asker_of (world)->count, 0);
    world_welcome (world, EPOCH_TWO); /* turns, hears the hello, and welcomes */
    assert_int_equal (asker_of (world)->count, 0);
    yard_string_t id = expect_ask (world, "record.exists", NULL);
    world_fail (world, id, "hello_first");
    world_turn (world);
    assert_answered (world, 1, YARD_HELLO_FIRST);
}

static void a_withdrawn_ask_is_cancelled_in_the_next_turn (void **state)
{
    world_t *world = *state;
    uint64_t asked = ask_exists (world->actor, "k", NULL);
    world_turn (world);
    yard_string_t id = expect_ask (world, "record.exists", NULL);
    yard_withdraw (world->actor, asked);
    yard_withdraw (world->actor, asked);
    yard_withdraw (world->actor, 4711);
    assert_int_equal (asker_of (world)->count, 0);
    world_turn (world);
    assert_answered (world, 1, YARD_CANCELLED);
    yard_envelope_t envelope;
    world_expect (world, 'B', &envelope);
    assert_true (yard_string_equal (envelope.id, id));
    answer (world, id);
    world_turn (world);
    assert_int_equal (asker_of (world)->count, 1);
}

static void an_ask_that_was_withdrawn_before_it_left_never_leaves (void **state)
{
    world_t *world = *state;
    yard_withdraw (world->actor, ask_exists (world->actor, "k", NULL));
    world_turn (world);
    world_turn (world);
    assert_answered (world, 1, YARD_CANCELLED);
    world_expect_nothing (world);
}

static void an_ask_that_cannot_be_packed_fails_in_the_next_turn (void **state)
{
    world_t *world = *state;
    assert_int_equal (ask_exists (world->actor, "", NULL), 0);
    assert_int_equal (asker_of (world)->count, 0);
    world_turn (world);
    assert_true (asker_of (world)->codes [0] != 0);
    assert_int_equal (asker_of (world)->count, 1);
    world_expect_nothing (world);
}

static void an_answer_that_breaks_its_rules_is_a_failure (void **state)
{
    world_t *world = *state;
    ask_exists (world->actor, "k", NULL);
    world_turn (world);
    nothing_t nothing = { 0 };
    world_say (world, 'R', expect_ask (world, "record.exists", NULL), yard_string (""), nothing_type (),
               &nothing);
    world_turn (world);
    assert_answered (world, 1, YARD_INVALID_MESSAGE);
}

static void a_failed_settle_ends_the_asks_of_the_turn_and_drops_its_events (void **state)
{
    world_t *world = *state;
    asker_of (world)->settle_code = YARD_STORE_FAILED;
    ask_exists (world->actor, "k", NULL);
    actor_told_t told = { .actor = yard_string ("x"),
                          .place = yard_string ("x"),
                          .instance = yard_string ("x"),
                          .node = yard_string ("x") };
    yard_publish (world->actor, &actor_joined_event, "x", &told);
    world_turn (world);
    assert_int_equal (asker_of (world)->count, 0);
    asker_of (world)->settle_code = 0;
    world_turn (world);
    assert_answered (world, 1, YARD_STORE_FAILED);
    assert_string_equal (asker_of (world)->texts [0], "the disk is full");
    world_expect_nothing (world);
}

static void events_of_a_turn_leave_together_after_its_asks (void **state)
{
    world_t *world = *state;
    actor_told_t told = { .actor = yard_string ("x"),
                          .place = yard_string ("x"),
                          .instance = yard_string ("x"),
                          .node = yard_string ("x") };
    for (int i = 0; i < 300; i++) {
        char subject [16];
        snprintf (subject, sizeof subject, "s%d", i);
        yard_publish (world->actor, &actor_joined_event, subject, &told);
    }
    ask_exists (world->actor, "k", NULL);
    world_turn (world);
    expect_ask (world, "record.exists", NULL);
    yard_envelope_t envelope;
    size_t heard = 0;
    for (size_t count, part = 0; part < 2; part++) {
        world_expect (world, 'A', &envelope);
        assert_true (yard_string_is (envelope.name, "event.publish"));
        const event_publish_ask_t *ask = world_read (world, event_publish_ask_type (), envelope.body);
        count = ask->events.count;
        assert_int_equal (count, part ? 44 : 256);
        char subject [16];
        snprintf (subject, sizeof subject, "s%zu", heard);
        assert_true (yard_string_is (ask->events.items [0].subject, subject));
        assert_true (yard_string_is (ask->events.items [0].name, "actor_joined"));
        assert_true (ask->events.items [0].time > 1.7e9);
        heard += count;
    }
    world_expect_nothing (world);
}

static void a_closing_actor_runs_the_handlers_of_its_asks (void **state)
{
    world_t *world = *state;
    record_key_t ask = { .key = yard_string ("k") };
    for (int i = 0; i < 3; i++)
        yard_ask (world->actor, &record_exists_method, &ask, NULL, answered, world->actor);
    world_turn (world);
    yard_ask (world->actor, &record_exists_method, &ask, NULL, answered, world->actor);
    yard_actor_close_all (world->actor);
    assert_answered (world, 4, YARD_GONE);
}

static void asks_wait_while_the_socket_is_full (void **state)
{
    world_t *world = *state;
    for (int i = 0; i < 1024; i++)
        yard_ask (world->actor, &record_exists_method, &(record_key_t){ .key = yard_string ("k") }, NULL,
                  NULL, NULL);
    assert_int_equal (ask_exists (world->actor, "one too many", NULL), 0);
    world_turn (world); /* the bus takes 1,000 */
    world_turn (world);
    assert_answered (world, 1, YARD_BUSY);
    assert_true (world->actor->blocked);
    yard_envelope_t envelope;
    int heard = 0;
    for (int turn = 0; turn < 3; turn++) {
        while (world_hear (world, &envelope))
            heard++;
        world_turn (world);
    }
    assert_int_equal (heard, 1024);
    assert_false (world->actor->blocked);
}

int main (void)
{
#define CASE(name) cmocka_unit_test_setup_teardown (name, begin, end)
    const struct CMUnitTest cases [] = {
        CASE (an_answer_reaches_its_handler_once),
        CASE (a_place_stands_behind_the_name),
        CASE (a_failure_comes_with_code_and_text),
        CASE (a_deadline_ends_an_ask_and_withdraws_it),
        CASE (another_epoch_ends_what_was_sent_with_gone),
        CASE (the_same_epoch_again_ends_nothing),
        CASE (a_connection_that_moved_ends_what_was_sent_with_gone),
        CASE (what_was_never_sent_waits_for_the_welcome_or_is_unreachable),
        CASE (hello_first_is_answered_by_hello_and_the_ask_again_once),
        CASE (a_withdrawn_ask_is_cancelled_in_the_next_turn),
        CASE (an_ask_that_was_withdrawn_before_it_left_never_leaves),
        CASE (an_ask_that_cannot_be_packed_fails_in_the_next_turn),
        CASE (an_answer_that_breaks_its_rules_is_a_failure),
        CASE (a_failed_settle_ends_the_asks_of_the_turn_and_drops_its_events),
        CASE (events_of_a_turn_leave_together_after_its_asks),
        CASE (a_closing_actor_runs_the_handlers_of_its_asks),
        CASE (asks_wait_while_the_socket_is_full),
    };
    return cmocka_run_group_tests (cases, NULL, NULL);
}
