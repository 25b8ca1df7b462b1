// SPDX-License-Identifier: Apache-2.0
/*  book.h - what the recorder knows, without the bus: store, leases, counters, and the turn in progress
 *
 *  The actor sets now_ms and wall_ms at each callback and brackets every effect:
 *
 *      recorder_book_enter -> effect (records.h, jobs.h …) -> recorder_book_leave      (any number of them)
 *      recorder_book_commit -> tell what `ended`, `removed` and the outbox say -> recorder_book_turn_over
 *
 *  Invariants:
 *  - An effect that returns a failure has changed nothing: neither rows nor counters nor leases.
 *  - After a commit that failed the book is as the database is, and the turn's ended and removed lists are
 *    empty.
 *  - What effects give back lies in `arena` and lives until recorder_book_turn_over.
 */
#ifndef YARD_RECORDER_BOOK_H
#define YARD_RECORDER_BOOK_H

#include "leases.h"
#include "store.h"

#define RECORDER_SECRET_DIGITS 32 /* a secret's file name: 128 random bits */
#define RECORDER_TURN_BYTES_MAX \
    (256u << 20) /* arena of one turn: 64 messages, each with a page of at most 1 MiB and its rows */
#define RECORDER_PAGE_BYTES_MAX (768 * 1024) /* rows of one page; the message around them stays below 1 MiB */

typedef struct {
    int64_t lease_ms;
    uint64_t attempts_max;
    uint64_t history; /* changes kept */
} recorder_limits_t;

typedef struct {
    char text [RECORDER_SECRET_DIGITS + 1];
} recorder_secret_name_t;

/*  What an undone effect sets back. */
typedef struct {
    uint64_t change, sequence, lease_moves;
    size_t ended_count, removed_count;
} recorder_mark_t;

typedef struct recorder_book_t {
    recorder_store_t *store;
    recorder_leases_t *leases;
    yard_random_t *random;
    recorder_limits_t limits;
    int64_t now_ms, wall_ms;
    yard_arena_t *arena;
    uint64_t change; /* of the last event told */
    uint64_t sequence; /* of the last job leased for the first time */
    uint64_t published; /* the broker has taken events up to this change */
    uint64_t trimmed; /* events up to this change are gone */
    uint64_t kept_change, kept_sequence, kept_published; /* as yard_meta has them */
    bool unread; /* a rolled back turn's counters or leases could not be read again: the next enter tries */
    bool work; /* a job may have become ready since the last grants */
    uint64_t *ended; /* jobs that ended in this turn: waits look here */
    size_t ended_count, ended_capacity;
    recorder_secret_name_t *removed; /* secrets that no job needs any more */
    size_t removed_count, removed_capacity;
    recorder_mark_t mark;
} recorder_book_t;

/*  random is borrowed. */
int recorder_book_open (recorder_book_t *self, const char *path, yard_random_t *random,
                        const recorder_limits_t *limits, int64_t now_ms, int64_t wall_ms,
                        yard_error_t *error);
void recorder_book_close (recorder_book_t *self); /* copes with a zeroed or half-open one */

int recorder_book_enter (recorder_book_t *self, yard_error_t *error);
int recorder_book_leave (recorder_book_t *self, int code,
                         yard_error_t *error); /* undoes if code says so; gives code, or its own */
int recorder_book_commit (recorder_book_t *self, yard_error_t *error);
void recorder_book_revert (recorder_book_t *self); /* rolls the turn back */
void recorder_book_turn_over (recorder_book_t *self);

/*  For effects. */
void recorder_book_note_ended (recorder_book_t *self, uint64_t job);
void recorder_book_note_removed (recorder_book_t *self, yard_string_t secret);
double recorder_book_time (const recorder_book_t *self); /* wall clock in seconds, as events carry it */
int recorder_book_pack (recorder_book_t *self, const yard_wire_type_t *type, const void *value,
                        yard_string_t *ret, yard_error_t *error);

#endif
