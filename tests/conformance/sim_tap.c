// SPDX-License-Identifier: Apache-2.0
/*  sim_tap.c - what the checker reads off the bus: grants and last words, and events on their way to the
 *  broker
 *
 *  A message is seen when it arrives. On one connection that is the order in which it was said, so what the
 *  recorder has answered before is known here before what it answers next.
 */
#include "sim_checker.h"

#include "actors/ground/digest.h"

typedef struct {
    const yard_method_t *method;
    uint64_t job, token; /* what a word about a lease carries */
    char member [65]; /* job.lease */
} asked_t;

static bool decode (sim_world_t *world, const yard_wire_type_t *type, yard_string_t body, void *ret)
{
    yard_error_t error;
    return yard_wire_unpack (type, body.data, body.size, YARD_WIRE_ANSWER, world->checker->arena, ret,
                             &error) == 0;
}

void sim_tap_forget (sim_world_t *world)
{
    sim_checker_t *self = world->checker;
    void *asked;
    for (size_t at = 0; yard_table_next (self->asked, &at, &asked);)
        free (asked);
    yard_table_destroy (&self->asked);
    self->asked = yard_table_new ();
    self->open_number = 0;
}

yard_string_t sim_open_number (const sim_world_t *world)
{
    const uint64_t *number = &world->checker->open_number;
    return (yard_string_t){ (const char *) number, *number ? sizeof *number : 0 };
}

/*  --- asks to the recorder */
static void note_asked (sim_world_t *world, const yard_envelope_t *envelope)
{
    sim_checker_t *self = world->checker;
    asked_t *asked = yard_zeroed (sizeof *asked);
    asked->method = yard_method_find (envelope->name);
    if (asked->method == &job_finish_method) {
        job_finish_ask_t ask;
        if (decode (world, job_finish_ask_type (), envelope->body, &ask))
            asked->job = ask.job, asked->token = ask.token;
    } else if (asked->method == &job_fail_method) {
        job_fail_ask_t ask;
        if (decode (world, job_fail_ask_type (), envelope->body, &ask))
            asked->job = ask.job, asked->token = ask.token;
    } else if (asked->method == &job_expand_method) {
        job_expand_ask_t ask;
        if (decode (world, job_expand_ask_type (), envelope->body, &ask))
            asked->job = ask.job, asked->token = ask.token;
    } else if (asked->method == &job_release_method) {
        job_release_ask_t ask;
        if (decode (world, job_release_ask_type (), envelope->body, &ask))
            asked->job = ask.job, asked->token = ask.token;
    } else if (asked->method == &record_add_method) {
        record_add_ask_t ask;
        if (decode (world, record_add_ask_type (), envelope->body, &ask) && ask.has_job && ask.has_token)
            asked->job = ask.job, asked->token = ask.token;
    } else if (asked->method == &job_lease_method) {
        job_lease_ask_t ask;
        if (decode (world, job_lease_ask_type (), envelope->body, &ask))
            snprintf (asked->member, sizeof asked->member, "%.*s", YARD_VIEW (ask.member));
    }
    free (yard_table_put (self->asked, envelope->id.data, envelope->id.size, asked));
    if (envelope->id.size == sizeof self->open_number)
        memcpy (&self->open_number, envelope->id.data, sizeof self->open_number);
}

static sim_job_t *job_of (sim_world_t *world, uint64_t id)
{
    if (id >= SIM_JOBS_MAX)
        sim_failed ("job %llu is more than any story has", (unsigned long long) id);
    return &world->checker->jobs [id];
}

static void note_grants (sim_world_t *world, const asked_t *asked, yard_string_t body)
{
    job_lease_answer_t answer;
    if (!decode (world, job_lease_answer_type (), body, &answer))
        sim_failed ("the recorder's answer to job.lease cannot be read");
    for (size_t i = 0; i < answer.grants.count; i++) {
        const job_grant_t *grant = &answer.grants.items [i];
        sim_job_t *job = job_of (world, grant->job.id);
        if (grant->token <= job->token)
            sim_failed ("job %llu was granted to %s with token %llu, and before to %s with token %llu",
                        (unsigned long long) grant->job.id, asked->member, (unsigned long long) grant->token,
                        job->member, (unsigned long long) job->token);
        job->token = grant->token;
        memcpy (job->member, asked->member, sizeof job->member);
    }
}

