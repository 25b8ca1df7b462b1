// SPDX-License-Identifier: Apache-2.0
/*  broker_directory_test.c - the broker's directory: who serves what, all or nothing
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "broker/directory.h"

/*  A peer of this place; its instance is one letter 32 times. */
static broker_peer_t *new_peer (const char *place, char life)
{
    broker_peer_t *peer = calloc (1, sizeof *peer);
    assert_non_null (peer);
    snprintf (peer->place, sizeof peer->place, "%s", place);
    memset (peer->instance, life, 32);
    return peer;
}

static int join (broker_directory_t *directory, broker_peer_t *peer, routing_t routing, const char *name,
                 const char *second)
{
    role_t roles [] = { role_viewer, role_admin };
    hello_method_t methods [2] = { { .name = yard_string (name), .routing = routing } };
    hello_t hello = { .methods = { methods, second ? 2 : 1 } };
    methods [0].roles.items = roles;
    methods [0].roles.count = 2;
    methods [1] = methods [0];
    methods [1].name = yard_string (second);
    yard_error_t error = { 0 };
    int rc = broker_directory_join (directory, peer, &hello, &error);
    assert_int_equal (rc, error.code);
    return rc;
}

static int open_directory (void **state)
{
    *state = broker_directory_new ();
    return 0;
}

static int close_directory (void **state)
{
    broker_directory_t *directory = *state;
    broker_directory_destroy (&directory);
    assert_null (directory);
    return 0;
}

static void a_peer_is_found_by_place_instance_and_method (void **state)
{
    broker_directory_t *directory = *state;
    broker_peer_t *peer = new_peer ("recorder", 'a');
    assert_int_equal (join (directory, peer, routing_single, "job.get", "job.list"), 0);
    assert_ptr_equal (broker_directory_place (directory, yard_string ("recorder")), peer);
    assert_ptr_equal (broker_directory_instance (directory, yard_string ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")),
                      peer);
    broker_service_t *service = broker_directory_service (directory, yard_string ("job.list"));
    assert_int_equal (service->roles, YARD_ROLE_VIEWER | YARD_ROLE_ADMIN);
    assert_true (broker_directory_serves (service, peer));
    broker_directory_leave (directory, peer);
    assert_null (broker_directory_place (directory, yard_string ("recorder")));
    assert_null (broker_directory_service (directory, yard_string ("job.get")));
    free (peer);
}

static void what_is_refused_enters_nothing (void **state)
{
    broker_directory_t *directory = *state;
    broker_peer_t *first = new_peer ("recorder", 'a'), *second = new_peer ("other", 'b');
    assert_int_equal (join (directory, first, routing_single, "job.get", NULL), 0);
    assert_int_equal (join (directory, second, routing_single, "job.list", "job.get"), YARD_TAKEN);
    assert_null (broker_directory_service (directory, yard_string ("job.list")));
    assert_null (broker_directory_place (directory, yard_string ("other")));
    assert_int_equal (join (directory, second, routing_pool, "job.get", NULL), YARD_TAKEN);
    assert_int_equal (join (directory, second, routing_single, "event.follow", NULL), YARD_TAKEN);
    assert_int_equal (join (directory, second, routing_broker, "job.list", NULL), YARD_INVALID_MESSAGE);
    static const char *const names [] = { "job", ".job", "job.", "job get.x", "job.get@x", "" };
    for (size_t i = 0; i < sizeof names / sizeof names [0]; i++)
        assert_int_equal (join (directory, second, routing_pool, names [i], NULL), YARD_INVALID_MESSAGE);
    broker_directory_leave (directory, first);
    free (first);
    free (second);
}

static void a_method_named_twice_has_its_server_once (void **state)
{
    broker_directory_t *directory = *state;
    broker_peer_t *peer = new_peer ("prober/1", 'a');
    assert_int_equal (join (directory, peer, routing_pool, "probe.path", "probe.path"), 0);
    assert_int_equal (broker_directory_service (directory, yard_string ("probe.path"))->count, 1);
    broker_directory_leave (directory, peer);
    free (peer);
}

static void a_gone_instance_stays_refused (void **state)
{
    broker_directory_t *directory = *state;
    broker_peer_t *peer = new_peer ("recorder", 'a');
    assert_int_equal (join (directory, peer, routing_single, "job.get", NULL), 0);
    broker_directory_leave (directory, peer);
    assert_int_equal (join (directory, peer, routing_single, "job.get", NULL), YARD_GONE);
    memset (peer->instance, 'b', 32);
    assert_int_equal (join (directory, peer, routing_single, "job.get", NULL), 0);
    broker_directory_leave (directory, peer);
    free (peer);
}

static void the_choice_is_fewest_first_then_in_turn_and_once_a_round (void **state)
{
    broker_directory_t *directory = *state;
    broker_peer_t *peers [] = { new_peer ("prober/1", 'a'), new_peer ("prober/2", 'b'),
                                new_peer ("prober/3", 'c') };
    for (size_t i = 0; i < 3; i++)
        assert_int_equal (join (directory, peers [i], routing_pool, "probe.path", NULL), 0);
    broker_service_t *service = broker_directory_service (directory, yard_string ("probe.path"));
    for (uint64_t round = 1; round < 7; round++)
        assert_ptr_equal (broker_directory_choose (service, round), peers [(round - 1) % 3]);
    peers [0]->serving_count = peers [1]->serving_count = 1;
    assert_ptr_equal (broker_directory_choose (service, 7), peers [2]);
    assert_ptr_equal (broker_directory_choose (service, 7), peers [0]);
    peers [1]->unreachable = true;
    assert_null (broker_directory_choose (service, 7));
    for (size_t i = 0; i < 3; i++) {
        broker_directory_leave (directory, peers [i]);
        free (peers [i]);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown (name, open_directory, close_directory)

int main (void)
{
    const struct CMUnitTest cases [] = {
        CASE (a_peer_is_found_by_place_instance_and_method),
        CASE (what_is_refused_enters_nothing),
        CASE (a_method_named_twice_has_its_server_once),
        CASE (a_gone_instance_stays_refused),
        CASE (the_choice_is_fewest_first_then_in_turn_and_once_a_round),
    };
    return cmocka_run_group_tests (cases, NULL, NULL);
}
