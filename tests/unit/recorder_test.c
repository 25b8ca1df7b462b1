// SPDX-License-Identifier: Apache-2.0
/*  recorder_test.c - the recorder as an actor: what its asks, answers and events are on the bus
 *
 *  The test is its broker. Events are what it asks event.publish with; they are taken, and their names noted.
 */
#include "actor_world.h"
#include "actors/ground/durable.h"

#define TOKEN "hf_very_secret_word"
#define FAULT_TURN 2 /* the first case makes its commits count; see main */

extern const yard_actor_class_t recorder_class;

typedef struct {
    world_t *world;
    char told [4096]; /* names of events, each with a space */
    uint64_t change; /* of the last one */
    bool deaf; /* event.publish is not answered */
    uint64_t asked; /* for fresh numbers */
} desk_t;

static int begin (void **state)
{
    desk_t *desk = calloc (1, sizeof *desk);
    desk->world = world_new (&recorder_class, true);
    world_welcome (desk->world, EPOCH_ONE);
    *state = desk;
    return 0;
}

static int end (void **state)
{
    desk_t *desk = *state;
    yard_error_t error;
    yard_actor_destroy (&desk->world->actor);
    assert_int_equal (yard_durable_remove (desk->world->directory, &error), 0);
    world_destroy (&desk->world);
    free (desk);
    return 0;
}

static void take_events (desk_t *desk, const yard_envelope_t *envelope)
{
    const event_publish_ask_t *ask = world_read (desk->world, event_publish_ask_type (), envelope->body);
    size_t used = strlen (desk->told);
    for (size_t i = 0; i < ask->events.count; i++) {
        const told_t *told = &ask->events.items [i];
        used += (size_t) snprintf (desk->told + used, sizeof desk->told - used, "%s%.*s ",
                                   told->change ? "" : "~", YARD_VIEW (told->name));
        if (told->change) {
            assert_int_equal (told->change, desk->change + 1);
            desk->change = told->change;
        }
    }
    event_publish_answer_t answer = { .number = 1, .change = desk->change };
    if (!desk->deaf)
        world_say (desk->world, 'R', envelope->id, envelope->name, event_publish_answer_type (), &answer);
}

/*  Reads what came; true: the answer to id, in ret. Hellos and events are seen to. */
static bool listen (desk_t *desk, const char *id, yard_envelope_t *ret)
{
    while (world_hear (desk->world, ret)) {
        if (ret->letter == 'A')
            take_events (desk, ret);
        else if (ret->letter == 'H') {
            welcome_t welcome = { .epoch = yard_string (EPOCH_ONE), .protocol = 1, .ping_ms = 500 };
            world_say (desk->world, 'W', (yard_string_t){ 0 }, (yard_string_t){ 0 }, welcome_type (),
                       &welcome);
        } else if (yard_string_is (ret->id, id))
            return true;
    }
    return false;
}

static void ask_once (desk_t *desk, const char *id, const yard_method_t *method, const void *body,
                      const char *once)
{
    role_t role = role_admin;
    from_t from = { .client = yard_string ("c1"), .user = yard_string ("local") };
    from.roles.items = &role;
    from.roles.count = 1;
    meta_t meta = { .has_once = once != NULL, .once = yard_string (once) };
    char name [YARD_METHOD_NAME_MAX];
    yard_method_name (method, name);
    yard_envelope_t envelope = { .letter = 'A',
                                 .id = yard_string (id),
                                 .name = yard_string (name),
                                 .body = world_pack (desk->world, method->ask (), body),
                                 .meta = world_pack (desk->world, meta_type (), &meta),
                                 .from = world_pack (desk->world, from_type (), &from) };
    world_send (desk->world, &envelope);
    world_turn (desk->world);
}

/*  A fresh number as an id. */
static const char *number (desk_t *desk, char *id)
{
    snprintf (id, 9, "n%07u", (unsigned) (++desk->asked % 10000000));
    return id;
}

/*  The answer as its record; a failure as its code in ret_code. */
static const void *answer_of (desk_t *desk, const char *id, const yard_method_t *method, int *ret_code)
{
    yard_envelope_t envelope;
    for (int turns = 0; !listen (desk, id, &envelope); turns++) {
        if (turns == 4)
            return NULL;
        world_turn (desk->world);
    }
    *ret_code = 0;
    if (envelope.letter == 'R')
        return world_read (desk->world, method->answer (), envelope.body);
    const failure_t *failure = world_read (desk->world, failure_type (), envelope.body);
    *ret_code = yard_error_code (failure->code.data, failure->code.size);
    return NULL;
}