/*  The recorder has taken a last word. */
static void note_word (sim_world_t *world, const asked_t *asked)
{
    sim_job_t *job = job_of (world, asked->job);
    if (asked->token < job->token && asked->token != job->ended_token) {
        sim_failed ("%s for job %llu with token %llu was taken, after token %llu was granted",
                    asked->method->id, (unsigned long long) asked->job, (unsigned long long) asked->token,
                    (unsigned long long) job->token);
    }
    if (asked->method == &job_finish_method || asked->method == &record_add_method ||
        asked->method == &job_fail_method)
        job->ended_token = asked->token;
}

static void note_answered (sim_world_t *world, const yard_envelope_t *envelope)
{
    sim_checker_t *self = world->checker;
    asked_t *asked = yard_table_take (self->asked, envelope->id.data, envelope->id.size);
    if (!asked)
        return;
    self->answers++;
    if (envelope->letter == 'R' && asked->method == &job_lease_method)
        note_grants (world, asked, envelope->body);
    else if (envelope->letter == 'R' && asked->job)
        note_word (world, asked);
    else if (asked->job)
        self->stale_words++;
    free (asked);
}

/*  --- events */
static uint32_t content_of (const told_t *told)
{
    uint32_t crc = yard_crc32c (0, told->name.data, told->name.size);
    crc = yard_crc32c (crc, told->subject.data, told->subject.size);
    crc = yard_crc32c (crc, told->body.data, told->body.size);
    return crc ? crc : 1;
}

static void note_published (sim_world_t *world, yard_string_t body)
{
    sim_checker_t *self = world->checker;
    event_publish_ask_t ask;
    if (!decode (world, event_publish_ask_type (), body, &ask) || !ask.store.size)
        return; /* of an actor without a store */
    uint64_t before = 0;
    for (size_t i = 0; i < ask.events.count; i++) {
        const told_t *told = &ask.events.items [i];
        if (told->change >= sizeof self->told / sizeof *self->told)
            sim_failed ("change %llu is more than any story has", (unsigned long long) told->change);
        if (before && told->change != before + 1)
            sim_failed ("change %llu is told behind change %llu", (unsigned long long) told->change,
                        (unsigned long long) before);
        before = told->change;
        uint32_t content = content_of (told);
        self->told_twice += self->told [told->change] != 0;
        if (self->told [told->change] && self->told [told->change] != content)
            sim_failed ("change %llu was told twice, and is %.*s/%.*s now: the first was never committed",
                        (unsigned long long) told->change, YARD_VIEW (told->name), YARD_VIEW (told->subject));
        if (told->change > self->last_told + 1)
            sim_failed ("change %llu is told, and the last one before was %llu",
                        (unsigned long long) told->change, (unsigned long long) self->last_told);
        self->told [told->change] = content;
        if (told->change > self->last_told)
            self->last_told = told->change;
    }
}

/*  --- the tap */
static void look_for_lies (sim_world_t *world, sim_slot_t slot, const yard_envelope_t *envelope)
{
    failure_t failure;
    if (envelope->id.size && decode (world, failure_type (), envelope->body, &failure) &&
        yard_string_is (failure.text, SIM_LIE))
        sim_failed ("%s got an answer from a connection that had not got its ask",
                    world->processes [slot].name);
}

void sim_tap (sim_world_t *world, const yard_passed_t *passed)
{
    yard_envelope_t envelope;
    yard_error_t error;
    sim_slot_t slot = sim_slot_of (world, passed->connector);
    if (slot == SIM_NOBODY || yard_envelope_parse (passed->frames, passed->count, &envelope, &error))
        return;
    sim_trace (world, "%s %s %c %.*s", passed->to_connector ? "to" : "from", world->processes [slot].name,
               envelope.letter, YARD_VIEW (envelope.name));
    yard_arena_reset (world->checker->arena);
    if (passed->to_connector && envelope.letter == 'F')
        look_for_lies (world, slot, &envelope);
    if (slot != SIM_RECORDER)
        return;
    if (passed->to_connector && envelope.letter == 'A')
        note_asked (world, &envelope);
    else if (!passed->to_connector && (envelope.letter == 'R' || envelope.letter == 'F'))
        note_answered (world, &envelope);
    else if (!passed->to_connector && envelope.letter == 'A' &&
             yard_string_is (envelope.name, "event.publish"))
        note_published (world, envelope.body);
}
