// SPDX-License-Identifier: Apache-2.0
/*  records.c - models as rows: base fields in columns to search by, the whole record packed beside them
 */
#include "records.h"
#include "events.h"
#include <inttypes.h>

#define KEY_SIZE 32 /* of a record; a cursor is the last key, then the last name */

static int unpack_record (recorder_book_t *book, sqlite3_stmt *statement, model_record_t *ret,
                          yard_error_t *error)
{
    yard_string_t fields = recorder_column (statement, 0, book->arena);
    ret->change = recorder_column_number (statement, 1);
    ret->created_ms = (int64_t) recorder_column_number (statement, 2);
    ret->updated_ms = (int64_t) recorder_column_number (statement, 3);
    return yard_wire_unpack (model_config_type (), fields.data, fields.size, YARD_WIRE_ANSWER, book->arena,
                             &ret->config, error);
}

int recorder_record_get (recorder_book_t *book, yard_string_t key, model_record_t *ret, yard_error_t *error)
{
    sqlite3_stmt *statement = recorder_sql (book->store, RECORDER_SQL_model_get);
    recorder_bind_text (statement, 1, key);
    int code = recorder_sql_step (book->store, statement, error);
    if (code == 0)
        return yard_error (error, YARD_UNKNOWN_MODEL, "no model has the key %.*s; `modelyard ls` lists them",
                           YARD_VIEW (key));
    if (code < 0)
        return code;
    code = unpack_record (book, statement, ret, error);
    recorder_sql_done (statement);
    return code;
}

int recorder_record_exists (recorder_book_t *book, yard_string_t key, bool *ret, yard_error_t *error)
{
    sqlite3_stmt *statement = recorder_sql (book->store, RECORDER_SQL_model_exists);
    recorder_bind_text (statement, 1, key);
    int code = recorder_sql_step (book->store, statement, error);
    if (code < 0)
        return code;
    *ret = code == 1;
    recorder_sql_done (statement);
    return 0;
}

/*  --- writing */
static yard_string_t word (const yard_wire_type_t *type, int value)
{
    return yard_string (yard_wire_word (type, value));
}

static int add_base (recorder_book_t *book, const model_config_t *config, base_model_t base,
                     yard_error_t *error)
{
    sqlite3_stmt *statement = recorder_sql (book->store, RECORDER_SQL_base_add);
    recorder_bind_text (statement, 1, word (base_model_type (), (int) base));
    recorder_bind_text (statement, 2, config->name);
    recorder_bind_text (statement, 3, config->key);
    recorder_bind_text (statement, 4, word (model_type_type (), (int) config->type));
    recorder_bind_text (statement, 5, word (model_format_type (), (int) config->format));
    return recorder_sql_run (book->store, statement, error);
}

static int drop_bases (recorder_book_t *book, yard_string_t key, yard_error_t *error)
{
    sqlite3_stmt *statement = recorder_sql (book->store, RECORDER_SQL_base_drop);
    recorder_bind_text (statement, 1, key);
    return recorder_sql_run (book->store, statement, error);
}

/*  put: RECORDER_SQL_model_add or _set, which take the same parameters. */
static int put (recorder_book_t *book, recorder_sql_t id, const model_record_t *record, yard_error_t *error)
{
    const model_config_t *config = &record->config;
    yard_string_t fields;
    int code = recorder_book_pack (book, model_config_type (), config, &fields, error);
    if (code)
        return code;
    sqlite3_stmt *statement = recorder_sql (book->store, id);
    recorder_bind_text (statement, 1, config->key);
    recorder_bind_text (statement, 2, config->name);
    recorder_bind_text (statement, 3, word (model_type_type (), (int) config->type));
    recorder_bind_text (statement, 4, word (base_model_type (), (int) config->base));
    recorder_bind_text (statement, 5, word (model_format_type (), (int) config->format));
    recorder_bind_text (statement, 6, config->path);
    recorder_bind_text (statement, 7, config->hash);
    recorder_bind_text (statement, 8, config->description);
    recorder_bind_text (statement, 9, config->source);
    recorder_bind_number (statement, 10, config->total_bytes);
    recorder_bind_blob (statement, 11, fields);
    recorder_bind_number (statement, 12, record->change);
    recorder_bind_number (statement, 13, (uint64_t) record->created_ms);
    recorder_bind_number (statement, 14, (uint64_t) record->updated_ms);
    code = recorder_sql_run (book->store, statement, error);
    if (code == 0 && id == RECORDER_SQL_model_set)
        code = drop_bases (book, config->key, error);
    if (code == 0)
        code = add_base (book, config, config->base, error);
    for (size_t i = 0; code == 0 && i < config->also_bases.count; i++)
        code = add_base (book, config, config->also_bases.items [i], error);
    return code;
}

