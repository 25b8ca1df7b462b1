// SPDX-License-Identifier: Apache-2.0
/*  events.c - bodies with the keys that clients of the model manager know, the outbox, and its pages
 */
#include "events.h"
#include <inttypes.h>

#define EVENTS_MAX 256 /* of one page; event.def */
#define SCAN_MAX \
    4096 /* rows one ask for history looks at: a rare prefix must not hold the loop for longer than a few ms */
#define PARTS_MAX 256 /* of one event; job.def */
#define PARTS_BYTES_MAX (512 * 1024) /* of their texts: the event with its envelope stays below 1 MiB */

int recorder_events_tell (recorder_book_t *book, const yard_event_t *event, yard_string_t subject,
                          const void *body, yard_error_t *error)
{
    yard_string_t packed;
    int code = recorder_book_pack (book, event->body (), body, &packed, error);
    if (code)
        return code;
    sqlite3_stmt *statement = recorder_sql (book->store, RECORDER_SQL_outbox_put);
    recorder_bind_number (statement, 1, book->change + 1);
    recorder_bind_text (statement, 2, yard_string (event->name));
    recorder_bind_text (statement, 3, subject);
    recorder_bind_blob (statement, 4, packed);
    sqlite3_bind_double (statement, 5, recorder_book_time (book));
    code = recorder_sql_run (book->store, statement, error);
    if (code == 0)
        book->change++;
    return code;
}

void recorder_events_download (const recorder_book_t *book, const job_t *job, download_told_t *ret)
{
    *ret = (download_told_t){
        .id = job->id,
        .source = job->download.source,
        .local_path = job->download.path,
        .bytes = job->bytes,
        .total_bytes = job->total_bytes,
        .error_type = job->error_type,
        .error = job->error,
        .timestamp = recorder_book_time (book),
    };
}

/*  As many parts as their texts leave room for: 256 of the longest would be over 1 MiB. */
static size_t parts_that_fit (const job_part_t *parts, size_t count)
{
    size_t bytes = 0, fit = 0;
    for (; fit < count; fit++) {
        bytes += parts [fit].source.size + parts [fit].local_path.size + 64; /* names and numbers */
        if (bytes > PARTS_BYTES_MAX)
            break;
    }
    return fit;
}

int recorder_events_install (recorder_book_t *book, const job_t *job, install_progress_t *ret,
                             yard_error_t *error)
{
    *ret = (install_progress_t){
        .source = job->install.source,
        .local_path = job->local_path,
        .timestamp = recorder_book_time (book),
    };
    ret->parts.items = yard_arena_alloc (book->arena, PARTS_MAX * sizeof *ret->parts.items);
    int code = recorder_job_parts (book, job->id, PARTS_MAX, ret->parts.items, &ret->parts.count, &ret->bytes,
                                   &ret->total_bytes, error);
    ret->parts.count = parts_that_fit (ret->parts.items, ret->parts.count);
    if (job->total_bytes > ret->total_bytes)
        ret->total_bytes =
            job->total_bytes; /* the installer knew sizes that the files' servers have not told yet */
    return code;
}

static int tell_install (recorder_book_t *book, const recorder_job_row_t *row, const yard_event_t *event,
                         yard_string_t subject, yard_error_t *error)
{
    const job_t *job = &row->job;
    double timestamp = recorder_book_time (book);
    if (job->status == job_status_downloading) {
        install_progress_t body;
        int code = recorder_events_install (book, job, &body, error);
        return code ? code : recorder_events_tell (book, event, subject, &body, error);
    }
    if (job->status == job_status_completed) {
        install_completed_t body = { job->install.source, job->total_bytes, job->key, timestamp };
        return recorder_events_tell (book, event, subject, &body, error);
    }
    if (job->status == job_status_error) {
        install_failed_t body = { job->install.source, job->error_type, job->error, timestamp };
        return recorder_events_tell (book, event, subject, &body, error);
    }
    install_running_t body = { job->install.source, timestamp };
    return recorder_events_tell (book, event, subject, &body, error);
}

