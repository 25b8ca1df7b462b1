// SPDX-License-Identifier: Apache-2.0
/*  leases_test.c - tokens, terms, and how work comes back from members that are lost */
#include "recorder_fixture.h"

static uint64_t submit (fixture_t *self, int64_t priority, const char *node)
{
    job_submit_ask_t ask = fixture_download ("https://example.org/a");
    ask.priority = priority;
    ask.node = yard_string (node);
    return fixture_submit (self, &ask);
}

static int finish (fixture_t *self, uint64_t job, uint64_t token, job_t *ret)
{
    job_finish_ask_t ask = fixture_finish (job, token, 7);
    return EFFECT_CODE (self, recorder_job_finish (&self->book, &ask, ret, &self->error));
}

static void expire (fixture_t *self)
{
    MUST (self, recorder_jobs_expire (&self->book, &self->error));
}

/*  Extends one lease; the word why it is revoked, or "". */
static const char *extend (fixture_t *self, uint64_t job, uint64_t token, uint64_t bytes, size_t *ret_moved)
{
    job_progress_t progress = { .job = job, .token = token, .bytes = bytes, .total_bytes = 100 };
    job_extend_ask_t ask = { 0 };
    ask.leases.items = &progress;
    ask.leases.count = 1;
    job_extend_answer_t answer;
    uint64_t moved [1];
    MUST (self, recorder_job_extend (&self->book, &ask, &answer, moved, ret_moved, &self->error));
    return answer.revoked.count ? answer.revoked.items [0].why.data : "";
}

static void reconcile (fixture_t *self, const char *member, const job_holding_t *holding, size_t count)
{
    job_kind_t kind = job_kind_download;
    job_lease_ask_t ask = fixture_lease_ask (member, &kind, 1);
    job_holding_t copy [4];
    for (size_t i = 0; i < count; i++)
        copy [i] = holding [i];
    ask.holding.items = copy;
    ask.holding.count = count;
    MUST (self, recorder_job_reconcile (&self->book, &ask, &self->error));
}

/* R3.1 */
static void lower_priority_numbers_first_then_arrival (void **state)
{
    fixture_t *self = *state;
    uint64_t leased, late = submit (self, 10, ""), second = submit (self, 5, ""),
                     third = submit (self, 5, "");
    fixture_grant (self, "w1", job_kind_download, &leased);
    assert_int_equal (leased, second);
    fixture_grant (self, "w1", job_kind_download, &leased);
    assert_int_equal (leased, third);
    fixture_grant (self, "w1", job_kind_download, &leased);
    assert_int_equal (leased, late);
    assert_int_equal (fixture_job (self, second).sequence, 1);
    assert_int_equal (fixture_job (self, late).sequence, 3);
}

static void a_job_of_another_node_is_not_granted (void **state)
{
    fixture_t *self = *state;
    uint64_t leased;
    submit (self, 1, "box8");
    uint64_t ours = submit (self, 9, "box7");
    fixture_grant (self, "w1", job_kind_download, &leased);
    assert_int_equal (leased, ours);
    fixture_grant (self, "w1", job_kind_download, &leased);
    assert_int_equal (leased, 0);
}

static void grants_fill_the_room_and_no_more (void **state)
{
    fixture_t *self = *state;
    for (int i = 0; i < 5; i++)
        submit (self, 10, "");
    job_kind_t kind = job_kind_download;
    job_lease_ask_t ask = fixture_lease_ask ("w1", &kind, 3);
    job_lease_answer_t answer;
    yard_string_t *secrets;
    MUST (self, recorder_job_grant (&self->book, &ask, &answer, &secrets, &self->error));
    assert_int_equal (answer.grants.count, 3);
    assert_int_equal (answer.grants.items [0].lease_ms, LEASE_MS);
    ask.room = 64;
    MUST (self, recorder_job_grant (&self->book, &ask, &answer, &secrets, &self->error));
    assert_int_equal (answer.grants.count, 2);
}

