// SPDX-License-Identifier: Apache-2.0
/*  transfer.c - the states of a download, and the one table that leads from each to the next
 *
 *      opening -> asking -> settling -> proving -> leaving -> (ended)
 *                   ^  |       |  |        |
 *                   |  +-------+  +--> waiting, resetting -> asking
 *
 *  settling = the connection is over, its last bytes are on their way to the disk. Blocking work of a state runs in the offload pool, one piece
 *  at a time; the part belongs to the pool meanwhile, so the loop keeps its own numbers (received, size, validator).
 */
#include "transfer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "backoff.h"
#include "transfer_inside.h"

#define RESTARTS_MAX 3 /* a source that changes faster than that cannot be fetched */
#define LOCKED_AFTER_MS 5000 /* until the other holder has noticed that it is one no more */

/*  --- disk work */
void downloader_transfer_free (downloader_transfer_t *self)
{
    downloader_spool_destroy (&self->spool);
    downloader_part_destroy (&self->part);
    if (self->credential)
        explicit_bzero (self->credential, strlen (self->credential));
    free (self->credential);
    free (self->source);
    free (self->url);
    free (self);
}

static void run_work (void *argument)
{
    downloader_transfer_t *self = argument;
    self->work_code = self->work (self->part, &self->work_error);
}

/*  Notes a failure that ends the transfer. */
downloader_event_t downloader_transfer_give_up (downloader_transfer_t *self, const yard_error_t *error)
{
    self->error = *error;
    self->result.kind = DOWNLOADER_RESULT_FAILED;
    self->result.again = error->code == YARD_DISK_FULL || error->code == YARD_FILE_LOCKED;
    self->result.after_ms = error->code == YARD_DISK_FULL
                                ? yard_actor_configuration (self->actor)->jobs.disk_wait_ms
                            : error->code == YARD_FILE_LOCKED ? LOCKED_AFTER_MS
                                                              : 0;
    return DOWNLOADER_EVENT_END;
}

/*  The numbers of the part as the work left them. */
static void adopt (downloader_transfer_t *self)
{
    self->received = self->checkpoint_bytes = downloader_part_bytes (self->part);
    self->size = downloader_part_size (self->part);
    memcpy (self->validator, downloader_part_validator (self->part), sizeof self->validator);
    if (self->received > self->best)
        self->best = self->received;
}

/*  Once more from zero, if the source has not used up its restarts. */
downloader_event_t downloader_transfer_restart (downloader_transfer_t *self, const yard_error_t *error)
{
    self->error = *error;
    if (++self->restarts > RESTARTS_MAX)
        return downloader_transfer_give_up (self, error);
    yard_log_warning ("download.anew", "job=%llu why=%s", (unsigned long long) self->job,
                      YARD_QUOTED (error->text));
    return DOWNLOADER_EVENT_ANEW;
}

static downloader_event_t work_event (downloader_transfer_t *self)
{
    if (self->work_code == YARD_INTEGRITY && self->state == DOWNLOADER_PROVING && !self->restarts)
        return downloader_transfer_restart (self, &self->work_error);
    if (self->work_code && self->state != DOWNLOADER_LEAVING)
        return downloader_transfer_give_up (self, &self->work_error);
    if (self->state == DOWNLOADER_OPENING || self->state == DOWNLOADER_RESETTING)
        adopt (self);
    if (self->state == DOWNLOADER_PROVING || (self->part && downloader_part_is_there (self->part)))
        return DOWNLOADER_EVENT_THERE;
    if (self->state == DOWNLOADER_OPENING && self->received && self->received == self->size)
        return DOWNLOADER_EVENT_WHOLE;
    return DOWNLOADER_EVENT_DONE;
}

static void on_worked (void *actor_self, void *argument)
{
    (void) actor_self;
    downloader_transfer_t *self = argument;
    self->busy = false;
    if (self->doomed)
        downloader_transfer_free (self);
    else
        downloader_transfer_step (self, work_event (self));
}

void downloader_transfer_start_work (downloader_transfer_t *self, downloader_disk_fn *work)
{
    self->work = work;
    self->busy = true;
    yard_offload (self->actor, run_work, on_worked, self);
}

