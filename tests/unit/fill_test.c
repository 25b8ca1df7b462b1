// SPDX-License-Identifier: Apache-2.0
/*  fill_test.c - models into the host's memory: what comes of it, and what is left when it comes to nothing
 */
#include "fill_bed.h"

#include <sys/mman.h>
#include <sys/resource.h>

static void check_bytes (const slot_t *slot)
{
    const loader_model_t *model = slot->model;
    assert_int_equal (model->form, load_form_resident);
    for (size_t at = 0; at < model->file_count; at++) {
        const loader_file_t *file = &model->files [at];
        struct stat state;
        assert_int_equal (fstat (file->fd, &state), 0);
        assert_int_equal (state.st_size, file->identity.bytes);
        assert_int_equal (file->given.bytes, file->identity.bytes);
        assert_int_equal (file->given.inode, state.st_ino);
        assert_int_equal (fcntl (file->fd, F_GET_SEALS), F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE);
        if (file->identity.bytes == 0)
            continue;
        assert_int_equal (pwrite (file->fd, "x", 1, 0), -1);
        const char *mapped = mmap (NULL, file->identity.bytes, PROT_READ, MAP_SHARED, file->fd, 0);
        assert_true (mapped != MAP_FAILED);
        assert_memory_equal (mapped, slot->expected [at], file->identity.bytes);
        munmap ((void *) mapped, file->identity.bytes);
    }
}

/*  Must be the first: the point counts from the process's start. */
static void a_finish_that_fails_leaves_nothing (void **state)
{
    bed_t *bed = *state;
    slot_t *slot = &bed->slots [0];
    bed_begin (bed, "host", true);
    start (bed, slot);
    finish (bed, slot);
    assert_int_equal (slot->error.code, YARD_INTERNAL);
    expect_empty (bed);
    bed_end (bed);
}

static void a_model_is_filled_sealed_checked_and_held (void **state)
{
    bed_t *bed = *state;
    for (int threads = 0; threads < 2; threads++) {
        slot_t *slot = &bed->slots [0];
        uint64_t bytes, total;
        bed_begin (bed, "host", threads == 0);
        start (bed, slot);
        assert_int_equal (ledger_of (bed).waiters, 1);
        loader_fill_progress (slot->fill, &bytes, &total);
        assert_int_equal (bytes, 0);
        assert_int_equal (slot->done, 0);
        finish (bed, slot);
        assert_int_equal (slot->error.code, 0);
        check_bytes (slot);
        assert_int_equal (slot->model->checked_bytes, slot->model->bytes);
        assert_int_equal (slot->phase_count, 4);
        assert_int_equal (ledger_of (bed).held, slot->model->bytes);
        assert_int_equal (ledger_of (bed).evictable, 0);
        yard_error_t error = { 0 };
        assert_int_equal (loader_tier_evict (bed->tier, slot->model, &error), YARD_CONFLICT);
        release (bed, slot);
        assert_int_equal (ledger_of (bed).evictable, slot->model->bytes);
        assert_int_equal (loader_tier_evict (bed->tier, slot->model, &error), 0);
        assert_string_equal (slot->evicted, "asked");
        expect_empty (bed);
        bed_end (bed);
    }
}

static void wrong_bytes_are_integrity_and_leave_nothing (void **state)
{
    bed_t *bed = *state;
    slot_t *slot = &bed->slots [0];
    bed_begin (bed, "host", true);
    make_model (bed, slot);
    slot->model->checksums [2].crc32c [1] ^= 1;
    assert_int_equal (start_with (bed, slot, LOADER_NO_DEADLINE), 0);
    finish (bed, slot);
    assert_int_equal (slot->error.code, YARD_INTEGRITY);
    assert_non_null (strstr (slot->error.text, "0-2"));
    assert_null (slot->model);
    expect_empty (bed);
    bed_end (bed);
}

static void a_file_that_was_cut_short_is_invalid_and_leaves_nothing (void **state)
{
    bed_t *bed = *state;
    slot_t *slot = &bed->slots [0];
    bed_begin (bed, "host", true);
    make_model (bed, slot);
    assert_int_equal (ftruncate (slot->model->files [0].fd, 1000), 0);
    assert_int_equal (start_with (bed, slot, LOADER_NO_DEADLINE), 0);
    finish (bed, slot);
    assert_int_equal (slot->error.code, YARD_INVALID_FILE);
    expect_empty (bed);
    bed_end (bed);
}

