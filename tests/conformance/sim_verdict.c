// SPDX-License-Identifier: Apache-2.0
/*  sim_verdict.c - the end: what was acknowledged against what the yard says of itself
 */
#include "sim_checker.h"

#include "actors/ground/digest.h"

static bool has_ended (job_status_t status)
{
    return status == job_status_completed || status == job_status_error || status == job_status_cancelled;
}

static const job_t *find_job (const sim_findings_t *findings, uint64_t id)
{
    for (size_t i = 0; i < findings->job_count; i++)
        if (findings->jobs [i].id == id)
            return &findings->jobs [i];
    return NULL;
}

static const model_record_t *find_record (const sim_findings_t *findings, yard_string_t key)
{
    for (size_t i = 0; i < findings->record_count; i++)
        if (yard_string_equal (findings->records [i].config.key, key))
            return &findings->records [i];
    return NULL;
}

static size_t count_events (const sim_findings_t *findings, const char *name, yard_string_t subject)
{
    size_t count = 0;
    for (size_t i = 0; i < findings->event_count; i++)
        count += yard_string_is (findings->events [i].name, name) &&
                 yard_string_equal (findings->events [i].subject, subject);
    return count;
}

/*  --- jobs ---------------------------------------------------------------------------------------------- */
static void check_acked (const sim_findings_t *findings, const sim_job_t *acked)
{
    const job_t *job = find_job (findings, acked->id);
    unsigned long long id = acked->id;
    if (!job)
        sim_failed ("job %llu was acknowledged, and is no more", id);
    if (!yard_string_is (job->key, acked->key))
        sim_failed ("job %llu was acknowledged with key %s, and has %.*s", id, acked->key,
                    YARD_VIEW (job->key));
    if (acked->cancelled && job->status != job_status_cancelled)
        sim_failed ("the cancellation of job %llu was acknowledged, and it is %s", id,
                    yard_wire_word (job_status_type (), (int) job->status));
    const model_record_t *record = find_record (findings, job->key);
    if (acked->deleted && record)
        sim_failed ("the deletion of %s was acknowledged, and its record is there", acked->key);
    if (job->status != job_status_completed && record)
        sim_failed ("job %llu is %s, and its model is recorded", id,
                    yard_wire_word (job_status_type (), (int) job->status));
    uint64_t value = record && record->config.description.size < 20
                         ? strtoull (record->config.description.data, NULL, 10)
                         : 0;
    if (record && value < acked->updated)
        sim_failed ("change %llu of the record %s was acknowledged, and it has %llu",
                    (unsigned long long) acked->updated, acked->key, (unsigned long long) value);
}

/*  A job has its effect once. */
static void check_job (const sim_findings_t *findings, const job_t *job)
{
    char subject [24];
    snprintf (subject, sizeof subject, "%llu", (unsigned long long) job->id);
    bool install = job->kind == job_kind_install, completed = job->status == job_status_completed;
    if (!has_ended (job->status))
        sim_failed ("job %s lives at the end", subject);
    size_t told = count_events (findings, install ? "model_install_completed" : "download_completed",
                                yard_string (subject));
    if (told != (completed ? 1 : 0))
        sim_failed ("job %s is %s, and its completion was told %zu times", subject,
                    yard_wire_word (job_status_type (), (int) job->status), told);
    if (!install)
        return;
    size_t added = count_events (findings, "model_record_added", job->key);
    size_t deleted = count_events (findings, "model_record_deleted", job->key);
    if (added != (completed ? 1 : 0) || deleted > added)
        sim_failed ("job %s is %s, and its model was recorded %zu times and deleted %zu times", subject,
                    yard_wire_word (job_status_type (), (int) job->status), added, deleted);
    if ((find_record (findings, job->key) != NULL) != (added > deleted))
        sim_failed ("the model of job %s was recorded %zu times and deleted %zu times, and is %s", subject,
                    added, deleted, find_record (findings, job->key) ? "there" : "not there");
}

/*  --- events -------------------------------------------------------------------------------------------- */
static void check_events (sim_world_t *world)
{
    const sim_findings_t *findings = sim_findings (world);
    const sim_checker_t *checker = world->checker;
    for (size_t i = 0; i < findings->event_count; i++) {
        const told_t *told = &findings->events [i];
        if (told->change != i + 1)
            sim_failed ("the history has change %llu in the place of %zu", (unsigned long long) told->change,
                        i + 1);
        uint32_t crc = yard_crc32c (0, told->name.data, told->name.size);
        crc = yard_crc32c (crc, told->subject.data, told->subject.size);
        crc = yard_crc32c (crc, told->body.data, told->body.size);
        if (checker->told [told->change] != (crc ? crc : 1))
            sim_failed ("change %llu is %.*s/%.*s in the history, and %s", (unsigned long long) told->change,
                        YARD_VIEW (told->name), YARD_VIEW (told->subject),
                        checker->told [told->change] ? "was told as another" : "was never told");
    }
    if (checker->last_told > findings->event_count)
        sim_failed ("change %llu was told, and the history ends at %zu",
                    (unsigned long long) checker->last_told, findings->event_count);
    const sim_hearing_t *hearing = sim_last_hearing (world);
    uint64_t knows = hearing && hearing->snapshot_known && hearing->snapshot > hearing->last
                         ? hearing->snapshot
                     : hearing ? hearing->last
                               : 0;
    if (knows && knows != findings->event_count)
        sim_failed ("the follower knows changes up to %llu, and the history ends at %zu",
                    (unsigned long long) knows, findings->event_count);
}

void sim_check_findings (sim_world_t *world)
{
    const sim_findings_t *findings = sim_findings (world);
    for (size_t i = 0; i < world->checker->acked_count; i++)
        check_acked (findings, &world->checker->jobs [world->checker->acked [i]]);
    for (size_t i = 0; i < findings->job_count; i++)
        check_job (findings, &findings->jobs [i]);
    for (size_t i = 0; i < findings->record_count; i++)
        for (size_t other = 0; other < i; other++)
            if (yard_string_equal (findings->records [i].config.path, findings->records [other].config.path))
                sim_failed ("two records have the path %.*s", YARD_VIEW (findings->records [i].config.path));
    check_events (world);
}

/*  --- nobody waits -------------------------------------------------------------------------------------- */
/*  What stays open in a yard at rest: one job.lease of each member, at the recorder. */
const char *sim_asks_too_many (const sim_world_t *world)
{
    static const struct {
        sim_slot_t slot;
        size_t asks, requests;
    } rows [] = {
        { SIM_RECORDER, 0, 3 },       { SIM_INSTALLER, 1, 0 }, { SIM_DOWNLOADER, 1, 0 },
        { SIM_DOWNLOADER_TWO, 1, 0 }, { SIM_PROBER, 0, 0 },    { SIM_LOADER, 0, 0 },
        { SIM_FOLLOWER, 0, 0 },       { SIM_JUDGE, 0, 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const sim_process_t *process = &world->processes [rows [i].slot];
        size_t asks = yard_table_count (process->actor->asks),
               requests = yard_table_count (process->actor->requests);
        if (asks != rows [i].asks || requests != rows [i].requests)
            return yard_arena_printf (
                world->checker->arena,
                "at rest %s has %zu open asks and %zu open requests (%zu and %zu are due)", process->name,
                asks, requests, rows [i].asks, rows [i].requests);
    }
    return NULL;
}
