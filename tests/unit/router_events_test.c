// SPDX-License-Identifier: Apache-2.0
/*  router_events_test.c - numbered events, subscribers, followers
 */
#include "router_cases.h"

/*  Publishes one event; change 0 = none. */
static void publish (bench_t *self, char peer, const char *name, const char *subject, unsigned change)
{
    say (self, peer, "YARD1Ap", "event.publish", event_publish_ask_type (),
         yard_arena_printf (
             self->arena,
             "{\"store\":\"s1\",\"events\":[{\"name\":\"%s\",\"subject\":\"%s\",\"body\":\"gA==\",\"time\":5,"
             "\"change\":%u}]}",
             name, subject, change));
}

static const event_publish_answer_t *expect_taken (bench_t *self, char peer)
{
    return read_as (self, event_publish_answer_type (),
                    expect (self, peer, 'R', "p", "event.publish")->envelope.body);
}

/*  Publishes and reads all that comes of it. */
static void tell (bench_t *self, const char *name, const char *subject)
{
    publish (self, 'a', name, subject, 0);
    forget_all (self);
}

static void follow (bench_t *self, char peer, const char *head, const char *ask)
{
    say (self, peer, head, "event.follow", event_follow_ask_type (), ask);
}

static const stamp_t *expect_event (bench_t *self, char peer, const char *id, const char *topic)
{
    return read_as (self, stamp_type (), expect (self, peer, 'E', id, topic)->envelope.meta);
}

/*  The recorder, as a, whose joining is event 1; a follower, as f, without an event of its own. */
static int open_with_recorder (void **state)
{
    int rc = bench_open (state);
    join (*state, 'a', 'a', "recorder", "");
    return rc;
}

#define EVENT_CASE(name) cmocka_unit_test_setup_teardown (name, open_with_recorder, bench_close)

static void an_event_is_numbered_stamped_and_published (void **state)
{
    bench_t *self = *state;
    publish (self, 'a', "model_install_running", "17", 41);
    const stamp_t *stamp = expect_published (self, "model_install_running/17/");
    assert_true (yard_string_is (stamp->epoch, EPOCH));
    assert_int_equal (stamp->number, 2);
    assert_int_equal (stamp->previous, 0);
    assert_int_equal (stamp->change, 41);
    assert_true (yard_string_is (stamp->store, "s1"));
    assert_true (yard_string_is (stamp->from, "recorder"));
    assert_true (yard_string_is (stamp->subject, "17"));
    assert_int_equal ((int) stamp->time, 5);
    assert_true (yard_string_is (self->sent [self->read - 1].frames [2], "\x80"));
    const event_publish_answer_t *taken = expect_taken (self, 'a');
    assert_int_equal (taken->number, 2);
    assert_int_equal (taken->change, 41);
}

static void previous_names_the_last_event_of_the_same_name (void **state)
{
    bench_t *self = *state;
    publish (self, 'a', "one", "1", 0);
    publish (self, 'a', "other", "", 0);
    publish (self, 'a', "one", "2", 0);
    assert_int_equal (expect_published (self, "one/1/")->previous, 0);
    expect_taken (self, 'a');
    assert_int_equal (expect_published (self, "other/")->previous, 0);
    expect_taken (self, 'a');
    assert_int_equal (expect_published (self, "one/2/")->previous, 2);
}

static void a_subscriber_that_lost_an_event_sees_the_gap (void **state)
{
    bench_t *self = *state;
    tell (self, "one", "");
    const uint64_t seen = 2;
    tell (self, "one", ""); /* lost on the way */
    publish (self, 'a', "one", "", 0);
    const stamp_t *stamp = expect_published (self, "one/");
    assert_int_not_equal (stamp->previous, seen);
    assert_int_equal (stamp->previous, 3);
}

static void a_change_that_was_seen_is_dropped (void **state)
{
    bench_t *self = *state;
    publish (self, 'a', "one", "", 7);
    expect_published (self, "one/");
    expect_taken (self, 'a');
    publish (self, 'a', "one", "", 7);
    publish (self, 'a', "one", "", 6);
    assert_int_equal (expect_taken (self, 'a')->change, 7);
    assert_int_equal (expect_taken (self, 'a')->number, 2);
    publish (self, 'a', "one", "", 8);
    expect_published (self, "one/");
    say (self, 'a', "YARD1Ap", "event.publish", event_publish_ask_type (),
         "{\"store\":\"s2\",\"events\":[{\"name\":\"one\",\"subject\":\"\",\"body\":\"gA==\",\"time\":5,"
         "\"change\":7}]}");
    expect_taken (self, 'a');
    assert_int_equal (expect_published (self, "one/")->change, 7); /* another store counts for itself */
}

