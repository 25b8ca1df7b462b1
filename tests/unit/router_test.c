// SPDX-License-Identifier: Apache-2.0
/*  router_test.c - hello, asks and answers, places and pools, what the broker says of itself
 */
#include "router_cases.h"

static void a_hello_is_welcomed_with_the_epoch (void **state)
{
    bench_t *self = *state;
    say_hello (self, 'a', 'a', "recorder", SINGLE ("job.get"));
    const sent_t *sent = expect (self, 'a', 'W', "", "");
    const welcome_t *welcome = read_as (self, welcome_type (), sent->envelope.body);
    assert_true (yard_string_is (welcome->epoch, EPOCH));
    assert_int_equal (welcome->number, 0);
    assert_int_equal (welcome->protocol, 1);
    assert_int_equal (welcome->ping_ms, 500);
    expect_published (self, "actor_joined/recorder/");
    expect_nothing (self);
}

static void a_second_hello_of_a_live_instance_changes_nothing (void **state)
{
    bench_t *self = *state;
    join (self, 'a', 'a', "recorder", SINGLE ("job.get"));
    say_hello (self, 'a', 'a', "recorder", SINGLE ("job.get"));
    expect (self, 'a', 'W', "", "");
    expect_nothing (self);
    ask (self, 'z', "YARD1A1", "job.get");
    expect (self, 'a', 'A', NULL, "job.get");
    expect_nothing (self);
}

static void a_held_place_and_a_held_single_method_are_taken (void **state)
{
    bench_t *self = *state;
    join (self, 'a', 'a', "recorder", SINGLE ("job.get"));
    say_hello (self, 'b', 'b', "recorder", "");
    expect_fail (self, 'b', "", "", "taken");
    say_hello (self, 'b', 'b', "other", SINGLE ("job.get"));
    expect_fail (self, 'b', "", "", "taken");
    say_hello (self, 'b', 'b', "other", POOL ("job.get"));
    expect_fail (self, 'b', "", "", "taken");
    say_hello (self, 'b', 'b', "other", SINGLE ("yard.ping"));
    expect_fail (self, 'b', "", "", "taken");
    join (self, 'b', 'b', "other", SINGLE ("job.list"));
    say_hello (self, 'b', 'c', "third", "");
    expect_fail (self, 'b', "", "", "taken");
    say_hello (self, 'b', 'a', "recorder", "");
    expect_fail (self, 'b', "", "", "taken"); /* one connection, one instance */
    expect_nothing (self);
}

static void a_refused_hello_enters_none_of_its_methods (void **state)
{
    bench_t *self = *state;
    join (self, 'a', 'a', "recorder", SINGLE ("job.get"));
    say_hello (self, 'b', 'b', "other", SINGLE ("install.list") "," SINGLE ("job.get"));
    expect_fail (self, 'b', "", "", "taken");
    ask (self, 'z', "YARD1A1", "install.list");
    expect_fail (self, 'z', "1", "install.list", "not_served");
}

/*  Runs what logs, and counts the lines that it wrote. */
static size_t lines_of_refusals (bench_t *self, size_t count)
{
    char path [] = "/tmp/yard-router-XXXXXX", text [65536];
    int file = mkstemp (path), before = dup (STDERR_FILENO);
    assert_true (file >= 0 && before >= 0);
    unlink (path);
    dup2 (file, STDERR_FILENO);
    for (size_t i = 0; i < count; i++)
        say_texts (self, 'b', "YARD1H", "", "no hello", NULL);
    dup2 (before, STDERR_FILENO);
    close (before);
    ssize_t size = pread (file, text, sizeof text, 0);
    close (file);
    size_t lines = 0;
    for (ssize_t i = 0; i < size; i++)
        lines += text [i] == '\n';
    return lines;
}

static void refused_hellos_do_not_fill_the_log (void **state)
{
    bench_t *self = *state;
    assert_int_equal (lines_of_refusals (self, 1000), 20);
    self->now_ms += 60000;
    assert_int_equal (lines_of_refusals (self, 1), 2); /* and how many were not said */
    assert_int_equal (lines_of_refusals (self, 5), 5);
    for (size_t i = 0; i < 1006; i++)
        expect_fail (self, 'b', "", "", "invalid_message");
    expect_nothing (self);
}

