// SPDX-License-Identifier: Apache-2.0
/*  on_event.c - committed events to the broker, one ask at a time, so that they arrive in order; progress beside them
 */
#include "events.h"
#include "recorder.h"
#include <inttypes.h>

#define RETRY_MS 250 /* the broker is away or full: a new welcome brings it forward */

int recorder_on_event_history (recorder_t *self, yard_request_t *request, const event_history_ask_t *ask)
{
    event_history_answer_t answer;
    int code = recorder_events_history (&self->book, ask, &answer, yard_request_error (request));
    return code ? code : yard_reply (request, &answer);
}

/*  The turn of this answer settles, and so sends what has come since. */
static void published (void *argument, void *unused, const yard_outcome_t *outcome)
{
    (void) unused;
    recorder_t *self = argument;
    recorder_set_time (self);
    self->publishing = false;
    if (outcome->code == 0) {
        self->book.published = self->publishing_to;
        self->publish_after_ms = 0;
        return;
    }
    self->publish_after_ms = self->book.now_ms + RETRY_MS;
    yard_log (outcome->code == YARD_GONE ? YARD_LOG_DEBUG : YARD_LOG_WARNING, "events.unpublished",
              "code=%s text=%s", yard_error_row (outcome->code)->word,
              YARD_QUOTED (outcome->text ? outcome->text : ""));
}

void recorder_publish (recorder_t *self)
{
    if (self->publishing || self->book.published >= self->book.change ||
        self->book.now_ms < self->publish_after_ms)
        return;
    event_publish_ask_t ask;
    yard_error_t error;
    if (recorder_events_pending (&self->book, &ask, &error)) {
        yard_log_error ("events.unreadable", "text=%s", YARD_QUOTED (error.text));
        self->publish_after_ms = self->book.now_ms + RETRY_MS;
        return;
    }
    if (ask.events.count == 0) {
        self->book.published = self->book.change; /* nothing is left to tell of them */
        return;
    }
    self->publishing = true;
    self->publishing_to = ask.events.items [ask.events.count - 1].change;
    yard_ask (self->actor, &event_publish_method, &ask, NULL, published, NULL);
}

static void tell_parent (recorder_t *self, uint64_t parent)
{
    job_t job;
    install_progress_t body;
    yard_error_t error;
    char subject [24];
    snprintf (subject, sizeof subject, "%" PRIu64, parent);
    if (recorder_job_get (&self->book, parent, &job, &error) == 0 && job.status == job_status_downloading &&
        recorder_events_install (&self->book, &job, &body, &error) == 0)
        yard_publish (self->actor, &model_install_downloading_event, subject, &body);
}

static bool told_already (const uint64_t *parents, size_t count, uint64_t parent)
{
    for (size_t i = 0; i < count; i++)
        if (parents [i] == parent)
            return true;
    return false;
}

/*  Progress is told once and kept nowhere: the next report tells more. */
void recorder_tell_progress (recorder_t *self, const uint64_t *jobs, size_t count)
{
    uint64_t *parents = yard_arena_alloc (self->book.arena, count * sizeof *parents + 1);
    size_t parent_count = 0;
    for (size_t i = 0; i < count; i++) {
        job_t job;
        yard_error_t error;
        if (recorder_job_get (&self->book, jobs [i], &job, &error) || job.kind != job_kind_download)
            continue;
        download_told_t body;
        char subject [24];
        snprintf (subject, sizeof subject, "%" PRIu64, job.id);
        recorder_events_download (&self->book, &job, &body);
        yard_publish (self->actor, &download_running_event, subject, &body);
        if (job.has_parent && !told_already (parents, parent_count, job.parent))
            parents [parent_count++] = job.parent;
    }
    for (size_t i = 0; i < parent_count; i++)
        tell_parent (self, parents [i]);
}