static void the_brokers_names_and_crooked_names_are_refused_whole (void **state)
{
    bench_t *self = *state;
    publish (self, 'a', "yard_beat", "", 0);
    expect_fail (self, 'a', "p", "event.publish", "forbidden");
    publish (self, 'a', "actor_lost", "recorder", 0);
    expect_fail (self, 'a', "p", "event.publish", "forbidden");
    publish (self, 'a', "a/b", "", 0);
    expect_fail (self, 'a', "p", "event.publish", "invalid_message");
    say (self, 'a', "YARD1Ap", "event.publish", event_publish_ask_type (),
         "{\"events\":[{\"name\":\"one\",\"subject\":\"\",\"body\":\"gA==\",\"time\":5},"
         "{\"name\":\"TWO\",\"subject\":\"\",\"body\":\"gA==\",\"time\":5}]}");
    expect_fail (self, 'a', "p", "event.publish", "invalid_message");
    expect_nothing (self);
}

static void more_names_than_the_limit_are_too_large (void **state)
{
    bench_t *self = *state;
    for (int i = 0; i < 253; i++)
        tell (self, yard_arena_printf (self->arena, "name_%d", i), "");
    publish (self, 'a', "name_253", "", 0);
    expect_fail (self, 'a', "p", "event.publish", "too_large");
    publish (self, 'a', "name_7", "", 0);
    expect_published (self, "name_7/");
    expect_taken (self, 'a');
    say_hello (self, 'b', 'b', "other", "");
    expect (self, 'b', 'W', NULL, NULL);
    expect_published (self, "actor_joined/other/"); /* the broker's own still fit */
}

static void the_beat_carries_the_last_number_of_each_name_each_second (void **state)
{
    bench_t *self = *state;
    tell (self, "one", "");
    size_t beats = 0;
    const sent_t *last = NULL;
    for (int i = 0; i < 21; i++) {
        pass (self, 100);
        pong (self, 'a');
    }
    for (size_t i = self->read; i < self->sent_count; i++)
        if (!self->sent [i].to && yard_string_is (self->sent [i].frames [0], "yard_beat/")) {
            last = &self->sent [i];
            beats++;
        }
    assert_int_equal (beats, 3);
    const beat_t *beat = read_as (self, beat_type (), last->frames [2]);
    assert_int_equal (beat->number, 2);
    assert_int_equal (beat->last.count, 2);
    assert_true (yard_string_is (beat->last.items [1].name, "one"));
    assert_int_equal (beat->last.items [1].number, 2);
    const stamp_t *stamp = read_as (self, stamp_type (), last->frames [1]);
    assert_int_equal (stamp->number, 2);
}

static void a_follow_says_where_it_starts_and_sends_what_fits (void **state)
{
    bench_t *self = *state;
    join (self, 'f', 'f', "client/f", "");
    follow (self, 'f', "YARD1Ax", "{\"prefixes\":[\"model_\",\"job\"],\"subject\":\"17\"}");
    const event_follow_answer_t *start = read_as (
        self, event_follow_answer_type (), expect (self, 'f', 'R', "x", "event.follow")->envelope.body);
    assert_true (yard_string_is (start->epoch, EPOCH));
    assert_int_equal (start->number, 2);
    tell (self, "model_a", "17");
    tell (self, "model_a", "18");
    tell (self, "other", "17");
    tell (self, "job_b", "17");
    pass (self, 0);
    const sent_t *sent = expect (self, 'f', 'E', "x", "model_a/17/");
    assert_true (yard_string_is (sent->envelope.body, "\x80"));
    assert_int_equal (((stamp_t *) read_as (self, stamp_type (), sent->envelope.meta))->number, 3);
    assert_int_equal (expect_event (self, 'f', "x", "job_b/17/")->number, 6);
    expect_nothing (self);
}

static void a_follow_goes_on_behind_a_number_of_this_epoch (void **state)
{
    bench_t *self = *state;
    join (self, 'f', 'f', "client/f", "");
    for (int i = 0; i < 3; i++)
        tell (self, "one", "");
    follow (self, 'f', "YARD1Ax", "{\"prefixes\":[\"\"],\"after\":3,\"epoch\":\"" EPOCH "\"}");
    expect (self, 'f', 'R', "x", NULL);
    pass (self, 0);
    assert_int_equal (expect_event (self, 'f', "x", "one/")->number, 4);
    assert_int_equal (expect_event (self, 'f', "x", "one/")->number, 5);
    expect_nothing (self);
    follow (self, 'f', "YARD1Ay", "{\"prefixes\":[\"\"],\"after\":3,\"epoch\":\"ffffffffffffffff\"}");
    expect_fail (self, 'f', "y", "event.follow", "too_old");
    follow (self, 'f', "YARD1Ay", "{\"prefixes\":[\"\"],\"after\":6}");
    expect_fail (self, 'f', "y", "event.follow", "too_old");
}

