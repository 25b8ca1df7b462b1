// SPDX-License-Identifier: Apache-2.0
/*  fill_device_test.c - models onto a device whose copies happen late, and every call of which fails once
 */
#include "fill_bed.h"
#include "late_device.h"

static void begin (bed_t *bed, late_point_t point, int at, int code)
{
    late_begin (point, at, code);
    bed_begin (bed, "late:0", true);
}

static void end (bed_t *bed)
{
    bed_end (bed);
    late_assert_over ();
}

/*  What an importer would see. */
static void check_bytes (const slot_t *slot)
{
    const loader_model_t *model = slot->model;
    char *bytes = malloc (model->plan.bytes);
    assert_int_equal (model->form, load_form_device);
    assert_int_equal (model->handle.size, model->bytes);
    assert_int_equal (pread (model->handle.fd, bytes, model->plan.bytes, 0), model->plan.bytes);
    for (size_t at = 0; at < model->plan.run_count; at++) {
        const loader_run_t *run = &model->plan.runs [at];
        assert_memory_equal (bytes + run->to, slot->expected [run->source] + run->offset, run->bytes);
    }
    free (bytes);
}

static void a_model_is_filled_exported_and_held (void **state)
{
    bed_t *bed = *state;
    slot_t *slot = &bed->slots [0];
    begin (bed, LATE_NOTHING, 0, 0);
    start (bed, slot);
    finish (bed, slot);
    assert_int_equal (slot->error.code, 0);
    check_bytes (slot);
    assert_int_equal (ledger_of (bed).held, slot->model->plan.bytes);
    assert_true (slot->model->checked_bytes > 0);
    release (bed, slot);
    loader_tier_make_room (bed->tier, UINT64_MAX);
    assert_string_equal (slot->evicted, "asked");
    assert_true (ledger_of (bed).draining > 0); /* until the device has it back */
    expect_empty (bed);
    assert_int_equal (atomic_load (&late_script.memories), 0);
    end (bed);
}

static void copies_are_verified_where_that_is_wished (void **state)
{
    bed_t *bed = *state;
    for (int wrong = 0; wrong < 2; wrong++) {
        slot_t *slot = &bed->slots [0];
        late_begin (wrong ? LATE_READ : LATE_NOTHING, 1, YARD_INTEGRITY);
        static const char key [] = "late:0";
        bed_begin (bed, key, true);
        loader_tier_destroy (&bed->tier);
        configuration_t *configuration = (configuration_t *) yard_actor_configuration (bed->world->actor);
        configuration->loader.verify_copies = true;
        assert_int_equal (loader_tier_new (bed->world->actor, key, on_evicted, bed, &bed->tier, NULL), 0);
        start (bed, slot);
        finish (bed, slot);
        assert_int_equal (slot->error.code, wrong ? YARD_INTEGRITY : 0);
        end (bed);
    }
}

/*  R6.5: out of memory, or any other failure, at any step leaves everything as it was. */
static void whatever_call_fails_the_fill_leaves_nothing (void **state)
{
    static const struct {
        late_point_t point;
        int times; /* it is called in one fill */
    } calls [] = {
        { LATE_ALLOCATE, 1 }, { LATE_EVENT, 1 }, { LATE_COPY, 2 }, { LATE_DONE, 2 }, { LATE_EXPORT, 1 },
    };
    bed_t *bed = *state;
    for (size_t row = 0; row < sizeof calls / sizeof calls [0]; row++)
        for (int at = 1; at <= calls [row].times; at++) {
            slot_t *slot = &bed->slots [0];
            begin (bed, calls [row].point, at, YARD_OUT_OF_MEMORY);
            start (bed, slot);
            finish (bed, slot);
            assert_int_equal (slot->error.code, YARD_OUT_OF_MEMORY);
            assert_string_equal (slot->error.text, "the test said so");
            expect_empty (bed);
            assert_int_equal (atomic_load (&late_script.memories), 0);
            clear_slot (slot);
            start (bed, slot); /* and the next one succeeds */
            finish (bed, slot);
            assert_int_equal (slot->error.code, 0);
            check_bytes (slot);
            end (bed);
        }
}

