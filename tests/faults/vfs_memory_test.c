// SPDX-License-Identifier: Apache-2.0
/*  vfs_memory_test.c - the memory disk keeps, loses and locks what a real one would */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <sqlite3.h>
#include "vfs_memory.h"

#define DISK "yard-memory"
#define ROWS_MAX 2000 /* past 1,000 pages of log, where SQLite checkpoints */

static int disk_setup (void **state)
{
    *state = vfs_memory_new (DISK, 1, false);
    return 0;
}

static int disk_teardown (void **state)
{
    yard_memory_disk_t *disk = *state;
    assert_int_equal (vfs_memory_handles (disk), 0);
    vfs_memory_destroy (&disk);
    return 0;
}

#define CASE(name) cmocka_unit_test_setup_teardown (name, disk_setup, disk_teardown)

static int run (sqlite3 *database, const char *sql)
{
    return sqlite3_exec (database, sql, NULL, NULL, NULL) == SQLITE_OK ? SQLITE_OK
                                                                       : sqlite3_extended_errcode (database);
}

static sqlite3 *open_on (const char *vfs, const char *synchronous)
{
    sqlite3 *database = NULL;
    char sql [64];
    snprintf (sql, sizeof sql, "PRAGMA synchronous = %s", synchronous);
    assert_int_equal (
        sqlite3_open_v2 ("/disk/a.db", &database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_EXRESCODE, vfs),
        SQLITE_OK);
    assert_int_equal (run (database, "PRAGMA journal_mode = WAL"), SQLITE_OK);
    assert_int_equal (run (database, sql), SQLITE_OK);
    assert_int_equal (run (database, "CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY, b BLOB)"),
                      SQLITE_OK);
    return database;
}

static sqlite3 *open_database (void)
{
    return open_on (DISK, "FULL");
}

static int add (sqlite3 *database)
{
    return run (database, "INSERT INTO t (b) VALUES (randomblob (3000))");
}

