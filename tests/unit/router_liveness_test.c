// SPDX-License-Identifier: Apache-2.0
/*  router_liveness_test.c - pings, suspicion, grace, and the sweep
 */
#include "router_cases.h"

static void a_lost_server_is_gone_to_its_askers_and_an_event (void **state)
{
    bench_t *self = *state;
    join (self, 'a', 'a', "recorder", SINGLE ("job.get"));
    ask (self, 'z', "YARD1A1", "job.get");
    forget_all (self);
    self->refuses ['a'] = YARD_GONE;
    pass (self, 500); /* the ping finds it */
    expect_fail (self, 'z', "1", "job.get", "gone");
    expect_published (self, "actor_lost/recorder/");
    self->refuses ['a'] = 0;
    say_hello (self, 'a', 'a', "recorder", "");
    expect_fail (self, 'a', "", "", "gone");
    ask (self, 'z', "YARD1A2", "job.get");
    expect_fail (self, 'z', "2", "job.get", "not_served");
}

static void the_sweep_says_gone_then_bye_then_tells_the_yard (void **state)
{
    bench_t *self = *state;
    join (self, 'a', 'a', "recorder", SINGLE ("job.get"));
    join (self, 'b', 'b', "installer", SINGLE ("install.list"));
    ask (self, 'b', "YARD1A1", "job.get"); /* answered: the recorder may still hold something for it */
    answer (self, 'a', 'R', expect (self, 'a', 'A', NULL, NULL), "");
    ask (self, 'z', "YARD1A2", "install.list");
    forget_all (self);
    say_texts (self, 'b', "YARD1B", NULL);
    expect_fail (self, 'z', "2", "install.list", "gone");
    const sent_t *sent = expect (self, 'a', 'B', "", "");
    const bye_t *bye = read_as (self, bye_type (), sent->envelope.body);
    assert_true (yard_string_is (bye->client, "c2"));
    expect_published (self, "actor_lost/installer/");
    expect_nothing (self);
}

static void a_bye_that_its_server_cannot_take_is_said_later (void **state)
{
    bench_t *self = *state;
    join (self, 'a', 'a', "recorder", SINGLE ("job.get"));
    join (self, 'z', 'd', "client/z", "");
    ask (self, 'z', "YARD1A1", "job.get");
    forget_all (self);
    self->refuses ['a'] = YARD_BUSY;
    say_texts (self, 'z', "YARD1B", NULL);
    expect_published (self, "actor_lost/client/z/");
    expect_nothing (self);
    self->refuses ['a'] = 0;
    pass (self, 500);
    expect (self, 'a', 'B', "", "");
    expect_nothing (self);
}

static void a_silent_peer_is_lost_after_five_seconds_with_one_ping_open (void **state)
{
    bench_t *self = *state;
    self->keep_pings = true;
    say_hello (self, 'a', 'a', "recorder", "");
    forget_all (self);
    pass (self, 0);
    expect (self, 'a', 'P', "", "");
    pong (self, 'a');
    pass (self, 500);
    expect (self, 'a', 'P', "", "");
    for (int i = 0; i < 9; i++) {
        pass (self, 500);
        expect_nothing (self);
    }
    pass (self, 500);
    expect_published (self, "actor_lost/recorder/");
}

static void a_late_tick_does_not_blame_who_was_not_pinged (void **state)
{
    bench_t *self = *state;
    join (self, 'a', 'a', "recorder", "");
    pass (self, 0);
    pong (self, 'a');
    pass (self, 60000);
    expect_nothing (self);
    pong (self, 'a');
    pass (self, 500);
    expect_nothing (self);
}

static void an_unread_mailbox_holds_the_sweep_up (void **state)
{
    bench_t *self = *state;
    join (self, 'a', 'a', "recorder", SINGLE ("job.get"));
    ask (self, 'z', "YARD1A1", "job.get");
    const sent_t *asked = expect (self, 'a', 'A', NULL, NULL);
    self->refuses ['a'] = YARD_GONE;
    self->now_ms += 500;
    broker_router_tick (self->router, self->now_ms, false);
    expect_nothing (self);
    assert_int_equal (broker_router_wait_ms (self->router, self->now_ms), 0);
    answer (self, 'a', 'R', asked, "its last word");
    expect (self, 'z', 'R', "1", NULL);
    pass (self, 1);
    expect_published (self, "actor_lost/recorder/");
    expect_nothing (self);
}

