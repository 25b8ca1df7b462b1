// SPDX-License-Identifier: Apache-2.0
/*  job_ends.c - what the holder of a lease says last: finish, fail, release
 */
#include "actors/ground/fault.h"
#include "jobs.h"
#include <inttypes.h>

int recorder_job_held (recorder_book_t *book, uint64_t id, uint64_t token, recorder_job_row_t *ret,
                       bool *ret_ended, yard_error_t *error)
{
    int code = recorder_job_read (book, id, ret, error);
    if (code)
        return code;
    *ret_ended = ret->end_token && ret->end_token == token;
    bool last = ret->token == token || FAULT ("planted.no_token_check");
    if (*ret_ended || (ret->queue == RECORDER_QUEUE_LEASED && last))
        return 0;
    return yard_error (error, YARD_STALE_TOKEN,
                       "the lease %" PRIu64 " of job %" PRIu64
                       " is over (the job is %s): stop, and lease anew",
                       token, id, yard_wire_word (job_status_type (), (int) ret->job.status));
}

int recorder_job_finish (recorder_book_t *book, const job_finish_ask_t *ask, job_t *ret, yard_error_t *error)
{
    recorder_job_row_t row;
    bool ended;
    int code = recorder_job_held (book, ask->job, ask->token, &row, &ended, error);
    if (code == 0 && !ended && row.job.kind == job_kind_install)
        code = yard_error (error, YARD_CONFLICT,
                           "an install ends with record.add, which carries the record, job and token");
    if (code == 0 && !ended && !ask->has_download_result)
        code = yard_error (error, YARD_INVALID_MESSAGE,
                           "download_result is missing: a download ends with what is there");
    if (code == 0 && !ended)
        code = recorder_book_pack (book, download_result_type (), &ask->download_result, &row.result, error);
    if (code)
        return code;
    if (!ended) {
        row.job.bytes = row.job.total_bytes = ask->download_result.bytes;
        row.job.local_path = ask->download_result.path;
        row.job.has_download_result = true;
        row.job.download_result = ask->download_result;
        row.end_token = ask->token;
        code = recorder_job_move (book, &row, RECORDER_MOVE_FINISH, RECORDER_QUEUE_NONE, error);
    }
    if (code == 0)
        *ret = row.job;
    return code;
}

/*  A grant that did not fail the job is no attempt at it. */
static void uncount (recorder_job_row_t *row)
{
    row->job.attempts -= row->job.attempts > 0;
}

/*  The reason stays in the row until the next grant, so that a person sees what the job waits for. */
static int put_back (recorder_book_t *book, recorder_job_row_t *row, const job_fail_ask_t *ask,
                     yard_error_t *error)
{
    uncount (row);
    row->job.error_type = ask->error_type;
    row->job.error = ask->error;
    recorder_queue_t queue = ask->after_ms ? RECORDER_QUEUE_DELAYED : RECORDER_QUEUE_READY;
    int code = recorder_job_move (book, row, RECORDER_MOVE_RETURN, queue, error);
    if (code == 0 && ask->after_ms)
        recorder_leases_delay (book->leases, row->job.id, book->now_ms + (int64_t) ask->after_ms);
    return code;
}

int recorder_job_fail (recorder_book_t *book, const job_fail_ask_t *ask, job_t *ret, yard_error_t *error)
{
    recorder_job_row_t row;
    bool ended;
    int code = recorder_job_held (book, ask->job, ask->token, &row, &ended, error);
    if (code == 0 && !ended && ask->again)
        code = put_back (book, &row, ask, error);
    else if (code == 0 && !ended) {
        row.end_token = ask->token;
        code = recorder_job_end_badly (book, &row, ask->error_type, ask->error, error);
    }
    if (code == 0)
        *ret = row.job;
    return code;
}

int recorder_job_release (recorder_book_t *book, const job_release_ask_t *ask, job_t *ret,
                          yard_error_t *error)
{
    recorder_job_row_t row;
    bool ended;
    int code = recorder_job_held (book, ask->job, ask->token, &row, &ended, error);
    if (code == 0 && !ended) {
        uncount (&row);
        code = recorder_job_move (book, &row, RECORDER_MOVE_RETURN, RECORDER_QUEUE_READY, error);
    }
    if (code == 0)
        *ret = row.job;
    return code;
}
