// SPDX-License-Identifier: Apache-2.0
/*  lease.c - from the grant to the last word
 */
#include "lease.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "backoff.h"
#include "url.h"

#define REPEAT_BASE_MS 100 /* a recorder that restarts is back in well under a second */
#define REPEAT_MAX_MS 5000 /* and one that does not should not be hammered */

struct downloader_lease_t {
    yard_actor_t *actor;
    downloader_lease_fn *over;
    void *argument;
    uint64_t job, token;
    char *path, *source; /* source: without query, for logs */
    downloader_transfer_t *transfer;
    yard_timer_t *repeat; /* of the last word */
    uint64_t asked; /* number of the last word's ask; 0 = none open */
    uint64_t failures;
    bool revoked, released;
};

static void on_told (void *actor_self, void *argument, const yard_outcome_t *outcome);

static yard_string_t cut (const char *text, size_t size_max)
{
    yard_string_t view = yard_string (text);
    if (view.size > size_max)
        view.size = size_max;
    return view;
}

static uint64_t tell_finish (downloader_lease_t *self, const downloader_result_t *result)
{
    job_finish_ask_t ask;
    yard_wire_init (job_finish_ask_type (), &ask);
    ask.job = self->job;
    ask.token = self->token;
    ask.has_download_result = true;
    yard_wire_init (download_result_type (), &ask.download_result);
    ask.download_result.path = yard_string (self->path);
    ask.download_result.bytes = result->bytes;
    ask.download_result.sha256 = yard_string (result->sha256);
    ask.download_result.verified = result->verified;
    ask.download_result.validator = yard_string (result->validator);
    ask.download_result.url = yard_string (result->url);
    return yard_ask (self->actor, &job_finish_method, &ask, NULL, on_told, self);
}

static uint64_t tell_fail (downloader_lease_t *self, const downloader_result_t *result)
{
    job_fail_ask_t ask;
    yard_wire_init (job_fail_ask_type (), &ask);
    ask.job = self->job;
    ask.token = self->token;
    ask.error_type = yard_string (yard_error_row (result->error.code)->word);
    ask.error = cut (result->error.text, 4096);
    ask.again = result->again;
    ask.after_ms = result->after_ms;
    return yard_ask (self->actor, &job_fail_method, &ask, NULL, on_told, self);
}

static uint64_t tell_release (downloader_lease_t *self)
{
    job_release_ask_t ask;
    yard_wire_init (job_release_ask_type (), &ask);
    ask.job = self->job;
    ask.token = self->token;
    return yard_ask (self->actor, &job_release_method, &ask, NULL, on_told, self);
}

static void tell (downloader_lease_t *self)
{
    const downloader_result_t *result = downloader_transfer_result (self->transfer);
    if (result->kind == DOWNLOADER_RESULT_FINISHED)
        self->asked = tell_finish (self, result);
    else if (self->revoked)
        self->over (self->argument, self);
    else if (result->kind == DOWNLOADER_RESULT_FAILED)
        self->asked = tell_fail (self, result);
    else
        self->asked = tell_release (self);
}

/*  Of these the outcome is unknown, or it was certainly not done: say it again. */
static const int repeatable [] = {
    YARD_GONE, YARD_TIMEOUT,      YARD_HELLO_FIRST, YARD_NOT_SERVED,
    YARD_BUSY, YARD_STORE_FAILED, YARD_UNREACHABLE,
};

static void on_told (void *actor_self, void *argument, const yard_outcome_t *outcome)
{
    (void) actor_self;
    downloader_lease_t *self = argument;
    self->asked = 0;
    for (size_t i = 0; i < sizeof repeatable / sizeof repeatable [0]; i++)
        if (outcome->code == repeatable [i]) {
            int64_t wait_ms = downloader_backoff_ms (++self->failures, REPEAT_BASE_MS, REPEAT_MAX_MS,
                                                     yard_actor_random (self->actor));
            yard_timer_set (self->repeat, wait_ms);
            return;
        }
    if (outcome->code) /* stale_token, too_late, unknown_job: the job is no longer ours to speak of */
        yard_log_warning ("download.word_refused", "job=%llu token=%llu code=%s text=%s",
                          (unsigned long long) self->job, (unsigned long long) self->token,
                          yard_error_row (outcome->code)->word,
                          YARD_QUOTED (outcome->text ? outcome->text : ""));
    self->over (self->argument, self);
}