static void no_descriptor_left_leaves_nothing (void **state)
{
    bed_t *bed = *state;
    for (unsigned spare = 0; spare < FILES_MAX; spare++) {
        slot_t *slot = &bed->slots [0];
        struct rlimit before, few;
        bed_begin (bed, "host", true);
        start (bed, slot);
        int next = dup (0);
        close (next);
        assert_int_equal (getrlimit (RLIMIT_NOFILE, &before), 0);
        few = before;
        few.rlim_cur = (rlim_t) next + spare;
        assert_int_equal (setrlimit (RLIMIT_NOFILE, &few), 0);
        finish (bed, slot);
        assert_int_equal (setrlimit (RLIMIT_NOFILE, &before), 0);
        assert_true (slot->error.code != 0);
        expect_empty (bed);
        bed_end (bed);
    }
}

static void a_name_as_long_as_a_file_may_have_is_no_obstacle (void **state)
{
    bed_t *bed = *state;
    slot_t *slot = &bed->slots [0];
    bed_begin (bed, "host", true);
    make_model (bed, slot);
    memset (slot->model->files [0].name, 'n', NAME_MAX);
    assert_int_equal (start_with (bed, slot, LOADER_NO_DEADLINE), 0);
    finish (bed, slot);
    assert_int_equal (slot->error.code, 0);
    release (bed, slot);
    bed_end (bed);
}

/*  --- cancelling */

static void cancelled_at_any_step_it_leaves_nothing (void **state)
{
    bed_t *bed = *state;
    int cancelled = 0;
    for (int threads = 0; threads < 2; threads++)
        for (int step = 0; step < STEPS_MAX; step++) {
            slot_t *slot = &bed->slots [0];
            bed_begin (bed, "host", threads == 0);
            start (bed, slot);
            for (int at = 0; at < step && !slot->done; at++)
                turn (bed);
            if (!slot->done) {
                loader_fill_cancel (slot->fill);
                loader_fill_cancel (slot->fill); /* twice is once */
                finish (bed, slot);
                assert_int_equal (slot->error.code, YARD_CANCELLED);
                cancelled++;
            } else {
                assert_int_equal (slot->error.code, 0);
                release (bed, slot);
                loader_tier_make_room (bed->tier, UINT64_MAX);
            }
            expect_empty (bed);
            bed_end (bed);
        }
    assert_true (cancelled >= 4); /* before it has room, and while it reads: inline and with threads */
}

/*  ASan and the ledger's own assertions say whether anything is used that is gone. */
static void the_actor_may_end_at_any_step (void **state)
{
    bed_t *bed = *state;
    for (int threads = 0; threads < 2; threads++)
        for (int step = 0; step < STEPS_MAX; step++) {
            slot_t *slot = &bed->slots [0];
            bed_begin (bed, "host", threads == 0);
            start (bed, slot);
            for (int at = 0; at < step && !slot->done; at++)
                turn (bed);
            bed_end (bed);
        }
}

/*  --- room */

static void more_than_the_budget_is_refused_at_once (void **state)
{
    bed_t *bed = *state;
    slot_t *slot = &bed->slots [0];
    bed_begin (bed, "host", true);
    make_model (bed, slot);
    slot->model->bytes = BUDGET + 1;
    assert_int_equal (start_with (bed, slot, LOADER_NO_DEADLINE), YARD_OUT_OF_MEMORY);
    assert_null (slot->fill);
    assert_true (slot->model->files [0].fd >= 0); /* still its own */
    expect_empty (bed);
    bed_end (bed);
}

static void fill_three (bed_t *bed)
{
    for (size_t at = 0; at < 3; at++) {
        start (bed, &bed->slots [at]);
        finish (bed, &bed->slots [at]);
        assert_int_equal (bed->slots [at].error.code, 0);
    }
}

static void room_is_made_by_the_least_recently_used_idle_model (void **state)
{
    bed_t *bed = *state;
    slot_t *fourth = &bed->slots [3];
    bed_begin (bed, "host", true);
    fill_three (bed); /* 900 of 1,000 kB */
    release (bed, &bed->slots [1]);
    release (bed, &bed->slots [2]);
    start (bed, fourth);
    finish (bed, fourth);
    assert_int_equal (fourth->error.code, 0);
    assert_string_equal (bed->slots [1].evicted, "room");
    assert_null (bed->slots [1].model);
    assert_non_null (bed->slots [0].model);
    assert_non_null (bed->slots [2].model);
    check_bytes (&bed->slots [0]); /* in use: untouched */
    check_bytes (fourth);
    bed_end (bed);
}

