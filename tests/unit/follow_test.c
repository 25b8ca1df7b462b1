// SPDX-License-Identifier: Apache-2.0
/*  follow_test.c - events in order, each once, across the ends of brokers
 */
#include "actor_world.h"

#define HEARD_MAX 1024

typedef struct {
    yard_actor_t *actor;
    yard_follow_t *follow;
    struct {
        uint64_t change, number;
        char name [64], subject [16];
        bool decoded;
    } heard [HEARD_MAX];
    size_t count, lost;
    bool end_at_next, end_at_answer, page;
} follower_t;

static void answered (void *self, void *argument, const yard_outcome_t *outcome)
{
    (void) argument;
    (void) outcome;
    follower_t *follower = self;
    if (follower->end_at_answer)
        yard_unfollow (&follower->follow);
}

static void ask_exists (follower_t *self)
{
    yard_ask (self->actor, &record_exists_method, &(record_key_t){ .key = yard_string ("k") }, NULL, answered,
              NULL);
}

static void heard (void *self, void *argument, const yard_heard_t *what)
{
    follower_t *follower = self;
    assert_ptr_equal (argument, follower);
    assert_true (follower->count < HEARD_MAX);
    size_t at = follower->count++;
    follower->heard [at].change = what->stamp->change;
    follower->heard [at].number = what->stamp->number;
    follower->heard [at].decoded = what->event != NULL;
    snprintf (follower->heard [at].name, 64, "%.*s", YARD_VIEW (what->name));
    snprintf (follower->heard [at].subject, 16, "%.*s", YARD_VIEW (what->subject));
    if (what->event == &actor_joined_event)
        assert_true (yard_string_is (((const actor_told_t *) what->body)->place, "somewhere"));
    if (follower->end_at_next)
        yard_unfollow (&follower->follow);
}

static void lost (void *self, void *argument)
{
    (void) argument;
    ((follower_t *) self)->lost++;
    if (((follower_t *) self)->page)
        ask_exists (self);
}

static int open_follower (void *self, yard_actor_t *actor, yard_error_t *error)
{
    (void) error;
    static const char *const prefixes [] = { "actor_", "store_" };
    ((follower_t *) self)->actor = actor;
    ((follower_t *) self)->follow = yard_follow (actor, prefixes, 2, NULL, heard, lost, self);
    return 0;
}

static void close_follower (void *self)
{
    yard_unfollow (&((follower_t *) self)->follow);
}

static const yard_actor_class_t follower_class = {
    .name = "gateway", .size = sizeof (follower_t), .open = open_follower, .close = close_follower
};

