// SPDX-License-Identifier: Apache-2.0
/*  store.h - the door to the database: one connection, one transaction per turn, statements prepared at open
 *
 *  Invariants:
 *  - One process, one connection that writes; what is committed is on the disk (WAL, synchronous=FULL).
 *  - A turn is: begin, then per handler savepoint and keep or undo, then commit or rollback. begin again inside a turn is nothing,
 *    unless the turn was lost (the disk failed, and SQLite rolled it back): then begin and commit are store_failed until rollback.
 *  - A statement that was stepped to its end, or failed, is reset; one that is left early is reset by recorder_sql_done.
 *  - After recorder_store_forbid nothing is written any more: begin is store_read_only.
 */
#ifndef YARD_RECORDER_STORE_H
#define YARD_RECORDER_STORE_H

#include <sqlite3.h>
#include <stdbool.h>
#include "actors/ground/arena.h"
#include "actors/ground/error.h"
#include "actors/ground/random.h"
#include "actors/ground/view.h"

#define RECORDER_STORE_ID_DIGITS 32 /* 128 random bits: two stores never share one */

typedef struct recorder_store_t recorder_store_t;

typedef enum {
#define SQL(id, text) RECORDER_SQL_##id,
#include "sql.def"
#undef SQL
    RECORDER_SQL_COUNT
} recorder_sql_t;

/*  Opens or makes the file (0600) and brings its tables to this version. wrong_store: a network file system, no database, another
 *  program's tables, or a later version; store_failed: the disk. */
int recorder_store_open (const char *path, yard_random_t *random, recorder_store_t **ret,
                         yard_error_t *error);
void recorder_store_close (recorder_store_t **self_p);

const char *recorder_store_id (const recorder_store_t *self); /* 32 hex digits, drawn with the file */
const char *recorder_store_path (const recorder_store_t *self);
void recorder_store_forbid (recorder_store_t *self);

/*  The turn. */
int recorder_store_begin (recorder_store_t *self, yard_error_t *error);
bool recorder_store_busy (const recorder_store_t *self); /* a transaction is open */
int recorder_store_savepoint (recorder_store_t *self, yard_error_t *error);
int recorder_store_keep (recorder_store_t *self, yard_error_t *error);
void recorder_store_undo (recorder_store_t *self);
int recorder_store_commit (recorder_store_t *self, yard_error_t *error); /* on failure it is rolled back */
void recorder_store_rollback (recorder_store_t *self);

/*  Statements. step: 1 a row, 0 no more, or store_failed. run: to the end, without rows. */
sqlite3_stmt *recorder_sql (recorder_store_t *self, recorder_sql_t id);
int recorder_sql_step (recorder_store_t *self, sqlite3_stmt *statement, yard_error_t *error);
int recorder_sql_run (recorder_store_t *self, sqlite3_stmt *statement, yard_error_t *error);
void recorder_sql_done (sqlite3_stmt *statement);
int64_t recorder_store_last_id (const recorder_store_t *self);
uint64_t recorder_store_rows_changed (const recorder_store_t *self); /* by the last statement */

/*  Parameters count from 1, columns from 0. Bound bytes are borrowed until the statement is reset; read ones are copied. */
void recorder_bind_text (sqlite3_stmt *statement, int parameter, yard_string_t text);
void recorder_bind_blob (sqlite3_stmt *statement, int parameter, yard_string_t bytes); /* empty is NULL */
void recorder_bind_number (sqlite3_stmt *statement, int parameter, uint64_t number);
yard_string_t recorder_column (sqlite3_stmt *statement, int column, yard_arena_t *arena);
uint64_t recorder_column_number (sqlite3_stmt *statement, int column);

/*  Counters and words of yard_meta; an absent one is 0. */
int recorder_meta_get (recorder_store_t *self, const char *key, uint64_t *ret, yard_error_t *error);
int recorder_meta_put (recorder_store_t *self, const char *key, uint64_t value, yard_error_t *error);

/*  migrations.c: yard_meta made or checked, tables of this version. */
int recorder_migrate (sqlite3 *database, const char *path, yard_random_t *random, char *ret_id,
                      yard_error_t *error);

/*  store_check.c: PRAGMA quick_check on a read-only connection of its own; for the offload pool. integrity says what it found. */
int recorder_store_check (const char *path, yard_error_t *error);

#endif
