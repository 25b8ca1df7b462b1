// SPDX-License-Identifier: Apache-2.0
/*  store_state.c - reads a store row by row, and puts questions to it whose answer must be 0
 */
#include "store_state.h"
#include <inttypes.h>

static void append_value (yard_buffer_t *buffer, sqlite3_stmt *statement, int column)
{
    int type = sqlite3_column_type (statement, column);
    yard_buffer_printf (buffer, "%d:", type);
    if (type == SQLITE_NULL)
        return;
    const void *bytes = sqlite3_column_blob (statement, column); /* numbers as their text */
    int size = sqlite3_column_bytes (statement, column);
    yard_buffer_printf (buffer, "%d:", size);
    yard_buffer_append (buffer, bytes, (size_t) size);
}

static int read_table (sqlite3 *database, const char *table, yard_buffer_t *buffer)
{
    char *sql = sqlite3_mprintf ("SELECT * FROM \"%w\"", table); /* walks the table itself: its key's order */
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2 (database, sql, -1, &statement, NULL);
    sqlite3_free (sql);
    while (code == SQLITE_OK && (code = sqlite3_step (statement)) == SQLITE_ROW) {
        yard_buffer_printf (buffer, "%s", table);
        for (int column = 0; column < sqlite3_column_count (statement); column++) {
            yard_buffer_text (buffer, " ");
            append_value (buffer, statement, column);
        }
        yard_buffer_text (buffer, "\n");
        code = SQLITE_OK;
    }
    sqlite3_finalize (statement);
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

int store_state_read (sqlite3 *database, yard_buffer_t *ret)
{
    sqlite3_stmt *statement = NULL;
    int code = sqlite3_prepare_v2 (
        database, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name", -1, &statement, NULL);
    while (code == SQLITE_OK && (code = sqlite3_step (statement)) == SQLITE_ROW)
        code = read_table (database, (const char *) sqlite3_column_text (statement, 0), ret);
    sqlite3_finalize (statement);
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

#define META(key) "(SELECT ifnull (max (value), 0) FROM yard_meta WHERE key = '" key "')"

static const struct {
    const char *rule, *sql;
} questions [] = {
    { "PRAGMA integrity_check is ok",
      "SELECT count (*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'" },
    { "every reference leads to a row", "SELECT count (*) FROM pragma_foreign_key_check" },
    { "the outbox is dense",
      "SELECT count (*) <> ifnull (max (change) - min (change) + 1, 0) FROM yard_outbox" },
    { "the outbox ends with the last change", "SELECT count (*) FROM yard_meta WHERE key = 'last_change' AND "
                                              "value <> (SELECT ifnull (max (change), 0) FROM "
                                              "yard_outbox)" },
    { "no row is newer than the last change",
      "SELECT (SELECT count (*) FROM yard_jobs WHERE change > " META (
          "last_change") ") + (SELECT count (*) FROM yard_models WHERE change > " META ("last_change") ")" },
    { "nothing is published that was not told", "SELECT " META ("published") " > " META ("last_change") },
    { "one live job per equal key", "SELECT count (*) FROM (SELECT 1 FROM yard_jobs WHERE equal <> '' AND "
                                    "ended = 0 GROUP BY kind, equal HAVING count "
                                    "(*) > 1)" },
    { "an ended job is in no queue", "SELECT count (*) FROM yard_jobs WHERE ended > 0 AND queue <> 0" },
    { "a leased job has a member and a token",
      "SELECT count (*) FROM yard_jobs WHERE queue = 2 AND (member = '' OR token = 0)" },
    { "a parent counts its live children", "SELECT count (*) FROM yard_jobs p WHERE p.ended = 0 AND "
                                           "p.open_children <> (SELECT count (*) FROM yard_jobs c "
                                           "WHERE c.parent = p.id AND c.ended = 0)" },
    { "every model has its base", "SELECT count (*) FROM yard_models m WHERE NOT EXISTS (SELECT 1 FROM "
                                  "yard_model_bases b WHERE b.key = m.key AND "
                                  "b.base = m.base)" },
};

const char *store_state_broken (sqlite3 *database)
{
    for (size_t i = 0; i < sizeof questions / sizeof questions [0]; i++) {
        sqlite3_stmt *statement = NULL;
        bool holds = sqlite3_prepare_v2 (database, questions [i].sql, -1, &statement, NULL) == SQLITE_OK &&
                     sqlite3_step (statement) == SQLITE_ROW && sqlite3_column_int64 (statement, 0) == 0;
        sqlite3_finalize (statement);
        if (!holds)
            return questions [i].rule;
    }
    return NULL;
}
