// SPDX-License-Identifier: Apache-2.0
/*  store_workload.c - the two ways through the script
 */
#include "store_workload.h"
#include "store_script.h"

#define START_MS 1000
#define WALL_MS 1700000000000
#define STEP_MS 10 /* between effects */
#define OPEN_SEED 4711
#define OPEN_TRIES 3 /* a supervisor's: a fault that struck once is over by then */

size_t workload_count (void)
{
    return store_script_count;
}

const char *workload_name (size_t effect)
{
    return store_script [effect].name;
}

bool workload_restarts (size_t effect)
{
    return store_script [effect].kind == STORE_RESTART;
}

size_t workload_turn_end (size_t effect)
{
    while (!store_script [effect].ends_turn)
        effect++;
    return effect;
}

/*  --- open and close ------------------------------------------------------------------------------------ */
void workload_init (workload_t *self, const char *path, const char *pragmas)
{
    memset (self, 0, sizeof *self);
    self->path = path;
    self->pragmas = pragmas;
    self->limits = (recorder_limits_t){ STORE_LEASE_MS, 5, 1000 };
}

sqlite3 *workload_database (workload_t *self)
{
    return sqlite3_db_handle (recorder_sql (self->book.store, RECORDER_SQL_begin));
}

int workload_open (workload_t *self)
{
    if (self->open)
        return 0;
    yard_random_seed (&self->random, OPEN_SEED);
    memset (&self->book, 0, sizeof self->book);
    int code = recorder_book_open (&self->book, self->path, &self->random, &self->limits, START_MS, WALL_MS,
                                   &self->error);
    self->open = code == 0;
    if (code)
        recorder_book_close (&self->book);
    else if (self->pragmas)
        sqlite3_exec (workload_database (self), self->pragmas, NULL, NULL, NULL);
    self->rows_seen = self->open ? sqlite3_total_changes64 (workload_database (self)) : 0;
    return code;
}

void workload_close (workload_t *self)
{
    if (self->open)
        recorder_book_close (&self->book);
    self->open = false;
}

static int restart (workload_t *self)
{
    if (self->kill)
        self->kill (self->killed);
    workload_close (self);
    return workload_open (self);
}

/*  --- the ways through it ------------------------------------------------------------------------------- */
static void set_place (workload_t *self, size_t at)
{
    yard_random_seed (&self->random, at + 1);
    self->book.now_ms = START_MS + (int64_t) at * STEP_MS;
    self->book.wall_ms = WALL_MS + (int64_t) at * STEP_MS;
}

static bool happen (workload_t *self, size_t at)
{
    if (workload_restarts (at)) {
        for (int i = 0; i < OPEN_TRIES; i++)
            if (restart (self) == 0)
                return true;
        return false;
    }
    if (!self->open)
        return false;
    set_place (self, at);
    if (store_script [at].kind == STORE_PUBLISH) {
        self->book.published = self->book.change;
        return true;
    }
    workload_known_t before = self->known;
    int code = recorder_book_enter (&self->book, &self->error);
    if (code == 0)
        code = recorder_book_leave (&self->book, store_script [at].happen (self), &self->error);
    if (code)
        self->known = before;
    return code == 0;
}

/*  Ends the turn that began at `first`; takes its acknowledgements back if it does not commit. */
static void end_turn (workload_t *self, size_t first, size_t last, const workload_known_t *before)
{
    if (workload_restarts (last) || !self->open)
        return;
    self->wrote [last] = sqlite3_total_changes64 (workload_database (self)) != self->rows_seen;
    if (recorder_book_commit (&self->book, &self->error)) {
        memset (self->acknowledged + first, 0, last + 1 - first);
        self->wrote [last] = false;
        self->known = *before;
    }
    self->rows_seen = sqlite3_total_changes64 (workload_database (self));
    recorder_book_turn_over (&self->book);
}

void workload_run (workload_t *self)
{
    workload_known_t before = self->known;
    for (size_t at = 0, first = 0; at < store_script_count; at++) {
        self->acknowledged [at] = self->happened [at] = happen (self, at);
        if (!store_script [at].ends_turn)
            continue;
        end_turn (self, first, at, &before);
        first = at + 1;
        before = self->known;
    }
}

/*  What nobody was told of, but was found by the next life: its ids stay unknown. */
static void come_late (workload_t *self, const bool *late, size_t restart_at)
{
    size_t from = restart_at;
    while (from > 0 && !workload_restarts (from - 1))
        from--;
    workload_known_t before = self->known;
    for (size_t at = from, first = from; at < restart_at; at++) {
        if (late [at])
            happen (self, at);
        if (!store_script [at].ends_turn)
            continue;
        end_turn (self, first, at, &before);
        first = at + 1;
    }
    self->known = before;
}

void workload_replay (workload_t *self, const bool *done, const bool *late)
{
    workload_known_t before = self->known;
    bool whole = true;
    for (size_t at = 0, first = 0; at < store_script_count; at++) {
        if (workload_restarts (at))
            come_late (self, late, at);
        if (done [at] || workload_restarts (at))
            self->acknowledged [at] = happen (self, at);
        else
            whole = false;
        if (!store_script [at].ends_turn)
            continue;
        end_turn (self, first, at, &before);
        if (!whole && self->open)
            recorder_book_revert (&self->book);
        whole = true;
        first = at + 1;
        before = self->known;
    }
    come_late (self, late, store_script_count);
}