static void finishing_twice_with_the_token_gets_the_first_answer (void **state)
{
    fixture_t *self = *state;
    uint64_t leased, id = submit (self, 10, ""),
                     token = fixture_grant (self, "w1", job_kind_download, &leased);
    job_t first, second;
    assert_int_equal (finish (self, id, token, &first), 0);
    self->book.wall_ms += 1000;
    assert_int_equal (finish (self, id, token, &second), 0);
    assert_int_equal (second.status, job_status_completed);
    assert_int_equal (second.ended_ms, first.ended_ms);
    assert_int_equal (second.change, first.change);
}

static void an_older_token_is_refused (void **state)
{
    fixture_t *self = *state;
    uint64_t leased, id = submit (self, 10, ""), old = fixture_grant (self, "w1", job_kind_download, &leased);
    job_t job;
    self->book.now_ms += LEASE_MS;
    expire (self);
    uint64_t token = fixture_grant (self, "w2", job_kind_download, &leased);
    assert_true (token > old);
    assert_int_equal (finish (self, id, old, &job), YARD_STALE_TOKEN);
    assert_int_equal (finish (self, id, token, &job), 0);
    assert_int_equal (finish (self, id, old, &job), YARD_STALE_TOKEN); /* after the end too */
}

static void tokens_count_on_after_a_restart (void **state)
{
    fixture_t *self = *state;
    uint64_t leased, id = submit (self, 10, ""),
                     token = fixture_grant (self, "w1", job_kind_download, &leased);
    job_t job;
    fixture_commit (self);
    fixture_reopen (self);
    assert_int_equal (recorder_leases_count (self->book.leases), 1); /* it may come back */
    assert_int_equal (finish (self, id, token, &job), 0);
    fixture_commit (self);
    fixture_reopen (self);
    assert_int_equal (finish (self, id, token, &job), 0);
    assert_int_equal (finish (self, id, token + 1, &job), YARD_STALE_TOKEN);
}

static void an_expired_lease_goes_back_to_the_queue (void **state)
{
    fixture_t *self = *state;
    uint64_t leased, id = submit (self, 10, "");
    fixture_grant (self, "w1", job_kind_download, &leased);
    self->book.now_ms += LEASE_MS - 1;
    assert_false (recorder_jobs_due (&self->book));
    expire (self);
    assert_int_equal (fixture_job (self, id).status, job_status_running);
    self->book.now_ms += 1;
    assert_true (recorder_jobs_due (&self->book));
    expire (self);
    assert_int_equal (fixture_job (self, id).status, job_status_enqueued);
}

static void an_extended_lease_lives_on (void **state)
{
    fixture_t *self = *state;
    size_t moved;
    uint64_t leased, id = submit (self, 10, ""),
                     token = fixture_grant (self, "w1", job_kind_download, &leased);
    self->book.now_ms += LEASE_MS - 1;
    assert_string_equal (extend (self, id, token, 0, &moved), "");
    self->book.now_ms += LEASE_MS - 1;
    expire (self);
    assert_int_equal (fixture_job (self, id).status, job_status_running);
}

static void progress_is_kept_in_memory_and_is_no_change (void **state)
{
    fixture_t *self = *state;
    size_t moved;
    uint64_t leased, id = submit (self, 10, ""),
                     token = fixture_grant (self, "w1", job_kind_download, &leased);
    uint64_t before = self->book.change;
    assert_string_equal (extend (self, id, token, 40, &moved), "");
    assert_int_equal (moved, 1);
    assert_string_equal (extend (self, id, token, 40, &moved), "");
    assert_int_equal (moved, 0); /* nothing new to tell */
    assert_int_equal (fixture_job (self, id).bytes, 40);
    assert_int_equal (fixture_job (self, id).total_bytes, 100);
    assert_int_equal (self->book.change, before);
}

