// SPDX-License-Identifier: Apache-2.0
/*  recorder_invariants_test.c - whatever members and people do, and wherever the process dies, the rows hang together
 *
 *  Random effects with random, often wrong, tokens; commits, rollbacks and restarts between them. After each turn the invariants of jobs.h
 *  are looked up in the tables.
 */
#include "recorder_fixture.h"

#define STEPS 3000
#define JOBS_SEEN 64 /* effects choose among the newest */

/*  Each must give no row. */
static const char *const broken [] = {
    "SELECT id FROM yard_jobs WHERE ended > 0 AND (queue <> 0 OR held)",
    "SELECT id FROM yard_jobs WHERE (ended > 0) <> (status IN ('completed', 'error', 'cancelled'))",
    "SELECT id FROM yard_jobs WHERE held AND queue <> 0",
    "SELECT id FROM yard_jobs WHERE queue = 1 AND open_children > 0",
    "SELECT p.id FROM yard_jobs p WHERE p.ended = 0 AND p.open_children <> (SELECT count (*) FROM yard_jobs "
    "c WHERE c.parent = p.id AND c.ended = 0)",
    "SELECT c.id FROM yard_jobs c JOIN yard_jobs p ON p.id = c.parent WHERE p.ended > 0 AND c.ended = 0",
    "SELECT id FROM yard_jobs WHERE ended = 0 AND queue = 0 AND NOT held AND open_children = 0",
    "SELECT id FROM yard_jobs WHERE kind = 'download' AND (status = 'running') <> (queue = 2)",
    "SELECT change FROM yard_outbox WHERE change > 1 AND change - 1 NOT IN (SELECT change FROM yard_outbox)",
    "SELECT 1 FROM yard_meta WHERE key = 'last_change' AND value <> (SELECT coalesce (max (change), 0) FROM "
    "yard_outbox)",
};

/*  What the walk must have come to, or it has shown nothing. */
static const char *const reached [] = {
    "SELECT count (*) FROM yard_jobs WHERE kind = 'install' AND status = 'running'",
    "SELECT count (*) FROM yard_jobs WHERE parent > 0 AND status = 'completed'",
    "SELECT count (*) FROM yard_jobs WHERE dead",
    "SELECT count (*) FROM yard_jobs WHERE kind = 'install' AND status = 'error' AND expanded",
    "SELECT count (*) FROM yard_jobs WHERE kind = 'install' AND status = 'cancelled' AND expanded",
    "SELECT count (*) FROM yard_outbox WHERE name = 'model_install_downloading'",
    "SELECT count (*) FROM yard_outbox WHERE name = 'download_paused'",
};

static void check_tables (fixture_t *self, int step)
{
    sqlite3 *database = sqlite3_db_handle (recorder_sql (self->book.store, RECORDER_SQL_begin));
    for (size_t i = 0; i < sizeof broken / sizeof broken [0]; i++) {
        sqlite3_stmt *statement;
        assert_int_equal (sqlite3_prepare_v2 (database, broken [i], -1, &statement, NULL), SQLITE_OK);
        if (sqlite3_step (statement) == SQLITE_ROW)
            fail_msg ("step %d: %s gives %lld", step, broken [i],
                      (long long) sqlite3_column_int64 (statement, 0));
        sqlite3_finalize (statement);
    }
    sqlite3_stmt *leased;
    size_t count = 0;
    sqlite3_prepare_v2 (database, "SELECT id, token FROM yard_jobs WHERE queue = 2", -1, &leased, NULL);
    for (; sqlite3_step (leased) == SQLITE_ROW; count++) {
        const recorder_lease_t *lease =
            recorder_leases_get (self->book.leases, (uint64_t) sqlite3_column_int64 (leased, 0));
        assert_non_null (lease);
        assert_int_equal (lease->token, sqlite3_column_int64 (leased, 1));
    }
    sqlite3_finalize (leased);
    assert_int_equal (recorder_leases_count (self->book.leases), count);
}

