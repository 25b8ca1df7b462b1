// SPDX-License-Identifier: Apache-2.0
/*  leases.c - two tables: leases by job, delays by job
 *
 *  Both are walked whole on a tick: a yard has as many leases as its members have room (64 each at most), so a heap would not pay.
 */
#include "leases.h"
#include "actors/ground/table.h"

typedef struct {
    uint64_t job;
    int64_t due_ms;
} delay_t;

struct recorder_leases_t {
    yard_table_t *leases;
    yard_table_t *delays;
    int64_t term_ms;
    uint64_t moves;
};

static void *allocate (size_t size)
{
    void *memory = calloc (1, size);
    if (!memory)
        abort (); /* out of memory is a crash like another */
    return memory;
}

recorder_leases_t *recorder_leases_new (int64_t term_ms)
{
    recorder_leases_t *self = allocate (sizeof *self);
    self->leases = yard_table_new ();
    self->delays = yard_table_new ();
    self->term_ms = term_ms;
    return self;
}

static void empty (yard_table_t *table)
{
    void *value;
    for (size_t at = 0; yard_table_next (table, &at, &value);) {
        uint64_t job = *(uint64_t *) value; /* both kinds of value begin with it */
        free (yard_table_take_u64 (table, job));
    }
}

void recorder_leases_destroy (recorder_leases_t **self_p)
{
    recorder_leases_t *self = *self_p;
    if (!self)
        return;
    empty (self->leases);
    empty (self->delays);
    yard_table_destroy (&self->leases);
    yard_table_destroy (&self->delays);
    free (self);
    *self_p = NULL;
}

recorder_lease_t *recorder_leases_get (const recorder_leases_t *self, uint64_t job)
{
    return yard_table_get_u64 (self->leases, job);
}

recorder_lease_t *recorder_leases_put (recorder_leases_t *self, uint64_t job, int64_t now_ms)
{
    recorder_lease_t *lease = allocate (sizeof *lease);
    lease->job = job;
    recorder_leases_extend (self, lease, now_ms);
    free (yard_table_put_u64 (self->leases, job, lease));
    self->moves++;
    return lease;
}

void recorder_leases_drop (recorder_leases_t *self, uint64_t job)
{
    recorder_lease_t *lease = yard_table_take_u64 (self->leases, job);
    self->moves += lease != NULL;
    free (lease);
    recorder_leases_undelay (self, job);
}

void recorder_leases_undelay (recorder_leases_t *self, uint64_t job)
{
    delay_t *delay = yard_table_take_u64 (self->delays, job);
    self->moves += delay != NULL;
    free (delay);
}

void recorder_leases_extend (const recorder_leases_t *self, recorder_lease_t *lease, int64_t now_ms)
{
    lease->deadline_ms = now_ms + self->term_ms;
}

void recorder_leases_extend_all (recorder_leases_t *self, int64_t now_ms)
{
    recorder_lease_t *lease;
    for (size_t at = 0; recorder_leases_next (self, &at, &lease);)
        recorder_leases_extend (self, lease, now_ms);
}

bool recorder_leases_next (const recorder_leases_t *self, size_t *at, recorder_lease_t **ret)
{
    void *value;
    if (!yard_table_next (self->leases, at, &value))
        return false;
    *ret = value;
    return true;
}

size_t recorder_leases_count (const recorder_leases_t *self)
{
    return yard_table_count (self->leases);
}

uint64_t recorder_leases_moves (const recorder_leases_t *self)
{
    return self->moves;
}

void recorder_leases_clear (recorder_leases_t *self)
{
    empty (self->leases);
}

void recorder_leases_delay (recorder_leases_t *self, uint64_t job, int64_t due_ms)
{
    delay_t *delay = allocate (sizeof *delay);
    delay->job = job;
    delay->due_ms = due_ms;
    free (yard_table_put_u64 (self->delays, job, delay));
}

bool recorder_leases_delayed (const recorder_leases_t *self, uint64_t job)
{
    return yard_table_get_u64 (self->delays, job) != NULL;
}

uint64_t recorder_leases_due (const recorder_leases_t *self, int64_t now_ms)
{
    void *value;
    for (size_t at = 0; yard_table_next (self->delays, &at, &value);) {
        const delay_t *delay = value;
        if (delay->due_ms <= now_ms)
            return delay->job;
    }
    return 0;
}

int64_t recorder_leases_next_due (const recorder_leases_t *self)
{
    int64_t due_ms = INT64_MAX;
    void *value;
    for (size_t at = 0; yard_table_next (self->delays, &at, &value);)
        if (((const delay_t *) value)->due_ms < due_ms)
            due_ms = ((const delay_t *) value)->due_ms;
    return due_ms;
}