static void another_protocol_and_a_crooked_hello_are_refused (void **state)
{
    bench_t *self = *state;
    say (self, 'a', "YARD1H", "", hello_type (),
         "{\"actor\":\"x\",\"place\":\"x\",\"instance\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"node\":\"b\","
         "\"methods\":[],"
         "\"protocol\":2}");
    expect_fail (self, 'a', "", "", "bad_frame");
    say_hello (self, 'a', 'x', "recorder", "");
    expect_fail (self, 'a', "", "", "bad_frame");
    say_hello (self, 'a', 'a', "recorder", SINGLE ("nodot"));
    expect_fail (self, 'a', "", "", "invalid_message");
    say_texts (self, 'a', "YARD1H", "", "\xc1", NULL);
    expect_fail (self, 'a', "", "", "invalid_message");
}

static void an_ask_reaches_its_server_with_a_number_and_from (void **state)
{
    bench_t *self = *state;
    join (self, 'a', 'a', "recorder", SINGLE ("job.get"));
    ask_with_meta (self, 'z', "YARD1Aid7", "job.get", "{\"deadline_ms\":50}");
    const sent_t *asked = expect (self, 'a', 'A', NULL, "job.get");
    assert_int_equal (asked->envelope.id.size, 8);
    assert_true (yard_string_is (asked->envelope.body, "body"));
    const meta_t *meta = read_as (self, meta_type (), asked->envelope.meta);
    assert_int_equal (meta->deadline_ms, 50);
    const from_t *from = read_as (self, from_type (), asked->envelope.from);
    assert_true (yard_string_is (from->client, "c2"));
    assert_true (yard_string_is (from->user, "local"));
    assert_int_equal (from->roles.count, 4);
    assert_false (from->hello);
    answer (self, 'a', 'R', asked, "answer");
    const sent_t *sent = expect (self, 'z', 'R', "id7", "job.get");
    assert_true (yard_string_is (sent->envelope.body, "answer"));
    expect_nothing (self);
}

static void a_failure_of_the_server_passes_unopened (void **state)
{
    bench_t *self = *state;
    join (self, 'a', 'a', "recorder", SINGLE ("job.get"));
    join (self, 'z', 'd', "client/z", "");
    ask_with_meta (self, 'z', "YARD1A1", "job.get", "{\"epoch\":\"" EPOCH "\"}");
    const sent_t *asked = expect (self, 'a', 'A', NULL, "job.get");
    assert_true (((from_t *) read_as (self, from_type (), asked->envelope.from))->hello);
    answer (self, 'a', 'F', asked, "whatever");
    const sent_t *sent = expect (self, 'z', 'F', "1", "job.get");
    assert_true (yard_string_is (sent->envelope.body, "whatever"));
}

/* R9.2: the first of them is what a plain REQ socket puts there. */
static void frames_before_the_head_are_echoed (void **state)
{
    bench_t *self = *state;
    join (self, 'a', 'a', "recorder", SINGLE ("job.get"));
    say_texts (self, 'z', "one", "two", "three", "", "YARD1A1", "job.get", "body", NULL);
    const sent_t *asked = expect (self, 'a', 'A', NULL, "job.get");
    assert_int_equal (asked->envelope.prefix_count, 0);
    answer (self, 'a', 'R', asked, "answer");
    const sent_t *sent = expect (self, 'z', 'R', "1", "job.get");
    assert_int_equal (sent->envelope.prefix_count, 4);
    assert_true (yard_string_is (sent->frames [0], "one"));
    assert_true (yard_string_is (sent->frames [2], "three"));
    assert_true (yard_string_is (sent->frames [3], ""));
    say_texts (self, 'z', "", "YARD1A2", "no.such", "body", NULL);
    expect_fail (self, 'z', "2", "no.such", "unknown_method");
    assert_int_equal (self->sent [self->read - 1].envelope.prefix_count, 1);
    say_texts (self, 'z', "", "garbage", NULL);
    expect_fail (self, 'z', "", "", "bad_frame");
    assert_int_equal (self->sent [self->read - 1].envelope.prefix_count, 1);
    char large [1100] = { 0 };
    memset (large, 'x', sizeof large - 1);
    say_texts (self, 'z', large, "YARD1A3", "job.get", "body", NULL);
    expect_fail (self, 'z', "3", "job.get", "too_large");
}

