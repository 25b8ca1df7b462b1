// SPDX-License-Identifier: Apache-2.0
/*  job_submit.c - how jobs come, alone or as children, and how ended ones are forgotten
 */
#include "jobs.h"
#include "events.h"
#include <inttypes.h>

#define KEY_DIGITS 32 /* of a model's key; record.def */
#define PRUNE_MAX \
    50000 /* rows forgotten by one ask: about 100 ms of the loop; ask again while it answers this many */

/*  Exactly the request of its kind. */
static int check_request (const job_submit_ask_t *ask, yard_error_t *error)
{
    const char *kind = yard_wire_word (job_kind_type (), (int) ask->kind);
    if (!recorder_kind_find (ask->kind))
        return yard_error (error, YARD_NOT_IMPLEMENTED,
                           "no pool does jobs of kind %s yet; download and install are done", kind);
    bool right = ask->has_download == (ask->kind == job_kind_download) &&
                 ask->has_install == (ask->kind == job_kind_install);
    if (!right)
        return yard_error (error, YARD_INVALID_MESSAGE,
                           "a job of kind %s has the field %s, and no other request", kind, kind);
    return 0;
}

static int pack_request (recorder_book_t *book, const job_submit_ask_t *ask, yard_string_t *ret,
                         yard_error_t *error)
{
    if (ask->has_install)
        return recorder_book_pack (book, install_request_type (), &ask->install, ret, error);
    return recorder_book_pack (book, download_request_type (), &ask->download, ret, error);
}

static yard_string_t first_path (const job_submit_ask_t *ask)
{
    if (ask->has_download)
        return ask->download.path;
    return ask->install.local ? ask->install.source
                              : yard_string (""); /* of a remote one: known when it expands */
}

static int insert (recorder_book_t *book, const job_submit_ask_t *ask, uint64_t parent, yard_string_t secret,
                   uint64_t *ret_id, yard_error_t *error)
{
    const recorder_kind_t *kind = recorder_kind_find (ask->kind);
    yard_string_t request;
    int code = pack_request (book, ask, &request, error);
    if (code)
        return code;
    char key [KEY_DIGITS + 1] = "";
    if (ask->has_install)
        yard_random_hex (book->random, key, KEY_DIGITS);
    sqlite3_stmt *statement = recorder_sql (book->store, RECORDER_SQL_job_add);
    recorder_bind_text (statement, 1, yard_string (yard_wire_word (job_kind_type (), (int) ask->kind)));
    recorder_bind_text (statement, 2,
                        yard_string (yard_wire_word (job_status_type (),
                                                     (int) (ask->held ? kind->first_held : kind->first))));
    recorder_bind_number (statement, 3, ask->held);
    recorder_bind_number (statement, 4, (uint64_t) ask->priority);
    recorder_bind_number (statement, 5, parent);
    recorder_bind_text (statement, 6, ask->node);
    recorder_bind_text (statement, 7, yard_string (key));
    recorder_bind_text (statement, 8, ask->step);
    recorder_bind_number (statement, 9, ask->has_download && ask->download.has_size ? ask->download.size : 0);
    recorder_bind_number (statement, 10, (uint64_t) book->wall_ms);
    recorder_bind_text (statement, 11, first_path (ask));
    recorder_bind_text (statement, 12, ask->has_install ? ask->install.source : ask->download.source);
    recorder_bind_text (statement, 13, ask->has_equal ? ask->equal : yard_string (""));
    sqlite3_bind_blob (statement, 14, request.data, (int) request.size, SQLITE_STATIC);
    recorder_bind_number (statement, 15, book->change);
    recorder_bind_number (statement, 16, ask->held ? RECORDER_QUEUE_NONE : RECORDER_QUEUE_READY);
    recorder_bind_text (statement, 17, secret);
    code = recorder_sql_run (book->store, statement, error);
    *ret_id = (uint64_t) recorder_store_last_id (book->store);
    book->work = book->work || !ask->held;
    return code;
}

/*  A new row is told too; its change is that event's. */
static int tell_new (recorder_book_t *book, uint64_t id, job_t *ret, yard_error_t *error)
{
    recorder_job_row_t row;
    int code = recorder_job_read (book, id, &row, error);
    if (code == 0 && recorder_job_state (&row)->event) {
        code = recorder_events_job (book, &row, error);
        if (code == 0)
            code = recorder_job_save (book, &row, error);
    }
    if (code == 0)
        *ret = row.job;
    return code;
}

