// SPDX-License-Identifier: Apache-2.0
/*  hello_test.c - how an actor and its broker know each other, and how an actor ends
 */
#include "actor_world.h"

typedef struct {
    size_t welcomed, new_epochs, drains, left, settles;
} guest_t;

static void welcomed (void *self, bool new_epoch)
{
    guest_t *guest = self;
    guest->welcomed++;
    guest->new_epochs += new_epoch;
}

static size_t drain (void *self)
{
    guest_t *guest = self;
    guest->drains++;
    return guest->left;
}

static int settle (void *self, yard_error_t *error)
{
    (void) error;
    ((guest_t *) self)->settles++;
    return 0;
}

static int on_get (guest_t *self, yard_request_t *request, const record_key_t *ask)
{
    (void) self;
    (void) ask;
    return yard_refuse (request, YARD_UNKNOWN_MODEL, "none here");
}

static const yard_route_t routes [] = { HANDLE (guest_t, record_get, on_get), { 0 } };

static const yard_actor_class_t guest_class = { .name = "downloader",
                                                .size = sizeof (guest_t),
                                                .routes = routes,
                                                .pool = true,
                                                .welcomed = welcomed,
                                                .drain = drain,
                                                .settle = settle };

static int begin (void **state)
{
    *state = world_new (&guest_class, true);
    return 0;
}

static int end (void **state)
{
    world_t *world = *state;
    world_destroy (&world);
    return 0;
}

static guest_t *guest_of (world_t *world)
{
    return yard_actor_self (world->actor);
}

/*  --- hello
 *  ---------------------------------------------------------------------------------------------------------------- */
static void the_hello_says_who_and_what (void **state)
{
    world_t *world = *state;
    world_turn (world);
    yard_envelope_t envelope;
    world_expect (world, 'H', &envelope);
    const hello_t *hello = world_read (world, hello_type (), envelope.body);
    assert_true (yard_string_is (hello->actor, "downloader"));
    assert_int_equal (hello->instance.size, 32);
    char place [128];
    snprintf (place, sizeof place, "downloader/box7/%.*s", YARD_VIEW (hello->instance));
    assert_true (yard_string_is (hello->place, place));
    assert_string_equal (yard_actor_place (world->actor), place);
    assert_true (yard_string_is (hello->node, "box7"));
    assert_int_equal (hello->protocol, YARD_PROTOCOL);
    assert_int_equal (hello->methods.count, 1);
    assert_true (yard_string_is (hello->methods.items [0].name, "record.get"));
    assert_int_equal (hello->methods.items [0].routing, routing_single);
    assert_int_equal (hello->methods.items [0].roles.count, 4);
}

static void hello_waits_for_a_broker (void **state)
{
    world_t *world = *state;
    yard_socket_close (&world->router);
    for (int i = 0; i < 5; i++)
        world_pass (world, 1000);
    yard_error_t error;
    assert_int_equal (yard_bus_open (world->bus, YARD_SOCKET_ROUTER, "command", &world->router, &error), 0);
    world_welcome (world, EPOCH_ONE);
    assert_int_equal (guest_of (world)->welcomed, 1);
    assert_int_equal (guest_of (world)->new_epochs, 0);
    world_expect_nothing (world);
}

static void hello_is_said_again_after_two_silent_seconds (void **state)
{
    world_t *world = *state;
    world_welcome (world, EPOCH_ONE);
    yard_envelope_t envelope;
    for (int i = 0; i < 10; i++) { /* pings keep it quiet */
        world_ping (world);
        world_pass (world, 500);
        world_expect (world, 'O', &envelope);
    }
    world_pass (world, 1999);
    world_expect_nothing (world);
    world_pass (world, 1);
    world_expect (world, 'H', &envelope);
    world_pass (world, 1999);
    world_expect_nothing (world);
    world_pass (world, 1);
    world_expect (world, 'H', &envelope);
}

static void only_another_epoch_is_told_to_the_class (void **state)
{
    world_t *world = *state;
    world_welcome (world, EPOCH_ONE);
    world_pass (world, 2000);
    world_welcome (world, EPOCH_ONE);
    assert_int_equal (guest_of (world)->welcomed, 1);
    world_pass (world, 2000);
    world_welcome (world, EPOCH_TWO);
    assert_int_equal (guest_of (world)->welcomed, 2);
    assert_int_equal (guest_of (world)->new_epochs, 1);
}

static void another_connection_is_not_told_to_the_class (void **state)
{
    world_t *world = *state;
    world_welcome (world, EPOCH_ONE);
    world_move (world, EPOCH_ONE);
    assert_int_equal (guest_of (world)->welcomed, 1);
    assert_int_equal (world->actor->link, YARD_LINK_WELCOMED);
}

static void hello_first_without_an_id_brings_hello (void **state)
{
    world_t *world = *state;
    world_welcome (world, EPOCH_ONE);
    world_fail (world, (yard_string_t){ 0 }, "hello_first");
    world_turn (world);
    yard_envelope_t envelope;
    world_expect (world, 'H', &envelope);
    assert_false (world->ended);
}