static void an_answer_from_another_connection_is_ignored (void **state)
{
    bench_t *self = *state;
    join (self, 'a', 'a', "recorder", SINGLE ("job.get"));
    join (self, 'b', 'b', "other", SINGLE ("job.list"));
    ask (self, 'z', "YARD1A1", "job.get");
    const sent_t *asked = expect (self, 'a', 'A', NULL, NULL);
    answer (self, 'b', 'R', asked, "forged");
    expect_nothing (self);
    answer (self, 'y', 'R', asked, "forged");
    expect_fail (self, 'y', "", "", "hello_first");
    answer (self, 'a', 'R', asked, "true");
    expect (self, 'z', 'R', "1", NULL);
    answer (self, 'a', 'R', asked, "twice");
    expect_nothing (self);
}

static void a_forged_from_is_refused (void **state)
{
    bench_t *self = *state;
    join (self, 'a', 'a', "recorder", SINGLE ("job.get"));
    say_texts (self, 'z', "YARD1A1", "job.get", "body", "", "from", NULL);
    expect_fail (self, 'z', "1", "job.get", "bad_frame");
    expect_nothing (self);
}

static void what_nobody_serves_says_why (void **state)
{
    bench_t *self = *state;
    ask (self, 'z', "YARD1A1", "job.get");
    const failure_t *failure = expect_fail (self, 'z', "1", "job.get", "not_served");
    assert_non_null (memmem (failure->text.data, failure->text.size, "modelyard-recorder", 18));
    ask (self, 'z', "YARD1A2", "job.dance");
    expect_fail (self, 'z', "2", "job.dance", "unknown_method");
    ask (self, 'z', "YARD1A3", "yard.ping@here");
    expect_fail (self, 'z', "3", "yard.ping@here", "not_served");
    ask (self, 'z', "YARD1A4", "\xff\xfe\x01");
    expect_fail (self, 'z', "4", "\xff\xfe\x01", "unknown_method");
}

static void roles_are_checked_against_the_hello (void **state)
{
    bench_t *self = *state;
    join (self, 'a', 'a', "recorder",
          "{\"name\":\"job.lease\",\"routing\":\"single\",\"roles\":[\"worker\",\"admin\"]}");
    self->roles = YARD_ROLE_VIEWER | YARD_ROLE_OPERATOR;
    ask (self, 'z', "YARD1A1", "job.lease");
    expect_fail (self, 'z', "1", "job.lease", "forbidden");
    say (self, 'z', "YARD1A2", "event.publish", event_publish_ask_type (),
         "{\"events\":[{\"name\":\"x\",\"subject\":\"\",\"body\":\"gA==\",\"time\":1}]}");
    expect_fail (self, 'z', "2", "event.publish", "forbidden");
    say_hello (self, 'y', 'b', "other", SINGLE ("job.list"));
    expect_fail (self, 'y', "", "", "forbidden");
    expect_nothing (self);
}

static void a_pool_gives_to_the_fewest_open_asks_and_ties_in_turn (void **state)
{
    bench_t *self = *state;
    join (self, 'a', 'a', "prober/1", POOL ("probe.path"));
    join (self, 'b', 'b', "prober/2", POOL ("probe.path"));
    join (self, 'c', 'c', "prober/3", POOL ("probe.path"));
    const sent_t *asked [3];
    for (int i = 0; i < 3; i++) {
        ask (self, 'z', "YARD1A1", "probe.path");
        asked [i] = expect (self, (char) ('a' + i), 'A', NULL, NULL);
    }
    answer (self, 'b', 'R', asked [1], "");
    expect (self, 'z', 'R', NULL, NULL);
    ask (self, 'z', "YARD1A2", "probe.path");
    asked [1] = expect (self, 'b', 'A', NULL, NULL);
    for (int i = 0; i < 3; i++) {
        answer (self, (char) ('a' + i), 'R', asked [i], "");
        expect (self, 'z', 'R', NULL, NULL);
    }
    ask (self, 'z', "YARD1A3", "probe.path");
    expect (self, 'c', 'A', NULL, NULL);
    expect_nothing (self);
}

