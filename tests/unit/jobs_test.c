// SPDX-License-Identifier: Apache-2.0
/*  jobs_test.c - the life of downloads and installs, and what parents and children do to each other */
#include "recorder_fixture.h"

/*  An install with two files, its parent waiting for them. */
typedef struct {
    uint64_t parent, children [2];
} family_t;

static int expand (fixture_t *self, uint64_t job, uint64_t token, job_submit_ask_t *children, size_t count,
                   job_expand_answer_t *ret)
{
    job_expand_ask_t ask = { .job = job,
                             .token = token,
                             .step = yard_string ("probe"),
                             .local_path = yard_string ("/models/.staging/1") };
    ask.children.items = children;
    ask.children.count = count;
    return EFFECT_CODE (self, recorder_job_expand (&self->book, &ask, ret, &self->error));
}

static family_t make_family (fixture_t *self)
{
    family_t family;
    uint64_t leased;
    job_submit_ask_t install = fixture_install ("https://example.org/a", false);
    job_submit_ask_t files [2] = { fixture_download ("https://example.org/a/1"),
                                   fixture_download ("https://example.org/a/2") };
    family.parent = fixture_submit (self, &install);
    uint64_t token = fixture_grant (self, "installer", job_kind_install, &leased);
    assert_int_equal (leased, family.parent);
    job_expand_answer_t answer;
    assert_int_equal (expand (self, family.parent, token, files, 2, &answer), 0);
    assert_int_equal (answer.children.count, 2);
    memcpy (family.children, answer.children.items, sizeof family.children);
    fixture_commit (self);
    return family;
}

static int finish (fixture_t *self, uint64_t job, uint64_t token, uint64_t bytes)
{
    job_finish_ask_t ask = fixture_finish (job, token, bytes);
    job_t answer;
    return EFFECT_CODE (self, recorder_job_finish (&self->book, &ask, &answer, &self->error));
}

static int fail_job (fixture_t *self, uint64_t job, uint64_t token, const char *error_type)
{
    job_fail_ask_t ask = {
        .job = job, .token = token, .error_type = yard_string (error_type), .error = yard_string ("it broke")
    };
    job_t answer;
    return EFFECT_CODE (self, recorder_job_fail (&self->book, &ask, &answer, &self->error));
}

static void change (fixture_t *self, uint64_t id,
                    int (*effect) (recorder_book_t *, uint64_t, job_t *, yard_error_t *))
{
    job_t job;
    MUST (self, effect (&self->book, id, &job, &self->error));
}

/*  --- one job
 *  ------------------------------------------------------------------------------------------------------------- */
/* R3.1 R3.5 */
static void a_download_goes_from_enqueued_over_running_to_completed (void **state)
{
    fixture_t *self = *state;
    uint64_t leased;
    job_submit_ask_t ask = fixture_download ("https://example.org/a");
    uint64_t id = fixture_submit (self, &ask);
    assert_int_equal (fixture_job (self, id).status, job_status_enqueued);
    uint64_t token = fixture_grant (self, "w1", job_kind_download, &leased);
    assert_int_equal (leased, id);
    assert_int_equal (fixture_job (self, id).status, job_status_running);
    assert_int_equal (finish (self, id, token, 99), 0);
    job_t job = fixture_job (self, id);
    assert_int_equal (job.status, job_status_completed);
    assert_int_equal (job.bytes, 99);
    assert_true (job.has_download_result && job.has_ended_ms);
    assert_int_equal (job.change, self->book.change);
    assert_events (self, 0, "download_enqueued/1 download_running/1 download_completed/1 ");
}

