// SPDX-License-Identifier: Apache-2.0
/*  store_workload.h - a scripted life of the recorder's book, effect by effect, and which of them were
 *  acknowledged
 *
 *  The script has every kind of effect (submit, lease, extend, expand, finish, fail, cancel, prune,
 *  record.add with and without job, update, delete, once keys), turns with one and with several, a checkpoint
 *  inside a commit, and two restarts. An effect is acknowledged when it gave 0 and so did the commit of its
 *  turn.
 *
 *  Invariants:
 *  - What an effect does depends on the store and on its place in the script alone: time, randomness and ids
 *    are those of its place. So the acknowledged effects, replayed on a whole disk, give the very rows that a
 *    hurt store must hold.
 */
#ifndef YARD_FAULTS_STORE_WORKLOAD_H
#define YARD_FAULTS_STORE_WORKLOAD_H

#include <stdbool.h>
#include "actors/ground/buffer.h"
#include "actors/recorder/book.h"

#define WORKLOAD_EFFECTS_MAX 64
#define WORKLOAD_JOBS 8

/*  What later effects need of earlier ones' answers; of acknowledged ones only. */
typedef struct {
    uint64_t jobs [WORKLOAD_JOBS], tokens [WORKLOAD_JOBS];
    char key [33];
} workload_known_t;

typedef struct {
    recorder_book_t book;
    bool open;
    yard_random_t random;
    recorder_limits_t limits;
    const char *path;
    const char *pragmas; /* run after each open; or NULL */
    void (*kill) (
        void *); /* at each restart, before the old life is cleared away; NULL: it closes in good order */
    void *killed;
    workload_known_t known;
    bool happened [WORKLOAD_EFFECTS_MAX]; /* gave 0, whatever the commit said */
    bool acknowledged [WORKLOAD_EFFECTS_MAX];
    bool wrote [WORKLOAD_EFFECTS_MAX]; /* the turn that this one ended was committed, with rows */
    int64_t rows_seen; /* that the connection had changed when the last turn ended */
    yard_error_t error;
} workload_t;

size_t workload_count (void);
const char *workload_name (size_t effect);
bool workload_restarts (
    size_t effect); /* it is no effect but the end of one life and the begin of the next */
size_t workload_turn_end (size_t effect); /* the last effect of its turn */

void workload_init (workload_t *self, const char *path, const char *pragmas);
/*  The whole script, going on after failures as an actor under a supervisor does. */
void workload_run (workload_t *self);
/*  The effects of `done` alone; where a turn had others, the book is reverted as it was then. Those of
 *  `late` at the end of their life. */
void workload_replay (workload_t *self, const bool *done, const bool *late);
/*  Opens the book if it is closed; each open draws the same. */
int workload_open (workload_t *self);
void workload_close (workload_t *self);
sqlite3 *workload_database (workload_t *self);

#endif