static int tell (recorder_book_t *book, const yard_event_t *event, model_record_t *record,
                 yard_error_t *error)
{
    record->change = book->change + 1; /* the event's own number is in its body */
    return recorder_events_tell (book, event, record->config.key, record, error);
}

static int store_new (recorder_book_t *book, const model_config_t *config, model_record_t *ret,
                      yard_error_t *error)
{
    *ret = (model_record_t){ .config = *config, .created_ms = book->wall_ms, .updated_ms = book->wall_ms };
    int code = tell (book, &model_record_added_event, ret, error);
    return code ? code : put (book, RECORDER_SQL_model_add, ret, error);
}

/*  The same config again is the same answer; packed bytes are equal exactly when all fields are. */
static int repeat (recorder_book_t *book, const model_config_t *config, const model_record_t *known,
                   yard_error_t *error)
{
    yard_string_t ours, theirs;
    int code = recorder_book_pack (book, model_config_type (), config, &theirs, error);
    if (code == 0)
        code = recorder_book_pack (book, model_config_type (), &known->config, &ours, error);
    if (code == 0 && !yard_string_equal (ours, theirs))
        code =
            yard_error (error, YARD_DUPLICATE_MODEL,
                        "the key %.*s is recorded already, with other fields; change it with record.update",
                        YARD_VIEW (config->key));
    return code;
}

static int store_once (recorder_book_t *book, const model_config_t *config, model_record_t *ret,
                       yard_error_t *error)
{
    bool exists;
    int code = recorder_record_check (config, error);
    if (code == 0)
        code = recorder_record_exists (book, config->key, &exists, error);
    if (code)
        return code;
    if (!exists)
        return store_new (book, config, ret, error);
    code = recorder_record_get (book, config->key, ret, error);
    return code ? code : repeat (book, config, ret, error);
}

/*  --- an install's end */
static int first_answer (recorder_book_t *book, const recorder_job_row_t *row, model_record_t *ret,
                         yard_error_t *error)
{
    if (row->answer.size == 0)
        return yard_error (error, YARD_TOO_LATE,
                           "job %" PRIu64
                           " has ended without a record (%.*s): nothing can be recorded for it",
                           row->job.id, YARD_VIEW (row->job.error_type));
    return yard_wire_unpack (model_record_type (), row->answer.data, row->answer.size, YARD_WIRE_ANSWER,
                             book->arena, ret, error);
}

static int end_install (recorder_book_t *book, recorder_job_row_t *row, const record_add_ask_t *ask,
                        const model_record_t *record, yard_error_t *error)
{
    int code = recorder_book_pack (book, model_record_type (), record, &row->answer, error);
    if (code == 0)
        code = recorder_book_pack (book, model_config_type (), &ask->config, &row->config_out, error);
    if (code)
        return code;
    row->job.local_path = ask->config.path;
    row->job.bytes = row->job.total_bytes = ask->config.total_bytes;
    row->end_token = ask->token;
    return recorder_job_move (book, row, RECORDER_MOVE_FINISH, RECORDER_QUEUE_NONE, error);
}

int recorder_record_add (recorder_book_t *book, const record_add_ask_t *ask, model_record_t *ret,
                         yard_error_t *error)
{
    if (ask->has_job != ask->has_token)
        return yard_error (error, YARD_INVALID_MESSAGE,
                           "job and token come together: the install, and its lease");
    if (!ask->has_job)
        return store_once (book, &ask->config, ret, error);
    recorder_job_row_t row;
    bool ended;
    int code = recorder_job_held (book, ask->job, ask->token, &row, &ended, error);
    if (code == 0 && ended)
        return first_answer (book, &row, ret, error);
    if (code == 0 && row.job.kind != job_kind_install)
        code = yard_error (error, YARD_CONFLICT, "job %" PRIu64 " is a download: it ends with job.finish",
                           ask->job);
    if (code == 0 && !yard_string_equal (row.job.key, ask->config.key))
        code = yard_error (error, YARD_INVALID_MODEL_CONFIG,
                           "the key of job %" PRIu64 " is %.*s: the record must have it", ask->job,
                           YARD_VIEW (row.job.key));
    if (code == 0)
        code = store_once (book, &ask->config, ret, error);
    return code ? code : end_install (book, &row, ask, ret, error);
}

int recorder_record_update (recorder_book_t *book, const record_update_ask_t *ask, model_record_t *ret,
                            yard_error_t *error)
{
    int code = recorder_record_get (book, ask->key, ret, error);
    if (code)
        return code;
    recorder_record_change (&ret->config, &ask->changes);
    code = recorder_record_check (&ret->config, error);
    if (code)
        return code;
    ret->updated_ms = book->wall_ms;
    code = tell (book, &model_record_updated_event, ret, error);
    return code ? code : put (book, RECORDER_SQL_model_set, ret, error);
}