static void a_request_that_is_not_of_its_kind_is_refused (void **state)
{
    fixture_t *self = *state;
    job_submit_answer_t answer;
    job_submit_ask_t none = { .kind = job_kind_download }, other = fixture_download ("https://example.org/a"),
                     later = { .kind = job_kind_hash };
    other.kind = job_kind_install;
    assert_int_equal (
        EFFECT_CODE (self, recorder_job_submit (&self->book, &none, yard_string (""), &answer, &self->error)),
        YARD_INVALID_MESSAGE);
    assert_int_equal (EFFECT_CODE (self, recorder_job_submit (&self->book, &other, yard_string (""), &answer,
                                                              &self->error)),
                      YARD_INVALID_MESSAGE);
    assert_int_equal (EFFECT_CODE (self, recorder_job_submit (&self->book, &later, yard_string (""), &answer,
                                                              &self->error)),
                      YARD_NOT_IMPLEMENTED);
}

static void an_equal_live_job_is_answered_instead_of_a_new_one (void **state)
{
    fixture_t *self = *state;
    job_submit_answer_t answer;
    job_submit_ask_t ask = fixture_install ("https://example.org/a", false);
    ask.has_equal = true;
    ask.equal = yard_string ("digest");
    uint64_t first = fixture_submit (self, &ask);
    MUST (self, recorder_job_submit (&self->book, &ask, yard_string (""), &answer, &self->error));
    assert_true (answer.existed);
    assert_int_equal (answer.job.id, first);
    change (self, first, recorder_job_cancel);
    assert_int_not_equal (fixture_submit (self, &ask), first); /* an ended one is no reason not to */
}

/* R2.5 */
static void an_install_has_a_key_and_a_download_has_none (void **state)
{
    fixture_t *self = *state;
    job_submit_ask_t install = fixture_install ("/disk/a.safetensors", true),
                     download = fixture_download ("https://example.org/a");
    job_t job = fixture_job (self, fixture_submit (self, &install));
    assert_int_equal (job.key.size, 32);
    assert_true (yard_string_is (job.local_path, "/disk/a.safetensors"));
    assert_int_equal (fixture_job (self, fixture_submit (self, &download)).key.size, 0);
}

static void an_id_is_never_used_again (void **state)
{
    fixture_t *self = *state;
    job_submit_ask_t ask = fixture_download ("https://example.org/a");
    job_prune_ask_t prune = { 0 };
    job_prune_answer_t pruned;
    uint64_t id = fixture_submit (self, &ask);
    change (self, id, recorder_job_cancel);
    MUST (self, recorder_job_prune (&self->book, &prune, &pruned, &self->error));
    assert_int_equal (pruned.pruned, 1);
    fixture_commit (self);
    fixture_reopen (self);
    assert_true (fixture_submit (self, &ask) > id);
}

/* R2.5 */
static void a_paused_install_is_waiting_and_held (void **state)
{
    fixture_t *self = *state;
    uint64_t leased;
    job_submit_ask_t ask = fixture_install ("https://example.org/a", false);
    uint64_t id = fixture_submit (self, &ask);
    change (self, id, recorder_job_pause);
    job_t job = fixture_job (self, id);
    assert_int_equal (job.status, job_status_waiting);
    assert_true (job.held);
    fixture_grant (self, "installer", job_kind_install, &leased);
    assert_int_equal (leased, 0);
    change (self, id, recorder_job_start);
    fixture_grant (self, "installer", job_kind_install, &leased);
    assert_int_equal (leased, id);
}

static void a_job_submitted_held_is_not_leased_before_its_start (void **state)
{
    fixture_t *self = *state;
    uint64_t leased;
    job_submit_ask_t ask = fixture_download ("https://example.org/a");
    ask.held = true;
    uint64_t id = fixture_submit (self, &ask);
    assert_int_equal (fixture_job (self, id).status, job_status_idle);
    fixture_grant (self, "w1", job_kind_download, &leased);
    assert_int_equal (leased, 0);
    change (self, id, recorder_job_start);
    fixture_grant (self, "w1", job_kind_download, &leased);
    assert_int_equal (leased, id);
}