static void a_full_member_is_passed_over_and_a_full_pool_is_busy (void **state)
{
    bench_t *self = *state;
    join (self, 'a', 'a', "prober/1", POOL ("probe.path"));
    join (self, 'b', 'b', "prober/2", POOL ("probe.path"));
    self->refuses ['a'] = YARD_BUSY;
    ask (self, 'z', "YARD1A1", "probe.path");
    expect (self, 'b', 'A', NULL, NULL);
    ask (self, 'z', "YARD1A2", "probe.path");
    expect (self, 'b', 'A', NULL, NULL);
    self->refuses ['b'] = YARD_BUSY;
    ask (self, 'z', "YARD1A3", "probe.path");
    expect_fail (self, 'z', "3", "probe.path", "busy");
    self->refuses ['a'] = self->refuses ['b'] = YARD_GONE;
    ask (self, 'z', "YARD1A4", "probe.path");
    expect_fail (self, 'z', "4", "probe.path", "not_served");
}

static void placed_methods_go_where_the_ask_says_or_to_the_host_loader (void **state)
{
    bench_t *self = *state;
    join (self, 'a', 'a', "loader/box/cuda:0", PLACED ("load.model"));
    ask (self, 'z', "YARD1A1", "load.model");
    expect_fail (self, 'z', "1", "load.model", "not_served");
    join (self, 'b', 'b', "loader/box/host", PLACED ("load.model"));
    ask (self, 'z', "YARD1A2", "load.model");
    expect (self, 'b', 'A', NULL, "load.model");
    ask (self, 'z', "YARD1A3", "load.model@loader/box/cuda:0");
    expect (self, 'a', 'A', NULL, "load.model@loader/box/cuda:0");
    ask (self, 'z', "YARD1A4", "load.model@bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb");
    expect (self, 'b', 'A', NULL, NULL);
    ask (self, 'z', "YARD1A5", "load.model@loader/box/cuda:1");
    expect_fail (self, 'z', "5", "load.model@loader/box/cuda:1", "not_served");
    expect_nothing (self);
}

static void one_ask_more_than_the_limit_is_busy (void **state)
{
    bench_t *self = *state;
    self->configuration.bus.open_asks_max = 1024;
    join (self, 'a', 'a', "recorder", SINGLE ("job.get"));
    for (int i = 0; i < 1024; i++)
        ask (self, 'z', "YARD1A1", "job.get");
    const sent_t *asked = expect (self, 'a', 'A', NULL, NULL);
    forget_all (self);
    ask (self, 'z', "YARD1A2", "job.get");
    expect_fail (self, 'z', "2", "job.get", "busy");
    ask (self, 'y', "YARD1A1", "job.get");
    expect (self, 'a', 'A', NULL, NULL);
    answer (self, 'a', 'R', asked, "");
    expect (self, 'z', 'R', NULL, NULL);
    ask (self, 'z', "YARD1A3", "job.get");
    expect (self, 'a', 'A', NULL, NULL);
}

