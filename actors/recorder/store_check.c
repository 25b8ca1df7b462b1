// SPDX-License-Identifier: Apache-2.0
/*  store_check.c - is the database whole? asked after the start, beside the work
 *
 *  A connection of its own, because the check may take seconds; read-only, because a damaged file is not to be touched.
 */
#include "store.h"

int recorder_store_check (const char *path, yard_error_t *error)
{
    sqlite3 *database = NULL;
    sqlite3_stmt *statement = NULL;
    int code = 0;
    if (sqlite3_open_v2 (path, &database, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                         NULL) != SQLITE_OK ||
        sqlite3_prepare_v2 (database, "PRAGMA quick_check (1)", -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step (statement) != SQLITE_ROW)
        code = yard_error (error, YARD_INTEGRITY, "%s could not be checked: %s", path,
                           sqlite3_errmsg (database));
    else if (!yard_string_is (yard_string ((const char *) sqlite3_column_text (statement, 0)), "ok"))
        code =
            yard_error (error, YARD_INTEGRITY, "%s is damaged: %s", path, sqlite3_column_text (statement, 0));
    sqlite3_finalize (statement);
    sqlite3_close (database);
    return code;
}
