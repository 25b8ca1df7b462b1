// SPDX-License-Identifier: Apache-2.0
/*  job_rows.c - a job's row out of and into the database, and its children as parts
 */
#include "jobs.h"
#include <inttypes.h>

#define PAGE_MAX 256 /* children at a time; the statement has the same number */

static const struct {
    job_kind_t kind;
    yard_wire_type_fn *request;
    size_t offset, has_offset;
} requests [] = {
    { job_kind_download, download_request_type, offsetof (job_t, download), offsetof (job_t, has_download) },
    { job_kind_install, install_request_type, offsetof (job_t, install), offsetof (job_t, has_install) },
};

static int unpack (recorder_book_t *book, const yard_wire_type_t *type, yard_string_t bytes, void *ret,
                   bool *ret_has, yard_error_t *error)
{
    *ret_has = bytes.size > 0;
    return bytes.size
               ? yard_wire_unpack (type, bytes.data, bytes.size, YARD_WIRE_ANSWER, book->arena, ret, error)
               : 0;
}

static int unpack_blobs (recorder_book_t *book, recorder_job_row_t *row, yard_string_t request,
                         yard_error_t *error)
{
    job_t *job = &row->job;
    int code = 0;
    for (size_t i = 0; code == 0 && i < sizeof requests / sizeof requests [0]; i++)
        if (requests [i].kind == job->kind)
            code = unpack (book, requests [i].request (), request, (char *) job + requests [i].offset,
                           (bool *) ((char *) job + requests [i].has_offset), error);
    if (code == 0)
        code = unpack (book, download_result_type (), row->result, &job->download_result,
                       &job->has_download_result, error);
    if (code == 0)
        code = unpack (book, model_config_type (), row->config_out, &job->config_out, &job->has_config_out,
                       error);
    return code;
}

static void lay_progress_over (const recorder_book_t *book, job_t *job)
{
    const recorder_lease_t *lease = recorder_leases_get (book->leases, job->id);
    if (!lease)
        return;
    job->bytes = lease->bytes;
    if (lease->total_bytes)
        job->total_bytes = lease->total_bytes;
}

int recorder_job_from_columns (recorder_book_t *book, sqlite3_stmt *statement, recorder_job_row_t *ret,
                               size_t *ret_bytes, yard_error_t *error)
{
    memset (ret, 0, sizeof *ret);
    job_t *job = &ret->job;
    int column = 0;
    size_t used = yard_arena_used (book->arena);
#define NUMBER recorder_column_number (statement, column++)
#define TEXT recorder_column (statement, column++, book->arena)
    job->id = NUMBER;
    job->kind = (job_kind_t) yard_wire_value (job_kind_type (), TEXT);
    job->status = (job_status_t) yard_wire_value (job_status_type (), TEXT);
    job->held = NUMBER != 0;
    job->dead = NUMBER != 0;
    job->priority = (int64_t) NUMBER;
    job->parent = NUMBER;
    job->has_parent = job->parent != 0;
    job->node = TEXT;
    job->key = TEXT;
    job->step = TEXT;
    job->bytes = NUMBER;
    job->total_bytes = NUMBER;
    job->attempts = NUMBER;
    job->sequence = NUMBER;
    job->created_ms = (int64_t) NUMBER;
    job->started_ms = (int64_t) NUMBER;
    job->has_started_ms = job->started_ms != 0;
    job->ended_ms = (int64_t) NUMBER;
    job->has_ended_ms = job->ended_ms != 0;
    job->error_type = TEXT;
    job->error = TEXT;
    job->local_path = TEXT;
    yard_string_t request = TEXT;
    ret->result = TEXT;
    ret->config_out = TEXT;
    job->change = NUMBER;
    ret->token = NUMBER;
    ret->end_token = NUMBER;
    ret->queue = (recorder_queue_t) NUMBER;
    ret->open_children = NUMBER;
    ret->expanded = NUMBER != 0;
    ret->member = TEXT;
    ret->secret = TEXT;
    ret->answer = TEXT;
#undef NUMBER
#undef TEXT
    *ret_bytes = yard_arena_used (book->arena) - used + 512; /* the field names of a packed job */
    lay_progress_over (book, job);
    const recorder_kind_t *kind = recorder_kind_find (job->kind);
    if (!kind || !recorder_state_find (kind, job->status))
        return yard_error (error, YARD_STORE_FAILED,
                           "job %" PRIu64 " has a kind or status that this program does not know", job->id);
    return unpack_blobs (book, ret, request, error);
}