static int begin (void **state)
{
    world_t *world = world_new (&follower_class, true);
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

static follower_t *follower_of (world_t *world)
{
    return yard_actor_self (world->actor);
}

static yard_string_t expect_ask (world_t *world, const char *name, const yard_wire_type_t *type,
                                 const void **ret_ask)
{
    yard_envelope_t envelope;
    world_expect (world, 'A', &envelope);
    if (!yard_string_is (envelope.name, name))
        fail_msg ("%.*s instead of %s", YARD_VIEW (envelope.name), name);
    yard_string_t id = yard_arena_copy (world->arena, envelope.id);
    *ret_ask = world_read (world, type, envelope.body);
    return id;
}

static yard_string_t expect_follow (world_t *world, const event_follow_ask_t **ret_ask)
{
    const void *ask;
    yard_string_t id = expect_ask (world, "event.follow", event_follow_ask_type (), &ask);
    *ret_ask = ask;
    return id;
}

static yard_string_t expect_history (world_t *world, uint64_t after)
{
    const void *ask;
    yard_string_t id = expect_ask (world, "event.history", event_history_ask_type (), &ask);
    assert_int_equal (((const event_history_ask_t *) ask)->after, after);
    assert_int_equal (((const event_history_ask_t *) ask)->prefixes.count, 2);
    return id;
}

static void start_stream (world_t *world, yard_string_t id, const char *epoch, uint64_t number)
{
    event_follow_answer_t answer = { .epoch = yard_string (epoch), .number = number };
    world_say (world, 'R', id, yard_string ("event.follow"), event_follow_answer_type (), &answer);
    world_turn (world);
}

static yard_string_t told_body (world_t *world)
{
    actor_told_t told = { .actor = yard_string ("x"),
                          .place = yard_string ("somewhere"),
                          .instance = yard_string ("x"),
                          .node = yard_string ("x") };
    return world_pack (world, actor_told_type (), &told);
}

static void tell (world_t *world, yard_string_t stream, const char *epoch, const char *topic, uint64_t number,
                  uint64_t change)
{
    stamp_t stamp;
    yard_wire_init (stamp_type (), &stamp);
    stamp.epoch = yard_string (epoch);
    stamp.number = number;
    stamp.change = change;
    stamp.store = yard_string (change ? "store-1" : "");
    stamp.subject = yard_string ("17");
    world_send (world, &(yard_envelope_t){ .letter = 'E',
                                           .id = stream,
                                           .name = yard_string (topic),
                                           .body = told_body (world),
                                           .meta = world_pack (world, stamp_type (), &stamp) });
}

static void answer_history (world_t *world, yard_string_t id, uint64_t first, size_t count, bool more,
                            const char *store)
{
    told_t told [8];
    for (size_t i = 0; i < count; i++)
        told [i] = (told_t){ .name = yard_string ("actor_joined"),
                             .subject = yard_string ("h"),
                             .body = told_body (world),
                             .change = first + i };
    event_history_answer_t answer = { .last = first + count - 1, .more = more, .store = yard_string (store) };
    answer.events.items = told;
    answer.events.count = count;
    world_say (world, 'R', id, yard_string ("event.history"), event_history_answer_type (), &answer);
    world_turn (world);
}

static void assert_changes (world_t *world, size_t count, const uint64_t *changes)
{
    assert_int_equal (follower_of (world)->count, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal (follower_of (world)->heard [i].change, changes [i]);
}

/*  Begun, with changes 5 and 6 seen in the first epoch. */
static yard_string_t begin_stream (world_t *world)
{
    const event_follow_ask_t *ask;
    yard_string_t stream = expect_follow (world, &ask);
    assert_false (ask->has_after);
    assert_int_equal (ask->prefixes.count, 2);
    start_stream (world, stream, EPOCH_ONE, 100);
    tell (world, stream, EPOCH_ONE, "actor_joined/17/", 101, 5);
    tell (world, stream, EPOCH_ONE, "actor_lost/17/", 103, 6);
    world_turn (world);
    return stream;
}

/*  --- cases
 *  ---------------------------------------------------------------------------------------------------------------- */
static void events_come_decoded_and_in_order (void **state)
{
    world_t *world = *state;
    yard_string_t stream = begin_stream (world);
    tell (world, stream, EPOCH_ONE, "actor_of_tomorrow/17/", 104, 0);
    world_turn (world);
    follower_t *follower = follower_of (world);
    assert_changes (world, 3, (uint64_t []){ 5, 6, 0 });
    assert_string_equal (follower->heard [0].name, "actor_joined");
    assert_string_equal (follower->heard [0].subject, "17");
    assert_true (follower->heard [1].decoded);
    assert_false (follower->heard [2].decoded);
    assert_int_equal (follower->lost, 0);
}

static void numbers_that_do_not_rise_and_known_changes_are_dropped (void **state)
{
    world_t *world = *state;
    yard_string_t stream = begin_stream (world);
    uint64_t before = world->actor->malformed;
    tell (world, stream, EPOCH_ONE, "actor_joined/17/", 103, 7);
    tell (world, stream, EPOCH_ONE, "actor_joined/17/", 104, 6);
    tell (world, stream, EPOCH_ONE, "actor_joined/17/", 105, 8);
    world_turn (world);
    assert_changes (world, 3, (uint64_t []){ 5, 6, 8 });
    assert_int_equal (world->actor->malformed, before + 1);
}

static void credit_is_given_back_when_half_is_used (void **state)
{
    world_t *world = *state;
    yard_string_t stream = begin_stream (world);
    for (uint64_t i = 0; i < 125; i++)
        tell (world, stream, EPOCH_ONE, "actor_joined/17/", 200 + i, 0);
    world_turn (world);
    world_turn (world);
    world_expect_nothing (world);
    tell (world, stream, EPOCH_ONE, "actor_joined/17/", 400, 0);
    world_turn (world);
    yard_envelope_t envelope;
    world_expect (world, 'C', &envelope);
    assert_true (yard_string_equal (envelope.id, stream));
    const credit_t *credit = world_read (world, credit_type (), envelope.body);
    assert_int_equal (credit->more, 128);
    world_expect_nothing (world);
}

static void a_new_epoch_is_filled_from_the_history_then_followed_from_its_start (void **state)
{
    world_t *world = *state;
    begin_stream (world);
    world_new_broker (world, EPOCH_TWO);
    answer_history (world, expect_history (world, 6), 7, 3, true, "store-1");
    answer_history (world, expect_history (world, 9), 10, 1, false, "store-1");
    const event_follow_ask_t *ask;
    yard_string_t stream = expect_follow (world, &ask);
    assert_true (ask->has_after && ask->has_epoch);
    assert_int_equal (ask->after, 0);
    assert_true (yard_string_is (ask->epoch, EPOCH_TWO));
    start_stream (world, stream, EPOCH_TWO, 0);
    tell (world, stream, EPOCH_TWO, "actor_joined/17/", 1, 9); /* told again after the broker's end */
    tell (world, stream, EPOCH_TWO, "actor_joined/17/", 2, 11);
    world_turn (world);
    assert_changes (world, 7, (uint64_t []){ 5, 6, 7, 8, 9, 10, 11 });
    assert_int_equal (follower_of (world)->lost, 0);
}

static void a_history_that_is_too_old_means_lost_and_from_now (void **state)
{
    world_t *world = *state;
    begin_stream (world);
    world_new_broker (world, EPOCH_TWO);
    world_fail (world, expect_history (world, 6), "too_old");
    world_turn (world);
    assert_int_equal (follower_of (world)->lost, 1);
    const event_follow_ask_t *ask;
    expect_follow (world, &ask);
    assert_false (ask->has_after);
}

static void another_store_means_lost_and_from_now (void **state)
{
    world_t *world = *state;
    begin_stream (world);
    world_new_broker (world, EPOCH_TWO);
    answer_history (world, expect_history (world, 6), 7, 1, false, "store-2");
    assert_int_equal (follower_of (world)->lost, 1);
    assert_int_equal (follower_of (world)->count, 2);
    const event_follow_ask_t *ask;
    expect_follow (world, &ask);
    assert_false (ask->has_after);
}

static void the_history_is_asked_again_while_the_recorder_is_not_there (void **state)
{
    world_t *world = *state;
    begin_stream (world);
    world_new_broker (world, EPOCH_TWO);
    world_fail (world, expect_history (world, 6), "not_served");
    world_turn (world);
    world_expect_nothing (world);
    world_pass (world, 1000);
    expect_history (world, 6);
    assert_int_equal (follower_of (world)->lost, 0);
}

static void who_saw_no_change_is_told_that_events_are_lost (void **state)
{
    world_t *world = *state;
    const event_follow_ask_t *ask;
    start_stream (world, expect_follow (world, &ask), EPOCH_ONE, 100);
    world_new_broker (world, EPOCH_TWO);
    assert_int_equal (follower_of (world)->lost, 1);
    expect_follow (world, &ask);
    assert_int_equal (ask->after, 0);
    assert_true (yard_string_is (ask->epoch, EPOCH_TWO));
}

static void a_stream_the_broker_ends_goes_on_from_its_last_number (void **state)
{
    world_t *world = *state;
    yard_string_t stream = begin_stream (world);
    world_fail (world, stream, "busy");
    world_turn (world);
    world_pass (world, 1000);
    const event_follow_ask_t *ask;
    stream = expect_follow (world, &ask);
    assert_int_equal (ask->after, 103);
    assert_true (yard_string_is (ask->epoch, EPOCH_ONE));
    start_stream (world, stream, EPOCH_ONE, 103);
    world_fail (world, stream, "too_old"); /* its cursor fell out of the log */
    world_turn (world);
    assert_int_equal (follower_of (world)->lost, 1);
    expect_follow (world, &ask);
    assert_false (ask->has_after);
}

static void a_snapshot_is_paged_behind_the_start_of_the_new_stream (void **state)
{
    world_t *world = *state;
    yard_string_t stream = begin_stream (world);
    follower_of (world)->page = true;
    world_fail (world, stream, "too_old");
    world_turn (world);
    assert_int_equal (follower_of (world)->lost, 1);
    const event_follow_ask_t *ask;
    expect_follow (world, &ask);
    yard_envelope_t envelope;
    world_expect (world, 'A', &envelope);
    assert_true (yard_string_is (envelope.name, "record.exists"));
}

static void a_stream_from_now_that_never_began_means_lost (void **state)
{
    world_t *world = *state;
    const event_follow_ask_t *ask;
    expect_follow (world, &ask); /* not answered */
    world_new_broker (world, EPOCH_TWO);
    assert_int_equal (follower_of (world)->lost, 1);
    expect_follow (world, &ask);
    assert_false (ask->has_after);
}

static void a_stream_goes_on_when_its_connection_moved (void **state)
{
    world_t *world = *state;
    yard_string_t stream = begin_stream (world);
    world_move (world, EPOCH_ONE);
    const event_follow_ask_t *ask;
    yard_string_t next = expect_follow (world, &ask);
    assert_int_equal (ask->after, 103);
    assert_true (yard_string_is (ask->epoch, EPOCH_ONE));
    start_stream (world, next, EPOCH_ONE, 103);
    world_fail (world, stream, "gone"); /* said of the old one, behind the welcome */
    tell (world, next, EPOCH_ONE, "actor_joined/17/", 104, 7);
    world_turn (world);
    assert_changes (world, 3, (uint64_t []){ 5, 6, 7 });
    assert_int_equal (follower_of (world)->lost, 0);
    world_pass (world, 1000);
    world_expect_nothing (world);
}

static void a_stream_that_is_gone_is_followed_again_behind_its_last_number (void **state)
{
    world_t *world = *state;
    world_fail (world, begin_stream (world), "gone");
    world_turn (world);
    world_pass (world, 1000);
    const event_follow_ask_t *ask;
    expect_follow (world, &ask);
    assert_int_equal (ask->after, 103);
    assert_int_equal (follower_of (world)->lost, 0);
}

/*  Another handler's ask and the stream's ask end in the same moment; the first ends the follow. */
static void a_follow_may_be_ended_while_the_end_of_its_ask_is_on_its_way (void **state)
{
    world_t *world = *state;
    follower_t *follower = follower_of (world);
    const event_follow_ask_t *ask;
    expect_follow (world, &ask);
    yard_unfollow (&follower->follow);
    ask_exists (follower);
    static const char *const prefixes [] = { "actor_" };
    follower->follow = yard_follow (world->actor, prefixes, 1, NULL, heard, lost, follower);
    follower->end_at_answer = true;
    world_turn (world);
    world_new_broker (world, EPOCH_TWO); /* both are gone */
    assert_null (follower->follow);
    assert_int_equal (follower->lost, 0);
}

static void a_follow_may_be_ended_by_its_own_handler (void **state)
{
    world_t *world = *state;
    yard_string_t stream = begin_stream (world);
    follower_of (world)->end_at_next = true;
    tell (world, stream, EPOCH_ONE, "actor_joined/17/", 104, 7);
    tell (world, stream, EPOCH_ONE, "actor_joined/17/", 105, 8);
    world_turn (world);
    assert_int_equal (follower_of (world)->count, 3);
    assert_null (follower_of (world)->follow);
    yard_envelope_t envelope;
    world_expect (world, 'B', &envelope);
    assert_true (yard_string_equal (envelope.id, stream));
}

static void a_follow_may_be_ended_in_the_middle_of_the_history (void **state)
{
    world_t *world = *state;
    begin_stream (world);
    world_new_broker (world, EPOCH_TWO);
    follower_of (world)->end_at_next = true;
    answer_history (world, expect_history (world, 6), 7, 3, true, "store-1");
    assert_int_equal (follower_of (world)->count, 3);
    world_expect_nothing (world);
}

static void another_epoch_in_the_middle_of_the_history_begins_it_again (void **state)
{
    world_t *world = *state;
    begin_stream (world);
    world_new_broker (world, EPOCH_TWO);
    answer_history (world, expect_history (world, 6), 7, 2, true, "store-1");
    expect_history (world, 8);
    world_new_broker (world, "3333333333333333");
    expect_history (world, 8);
    world_expect_nothing (world);
    world_pass (world, 1000); /* no retry from before is left */
    world_expect_nothing (world);
}

int main (void)
{
#define CASE(name) cmocka_unit_test_setup_teardown (name, begin, end)
    const struct CMUnitTest cases [] = {
        CASE (events_come_decoded_and_in_order),
        CASE (numbers_that_do_not_rise_and_known_changes_are_dropped),
        CASE (credit_is_given_back_when_half_is_used),
        CASE (a_new_epoch_is_filled_from_the_history_then_followed_from_its_start),
        CASE (a_history_that_is_too_old_means_lost_and_from_now),
        CASE (another_store_means_lost_and_from_now),
        CASE (the_history_is_asked_again_while_the_recorder_is_not_there),
        CASE (who_saw_no_change_is_told_that_events_are_lost),
        CASE (a_stream_the_broker_ends_goes_on_from_its_last_number),
        CASE (a_snapshot_is_paged_behind_the_start_of_the_new_stream),
        CASE (a_stream_from_now_that_never_began_means_lost),
        CASE (a_stream_goes_on_when_its_connection_moved),
        CASE (a_stream_that_is_gone_is_followed_again_behind_its_last_number),
        CASE (a_follow_may_be_ended_while_the_end_of_its_ask_is_on_its_way),
        CASE (a_follow_may_be_ended_by_its_own_handler),
        CASE (a_follow_may_be_ended_in_the_middle_of_the_history),
        CASE (another_epoch_in_the_middle_of_the_history_begins_it_again),
    };
    return cmocka_run_group_tests (cases, NULL, NULL);
}