static const void *call (desk_t *desk, const yard_method_t *method, const void *body, const char *once,
                         int *ret_code)
{
    char id [9];
    *ret_code = YARD_INTERNAL; /* nothing came */
    ask_once (desk, number (desk, id), method, body, once);
    return answer_of (desk, id, method, ret_code);
}

/*  Lets published events be heard. */
static void hear_events (desk_t *desk)
{
    yard_envelope_t envelope;
    for (int turns = 0; turns < 4; turns++) {
        assert_false (listen (desk, "", &envelope));
        world_turn (desk->world);
    }
}

static void pass (desk_t *desk, int64_t ms)
{
    for (; ms > 0; ms -= 250) {
        desk->world->now_ns += 250 * 1000000LL;
        yard_envelope_t envelope;
        assert_false (listen (desk, "", &envelope));
        world_turn (desk->world);
    }
}

/*  --- asks
 *  ---------------------------------------------------------------------------------------------------------------- */
static job_submit_ask_t download (const char *source)
{
    job_submit_ask_t ask;
    yard_wire_init (job_submit_ask_type (), &ask);
    ask.kind = job_kind_download;
    ask.has_download = true;
    ask.download = (download_request_t){ .source = yard_string (source),
                                         .path = yard_string ("/models/.staging/1/file") };
    return ask;
}

static uint64_t submit (desk_t *desk)
{
    int code;
    job_submit_ask_t ask = download ("https://example.org/a");
    const job_submit_answer_t *answer = call (desk, &job_submit_method, &ask, NULL, &code);
    assert_non_null (answer);
    return answer->job.id;
}

/*  A lease of member w1; the ask stays open under the id. */
static void ask_for_work (desk_t *desk, char *id, job_holding_t *holding, size_t count)
{
    job_kind_t kind = job_kind_download;
    job_lease_ask_t ask = { .node = yard_string ("box7"), .member = yard_string ("w1"), .room = 1 };
    ask.kinds.items = &kind;
    ask.kinds.count = 1;
    ask.holding.items = holding;
    ask.holding.count = count;
    ask_once (desk, number (desk, id), &job_lease_method, &ask, NULL);
}

static job_grant_t granted (desk_t *desk, const char *id)
{
    int code;
    const job_lease_answer_t *answer = answer_of (desk, id, &job_lease_method, &code);
    assert_non_null (answer);
    assert_int_equal (answer->grants.count, 1);
    return answer->grants.items [0];
}

static job_t finish (desk_t *desk, const job_grant_t *grant)
{
    int code;
    job_finish_ask_t ask = { .job = grant->job.id,
                             .token = grant->token,
                             .has_download_result = true,
                             .download_result = { .path = yard_string ("/models/.staging/1/file"),
                                                  .bytes = 5,
                                                  .sha256 =
                                                      yard_string ("0123456789abcdef0123456789abcdef"
                                                                   "0123456789abcdef0123456789abcdef") } };
    const job_t *job = call (desk, &job_finish_method, &ask, NULL, &code);
    assert_non_null (job);
    return *job;
}

/*  --- cases
 *  --------------------------------------------------------------------------------------------------------------- */
/*  Runs first: its second commit is the one that the environment breaks. */
static void a_commit_that_fails_fails_its_answers_and_takes_its_grants_back (void **state)
{
    desk_t *desk = *state;
    char id [9];
    int code = 0;
    uint64_t job = submit (desk);
    ask_for_work (desk, id, NULL, 0); /* this turn's commit fails */
    assert_null (answer_of (desk, id, &job_lease_method, &code));
    assert_int_equal (code, YARD_STORE_FAILED);
    const job_t *row = call (desk, &job_get_method, &(job_id_t){ job }, NULL, &code);
    assert_non_null (row);
    assert_int_equal (row->status, job_status_enqueued);
    ask_for_work (desk, id, NULL, 0);
    assert_int_equal (granted (desk, id).token, 1);
    hear_events (desk);
    assert_string_equal (desk->told, "download_enqueued download_running ");
}