int recorder_events_job (recorder_book_t *book, recorder_job_row_t *row, yard_error_t *error)
{
    const yard_event_t *event = recorder_job_state (row)->event;
    int code = 0;
    if (event) {
        char subject [24];
        snprintf (subject, sizeof subject, "%" PRIu64, row->job.id);
        if (row->job.kind == job_kind_download) {
            download_told_t body;
            recorder_events_download (book, &row->job, &body);
            code = recorder_events_tell (book, event, yard_string (subject), &body, error);
        } else
            code = tell_install (book, row, event, yard_string (subject), error);
    }
    row->job.change = book->change;
    return code;
}

static bool wanted (const event_history_ask_t *ask, yard_string_t name)
{
    if (ask->prefixes.count == 0)
        return true;
    for (size_t i = 0; i < ask->prefixes.count; i++) {
        yard_string_t prefix = ask->prefixes.items [i];
        if (name.size >= prefix.size &&
            (prefix.size == 0 || memcmp (name.data, prefix.data, prefix.size) == 0))
            return true;
    }
    return false;
}

/*  One page of the outbox. ret_last: the last change looked at; ret_more: the page ended before the outbox did. */
static int read_page (recorder_book_t *book, const event_history_ask_t *ask, told_t *ret, size_t *ret_count,
                      uint64_t *ret_last, bool *ret_more, yard_error_t *error)
{
    sqlite3_stmt *statement = recorder_sql (book->store, RECORDER_SQL_outbox_page);
    recorder_bind_number (statement, 1, ask->after);
    recorder_bind_number (statement, 2, SCAN_MAX + 1);
    size_t scanned = 0, count = 0, bytes = 0;
    int code;
    *ret_last = ask->after;
    *ret_more = false;
    while ((code = recorder_sql_step (book->store, statement, error)) == 1) {
        yard_string_t name = { (const char *) sqlite3_column_blob (statement, 1),
                               (size_t) sqlite3_column_bytes (statement, 1) };
        bool fits = wanted (ask, name);
        bytes += fits ? (size_t) sqlite3_column_bytes (statement, 3) + 256 : 0; /* names, subject, numbers */
        if (scanned++ == SCAN_MAX ||
            (fits && (count == ask->limit || (count && bytes > RECORDER_PAGE_BYTES_MAX)))) {
            *ret_more = true;
            recorder_sql_done (statement);
            code = 0;
            break;
        }
        *ret_last = recorder_column_number (statement, 0);
        if (fits)
            ret [count++] = (told_t){
                .name = recorder_column (statement, 1, book->arena),
                .subject = recorder_column (statement, 2, book->arena),
                .body = recorder_column (statement, 3, book->arena),
                .time = sqlite3_column_double (statement, 4),
                .change = *ret_last,
            };
    }
    *ret_count = count;
    return code;
}

int recorder_events_pending (recorder_book_t *book, event_publish_ask_t *ret, yard_error_t *error)
{
    *ret = (event_publish_ask_t){ .store = yard_string (recorder_store_id (book->store)) };
    if (book->published >= book->change)
        return 0;
    event_history_ask_t ask = { .after = book->published, .limit = EVENTS_MAX };
    uint64_t last;
    bool more;
    ret->events.items = yard_arena_alloc (book->arena, EVENTS_MAX * sizeof *ret->events.items);
    return read_page (book, &ask, ret->events.items, &ret->events.count, &last, &more, error);
}

int recorder_events_history (recorder_book_t *book, const event_history_ask_t *ask,
                             event_history_answer_t *ret, yard_error_t *error)
{
    if (ask->after < book->trimmed)
        return yard_error (error, YARD_TOO_OLD,
                           "changes up to %" PRIu64
                           " are no longer kept; page the snapshot instead (record.search, job.list)",
                           book->trimmed);
    if (ask->after > book->change)
        return yard_error (error, YARD_TOO_OLD,
                           "the last change of this store is %" PRIu64
                           ": yours is another store's; page the snapshot instead",
                           book->change);
    *ret = (event_history_answer_t){ .store = yard_string (recorder_store_id (book->store)) };
    ret->events.items = yard_arena_alloc (book->arena, EVENTS_MAX * sizeof *ret->events.items);
    return read_page (book, ask, ret->events.items, &ret->events.count, &ret->last, &ret->more, error);
}
