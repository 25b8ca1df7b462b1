// SPDX-License-Identifier: Apache-2.0
/*  job_moves.c - how a job goes from status to status, and what that does to its parent and its children
 *
 *  One door: recorder_job_move. It looks the move up, tells the new status, saves the row, and then lets the end of a job be felt: live children
 *  of a job that ended otherwise than well are cancelled, a child's end is counted by its parent. The recursion is three deep at most
 *  (child, parent, siblings), because a job has no grandchildren: only installs expand, into downloads.
 */
#include "jobs.h"
#include "events.h"
#include <assert.h>
#include <inttypes.h>

static int refuse (const recorder_job_row_t *row, yard_error_t *error)
{
    const char *word = yard_wire_word (job_status_type (), (int) row->job.status);
    if (recorder_job_state (row)->terminal)
        return yard_error (error, YARD_TOO_LATE, "job %" PRIu64 " has ended (%s): nothing is left to change",
                           row->job.id, word);
    return yard_error (error, YARD_CONFLICT,
                       "job %" PRIu64 " is %s: that does not follow; look at it with `modelyard jobs`",
                       row->job.id, word);
}

static void end (recorder_book_t *book, recorder_job_row_t *row)
{
    row->job.has_ended_ms = true;
    row->job.ended_ms = book->wall_ms > 0 ? book->wall_ms : 1; /* 0 means live */
    row->job.held = false;
    recorder_book_note_ended (book, row->job.id);
    if (row->secret.size && !row->job.has_parent)
        recorder_book_note_removed (book, row->secret);
    row->secret = yard_string ("");
}

/*  Calls visit for each child, those that have not ended if live. */
typedef int (visit_fn) (recorder_book_t *book, recorder_job_row_t *child, yard_error_t *error);
static int each_child (recorder_book_t *book, uint64_t parent, bool live, visit_fn *visit,
                       yard_error_t *error)
{
    uint64_t after = 0, *ids;
    size_t count;
    do {
        int code = recorder_job_children (book, parent, after, live, &ids, &count, error);
        for (size_t i = 0; code == 0 && i < count; i++) {
            recorder_job_row_t child;
            code = recorder_job_read (book, ids [i], &child, error);
            if (code == 0)
                code = visit (book, &child, error);
            after = ids [i];
        }
        if (code)
            return code;
    } while (count);
    return 0;
}

static int cancel_child (recorder_book_t *book, recorder_job_row_t *child, yard_error_t *error)
{
    return recorder_job_move (book, child, RECORDER_MOVE_CANCEL, RECORDER_QUEUE_NONE, error);
}

/*  The last child is there: the parent's next step may be leased. */
static int release_parent (recorder_book_t *book, recorder_job_row_t *parent, yard_error_t *error)
{
    size_t count;
    uint64_t total;
    int code = recorder_job_parts (book, parent->job.id, 0, NULL, &count, &parent->job.bytes, &total, error);
    if (total > parent->job.total_bytes)
        parent->job.total_bytes = total;
    if (code)
        return code;
    return recorder_job_move (book, parent, RECORDER_MOVE_RETURN,
                              parent->job.held ? RECORDER_QUEUE_NONE : RECORDER_QUEUE_READY, error);
}

static int count_child (recorder_book_t *book, const recorder_job_row_t *child, yard_error_t *error)
{
    recorder_job_row_t parent;
    int code = recorder_job_read (book, child->job.parent, &parent, error);
    if (code == YARD_UNKNOWN_JOB)
        return 0; /* it was pruned */
    if (code || recorder_job_state (&parent)->terminal)
        return code;
    parent.open_children -= parent.open_children > 0;
    if (child->job.status == job_status_error) {
        parent.job.dead = child->job.dead;
        return recorder_job_end_badly (book, &parent, child->job.error_type, child->job.error, error);
    }
    if (child->job.status == job_status_cancelled)
        return recorder_job_move (book, &parent, RECORDER_MOVE_CANCEL, RECORDER_QUEUE_NONE, error);
    return parent.open_children ? recorder_job_save (book, &parent, error)
                                : release_parent (book, &parent, error);
}

static int feel_end (recorder_book_t *book, const recorder_job_row_t *row, yard_error_t *error)
{
    int code = 0;
    if (row->expanded && row->job.status != job_status_completed)
        code = each_child (book, row->job.id, true, cancel_child, error);
    if (code == 0 && row->job.has_parent)
        code = count_child (book, row, error);
    return code;
}

int recorder_job_move (recorder_book_t *book, recorder_job_row_t *row, recorder_move_t move,
                       recorder_queue_t queue, yard_error_t *error)
{
    job_status_t to = recorder_state_next (recorder_kind_find (row->job.kind), row->job.status, move);
    if (to == job_status_unset)
        return refuse (row, error);
    bool told = to != row->job.status;
    row->job.status = to;
    const recorder_state_t *state = recorder_job_state (row);
    assert (queue != RECORDER_QUEUE_READY || state->terminal || state->leasable);
    row->queue = state->terminal ? RECORDER_QUEUE_NONE : queue;
    if (row->queue != RECORDER_QUEUE_LEASED) {
        recorder_leases_drop (book->leases, row->job.id);
        row->member = yard_string ("");
    }
    book->work = book->work || row->queue == RECORDER_QUEUE_READY;
    if (state->terminal)
        end (book, row);
    int code = told ? recorder_events_job (book, row, error) : 0;
    if (code == 0)
        code = recorder_job_save (book, row, error);
    return code == 0 && state->terminal ? feel_end (book, row, error) : code;
}

int recorder_job_end_badly (recorder_book_t *book, recorder_job_row_t *row, yard_string_t error_type,
                            yard_string_t text, yard_error_t *error)
{
    row->job.error_type = error_type;
    row->job.error = text;
    return recorder_job_move (book, row, RECORDER_MOVE_FAIL, RECORDER_QUEUE_NONE, error);
}