static int remove_part (downloader_part_t *part, yard_error_t *error)
{
    (void) error;
    downloader_part_remove (part);
    downloader_part_close (part);
    return 0;
}

static int keep_part (downloader_part_t *part, yard_error_t *error)
{
    (void) error;
    if (part) /* NULL: the job could not even be begun */
        downloader_part_close (part);
    return 0;
}

/*  --- actions */
static void act_reset (downloader_transfer_t *self)
{
    downloader_spool_drop (self->spool);
    downloader_transfer_start_work (self, downloader_part_reset);
}

static void act_ask (downloader_transfer_t *self)
{
    /* Bytes of an unnamed version, without a hash to prove the whole: nothing tells the rest of another version from ours. */
    if (self->received && !self->validator [0] && !self->published_sha256 [0]) {
        self->state = DOWNLOADER_RESETTING;
        act_reset (self);
        return;
    }
    downloader_attempt_options_t options = {
        .kind = self->kind,
        .source = self->source,
        .credential = self->credential,
        .asked = { .from = self->received,
                   .size = self->received ? self->size : DOWNLOADER_SIZE_UNKNOWN,
                   .published_size = self->published_size,
                   .validator = self->received ? self->validator : "" },
    };
    self->attempt = downloader_attempt_new (self->actor, self->fetch, &options,
                                            &downloader_transfer_attempt_listener, self);
}

static void act_back_off (downloader_transfer_t *self)
{
    const download_config_t *config = &yard_actor_configuration (self->actor)->download;
    if (++self->failures > config->tries_max) {
        yard_error_t error;
        yard_error (&error, self->error.code,
                    "%s; given up after %llu failures without a new byte (download.tries_max)",
                    self->error.text, (unsigned long long) self->failures);
        downloader_transfer_step (self, downloader_transfer_give_up (self, &error));
        return;
    }
    int64_t wait_ms = downloader_backoff_ms (self->failures, config->backoff_ms, config->backoff_max_ms,
                                             yard_actor_random (self->actor));
    if (wait_ms < self->retry_ms)
        wait_ms = self->retry_ms;
    yard_log_info ("download.retry", "job=%llu bytes=%llu failures=%llu wait_ms=%lld why=%s",
                   (unsigned long long) self->job, (unsigned long long) self->received,
                   (unsigned long long) self->failures, (long long) wait_ms, YARD_QUOTED (self->error.text));
    yard_timer_set (self->timer, wait_ms);
}

static void act_prove (downloader_transfer_t *self)
{
    downloader_transfer_start_work (self, downloader_part_publish);
}

/*  Parts of these are worth nothing to a later try. */
static bool is_worthless (int code)
{
    return code == YARD_INTEGRITY || code == YARD_DISK_FAILED || code == YARD_SOURCE_CHANGED ||
           code == YARD_INVALID_FILE || code == YARD_NOT_FOUND;
}

/*  R3.4: after a final failure nothing stays. What goes on later (again, paused, handed back) keeps what
 *  is proven, unless the failure says that it is worth nothing. A transfer that is to stop has no final
 *  failure: whoever leases the job next meets it, and says so. */
static void act_leave (downloader_transfer_t *self)
{
    bool failed = self->result.kind == DOWNLOADER_RESULT_FAILED;
    bool worthless = failed && is_worthless (self->error.code);
    bool remove = self->stopping ? self->remove || worthless : failed && !self->result.again;
    if (failed && self->stopping)
        self->result.kind = DOWNLOADER_RESULT_STOPPED;
    downloader_transfer_start_work (self, self->part && remove ? remove_part : keep_part);
}

static void act_succeed (downloader_transfer_t *self)
{
    self->result.kind = DOWNLOADER_RESULT_FINISHED;
    act_leave (self);
}