static void five_grants_without_progress_are_a_dead_letter (void **state)
{
    fixture_t *self = *state;
    uint64_t leased, id = submit (self, 10, "");
    for (int i = 0; i < 5; i++) {
        assert_false (fixture_job (self, id).dead);
        assert_int_equal (fixture_grant (self, "w1", job_kind_download, &leased), (uint64_t) i + 1);
        self->book.now_ms += LEASE_MS;
        expire (self);
    }
    job_t job = fixture_job (self, id);
    assert_int_equal (job.status, job_status_error);
    assert_true (job.dead);
    MUST (self, recorder_job_start (&self->book, id, &job, &self->error));
    assert_int_equal (job.status, job_status_enqueued);
    assert_false (job.dead);
}

static void progress_sets_the_attempts_back (void **state)
{
    fixture_t *self = *state;
    size_t moved;
    uint64_t leased, id = submit (self, 10, "");
    for (uint64_t i = 0; i < 12; i++) {
        uint64_t token = fixture_grant (self, "w1", job_kind_download, &leased);
        assert_int_equal (leased, id);
        if (i % 4 == 3)
            extend (self, id, token, i, &moved);
        self->book.now_ms += LEASE_MS;
        expire (self);
    }
    assert_int_equal (fixture_job (self, id).status, job_status_enqueued);
}

static void a_release_is_no_attempt (void **state)
{
    fixture_t *self = *state;
    uint64_t leased, id = submit (self, 10, "");
    job_t job;
    for (int i = 0; i < 9; i++) {
        job_release_ask_t ask = { .job = id,
                                  .token = fixture_grant (self, "w1", job_kind_download, &leased) };
        MUST (self, recorder_job_release (&self->book, &ask, &job, &self->error));
    }
    assert_int_equal (job.status, job_status_enqueued);
    assert_int_equal (job.attempts, 0);
}

static void what_a_member_does_not_list_goes_back (void **state)
{
    fixture_t *self = *state;
    uint64_t leased, kept = submit (self, 10, ""), lost = submit (self, 10, "");
    uint64_t token = fixture_grant (self, "w1", job_kind_download, &leased);
    fixture_grant (self, "w1", job_kind_download, &leased);
    uint64_t others = submit (self, 10, "");
    fixture_grant (self, "w2", job_kind_download, &leased);
    reconcile (self, "w1", &(job_holding_t){ kept, token }, 1);
    assert_int_equal (fixture_job (self, kept).status, job_status_running);
    assert_int_equal (fixture_job (self, lost).status, job_status_enqueued);
    assert_int_equal (fixture_job (self, others).status, job_status_running);
}

static void what_a_member_lists_after_a_restart_is_its_own (void **state)
{
    fixture_t *self = *state;
    uint64_t leased, id = submit (self, 10, ""),
                     token = fixture_grant (self, "w1", job_kind_download, &leased);
    fixture_commit (self);
    fixture_reopen (self);
    self->book.now_ms += LEASE_MS - 1;
    reconcile (self, "w1-again", &(job_holding_t){ id, token }, 1);
    self->book.now_ms += LEASE_MS - 1;
    expire (self);
    assert_int_equal (fixture_job (self, id).status, job_status_running);
    reconcile (self, "w1-again", NULL, 0);
    assert_int_equal (fixture_job (self, id).status, job_status_enqueued);
}

static void a_restart_gives_every_lease_a_full_new_term (void **state)
{
    fixture_t *self = *state;
    uint64_t leased, id = submit (self, 10, "");
    fixture_grant (self, "w1", job_kind_download, &leased);
    self->book.now_ms += LEASE_MS - 1;
    fixture_commit (self);
    fixture_reopen (self); /* the fixture's clock begins at 1000 again */
    self->book.now_ms = 1000 + LEASE_MS - 1;
    expire (self);
    assert_int_equal (fixture_job (self, id).status, job_status_running);
}

