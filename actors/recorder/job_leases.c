// SPDX-License-Identifier: Apache-2.0
/*  job_leases.c - grants, their terms, and what becomes of them
 *
 *  The order of the queue is priority, then arrival, within what a member can do and where it runs.
 */
#include "jobs.h"
#include <inttypes.h>

#define PARTS_MAX 64 /* of one grant; job.def */
#define GRANTS_BYTES_MAX \
    (256 * \
     1024) /* after which no grant is added: the largest has 700 KiB (64 parts of 8 KiB), a message 1 MiB */

static void copy_member (recorder_lease_t *lease, yard_string_t member)
{
    snprintf (lease->member, sizeof lease->member, "%.*s", YARD_VIEW (member));
}

/*  One row of job_leased into memory. */
static void find_lease (recorder_book_t *book, sqlite3_stmt *statement)
{
    uint64_t job = recorder_column_number (statement, 0);
    if (recorder_column_number (statement, 7) == RECORDER_QUEUE_DELAYED) {
        if (!recorder_leases_delayed (book->leases, job))
            recorder_leases_delay (book->leases, job, book->now_ms);
        return;
    }
    recorder_lease_t *lease = recorder_leases_put (book->leases, job, book->now_ms);
    lease->token = recorder_column_number (statement, 1);
    lease->parent = recorder_column_number (statement, 2);
    lease->kind =
        (job_kind_t) yard_wire_value (job_kind_type (), recorder_column (statement, 3, book->arena));
    copy_member (lease, recorder_column (statement, 4, book->arena));
    lease->bytes = lease->granted_bytes = recorder_column_number (statement, 5);
    lease->total_bytes = recorder_column_number (statement, 6);
}

int recorder_jobs_find_leases (recorder_book_t *book, yard_error_t *error)
{
    recorder_leases_clear (book->leases);
    sqlite3_stmt *statement = recorder_sql (book->store, RECORDER_SQL_job_leased);
    int code;
    while ((code = recorder_sql_step (book->store, statement, error)) == 1)
        find_lease (book, statement);
    return code;
}

static bool lists (const job_lease_ask_t *ask, const recorder_lease_t *lease)
{
    for (size_t i = 0; i < ask->holding.count; i++)
        if (ask->holding.items [i].job == lease->job && ask->holding.items [i].token == lease->token)
            return true;
    return false;
}

/*  Listed leases of whatever member: an instance may come back under a new connection, and a lease found in the rows is its holder's. */
static int adopt (recorder_book_t *book, const job_lease_ask_t *ask, yard_error_t *error)
{
    for (size_t i = 0; i < ask->holding.count; i++) {
        recorder_lease_t *lease = recorder_leases_get (book->leases, ask->holding.items [i].job);
        if (!lease || lease->token != ask->holding.items [i].token)
            continue; /* it learns that from job.extend */
        recorder_leases_extend (book->leases, lease, book->now_ms);
        if (yard_string_is (ask->member, lease->member))
            continue;
        recorder_job_row_t row;
        int code = recorder_job_read (book, lease->job, &row, error);
        row.member = ask->member;
        if (code == 0)
            code = recorder_job_save (book, &row, error);
        if (code)
            return code;
        copy_member (lease, ask->member);
    }
    return 0;
}

int recorder_job_reconcile (recorder_book_t *book, const job_lease_ask_t *ask, yard_error_t *error)
{
    recorder_lease_t *lease;
    for (size_t at = 0; recorder_leases_next (book->leases, &at, &lease);) {
        if (!yard_string_is (ask->member, lease->member) || lists (ask, lease))
            continue;
        recorder_job_row_t row;
        int code = recorder_job_read (book, lease->job, &row, error);
        if (code == 0)
            code = recorder_job_return (book, &row, error);
        if (code)
            return code;
    }
    return adopt (book, ask, error);
}