static uint64_t number_of (fixture_t *self, const char *sql)
{
    sqlite3_stmt *statement;
    sqlite3 *database = sqlite3_db_handle (recorder_sql (self->book.store, RECORDER_SQL_begin));
    assert_int_equal (sqlite3_prepare_v2 (database, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal (sqlite3_step (statement), SQLITE_ROW);
    uint64_t number = (uint64_t) sqlite3_column_int64 (statement, 0);
    sqlite3_finalize (statement);
    return number;
}

static uint64_t below (fixture_t *self, uint64_t bound)
{
    return yard_random_below (&self->random, bound);
}

/*  One effect; whether it is refused does not matter here. */
static int effect (fixture_t *self, uint64_t job, uint64_t token)
{
    recorder_book_t *book = &self->book;
    yard_error_t *error = &self->error;
    job_t row;
    job_submit_ask_t submit = below (self, 2) ? fixture_download ("https://example.org/a")
                                              : fixture_install ("https://example.org/b", below (self, 2));
    job_submit_ask_t files [2] = { fixture_download ("https://example.org/b/1"),
                                   fixture_download ("https://example.org/b/2") };
    job_submit_answer_t submitted;
    job_finish_ask_t finish = fixture_finish (job, token, 8);
    job_fail_ask_t fail_ask = { .job = job,
                                .token = token,
                                .error = yard_string ("broke"),
                                .again = below (self, 2),
                                .error_type = yard_string (below (self, 3) ? "http_failed" : "ambiguous"),
                                .after_ms = below (self, 2) * 900 };
    job_release_ask_t release = { .job = job, .token = token };
    job_expand_ask_t expand = { .job = job, .token = token, .step = yard_string ("probe") };
    job_expand_answer_t expanded;
    expand.children.items = files;
    expand.children.count = below (self, 3);
    job_progress_t progress = { .job = job, .token = token, .bytes = below (self, 100) };
    job_extend_ask_t extend = { 0 };
    extend.leases.items = &progress;
    extend.leases.count = 1;
    job_extend_answer_t revoked;
    uint64_t moved [1];
    size_t moved_count;
    job_kind_t kind = below (self, 2) ? job_kind_download : job_kind_install;
    job_lease_ask_t lease = fixture_lease_ask (below (self, 2) ? "w1" : "w2", &kind, 1 + below (self, 4));
    job_lease_answer_t granted;
    yard_string_t *secrets;
    switch (below (self, 16)) {
    case 0:
    case 1:
        submit.held = below (self, 8) == 0;
        return recorder_job_submit (book, &submit, yard_string (""), &submitted, error);
    case 2:
        return recorder_job_finish (book, &finish, &row, error);
    case 3:
        return recorder_job_fail (book, &fail_ask, &row, error);
    case 4:
        return recorder_job_release (book, &release, &row, error);
    case 5:
    case 6:
        return recorder_job_expand (book, &expand, &expanded, error);
    case 7:
        return recorder_job_extend (book, &extend, &revoked, moved, &moved_count, error);
    case 8:
        return below (self, 4) ? 0 : recorder_job_cancel (book, job, &row, error);
    case 9:
        return recorder_job_pause (book, job, &row, error);
    case 10:
    case 11:
        return recorder_job_start (book, job, &row, error);
    case 12:
        self->book.now_ms += (int64_t) below (self, LEASE_MS);
        return recorder_jobs_expire (book, error);
    case 13:
        return below (self, 4) ? 0 : recorder_job_reconcile (book, &lease, error);
    default:
        return recorder_job_grant (book, &lease, &granted, &secrets, error);
    }
}

/* R2.13 */
static void the_rows_hang_together_after_any_effects_rollbacks_and_restarts (void **state)
{
    fixture_t *self = *state;
    for (int step = 0; step < STEPS; step++) {
        uint64_t newest = (uint64_t) recorder_store_last_id (self->book.store);
        uint64_t job =
            newest + 1 > JOBS_SEEN ? newest - below (self, JOBS_SEEN) : 1 + below (self, JOBS_SEEN);
        recorder_lease_t *lease = recorder_leases_get (self->book.leases, job);
        uint64_t token = lease && below (self, 8) ? lease->token : below (self, 4);
        int code = EFFECT_CODE (self, effect (self, job, token));
        assert_int_not_equal (code, YARD_STORE_FAILED);
        assert_int_not_equal (code, YARD_INTERNAL);
        if (below (self, 3))
            continue; /* several effects to a turn */
        if (below (self, 10) == 0)
            recorder_book_revert (&self->book);
        fixture_commit (self);
        if (below (self, 40) == 0)
            fixture_reopen (self);
        check_tables (self, step);
    }
    fixture_commit (self);
    for (size_t i = 0; i < sizeof reached / sizeof reached [0]; i++)
        if (number_of (self, reached [i]) == 0)
            fail_msg ("the walk never came to: %s", reached [i]);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        CASE (the_rows_hang_together_after_any_effects_rollbacks_and_restarts),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