/*  0 in ret_id: none. */
static int find_equal (recorder_book_t *book, const job_submit_ask_t *ask, uint64_t *ret_id,
                       yard_error_t *error)
{
    *ret_id = 0;
    if (!ask->has_equal)
        return 0;
    sqlite3_stmt *statement = recorder_sql (book->store, RECORDER_SQL_job_equal);
    recorder_bind_text (statement, 1, yard_string (yard_wire_word (job_kind_type (), (int) ask->kind)));
    recorder_bind_text (statement, 2, ask->equal);
    int code = recorder_sql_step (book->store, statement, error);
    if (code <= 0)
        return code;
    *ret_id = recorder_column_number (statement, 0);
    recorder_sql_done (statement);
    return 0;
}

int recorder_job_submit (recorder_book_t *book, const job_submit_ask_t *ask, yard_string_t secret,
                         job_submit_answer_t *ret, yard_error_t *error)
{
    uint64_t id;
    int code = check_request (ask, error);
    if (code == 0)
        code = find_equal (book, ask, &id, error);
    if (code)
        return code;
    ret->existed = id != 0;
    if (ret->existed)
        return recorder_job_get (book, id, &ret->job, error);
    code = insert (book, ask, 0, secret, &id, error);
    return code ? code : tell_new (book, id, &ret->job, error);
}

static int insert_children (recorder_book_t *book, const job_expand_ask_t *ask,
                            const recorder_job_row_t *parent, job_expand_answer_t *ret, yard_error_t *error)
{
    ret->children.count = ask->children.count;
    ret->children.items =
        yard_arena_alloc (book->arena, ask->children.count * sizeof *ret->children.items + 1);
    for (size_t i = 0; i < ask->children.count; i++) {
        const job_submit_ask_t *child = &ask->children.items [i];
        int code = check_request (child, error);
        if (code == 0 && child->kind != job_kind_download)
            code = yard_error (error, YARD_INVALID_MESSAGE,
                               "children [%zu]: children are downloads; submit other work by itself", i);
        if (code == 0 && (child->has_access_token || child->has_equal || child->held))
            code =
                yard_error (error, YARD_INVALID_MESSAGE,
                            "children [%zu]: a child has its parent's token and its own row, and is not held;"
                            " leave access_token, equal and held away",
                            i);
        job_t job;
        if (code == 0)
            code = insert (book, child, parent->job.id, parent->secret, &ret->children.items [i], error);
        if (code == 0)
            code = tell_new (book, ret->children.items [i], &job, error);
        if (code)
            return code;
    }
    return 0;
}

int recorder_job_expand (recorder_book_t *book, const job_expand_ask_t *ask, job_expand_answer_t *ret,
                         yard_error_t *error)
{
    recorder_job_row_t row;
    bool ended;
    int code = recorder_job_held (book, ask->job, ask->token, &row, &ended, error);
    if (code == 0 && ended)
        code = yard_error (error, YARD_TOO_LATE, "job %" PRIu64 " has ended: it has no next step", ask->job);
    if (code == 0 && row.job.kind != job_kind_install)
        code = yard_error (error, YARD_CONFLICT,
                           "job %" PRIu64 " is a download: it has no steps; finish or fail it", ask->job);
    if (code == 0)
        code = insert_children (book, ask, &row, ret, error);
    if (code == 0 && ask->has_config_out)
        code = recorder_book_pack (book, model_config_type (), &ask->config_out, &row.config_out, error);
    if (code)
        return code;
    row.job.step = ask->step;
    row.job.attempts = 0; /* a step that ended is progress */
    if (ask->local_path.size)
        row.job.local_path = ask->local_path;
    if (ask->total_bytes)
        row.job.total_bytes = ask->total_bytes;
    row.expanded = true;
    row.open_children = ask->children.count;
    if (ask->children.count)
        return recorder_job_move (book, &row, RECORDER_MOVE_WAIT, RECORDER_QUEUE_NONE, error);
    return recorder_job_move (book, &row, RECORDER_MOVE_RETURN, RECORDER_QUEUE_READY, error);
}

int recorder_job_prune (recorder_book_t *book, const job_prune_ask_t *ask, job_prune_answer_t *ret,
                        yard_error_t *error)
{
    sqlite3_stmt *statement = recorder_sql (book->store, RECORDER_SQL_jobs_prune);
    if (ask->has_kind)
        recorder_bind_text (statement, 1, yard_string (yard_wire_word (job_kind_type (), (int) ask->kind)));
    recorder_bind_number (statement, 2, PRUNE_MAX);
    int code = recorder_sql_run (book->store, statement, error);
    if (code == 0)
        ret->pruned = recorder_store_rows_changed (book->store);
    return code;
}