static void over_tcp_a_broken_instance_may_come_back_on_another_connection (void **state)
{
    bench_t *self = *state;
    self->distant = true;
    join (self, 'a', 'a', "downloader/1", POOL ("metadata.get"));
    join (self, 'b', 'b', "recorder", SINGLE ("job.lease"));
    ask (self, 'a', "YARD1A1", "job.lease");
    const sent_t *lease = expect (self, 'b', 'A', NULL, NULL);
    ask (self, 'z', "YARD1A2", "metadata.get");
    const sent_t *asked = expect (self, 'a', 'A', NULL, NULL);
    self->refuses ['a'] = YARD_GONE;
    pass (self, 500);
    pass (self, 500);
    pong (self, 'b');
    expect_nothing (self); /* in its grace */
    say_hello (self, 'n', 'a', "downloader/1", POOL ("metadata.get"));
    const welcome_t *welcome =
        read_as (self, welcome_type (), expect (self, 'n', 'W', "", "")->envelope.body);
    assert_true (welcome->moved);
    const sent_t *bye = expect (self, 'n', 'B', NULL, NULL); /* what it was asked */
    assert_true (yard_string_equal (bye->envelope.id, asked->envelope.id));
    expect_fail (self, 'z', "2", "metadata.get", "gone");
    bye = expect (self, 'b', 'B', NULL, NULL); /* what it asked */
    assert_true (yard_string_equal (bye->envelope.id, lease->envelope.id));
    expect_fail (self, 'n', "1", "job.lease", "gone");
    expect_nothing (self);
    answer (self, 'n', 'R', asked, "too late");
    answer (self, 'b', 'R', lease, "too late");
    expect_nothing (self);
    ask (self, 'z', "YARD1A3", "metadata.get");
    expect (self, 'n', 'A', NULL, NULL);
    ask (self, 'n', "YARD1A4", "job.lease");
    const sent_t *again = expect (self, 'b', 'A', NULL, NULL);
    const from_t *from = read_as (self, from_type (), again->envelope.from);
    assert_true (yard_string_is (from->client, "c1")); /* what the recorder holds for it is still its own */
}

static void what_the_new_connection_asked_before_its_hello_ends_too (void **state)
{
    bench_t *self = *state;
    join (self, 'b', 'b', "recorder", SINGLE ("job.lease"));
    join (self, 'a', 'a', "downloader/1", "");
    ask (self, 'n', "YARD1A1", "job.lease");
    forget_all (self);
    say_hello (self, 'n', 'a', "downloader/1", "");
    expect (self, 'b', 'B', NULL, NULL);
    expect_fail (self, 'n', "1", "job.lease", "gone");
    expect (self, 'n', 'W', "", "");
    expect_nothing (self);
}

static void a_ping_that_was_not_taken_is_said_again_and_one_that_is_open_is_not (void **state)
{
    bench_t *self = *state;
    self->keep_pings = true;
    say_hello (self, 'a', 'a', "recorder", "");
    forget_all (self);
    self->refuses ['a'] = YARD_BUSY; /* its queue is full for a second */
    pass (self, 0);
    pass (self, 500);
    expect_nothing (self);
    self->refuses ['a'] = 0;
    pass (self, 500);
    expect (self, 'a', 'P', "", "");
    pass (self, 500);
    expect_nothing (self);
    pong (self, 'a');
    pass (self, 500);
    expect (self, 'a', 'P', "", "");
    for (int i = 0; i < 9; i++)
        pass (self, 500);
    expect_nothing (self);
}

static void a_peer_that_takes_no_ping_for_five_seconds_is_lost (void **state)
{
    bench_t *self = *state;
    join (self, 'a', 'a', "recorder", "");
    self->refuses ['a'] = YARD_BUSY;
    pass (self, 0);
    for (int i = 0; i < 9; i++)
        pass (self, 500);
    expect_nothing (self);
    pass (self, 500);
    expect_published (self, "actor_lost/recorder/");
}

static void who_took_an_ask_before_the_askers_hello_is_told_of_its_end (void **state)
{
    bench_t *self = *state;
    join (self, 'b', 'b', "recorder", SINGLE ("job.lease"));
    ask (self, 'z', "YARD1A1", "job.lease");
    say_hello (self, 'z', 'd', "client/z", "");
    forget_all (self);
    say_texts (self, 'z', "YARD1B", NULL);
    const bye_t *bye = read_as (self, bye_type (), expect (self, 'b', 'B', "", "")->envelope.body);
    assert_true (yard_string_is (bye->client, "c2"));
    expect_published (self, "actor_lost/client/z/");
}

static void over_tcp_the_grace_ends_after_ten_seconds (void **state)
{
    bench_t *self = *state;
    self->distant = true;
    join (self, 'a', 'a', "recorder", SINGLE ("job.get"));
    self->refuses ['a'] = YARD_GONE;
    pass (self, 500);
    pass (self, 9999);
    expect_nothing (self);
    pass (self, 500);
    expect_published (self, "actor_lost/recorder/");
}

/*  A server that others flood has no room for the answers to its own asks, and lives. */
static void answers_that_a_full_connection_cannot_take_come_later_and_in_order (void **state)
{
    bench_t *self = *state;
    join (self, 'a', 'a', "recorder", SINGLE ("job.get"));
    join (self, 'z', 'd', "client/z", SINGLE ("probe.path"));
    ask (self, 'z', "YARD1A1", "job.get");
    const sent_t *first = expect (self, 'a', 'A', NULL, NULL);
    ask (self, 'z', "YARD1A2", "job.get");
    const sent_t *second = expect (self, 'a', 'A', NULL, NULL);
    self->refuses ['z'] = YARD_BUSY;
    answer (self, 'a', 'R', first, "one");
    self->refuses ['z'] = 0;
    answer (self, 'a', 'R', second, "two"); /* there is room now, but not before the first */
    expect_nothing (self);
    ask (self, 'y', "YARD1A3", "probe.path"); /* an ask may be refused, so it waits for nobody */
    expect_fail (self, 'y', "3", "probe.path", "busy");
    pass (self, 10);
    expect (self, 'z', 'R', "1", NULL);
    expect (self, 'z', 'R', "2", NULL);
    ask (self, 'y', "YARD1A4", "probe.path");
    expect (self, 'z', 'A', NULL, NULL);
    expect_nothing (self);
}

