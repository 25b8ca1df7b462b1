// SPDX-License-Identifier: Apache-2.0
/*  job_queries.c - jobs for those who look: one, a page, the live ones
 */
#include "jobs.h"

/*  Which statement drives a page, by the first filter that is set: the rest are looked at row by row. */
static recorder_sql_t page_statement (const job_list_ask_t *ask)
{
    bool ended = ask->status == job_status_completed || ask->status == job_status_error ||
                 ask->status == job_status_cancelled;
    const struct {
        bool set;
        recorder_sql_t statement;
    } drivers [] = {
        { ask->has_parent, RECORDER_SQL_jobs_parent },
        { ask->has_key, RECORDER_SQL_jobs_key },
        { ask->has_source, RECORDER_SQL_jobs_source },
        { ask->has_status && ended, RECORDER_SQL_jobs_status },
        { ask->live || ask->has_status, RECORDER_SQL_jobs_live },
        { true, RECORDER_SQL_jobs_all },
    };
    size_t i = 0;
    while (!drivers [i].set)
        i++;
    return drivers [i].statement;
}

static sqlite3_stmt *bind_page (recorder_book_t *book, const job_list_ask_t *ask)
{
    sqlite3_stmt *statement = recorder_sql (book->store, page_statement (ask));
    recorder_bind_number (statement, 1, ask->after);
    if (ask->has_kind)
        recorder_bind_text (statement, 2, yard_string (yard_wire_word (job_kind_type (), (int) ask->kind)));
    if (ask->has_status)
        recorder_bind_text (statement, 3,
                            yard_string (yard_wire_word (job_status_type (), (int) ask->status)));
    recorder_bind_number (statement, 4, ask->live);
    if (ask->has_parent)
        recorder_bind_number (statement, 5, ask->parent);
    if (ask->has_key)
        recorder_bind_text (statement, 6, ask->key);
    if (ask->has_source)
        recorder_bind_text (statement, 7, ask->source);
    recorder_bind_number (statement, 8, ask->limit + 1); /* one more shows that there is more */
    return statement;
}

/*  What an install has fetched is what its files have. */
static int sum_up (recorder_book_t *book, job_t *job, yard_error_t *error)
{
    if (job->kind != job_kind_install || job->status != job_status_downloading)
        return 0;
    size_t count;
    uint64_t total;
    int code = recorder_job_parts (book, job->id, 0, NULL, &count, &job->bytes, &total, error);
    if (total > job->total_bytes)
        job->total_bytes = total;
    return code;
}

int recorder_job_get (recorder_book_t *book, uint64_t id, job_t *ret, yard_error_t *error)
{
    recorder_job_row_t row;
    int code = recorder_job_read (book, id, &row, error);
    if (code == 0)
        code = sum_up (book, &row.job, error);
    if (code == 0)
        *ret = row.job;
    return code;
}

int recorder_job_list (recorder_book_t *book, const job_list_ask_t *ask, job_list_answer_t *ret,
                       yard_error_t *error)
{
    memset (ret, 0, sizeof *ret);
    ret->change = book->change;
    ret->jobs.items = yard_arena_alloc (book->arena, (size_t) ask->limit * sizeof *ret->jobs.items);
    sqlite3_stmt *statement = bind_page (book, ask);
    size_t bytes = 0, row_bytes;
    int code;
    while ((code = recorder_sql_step (book->store, statement, error)) == 1) {
        recorder_job_row_t row;
        code = recorder_job_from_columns (book, statement, &row, &row_bytes, error);
        bytes += row_bytes;
        ret->more = code == 0 &&
                    (ret->jobs.count == ask->limit || (ret->jobs.count && bytes > RECORDER_PAGE_BYTES_MAX));
        if (code || ret->more) {
            recorder_sql_done (statement);
            break;
        }
        ret->jobs.items [ret->jobs.count++] = row.job;
    }
    for (size_t i = 0; code == 0 && i < ret->jobs.count; i++)
        code = sum_up (book, &ret->jobs.items [i], error);
    return code;
}

int recorder_job_live (recorder_book_t *book, job_kind_t kind, size_t limit, uint64_t *ret_ids,
                       size_t *ret_count, yard_error_t *error)
{
    sqlite3_stmt *statement = recorder_sql (book->store, RECORDER_SQL_job_live);
    if (kind != job_kind_unset)
        recorder_bind_text (statement, 1, yard_string (yard_wire_word (job_kind_type (), (int) kind)));
    recorder_bind_number (statement, 2, limit);
    *ret_count = 0;
    int code;
    while ((code = recorder_sql_step (book->store, statement, error)) == 1)
        ret_ids [(*ret_count)++] = recorder_column_number (statement, 0);
    return code;
}