static void what_has_ended_can_be_neither_cancelled_nor_paused (void **state)
{
    fixture_t *self = *state;
    job_t job;
    job_submit_ask_t ask = fixture_download ("https://example.org/a");
    uint64_t id = fixture_submit (self, &ask);
    change (self, id, recorder_job_cancel);
    assert_int_equal (EFFECT_CODE (self, recorder_job_cancel (&self->book, id, &job, &self->error)),
                      YARD_TOO_LATE);
    assert_int_equal (EFFECT_CODE (self, recorder_job_pause (&self->book, id, &job, &self->error)),
                      YARD_TOO_LATE);
    assert_int_equal (EFFECT_CODE (self, recorder_job_start (&self->book, id, &job, &self->error)),
                      YARD_TOO_LATE);
    assert_int_equal (EFFECT_CODE (self, recorder_job_start (&self->book, 4711, &job, &self->error)),
                      YARD_UNKNOWN_JOB);
}

/*  --- families
 *  ------------------------------------------------------------------------------------------------------------ */
/* R2.6 R2.13 */
static void the_last_child_releases_the_parent (void **state)
{
    fixture_t *self = *state;
    uint64_t leased;
    family_t family = make_family (self);
    assert_int_equal (fixture_job (self, family.parent).status, job_status_downloading);
    for (int i = 0; i < 2; i++) {
        fixture_grant (self, "installer", job_kind_install, &leased);
        assert_int_equal (leased, 0);
        uint64_t token = fixture_grant (self, "w1", job_kind_download, &leased);
        assert_int_equal (leased, family.children [i]);
        assert_int_equal (finish (self, leased, token, 50), 0);
        fixture_commit (self);
        fixture_reopen (self); /* the parent's step is in the row */
    }
    fixture_grant (self, "installer", job_kind_install, &leased);
    assert_int_equal (leased, family.parent);
    job_t job = fixture_job (self, family.parent);
    assert_int_equal (job.status, job_status_running);
    assert_true (yard_string_is (job.step, "probe"));
    assert_int_equal (job.bytes, 100);
    assert_events (self, 0,
                   "download_enqueued/2 download_enqueued/3 model_install_downloading/1 download_running/2 "
                   "download_completed/2 "
                   "download_running/3 download_completed/3 model_install_running/1 ");
}

/* R2.6 */
static void a_local_install_runs_without_downloading (void **state)
{
    fixture_t *self = *state;
    uint64_t leased;
    job_submit_ask_t ask = fixture_install ("/disk/a.safetensors", true);
    uint64_t id = fixture_submit (self, &ask);
    uint64_t token = fixture_grant (self, "installer", job_kind_install, &leased);
    job_expand_answer_t answer;
    assert_int_equal (expand (self, id, token, NULL, 0, &answer),
                      0); /* the next step, without children: leasable at once */
    assert_int_not_equal (fixture_grant (self, "installer", job_kind_install, &leased), token);
    assert_int_equal (leased, id);
    assert_events (self, 0, "model_install_running/1 ");
}

/* R2.6 */
static void a_childs_error_fails_the_parent_and_cancels_its_siblings (void **state)
{
    fixture_t *self = *state;
    uint64_t leased;
    family_t family = make_family (self);
    uint64_t token = fixture_grant (self, "w1", job_kind_download, &leased);
    fixture_grant (self, "w2", job_kind_download, &leased);
    uint64_t before = self->book.change;
    assert_int_equal (fail_job (self, family.children [0], token, "not_found"), 0);
    job_t parent = fixture_job (self, family.parent);
    assert_int_equal (parent.status, job_status_error);
    assert_true (yard_string_is (parent.error_type, "not_found"));
    assert_true (yard_string_is (parent.error, "it broke"));
    assert_int_equal (fixture_job (self, family.children [1]).status, job_status_cancelled);
    assert_int_equal (recorder_leases_count (self->book.leases), 0);
    assert_int_equal (self->book.ended_count, 3); /* what waits look at */
    assert_events (self, before, "download_error/2 model_install_error/1 download_cancelled/3 ");
}

