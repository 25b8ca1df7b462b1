// SPDX-License-Identifier: Apache-2.0
/*  sim_judge.c - when the faults are over: lets what is held go on, waits until no job lives, and collects
 *  what the yard says of itself
 *
 *  One question after the other; one that fails is put again. A follower's snapshot would be too thin for
 *  this: here every row counts.
 */
#include "sim_checker.h"

#define AGAIN_MS 500
#define PAGE 100
#define ROWS_MAX 2048 /* jobs, records or changes of one story; the longest has 400 */
#define ARENA_MAX ((size_t) 256 << 20)

typedef struct judge_t {
    yard_actor_t *actor;
    yard_timer_t *again;
    size_t step;
    yard_string_t cursor; /* of record.search */
} judge_t;

static void ask_step (void *pointer, void *argument);

static sim_findings_t *found (void)
{
    return sim_findings (sim_world_now ());
}

static void later (judge_t *self)
{
    yard_timer_set (self->again, AGAIN_MS);
}

static void next (judge_t *self)
{
    self->step++;
    ask_step (self, NULL);
}

/*  --- no job lives */
static void on_live (void *pointer, void *argument, const yard_outcome_t *outcome)
{
    (void) argument;
    judge_t *self = pointer;
    if (outcome->code) {
        later (self);
        return;
    }
    const job_list_answer_t *answer = outcome->answer;
    if (answer->jobs.count == 0) {
        next (self);
        return;
    }
    for (size_t i = 0; i < answer->jobs.count; i++)
        if (answer->jobs.items [i].held || answer->jobs.items [i].status == job_status_paused)
            yard_ask (self->actor, &job_start_method, &(job_id_t){ .id = answer->jobs.items [i].id }, NULL,
                      NULL, NULL);
    later (self);
}

static void ask_live (judge_t *self)
{
    job_list_ask_t ask;
    yard_wire_init (job_list_ask_type (), &ask);
    ask.live = true;
    ask.limit = 256;
    yard_ask (self->actor, &job_list_method, &ask, NULL, on_live, NULL);
}

/*  --- store and disk agree */
static void on_synced (void *pointer, void *argument, const yard_outcome_t *outcome)
{
    (void) argument;
    judge_t *self = pointer;
    if (outcome->code)
        later (self);
    else
        next (self);
}

static void ask_sync (judge_t *self)
{
    nothing_t ask;
    yard_wire_init (nothing_type (), &ask);
    yard_ask (self->actor, &install_sync_method, &ask, NULL, on_synced, NULL);
}

/*  --- all rows */
static void on_jobs (void *pointer, void *argument, const yard_outcome_t *outcome)
{
    (void) argument;
    judge_t *self = pointer;
    if (outcome->code) {
        later (self);
        return;
    }
    const job_list_answer_t *answer = outcome->answer;
    for (size_t i = 0; i < answer->jobs.count && found ()->job_count < ROWS_MAX; i++)
        yard_wire_copy (job_type (), &answer->jobs.items [i], found ()->arena,
                        &found ()->jobs [found ()->job_count++]);
    if (answer->more)
        ask_step (self, NULL);
    else
        next (self);
}

static void ask_jobs (judge_t *self)
{
    job_list_ask_t ask;
    yard_wire_init (job_list_ask_type (), &ask);
    ask.limit = PAGE;
    ask.after = found ()->job_count ? found ()->jobs [found ()->job_count - 1].id : 0;
    yard_ask (self->actor, &job_list_method, &ask, NULL, on_jobs, NULL);
}

static void on_records (void *pointer, void *argument, const yard_outcome_t *outcome)
{
    (void) argument;
    judge_t *self = pointer;
    if (outcome->code) {
        later (self);
        return;
    }
    const record_search_answer_t *answer = outcome->answer;
    for (size_t i = 0; i < answer->records.count && found ()->record_count < ROWS_MAX; i++)
        yard_wire_copy (model_record_type (), &answer->records.items [i], found ()->arena,
                        &found ()->records [found ()->record_count++]);
    self->cursor = yard_arena_copy (found ()->arena, answer->cursor);
    if (answer->has_cursor)
        ask_step (self, NULL);
    else
        next (self);
}

static void ask_records (judge_t *self)
{
    record_search_ask_t ask;
    yard_wire_init (record_search_ask_type (), &ask);
    ask.limit = PAGE;
    ask.has_cursor = self->cursor.size > 0;
    ask.cursor = self->cursor;
    yard_ask (self->actor, &record_search_method, &ask, NULL, on_records, NULL);
}

static void on_events (void *pointer, void *argument, const yard_outcome_t *outcome)
{
    (void) argument;
    judge_t *self = pointer;
    if (outcome->code == YARD_TOO_OLD)
        sim_failed ("the history of a short life is too old: %s", outcome->text);
    if (outcome->code) {
        later (self);
        return;
    }
    const event_history_answer_t *answer = outcome->answer;
    for (size_t i = 0; i < answer->events.count && found ()->event_count < ROWS_MAX; i++)
        yard_wire_copy (told_type (), &answer->events.items [i], found ()->arena,
                        &found ()->events [found ()->event_count++]);
    found ()->change = answer->last;
    if (answer->more)
        ask_step (self, NULL);
    else
        next (self);
}

static void ask_events (judge_t *self)
{
    event_history_ask_t ask;
    yard_wire_init (event_history_ask_type (), &ask);
    ask.after = found ()->change;
    yard_ask (self->actor, &event_history_method, &ask, NULL, on_events, NULL);
}

/*  Leases end with their clients; those that a dead broker's clients had, after a while. */
static void on_loads (void *pointer, void *argument, const yard_outcome_t *outcome)
{
    (void) argument;
    judge_t *self = pointer;
    bool none = outcome->code == 0 && ((const load_list_answer_t *) outcome->answer)->loads.count == 0;
    if (none)
        next (self);
    else
        later (self);
}

static void ask_loads (judge_t *self)
{
    nothing_t ask;
    yard_wire_init (nothing_type (), &ask);
    yard_ask (self->actor, &load_list_method, &ask, NULL, on_loads, NULL);
}

static void (*const steps []) (judge_t *self) = {
    ask_live, ask_sync, ask_jobs, ask_records, ask_events, ask_loads,
};

static void ask_step (void *pointer, void *argument)
{
    (void) argument;
    judge_t *self = pointer;
    if (self->step < sizeof steps / sizeof *steps)
        steps [self->step](self);
    else
        found ()->done = true;
}

static int judge_open (void *pointer, yard_actor_t *actor, yard_error_t *error)
{
    (void) error;
    judge_t *self = pointer;
    self->actor = actor;
    sim_findings_t *findings = found ();
    findings->arena = yard_arena_new (ARENA_MAX);
    findings->jobs = yard_arena_alloc (findings->arena, ROWS_MAX * sizeof *findings->jobs);
    findings->records = yard_arena_alloc (findings->arena, ROWS_MAX * sizeof *findings->records);
    findings->events = yard_arena_alloc (findings->arena, ROWS_MAX * sizeof *findings->events);
    self->again = yard_timer_new (actor, ask_step, NULL);
    later (self);
    return 0;
}

static void judge_close (void *pointer)
{
    judge_t *self = pointer;
    yard_timer_destroy (&self->again);
}

static const yard_route_t routes [] = { { 0 } };

const yard_actor_class_t sim_judge_class = {
    .name = "judge",
    .size = sizeof (judge_t),
    .routes = routes,
    .pool = true,
    .open = judge_open,
    .close = judge_close,
};