static void paused_and_cancelled_leases_are_revoked (void **state)
{
    fixture_t *self = *state;
    size_t moved;
    job_t job;
    uint64_t leased, id = submit (self, 10, ""),
                     token = fixture_grant (self, "w1", job_kind_download, &leased);
    MUST (self, recorder_job_pause (&self->book, id, &job, &self->error));
    assert_string_equal (extend (self, id, token, 1, &moved), "paused");
    assert_int_equal (finish (self, id, token, &job), YARD_STALE_TOKEN);
    MUST (self, recorder_job_start (&self->book, id, &job, &self->error));
    uint64_t next = fixture_grant (self, "w2", job_kind_download, &leased);
    assert_string_equal (extend (self, id, token, 1, &moved), "stale_token");
    assert_string_equal (extend (self, id, next, 1, &moved), "");
    MUST (self, recorder_job_cancel (&self->book, id, &job, &self->error));
    assert_string_equal (extend (self, id, next, 1, &moved), "cancelled");
    assert_string_equal (extend (self, 4711, 1, 1, &moved), "unknown_job");
}

static int fail_again (fixture_t *self, uint64_t job, uint64_t token, uint64_t after_ms)
{
    job_fail_ask_t ask = { .job = job,
                           .token = token,
                           .error_type = yard_string ("disk_full"),
                           .error = yard_string ("no space"),
                           .again = true,
                           .after_ms = after_ms };
    job_t answer;
    return EFFECT_CODE (self, recorder_job_fail (&self->book, &ask, &answer, &self->error));
}

static void a_job_that_failed_for_now_is_not_granted_before_its_time (void **state)
{
    fixture_t *self = *state;
    uint64_t leased, id = submit (self, 10, ""),
                     token = fixture_grant (self, "w1", job_kind_download, &leased);
    assert_int_equal (fail_again (self, id, token, 5000), 0);
    assert_true (yard_string_is (fixture_job (self, id).error_type, "disk_full")); /* what it waits for */
    fixture_grant (self, "w1", job_kind_download, &leased);
    assert_int_equal (leased, 0);
    self->book.now_ms += 5000;
    assert_true (recorder_jobs_due (&self->book));
    expire (self);
    fixture_grant (self, "w1", job_kind_download, &leased);
    assert_int_equal (leased, id);
    assert_int_equal (fixture_job (self, id).error_type.size, 0);
}

static void a_delay_does_not_outlive_a_restart (void **state)
{
    fixture_t *self = *state;
    uint64_t leased, id = submit (self, 10, ""),
                     token = fixture_grant (self, "w1", job_kind_download, &leased);
    assert_int_equal (fail_again (self, id, token, 5000), 0);
    fixture_commit (self);
    fixture_reopen (self);
    expire (self);
    fixture_grant (self, "w1", job_kind_download, &leased);
    assert_int_equal (leased, id);
}

/*  The job is leased still; its time must not take the lease out of memory, where nothing would ever bring
 *  it back. */
static void a_delay_that_was_rolled_back_does_not_end_the_lease (void **state)
{
    fixture_t *self = *state;
    size_t moved;
    uint64_t leased, id = submit (self, 10, ""),
                     token = fixture_grant (self, "w1", job_kind_download, &leased);
    fixture_commit (self);
    assert_int_equal (fail_again (self, id, token, 5000), 0);
    recorder_book_revert (&self->book);
    self->book.now_ms += 5000;
    expire (self);
    assert_string_equal (extend (self, id, token, 1, &moved), "");
    self->book.now_ms += LEASE_MS;
    expire (self);
    assert_int_equal (fixture_job (self, id).status, job_status_enqueued);
}

static void a_delayed_job_whose_cancel_was_undone_is_granted_later (void **state)
{
    fixture_t *self = *state;
    job_t job;
    uint64_t leased, id = submit (self, 10, ""),
                     token = fixture_grant (self, "w1", job_kind_download, &leased);
    assert_int_equal (fail_again (self, id, token, 5000), 0);
    assert_int_equal (recorder_book_enter (&self->book, &self->error), 0);
    assert_int_equal (recorder_job_cancel (&self->book, id, &job, &self->error), 0);
    assert_int_equal (recorder_book_leave (&self->book, YARD_TOO_LARGE, &self->error), YARD_TOO_LARGE);
    self->book.now_ms += 5000;
    expire (self);
    fixture_grant (self, "w1", job_kind_download, &leased);
    assert_int_equal (leased, id);
}