/* R2.6 */
static void a_cancelled_child_cancels_its_parent (void **state)
{
    fixture_t *self = *state;
    family_t family = make_family (self);
    uint64_t before = self->book.change;
    change (self, family.children [1], recorder_job_cancel);
    assert_int_equal (fixture_job (self, family.parent).status, job_status_cancelled);
    assert_int_equal (fixture_job (self, family.children [0]).status, job_status_cancelled);
    assert_events (self, before, "download_cancelled/3 model_install_cancelled/1 download_cancelled/2 ");
}

static void cancelling_a_parent_cancels_its_children (void **state)
{
    fixture_t *self = *state;
    family_t family = make_family (self);
    change (self, family.parent, recorder_job_cancel);
    for (int i = 0; i < 2; i++)
        assert_int_equal (fixture_job (self, family.children [i]).status, job_status_cancelled);
}

static void pausing_a_parent_pauses_its_children_until_its_start (void **state)
{
    fixture_t *self = *state;
    uint64_t leased;
    family_t family = make_family (self);
    change (self, family.parent, recorder_job_pause);
    fixture_grant (self, "w1", job_kind_download, &leased);
    assert_int_equal (leased, 0);
    assert_int_equal (fixture_job (self, family.children [0]).status, job_status_paused);
    change (self, family.parent, recorder_job_start);
    assert_int_equal (fixture_job (self, family.parent).status, job_status_downloading);
    fixture_grant (self, "w1", job_kind_download, &leased);
    assert_int_equal (leased, family.children [0]);
}

static void a_child_with_a_token_or_a_digest_of_its_own_is_refused (void **state)
{
    fixture_t *self = *state;
    uint64_t leased;
    job_submit_ask_t install = fixture_install ("https://example.org/a", false),
                     file = fixture_download ("https://example.org/a/1");
    uint64_t id = fixture_submit (self, &install);
    uint64_t token = fixture_grant (self, "installer", job_kind_install, &leased);
    uint64_t before = self->book.change;
    file.has_access_token = true;
    file.access_token = yard_string ("hf_secret");
    job_expand_answer_t answer;
    assert_int_equal (expand (self, id, token, &file, 1, &answer), YARD_INVALID_MESSAGE);
    assert_int_equal (self->book.change, before);
    file.has_access_token = false;
    assert_int_equal (expand (self, id, token, &file, 1, &answer), 0); /* the lease survived the refusal */
}

/*  --- an install ends with its record */
static record_add_ask_t record_of (fixture_t *self, uint64_t job, uint64_t token, char *key)
{
    snprintf (key, 33, "%.*s", YARD_VIEW (fixture_job (self, job).key));
    return (record_add_ask_t){ .config = fixture_config (key, "pencil"),
                               .has_job = true,
                               .job = job,
                               .has_token = true,
                               .token = token };
}

/* R2.6 R1.9 */
static void a_record_ends_its_install_in_one_transaction (void **state)
{
    fixture_t *self = *state;
    uint64_t leased;
    char key [33];
    model_record_t record, again;
    job_submit_ask_t ask = fixture_install ("/disk/a.safetensors", true);
    uint64_t id = fixture_submit (self, &ask),
             token = fixture_grant (self, "installer", job_kind_install, &leased);
    record_add_ask_t add = record_of (self, id, token, key);
    uint64_t before = self->book.change;
    MUST (self, recorder_record_add (&self->book, &add, &record, &self->error));
    char expected [200];
    snprintf (expected, sizeof expected, "model_record_added/%s model_install_completed/1 ", key);
    assert_events (self, before, expected);
    job_t job = fixture_job (self, id);
    assert_int_equal (job.status, job_status_completed);
    assert_true (job.has_config_out && yard_string_is (job.config_out.name, "pencil"));
    assert_true (yard_string_is (job.local_path, "sd-1/lora/x"));
    record_update_ask_t update = { .key = add.config.key,
                                   .changes = { .has_name = true, .name = yard_string ("brush") } };
    MUST (self, recorder_record_update (&self->book, &update, &again, &self->error));
    MUST (self, recorder_record_add (&self->book, &add, &again,
                                     &self->error)); /* the first answer, whatever came since */
    assert_int_equal (again.change, record.change);
    assert_true (yard_string_is (again.config.name, "pencil"));
    job_t cancelled;
    assert_int_equal (EFFECT_CODE (self, recorder_job_cancel (&self->book, id, &cancelled, &self->error)),
                      YARD_TOO_LATE);
}

