// SPDX-License-Identifier: Apache-2.0
/*  leases.h - who holds which job until when; in memory, on the monotonic clock
 *
 *  The rows know token and member, so a restart, or a commit that failed, finds the leases again: each then gets a full new term. Deadlines
 *  and progress live here alone, and are lost with the process: nobody's work is judged by a clock that stood still.
 *
 *  Invariants: at most one lease per job; `moves` counts what came and went of both, so a caller sees whether an undone change touched them.
 */
#ifndef YARD_RECORDER_LEASES_H
#define YARD_RECORDER_LEASES_H

#include "proto/messages.h"

#define RECORDER_MEMBER_MAX 64 /* bytes of an instance; job.def */

typedef struct {
    uint64_t job, token, parent;
    job_kind_t kind;
    int64_t deadline_ms;
    uint64_t bytes, total_bytes; /* as last told */
    uint64_t granted_bytes; /* at the grant: more than that is progress */
    bool progressed; /* the row's attempts were set back */
    char member [RECORDER_MEMBER_MAX + 1];
} recorder_lease_t;

typedef struct recorder_leases_t recorder_leases_t;

recorder_leases_t *recorder_leases_new (int64_t term_ms);
void recorder_leases_destroy (recorder_leases_t **self_p);

recorder_lease_t *recorder_leases_get (const recorder_leases_t *self,
                                       uint64_t job); /* NULL: nobody holds it */
recorder_lease_t *recorder_leases_put (recorder_leases_t *self, uint64_t job,
                                       int64_t now_ms); /* a full term; replaces */
void recorder_leases_drop (recorder_leases_t *self, uint64_t job); /* of a delayed job: its delay */
void recorder_leases_extend (const recorder_leases_t *self, recorder_lease_t *lease, int64_t now_ms);
void recorder_leases_extend_all (recorder_leases_t *self, int64_t now_ms);
bool recorder_leases_next (const recorder_leases_t *self, size_t *at, recorder_lease_t **ret);
size_t recorder_leases_count (const recorder_leases_t *self);
uint64_t recorder_leases_moves (const recorder_leases_t *self);
void recorder_leases_clear (recorder_leases_t *self); /* leases; delays stay */

/*  Jobs that are not to be granted before a time. */
void recorder_leases_delay (recorder_leases_t *self, uint64_t job, int64_t due_ms);
void recorder_leases_undelay (recorder_leases_t *self, uint64_t job); /* its lease, if it has one, stays */
bool recorder_leases_delayed (const recorder_leases_t *self, uint64_t job);
uint64_t recorder_leases_due (const recorder_leases_t *self,
                              int64_t now_ms); /* a job whose time has come, or 0 */
int64_t recorder_leases_next_due (const recorder_leases_t *self); /* INT64_MAX: none */

#endif