static void who_waits_for_room_can_be_cancelled_and_times_out (void **state)
{
    bed_t *bed = *state;
    slot_t *fourth = &bed->slots [3];
    bed_begin (bed, "host", true);
    fill_three (bed);
    start (bed, fourth);
    for (int at = 0; at < 3; at++)
        world_turn (bed->world);
    assert_int_equal (ledger_of (bed).waiters, 1);
    loader_fill_cancel (fourth->fill);
    assert_int_equal (fourth->done, 0); /* never from inside */
    finish (bed, fourth);
    assert_int_equal (fourth->error.code, YARD_CANCELLED);
    clear_slot (fourth);

    make_model (bed, fourth);
    int64_t now = yard_now_ms (bed->world->actor);
    assert_int_equal (start_with (bed, fourth, now + 100), 0);
    world_turn (bed->world);
    world_pass (bed->world, 99);
    assert_int_equal (fourth->done, 0);
    world_pass (bed->world, 2);
    finish (bed, fourth);
    assert_int_equal (fourth->error.code, YARD_TIMEOUT);
    assert_int_equal (ledger_of (bed).reserved, 0);
    bed_end (bed);
}

static void who_is_given_time_waits_on (void **state)
{
    bed_t *bed = *state;
    slot_t *fourth = &bed->slots [3];
    bed_begin (bed, "host", true);
    fill_three (bed);
    make_model (bed, fourth);
    int64_t now = yard_now_ms (bed->world->actor);
    assert_int_equal (start_with (bed, fourth, now + 100), 0);
    world_turn (bed->world);
    loader_fill_give_time (fourth->fill, now + 1000);
    world_pass (bed->world, 200);
    world_turn (bed->world);
    assert_int_equal (fourth->done, 0);
    release (bed, &bed->slots [0]);
    finish (bed, fourth);
    assert_int_equal (fourth->error.code, 0);
    bed_end (bed);
}

static void a_retired_model_keeps_its_bytes_until_its_last_use_ends (void **state)
{
    bed_t *bed = *state;
    slot_t *slot = &bed->slots [0];
    bed_begin (bed, "host", true);
    start (bed, slot);
    finish (bed, slot);
    loader_model_t *leased = loader_model_use (slot->model);
    uint64_t bytes = slot->model->bytes;
    loader_tier_retire (bed->tier, slot->model);
    loader_model_drop (&slot->model);
    assert_int_equal (ledger_of (bed).draining, bytes);
    assert_int_equal (ledger_of (bed).held, 0);
    loader_tier_release (bed->tier, leased); /* no entry any more: nothing */
    world_turn (bed->world);
    assert_int_equal (ledger_of (bed).draining, bytes);
    loader_model_drop (&leased);
    expect_empty (bed);
    bed_end (bed);
}

static void room_is_made_until_so_many_bytes_are_free_and_no_further (void **state)
{
    bed_t *bed = *state;
    bed_begin (bed, "host", true);
    fill_three (bed);
    uint64_t each = bed->slots [0].model->bytes;
    for (size_t at = 0; at < 3; at++)
        release (bed, &bed->slots [at]);
    loader_tier_make_room (bed->tier, BUDGET - 3 * each); /* there already */
    assert_non_null (bed->slots [0].model);
    loader_tier_make_room (bed->tier, BUDGET - 3 * each + 1);
    assert_null (bed->slots [0].model);
    assert_non_null (bed->slots [1].model);
    loader_tier_make_room (bed->tier, 100 * BUDGET); /* more than there is: all */
    assert_null (bed->slots [1].model);
    assert_null (bed->slots [2].model);
    loader_tier_make_room (bed->tier, 100 * BUDGET); /* nothing is left */
    expect_empty (bed);
    bed_end (bed);
}

int main (void)
{
    setenv ("MODELYARD_FAULT", "loader.before_finish:1", 1);
    const struct CMUnitTest tests [] = {
        cmocka_unit_test_setup_teardown (a_finish_that_fails_leaves_nothing, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (a_model_is_filled_sealed_checked_and_held, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (wrong_bytes_are_integrity_and_leave_nothing, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (a_file_that_was_cut_short_is_invalid_and_leaves_nothing, make_bed,
                                         clear_bed),
        cmocka_unit_test_setup_teardown (no_descriptor_left_leaves_nothing, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (a_name_as_long_as_a_file_may_have_is_no_obstacle, make_bed,
                                         clear_bed),
        cmocka_unit_test_setup_teardown (cancelled_at_any_step_it_leaves_nothing, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (the_actor_may_end_at_any_step, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (more_than_the_budget_is_refused_at_once, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (room_is_made_by_the_least_recently_used_idle_model, make_bed,
                                         clear_bed),
        cmocka_unit_test_setup_teardown (who_waits_for_room_can_be_cancelled_and_times_out, make_bed,
                                         clear_bed),
        cmocka_unit_test_setup_teardown (who_is_given_time_waits_on, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (a_retired_model_keeps_its_bytes_until_its_last_use_ends, make_bed,
                                         clear_bed),
        cmocka_unit_test_setup_teardown (room_is_made_until_so_many_bytes_are_free_and_no_further, make_bed,
                                         clear_bed),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