static void a_ring_that_cannot_be_pinned_fills_as_well (void **state)
{
    bed_t *bed = *state;
    slot_t *slot = &bed->slots [0];
    begin (bed, LATE_PIN, 1, YARD_OUT_OF_MEMORY);
    start (bed, slot);
    finish (bed, slot);
    assert_int_equal (slot->error.code, 0);
    check_bytes (slot);
    end (bed);
}

static void a_device_that_is_lost_ends_the_actor (void **state)
{
    static const late_point_t points [] = { LATE_ALLOCATE, LATE_EVENT, LATE_COPY, LATE_DONE, LATE_EXPORT };
    bed_t *bed = *state;
    for (size_t point = 0; point < sizeof points / sizeof points [0]; point++) {
        slot_t *slot = &bed->slots [0];
        begin (bed, points [point], 1, YARD_DEVICE_LOST);
        start (bed, slot);
        finish (bed, slot);
        assert_int_equal (slot->error.code, YARD_DEVICE_LOST);
        turn (bed);
        assert_true (bed->world->ended);
        assert_int_equal (bed->world->exit_code, YARD_EXIT_BROKEN);
        end (bed);
    }
}

static void wrong_bytes_are_integrity_and_leave_nothing (void **state)
{
    bed_t *bed = *state;
    slot_t *slot = &bed->slots [0];
    begin (bed, LATE_NOTHING, 0, 0);
    make_model (bed, slot);
    slot->model->checksums [0].crc32c [1] ^= 1; /* a chunk that lies in the run whole */
    assert_int_equal (start_with (bed, slot, LOADER_NO_DEADLINE), 0);
    finish (bed, slot);
    assert_int_equal (slot->error.code, YARD_INTEGRITY);
    expect_empty (bed);
    end (bed);
}

static void cancelled_at_any_step_it_leaves_nothing (void **state)
{
    bed_t *bed = *state;
    int cancelled = 0;
    for (int step = 0; step < STEPS_MAX; step++) {
        slot_t *slot = &bed->slots [0];
        begin (bed, LATE_NOTHING, 0, 0);
        start (bed, slot);
        for (int at = 0; at < step && !slot->done; at++)
            turn (bed);
        if (!slot->done) {
            loader_fill_cancel (slot->fill);
            finish (bed, slot);
            assert_int_equal (slot->error.code, YARD_CANCELLED);
            cancelled++;
        } else {
            assert_int_equal (slot->error.code, 0);
            release (bed, slot);
            loader_tier_make_room (bed->tier, UINT64_MAX);
        }
        expect_empty (bed);
        end (bed);
    }
    assert_true (cancelled >= 3); /* before it has room, in prepare, while it reads */
}

/*  With what is done on the device, and with letters unread. */
static void the_actor_may_end_at_any_step (void **state)
{
    bed_t *bed = *state;
    for (int step = 0; step < STEPS_MAX; step++) {
        slot_t *slot = &bed->slots [0];
        begin (bed, LATE_NOTHING, 0, 0);
        start (bed, slot);
        for (int at = 0; at < step && !slot->done; at++)
            turn (bed);
        end (bed);
    }
}

static void room_is_made_when_the_device_has_the_bytes_back (void **state)
{
    bed_t *bed = *state;
    slot_t *fourth = &bed->slots [3];
    begin (bed, LATE_NOTHING, 0, 0);
    for (size_t at = 0; at < 3; at++) {
        start (bed, &bed->slots [at]);
        finish (bed, &bed->slots [at]);
        assert_int_equal (bed->slots [at].error.code, 0);
    }
    release (bed, &bed->slots [2]);
    start (bed, fourth);
    finish (bed, fourth);
    assert_int_equal (fourth->error.code, 0);
    assert_string_equal (bed->slots [2].evicted, "room");
    assert_int_equal (atomic_load (&late_script.memories), 3);
    check_bytes (fourth);
    assert_true (ledger_of (bed).peak <= BUDGET);
    end (bed);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test_setup_teardown (a_model_is_filled_exported_and_held, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (copies_are_verified_where_that_is_wished, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (whatever_call_fails_the_fill_leaves_nothing, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (a_ring_that_cannot_be_pinned_fills_as_well, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (a_device_that_is_lost_ends_the_actor, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (wrong_bytes_are_integrity_and_leave_nothing, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (cancelled_at_any_step_it_leaves_nothing, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (the_actor_may_end_at_any_step, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (room_is_made_when_the_device_has_the_bytes_back, make_bed,
                                         clear_bed),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
