// SPDX-License-Identifier: Apache-2.0
/*  sim_checker.c - what was acknowledged, and what a follower heard
 */
#include "sim_checker.h"

#include "actors/ground/durable.h"

#define ARENA_MAX ((size_t) 64 << 20)

sim_checker_t *sim_checker_new (sim_world_t *world)
{
    sim_checker_t *self = yard_zeroed (sizeof *self);
    self->world = world;
    self->asked = yard_table_new ();
    self->arena = yard_arena_new (ARENA_MAX);
    return self;
}

void sim_checker_destroy (sim_checker_t **self_p)
{
    sim_checker_t *self = *self_p;
    sim_tap_forget (self->world);
    sim_subscriber_close (self->world);
    yard_table_destroy (&self->asked);
    yard_arena_destroy (&self->arena);
    yard_arena_destroy (&self->findings.arena);
    free (self);
    *self_p = NULL;
}

_Noreturn void sim_failed (const char *format, ...)
{
    sim_world_t *world = sim_world_now ();
    if (world)
        world->active = SIM_NOBODY; /* nobody dies while we clear up */
    printf ("seed %llu failed: ", world ? (unsigned long long) world->seed : 0);
    va_list arguments;
    va_start (arguments, format);
    vprintf (format, arguments);
    va_end (arguments);
    printf ("\n");
    fflush (stdout);
    if (world && !world->verbose) /* else somebody will want to look */
        yard_durable_remove (world->directory, NULL);
    _exit (1);
}

sim_findings_t *sim_findings (sim_world_t *world)
{
    return &world->checker->findings;
}

sim_hearing_t *sim_last_hearing (sim_world_t *world)
{
    return world->checker->hearing;
}

/*  --- acknowledgements ---------------------------------------------------------------------------------- */
static sim_job_t *of_key (const sim_checker_t *self, yard_string_t key)
{
    for (size_t i = 0; i < self->acked_count; i++)
        if (yard_string_is (key, self->jobs [self->acked [i]].key))
            return (sim_job_t *) &self->jobs [self->acked [i]];
    return NULL;
}

void sim_ack_job (sim_world_t *world, uint64_t id, yard_string_t key, yard_string_t once)
{
    sim_checker_t *self = world->checker;
    if (id == 0 || id >= SIM_JOBS_MAX)
        sim_failed ("a client was told of job %llu", (unsigned long long) id);
    for (size_t i = 0; once.size && i < self->acked_count; i++) {
        const sim_job_t *other = &self->jobs [self->acked [i]];
        if (yard_string_is (once, other->once) && other->id != id)
            sim_failed ("the once key %s gave job %llu, and then job %llu", other->once,
                        (unsigned long long) other->id, (unsigned long long) id);
    }
    sim_job_t *job = &self->jobs [id];
    if (job->id && !yard_string_is (key, job->key))
        sim_failed ("job %llu had the key %s, and has %.*s", (unsigned long long) id, job->key,
                    YARD_VIEW (key));
    if (!job->id)
        self->acked [self->acked_count++] = id;
    job->id = id;
    snprintf (job->key, sizeof job->key, "%.*s", YARD_VIEW (key));
    if (once.size)
        snprintf (job->once, sizeof job->once, "%.*s", YARD_VIEW (once));
}

void sim_ack_cancel (sim_world_t *world, uint64_t id, job_status_t status)
{
    if (status == job_status_cancelled)
        world->checker->jobs [id].cancelled = true;
}

void sim_ack_delete (sim_world_t *world, yard_string_t key)
{
    sim_job_t *job = of_key (world->checker, key);
    if (job)
        job->deleted = true;
}

uint64_t sim_try_update (sim_world_t *world)
{
    return ++world->checker->tried;
}

void sim_ack_update (sim_world_t *world, yard_string_t key, uint64_t value)
{
    sim_job_t *job = of_key (world->checker, key);
    if (job && value > job->updated)
        job->updated = value;
}

uint64_t sim_job_at (const sim_world_t *world, uint64_t number)
{
    return world->checker->acked [number];
}

const char *sim_key_at (const sim_world_t *world, uint64_t number)
{
    return world->checker->jobs [world->checker->acked [number]].key;
}

uint64_t sim_jobs_count (const sim_world_t *world)
{
    return world->checker->acked_count;
}

/*  --- hearing ------------------------------------------------------------------------------------------- */
/*  After a loss the stream may begin anywhere up to the first change that the snapshot does not know. */
void sim_heard (sim_hearing_t *self, uint64_t change)
{
    if (change <= self->last)
        sim_failed ("the follower heard change %llu behind change %llu", (unsigned long long) change,
                    (unsigned long long) self->last);
    bool free_start = self->lost ? !self->first && !self->snapshot_known : self->last == 0;
    uint64_t known = self->snapshot_known && self->snapshot > self->last ? self->snapshot : self->last;
    if (!free_start && change > known + 1)
        sim_failed ("the follower heard change %llu, knew all up to %llu, and was not told of a loss",
                    (unsigned long long) change, (unsigned long long) known);
    self->last = change;
    if (self->snapshot_known)
        self->lost = self->snapshot_known = false;
    else if (self->lost && !self->first)
        self->first = change;
}

void sim_lost (sim_hearing_t *self)
{
    self->lost = true;
    self->snapshot_known = false;
    self->first = 0;
}

void sim_snapshot (sim_hearing_t *self, uint64_t change)
{
    if (!self->lost || self->snapshot_known)
        return; /* of an earlier loss */
    if (self->first > change + 1)
        sim_failed ("the follower heard change %llu after its loss, and its snapshot is of change %llu",
                    (unsigned long long) self->first, (unsigned long long) change);
    self->snapshot = change;
    if (self->first) {
        self->lost = false;
        self->first = 0;
    } else
        self->snapshot_known = true;
}