static void a_lease_is_answered_when_there_is_work (void **state)
{
    desk_t *desk = *state;
    char id [9];
    int code;
    yard_envelope_t envelope;
    ask_for_work (desk, id, NULL, 0);
    assert_false (listen (desk, id, &envelope));
    uint64_t job = submit (desk);
    job_grant_t grant = granted (desk, id);
    assert_int_equal (grant.job.id, job);
    assert_int_equal (finish (desk, &grant).status, job_status_completed);
    const job_t *row = call (desk, &job_get_method, &(job_id_t){ job }, NULL, &code);
    assert_int_equal (row->status, job_status_completed);
    hear_events (desk);
    assert_string_equal (desk->told, "download_enqueued download_running download_completed ");
}

static void a_members_open_ask_is_forgotten_when_it_goes (void **state)
{
    desk_t *desk = *state;
    char first [9], second [9];
    yard_envelope_t envelope;
    ask_for_work (desk, first, NULL, 0);
    world_say (desk->world, 'B', yard_string (first), yard_string (""), NULL, NULL);
    world_turn (desk->world);
    assert_true (listen (desk, first, &envelope)); /* cancelled */
    submit (desk);
    assert_false (listen (desk, first, &envelope));
    ask_for_work (desk, second, NULL, 0);
    granted (desk, second);
}

static void a_lease_that_is_not_extended_is_granted_to_the_next (void **state)
{
    desk_t *desk = *state;
    char id [9];
    uint64_t job = submit (desk);
    ask_for_work (desk, id, NULL, 0);
    job_grant_t grant = granted (desk, id);
    job_holding_t holding = { job, grant.token };
    ask_for_work (desk, id, &holding, 1);
    yard_envelope_t envelope;
    int64_t waited_ms = 0;
    for (; !listen (desk, id, &envelope); waited_ms += 250) {
        assert_true (waited_ms < 33000);
        desk->world->now_ns += 250 * 1000000LL;
        world_turn (desk->world);
    }
    assert_in_range (waited_ms, 30000, 32000);
    const job_lease_answer_t *answer = world_read (desk->world, job_lease_answer_type (), envelope.body);
    assert_int_equal (answer->grants.items [0].token, grant.token + 1);
}

static void a_loop_that_stood_still_costs_nobody_a_lease (void **state)
{
    desk_t *desk = *state;
    char id [9];
    int code;
    uint64_t job = submit (desk);
    ask_for_work (desk, id, NULL, 0);
    granted (desk, id);
    desk->world->now_ns += 300 * 1000000000LL;
    world_turn (desk->world);
    world_turn (desk->world);
    world_turn (desk->world);
    const job_t *row = call (desk, &job_get_method, &(job_id_t){ job }, NULL, &code);
    assert_int_equal (row->status, job_status_running);
}

static void progress_is_told_without_a_change (void **state)
{
    desk_t *desk = *state;
    char id [9];
    int code;
    uint64_t job = submit (desk);
    ask_for_work (desk, id, NULL, 0);
    job_grant_t grant = granted (desk, id);
    job_progress_t progress = { .job = job, .token = grant.token, .bytes = 50, .total_bytes = 100 };
    job_extend_ask_t ask = { 0 };
    ask.leases.items = &progress;
    ask.leases.count = 1;
    const job_extend_answer_t *answer = call (desk, &job_extend_method, &ask, NULL, &code);
    assert_non_null (answer);
    assert_int_equal (answer->revoked.count, 0);
    hear_events (desk);
    assert_string_equal (desk->told, "download_enqueued download_running ~download_running ");
}

static void the_same_ask_with_its_once_key_has_one_effect (void **state)
{
    desk_t *desk = *state;
    int code;
    job_submit_ask_t ask = download ("https://example.org/a"), other = download ("https://example.org/b");
    const job_submit_answer_t *first = call (desk, &job_submit_method, &ask, "key 1", &code);
    const job_submit_answer_t *second = call (desk, &job_submit_method, &ask, "key 1", &code);
    assert_non_null (second);
    assert_int_equal (first->job.id, second->job.id);
    assert_false (second->existed);
    assert_null (call (desk, &job_submit_method, &other, "key 1", &code));
    assert_int_equal (code, YARD_CONFLICT);
    const job_submit_answer_t *third = call (desk, &job_submit_method, &ask, "key 2", &code);
    assert_int_not_equal (third->job.id, first->job.id);
}