int recorder_record_delete (recorder_book_t *book, yard_string_t key, model_record_t *ret,
                            yard_error_t *error)
{
    int code = recorder_record_get (book, key, ret, error);
    if (code)
        return code;
    sqlite3_stmt *statement = recorder_sql (book->store, RECORDER_SQL_model_drop); /* its bases go with it */
    recorder_bind_text (statement, 1, key);
    code = recorder_sql_run (book->store, statement, error);
    return code ? code : tell (book, &model_record_deleted_event, ret, error);
}

/*  --- searching */
/*  Which index drives the page, the most selective first; the other attributes are looked at row by row. */
static recorder_sql_t search_statement (const record_search_ask_t *ask)
{
    const struct {
        bool set;
        recorder_sql_t statement;
    } drivers [] = {
        { ask->has_path, RECORDER_SQL_search_path },
        { ask->has_name, RECORDER_SQL_search_name },
        { ask->has_base && ask->has_type && ask->has_format, RECORDER_SQL_search_base_type_format },
        { ask->has_base && ask->has_type, RECORDER_SQL_search_base_type },
        { ask->has_base && ask->has_format, RECORDER_SQL_search_base_format },
        { ask->has_base, RECORDER_SQL_search_base },
        { ask->has_type && ask->has_format, RECORDER_SQL_search_type_format },
        { ask->has_type, RECORDER_SQL_search_type },
        { ask->has_format, RECORDER_SQL_search_format },
        { true, RECORDER_SQL_search_all },
    };
    size_t i = 0;
    while (!drivers [i].set)
        i++;
    return drivers [i].statement;
}

static sqlite3_stmt *bind_search (recorder_book_t *book, const record_search_ask_t *ask)
{
    sqlite3_stmt *statement = recorder_sql (book->store, search_statement (ask));
    if (ask->has_name)
        recorder_bind_text (statement, 1, ask->name);
    if (ask->has_type)
        recorder_bind_text (statement, 2, word (model_type_type (), (int) ask->type));
    if (ask->has_base)
        recorder_bind_text (statement, 3, word (base_model_type (), (int) ask->base));
    if (ask->has_format)
        recorder_bind_text (statement, 4, word (model_format_type (), (int) ask->format));
    if (ask->has_path)
        recorder_bind_text (statement, 5, ask->path);
    yard_string_t key = yard_string (""), name = yard_string ("");
    if (ask->has_cursor && ask->cursor.size > KEY_SIZE) {
        key = (yard_string_t){ ask->cursor.data, KEY_SIZE };
        name = (yard_string_t){ ask->cursor.data + KEY_SIZE, ask->cursor.size - KEY_SIZE };
    }
    recorder_bind_text (statement, 6, name);
    recorder_bind_text (statement, 7, key);
    recorder_bind_number (statement, 8, ask->limit + 1); /* one more shows that there is a next page */
    return statement;
}

static int set_cursor (recorder_book_t *book, record_search_answer_t *ret, yard_error_t *error)
{
    const model_config_t *last = &ret->records.items [ret->records.count - 1].config;
    const char *text =
        yard_arena_printf (book->arena, "%.*s%.*s", YARD_VIEW (last->key), YARD_VIEW (last->name));
    if (!text)
        return yard_error (error, YARD_TOO_LARGE,
                           "one turn holds at most %u bytes of rows; ask for less at once",
                           RECORDER_TURN_BYTES_MAX);
    ret->has_cursor = true;
    ret->cursor = yard_string (text);
    return 0;
}

int recorder_record_search (recorder_book_t *book, const record_search_ask_t *ask,
                            record_search_answer_t *ret, yard_error_t *error)
{
    if (ask->has_cursor && ask->cursor.size && ask->cursor.size <= KEY_SIZE)
        return yard_error (error, YARD_INVALID_MESSAGE, "cursor: as the page before gave it, or none");
    memset (ret, 0, sizeof *ret);
    ret->change = book->change;
    ret->records.items = yard_arena_alloc (book->arena, (size_t) ask->limit * sizeof *ret->records.items);
    sqlite3_stmt *statement = bind_search (book, ask);
    size_t bytes = 0;
    int code;
    while ((code = recorder_sql_step (book->store, statement, error)) == 1) {
        bytes += (size_t) sqlite3_column_bytes (statement, 0) + 64; /* the record around the config */
        if (ret->records.count == ask->limit || (ret->records.count && bytes > RECORDER_PAGE_BYTES_MAX)) {
            recorder_sql_done (statement);
            return set_cursor (book, ret, error);
        }
        code = unpack_record (book, statement, &ret->records.items [ret->records.count++], error);
        if (code) {
            recorder_sql_done (statement);
            return code;
        }
    }
    return code;
}
