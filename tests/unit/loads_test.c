// SPDX-License-Identifier: Apache-2.0
/*  loads_test.c - wishes for models, on a host's tier in an actor that has nothing else
 */
#include "actor_world.h"

#include <fcntl.h>
#include <sys/stat.h>
#include "actors/ground/durable.h"
#include "actors/loader/loader_files.h"
#include "actors/loader/loads.h"

#define BUDGET 250000u
#define MODEL_BYTES 100000u
#define ASKERS 4
#define STEPS_MAX 14

typedef struct bed_t bed_t;

/*  Who wants a model, and has one use of it and of its entry then. */
typedef struct {
    bed_t *bed;
    loader_waiter_t *waiter;
    int told;
    int code;
    bool shared, looked; /* looked: it keeps nothing */
    loader_model_t *model;
} asker_t;

typedef struct {
    bed_t *bed;
} owner_t;

struct bed_t {
    world_t *world;
    char folder [64];
    loader_tier_t *tier;
    loader_loads_t *loads;
    asker_t askers [ASKERS];
    int evicted;
    char evicted_key [65], evicted_part [LOADER_SUBMODEL_SIZE];
    model_config_t config;
};

static void let_go (asker_t *asker)
{
    if (asker->model)
        loader_tier_release (asker->bed->tier, asker->model);
    loader_model_drop (&asker->model);
}

static void close_owner (void *self)
{
    bed_t *bed = ((owner_t *) self)->bed;
    if (!bed || !bed->loads)
        return;
    loader_loads_cancel (bed->loads);
    loader_tier_close (bed->tier);
    for (size_t at = 0; at < ASKERS; at++)
        let_go (&bed->askers [at]);
    loader_loads_destroy (&bed->loads);
    loader_tier_destroy (&bed->tier);
}

static const yard_route_t routes [] = { { 0 } };
static const yard_actor_class_t owner_class = {
    .name = "owner", .size = sizeof (owner_t), .routes = routes, .close = close_owner
};

static void on_evicted (void *argument, loader_model_t *model, const char *reason)
{
    bed_t *bed = argument;
    (void) reason;
    loader_loads_evicted (bed->loads, model, bed->evicted_key, sizeof bed->evicted_key, bed->evicted_part);
    bed->evicted++;
}