static void a_revoked_lease_is_named_by_its_token (void **state)
{
    fixture_t *self = *state;
    uint64_t leased, moved [2], id = submit (self, 10, ""),
                                old = fixture_grant (self, "w1", job_kind_download, &leased);
    size_t count;
    reconcile (self, "w1", NULL, 0);
    uint64_t token = fixture_grant (self, "w1", job_kind_download, &leased);
    job_progress_t both [2] = { { .job = id, .token = old }, { .job = id, .token = token } };
    job_extend_ask_t ask = { .leases = { both, 2 } };
    job_extend_answer_t answer;
    MUST (self, recorder_job_extend (&self->book, &ask, &answer, moved, &count, &self->error));
    assert_int_equal (answer.revoked.count, 1);
    assert_int_equal (answer.revoked.items [0].job, id);
    assert_int_equal (answer.revoked.items [0].token, old);
}

static void a_turn_that_is_rolled_back_takes_its_grants_back (void **state)
{
    fixture_t *self = *state;
    uint64_t leased, id = submit (self, 10, "");
    fixture_commit (self);
    uint64_t change = self->book.change;
    fixture_grant (self, "w1", job_kind_download, &leased);
    assert_int_equal (recorder_leases_count (self->book.leases), 1);
    recorder_book_revert (&self->book);
    assert_int_equal (recorder_leases_count (self->book.leases), 0);
    assert_int_equal (self->book.change, change);
    assert_int_equal (fixture_job (self, id).status, job_status_enqueued);
    assert_true (self->book.work); /* whoever asks next gets it */
    assert_int_equal (fixture_grant (self, "w1", job_kind_download, &leased), 1);
}

static void a_refused_effect_leaves_the_lease_alone (void **state)
{
    fixture_t *self = *state;
    uint64_t leased, id = submit (self, 10, ""),
                     token = fixture_grant (self, "w1", job_kind_download, &leased);
    job_finish_ask_t ask = { .job = id, .token = token }; /* without a result */
    job_t job;
    assert_int_equal (EFFECT_CODE (self, recorder_job_finish (&self->book, &ask, &job, &self->error)),
                      YARD_INVALID_MESSAGE);
    assert_int_equal (finish (self, id, token, &job), 0);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        CASE (lower_priority_numbers_first_then_arrival),
        CASE (a_job_of_another_node_is_not_granted),
        CASE (grants_fill_the_room_and_no_more),
        CASE (finishing_twice_with_the_token_gets_the_first_answer),
        CASE (an_older_token_is_refused),
        CASE (tokens_count_on_after_a_restart),
        CASE (an_expired_lease_goes_back_to_the_queue),
        CASE (an_extended_lease_lives_on),
        CASE (progress_is_kept_in_memory_and_is_no_change),
        CASE (five_grants_without_progress_are_a_dead_letter),
        CASE (progress_sets_the_attempts_back),
        CASE (a_release_is_no_attempt),
        CASE (what_a_member_does_not_list_goes_back),
        CASE (what_a_member_lists_after_a_restart_is_its_own),
        CASE (a_restart_gives_every_lease_a_full_new_term),
        CASE (paused_and_cancelled_leases_are_revoked),
        CASE (a_job_that_failed_for_now_is_not_granted_before_its_time),
        CASE (a_delay_does_not_outlive_a_restart),
        CASE (a_delay_that_was_rolled_back_does_not_end_the_lease),
        CASE (a_delayed_job_whose_cancel_was_undone_is_granted_later),
        CASE (a_revoked_lease_is_named_by_its_token),
        CASE (a_turn_that_is_rolled_back_takes_its_grants_back),
        CASE (a_refused_effect_leaves_the_lease_alone),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