int recorder_job_return (recorder_book_t *book, recorder_job_row_t *row, yard_error_t *error)
{
    if (row->job.attempts < book->limits.attempts_max)
        return recorder_job_move (book, row, RECORDER_MOVE_RETURN, RECORDER_QUEUE_READY, error);
    row->job.dead = true;
    const char *text = yard_arena_printf (
        book->arena,
        "%" PRIu64 " members in turn took it and were lost without progress; see their logs, then start"
        " it again (job.start)",
        row->job.attempts);
    return recorder_job_end_badly (book, row, yard_string ("gone"), yard_string (text), error);
}

int recorder_job_cancel (recorder_book_t *book, uint64_t id, job_t *ret, yard_error_t *error)
{
    recorder_job_row_t row;
    int code = recorder_job_read (book, id, &row, error);
    if (code == 0)
        code = recorder_job_move (book, &row, RECORDER_MOVE_CANCEL, RECORDER_QUEUE_NONE, error);
    return code ? code : recorder_job_get (book, id, ret, error);
}

static int hold (recorder_book_t *book, recorder_job_row_t *row, yard_error_t *error)
{
    if (row->job.held)
        return 0;
    row->job.held = true;
    return recorder_job_move (book, row, RECORDER_MOVE_PAUSE, RECORDER_QUEUE_NONE, error);
}

int recorder_job_pause (recorder_book_t *book, uint64_t id, job_t *ret, yard_error_t *error)
{
    recorder_job_row_t row;
    int code = recorder_job_read (book, id, &row, error);
    if (code == 0)
        code = recorder_job_state (&row)->terminal ? refuse (&row, error) : hold (book, &row, error);
    if (code == 0 && row.expanded)
        code = each_child (book, id, true, hold, error);
    return code ? code : recorder_job_get (book, id, ret, error);
}

static int let_go (recorder_book_t *book, recorder_job_row_t *row, yard_error_t *error)
{
    if (!row->job.held)
        return 0;
    row->job.held = false;
    if (row->open_children)
        return recorder_job_move (book, row, RECORDER_MOVE_WAIT, RECORDER_QUEUE_NONE, error);
    return recorder_job_move (book, row, RECORDER_MOVE_START, RECORDER_QUEUE_READY, error);
}

/*  --- ended jobs that go on */
static void forget_end (recorder_job_row_t *row)
{
    job_t *job = &row->job;
    job->dead = job->has_ended_ms = false;
    job->ended_ms = 0;
    job->attempts = 0;
    job->error_type = job->error = row->answer = yard_string ("");
    row->end_token = 0;
}

static int revive_child (recorder_book_t *book, recorder_job_row_t *child, yard_error_t *error)
{
    if (child->job.status == job_status_completed)
        return 0;
    forget_end (child);
    return recorder_job_move (book, child, RECORDER_MOVE_REVIVE, RECORDER_QUEUE_READY, error);
}

static int count_live_children (recorder_book_t *book, recorder_job_row_t *row, yard_error_t *error)
{
    sqlite3_stmt *statement = recorder_sql (book->store, RECORDER_SQL_job_live_children);
    recorder_bind_number (statement, 1, row->job.id);
    int code = recorder_sql_step (book->store, statement, error);
    if (code < 0)
        return code;
    row->open_children = recorder_column_number (statement, 0);
    recorder_sql_done (statement);
    return 0;
}

static int refuse_twin (recorder_book_t *book, uint64_t id, yard_error_t *error)
{
    sqlite3_stmt *statement = recorder_sql (book->store, RECORDER_SQL_job_twin);
    recorder_bind_number (statement, 1, id);
    int code = recorder_sql_step (book->store, statement, error);
    if (code <= 0)
        return code;
    uint64_t twin = recorder_column_number (statement, 0);
    recorder_sql_done (statement);
    return yard_error (error, YARD_CONFLICT,
                       "job %" PRIu64 " does the same and is live: wait for it, or cancel it first", twin);
}

static int revive (recorder_book_t *book, recorder_job_row_t *row, yard_error_t *error)
{
    if (!row->job.dead && !yard_string_is (row->job.error_type, yard_error_row (YARD_UNKNOWN_TYPE)->word))
        return refuse (row, error);
    if (row->job.has_parent)
        return yard_error (error, YARD_TOO_LATE,
                           "job %" PRIu64 " ended with its install: start job %" PRIu64 " instead",
                           row->job.id, row->job.parent);
    int code = refuse_twin (book, row->job.id, error);
    forget_end (row);
    if (code == 0)
        code = each_child (book, row->job.id, false, revive_child, error);
    if (code == 0)
        code = count_live_children (book, row, error);
    if (code)
        return code;
    if (row->open_children == 0)
        return recorder_job_move (book, row, RECORDER_MOVE_REVIVE, RECORDER_QUEUE_READY, error);
    code = recorder_job_move (book, row, RECORDER_MOVE_REVIVE, RECORDER_QUEUE_NONE, error);
    return code ? code : recorder_job_move (book, row, RECORDER_MOVE_WAIT, RECORDER_QUEUE_NONE, error);
}

int recorder_job_start (recorder_book_t *book, uint64_t id, job_t *ret, yard_error_t *error)
{
    recorder_job_row_t row;
    int code = recorder_job_read (book, id, &row, error);
    if (code == 0)
        code = recorder_job_state (&row)->terminal ? revive (book, &row, error) : let_go (book, &row, error);
    if (code == 0 && row.expanded)
        code = each_child (book, id, true, let_go, error);
    return code ? code : recorder_job_get (book, id, ret, error);
}
