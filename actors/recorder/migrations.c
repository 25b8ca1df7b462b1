// SPDX-License-Identifier: Apache-2.0
/*  migrations.c - brings a store of any earlier version to this one, each step whole or not at all
 *
 *  Refuses: a file with tables but without yard_meta (another program's), and a store of a later version (an older program must not write
 *  what it does not understand).
 */
#include "store.h"

static const struct {
    int version;
    const char *text;
} migrations [] = {
#define MIGRATION(version, text) { version, text },
#include "schema.def"
#undef MIGRATION
};

#define MIGRATION_COUNT (sizeof migrations / sizeof migrations [0])

static int failed (sqlite3 *database, const char *path, yard_error_t *error)
{
    if ((sqlite3_errcode (database) & 0xff) == SQLITE_NOTADB)
        return yard_error (error, YARD_WRONG_STORE,
                           "%s is no database: move it away, a new one is made at the next start", path);
    return yard_error (error, YARD_STORE_FAILED, "%s: %s; check the disk and start again", path,
                       sqlite3_errmsg (database));
}

/*  One text out of a statement without parameters: ret is cut to size; 1 a row, 0 none. */
static int ask (sqlite3 *database, const char *path, const char *sql, char *ret, size_t size,
                yard_error_t *error)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2 (database, sql, -1, &statement, NULL) != SQLITE_OK)
        return failed (database, path, error);
    int code = sqlite3_step (statement);
    const char *text = code == SQLITE_ROW ? (const char *) sqlite3_column_text (statement, 0) : NULL;
    snprintf (ret, size, "%s", text ? text : "");
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
        int refused = failed (database, path, error);
        sqlite3_finalize (statement);
        return refused;
    }
    sqlite3_finalize (statement);
    return code == SQLITE_ROW;
}

static int apply (sqlite3 *database, const char *path, const char *text, yard_error_t *error)
{
    if (sqlite3_exec (database, text, NULL, NULL, NULL) == SQLITE_OK)
        return 0;
    int code = failed (database, path, error);
    if (!sqlite3_get_autocommit (database))
        sqlite3_exec (database, "ROLLBACK", NULL, NULL, NULL);
    return code;
}

static int make_meta (sqlite3 *database, const char *path, yard_random_t *random, yard_error_t *error)
{
    char text [400], id [RECORDER_STORE_ID_DIGITS + 1];
    yard_random_hex (random, id, RECORDER_STORE_ID_DIGITS);
    snprintf (
        text, sizeof text,
        "BEGIN IMMEDIATE; CREATE TABLE yard_meta (key TEXT PRIMARY KEY NOT NULL, value NOT NULL) WITHOUT "
        "ROWID;"
        "INSERT INTO yard_meta VALUES ('schema_version', 0), ('store', '%s'), ('last_change', 0); COMMIT",
        id);
    return apply (database, path, text, error);
}

static int migrate_from (sqlite3 *database, const char *path, long version, yard_error_t *error)
{
    for (size_t i = 0; i < MIGRATION_COUNT; i++) {
        if (migrations [i].version <= version)
            continue;
        char *text = sqlite3_mprintf (
            "BEGIN IMMEDIATE; %s UPDATE yard_meta SET value = %d WHERE key = 'schema_version'; COMMIT",
            migrations [i].text, migrations [i].version);
        if (!text)
            abort ();
        int code = apply (database, path, text, error);
        sqlite3_free (text);
        if (code)
            return code;
    }
    return 0;
}

/*  A file without any table is made ours; one with other tables only is not. */
static int find_meta (sqlite3 *database, const char *path, yard_random_t *random, yard_error_t *error)
{
    char word [RECORDER_STORE_ID_DIGITS + 1];
    int code = ask (database, path, "SELECT name FROM sqlite_schema WHERE name = 'yard_meta'", word,
                    sizeof word, error);
    if (code)
        return code < 0 ? code : 0;
    code = ask (database, path, "SELECT name FROM sqlite_schema WHERE type = 'table' LIMIT 1", word,
                sizeof word, error);
    if (code > 0)
        return yard_error (error, YARD_WRONG_STORE,
                           "%s has tables (%s) but no yard_meta: it belongs to another program; move it away",
                           path, word);
    return code ? code : make_meta (database, path, random, error);
}

/*  0 to this program's; or why not. */
static int find_version (sqlite3 *database, const char *path, long *ret, yard_error_t *error)
{
    char word [RECORDER_STORE_ID_DIGITS + 1] = "", *end;
    int code = ask (database, path, "SELECT value FROM yard_meta WHERE key = 'schema_version'", word,
                    sizeof word, error);
    if (code < 0)
        return code;
    *ret = strtol (word, &end, 10);
    if (code == 0 || !word [0] || *end || *ret < 0)
        return yard_error (error, YARD_WRONG_STORE,
                           "%s: yard_meta has no schema_version: it is no store of ours; move it away", path);
    int newest = migrations [MIGRATION_COUNT - 1].version;
    if (*ret > newest)
        return yard_error (error, YARD_WRONG_STORE,
                           "%s is a store of version %ld, this program knows %d: use the newer modelyard",
                           path, *ret, newest);
    return 0;
}

int recorder_migrate (sqlite3 *database, const char *path, yard_random_t *random, char *ret_id,
                      yard_error_t *error)
{
    long version;
    int code = find_meta (database, path, random, error);
    if (code == 0)
        code = find_version (database, path, &version, error);
    if (code == 0)
        code = migrate_from (database, path, version, error);
    if (code)
        return code;
    code = ask (database, path, "SELECT value FROM yard_meta WHERE key = 'store'", ret_id,
                RECORDER_STORE_ID_DIGITS + 1, error);
    if (code < 0)
        return code;
    return code ? 0
                : yard_error (error, YARD_WRONG_STORE, "%s: yard_meta has no store identity; move it away",
                              path);
}
