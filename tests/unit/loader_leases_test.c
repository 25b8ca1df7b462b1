// SPDX-License-Identifier: Apache-2.0
/*  loader_leases_test.c - actors/loader/leases.c: when a lease is over, and when it is gone
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "actors/loader/leases.h"

#define LEASES_MAX 3

typedef struct {
    loader_leases_t *leases;
    loader_model_t *model;
    yard_random_t random;
    size_t over, gone;
} bed_t;

static void count_over (void *argument, const loader_lease_t *lease, const char *why)
{
    bed_t *bed = argument;
    assert_true (lease->over);
    assert_non_null (why);
    bed->over++;
}

static void count_gone (void *argument, const loader_lease_t *lease)
{
    bed_t *bed = argument;
    assert_int_equal (lease->attachments, 0);
    bed->gone++;
    assert_true (bed->gone <= bed->over);
}

static int make_bed (void **state)
{
    bed_t *bed = calloc (1, sizeof *bed);
    assert_non_null (bed);
    const loader_lease_ends_t ends = { count_over, count_gone, bed };
    bed->leases = loader_leases_new (LEASES_MAX, &ends);
    bed->model = loader_model_new (0);
    yard_random_seed (&bed->random, 7);
    *state = bed;
    return 0;
}

static int clear_bed (void **state)
{
    bed_t *bed = *state;
    loader_leases_destroy (&bed->leases);
    assert_int_equal (bed->model->uses, 1);
    loader_model_drop (&bed->model);
    free (bed);
    return 0;
}

static loader_lease_t *grant (bed_t *bed, const char *owner, int64_t ends_ms)
{
    loader_lease_t wish = { .model = bed->model, .ends_ms = ends_ms };
    const loader_lease_t *granted;
    loader_lease_t *found;
    snprintf (wish.owner, sizeof wish.owner, "%s", owner);
    assert_int_equal (loader_leases_grant (bed->leases, &wish, &bed->random, &granted, NULL), 0);
    assert_int_equal (loader_leases_find (bed->leases, yard_string (granted->id), &found, NULL), 0);
    assert_ptr_equal (found, granted);
    return found;
}

static void a_lease_keeps_its_model_and_its_end_gives_it_back (void **state)
{
    bed_t *bed = *state;
    loader_lease_t *lease = grant (bed, "c1", LOADER_FOREVER);
    assert_int_equal (strlen (lease->id), 32);
    assert_int_equal (bed->model->uses, 2);
    loader_leases_end (bed->leases, lease, "test");
    assert_int_equal (bed->model->uses, 1);
    assert_int_equal (bed->over, 1);
    assert_int_equal (bed->gone, 1);
    assert_int_equal (loader_leases_count (bed->leases), 0);
}

static void a_lease_that_is_over_but_attached_drains_and_takes_nobody_new (void **state)
{
    bed_t *bed = *state;
    char id [LOADER_LEASE_SIZE];
    loader_lease_t *lease = grant (bed, "c1", LOADER_FOREVER), *found = NULL;
    memcpy (id, lease->id, sizeof id);
    loader_leases_attach (bed->leases, lease);
    loader_leases_attach (bed->leases, lease);
    loader_leases_end (bed->leases, lease, "test");
    loader_leases_end (bed->leases, lease, "twice is once");
    assert_int_equal (bed->over, 1);
    assert_int_equal (bed->gone, 0);
    assert_int_equal (bed->model->uses, 2);
    assert_int_equal (loader_leases_find (bed->leases, yard_string (id), &found, NULL), YARD_UNKNOWN_LEASE);
    loader_leases_detach (bed->leases, lease);
    assert_int_equal (bed->gone, 0);
    loader_leases_detach (bed->leases, lease);
    assert_int_equal (bed->gone, 1);
    assert_int_equal (bed->model->uses, 1);
}

static void an_attachment_that_ends_leaves_the_lease (void **state)
{
    bed_t *bed = *state;
    loader_lease_t *lease = grant (bed, "c1", LOADER_FOREVER);
    loader_leases_attach (bed->leases, lease);
    loader_leases_detach (bed->leases, lease);
    assert_int_equal (bed->over, 0);
    assert_int_equal (loader_leases_count (bed->leases), 1);
}

static void an_owners_end_ends_its_leases_and_no_others (void **state)
{
    bed_t *bed = *state;
    grant (bed, "c1", LOADER_FOREVER);
    grant (bed, "c1", LOADER_FOREVER);
    loader_lease_t *yards = grant (bed, "", LOADER_FOREVER);
    assert_int_equal (loader_leases_end_owner (bed->leases, yard_string ("c")), 0);
    assert_int_equal (loader_leases_end_owner (bed->leases, yard_string ("")), 0);
    assert_int_equal (loader_leases_end_owner (bed->leases, yard_string ("c1")), 2);
    assert_int_equal (loader_leases_count (bed->leases), 1);
    loader_leases_end (bed->leases, yards, "released");
}

static void a_lease_ends_at_its_time_and_not_before (void **state)
{
    bed_t *bed = *state;
    grant (bed, "c1", 500);
    grant (bed, "c2", 300);
    grant (bed, "c3", LOADER_FOREVER);
    assert_int_equal (loader_leases_next_ms (bed->leases), 300);
    assert_int_equal (loader_leases_expire (bed->leases, 299), 0);
    assert_int_equal (loader_leases_expire (bed->leases, 300), 1);
    assert_int_equal (loader_leases_next_ms (bed->leases), 500);
    assert_int_equal (loader_leases_expire (bed->leases, 5000), 1);
    assert_true (loader_leases_next_ms (bed->leases) == LOADER_FOREVER);
}

static void a_drained_lease_counts_against_the_limit (void **state)
{
    bed_t *bed = *state;
    const loader_lease_t wish = { .model = bed->model, .ends_ms = LOADER_FOREVER };
    const loader_lease_t *granted;
    yard_error_t error = { 0 };
    loader_lease_t *draining = grant (bed, "c1", LOADER_FOREVER);
    loader_leases_attach (bed->leases, draining);
    loader_leases_end (bed->leases, draining, "test");
    grant (bed, "c1", LOADER_FOREVER);
    grant (bed, "c1", LOADER_FOREVER);
    assert_int_equal (loader_leases_grant (bed->leases, &wish, &bed->random, &granted, &error), YARD_BUSY);
    assert_non_null (strstr (error.text, "loader.leases_max"));
    assert_int_equal (bed->model->uses, 4);
    loader_leases_detach (bed->leases, draining);
    assert_int_equal (loader_leases_grant (bed->leases, &wish, &bed->random, &granted, NULL), 0);
}

static void ids_that_are_no_lease_are_unknown (void **state)
{
    bed_t *bed = *state;
    loader_lease_t *found, *lease = grant (bed, "c1", LOADER_FOREVER);
    assert_int_equal (loader_leases_find (bed->leases, yard_string (""), &found, NULL), YARD_UNKNOWN_LEASE);
    assert_int_equal (loader_leases_find (bed->leases, (yard_string_t){ lease->id, 31 }, &found, NULL),
                      YARD_UNKNOWN_LEASE);
}

static void leases_are_listed_oldest_first (void **state)
{
    bed_t *bed = *state;
    const char *owners [] = { "a", "b", "c" };
    const loader_lease_t *lease;
    for (size_t at = 0; at < 3; at++)
        grant (bed, owners [at], LOADER_FOREVER);
    size_t seen = 0;
    for (size_t at = 0; loader_leases_next (bed->leases, &at, &lease); seen++)
        assert_string_equal (lease->owner, owners [seen]);
    assert_int_equal (seen, 3);
}

/*  A new broker's c1 is another client: it must neither end an old lease nor be shown it. */
static void owners_of_another_epoch_own_nothing_and_their_leases_end_soon (void **state)
{
    bed_t *bed = *state;
    loader_lease_t *attached = grant (bed, "c1", LOADER_FOREVER), *yards = grant (bed, "", LOADER_FOREVER);
    loader_lease_t *early = grant (bed, "c2", 500);
    loader_leases_attach (bed->leases, attached);
    assert_int_equal (loader_leases_orphan (bed->leases, 1000), 2);
    assert_int_equal (loader_leases_end_owner (bed->leases, yard_string ("c1")), 0);
    assert_string_equal (attached->owner, LOADER_ORPHAN);
    assert_int_equal (early->ends_ms, 500);
    assert_int_equal (loader_leases_next_ms (bed->leases), 500);
    assert_int_equal (loader_leases_expire (bed->leases, 1000), 2);
    assert_int_equal (bed->gone, 1); /* the attached one drains */
    loader_leases_detach (bed->leases, attached);
    assert_int_equal (bed->gone, 2);
    assert_false (yards->over);
}

int main (void)
{
#define CASE(name) cmocka_unit_test_setup_teardown (name, make_bed, clear_bed)
    const struct CMUnitTest tests [] = {
        CASE (a_lease_keeps_its_model_and_its_end_gives_it_back),
        CASE (a_lease_that_is_over_but_attached_drains_and_takes_nobody_new),
        CASE (an_attachment_that_ends_leaves_the_lease),
        CASE (an_owners_end_ends_its_leases_and_no_others),
        CASE (a_lease_ends_at_its_time_and_not_before),
        CASE (a_drained_lease_counts_against_the_limit),
        CASE (ids_that_are_no_lease_are_unknown),
        CASE (leases_are_listed_oldest_first),
        CASE (owners_of_another_epoch_own_nothing_and_their_leases_end_soon),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