/*  The best job that is ready, over the member's kinds; 0 in ret_id: none. */
static int pick (recorder_book_t *book, const job_lease_ask_t *ask, uint64_t *ret_id, yard_error_t *error)
{
    int64_t best = INT64_MAX;
    *ret_id = 0;
    for (size_t i = 0; i < ask->kinds.count; i++) {
        sqlite3_stmt *statement = recorder_sql (book->store, RECORDER_SQL_job_pick);
        recorder_bind_text (statement, 1,
                            yard_string (yard_wire_word (job_kind_type (), (int) ask->kinds.items [i])));
        recorder_bind_text (statement, 2, ask->node);
        int code = recorder_sql_step (book->store, statement, error);
        if (code < 0)
            return code;
        if (code == 0)
            continue;
        uint64_t id = recorder_column_number (statement, 0);
        int64_t priority = (int64_t) recorder_column_number (statement, 1);
        recorder_sql_done (statement);
        if (*ret_id == 0 || priority < best || (priority == best && id < *ret_id)) {
            best = priority;
            *ret_id = id;
        }
    }
    return 0;
}

/*  An install begins to run when it is past its first step, or has nothing to fetch. */
static recorder_move_t grant_move (const recorder_job_row_t *row)
{
    bool begins = row->job.kind == job_kind_install && (row->expanded || row->job.install.local);
    return begins ? RECORDER_MOVE_BEGIN : RECORDER_MOVE_GRANT;
}

static int grant_one (recorder_book_t *book, uint64_t id, yard_string_t member, job_grant_t *ret,
                      yard_string_t *ret_secret, yard_error_t *error)
{
    recorder_job_row_t row;
    int code = recorder_job_read (book, id, &row, error);
    if (code)
        return code;
    job_t *job = &row.job;
    row.token++;
    row.member = member;
    job->attempts++;
    job->error_type = job->error = yard_string ("");
    if (job->sequence == 0)
        job->sequence = ++book->sequence;
    if (!job->has_started_ms) {
        job->has_started_ms = true;
        job->started_ms = book->wall_ms;
    }
    code = recorder_job_move (book, &row, grant_move (&row), RECORDER_QUEUE_LEASED, error);
    if (code)
        return code;
    recorder_lease_t *lease = recorder_leases_put (book->leases, id, book->now_ms);
    lease->token = row.token;
    lease->parent = job->parent;
    lease->kind = job->kind;
    lease->bytes = lease->granted_bytes = job->bytes;
    lease->total_bytes = job->total_bytes;
    copy_member (lease, member);
    *ret = (job_grant_t){ .job = *job, .token = row.token, .lease_ms = (uint64_t) book->limits.lease_ms };
    *ret_secret = row.secret;
    if (!row.expanded)
        return 0;
    uint64_t bytes, total;
    ret->parts.items = yard_arena_alloc (book->arena, PARTS_MAX * sizeof *ret->parts.items);
    return recorder_job_parts (book, id, PARTS_MAX, ret->parts.items, &ret->parts.count, &bytes, &total,
                               error);
}

int recorder_job_grant (recorder_book_t *book, const job_lease_ask_t *ask, job_lease_answer_t *ret,
                        yard_string_t **ret_secrets, yard_error_t *error)
{
    size_t room = (size_t) ask->room, used = yard_arena_used (book->arena);
    ret->grants.items = NULL;
    ret->grants.count = 0;
    while (ret->grants.count < room) {
        uint64_t id;
        int code = pick (book, ask, &id, error);
        if (code)
            return code;
        if (id == 0)
            break;
        if (!ret->grants.items) {
            ret->grants.items = yard_arena_alloc (book->arena, room * sizeof *ret->grants.items);
            *ret_secrets = yard_arena_alloc (book->arena, room * sizeof **ret_secrets);
            used = yard_arena_used (book->arena);
        }
        code = grant_one (book, id, ask->member, &ret->grants.items [ret->grants.count],
                          *ret_secrets + ret->grants.count, error);
        if (code)
            return code;
        ret->grants.count++;
        if (yard_arena_used (book->arena) - used > GRANTS_BYTES_MAX)
            break; /* the rest with the next ask */
    }
    return 0;
}

