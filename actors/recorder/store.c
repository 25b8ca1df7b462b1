// SPDX-License-Identifier: Apache-2.0
/*  store.c - opens yard.db, runs its transactions and hands out its prepared statements
 *
 *  Promises: a commit that returned 0 survives a power cut; a commit that failed left nothing.
 *  Refuses: network file systems, where SQLite's locks and shared memory cannot be trusted, and files that
 *  are not ours.
 */
#include "store.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/vfs.h>

#define BUSY_MS 1000 /* only a person's sqlite3 shell ever competes; longer would stall the loop */
#define CACHE_KIB "16384" /* of pages: 100,000 models' index pages fit */
#define WAL_BYTES_MAX \
    "67108864" /* the log is cut back to this after a checkpoint (operations 4.2: alarm at 64 MiB) */

struct recorder_store_t {
    sqlite3 *database;
    sqlite3_stmt *statements [RECORDER_SQL_COUNT];
    char *path;
    char id [RECORDER_STORE_ID_DIGITS + 1];
    bool busy; /* between begin and commit */
    bool lost; /* of a busy one: its transaction was rolled back under it */
    bool forbidden; /* damaged: read only */
};

static const char *const sql_text [RECORDER_SQL_COUNT] = {
#define SQL(id, text) [RECORDER_SQL_##id] = text,
#include "sql.def"
#undef SQL
};

/*  statfs(2) f_type of file systems whose locks live on another machine, or in a process that may not keep
 *  them (linux/magic.h, and the kernel's fs folder for those that are not in it). */
static const struct {
    unsigned long magic;
    const char *name;
} network_systems [] = {
    { 0x6969, "NFS" },      { 0x517B, "SMB" },        { 0xFF534D42, "CIFS" }, { 0xFE534D42, "SMB2" },
    { 0x65735546, "FUSE" }, { 0x01021997, "9p" },     { 0x5346414F, "AFS" },  { 0x6B414653, "kAFS" },
    { 0x00C36400, "Ceph" }, { 0x0BD00BD0, "Lustre" }, { 0x47504653, "GPFS" }, { 0x73757245, "Coda" },
    { 0x564C, "NCP" },      { 0x786F4256, "vboxsf" },
};

static const char *const pragmas [] = {
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -" CACHE_KIB,
    "PRAGMA journal_size_limit = " WAL_BYTES_MAX,
};

static int refuse_network (const char *path, yard_error_t *error)
{
    struct statfs system;
    if (statfs (path, &system) != 0)
        return yard_error_errno (error, errno, "%s: the file system cannot be asked for its kind", path);
    for (size_t i = 0; i < sizeof network_systems / sizeof network_systems [0]; i++)
        if ((unsigned long) system.f_type == network_systems [i].magic)
            return yard_error (error, YARD_WRONG_STORE,
                               "%s is on %s: a database on a network file system gets damaged; set "
                               "MODELYARD_HOME to a directory on a local"
                               " disk (models_dir may stay where it is)",
                               path, network_systems [i].name);
    return 0;
}

/*  The file is made before SQLite opens it, so that it is nobody else's to read. */
static int make_file (const char *path, yard_error_t *error)
{
    int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return yard_error_errno (error, errno, "%s: the store cannot be opened", path);
    close (fd);
    return 0;
}

static int failed (const recorder_store_t *self, yard_error_t *error, const char *what)
{
    int code = sqlite3_errcode (self->database) & 0xff;
    if (code == SQLITE_NOTADB)
        return yard_error (error, YARD_WRONG_STORE,
                           "%s is no database: move it away, a new one is made at the next start",
                           self->path);
    return yard_error (error, YARD_STORE_FAILED,
                       "%s: %s failed: %s; nothing of it was done, check the disk and repeat", self->path,
                       what, sqlite3_errmsg (self->database));
}

static int set_up (recorder_store_t *self, yard_error_t *error)
{
    sqlite3_busy_timeout (self->database, BUSY_MS);
    if (sqlite3_db_config (self->database, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL) != SQLITE_OK)
        return failed (self, error, "defensive mode");
    sqlite3_stmt *wal = NULL;
    if (sqlite3_prepare_v2 (self->database, "PRAGMA journal_mode = WAL", -1, &wal, NULL) != SQLITE_OK)
        return failed (self, error, "journal mode");
    bool row = sqlite3_step (wal) == SQLITE_ROW;
    bool set = row && yard_string_is (yard_string ((const char *) sqlite3_column_text (wal, 0)), "wal");
    sqlite3_finalize (wal);
    if (!row)
        return failed (self, error, "journal mode");
    if (!set)
        return yard_error (
            error, YARD_WRONG_STORE,
            "%s: the file system gives no shared memory for a write-ahead log; set MODELYARD_HOME to a"
            " directory on a local disk",
            self->path);
    for (size_t i = 0; i < sizeof pragmas / sizeof pragmas [0]; i++)
        if (sqlite3_exec (self->database, pragmas [i], NULL, NULL, NULL) != SQLITE_OK)
            return failed (self, error, pragmas [i]);
    return 0;
}