static void live_and_replayed_events_are_the_same_bytes (void **state)
{
    bench_t *self = *state;
    join (self, 'f', 'f', "client/f", "");
    follow (self, 'f', "YARD1Ax", "{\"prefixes\":[\"\"]}");
    publish (self, 'a', "one", "5", 9);
    forget_all (self);
    pass (self, 0);
    const sent_t *live = expect (self, 'f', 'E', "x", NULL);
    follow (self, 'f', "YARD1Ay", "{\"prefixes\":[\"\"],\"after\":2}");
    expect (self, 'f', 'R', "y", NULL);
    pass (self, 0);
    const sent_t *again = expect (self, 'f', 'E', "y", NULL);
    for (size_t i = 1; i < 4; i++)
        assert_true (yard_string_equal (live->frames [i], again->frames [i]));
}

static void events_wait_for_credit (void **state)
{
    bench_t *self = *state;
    join (self, 'f', 'f', "client/f", "");
    follow (self, 'f', "YARD1Ax", "{\"prefixes\":[\"\"],\"credit\":2}");
    for (int i = 0; i < 5; i++)
        tell (self, "one", "");
    pass (self, 0);
    assert_int_equal (expect_event (self, 'f', "x", NULL)->number, 3);
    assert_int_equal (expect_event (self, 'f', "x", NULL)->number, 4);
    expect_nothing (self);
    say (self, 'f', "YARD1Cx", "", credit_type (), "{\"more\":1}");
    say (self, 'f', "YARD1Cunknown", "", credit_type (), "{\"more\":1}");
    pass (self, 0);
    assert_int_equal (expect_event (self, 'f', "x", NULL)->number, 5);
    expect_nothing (self);
}

static void a_full_connection_is_no_loss_for_a_follower (void **state)
{
    bench_t *self = *state;
    join (self, 'f', 'f', "client/f", "");
    follow (self, 'f', "YARD1Ax", "{\"prefixes\":[\"\"]}");
    forget_all (self);
    self->refuses ['f'] = YARD_BUSY;
    for (int i = 0; i < 3; i++)
        tell (self, "one", "");
    pass (self, 0);
    expect_nothing (self);
    assert_in_range (broker_router_wait_ms (self->router, self->now_ms), 1, 100);
    self->refuses ['f'] = 0;
    pass (self, 100);
    for (uint64_t number = 3; number < 6; number++)
        assert_int_equal (expect_event (self, 'f', "x", "one/")->number, number);
    expect_nothing (self);
}

static void a_cursor_that_fell_out_of_the_log_gets_too_old (void **state)
{
    bench_t *self = *state;
    /* bench_open made no router before join, so the log has its default: fill it past 65,536. */
    join (self, 'f', 'f', "client/f", "");
    follow (self, 'f', "YARD1Ax", "{\"prefixes\":[\"\"],\"credit\":1}");
    forget_all (self);
    char list [8192] = "{\"events\":[";
    size_t size = strlen (list);
    for (int i = 0; i < 100; i++)
        size += (size_t) snprintf (list + size, sizeof list - size,
                                   "%s{\"name\":\"one\",\"subject\":\"\",\"body\":\"gA==\",\"time\":5}",
                                   i ? "," : "");
    snprintf (list + size, sizeof list - size, "]}");
    yard_string_t frames [] = { yard_string ("YARD1Ap"), yard_string ("event.publish"),
                                pack (self, event_publish_ask_type (), list) };
    for (int i = 0; i < 656; i++) {
        say_frames (self, 'a', frames, 3);
        self->sent_count = self->read; /* the record is short */
    }
    pass (self, 0);
    expect_fail (self, 'f', "x", "event.follow", "too_old");
    expect_nothing (self);
    tell (self, "one", "");
    pass (self, 0);
    expect_nothing (self); /* it has ended */
    follow (self, 'f', "YARD1Ax", "{\"prefixes\":[\"\"],\"after\":2}");
    expect_fail (self, 'f', "x", "event.follow", "too_old");
}