int recorder_job_read (recorder_book_t *book, uint64_t id, recorder_job_row_t *ret, yard_error_t *error)
{
    sqlite3_stmt *statement = recorder_sql (book->store, RECORDER_SQL_job_get);
    recorder_bind_number (statement, 1, id);
    int code = recorder_sql_step (book->store, statement, error);
    if (code == 0)
        return yard_error (error, YARD_UNKNOWN_JOB,
                           "no job has the number %" PRIu64 "; `modelyard jobs` lists them", id);
    if (code < 0)
        return code;
    size_t bytes;
    code = recorder_job_from_columns (book, statement, ret, &bytes, error);
    recorder_sql_done (statement);
    return code;
}

int recorder_job_save (recorder_book_t *book, const recorder_job_row_t *row, yard_error_t *error)
{
    const job_t *job = &row->job;
    sqlite3_stmt *statement = recorder_sql (book->store, RECORDER_SQL_job_set);
    recorder_bind_number (statement, 1, job->id);
    recorder_bind_text (statement, 2, yard_string (yard_wire_word (job_status_type (), (int) job->status)));
    recorder_bind_number (statement, 3, job->held);
    recorder_bind_number (statement, 4, job->dead);
    recorder_bind_text (statement, 5, job->step);
    recorder_bind_number (statement, 6, job->bytes);
    recorder_bind_number (statement, 7, job->total_bytes);
    recorder_bind_number (statement, 8, job->attempts);
    recorder_bind_number (statement, 9, job->sequence);
    recorder_bind_number (statement, 10, (uint64_t) job->started_ms);
    recorder_bind_number (statement, 11, (uint64_t) job->ended_ms);
    recorder_bind_text (statement, 12, job->error_type);
    recorder_bind_text (statement, 13, job->error);
    recorder_bind_text (statement, 14, job->local_path);
    recorder_bind_blob (statement, 15, row->result);
    recorder_bind_blob (statement, 16, row->config_out);
    recorder_bind_number (statement, 17, job->change);
    recorder_bind_number (statement, 18, row->token);
    recorder_bind_number (statement, 19, row->end_token);
    recorder_bind_number (statement, 20, row->queue);
    recorder_bind_number (statement, 21, row->open_children);
    recorder_bind_number (statement, 22, row->expanded);
    recorder_bind_text (statement, 23, row->member);
    recorder_bind_text (statement, 24, row->secret);
    recorder_bind_blob (statement, 25, row->answer);
    return recorder_sql_run (book->store, statement, error);
}

yard_string_t recorder_job_source (const job_t *job)
{
    return job->has_install ? job->install.source : job->download.source;
}

const recorder_state_t *recorder_job_state (const recorder_job_row_t *row)
{
    return recorder_state_find (recorder_kind_find (row->job.kind), row->job.status);
}

int recorder_job_parts (recorder_book_t *book, uint64_t parent, size_t limit, job_part_t *ret_parts,
                        size_t *ret_count, uint64_t *ret_bytes, uint64_t *ret_total, yard_error_t *error)
{
    sqlite3_stmt *statement = recorder_sql (book->store, RECORDER_SQL_job_parts);
    recorder_bind_number (statement, 1, parent);
    *ret_count = 0;
    *ret_bytes = *ret_total = 0;
    int code;
    while ((code = recorder_sql_step (book->store, statement, error)) == 1) {
        job_t child = { .id = recorder_column_number (statement, 0),
                        .bytes = recorder_column_number (statement, 3),
                        .total_bytes = recorder_column_number (statement, 4) };
        lay_progress_over (book, &child);
        *ret_bytes += child.bytes;
        *ret_total += child.total_bytes;
        if (*ret_count < limit)
            ret_parts [(*ret_count)++] = (job_part_t){
                .source = recorder_column (statement, 1, book->arena),
                .local_path = recorder_column (statement, 2, book->arena),
                .bytes = child.bytes,
                .total_bytes = child.total_bytes,
            };
    }
    return code;
}

int recorder_job_children (recorder_book_t *book, uint64_t parent, uint64_t after, bool live, uint64_t **ret,
                           size_t *ret_count, yard_error_t *error)
{
    sqlite3_stmt *statement = recorder_sql (book->store, RECORDER_SQL_job_children);
    recorder_bind_number (statement, 1, parent);
    recorder_bind_number (statement, 2, after);
    recorder_bind_number (statement, 3, live);
    *ret = yard_arena_alloc (book->arena, PAGE_MAX * sizeof **ret);
    *ret_count = 0;
    int code;
    while ((code = recorder_sql_step (book->store, statement, error)) == 1)
        (*ret) [(*ret_count)++] = recorder_column_number (statement, 0);
    return code;
}