static void a_record_with_another_key_than_its_installs_is_refused (void **state)
{
    fixture_t *self = *state;
    uint64_t leased;
    char key [33];
    model_record_t record;
    bool exists;
    job_submit_ask_t ask = fixture_install ("/disk/a.safetensors", true);
    uint64_t id = fixture_submit (self, &ask),
             token = fixture_grant (self, "installer", job_kind_install, &leased);
    record_add_ask_t add = record_of (self, id, token, key);
    add.config.key = yard_string ("0000000000000000000000000000000a");
    assert_int_equal (EFFECT_CODE (self, recorder_record_add (&self->book, &add, &record, &self->error)),
                      YARD_INVALID_MODEL_CONFIG);
    add = record_of (self, id, token, key);
    add.token++;
    assert_int_equal (EFFECT_CODE (self, recorder_record_add (&self->book, &add, &record, &self->error)),
                      YARD_STALE_TOKEN);
    assert_int_equal (recorder_record_exists (&self->book, add.config.key, &exists, &self->error), 0);
    assert_false (exists);
}

/*  --- undecided, dead */
static void an_undecided_install_can_be_started_again (void **state)
{
    fixture_t *self = *state;
    uint64_t leased;
    job_submit_ask_t ask = fixture_install ("/disk/a.safetensors", true);
    uint64_t id = fixture_submit (self, &ask),
             token = fixture_grant (self, "installer", job_kind_install, &leased);
    assert_int_equal (fail_job (self, id, token, "ambiguous"), 0);
    change (self, id, recorder_job_start);
    job_t job = fixture_job (self, id);
    assert_int_equal (job.status, job_status_waiting);
    assert_int_equal (job.error_type.size, 0);
    assert_int_equal (fixture_grant (self, "installer", job_kind_install, &leased), token + 1);
}

static void a_dead_child_is_started_again_with_its_parent (void **state)
{
    fixture_t *self = *state;
    uint64_t leased;
    family_t family = make_family (self);
    for (int i = 0; i < 5; i++) {
        fixture_grant (self, "w1", job_kind_download, &leased);
        assert_int_equal (leased, family.children [0]);
        self->book.now_ms += LEASE_MS;
        MUST (self, recorder_jobs_expire (&self->book, &self->error));
    }
    assert_true (fixture_job (self, family.parent).dead);
    job_t job;
    assert_int_equal (
        EFFECT_CODE (self, recorder_job_start (&self->book, family.children [0], &job, &self->error)),
        YARD_TOO_LATE);
    change (self, family.parent, recorder_job_start);
    assert_int_equal (fixture_job (self, family.parent).status, job_status_downloading);
    for (int i = 0; i < 2; i++) {
        uint64_t token = fixture_grant (self, "w1", job_kind_download, &leased);
        assert_int_equal (leased, family.children [i]);
        assert_int_equal (finish (self, leased, token, 10), 0);
    }
    fixture_grant (self, "installer", job_kind_install, &leased);
    assert_int_equal (leased, family.parent);
}

/*  --- looking
 *  ------------------------------------------------------------------------------------------------------------- */