static int64_t number_of (sqlite3 *database, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    assert_int_equal (sqlite3_prepare_v2 (database, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal (sqlite3_step (statement), SQLITE_ROW);
    int64_t number = sqlite3_column_int64 (statement, 0);
    sqlite3_finalize (statement);
    return number;
}

static int64_t count (sqlite3 *database)
{
    return number_of (database, "SELECT count (*) FROM t");
}

static bool is_whole (sqlite3 *database)
{
    return number_of (database, "SELECT group_concat (integrity_check) = 'ok' FROM pragma_integrity_check") ==
           1;
}

static void a_second_connection_sees_what_the_first_committed (void **state)
{
    (void) state;
    sqlite3 *first = open_database (), *second = open_database ();
    assert_int_equal (add (first), SQLITE_OK);
    assert_int_equal (count (second), 1);
    sqlite3_close (first);
    assert_int_equal (count (second), 1);
    sqlite3_close (second);
}

static void one_writes_at_a_time_while_others_read (void **state)
{
    (void) state;
    sqlite3 *first = open_database (), *second = open_database ();
    assert_int_equal (run (first, "BEGIN IMMEDIATE"), SQLITE_OK);
    assert_int_equal (add (first), SQLITE_OK);
    assert_int_equal (run (second, "BEGIN IMMEDIATE"), SQLITE_BUSY);
    assert_int_equal (count (second), 0);
    assert_int_equal (run (first, "COMMIT"), SQLITE_OK);
    assert_int_equal (run (second, "BEGIN IMMEDIATE"), SQLITE_OK);
    assert_int_equal (run (second, "ROLLBACK"), SQLITE_OK);
    sqlite3_close (second);
    sqlite3_close (first);
}

static void a_rollback_journal_locks_too (void **state)
{
    (void) state;
    sqlite3 *first = open_database (), *second;
    assert_int_equal (run (first, "PRAGMA journal_mode = DELETE"), SQLITE_OK);
    assert_int_equal (sqlite3_open_v2 ("/disk/a.db", &second, SQLITE_OPEN_READWRITE, DISK), SQLITE_OK);
    assert_int_equal (count (second), 0);
    assert_int_equal (run (first, "BEGIN EXCLUSIVE"), SQLITE_OK);
    assert_int_equal (run (second, "SELECT * FROM t"), SQLITE_BUSY);
    assert_int_equal (add (first), SQLITE_OK);
    assert_int_equal (run (first, "COMMIT"), SQLITE_OK);
    assert_int_equal (count (second), 1);
    sqlite3_close (second);
    sqlite3_close (first);
}

static void a_killed_instance_leaves_its_commits_and_no_lock (void **state)
{
    yard_memory_disk_t *disk = *state;
    vfs_memory_act_as (disk, 1);
    sqlite3 *killed = open_on (DISK, "OFF");
    for (int i = 0; i < 50; i++)
        assert_int_equal (add (killed), SQLITE_OK);
    assert_int_equal (run (killed, "BEGIN IMMEDIATE"), SQLITE_OK);
    assert_int_equal (add (killed), SQLITE_OK);
    vfs_memory_kill (disk, 1);
    assert_int_not_equal (run (killed, "COMMIT"), SQLITE_OK);
    vfs_memory_act_as (disk, 2);
    sqlite3 *next = open_database ();
    assert_int_equal (count (next), 50);
    assert_int_equal (add (next), SQLITE_OK);
    sqlite3_close (killed);
    assert_int_equal (count (next), 51);
    assert_true (is_whole (next));
    sqlite3_close (next);
}

/*  Fills the log with frames of a transaction that stays open: more pages than the cache holds. */
static void begin_and_spill (sqlite3 *database)
{
    assert_int_equal (run (database, "PRAGMA cache_size = 5"), SQLITE_OK);
    assert_int_equal (run (database, "BEGIN IMMEDIATE"), SQLITE_OK);
    for (int i = 0; i < 50; i++)
        assert_int_equal (add (database), SQLITE_OK);
}

static void the_dead_do_not_write_into_the_memory_of_the_living (void **state)
{
    yard_memory_disk_t *disk = *state;
    vfs_memory_act_as (disk, 1);
    sqlite3 *killed = open_database ();
    vfs_memory_act_as (disk, 2);
    sqlite3 *living = open_database ();
    begin_and_spill (killed);
    vfs_memory_kill (disk, 1);
    begin_and_spill (living);
    sqlite3_close (
        killed); /* takes its frames, which are the living one's now, out of the wal-index it had */
    assert_int_equal (run (living, "COMMIT"), SQLITE_OK);
    sqlite3 *reader = open_database ();
    assert_int_equal (count (reader), 50);
    assert_true (is_whole (reader));
    sqlite3_close (reader);
    sqlite3_close (living);
}

static void a_killed_instance_opens_nothing_more (void **state)
{
    yard_memory_disk_t *disk = *state;
    sqlite3 *database = NULL;
    vfs_memory_kill (disk, 0);
    assert_int_not_equal (sqlite3_open_v2 ("/disk/b.db", &database, SQLITE_OPEN_READWRITE, DISK), SQLITE_OK);
    sqlite3_close (database);
}

/*  Adds until the power goes, comes back, and gives how many of the acknowledged rows are lost; negative:
 *  more there than was asked for.
 */
static int64_t lost_by_a_cut (uint64_t seed, uint64_t operation, const char *synchronous)
{
    yard_memory_disk_t *disk = vfs_memory_new ("yard-cut", seed, false);
    yard_random_t random;
    yard_random_seed (&random, seed);
    sqlite3 *database = open_on ("yard-cut", synchronous);
    uint64_t start = vfs_memory_operations (disk);
    vfs_memory_cut_instead_of (disk, start + operation, &random);
    int64_t acknowledged = 0;
    while (acknowledged < ROWS_MAX && add (database) == SQLITE_OK)
        acknowledged++;
    sqlite3_close (database);
    vfs_memory_act_as (disk, 1);
    database = open_on ("yard-cut", synchronous);
    int64_t there = count (database);
    bool whole = is_whole (database);
    sqlite3_close (database);
    vfs_memory_destroy (&disk);
    assert_true (there <= acknowledged + 1); /* the one under way may have come through */
    return whole ? acknowledged - there : INT64_MAX;
}

static void what_was_synced_survives_every_power_cut (void **state)
{
    (void) state;
    for (uint64_t i = 1; i < 60; i++)
        assert_true (lost_by_a_cut (i, i, "FULL") <= 0);
    for (uint64_t i = 1; i < 6; i++) /* around and behind the checkpoint */
        assert_true (lost_by_a_cut (i, 1900 + 331 * i, "FULL") <= 0);
}

static void what_was_not_synced_is_lost_by_some (void **state)
{
    (void) state;
    int lost = 0;
    for (uint64_t i = 20; i < 40; i++)
        lost += lost_by_a_cut (i, i, "NORMAL") > 0;
    assert_true (lost > 0);
}

static void the_same_seed_tears_the_same_bytes (void **state)
{
    (void) state;
    for (uint64_t i = 30; i < 40; i++)
        assert_int_equal (lost_by_a_cut (i, 40, "NORMAL"), lost_by_a_cut (i, 40, "NORMAL"));
}

static void a_new_file_may_vanish_and_an_old_one_come_back (void **state)
{
    (void) state;
    int there = 0, back = 0;
    for (uint64_t seed = 0; seed < 64; seed++) {
        yard_memory_disk_t *disk = vfs_memory_new ("yard-names", seed, false);
        yard_random_t random;
        yard_random_seed (&random, seed);
        sqlite3_vfs *vfs = sqlite3_vfs_find ("yard-names");
        sqlite3_file *file = calloc (1, (size_t) vfs->szOsFile);
        int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_WAL, found = 0;
        assert_int_equal (vfs->xOpen (vfs, "old", file, flags, NULL), SQLITE_OK);
        assert_int_equal (file->pMethods->xWrite (file, "x", 1, 0), SQLITE_OK);
        assert_int_equal (file->pMethods->xSync (file, SQLITE_SYNC_FULL), SQLITE_OK);
        file->pMethods->xClose (file);
        assert_int_equal (vfs->xDelete (vfs, "old", 0), SQLITE_OK);
        assert_int_equal (vfs->xOpen (vfs, "new", file, flags, NULL), SQLITE_OK);
        file->pMethods->xClose (file);
        vfs_memory_power_cut (disk, &random);
        vfs->xAccess (vfs, "old", SQLITE_ACCESS_READWRITE, &found);
        back += found;
        vfs->xAccess (vfs, "new", SQLITE_ACCESS_READWRITE, &found);
        there += found;
        free (file);
        vfs_memory_destroy (&disk);
    }
    assert_in_range (there, 1, 63);
    assert_in_range (back, 1, 63);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        CASE (a_second_connection_sees_what_the_first_committed),
        CASE (one_writes_at_a_time_while_others_read),
        CASE (a_rollback_journal_locks_too),
        CASE (a_killed_instance_leaves_its_commits_and_no_lock),
        CASE (the_dead_do_not_write_into_the_memory_of_the_living),
        CASE (a_killed_instance_opens_nothing_more),
        cmocka_unit_test (what_was_synced_survives_every_power_cut),
        cmocka_unit_test (what_was_not_synced_is_lost_by_some),
        cmocka_unit_test (the_same_seed_tears_the_same_bytes),
        cmocka_unit_test (a_new_file_may_vanish_and_an_old_one_come_back),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