/*  A predecessor that was killed, or whose fsync failed, may have left commits in the log that are not on
 *  the disk, though the kernel shows them. They are read from now on, and answers are given by them (a
 *  once key says "done already" without a write). So the log is synced; and since a sync after one that
 *  failed succeeds without writing what that one lost, its rows are written once more, into the database.
 *  Where that finds no room, or a reader in its way, the sync has to do. Costs two fsyncs and the log's
 *  size per start. */
static int settle_log (recorder_store_t *self, yard_error_t *error)
{
    sqlite3_file *log = NULL;
    if (sqlite3_exec (self->database, "SELECT 1 FROM sqlite_schema", NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_file_control (self->database, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) != SQLITE_OK)
        return failed (self, error, "opening the log");
    if (log && log->pMethods && log->pMethods->xSync (log, SQLITE_SYNC_FULL) != SQLITE_OK)
        return yard_error (error, YARD_STORE_FAILED,
                           "%s-wal cannot be brought to the disk: check the disk and start again",
                           self->path);
    int code =
        sqlite3_wal_checkpoint_v2 (self->database, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) & 0xff;
    if (code == SQLITE_OK || code == SQLITE_FULL || code == SQLITE_BUSY)
        return 0;
    return failed (self, error, "the first checkpoint");
}

static int prepare_all (recorder_store_t *self, yard_error_t *error)
{
    for (int i = 0; i < RECORDER_SQL_COUNT; i++)
        if (sqlite3_prepare_v3 (self->database, sql_text [i], -1, SQLITE_PREPARE_PERSISTENT,
                                &self->statements [i], NULL) != SQLITE_OK)
            return failed (self, error, sql_text [i]);
    return 0;
}

int recorder_store_open (const char *path, yard_random_t *random, recorder_store_t **ret, yard_error_t *error)
{
    int code = make_file (path, error);
    if (code == 0)
        code = refuse_network (path, error);
    if (code)
        return code;
    recorder_store_t *self = calloc (1, sizeof *self);
    char *copy = strdup (path);
    if (!self || !copy)
        abort ();
    self->path = copy;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    if (sqlite3_open_v2 (path, &self->database, flags, NULL) != SQLITE_OK)
        code = failed (self, error, "open");
    if (code == 0)
        code = set_up (self, error);
    if (code == 0)
        code = settle_log (self, error);
    if (code == 0)
        code = recorder_migrate (self->database, path, random, self->id, error);
    if (code == 0)
        code = prepare_all (self, error);
    if (code) {
        recorder_store_close (&self);
        return code;
    }
    *ret = self;
    return 0;
}

void recorder_store_close (recorder_store_t **self_p)
{
    recorder_store_t *self = *self_p;
    if (!self)
        return;
    recorder_store_rollback (self);
    for (int i = 0; i < RECORDER_SQL_COUNT; i++)
        sqlite3_finalize (self->statements [i]);
    sqlite3_close (self->database);
    free (self->path);
    free (self);
    *self_p = NULL;
}

const char *recorder_store_id (const recorder_store_t *self)
{
    return self->id;
}

const char *recorder_store_path (const recorder_store_t *self)
{
    return self->path;
}

void recorder_store_forbid (recorder_store_t *self)
{
    self->forbidden = true;
}

bool recorder_store_busy (const recorder_store_t *self)
{
    return self->busy;
}

static int run (recorder_store_t *self, recorder_sql_t id, yard_error_t *error)
{
    return recorder_sql_run (self, recorder_sql (self, id), error);
}

/*  SQLite may roll the whole transaction back by itself (disk full, I/O error, no memory). A savepoint
 *  made after that would be a transaction of its own, and its release a commit that nobody answers for: so
 *  a turn that was lost takes no more effects, and its commit fails. */
static bool is_lost (const recorder_store_t *self)
{
    return self->busy && (self->lost || sqlite3_get_autocommit (self->database));
}

int recorder_store_begin (recorder_store_t *self, yard_error_t *error)
{
    if (is_lost (self))
        return yard_error (
            error, YARD_STORE_FAILED,
            "%s: the turn was rolled back by an earlier failure of the disk; nothing of this was "
            "done, check the disk and repeat",
            self->path);
    if (self->busy)
        return 0;
    if (self->forbidden)
        return yard_error (error, YARD_STORE_READ_ONLY,
                           "%s is damaged and only read from; stop the yard, restore a copy or rebuild it "
                           "from the models' manifests",
                           self->path);
    int code = run (self, RECORDER_SQL_begin, error);
    self->busy = code == 0;
    return code;
}

int recorder_store_savepoint (recorder_store_t *self, yard_error_t *error)
{
    return run (self, RECORDER_SQL_savepoint, error);
}

int recorder_store_keep (recorder_store_t *self, yard_error_t *error)
{
    return run (self, RECORDER_SQL_keep, error);
}

/*  What cannot be undone alone is undone with all of its turn. */
void recorder_store_undo (recorder_store_t *self)
{
    if (is_lost (self))
        return;
    if (run (self, RECORDER_SQL_undo, NULL) == 0 && run (self, RECORDER_SQL_keep, NULL) == 0)
        return;
    self->lost = true;
    if (!sqlite3_get_autocommit (self->database))
        run (self, RECORDER_SQL_rollback, NULL);
}

int recorder_store_commit (recorder_store_t *self, yard_error_t *error)
{
    if (!self->busy)
        return 0;
    int code = recorder_store_begin (self, error); /* is it still ours to commit? */
    if (code == 0)
        code = run (self, RECORDER_SQL_commit, error);
    if (code)
        recorder_store_rollback (self);
    self->busy = false;
    return code;
}

void recorder_store_rollback (recorder_store_t *self)
{
    if (self->busy && !sqlite3_get_autocommit (self->database))
        run (self, RECORDER_SQL_rollback, NULL);
    self->busy = self->lost = false;
}

sqlite3_stmt *recorder_sql (recorder_store_t *self, recorder_sql_t id)
{
    return self->statements [id];
}

int recorder_sql_step (recorder_store_t *self, sqlite3_stmt *statement, yard_error_t *error)
{
    int code = sqlite3_step (statement);
    if (code == SQLITE_ROW)
        return 1;
    int answer = 0;
    if (code != SQLITE_DONE)
        answer = failed (self, error, sqlite3_sql (statement));
    recorder_sql_done (statement);
    return answer;
}

int recorder_sql_run (recorder_store_t *self, sqlite3_stmt *statement, yard_error_t *error)
{
    int code = recorder_sql_step (self, statement, error);
    assert (code <= 0);
    return code;
}

/*  Bindings are borrowed: they are cleared with the reset, so that nothing dangles. */
void recorder_sql_done (sqlite3_stmt *statement)
{
    sqlite3_reset (statement);
    sqlite3_clear_bindings (statement);
}

int64_t recorder_store_last_id (const recorder_store_t *self)
{
    return sqlite3_last_insert_rowid (self->database);
}

uint64_t recorder_store_rows_changed (const recorder_store_t *self)
{
    return (uint64_t) sqlite3_changes64 (self->database);
}

void recorder_bind_text (sqlite3_stmt *statement, int parameter, yard_string_t text)
{
    sqlite3_bind_text (statement, parameter, text.size ? text.data : "", (int) text.size, SQLITE_STATIC);
}

void recorder_bind_blob (sqlite3_stmt *statement, int parameter, yard_string_t bytes)
{
    if (bytes.size)
        sqlite3_bind_blob (statement, parameter, bytes.data, (int) bytes.size, SQLITE_STATIC);
}

void recorder_bind_number (sqlite3_stmt *statement, int parameter, uint64_t number)
{
    sqlite3_bind_int64 (statement, parameter, (sqlite3_int64) number);
}

yard_string_t recorder_column (sqlite3_stmt *statement, int column, yard_arena_t *arena)
{
    const char *data = sqlite3_column_blob (statement, column);
    size_t size = (size_t) sqlite3_column_bytes (statement, column);
    if (!data || size == 0)
        return (yard_string_t){ "", 0 };
    yard_string_t copy = yard_arena_copy (arena, (yard_string_t){ data, size });
    assert (copy.data); /* a page is cut long before the turn's arena is full */
    return copy;
}

uint64_t recorder_column_number (sqlite3_stmt *statement, int column)
{
    return (uint64_t) sqlite3_column_int64 (statement, column);
}

int recorder_meta_get (recorder_store_t *self, const char *key, uint64_t *ret, yard_error_t *error)
{
    sqlite3_stmt *statement = recorder_sql (self, RECORDER_SQL_meta_get);
    recorder_bind_text (statement, 1, yard_string (key));
    int code = recorder_sql_step (self, statement, error);
    if (code < 0)
        return code;
    *ret = code ? recorder_column_number (statement, 0) : 0;
    recorder_sql_done (statement);
    return 0;
}

int recorder_meta_put (recorder_store_t *self, const char *key, uint64_t value, yard_error_t *error)
{
    sqlite3_stmt *statement = recorder_sql (self, RECORDER_SQL_meta_put);
    recorder_bind_text (statement, 1, yard_string (key));
    recorder_bind_number (statement, 2, value);
    return recorder_sql_run (self, statement, error);
}