/* R2.8 */
static void jobs_are_listed_by_any_filter_a_page_at_a_time (void **state)
{
    fixture_t *self = *state;
    family_t family = make_family (self);
    job_submit_ask_t ask = fixture_download ("https://example.org/other");
    uint64_t other = fixture_submit (self, &ask);
    change (self, other, recorder_job_cancel);
    job_t parent = fixture_job (self, family.parent);
    const struct {
        job_list_ask_t ask;
        size_t count;
        bool more;
    } cases [] = {
        { { .limit = 256 }, 4, false },
        { { .limit = 3 }, 3, true },
        { { .limit = 3, .after = 3 }, 1, false },
        { { .limit = 256, .live = true }, 3, false },
        { { .limit = 256, .has_kind = true, .kind = job_kind_install }, 1, false },
        { { .limit = 256, .has_status = true, .status = job_status_cancelled }, 1, false },
        { { .limit = 256, .has_status = true, .status = job_status_enqueued }, 2, false },
        { { .limit = 256, .has_parent = true, .parent = family.parent }, 2, false },
        { { .limit = 256, .has_key = true, .key = parent.key }, 1, false },
        { { .limit = 256, .has_source = true, .source = yard_string ("https://example.org/a/2") }, 1, false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases [0]; i++) {
        job_list_answer_t answer;
        assert_int_equal (recorder_job_list (&self->book, &cases [i].ask, &answer, &self->error), 0);
        assert_int_equal (answer.jobs.count, cases [i].count);
        assert_int_equal (answer.more, cases [i].more);
        assert_int_equal (answer.change, self->book.change);
        for (size_t j = 1; j < answer.jobs.count; j++)
            assert_true (answer.jobs.items [j - 1].id < answer.jobs.items [j].id);
    }
}

/* R2.8 */
static void pruning_spares_live_jobs_and_their_children (void **state)
{
    fixture_t *self = *state;
    uint64_t leased;
    family_t family = make_family (self);
    uint64_t token = fixture_grant (self, "w1", job_kind_download, &leased);
    assert_int_equal (finish (self, leased, token, 5), 0);
    job_prune_ask_t ask = { 0 };
    job_prune_answer_t answer;
    MUST (self, recorder_job_prune (&self->book, &ask, &answer, &self->error));
    assert_int_equal (answer.pruned, 0);
    change (self, family.parent, recorder_job_cancel);
    MUST (self, recorder_job_prune (&self->book, &ask, &answer, &self->error));
    assert_int_equal (answer.pruned, 3);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        CASE (a_download_goes_from_enqueued_over_running_to_completed),
        CASE (a_request_that_is_not_of_its_kind_is_refused),
        CASE (an_equal_live_job_is_answered_instead_of_a_new_one),
        CASE (an_install_has_a_key_and_a_download_has_none),
        CASE (an_id_is_never_used_again),
        CASE (a_paused_install_is_waiting_and_held),
        CASE (a_job_submitted_held_is_not_leased_before_its_start),
        CASE (what_has_ended_can_be_neither_cancelled_nor_paused),
        CASE (the_last_child_releases_the_parent),
        CASE (a_local_install_runs_without_downloading),
        CASE (a_childs_error_fails_the_parent_and_cancels_its_siblings),
        CASE (a_cancelled_child_cancels_its_parent),
        CASE (cancelling_a_parent_cancels_its_children),
        CASE (pausing_a_parent_pauses_its_children_until_its_start),
        CASE (a_child_with_a_token_or_a_digest_of_its_own_is_refused),
        CASE (a_record_ends_its_install_in_one_transaction),
        CASE (a_record_with_another_key_than_its_installs_is_refused),
        CASE (an_undecided_install_can_be_started_again),
        CASE (a_dead_child_is_started_again_with_its_parent),
        CASE (jobs_are_listed_by_any_filter_a_page_at_a_time),
        CASE (pruning_spares_live_jobs_and_their_children),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
