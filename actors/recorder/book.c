// SPDX-License-Identifier: Apache-2.0
/*  book.c - brackets around effects, so that memory and database never tell two stories
 */
#include "book.h"
#include "actors/ground/log.h"
#include "jobs.h"
#include <assert.h>

#define TRIM_STEP 1024 /* events dropped at once: a delete in each turn would cost more than the rows */

static int load_counters (recorder_book_t *self, yard_error_t *error)
{
    int code = recorder_meta_get (self->store, "last_change", &self->change, error);
    if (code == 0)
        code = recorder_meta_get (self->store, "last_sequence", &self->sequence, error);
    if (code == 0)
        code = recorder_meta_get (self->store, "published", &self->published, error);
    self->kept_change = self->change;
    self->kept_sequence = self->sequence;
    self->kept_published = self->published;
    return code;
}

static int find_trimmed (recorder_book_t *self, yard_error_t *error)
{
    sqlite3_stmt *statement = recorder_sql (self->store, RECORDER_SQL_outbox_first);
    int code = recorder_sql_step (self->store, statement, error);
    if (code < 0)
        return code;
    uint64_t first = recorder_column_number (statement, 0);
    recorder_sql_done (statement);
    self->trimmed = first ? first - 1 : self->change;
    return 0;
}

int recorder_book_open (recorder_book_t *self, const char *path, yard_random_t *random,
                        const recorder_limits_t *limits, int64_t now_ms, int64_t wall_ms, yard_error_t *error)
{
    self->random = random;
    self->limits = *limits;
    self->now_ms = now_ms;
    self->wall_ms = wall_ms;
    self->arena = yard_arena_new (RECORDER_TURN_BYTES_MAX);
    self->leases = recorder_leases_new (limits->lease_ms);
    int code = recorder_store_open (path, random, &self->store, error);
    if (code == 0)
        code = load_counters (self, error);
    if (code == 0)
        code = find_trimmed (self, error);
    if (code == 0)
        code = recorder_jobs_find_leases (self, error);
    self->work = true;
    return code;
}

void recorder_book_close (recorder_book_t *self)
{
    recorder_store_close (&self->store);
    recorder_leases_destroy (&self->leases);
    yard_arena_destroy (&self->arena);
    free (self->ended);
    free (self->removed);
    self->ended = NULL;
    self->removed = NULL;
}

static void set_back (recorder_book_t *self)
{
    self->change = self->mark.change;
    self->sequence = self->mark.sequence;
    self->ended_count = self->mark.ended_count;
    self->removed_count = self->mark.removed_count;
    if (recorder_leases_moves (self->leases) == self->mark.lease_moves)
        return;
    yard_error_t error;
    self->unread = recorder_jobs_find_leases (self, &error) != 0;
    if (self->unread)
        yard_log_error ("store.unreadable", "text=%s", YARD_QUOTED (error.text));
}

/*  Counters only between turns: inside one, the rows have them as of its begin, and memory is right. */
static int read_again (recorder_book_t *self, yard_error_t *error)
{
    int code = 0;
    if (!recorder_store_busy (self->store))
        code = load_counters (self, error);
    if (code == 0 && !recorder_store_busy (self->store))
        code = find_trimmed (self, error);
    if (code == 0)
        code = recorder_jobs_find_leases (self, error);
    self->unread = code != 0;
    return code;
}

int recorder_book_enter (recorder_book_t *self, yard_error_t *error)
{
    uint64_t published = self->published;
    int code = self->unread ? read_again (self, error) : 0;
    self->published = published; /* the broker's word, not the store's to take back */
    if (code == 0)
        code = recorder_store_begin (self->store, error);
    if (code == 0)
        code = recorder_store_savepoint (self->store, error);
    if (code)
        return code;
    self->mark = (recorder_mark_t){ self->change, self->sequence, recorder_leases_moves (self->leases),
                                    self->ended_count, self->removed_count };
    return 0;
}

int recorder_book_leave (recorder_book_t *self, int code, yard_error_t *error)
{
    if (code == 0)
        code = recorder_store_keep (self->store, error);
    if (code == 0)
        return 0;
    recorder_store_undo (self->store);
    set_back (self);
    return code;
}

