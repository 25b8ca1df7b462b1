// SPDX-License-Identifier: Apache-2.0
/*  plain.c - the recorder's own statements run by SQLite alone: no bus, no actor, no books
 *
 *      bench-plain transitions FILE JOBS BATCH      submit, lease and finish of so many downloads, BATCH transitions in a commit
 *      bench-plain page FILE COUNT WORK             a page of record.search, out of a store of ours
 *
 *  Schema, statements and settings are the recorder's (schema.def, sql.def), and a transition runs the statements
 *  that it runs there, the savepoint around each handler too. Prints {"per_s", "commit_ms"} or {"p50_us"}.
 */
#include "carrier.h"

#include <sqlite3.h>

#define STEPS 3
#define PAGE_ROWS 4096 /* of the outbox, looked at in one go */
#define LIMIT 101 /* a page of 100, and one more to see whether there is a next */

enum {
#define SQL(id, text) SQL_##id,
#include "actors/recorder/sql.def"
#undef SQL
    SQL_COUNT
};

static const char *const texts [SQL_COUNT] = {
#define SQL(id, text) [SQL_##id] = text,
#include "actors/recorder/sql.def"
#undef SQL
};

static const char *const set_up [] = {
    "PRAGMA journal_mode = WAL",  "PRAGMA synchronous = FULL",  "PRAGMA foreign_keys = ON",
    "PRAGMA temp_store = MEMORY", "PRAGMA cache_size = -16384",
};

static const char *const tables [] = {
    "CREATE TABLE yard_meta (key TEXT PRIMARY KEY NOT NULL, value NOT NULL) WITHOUT ROWID",
#define MIGRATION(version, text) text,
#include "actors/recorder/schema.def"
#undef MIGRATION
};

typedef struct {
    sqlite3 *database;
    sqlite3_stmt *statements [SQL_COUNT];
    int64_t change, sequence, told;
    char body [120]; /* of a packed request, result or event: their usual size */
} plain_t;

static void check (plain_t *self, int code)
{
    if (code != SQLITE_OK && code != SQLITE_DONE && code != SQLITE_ROW)
        bench_die ("sqlite: %s", sqlite3_errmsg (self->database));
}

static void run_all (plain_t *self, const char *const *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        check (self, sqlite3_exec (self->database, rows [i], NULL, NULL, NULL));
}

static void open_store (plain_t *self, const char *path, bool fresh)
{
    check (self, sqlite3_open_v2 (path, &self->database,
                                  SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL));
    run_all (self, set_up, sizeof set_up / sizeof set_up [0]);
    if (fresh)
        run_all (self, tables, sizeof tables / sizeof tables [0]);
    for (size_t i = 0; i < SQL_COUNT; i++)
        check (self, sqlite3_prepare_v3 (self->database, texts [i], -1, SQLITE_PREPARE_PERSISTENT,
                                         &self->statements [i], NULL));
    memset (self->body, 'b', sizeof self->body);
}

static void close_store (plain_t *self)
{
    for (size_t i = 0; i < SQL_COUNT; i++)
        sqlite3_finalize (self->statements [i]);
    sqlite3_close (self->database);
}

static void number (sqlite3_stmt *statement, int parameter, int64_t value)
{
    sqlite3_bind_int64 (statement, parameter, value);
}

static void text (sqlite3_stmt *statement, int parameter, const char *value)
{
    sqlite3_bind_text (statement, parameter, value, -1, SQLITE_STATIC);
}

static void blob (const plain_t *self, sqlite3_stmt *statement, int parameter)
{
    sqlite3_bind_blob (statement, parameter, self->body, sizeof self->body, SQLITE_STATIC);
}

/*  Reads every column of every row, as whoever asked would. */
static void run (plain_t *self, sqlite3_stmt *statement)
{
    int code;
    while ((code = sqlite3_step (statement)) == SQLITE_ROW)
        for (int i = 0; i < sqlite3_column_count (statement); i++) {
            sqlite3_column_blob (statement, i);
            sqlite3_column_bytes (statement, i);
        }
    check (self, code);
    sqlite3_reset (statement);
    sqlite3_clear_bindings (statement);
}