static void an_asker_that_does_not_read_for_five_seconds_has_vanished (void **state)
{
    bench_t *self = *state;
    join (self, 'a', 'a', "recorder", SINGLE ("job.get"));
    join (self, 'z', 'd', "client/z", "");
    ask (self, 'z', "YARD1A1", "job.get");
    const sent_t *asked = expect (self, 'a', 'A', NULL, NULL);
    self->refuses ['z'] = YARD_BUSY;
    answer (self, 'a', 'R', asked, "");
    for (int i = 0; i < 11; i++) {
        expect_nothing (self);
        pass (self, 500);
        pong (self, 'a');
    }
    expect (self, 'a', 'B', "", "");
    expect_published (self, "actor_lost/client/z/");
}

static void an_asker_is_owed_eight_mebibytes_and_no_more (void **state)
{
    bench_t *self = *state;
    join (self, 'a', 'a', "recorder", SINGLE ("job.get"));
    join (self, 'z', 'd', "client/z", "");
    static char large [1000 * 1000];
    memset (large, 'x', sizeof large - 1);
    self->refuses ['z'] = YARD_BUSY;
    for (int i = 0; i < 10; i++) {
        ask (self, 'z', "YARD1A1", "job.get");
        answer (self, 'a', 'R', expect (self, 'a', 'A', NULL, NULL), large);
        if (i < 8)
            expect_nothing (self);
    }
    pass (self, 0);
    expect (self, 'a', 'B', "", "");
    expect_published (self, "actor_lost/client/z/");
}

static void strangers_are_forgotten_and_guests_are_not (void **state)
{
    bench_t *self = *state;
    join (self, 'a', 'a', "recorder", SINGLE ("job.get"));
    ask (self, 'z', "YARD1A1", "job.get");
    const sent_t *asked = expect (self, 'a', 'A', NULL, NULL);
    for (int i = 0; i < 70; i++) {
        pass (self, 1000);
        pong (self, 'a');
    }
    answer (self, 'a', 'R', asked, "late"); /* something was open: it was kept */
    expect (self, 'z', 'R', "1", NULL);
    for (int i = 0; i < 70; i++) {
        pass (self, 1000);
        pong (self, 'a');
    }
    ask (self, 'z', "YARD1A2", "job.get");
    const from_t *from = read_as (self, from_type (), expect (self, 'a', 'A', NULL, NULL)->envelope.from);
    assert_true (yard_string_is (from->client, "c3"));
}

static void a_dead_holder_makes_room_for_a_new_hello_at_once (void **state)
{
    bench_t *self = *state;
    join (self, 'a', 'a', "recorder", SINGLE ("job.get"));
    self->refuses ['a'] = YARD_GONE;
    say_hello (self, 'b', 'b', "recorder", SINGLE ("job.get"));
    expect_published (self, "actor_lost/recorder/");
    expect (self, 'b', 'W', "", "");
}

int main (void)
{
    const struct CMUnitTest cases [] = {
        CASE (a_lost_server_is_gone_to_its_askers_and_an_event),
        CASE (the_sweep_says_gone_then_bye_then_tells_the_yard),
        CASE (a_bye_that_its_server_cannot_take_is_said_later),
        CASE (a_silent_peer_is_lost_after_five_seconds_with_one_ping_open),
        CASE (a_late_tick_does_not_blame_who_was_not_pinged),
        CASE (an_unread_mailbox_holds_the_sweep_up),
        CASE (over_tcp_a_broken_instance_may_come_back_on_another_connection),
        CASE (what_the_new_connection_asked_before_its_hello_ends_too),
        CASE (a_ping_that_was_not_taken_is_said_again_and_one_that_is_open_is_not),
        CASE (a_peer_that_takes_no_ping_for_five_seconds_is_lost),
        CASE (who_took_an_ask_before_the_askers_hello_is_told_of_its_end),
        CASE (over_tcp_the_grace_ends_after_ten_seconds),
        CASE (answers_that_a_full_connection_cannot_take_come_later_and_in_order),
        CASE (an_asker_that_does_not_read_for_five_seconds_has_vanished),
        CASE (an_asker_is_owed_eight_mebibytes_and_no_more),
        CASE (strangers_are_forgotten_and_guests_are_not),
        CASE (a_dead_holder_makes_room_for_a_new_hello_at_once),
    };
    return cmocka_run_group_tests (cases, NULL, NULL);
}