/* R2.8 */
static void a_wait_is_answered_when_its_last_job_has_ended (void **state)
{
    desk_t *desk = *state;
    char wait [9];
    int code;
    yard_envelope_t envelope;
    uint64_t ids [2] = { submit (desk), submit (desk) };
    job_wait_ask_t ask = { 0 };
    ask.ids.items = ids;
    ask.ids.count = 2;
    ask_once (desk, number (desk, wait), &job_wait_method, &ask, NULL);
    assert_non_null (call (desk, &job_cancel_method, &(job_id_t){ ids [1] }, NULL, &code));
    assert_false (listen (desk, wait, &envelope));
    char id [9];
    ask_once (desk, number (desk, id), &job_cancel_method, &(job_id_t){ ids [0] }, NULL);
    const job_list_answer_t *answer = answer_of (desk, wait, &job_wait_method, &code);
    assert_non_null (answer);
    assert_int_equal (answer->jobs.count, 2);
    assert_int_equal (answer->jobs.items [0].id, ids [0]);
}

/* R2.8 */
static void a_wait_whose_time_is_over_answers_with_what_has_ended (void **state)
{
    desk_t *desk = *state;
    char wait [9];
    int code;
    uint64_t first = submit (desk);
    submit (desk);
    job_wait_ask_t ask = { .timeout_ms = 5000 };
    ask_once (desk, number (desk, wait), &job_wait_method, &ask, NULL);
    assert_non_null (call (desk, &job_cancel_method, &(job_id_t){ first }, NULL, &code));
    desk->world->now_ns += 5000 * 1000000LL;
    world_turn (desk->world);
    const job_list_answer_t *answer = answer_of (desk, wait, &job_wait_method, &code);
    assert_non_null (answer);
    assert_int_equal (answer->jobs.count, 1);
    assert_int_equal (answer->jobs.items [0].id, first);
}

static void a_wait_for_nothing_is_answered_at_once_and_for_no_job_refused (void **state)
{
    desk_t *desk = *state;
    int code;
    job_wait_ask_t ask = { 0 };
    const job_list_answer_t *answer = call (desk, &job_wait_method, &ask, NULL, &code);
    assert_non_null (answer);
    assert_int_equal (answer->jobs.count, 0);
    uint64_t unknown = 4711;
    ask.ids.items = &unknown;
    ask.ids.count = 1;
    assert_null (call (desk, &job_wait_method, &ask, NULL, &code));
    assert_int_equal (code, YARD_UNKNOWN_JOB);
}

static size_t secret_files (desk_t *desk, const char *word)
{
    char command [200], text [16] = "";
    snprintf (command, sizeof command, "grep -rl %s %s | wc -l", word, desk->world->directory);
    FILE *pipe = popen (command, "r");
    assert_non_null (fgets (text, sizeof text, pipe));
    pclose (pipe);
    return (size_t) strtoul (text, NULL, 10);
}

static void a_token_lies_in_its_own_file_goes_with_the_grant_and_ends_with_the_job (void **state)
{
    desk_t *desk = *state;
    char id [9];
    int code;
    job_submit_ask_t ask = download ("https://example.org/a");
    ask.has_access_token = true;
    ask.access_token = yard_string (TOKEN);
    const job_submit_answer_t *answer = call (desk, &job_submit_method, &ask, NULL, &code);
    assert_non_null (answer);
    assert_int_equal (secret_files (desk, TOKEN), 1); /* not in yard.db, not in its log */
    ask_for_work (desk, id, NULL, 0);
    job_grant_t grant = granted (desk, id);
    assert_true (grant.has_access_token && yard_string_is (grant.access_token, TOKEN));
    finish (desk, &grant);
    hear_events (desk);
    assert_int_equal (secret_files (desk, TOKEN), 0);
}

static void events_go_again_until_the_broker_has_taken_them (void **state)
{
    desk_t *desk = *state;
    desk->deaf = true;
    submit (desk);
    hear_events (desk);
    assert_string_equal (desk->told, "download_enqueued ");
    desk->deaf = false;
    desk->change = 0;
    world_new_broker (desk->world, EPOCH_TWO);
    pass (desk, 1000);
    assert_string_equal (desk->told, "download_enqueued download_enqueued ");
    pass (desk, 1000);
    assert_string_equal (desk->told, "download_enqueued download_enqueued "); /* and then no more */
}