static void put_file (const bed_t *bed, const char *name, size_t bytes)
{
    char path [PATH_MAX], *data = calloc (1, bytes);
    assert_non_null (data);
    snprintf (path, sizeof path, "%s/%s", bed->folder, name);
    unlink (path); /* another inode each time */
    int fd = open (path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true (fd >= 0);
    assert_int_equal (write (fd, data, bytes), bytes);
    close (fd);
    free (data);
}

static configuration_t *configuration_of (bed_t *bed)
{
    return (configuration_t *) yard_actor_configuration (bed->world->actor);
}

static void begin (bed_t *bed, bool offload_inline)
{
    bed->world = world_new (&owner_class, offload_inline);
    ((owner_t *) yard_actor_self (bed->world->actor))->bed = bed;
    configuration_of (bed)->loader.host_bytes = BUDGET;
    assert_int_equal (loader_tier_new (bed->world->actor, "host", on_evicted, bed, &bed->tier, NULL), 0);
    bed->loads = loader_loads_new (bed->world->actor, NULL, bed->tier);
    yard_wire_init (model_config_type (), &bed->config);
    bed->config.key = yard_string ("0123456789abcdef0123456789abcdef");
    bed->config.name = yard_string ("a model");
    bed->config.type = model_type_lora;
    bed->config.base = base_model_sd_1;
    bed->config.format = model_format_lycoris;
    bed->config.path = yard_string ("a");
    for (size_t at = 0; at < ASKERS; at++)
        bed->askers [at] = (asker_t){ .bed = bed };
}

static void end (bed_t *bed)
{
    world_destroy (&bed->world);
}

static int make_bed (void **state)
{
    bed_t *bed = calloc (1, sizeof *bed);
    snprintf (bed->folder, sizeof bed->folder, "/tmp/yard-loads-XXXXXX");
    assert_non_null (mkdtemp (bed->folder));
    put_file (bed, "a", MODEL_BYTES);
    put_file (bed, "b", MODEL_BYTES);
    put_file (bed, "c", MODEL_BYTES);
    begin (bed, true);
    *state = bed;
    return 0;
}

static int clear_bed (void **state)
{
    bed_t *bed = *state;
    if (bed->world)
        end (bed);
    assert_int_equal (yard_durable_remove (bed->folder, NULL), 0);
    free (bed);
    return 0;
}

static void on_loaded (void *argument, const loader_loaded_t *loaded)
{
    asker_t *asker = argument;
    asker->waiter = NULL;
    asker->told++;
    asker->code = loaded->code;
    asker->shared = loaded->shared;
    if (loaded->code || asker->looked)
        return;
    asker->model = loader_model_use (loaded->model);
    loader_tier_use (asker->bed->tier, asker->model);
}

static loader_wish_t wish_of (const bed_t *bed, load_form_t form)
{
    return (loader_wish_t){ .config = &bed->config,
                            .submodel = yard_string (""),
                            .variant = yard_string (""),
                            .form = form,
                            .kind = &loader_files,
                            .root = bed->folder,
                            .deadline_ms = LOADER_NO_DEADLINE };
}

static int want (asker_t *asker, const loader_wish_t *wish)
{
    asker->looked = wish->look_only;
    return loader_loads_want (asker->bed->loads, wish, on_loaded, asker, &asker->waiter, NULL);
}

static void turn_until_told (const asker_t *asker)
{
    while (!asker->told)
        assert_true (yard_actor_turn (asker->bed->world->actor, 10000, &asker->bed->world->exit_code));
    assert_int_equal (asker->told, 1);
}

/*  Wants it, and has it. */
static void load (asker_t *asker, const char *path, load_form_t form)
{
    asker->bed->config.path = yard_string (path);
    loader_wish_t wish = wish_of (asker->bed, form);
    assert_int_equal (want (asker, &wish), 0);
    assert_int_equal (asker->told, 0);
    turn_until_told (asker);
    assert_int_equal (asker->code, 0);
}

static loader_ledger_numbers_t ledger_of (const bed_t *bed)
{
    loader_tier_numbers_t numbers;
    loader_tier_numbers (bed->tier, &numbers);
    return numbers.ledger;
}

static void equal_wishes_share_one_load (void **state)
{
    static const load_form_t forms [] = { load_form_mapped, load_form_resident };
    bed_t *bed = *state;
    for (size_t form = 0; form < 2; form++) {
        asker_t *one = &bed->askers [0], *two = &bed->askers [1], *late = &bed->askers [2];
        loader_wish_t wish = wish_of (bed, forms [form]);
        assert_int_equal (want (one, &wish), 0);
        assert_int_equal (want (two, &wish), 0);
        assert_int_equal (loader_loads_under_way (bed->loads), 1);
        turn_until_told (one);
        turn_until_told (two);
        assert_false (one->shared);
        assert_true (two->shared);
        assert_ptr_equal (one->model, two->model);
        load (late, "a", forms [form]);
        assert_true (late->shared);
        assert_ptr_equal (one->model, late->model);
        for (size_t at = 0; at < 3; at++) {
            let_go (&bed->askers [at]);
            bed->askers [at].told = 0;
        }
        loader_loads_sweep (bed->loads);
        assert_int_equal (loader_loads_models (bed->loads), forms [form] == load_form_resident);
    }
    assert_int_equal (ledger_of (bed).evictable, MODEL_BYTES);
}

static void who_is_forgotten_hears_nothing_and_the_other_gets_its_model (void **state)
{
    bed_t *bed = *state;
    asker_t *one = &bed->askers [0], *two = &bed->askers [1];
    loader_wish_t wish = wish_of (bed, load_form_resident);
    for (int step = 0; step < 3; step++) {
        assert_int_equal (want (one, &wish), 0);
        assert_int_equal (want (two, &wish), 0);
        for (int at = 0; at < step && !one->told; at++)
            world_turn (bed->world);
        loader_loads_forget (&one->waiter);
        loader_loads_forget (&one->waiter); /* takes NULL */
        turn_until_told (two);
        assert_int_equal (two->code, 0);
        assert_int_equal (one->told, 0);
        let_go (two);
        loader_tier_make_room (bed->tier, UINT64_MAX);
        two->told = 0;
    }
}

static void a_load_that_nobody_waits_for_ends_and_is_joined_by_nobody (void **state)
{
    bed_t *bed = *state;
    asker_t *one = &bed->askers [0], *two = &bed->askers [1];
    loader_wish_t wish = wish_of (bed, load_form_resident);
    for (int step = 0; step < STEPS_MAX; step++) {
        assert_int_equal (want (one, &wish), 0);
        for (int at = 0; at < step && !one->told; at++)
            world_turn (bed->world);
        if (one->told) {
            let_go (one);
            loader_tier_make_room (bed->tier, UINT64_MAX);
            one->told = 0;
            continue;
        }
        loader_loads_forget (&one->waiter);
        loader_load_row_t row;
        size_t rows = 0;
        for (size_t at = 0; loader_loads_next_under_way (bed->loads, &at, &row);)
            rows++;
        assert_int_equal (rows, 0);
        assert_int_equal (want (two, &wish), 0);
        turn_until_told (two);
        assert_int_equal (two->code, 0);
        assert_false (two->shared);
        assert_int_equal (one->told, 0);
        let_go (two);
        loader_tier_make_room (bed->tier, UINT64_MAX);
        two->told = 0;
    }
    while (loader_loads_under_way (bed->loads) > 0 || ledger_of (bed).draining > 0)
        world_turn (bed->world);
    assert_int_equal (ledger_of (bed).free, BUDGET);
    assert_int_equal (loader_loads_models (bed->loads), 0);
}

static void a_look_keeps_nothing_and_sees_what_is_loaded (void **state)
{
    bed_t *bed = *state;
    asker_t *one = &bed->askers [0], *two = &bed->askers [1];
    loader_wish_t wish = wish_of (bed, load_form_resident);
    wish.look_only = true;
    assert_int_equal (want (one, &wish), 0);
    assert_int_equal (want (two, &wish), 0);
    assert_int_equal (loader_loads_under_way (bed->loads), 2); /* no look is shared */
    turn_until_told (one);
    turn_until_told (two);
    assert_false (one->shared);
    assert_false (two->shared);
    assert_int_equal (loader_loads_models (bed->loads), 0);
    one->told = two->told = 0;
    load (one, "a", load_form_resident);
    assert_int_equal (want (two, &wish), 0);
    turn_until_told (two);
    assert_true (two->shared);
    put_file (bed, "a", MODEL_BYTES);
    two->told = 0;
    assert_int_equal (want (two, &wish), 0);
    turn_until_told (two);
    assert_false (two->shared); /* what is loaded is another file's */
}

static void a_file_that_was_replaced_is_loaded_anew (void **state)
{
    static const load_form_t forms [] = { load_form_mapped, load_form_resident };
    bed_t *bed = *state;
    for (size_t form = 0; form < 2; form++) {
        asker_t *one = &bed->askers [0], *two = &bed->askers [1];
        load (one, "a", forms [form]);
        put_file (bed, "a", MODEL_BYTES);
        load (two, "a", forms [form]);
        assert_false (two->shared);
        assert_ptr_not_equal (one->model, two->model);
        assert_int_equal (loader_loads_models (bed->loads), 1);
        assert_int_equal (ledger_of (bed).draining, forms [form] == load_form_resident ? MODEL_BYTES : 0);
        let_go (one);
        let_go (two);
        one->told = two->told = 0;
        loader_tier_make_room (bed->tier, UINT64_MAX);
        loader_loads_sweep (bed->loads);
        while (ledger_of (bed).draining > 0)
            world_turn (bed->world);
        assert_int_equal (ledger_of (bed).free, BUDGET);
        assert_int_equal (loader_loads_models (bed->loads), 0);
    }
}

/*  Its directory would be another: the attributes say which tensors are whose part. */
static void a_record_that_was_changed_is_another_wish (void **state)
{
    bed_t *bed = *state;
    load (&bed->askers [0], "a", load_form_mapped);
    bed->config.base = base_model_sdxl;
    load (&bed->askers [1], "a", load_form_mapped);
    assert_false (bed->askers [1].shared);
    bed->config.type = model_type_vae;
    load (&bed->askers [2], "a", load_form_mapped);
    assert_false (bed->askers [2].shared);
    assert_int_equal (loader_loads_models (bed->loads), 3);
}

static void a_model_that_is_being_compared_with_is_not_evicted (void **state)
{
    bed_t *bed = *state;
    asker_t *one = &bed->askers [0], *two = &bed->askers [1];
    load (one, "a", load_form_resident);
    let_go (one);
    loader_wish_t wish = wish_of (bed, load_form_resident);
    assert_int_equal (want (two, &wish), 0);
    loader_tier_make_room (bed->tier, UINT64_MAX);
    assert_int_equal (bed->evicted, 0);
    turn_until_told (two);
    assert_true (two->shared);
    let_go (two);
    loader_tier_make_room (bed->tier, UINT64_MAX);
    assert_int_equal (bed->evicted, 1);
    assert_string_equal (bed->evicted_key, "0123456789abcdef0123456789abcdef");
    assert_string_equal (bed->evicted_part, "");
}

static void who_joins_with_more_time_waits_for_room_longer (void **state)
{
    bed_t *bed = *state;
    asker_t *first = &bed->askers [2], *joined = &bed->askers [3];
    load (&bed->askers [0], "a", load_form_resident);
    load (&bed->askers [1], "b", load_form_resident); /* 200 of 250 kB, and in use */
    bed->config.path = yard_string ("c");
    int64_t now = yard_now_ms (bed->world->actor);
    loader_wish_t wish = wish_of (bed, load_form_resident);
    wish.deadline_ms = now + 100;
    assert_int_equal (want (first, &wish), 0);
    for (int at = 0; at < 5; at++)
        world_turn (bed->world);
    assert_int_equal (ledger_of (bed).waiters, 1);
    wish.deadline_ms = now + 1000;
    assert_int_equal (want (joined, &wish), 0);
    loader_loads_forget (&first->waiter); /* its deadline has passed */
    world_pass (bed->world, 500);
    world_turn (bed->world);
    assert_int_equal (joined->told, 0);
    let_go (&bed->askers [0]);
    turn_until_told (joined);
    assert_int_equal (joined->code, 0);
    assert_int_equal (bed->evicted, 1);
}

static void files_count_from_when_they_are_open (void **state)
{
    bed_t *bed = *state;
    asker_t *waits = &bed->askers [2], *more = &bed->askers [3];
    configuration_of (bed)->loader.files_max = 3;
    load (&bed->askers [0], "a", load_form_resident);
    load (&bed->askers [1], "b", load_form_resident);
    bed->config.path = yard_string ("c");
    loader_wish_t wish = wish_of (bed, load_form_resident);
    assert_int_equal (want (waits, &wish), 0);
    for (int at = 0; at < 5; at++)
        world_turn (bed->world);
    assert_int_equal (ledger_of (bed).waiters, 1);
    bed->config.path = yard_string ("a");
    wish = wish_of (bed, load_form_mapped);
    assert_int_equal (want (more, &wish), 0);
    turn_until_told (more);
    assert_int_equal (more->code, YARD_BUSY);
    loader_loads_forget (&waits->waiter);
    while (loader_loads_under_way (bed->loads) > 0)
        world_turn (bed->world);
    more->told = 0;
    assert_int_equal (want (more, &wish), 0);
    turn_until_told (more);
    assert_int_equal (more->code, 0);
}

static void a_file_that_is_none_is_refused_and_holds_nobody (void **state)
{
    static const struct {
        const char *path;
        int code;
    } rows [] = {
        { "fifo", YARD_INVALID_FILE },       { "gone", YARD_MODEL_NOT_FOUND },
        { "link", YARD_FORBIDDEN },          { "../a", YARD_FORBIDDEN },
        { "/etc/hostname", YARD_FORBIDDEN }, { "/proc/self/status", YARD_FORBIDDEN },
        { "a/b", YARD_MODEL_NOT_FOUND },
    };
    bed_t *bed = *state;
    char path [PATH_MAX];
    snprintf (path, sizeof path, "%s/fifo", bed->folder);
    assert_int_equal (mkfifo (path, 0600), 0);
    snprintf (path, sizeof path, "%s/link", bed->folder);
    assert_int_equal (symlink ("a", path), 0);
    for (size_t at = 0; at < sizeof rows / sizeof rows [0]; at++) {
        asker_t *asker = &bed->askers [0];
        bed->config.path = yard_string (rows [at].path);
        loader_wish_t wish = wish_of (bed, load_form_resident);
        asker->told = 0;
        assert_int_equal (want (asker, &wish), 0);
        turn_until_told (asker);
        if (asker->code != rows [at].code)
            fail_msg ("%s: %s", rows [at].path, yard_error_row (asker->code)->word);
    }
    assert_int_equal (ledger_of (bed).free, BUDGET);
}

/*  ASan says whether something is used that is gone, LSan whether something is left. */
static void the_actor_may_end_at_any_step (void **state)
{
    bed_t *bed = *state;
    end (bed);
    for (int threads = 0; threads < 2; threads++)
        for (int step = 0; step < STEPS_MAX; step++) {
            begin (bed, threads == 0);
            loader_wish_t wish = wish_of (bed, load_form_resident);
            assert_int_equal (want (&bed->askers [0], &wish), 0);
            wish.form = load_form_mapped;
            assert_int_equal (want (&bed->askers [1], &wish), 0);
            for (int at = 0; at < step && !bed->askers [0].told; at++)
                yard_actor_turn (bed->world->actor, 10000, &bed->world->exit_code);
            end (bed);
            assert_true (bed->askers [0].told <= 1 && bed->askers [1].told <= 1);
        }
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test_setup_teardown (equal_wishes_share_one_load, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (who_is_forgotten_hears_nothing_and_the_other_gets_its_model,
                                         make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (a_load_that_nobody_waits_for_ends_and_is_joined_by_nobody, make_bed,
                                         clear_bed),
        cmocka_unit_test_setup_teardown (a_look_keeps_nothing_and_sees_what_is_loaded, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (a_file_that_was_replaced_is_loaded_anew, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (a_record_that_was_changed_is_another_wish, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (a_model_that_is_being_compared_with_is_not_evicted, make_bed,
                                         clear_bed),
        cmocka_unit_test_setup_teardown (who_joins_with_more_time_waits_for_room_longer, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (files_count_from_when_they_are_open, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (a_file_that_is_none_is_refused_and_holds_nobody, make_bed,
                                         clear_bed),
        cmocka_unit_test_setup_teardown (the_actor_may_end_at_any_step, make_bed, clear_bed),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