static void whoever_leans_on_another_welcome_says_hello_first (void **state)
{
    bench_t *self = *state;
    join (self, 'a', 'a', "recorder", SINGLE ("job.get"));
    ask_with_meta (self, 'a', "YARD1A1", "job.get", "{\"epoch\":\"ffffffffffffffff\"}");
    expect_fail (self, 'a', "1", "job.get", "hello_first");
    ask_with_meta (self, 'z', "YARD1A2", "job.get", "{\"epoch\":\"ffffffffffffffff\"}");
    expect_fail (self, 'z', "2", "job.get", "hello_first");
    ask_with_meta (self, 'z', "YARD1A3", "job.get", "{\"epoch\":\"" EPOCH "\"}");
    expect_fail (self, 'z', "3", "job.get", "hello_first");
    ask_with_meta (self, 'z', "YARD1A4", "yard.ping", "{\"epoch\":\"" EPOCH "\"}");
    expect_fail (self, 'z', "4", "yard.ping", "hello_first");
    pong (self, 'z');
    expect_fail (self, 'z', "", "", "hello_first");
    say (self, 'z', "YARD1Cf", "", credit_type (), "{\"more\":1}");
    expect_fail (self, 'z', "", "", "hello_first");
    expect_nothing (self);
}

/*  The ask as its server got it; z has withdrawn it since. */
static const sent_t *withdraw_one (bench_t *self)
{
    join (self, 'a', 'a', "recorder", SINGLE ("job.lease"));
    join (self, 'z', 'd', "client/z", "");
    ask (self, 'z', "YARD1A1", "job.lease");
    const sent_t *asked = expect (self, 'a', 'A', NULL, NULL);
    say_texts (self, 'z', "YARD1B1", "", "", NULL);
    const sent_t *bye = expect (self, 'a', 'B', NULL, "");
    assert_true (yard_string_equal (bye->envelope.id, asked->envelope.id));
    say_texts (self, 'z', "YARD1B1", "", "", NULL);
    expect_nothing (self); /* once is enough */
    return asked;
}

static void a_withdrawn_ask_is_told_to_its_server_whose_last_word_is_passed_on (void **state)
{
    bench_t *self = *state;
    const sent_t *asked = withdraw_one (self);
    answer (self, 'a', 'F', asked, "cancelled");
    expect (self, 'z', 'F', "1", "job.lease");
    answer (self, 'a', 'R', asked, "a second answer");
    expect_nothing (self);
}

static void an_answer_that_crossed_a_withdrawal_can_be_given_back (void **state)
{
    bench_t *self = *state;
    const sent_t *asked = withdraw_one (self);
    answer (self, 'a', 'R', asked, "grant");
    expect (self, 'z', 'R', "1", "job.lease");
    answer (self, 'a', 'F', asked, "cancelled");
    expect_nothing (self);
}

static void a_withdrawn_ask_is_open_until_its_server_says_so (void **state)
{
    bench_t *self = *state;
    self->configuration.bus.open_asks_max = 1;
    const sent_t *asked = withdraw_one (self);
    ask (self, 'z', "YARD1A2", "job.lease");
    expect_fail (self, 'z', "2", "job.lease", "busy");
    answer (self, 'a', 'F', asked, "cancelled");
    expect (self, 'z', 'F', "1", "job.lease");
    ask (self, 'z', "YARD1A3", "job.lease");
    expect (self, 'a', 'A', NULL, NULL);
    say_texts (self, 'z', "YARD1B3", "", "", NULL);
    expect (self, 'a', 'B', NULL, NULL);
    self->refuses ['a'] = YARD_GONE; /* or until that one ends */
    pass (self, 500);
    expect_fail (self, 'z', "3", "job.lease", "gone");
    expect_published (self, "actor_lost/recorder/");
    expect_nothing (self);
}

static void crooked_frames_are_refused_and_harm_nothing (void **state)
{
    bench_t *self = *state;
    join (self, 'a', 'a', "recorder", SINGLE ("job.get"));
    say_frames (self, 'z', NULL, 0);
    expect_fail (self, 'z', "", "", "bad_frame");
    static const char *const heads [] = { "YARD1",   "YARD2A1", "YARD1A", "YARD1W",
                                          "YARD1E1", "YARD1P",  "YARD1Z", "" };
    for (size_t i = 0; i < sizeof heads / sizeof heads [0]; i++) {
        say_texts (self, 'z', heads [i], "", "", NULL);
        expect_fail (self, 'z', "", "", "bad_frame");
    }
    say_texts (self, 'z', "YARD1A1", "job.get", "body", "no msgpack", NULL);
    expect_fail (self, 'z', "1", "job.get", "invalid_message");
    say_texts (self, 'z', "YARD1B9", NULL);
    say_texts (self, 'z', "YARD1B", NULL);
    say_texts (self, 'a', "YARD1R1234567", "", "", NULL);
    say_texts (self, 'a', "YARD1O", "", "?", NULL);
    expect_nothing (self);
}