/* R1.6 R1.7 */
static void a_record_is_stored_and_found_over_the_bus (void **state)
{
    desk_t *desk = *state;
    int code;
    record_add_ask_t ask;
    yard_wire_init (record_add_ask_type (), &ask);
    ask.config.key = yard_string ("0000000000000000000000000000000a");
    ask.config.name = yard_string ("pencil");
    ask.config.type = model_type_lora;
    ask.config.base = base_model_sd_1;
    ask.config.format = model_format_lycoris;
    ask.config.path = yard_string ("sd-1/lora/pencil");
    ask.config.hash = yard_string ("imohash:00");
    assert_non_null (call (desk, &record_add_method, &ask, NULL, &code));
    const model_record_t *record =
        call (desk, &record_get_method, &(record_key_t){ ask.config.key }, NULL, &code);
    assert_non_null (record);
    assert_true (yard_string_is (record->config.name, "pencil"));
    record_search_ask_t search = { .limit = 10, .has_name = true, .name = yard_string ("pencil") };
    const record_search_answer_t *found = call (desk, &record_search_method, &search, NULL, &code);
    assert_int_equal (found->records.count, 1);
    assert_null (call (desk, &record_delete_method, &(record_key_t){ yard_string ("nothing") }, NULL, &code));
    assert_int_equal (code, YARD_UNKNOWN_MODEL);
}

/*  The recorder goes, the last page of its file is overwritten, and it comes again. */
static void damage_and_restart (desk_t *desk)
{
    world_t *world = desk->world;
    char path [64];
    yard_envelope_t envelope;
    yard_error_t error;
    yard_actor_destroy (&world->actor);
    while (world_hear (world, &envelope))
        continue;
    snprintf (path, sizeof path, "%s/yard.db", world->directory);
    FILE *file = fopen (path, "r+");
    assert_non_null (file);
    fseek (file, -4096, SEEK_END);
    fputs ("no page of a database", file);
    fclose (file);
    yard_actor_options_t options = { .bus = world->bus,
                                     .clock = &world->clock,
                                     .random = &world->random,
                                     .configuration = world->configuration,
                                     .paths = &world->paths,
                                     .offload_inline = true };
    if (yard_actor_new (&recorder_class, &options, &world->actor, &error))
        fail_msg ("%s", error.text);
    world_welcome (world, EPOCH_ONE);
}

static void a_damaged_store_is_told_and_only_read_from (void **state)
{
    desk_t *desk = *state;
    int code;
    uint64_t job = submit (desk);
    for (int i = 0; i < 40; i++)
        submit (desk);
    hear_events (desk);
    desk->told [0] = 0;
    damage_and_restart (desk);
    hear_events (desk);
    assert_string_equal (desk->told, "~store_damaged ");
    job_submit_ask_t ask = download ("https://example.org/a");
    assert_null (call (desk, &job_submit_method, &ask, NULL, &code));
    assert_int_equal (code, YARD_STORE_READ_ONLY);
    assert_non_null (call (desk, &job_get_method, &(job_id_t){ job }, NULL, &code));
}

int main (void)
{
    char fault [64];
    snprintf (fault, sizeof fault, "recorder.before_commit:%d", FAULT_TURN);
    setenv ("MODELYARD_FAULT", fault, 1); /* read once, at the first commit of the process */
#define DESK(name) cmocka_unit_test_setup_teardown (name, begin, end)
    const struct CMUnitTest tests [] = {
        DESK (a_commit_that_fails_fails_its_answers_and_takes_its_grants_back),
        DESK (a_lease_is_answered_when_there_is_work),
        DESK (a_members_open_ask_is_forgotten_when_it_goes),
        DESK (a_lease_that_is_not_extended_is_granted_to_the_next),
        DESK (a_loop_that_stood_still_costs_nobody_a_lease),
        DESK (progress_is_told_without_a_change),
        DESK (the_same_ask_with_its_once_key_has_one_effect),
        DESK (a_wait_is_answered_when_its_last_job_has_ended),
        DESK (a_wait_whose_time_is_over_answers_with_what_has_ended),
        DESK (a_wait_for_nothing_is_answered_at_once_and_for_no_job_refused),
        DESK (a_token_lies_in_its_own_file_goes_with_the_grant_and_ends_with_the_job),
        DESK (events_go_again_until_the_broker_has_taken_them),
        DESK (a_record_is_stored_and_found_over_the_bus),
        DESK (a_damaged_store_is_told_and_only_read_from),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