/*  Why a lease is no more, in a word of job.def; NULL: it goes on. */
static int why_revoked (recorder_book_t *book, const job_progress_t *progress, const char **ret,
                        yard_error_t *error)
{
    recorder_lease_t *lease = recorder_leases_get (book->leases, progress->job);
    *ret = NULL;
    if (lease && lease->token == progress->token)
        return 0;
    recorder_job_row_t row;
    yard_error_t unknown;
    int code = recorder_job_read (book, progress->job, &row, &unknown);
    if (code && code != YARD_UNKNOWN_JOB)
        return yard_error (error, code, "%s", unknown.text);
    if (code)
        *ret = "unknown_job";
    else if (row.token != progress->token)
        *ret = "stale_token";
    else
        *ret = row.job.status == job_status_cancelled ? "cancelled" : row.job.held ? "paused" : "stale_token";
    return 0;
}

/*  The first new byte of a lease sets the attempts back, once: the row is written once per lease for it, not once per report. */
static int note_progress (recorder_book_t *book, recorder_lease_t *lease, const job_progress_t *progress,
                          bool *ret_moved, yard_error_t *error)
{
    *ret_moved = progress->bytes != lease->bytes ||
                 (progress->total_bytes && progress->total_bytes != lease->total_bytes);
    lease->bytes = progress->bytes;
    if (progress->total_bytes)
        lease->total_bytes = progress->total_bytes;
    recorder_leases_extend (book->leases, lease, book->now_ms);
    if (lease->progressed || lease->bytes <= lease->granted_bytes)
        return 0;
    recorder_job_row_t row;
    int code = recorder_job_read (book, lease->job, &row, error);
    row.job.attempts = 0;
    if (code == 0)
        code = recorder_job_save (book, &row, error);
    lease->progressed = code == 0;
    return code;
}

int recorder_job_extend (recorder_book_t *book, const job_extend_ask_t *ask, job_extend_answer_t *ret,
                         uint64_t *ret_moved, size_t *ret_moved_count, yard_error_t *error)
{
    ret->revoked.items = yard_arena_alloc (book->arena, ask->leases.count * sizeof *ret->revoked.items);
    ret->revoked.count = *ret_moved_count = 0;
    for (size_t i = 0; i < ask->leases.count; i++) {
        const job_progress_t *progress = &ask->leases.items [i];
        const char *why;
        bool moved = false;
        int code = why_revoked (book, progress, &why, error);
        if (code == 0 && why)
            ret->revoked.items [ret->revoked.count++] =
                (job_revoked_t){ .job = progress->job, .token = progress->token, .why = yard_string (why) };
        else if (code == 0)
            code = note_progress (book, recorder_leases_get (book->leases, progress->job), progress, &moved,
                                  error);
        if (code)
            return code;
        if (moved)
            ret_moved [(*ret_moved_count)++] = progress->job;
    }
    return 0;
}

bool recorder_jobs_due (const recorder_book_t *book)
{
    recorder_lease_t *lease;
    for (size_t at = 0; recorder_leases_next (book->leases, &at, &lease);)
        if (lease->deadline_ms <= book->now_ms)
            return true;
    return recorder_leases_due (book->leases, book->now_ms) != 0;
}

/*  A delay that is over: the row is ready again, without a move. The delay may be that of a change which
 *  was rolled back; then the job may be leased, and its lease stays. */
static int end_delay (recorder_book_t *book, uint64_t job, yard_error_t *error)
{
    recorder_job_row_t row;
    int code = recorder_job_read (book, job, &row, error);
    recorder_leases_undelay (book->leases, job);
    if (code == YARD_UNKNOWN_JOB || (code == 0 && row.queue != RECORDER_QUEUE_DELAYED))
        return 0;
    if (code)
        return code;
    row.queue = RECORDER_QUEUE_READY;
    book->work = true;
    return recorder_job_save (book, &row, error);
}

int recorder_jobs_expire (recorder_book_t *book, yard_error_t *error)
{
    recorder_lease_t *lease;
    int code = 0;
    for (size_t at = 0; code == 0 && recorder_leases_next (book->leases, &at, &lease);) {
        if (lease->deadline_ms > book->now_ms)
            continue;
        recorder_job_row_t row;
        code = recorder_job_read (book, lease->job, &row, error);
        if (code == 0)
            code = recorder_job_return (book, &row, error);
    }
    uint64_t job;
    while (code == 0 && (job = recorder_leases_due (book->leases, book->now_ms)) != 0)
        code = end_delay (book, job, error);
    return code;
}