static void on_repeat (void *actor_self, void *argument)
{
    (void) actor_self;
    tell (argument);
}

static void on_transfer_ended (void *argument, downloader_transfer_t *transfer)
{
    static const char *const words [] = {
        [DOWNLOADER_RESULT_NONE] = "none",
        [DOWNLOADER_RESULT_FINISHED] = "finished",
        [DOWNLOADER_RESULT_FAILED] = "failed",
        [DOWNLOADER_RESULT_STOPPED] = "stopped",
    };
    downloader_lease_t *self = argument;
    const downloader_result_t *result = downloader_transfer_result (transfer);
    bool failed = result->kind == DOWNLOADER_RESULT_FAILED;
    yard_log_info ("download.ended", "job=%llu result=%s bytes=%llu error_type=%s error=%s",
                   (unsigned long long) self->job, words [result->kind],
                   (unsigned long long) downloader_transfer_bytes (transfer),
                   failed ? yard_error_row (result->error.code)->word : "-",
                   YARD_QUOTED (failed ? result->error.text : "-"));
    tell (self);
}

static char *text_of (yard_string_t view)
{
    char *text = strndup (view.data ? view.data : "", view.size);
    assert (text);
    return text;
}

downloader_lease_t *downloader_lease_new (yard_actor_t *actor, downloader_fetch_t *fetch,
                                          const job_grant_t *grant, downloader_lease_fn *over, void *argument)
{
    downloader_lease_t *self = calloc (1, sizeof *self);
    assert (self);
    self->actor = actor;
    self->over = over;
    self->argument = argument;
    self->job = grant->job.id;
    self->token = grant->token;
    self->path = text_of (grant->job.download.path);
    char *source = text_of (grant->job.download.source);
    self->source = downloader_url_public (source);
    free (source);
    self->repeat = yard_timer_new (actor, on_repeat, self);
    yard_log_info ("download.started", "job=%llu token=%llu source=%s path=%s",
                   (unsigned long long) self->job, (unsigned long long) self->token,
                   YARD_QUOTED (self->source), YARD_QUOTED (self->path));
    self->transfer = downloader_transfer_new (actor, fetch, grant, on_transfer_ended, self);
    return self;
}

void downloader_lease_destroy (downloader_lease_t **self_p)
{
    downloader_lease_t *self = *self_p;
    if (!self)
        return;
    downloader_transfer_destroy (&self->transfer);
    yard_timer_destroy (&self->repeat);
    free (self->path);
    free (self->source);
    free (self);
    *self_p = NULL;
}

void downloader_lease_revoke (downloader_lease_t *self, yard_string_t why)
{
    yard_log_info ("download.revoked", "job=%llu why=%.*s", (unsigned long long) self->job, YARD_VIEW (why));
    self->revoked = true;
    downloader_transfer_stop (self->transfer, yard_string_is (why, "cancelled"));
}

void downloader_lease_release (downloader_lease_t *self)
{
    if (!self->released && !self->revoked)
        downloader_transfer_stop (self->transfer, false);
    self->released = true;
}

uint64_t downloader_lease_job (const downloader_lease_t *self)
{
    return self->job;
}

uint64_t downloader_lease_token (const downloader_lease_t *self)
{
    return self->token;
}

uint64_t downloader_lease_bytes (const downloader_lease_t *self)
{
    return downloader_transfer_bytes (self->transfer);
}

bool downloader_lease_progress (const downloader_lease_t *self, job_progress_t *ret)
{
    if (self->revoked || downloader_transfer_result (self->transfer)->kind != DOWNLOADER_RESULT_NONE)
        return false;
    yard_wire_init (job_progress_type (), ret);
    ret->job = self->job;
    ret->token = self->token;
    ret->bytes = downloader_transfer_bytes (self->transfer);
    ret->total_bytes = downloader_transfer_size (self->transfer);
    ret->note = yard_string (downloader_transfer_state (self->transfer));
    return true;
}