static void the_yard_lists_actors_methods_and_devices (void **state)
{
    bench_t *self = *state;
    join (self, 'b', 'b', "loader/box/host", PLACED ("load.model"));
    join (self, 'a', 'a', "downloader/1", POOL ("metadata.get"));
    pong (self, 'a');
    say (self, 'z', "YARD1A1", "yard.actors", nothing_type (), "{}");
    const yard_actors_answer_t *actors = read_as (self, yard_actors_answer_type (),
                                                  expect (self, 'z', 'R', "1", "yard.actors")->envelope.body);
    assert_int_equal (actors->actors.count, 2);
    assert_true (yard_string_is (actors->actors.items [0].place, "downloader/1"));
    assert_int_equal (actors->actors.items [0].busy_us, 7);
    say (self, 'z', "YARD1A2", "yard.devices", nothing_type (), "{}");
    const yard_devices_answer_t *devices =
        read_as (self, yard_devices_answer_type (), expect (self, 'z', 'R', "2", NULL)->envelope.body);
    assert_int_equal (devices->devices.count, 1);
    assert_true (yard_string_is (devices->devices.items [0].device, "host"));
    say (self, 'z', "YARD1A3", "yard.methods", nothing_type (), "{}");
    const yard_methods_answer_t *methods =
        read_as (self, yard_methods_answer_type (), expect (self, 'z', 'R', "3", NULL)->envelope.body);
    assert_int_equal (methods->methods.count, 10);
    assert_true (yard_string_is (methods->methods.items [2].name, "load.model"));
    assert_true (yard_string_is (methods->methods.items [3].places.items [0], "downloader/1"));
    say (self, 'z', "YARD1A4", "yard.config", nothing_type (), "{}");
    expect (self, 'z', 'R', "4", NULL);
    say (self, 'z', "YARD1A5", "yard.version", nothing_type (), "{}");
    expect (self, 'z', 'R', "5", NULL);
    say (self, 'z', "YARD1A6", "yard.ping", nothing_type (), "{}");
    expect (self, 'z', 'R', "6", NULL);
}

int main (void)
{
    const struct CMUnitTest cases [] = {
        CASE (a_hello_is_welcomed_with_the_epoch),
        CASE (a_second_hello_of_a_live_instance_changes_nothing),
        CASE (a_held_place_and_a_held_single_method_are_taken),
        CASE (a_refused_hello_enters_none_of_its_methods),
        CASE (refused_hellos_do_not_fill_the_log),
        CASE (another_protocol_and_a_crooked_hello_are_refused),
        CASE (an_ask_reaches_its_server_with_a_number_and_from),
        CASE (a_failure_of_the_server_passes_unopened),
        CASE (frames_before_the_head_are_echoed),
        CASE (an_answer_from_another_connection_is_ignored),
        CASE (a_forged_from_is_refused),
        CASE (what_nobody_serves_says_why),
        CASE (roles_are_checked_against_the_hello),
        CASE (a_pool_gives_to_the_fewest_open_asks_and_ties_in_turn),
        CASE (a_full_member_is_passed_over_and_a_full_pool_is_busy),
        CASE (placed_methods_go_where_the_ask_says_or_to_the_host_loader),
        CASE (one_ask_more_than_the_limit_is_busy),
        CASE (whoever_leans_on_another_welcome_says_hello_first),
        CASE (a_withdrawn_ask_is_told_to_its_server_whose_last_word_is_passed_on),
        CASE (an_answer_that_crossed_a_withdrawal_can_be_given_back),
        CASE (a_withdrawn_ask_is_open_until_its_server_says_so),
        CASE (crooked_frames_are_refused_and_harm_nothing),
        CASE (the_yard_lists_actors_methods_and_devices),
    };
    return cmocka_run_group_tests (cases, NULL, NULL);
}