static int keep_counters (recorder_book_t *self, yard_error_t *error)
{
    struct {
        const char *key;
        uint64_t value, *kept;
    } counters [] = {
        { "last_change", self->change, &self->kept_change },
        { "last_sequence", self->sequence, &self->kept_sequence },
        { "published", self->published, &self->kept_published },
    };
    for (size_t i = 0; i < sizeof counters / sizeof counters [0]; i++) {
        if (counters [i].value == *counters [i].kept)
            continue;
        int code = recorder_meta_put (self->store, counters [i].key, counters [i].value, error);
        if (code)
            return code;
    }
    return 0;
}

/*  Only what the broker has taken, and what is older than the history promises, goes. */
static int trim_outbox (recorder_book_t *self, yard_error_t *error)
{
    uint64_t keep_from = self->change > self->limits.history ? self->change - self->limits.history : 0;
    if (keep_from > self->published)
        keep_from = self->published;
    if (keep_from < self->trimmed + TRIM_STEP)
        return 0;
    sqlite3_stmt *statement = recorder_sql (self->store, RECORDER_SQL_outbox_trim);
    recorder_bind_number (statement, 1, keep_from);
    int code = recorder_sql_run (self->store, statement, error);
    if (code == 0)
        self->trimmed = keep_from;
    return code;
}

int recorder_book_commit (recorder_book_t *self, yard_error_t *error)
{
    if (!recorder_store_busy (self->store))
        return 0;
    int code = self->unread ? yard_error (error, YARD_STORE_FAILED,
                                          "%s could not be read again after an earlier failure of the disk; "
                                          "check the disk and repeat it with the same once key",
                                          recorder_store_path (self->store))
                            : 0;
    if (code == 0)
        code = recorder_store_begin (self->store, error); /* counters of a lost turn must not be written */
    if (code == 0)
        code = keep_counters (self, error);
    if (code == 0)
        code = trim_outbox (self, error);
    if (code == 0)
        code = recorder_store_commit (self->store, error);
    if (code) {
        recorder_book_revert (self);
        return code;
    }
    self->kept_change = self->change;
    self->kept_sequence = self->sequence;
    self->kept_published = self->published;
    return 0;
}

/*  The database is the truth: everything in memory that mirrors it is read again. Leases get a full new term by that. */
void recorder_book_revert (recorder_book_t *self)
{
    recorder_store_rollback (self->store);
    uint64_t published = self->published;
    yard_error_t error;
    if (read_again (self, &error))
        yard_log_error ("store.unreadable", "text=%s", YARD_QUOTED (error.text));
    self->published = published;
    self->ended_count = self->removed_count = 0;
    self->work = true;
}

void recorder_book_turn_over (recorder_book_t *self)
{
    self->ended_count = self->removed_count = 0;
    yard_arena_reset (self->arena);
}

static void *grow (void *items, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return items;
    *capacity = *capacity ? *capacity * 2 : 64;
    items = realloc (items, *capacity * size);
    if (!items)
        abort ();
    return items;
}

void recorder_book_note_ended (recorder_book_t *self, uint64_t job)
{
    self->ended = grow (self->ended, self->ended_count, &self->ended_capacity, sizeof *self->ended);
    self->ended [self->ended_count++] = job;
}

void recorder_book_note_removed (recorder_book_t *self, yard_string_t secret)
{
    self->removed = grow (self->removed, self->removed_count, &self->removed_capacity, sizeof *self->removed);
    snprintf (self->removed [self->removed_count++].text, sizeof self->removed->text, "%.*s",
              YARD_VIEW (secret));
}

double recorder_book_time (const recorder_book_t *self)
{
    return (double) self->wall_ms / 1000.0;
}

int recorder_book_pack (recorder_book_t *self, const yard_wire_type_t *type, const void *value,
                        yard_string_t *ret, yard_error_t *error)
{
    yard_buffer_t buffer;
    yard_buffer_init (&buffer, YARD_MESSAGE_MAX);
    int code = yard_wire_pack (type, value, &buffer, error);
    if (code == 0) {
        *ret = yard_arena_copy (self->arena, yard_buffer_view (&buffer));
        if (!ret->data)
            code = yard_error (error, YARD_TOO_LARGE,
                               "one turn holds at most %u bytes of rows; ask for less at once",
                               RECORDER_TURN_BYTES_MAX);
    }
    yard_buffer_clear (&buffer);
    return code;
}