/*  --- transitions */
static void enter (plain_t *self)
{
    run (self, self->statements [SQL_savepoint]);
}

static void leave (plain_t *self)
{
    run (self, self->statements [SQL_keep]);
}

static void job_get (plain_t *self, int64_t id)
{
    number (self->statements [SQL_job_get], 1, id);
    run (self, self->statements [SQL_job_get]);
}

static void tell (plain_t *self, const char *name)
{
    sqlite3_stmt *put = self->statements [SQL_outbox_put];
    number (put, 1, ++self->change);
    text (put, 2, name);
    text (put, 3, "17");
    blob (self, put, 4);
    sqlite3_bind_double (put, 5, 1.0);
    run (self, put);
}

static void job_set (plain_t *self, int64_t id, const char *status, int step)
{
    sqlite3_stmt *set = self->statements [SQL_job_set];
    static const int texts_at [] = { 5, 12, 13, 24 }, zeros_at [] = { 3, 4, 6, 7, 21, 22 };
    for (size_t i = 0; i < sizeof texts_at / sizeof texts_at [0]; i++)
        text (set, texts_at [i], "");
    for (size_t i = 0; i < sizeof zeros_at / sizeof zeros_at [0]; i++)
        number (set, zeros_at [i], 0);
    bool leased = step == 1, ended = step == 2;
    number (set, 1, id);
    text (set, 2, status);
    number (set, 8, step > 0);
    number (set, 9, leased ? ++self->sequence : 0);
    number (set, 10, step > 0);
    number (set, 11, ended);
    text (set, 14, "/var/lib/modelyard/models/.staging/17/file.safetensors");
    if (ended)
        blob (self, set, 15);
    number (set, 17, self->change);
    number (set, 18, step > 0);
    number (set, 19, ended);
    number (set, 20, step == 0 ? 1 : leased ? 2 : 0);
    text (set, 23, leased ? "asker-17" : "");
    run (self, set);
}

static void submit (plain_t *self, int64_t id)
{
    sqlite3_stmt *add = self->statements [SQL_job_add];
    static const int empty_at [] = { 6, 7, 8, 13, 17 };
    char source [80];
    snprintf (source, sizeof source, "https://example.com/models/file-%lld.safetensors", (long long) id);
    for (size_t i = 0; i < sizeof empty_at / sizeof empty_at [0]; i++)
        text (add, empty_at [i], "");
    text (add, 1, "download");
    text (add, 2, "enqueued");
    number (add, 3, 0);
    number (add, 4, 10);
    number (add, 5, 0);
    number (add, 9, 0);
    number (add, 10, 1);
    text (add, 11, "/var/lib/modelyard/models/.staging/17/file.safetensors");
    text (add, 12, source);
    blob (self, add, 14);
    number (add, 15, self->change);
    number (add, 16, 1);
    enter (self);
    run (self, add);
    job_get (self, id);
    tell (self, "download_enqueued");
    job_set (self, id, "enqueued", 0);
    leave (self);
}

static void lease (plain_t *self, int64_t id)
{
    sqlite3_stmt *pick = self->statements [SQL_job_pick];
    enter (self);
    leave (self);
    enter (self);
    text (pick, 1, "download");
    text (pick, 2, "bench");
    run (self, pick);
    job_get (self, id);
    tell (self, "download_running");
    job_set (self, id, "running", 1);
    leave (self);
}

static void finish (plain_t *self, int64_t id)
{
    enter (self);
    job_get (self, id);
    tell (self, "download_completed");
    job_set (self, id, "completed", 2);
    leave (self);
}

static void keep_counter (plain_t *self, const char *name, int64_t value)
{
    sqlite3_stmt *put = self->statements [SQL_meta_put];
    text (put, 1, name);
    number (put, 2, value);
    run (self, put);
}