static void a_follow_without_a_hello_is_refused_hello_first (void **state)
{
    bench_t *self = *state;
    follow (self, 'z', "YARD1Ax", "{\"prefixes\":[\"\"]}");
    expect_fail (self, 'z', "x", "event.follow", "hello_first");
}

static void a_withdrawn_follow_is_silent_and_its_id_free_again (void **state)
{
    bench_t *self = *state;
    join (self, 'f', 'f', "client/f", "");
    follow (self, 'f', "YARD1Ax", "{\"prefixes\":[\"\"]}");
    expect (self, 'f', 'R', "x", NULL);
    follow (self, 'f', "YARD1Ax", "{\"prefixes\":[\"\"]}");
    expect_fail (self, 'f', "x", "event.follow", "conflict");
    say_texts (self, 'f', "YARD1Bx", NULL);
    tell (self, "one", "");
    pass (self, 0);
    expect_nothing (self);
    follow (self, 'f', "YARD1Ax", "{\"prefixes\":[\"\"]}");
    expect (self, 'f', 'R', "x", NULL);
}

static void a_follow_of_a_connection_that_moved_is_gone_and_its_id_free (void **state)
{
    bench_t *self = *state;
    join (self, 'z', 'd', "client/z", "");
    follow (self, 'z', "YARD1Af", "{\"prefixes\":[\"\"]}");
    expect (self, 'z', 'R', "f", NULL);
    say_hello (self, 'y', 'd', "client/z", "");
    expect (self, 'y', 'W', "", "");
    expect_fail (self, 'y', "f", "event.follow", "gone");
    tell (self, "download_done", "1");
    pass (self, 0);
    expect_nothing (self);
    follow (self, 'y', "YARD1Af", "{\"prefixes\":[\"\"]}");
    expect (self, 'y', 'R', "f", NULL);
}

static void too_many_follows_of_one_peer_are_busy (void **state)
{
    bench_t *self = *state;
    join (self, 'f', 'f', "client/f", "");
    for (int i = 0; i < 64; i++) {
        follow (self, 'f', yard_arena_printf (self->arena, "YARD1A%d", i), "{\"prefixes\":[\"\"]}");
        expect (self, 'f', 'R', NULL, NULL);
    }
    follow (self, 'f', "YARD1Ax", "{\"prefixes\":[\"\"]}");
    expect_fail (self, 'f', "x", "event.follow", "busy");
}

static void a_lost_follower_leaves_the_others_their_events (void **state)
{
    bench_t *self = *state;
    join (self, 'f', 'f', "client/f", "");
    join (self, 'g', 'd', "client/g", "");
    follow (self, 'f', "YARD1Ax", "{\"prefixes\":[\"one\"]}");
    follow (self, 'g', "YARD1Ay", "{\"prefixes\":[\"one\"]}");
    tell (self, "one", "");
    self->refuses ['f'] = YARD_GONE;
    pass (self, 0);
    expect_published (self, "actor_lost/client/f/");
    expect_event (self, 'g', "y", "one/");
    expect_nothing (self);
}

int main (void)
{
    const struct CMUnitTest cases [] = {
        EVENT_CASE (an_event_is_numbered_stamped_and_published),
        EVENT_CASE (previous_names_the_last_event_of_the_same_name),
        EVENT_CASE (a_subscriber_that_lost_an_event_sees_the_gap),
        EVENT_CASE (a_change_that_was_seen_is_dropped),
        EVENT_CASE (the_brokers_names_and_crooked_names_are_refused_whole),
        EVENT_CASE (more_names_than_the_limit_are_too_large),
        EVENT_CASE (the_beat_carries_the_last_number_of_each_name_each_second),
        EVENT_CASE (a_follow_says_where_it_starts_and_sends_what_fits),
        EVENT_CASE (a_follow_goes_on_behind_a_number_of_this_epoch),
        EVENT_CASE (live_and_replayed_events_are_the_same_bytes),
        EVENT_CASE (events_wait_for_credit),
        EVENT_CASE (a_full_connection_is_no_loss_for_a_follower),
        EVENT_CASE (a_cursor_that_fell_out_of_the_log_gets_too_old),
        EVENT_CASE (a_follow_without_a_hello_is_refused_hello_first),
        EVENT_CASE (a_withdrawn_follow_is_silent_and_its_id_free_again),
        EVENT_CASE (a_follow_of_a_connection_that_moved_is_gone_and_its_id_free),
        EVENT_CASE (too_many_follows_of_one_peer_are_busy),
        EVENT_CASE (a_lost_follower_leaves_the_others_their_events),
    };
    return cmocka_run_group_tests (cases, NULL, NULL);
}