static void a_refused_hello_ends_the_process (void **state)
{
    world_t *world = *state;
    world_turn (world);
    yard_envelope_t envelope;
    world_expect (world, 'H', &envelope);
    world_fail (world, (yard_string_t){ 0 }, "taken");
    world_turn (world);
    assert_true (world->ended);
    assert_int_equal (world->exit_code, YARD_EXIT_BROKEN);
}

static void a_ping_is_answered_with_what_we_do (void **state)
{
    world_t *world = *state;
    world_welcome (world, EPOCH_ONE);
    yard_actor_note (world->actor, "fetching \xff 3 files");
    world_ping (world);
    world_turn (world);
    yard_envelope_t envelope;
    world_expect (world, 'O', &envelope);
    const pong_t *pong = world_read (world, pong_type (), envelope.body);
    assert_true (yard_string_is (pong->note, "fetching ? 3 files"));
    assert_int_equal (pong->open_requests, 0);
}

static void a_quiet_turn_does_not_settle (void **state)
{
    world_t *world = *state;
    world_welcome (world, EPOCH_ONE);
    size_t settles = guest_of (world)->settles;
    world_ping (world);
    world_turn (world);
    world_turn (world);
    assert_int_equal (guest_of (world)->settles, settles);
}

/*  --- the end
 *  -------------------------------------------------------------------------------------------------------------- */
static void draining_lasts_until_nothing_is_left (void **state)
{
    world_t *world = *state;
    world_welcome (world, EPOCH_ONE);
    guest_of (world)->left = 1;
    yard_actor_stop (world->actor, YARD_EXIT_DRAINED);
    world_turn (world);
    world_turn (world);
    assert_true (yard_actor_draining (world->actor));
    assert_false (world->ended);
    assert_int_equal (guest_of (world)->drains, 2);
    guest_of (world)->left = 0;
    world_turn (world);
    assert_true (world->ended);
    assert_int_equal (world->exit_code, YARD_EXIT_DRAINED);
}

static void draining_is_given_up_after_ten_seconds (void **state)
{
    world_t *world = *state;
    world_welcome (world, EPOCH_ONE);
    guest_of (world)->left = 1;
    yard_actor_stop (world->actor, YARD_EXIT_DRAINED);
    world_turn (world);
    world_pass (world, 9999);
    assert_false (world->ended);
    world_pass (world, 1);
    assert_true (world->ended);
    assert_int_equal (world->exit_code, YARD_EXIT_BROKEN);
}

static void an_actor_without_a_broker_drains_too (void **state)
{
    world_t *world = *state;
    yard_socket_close (&world->router);
    yard_actor_stop (world->actor, YARD_EXIT_DRAINED);
    world_turn (world);
    assert_true (world->ended);
    assert_int_equal (world->exit_code, YARD_EXIT_DRAINED);
}

/*  --- start
 *  ---------------------------------------------------------------------------------------------------------------- */
typedef struct {
    bool opened;
} failing_t;

static size_t closes;

static int open_and_fail (void *self, yard_actor_t *actor, yard_error_t *error)
{
    ((failing_t *) self)->opened = true;
    yard_ask (actor, &record_exists_method, &(record_key_t){ .key = yard_string ("k") }, NULL, NULL, NULL);
    return yard_error (error, YARD_DISK_FULL, "no room");
}

static void close_half (void *self)
{
    assert_true (((failing_t *) self)->opened);
    closes++;
}

static void an_open_that_fails_is_closed_and_says_why (void **state)
{
    world_t *world = *state;
    static const yard_actor_class_t class = {
        .name = "recorder", .size = sizeof (failing_t), .open = open_and_fail, .close = close_half
    };
    yard_actor_options_t options = world->actor->options;
    yard_actor_t *actor = NULL;
    yard_error_t error;
    assert_int_equal (yard_actor_new (&class, &options, &actor, &error), YARD_DISK_FULL);
    assert_string_equal (error.text, "no room");
    assert_null (actor);
    assert_int_equal (closes, 1);
}

int main (void)
{
#define CASE(name) cmocka_unit_test_setup_teardown (name, begin, end)
    const struct CMUnitTest cases [] = {
        CASE (the_hello_says_who_and_what),
        CASE (hello_waits_for_a_broker),
        CASE (hello_is_said_again_after_two_silent_seconds),
        CASE (only_another_epoch_is_told_to_the_class),
        CASE (another_connection_is_not_told_to_the_class),
        CASE (hello_first_without_an_id_brings_hello),
        CASE (a_refused_hello_ends_the_process),
        CASE (a_ping_is_answered_with_what_we_do),
        CASE (a_quiet_turn_does_not_settle),
        CASE (draining_lasts_until_nothing_is_left),
        CASE (draining_is_given_up_after_ten_seconds),
        CASE (an_actor_without_a_broker_drains_too),
        CASE (an_open_that_fails_is_closed_and_says_why),
    };
    return cmocka_run_group_tests (cases, NULL, NULL);
}