/*  Then what has been committed is read once more, to be told. */
static int64_t commit (plain_t *self)
{
    keep_counter (self, "last_change", self->change);
    keep_counter (self, "last_sequence", self->sequence);
    keep_counter (self, "published", self->told);
    int64_t begun_ns = bench_now_ns ();
    run (self, self->statements [SQL_commit]);
    int64_t took_ns = bench_now_ns () - begun_ns;
    sqlite3_stmt *untold = self->statements [SQL_outbox_page];
    number (untold, 1, self->told);
    number (untold, 2, PAGE_ROWS);
    run (self, untold);
    self->told = self->change;
    run (self, self->statements [SQL_begin]);
    return took_ns;
}

/*  Jobs go through in groups of a batch, as those of the askers do: all submits, then all leases, then all finishes. */
static void transitions (plain_t *self, int64_t jobs, int64_t batch)
{
    static void (*const steps [STEPS]) (plain_t *, int64_t) = { submit, lease, finish };
    int64_t groups = jobs / batch, commits = 0;
    int64_t *took_ns = calloc ((size_t) (groups * STEPS + 1), sizeof *took_ns);
    if (!took_ns)
        bench_die ("out of memory");
    run (self, self->statements [SQL_begin]);
    int64_t begun_ns = bench_now_ns ();
    for (int64_t group = 0; group < groups; group++)
        for (size_t step = 0; step < STEPS; step++) {
            for (int64_t i = 0; i < batch; i++)
                steps [step](self, group * batch + i + 1);
            took_ns [commits++] = commit (self);
        }
    double seconds = (double) (bench_now_ns () - begun_ns) / 1e9;
    run (self, self->statements [SQL_commit]);
    bench_sort (took_ns, (size_t) commits);
    printf ("{\"per_s\": %.1f, \"commit_ms\": %.4f}\n", (double) (groups * batch * STEPS) / seconds,
            (double) took_ns [commits / 2] / 1e6);
    free (took_ns);
}

/*  --- pages */
typedef struct {
    const char *name;
    int statement;
    bool by_name, by_base, by_type;
} page_t;

static void page (plain_t *self, int64_t count, const char *work)
{
    static const page_t pages [] = {
        { "name", SQL_search_name, true, false, false },
        { "base", SQL_search_base, false, true, false },
        { "type", SQL_search_type, false, false, true },
        { "base+type", SQL_search_base_type, false, true, true },
        { "name+base+type", SQL_search_name, true, true, true },
    };
    size_t at = 0;
    while (at < sizeof pages / sizeof pages [0] && strcmp (pages [at].name, work))
        at++;
    if (at == sizeof pages / sizeof pages [0])
        bench_die ("%s is no page of bench-plain", work);
    int64_t *took_ns = calloc ((size_t) count, sizeof *took_ns);
    sqlite3_stmt *statement = self->statements [pages [at].statement];
    for (int64_t i = 0; i < count; i++) {
        char name [32];
        snprintf (name, sizeof name, "model %lld", (long long) (i % 10));
        int64_t begun_ns = bench_now_ns ();
        if (pages [at].by_name)
            text (statement, 1, name);
        if (pages [at].by_type)
            text (statement, 2, "main");
        if (pages [at].by_base)
            text (statement, 3, "sdxl");
        text (statement, 6, "");
        text (statement, 7, "");
        number (statement, 8, LIMIT);
        run (self, statement);
        took_ns [i] = bench_now_ns () - begun_ns;
    }
    bench_sort (took_ns, (size_t) count);
    printf ("{\"p50_us\": %.3f}\n", (double) took_ns [count / 2] / 1e3);
    free (took_ns);
}

int main (int argc, char **argv)
{
    plain_t self = { 0 };
    if (argc != 5)
        bench_die ("usage: bench-plain transitions FILE JOBS BATCH | page FILE COUNT WORK");
    bool fresh = strcmp (argv [1], "transitions") == 0;
    open_store (&self, argv [2], fresh);
    if (fresh)
        transitions (&self, (int64_t) bench_number (argv [3]), (int64_t) bench_number (argv [4]));
    else
        page (&self, (int64_t) bench_number (argv [3]), argv [4]);
    close_store (&self);
    return 0;
}
