// SPDX-License-Identifier: Apache-2.0
/*  request_test.c - a request is answered exactly once, whatever happens
 */
#include "actor_world.h"

#define KEPT_MAX (YARD_OPEN_REQUESTS_MAX + 1)

typedef struct {
    yard_request_t *kept [KEPT_MAX];
    size_t kept_count, ended, client_gone;
    int ended_code, settle_code;
    bool waits; /* without a deadline */
    char client [64];
} keeper_t;

static void ended (void *self, yard_request_t *request, void *argument, int code)
{
    keeper_t *keeper = self;
    assert_ptr_equal (argument, keeper);
    assert_true (keeper->waits || yard_request_left_ms (request) <= 60000);
    keeper->ended++;
    keeper->ended_code = code;
}

/*  What it does is in the key. */
static int on_exists (keeper_t *self, yard_request_t *request, const record_key_t *ask)
{
    if (yard_string_is (ask->key, "keep")) {
        assert_true (self->kept_count < KEPT_MAX);
        self->kept [self->kept_count++] = request;
        yard_request_keep (request, ended, self);
        return 0;
    }
    if (yard_string_is (ask->key, "code"))
        return yard_error (yard_request_error (request), YARD_UNKNOWN_MODEL, "no model %.*s",
                           YARD_VIEW (ask->key));
    if (yard_string_is (ask->key, "bare code"))
        return YARD_CONFLICT;
    if (yard_string_is (ask->key, "refuse"))
        return yard_refuse (request, YARD_TOO_LATE, "at %d", 5);
    if (yard_string_is (ask->key, "no utf-8"))
        return yard_refuse (request, YARD_TOO_LATE, "the file \xff\xfe");
    return yard_reply (request, &(record_exists_answer_t){ .exists = true });
}

static int on_search (keeper_t *self, yard_request_t *request, const record_search_ask_t *ask)
{
    (void) self;
    record_search_answer_t answer;
    yard_wire_init (record_search_answer_type (), &answer);
    yard_random_t random;
    yard_random_seed (&random, 1);
    answer.records.count = ask->limit;
    answer.records.items =
        yard_arena_alloc (yard_request_arena (request), ask->limit * sizeof (model_record_t));
    char *text = yard_arena_alloc (yard_request_arena (request), 65536);
    memset (text, 'x', 65536);
    for (size_t i = 0; i < ask->limit; i++) {
        model_record_t *record = &answer.records.items [i];
        yard_wire_random (model_record_type (), &random, yard_request_arena (request), record);
        record->config.description = (yard_string_t){ text, 65536 };
    }
    return yard_reply (request, &answer);
}

static int on_wait (keeper_t *self, yard_request_t *request, const job_wait_ask_t *ask)
{
    (void) ask;
    self->kept [self->kept_count++] = request;
    yard_request_keep (request, ended, self);
    return 0;
}

static int settle (void *self, yard_error_t *error)
{
    keeper_t *keeper = self;
    return keeper->settle_code ? yard_error (error, keeper->settle_code, "the disk is full") : 0;
}

static void client_gone (void *self, yard_string_t client)
{
    keeper_t *keeper = self;
    keeper->client_gone++;
    snprintf (keeper->client, sizeof keeper->client, "%.*s", YARD_VIEW (client));
}

static const yard_route_t routes [] = {
    HANDLE (keeper_t, record_exists, on_exists),
    HANDLE (keeper_t, record_search, on_search),
    HANDLE (keeper_t, job_wait, on_wait),
    { 0 },
};

static const yard_actor_class_t keeper_class = { .name = "recorder",
                                                 .size = sizeof (keeper_t),
                                                 .routes = routes,
                                                 .settle = settle,
                                                 .client_gone = client_gone };

