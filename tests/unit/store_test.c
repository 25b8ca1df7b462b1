// SPDX-License-Identifier: Apache-2.0
/*  store_test.c - the database file: whose it is, how it is written, what it refuses */
#include "recorder_fixture.h"
#include <sys/stat.h>

static void pragma_is (fixture_t *self, const char *sql, const char *expected)
{
    sqlite3 *database = sqlite3_db_handle (recorder_sql (self->book.store, RECORDER_SQL_begin));
    sqlite3_stmt *statement;
    assert_int_equal (sqlite3_prepare_v2 (database, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal (sqlite3_step (statement), SQLITE_ROW);
    assert_string_equal ((const char *) sqlite3_column_text (statement, 0), expected);
    sqlite3_finalize (statement);
}

static void a_commit_goes_through_the_log_to_the_disk (void **state)
{
    pragma_is (*state, "PRAGMA journal_mode", "wal");
    pragma_is (*state, "PRAGMA synchronous", "2"); /* FULL */
    pragma_is (*state, "PRAGMA foreign_keys", "1");
    pragma_is (*state, "PRAGMA trusted_schema", "0");
    pragma_is (*state, "PRAGMA cell_size_check", "1");
}

static void the_file_is_its_owners_alone (void **state)
{
    fixture_t *self = *state;
    struct stat info;
    assert_int_equal (stat (self->path, &info), 0);
    assert_int_equal (info.st_mode & 0777, 0600);
}

static void a_store_keeps_its_identity (void **state)
{
    fixture_t *self = *state;
    char id [RECORDER_STORE_ID_DIGITS + 1];
    snprintf (id, sizeof id, "%s", recorder_store_id (self->book.store));
    assert_int_equal (strlen (id), RECORDER_STORE_ID_DIGITS);
    fixture_reopen (self);
    assert_string_equal (recorder_store_id (self->book.store), id);
}

/*  Runs sql on a file beside the fixture's, then opens it as a store. */
static int open_after (fixture_t *self, const char *sql)
{
    char path [96];
    snprintf (path, sizeof path, "%s/other.db", self->home);
    if (sql) {
        sqlite3 *database;
        assert_int_equal (sqlite3_open (path, &database), SQLITE_OK);
        assert_int_equal (sqlite3_exec (database, sql, NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close (database);
    }
    recorder_store_t *store = NULL;
    int code = recorder_store_open (path, &self->random, &store, &self->error);
    recorder_store_close (&store);
    return code;
}

/* R1.5 */
static void a_missing_file_is_made (void **state)
{
    assert_int_equal (open_after (*state, NULL), 0);
}

/* R1.5 */
static void another_programs_database_is_refused (void **state)
{
    assert_int_equal (open_after (*state, "CREATE TABLE photos (id INTEGER)"), YARD_WRONG_STORE);
}

/* R1.5 */
static void a_store_of_a_later_version_is_refused (void **state)
{
    fixture_t *self = *state;
    assert_int_equal (open_after (self, NULL), 0);
    assert_int_equal (open_after (self, "UPDATE yard_meta SET value = 4711 WHERE key = 'schema_version'"),
                      YARD_WRONG_STORE);
    assert_non_null (strstr (self->error.text, "4711"));
}

/* R1.5 */
static void a_meta_table_without_a_version_is_refused (void **state)
{
    assert_int_equal (open_after (*state, "CREATE TABLE yard_meta (key TEXT, value)"), YARD_WRONG_STORE);
}

/* R1.5 */
static void a_file_that_is_no_database_is_refused (void **state)
{
    fixture_t *self = *state;
    char path [96];
    snprintf (path, sizeof path, "%s/other.db", self->home);
    FILE *file = fopen (path, "w");
    for (int i = 0; i < 200; i++)
        fputs ("this is a letter to a friend\n", file);
    fclose (file);
    assert_int_equal (open_after (self, NULL), YARD_WRONG_STORE);
}

static void a_store_of_version_0_is_migrated (void **state)
{
    fixture_t *self = *state;
    assert_int_equal (
        open_after (self,
                    "CREATE TABLE yard_meta (key TEXT PRIMARY KEY NOT NULL, value NOT NULL) WITHOUT ROWID;"
                    "INSERT INTO yard_meta VALUES ('schema_version', 0), ('store', 'abc')"),
        0);
}

static void a_turn_that_is_rolled_back_leaves_nothing (void **state)
{
    fixture_t *self = *state;
    uint64_t value;
    assert_int_equal (recorder_store_begin (self->book.store, &self->error), 0);
    assert_int_equal (recorder_meta_put (self->book.store, "x", 5, &self->error), 0);
    recorder_store_rollback (self->book.store);
    assert_int_equal (recorder_meta_get (self->book.store, "x", &value, &self->error), 0);
    assert_int_equal (value, 0);
}

static void an_undone_handler_leaves_the_others_of_its_turn (void **state)
{
    fixture_t *self = *state;
    recorder_store_t *store = self->book.store;
    uint64_t value;
    assert_int_equal (recorder_store_begin (store, &self->error), 0);
    assert_int_equal (recorder_store_savepoint (store, &self->error), 0);
    assert_int_equal (recorder_meta_put (store, "kept", 1, &self->error), 0);
    assert_int_equal (recorder_store_keep (store, &self->error), 0);
    assert_int_equal (recorder_store_savepoint (store, &self->error), 0);
    assert_int_equal (recorder_meta_put (store, "undone", 1, &self->error), 0);
    recorder_store_undo (store);
    assert_int_equal (recorder_store_commit (store, &self->error), 0);
    assert_int_equal (recorder_meta_get (store, "kept", &value, &self->error), 0);
    assert_int_equal (value, 1);
    assert_int_equal (recorder_meta_get (store, "undone", &value, &self->error), 0);
    assert_int_equal (value, 0);
}

/*  A savepoint outside of a transaction commits when it is released: what was refused must not be done. */
static void a_turn_that_sqlite_rolled_back_takes_no_more_effects (void **state)
{
    fixture_t *self = *state;
    recorder_store_t *store = self->book.store;
    uint64_t change = self->book.change, value;
    job_submit_ask_t ask = fixture_download ("https://example.org/a");
    uint64_t id = fixture_submit (self, &ask);
    sqlite3 *database = sqlite3_db_handle (recorder_sql (store, RECORDER_SQL_begin));
    assert_int_equal (sqlite3_exec (database, "ROLLBACK", NULL, NULL, NULL),
                      SQLITE_OK); /* a full disk does this */
    job_submit_answer_t answer;
    assert_int_equal (
        EFFECT_CODE (self, recorder_job_submit (&self->book, &ask, yard_string (""), &answer, &self->error)),
        YARD_STORE_FAILED);
    assert_int_equal (recorder_book_commit (&self->book, &self->error), YARD_STORE_FAILED);
    assert_int_equal (self->book.change, change);
    job_t job;
    assert_int_equal (recorder_job_get (&self->book, id, &job, &self->error), YARD_UNKNOWN_JOB);
    assert_int_equal (recorder_meta_get (store, "last_change", &value, &self->error), 0);
    assert_int_equal (value, change);
    fixture_submit (self, &ask); /* the next turn works */
    fixture_commit (self);
}

static void a_handler_that_cannot_be_undone_costs_its_turn (void **state)
{
    fixture_t *self = *state;
    recorder_store_t *store = self->book.store;
    uint64_t value;
    assert_int_equal (recorder_store_begin (store, &self->error), 0);
    assert_int_equal (recorder_meta_put (store, "x", 1, &self->error), 0);
    recorder_store_undo (store); /* there is no savepoint */
    assert_int_equal (recorder_store_begin (store, &self->error), YARD_STORE_FAILED);
    assert_int_equal (recorder_store_commit (store, &self->error), YARD_STORE_FAILED);
    assert_int_equal (recorder_meta_get (store, "x", &value, &self->error), 0);
    assert_int_equal (value, 0);
    assert_int_equal (recorder_store_begin (store, &self->error), 0);
    recorder_store_rollback (store);
}

static void a_forbidden_store_takes_no_writes (void **state)
{
    fixture_t *self = *state;
    recorder_store_forbid (self->book.store);
    assert_int_equal (recorder_store_begin (self->book.store, &self->error), YARD_STORE_READ_ONLY);
}

static void a_whole_file_passes_the_check_and_a_damaged_one_does_not (void **state)
{
    fixture_t *self = *state;
    for (int i = 0; i < 200; i++) {
        job_submit_ask_t ask = fixture_download ("http://example.org/a");
        fixture_submit (self, &ask);
    }
    fixture_commit (self);
    assert_int_equal (recorder_store_check (self->path, &self->error), 0);
    recorder_book_close (&self->book); /* the log goes into the file */
    FILE *file = fopen (self->path, "r+");
    fseek (file, 0, SEEK_END);
    long size = ftell (file);
    for (long at = 8192; at < size; at += 512) {
        fseek (file, at, SEEK_SET);
        fputs ("damage", file);
    }
    fclose (file);
    assert_int_equal (recorder_store_check (self->path, &self->error), YARD_INTEGRITY);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        CASE (a_commit_goes_through_the_log_to_the_disk),
        CASE (the_file_is_its_owners_alone),
        CASE (a_store_keeps_its_identity),
        CASE (a_missing_file_is_made),
        CASE (another_programs_database_is_refused),
        CASE (a_store_of_a_later_version_is_refused),
        CASE (a_meta_table_without_a_version_is_refused),
        CASE (a_file_that_is_no_database_is_refused),
        CASE (a_store_of_version_0_is_migrated),
        CASE (a_turn_that_is_rolled_back_leaves_nothing),
        CASE (an_undone_handler_leaves_the_others_of_its_turn),
        CASE (a_turn_that_sqlite_rolled_back_takes_no_more_effects),
        CASE (a_handler_that_cannot_be_undone_costs_its_turn),
        CASE (a_forbidden_store_takes_no_writes),
        CASE (a_whole_file_passes_the_check_and_a_damaged_one_does_not),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