/*  Copies the result out of the part, and closes it. */
static void act_end (downloader_transfer_t *self)
{
    downloader_result_t *result = &self->result;
    if (result->kind == DOWNLOADER_RESULT_FINISHED) {
        result->bytes = downloader_part_bytes (self->part);
        memcpy (result->sha256, downloader_part_sha256 (self->part), sizeof result->sha256);
        if (self->validator [0] == '"') /* an ETag; a date is no name of a version */
            memcpy (result->validator, self->validator, sizeof result->validator);
        result->verified = downloader_part_is_verified (self->part);
        self->received = self->size = result->bytes;
    } else if (result->kind == DOWNLOADER_RESULT_NONE)
        result->kind = DOWNLOADER_RESULT_STOPPED;
    result->url = self->url ? self->url : "";
    result->error = self->error;
    downloader_spool_destroy (&self->spool);
    downloader_part_destroy (&self->part);
    self->ended (self->argument, self);
}

static const struct {
    downloader_state_t state;
    downloader_event_t event;
    downloader_state_t next;
    void (*act) (downloader_transfer_t *self);
} transitions [] = {
    { DOWNLOADER_OPENING, DOWNLOADER_EVENT_DONE, DOWNLOADER_ASKING, act_ask },
    { DOWNLOADER_OPENING, DOWNLOADER_EVENT_WHOLE, DOWNLOADER_PROVING, act_prove },
    { DOWNLOADER_OPENING, DOWNLOADER_EVENT_THERE, DOWNLOADER_LEAVING, act_succeed },
    { DOWNLOADER_OPENING, DOWNLOADER_EVENT_END, DOWNLOADER_LEAVING, act_leave },
    { DOWNLOADER_SETTLING, DOWNLOADER_EVENT_WHOLE, DOWNLOADER_PROVING, act_prove },
    { DOWNLOADER_SETTLING, DOWNLOADER_EVENT_ON, DOWNLOADER_ASKING, act_ask },
    { DOWNLOADER_SETTLING, DOWNLOADER_EVENT_BROKEN, DOWNLOADER_WAITING, act_back_off },
    { DOWNLOADER_SETTLING, DOWNLOADER_EVENT_ANEW, DOWNLOADER_RESETTING, act_reset },
    { DOWNLOADER_SETTLING, DOWNLOADER_EVENT_END, DOWNLOADER_LEAVING, act_leave },
    { DOWNLOADER_WAITING, DOWNLOADER_EVENT_DONE, DOWNLOADER_ASKING, act_ask },
    { DOWNLOADER_WAITING, DOWNLOADER_EVENT_END, DOWNLOADER_LEAVING, act_leave },
    { DOWNLOADER_RESETTING, DOWNLOADER_EVENT_DONE, DOWNLOADER_ASKING, act_ask },
    { DOWNLOADER_RESETTING, DOWNLOADER_EVENT_END, DOWNLOADER_LEAVING, act_leave },
    { DOWNLOADER_PROVING, DOWNLOADER_EVENT_THERE, DOWNLOADER_LEAVING, act_succeed },
    { DOWNLOADER_PROVING, DOWNLOADER_EVENT_ANEW, DOWNLOADER_RESETTING, act_reset },
    { DOWNLOADER_PROVING, DOWNLOADER_EVENT_END, DOWNLOADER_LEAVING, act_leave },
    { DOWNLOADER_LEAVING, DOWNLOADER_EVENT_DONE, DOWNLOADER_STATE_ENDED, act_end },
    { DOWNLOADER_LEAVING, DOWNLOADER_EVENT_THERE, DOWNLOADER_STATE_ENDED, act_end },
};

void downloader_transfer_step (downloader_transfer_t *self, downloader_event_t event)
{
    if (self->stopping && self->state != DOWNLOADER_LEAVING && event != DOWNLOADER_EVENT_THERE)
        event = DOWNLOADER_EVENT_END;
    for (size_t i = 0; i < sizeof transitions / sizeof transitions [0]; i++)
        if (transitions [i].state == self->state && transitions [i].event == event) {
            self->state = transitions [i].next;
            transitions [i].act (self);
            return;
        }
    assert (0 && "every event of a state has its row");
}

void downloader_transfer_on_timer (void *actor_self, void *argument)
{
    (void) actor_self;
    downloader_transfer_t *self = argument;
    if (self->state == DOWNLOADER_WAITING) {
        downloader_transfer_step (self, DOWNLOADER_EVENT_DONE);
        return;
    }
    downloader_transfer_tick (self);
}