static int begin (void **state)
{
    world_t *world = world_new (&keeper_class, true);
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

static keeper_t *keeper_of (world_t *world)
{
    return yard_actor_self (world->actor);
}

static void ask (world_t *world, const char *id, const char *key, int64_t deadline_ms)
{
    record_key_t body = { .key = yard_string (key) };
    world_ask (world, id, "record.exists", record_key_type (), &body, "c1", deadline_ms);
}

/*  --- cases
 *  ---------------------------------------------------------------------------------------------------------------- */
static void a_request_is_answered_exactly_once (void **state)
{
    world_t *world = *state;
    ask (world, "number_1", "here", -1);
    world_turn (world);
    yard_envelope_t envelope;
    world_expect (world, 'R', &envelope);
    assert_true (yard_string_is (envelope.id, "number_1"));
    assert_true (yard_string_is (envelope.name, "record.exists"));
    const record_exists_answer_t *answer = world_read (world, record_exists_answer_type (), envelope.body);
    assert_true (answer->exists);
    world_pass (world, 120000);
    yard_envelope_t hello;
    world_expect (world, 'H', &hello); /* two silent minutes */
    world_expect_nothing (world);
}

static void a_code_of_the_handler_becomes_the_failure (void **state)
{
    world_t *world = *state;
    ask (world, "number_1", "code", -1);
    ask (world, "number_2", "bare code", -1);
    ask (world, "number_3", "refuse", -1);
    ask (world, "number_4", "no utf-8", -1);
    world_turn (world);
    yard_envelope_t envelope;
    world_expect (world, 'F', &envelope);
    const failure_t *failure = world_read (world, failure_type (), envelope.body);
    assert_true (yard_string_is (failure->code, "unknown_model"));
    assert_true (yard_string_is (failure->text, "no model code"));
    world_expect_failure (world, "number_2", "conflict");
    world_expect_failure (world, "number_3", "too_late");
    world_expect_failure (world, "number_4", "too_late");
    world_expect_nothing (world);
}

static void a_kept_request_is_answered_later (void **state)
{
    world_t *world = *state;
    ask (world, "number_1", "keep", -1);
    world_turn (world);
    world_expect_nothing (world);
    yard_reply (keeper_of (world)->kept [0], &(record_exists_answer_t){ .exists = false });
    world_turn (world);
    yard_envelope_t envelope;
    world_expect (world, 'R', &envelope);
    assert_int_equal (keeper_of (world)->ended, 0);
}

static void a_kept_request_ends_at_its_deadline (void **state)
{
    world_t *world = *state;
    ask (world, "number_1", "keep", 700);
    ask (world, "number_2", "keep", -1); /* the method's: 10 s */
    world_turn (world);
    assert_int_equal (yard_request_left_ms (keeper_of (world)->kept [0]), 700);
    assert_int_equal (yard_request_left_ms (keeper_of (world)->kept [1]), record_exists_method.deadline_ms);
    world_pass (world, 699);
    world_expect_nothing (world);
    world_pass (world, 1);
    world_expect_failure (world, "number_1", "timeout");
    assert_int_equal (keeper_of (world)->ended, 1);
    assert_int_equal (keeper_of (world)->ended_code, YARD_TIMEOUT);
    world_expect_nothing (world);
}

static void a_withdrawn_request_is_cancelled (void **state)
{
    world_t *world = *state;
    ask (world, "number_1", "keep", -1);
    world_turn (world);
    bye_t bye = { 0 };
    world_say (world, 'B', yard_string ("number_1"), yard_string (""), bye_type (), &bye);
    world_say (world, 'B', yard_string ("number_1"), yard_string (""), bye_type (), &bye); /* late: ignored */
    world_turn (world);
    world_expect_failure (world, "number_1", "cancelled");
    assert_int_equal (keeper_of (world)->ended, 1);
    assert_int_equal (keeper_of (world)->ended_code, YARD_CANCELLED);
    world_expect_nothing (world);
}

static void a_client_that_has_gone_takes_its_requests_along (void **state)
{
    world_t *world = *state;
    ask (world, "number_1", "keep", -1);
    record_key_t body = { .key = yard_string ("keep") };
    world_ask (world, "number_2", "record.exists", record_key_type (), &body, "c2", -1);
    world_turn (world);
    bye_t bye = { .has_client = true, .client = yard_string ("c1") };
    world_say (world, 'B', (yard_string_t){ 0 }, yard_string (""), bye_type (), &bye);
    world_turn (world);
    assert_int_equal (keeper_of (world)->ended, 1);
    assert_int_equal (keeper_of (world)->ended_code, YARD_GONE);
    assert_int_equal (keeper_of (world)->client_gone, 1);
    assert_string_equal (keeper_of (world)->client, "c1");
    world_expect_failure (world, "number_1", "gone");
    world_expect_nothing (world);
}

static void a_connection_that_moved_ends_kept_requests_without_an_answer (void **state)
{
    world_t *world = *state;
    ask (world, "12345678", "keep", 60000);
    world_turn (world);
    world_move (world, EPOCH_ONE);
    assert_int_equal (keeper_of (world)->ended, 1);
    assert_int_equal (keeper_of (world)->ended_code, YARD_GONE);
    world_expect_nothing (world); /* the broker answered for us */
}

static void wait_without_a_deadline (world_t *world, const char *id)
{
    job_wait_ask_t ask;
    yard_wire_init (job_wait_ask_type (), &ask);
    world_ask (world, id, "job.wait", job_wait_ask_type (), &ask, "c7", -1);
    world_turn (world);
}

static void who_said_no_hello_does_not_wait_for_ever (void **state)
{
    world_t *world = *state;
    keeper_of (world)->waits = true;
    wait_without_a_deadline (world, "12345678");
    world->asker_said_hello = true;
    wait_without_a_deadline (world, "12345679");
    assert_int_equal (keeper_of (world)->kept_count, 2);
    for (int i = 0; i < 600; i++) {
        world_ping (world);
        assert_int_equal (keeper_of (world)->ended, 0);
        world_pass (world, 1000);
        yard_envelope_t envelope;
        world_expect (world, 'O', &envelope);
    }
    world_expect_failure (world, "12345678", "timeout");
    assert_int_equal (keeper_of (world)->ended, 1);
    assert_int_equal (yard_request_left_ms (keeper_of (world)->kept [1]), INT64_MAX);
    world_expect_nothing (world);
}

static void another_epoch_ends_kept_requests_without_an_answer (void **state)
{
    world_t *world = *state;
    ask (world, "number_1", "keep", 60000);
    world_turn (world);
    world_new_broker (world, EPOCH_TWO);
    assert_int_equal (keeper_of (world)->ended, 1);
    assert_int_equal (keeper_of (world)->ended_code, YARD_GONE);
    world_expect_nothing (world); /* number_1 may be somebody else's there */
}

static void a_failed_settle_takes_the_answers_back (void **state)
{
    world_t *world = *state;
    keeper_of (world)->settle_code = YARD_STORE_FAILED;
    ask (world, "number_1", "here", -1);
    ask (world, "number_2", "refuse", -1);
    world_turn (world);
    world_expect_failure (world, "number_1", "store_failed");
    world_expect_failure (world, "number_2", "store_failed");
    keeper_of (world)->settle_code = 0;
    ask (world, "number_3", "here", -1);
    world_turn (world);
    yard_envelope_t envelope;
    world_expect (world, 'R', &envelope);
    world_expect_nothing (world);
}

static void an_answer_over_a_mebibyte_is_refused_by_its_sender (void **state)
{
    world_t *world = *state;
    record_search_ask_t body;
    yard_wire_init (record_search_ask_type (), &body);
    body.limit = 3;
    world_ask (world, "number_1", "record.search", record_search_ask_type (), &body, "c1", -1);
    body.limit = 30;
    world_ask (world, "number_2", "record.search", record_search_ask_type (), &body, "c1", -1);
    world_turn (world);
    yard_envelope_t envelope;
    world_expect (world, 'R', &envelope);
    world_expect_failure (world, "number_2", "too_large");
}

static void what_nobody_handles_is_an_unknown_method (void **state)
{
    world_t *world = *state;
    record_key_t body = { .key = yard_string ("k") };
    world_ask (world, "number_1", "record.get", record_key_type (), &body, "c1", -1);
    world_ask (world, "number_2", "no.such", record_key_type (), &body, "c1", -1);
    world_ask (world, "number_3", "record.exists@recorder", record_key_type (), &body, "c1", -1);
    world_turn (world);
    world_expect_failure (world, "number_1", "unknown_method");
    world_expect_failure (world, "number_2", "unknown_method");
    yard_envelope_t envelope;
    world_expect (world, 'R', &envelope);
    assert_true (yard_string_is (envelope.name, "record.exists@recorder"));
}

static void a_body_that_breaks_its_rules_is_an_invalid_message (void **state)
{
    world_t *world = *state;
    world_ask (world, "number_1", "record.exists", nothing_type (), &(nothing_t){ 0 }, "c1", -1);
    world_turn (world);
    world_expect_failure (world, "number_1", "invalid_message");
    assert_int_equal (yard_table_count (world->actor->requests), 0);
}

static void frames_that_are_no_request_are_counted_and_ignored (void **state)
{
    world_t *world = *state;
    yard_string_t peer = { world->peer, world->peer_size };
    world_turn (world);
    uint64_t before = world->actor->malformed;
    yard_string_t rubbish [][4] = {
        { peer, yard_string ("rubbish"), { 0 }, { 0 } },
        { peer, yard_string ("YARD1Z"), { 0 }, { 0 } },
        { peer,
          yard_string ("YARD1A" MALFORMED_ID),
          yard_string ("record.exists"),
          { "\x80", 1 } }, /* no from */
        { peer, yard_string ("YARD1Ax"), yard_string ("record.exists"), { "\x80", 1 } },
        { peer, yard_string ("YARD1H"), yard_string (""), { "\x80", 1 } }, /* not for an actor */
        { peer, yard_string ("YARD1W"), yard_string (""), { "\xc1", 1 } },
    };
    size_t count = sizeof rubbish / sizeof *rubbish;
    for (size_t i = 0; i < count; i++)
        assert_int_equal (yard_socket_send (world->router, rubbish [i], 4), 0);
    world_turn (world);
    assert_int_equal (world->actor->malformed, before + count);
    world_expect_nothing (world);
}

static void open_requests_have_a_limit (void **state)
{
    world_t *world = *state;
    for (int i = 0; i <= YARD_OPEN_REQUESTS_MAX; i++) {
        char id [16];
        snprintf (id, sizeof id, "%08d", i);
        ask (world, id, "keep", 60000);
        if (i % 32 == 0)
            world_turn (world);
    }
    for (int i = 0; i < YARD_OPEN_REQUESTS_MAX / 50; i++)
        world_turn (world);
    assert_int_equal (keeper_of (world)->kept_count, YARD_OPEN_REQUESTS_MAX);
    char first [16];
    snprintf (first, sizeof first, "%08d", YARD_OPEN_REQUESTS_MAX);
    world_expect_failure (world, first, "busy");
    world_expect_nothing (world);
}

static void a_closing_actor_answers_what_is_open (void **state)
{
    world_t *world = *state;
    ask (world, "number_1", "keep", -1);
    world_turn (world);
    yard_actor_stop (world->actor, YARD_EXIT_DRAINED);
    ask (world, "number_2", "here", -1);
    world_turn (world);
    assert_true (world->ended);
    assert_int_equal (world->exit_code, YARD_EXIT_DRAINED);
    world_expect_failure (world, "number_2", "not_served");
    yard_actor_destroy (&world->actor);
    world_expect_failure (world, "number_1", "gone");
    yard_envelope_t envelope;
    world_expect (world, 'B', &envelope);
    assert_int_equal (envelope.id.size, 0);
}

int main (void)
{
#define CASE(name) cmocka_unit_test_setup_teardown (name, begin, end)
    const struct CMUnitTest cases [] = {
        CASE (a_request_is_answered_exactly_once),
        CASE (a_code_of_the_handler_becomes_the_failure),
        CASE (a_kept_request_is_answered_later),
        CASE (a_kept_request_ends_at_its_deadline),
        CASE (a_withdrawn_request_is_cancelled),
        CASE (a_client_that_has_gone_takes_its_requests_along),
        CASE (a_connection_that_moved_ends_kept_requests_without_an_answer),
        CASE (who_said_no_hello_does_not_wait_for_ever),
        CASE (another_epoch_ends_kept_requests_without_an_answer),
        CASE (a_failed_settle_takes_the_answers_back),
        CASE (an_answer_over_a_mebibyte_is_refused_by_its_sender),
        CASE (what_nobody_handles_is_an_unknown_method),
        CASE (a_body_that_breaks_its_rules_is_an_invalid_message),
        CASE (frames_that_are_no_request_are_counted_and_ignored),
        CASE (open_requests_have_a_limit),
        CASE (a_closing_actor_answers_what_is_open),
    };
    return cmocka_run_group_tests (cases, NULL, NULL);
}
