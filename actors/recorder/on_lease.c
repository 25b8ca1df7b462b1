// SPDX-License-Identifier: Apache-2.0
/*  on_lease.c - members ask for work, keep it, and lose it
 *
 *  A job.lease is kept until there is work. Grants are made at the end of the turn, in order of arrival, so that one commit carries all of
 *  them. Terms are judged on a tick, and only when a turn found the mailbox nearly empty: a member whose extend lies unread is not late.
 */
#include "jobs.h"
#include "recorder.h"

#define TICK_MS 500 /* a term is 1 s at least (config.def) */
#define LATE_MS 1000 /* ARCHITECTURE 5: a turn this late gives every lease a full new term */
#define QUIET_ASKS \
    32 /* half of a mailbox turn (64): fewer asks than this, and the mailbox was read to its end */

struct recorder_asker_t {
    recorder_asker_t *next, *previous;
    yard_request_t *request;
    const job_lease_ask_t *ask; /* the request's */
};

/*  --- who waits for work */
static void forget (recorder_t *self, recorder_asker_t *asker)
{
    *(asker->previous ? &asker->previous->next : &self->first_asker) = asker->next;
    *(asker->next ? &asker->next->previous : &self->last_asker) = asker->previous;
    free (asker);
}

void recorder_forget_askers (recorder_t *self)
{
    while (self->first_asker)
        forget (self, self->first_asker); /* NOLINT(clang-analyzer-unix.Malloc): forget moves it on */
}

static void asker_ended (void *self, yard_request_t *request, void *argument, int code)
{
    (void) request;
    (void) code;
    forget (self, argument);
}

static void remember (recorder_t *self, yard_request_t *request, const job_lease_ask_t *ask)
{
    recorder_asker_t *asker = calloc (1, sizeof *asker);
    if (!asker)
        abort ();
    asker->request = request;
    asker->ask = ask;
    asker->previous = self->last_asker;
    *(self->last_asker ? &self->last_asker->next : &self->first_asker) = asker;
    self->last_asker = asker;
    self->book.work = true; /* something may have waited for just this member */
    yard_request_keep (request, asker_ended, asker);
}

int recorder_on_job_lease (recorder_t *self, yard_request_t *request, const job_lease_ask_t *ask)
{
    recorder_set_time (self);
    self->handled++;
    yard_error_t *error = yard_request_error (request);
    int code = recorder_book_enter (&self->book, error);
    if (code)
        return code;
    code = recorder_job_reconcile (&self->book, ask, error);
    code = recorder_book_leave (&self->book, code, error);
    if (code == 0)
        remember (self, request, ask);
    return code;
}

/*  --- grants */
static void fill_in_secrets (const recorder_t *self, job_lease_answer_t *answer, const yard_string_t *names)
{
    for (size_t i = 0; i < answer->grants.count; i++) {
        job_grant_t *grant = &answer->grants.items [i];
        grant->access_token = recorder_secrets_get (self->secrets, names [i]);
        grant->has_access_token = grant->access_token.size > 0;
    }
}

static void grant (recorder_t *self, recorder_asker_t *asker)
{
    job_lease_answer_t answer = { 0 };
    yard_string_t *names = NULL;
    yard_error_t error;
    int code = recorder_book_enter (&self->book, &error);
    if (code == 0) {
        code = recorder_job_grant (&self->book, asker->ask, &answer, &names, &error);
        code = recorder_book_leave (&self->book, code, &error);
    }
    if (code == 0 && answer.grants.count == 0)
        return;
    yard_request_t *request = asker->request;
    yard_request_keep (request, NULL, NULL);
    forget (self, asker);
    if (code) {
        yard_refuse_error (request, &error);
        return;
    }
    fill_in_secrets (self, &answer, names);
    yard_reply (request, &answer);
}

void recorder_grant_all (recorder_t *self)
{
    if (!self->book.work || self->read_only)
        return;
    self->book.work = false;
    for (recorder_asker_t *asker = self->first_asker, *next; asker; asker = next) {
        next = asker->next;
        grant (self, asker);
    }
}

/*  --- extends */
int recorder_on_job_extend (recorder_t *self, yard_request_t *request, const job_extend_ask_t *ask)
{
    job_extend_answer_t answer;
    size_t moved_count = 0;
    uint64_t *moved = yard_arena_alloc (yard_request_arena (request), ask->leases.count * sizeof *moved);
    recorder_set_time (self);
    self->handled++;
    yard_error_t *error = yard_request_error (request);
    int code = moved ? recorder_book_enter (&self->book, error) : YARD_TOO_LARGE;
    if (code)
        return code;
    code = recorder_job_extend (&self->book, ask, &answer, moved, &moved_count, error);
    code = recorder_book_leave (&self->book, code, error);
    if (code)
        return code;
    recorder_tell_progress (self, moved, moved_count);
    return yard_reply (request, &answer);
}

/*  --- terms */
static void expire (recorder_t *self)
{
    yard_error_t error;
    int code = recorder_book_enter (&self->book, &error);
    if (code == 0) {
        code = recorder_jobs_expire (&self->book, &error);
        code = recorder_book_leave (&self->book, code, &error);
    }
    if (code)
        yard_log_error ("lease.expiry_failed", "text=%s", YARD_QUOTED (error.text));
}

/*  A term that is over makes us suspicious; the next tick, a whole turn later, judges, if that turn was quiet. */
void recorder_on_tick (void *argument, void *unused)
{
    (void) unused;
    recorder_t *self = argument;
    recorder_set_time (self);
    bool late = self->book.now_ms > self->tick_due_ms + LATE_MS;
    self->tick_due_ms = 0;
    if (late) {
        recorder_leases_extend_all (self->book.leases, self->book.now_ms);
        yard_log_warning ("leases.renewed", "leases=%zu reason=%s", recorder_leases_count (self->book.leases),
                          YARD_QUOTED ("the loop stood still"));
    }
    bool due = recorder_jobs_due (&self->book) && !self->read_only;
    if (due && self->suspect && self->handled < QUIET_ASKS) {
        expire (self);
        due = false;
    }
    self->suspect = due;
    self->handled = 0;
    recorder_arm_tick (self);
}

void recorder_arm_tick (recorder_t *self)
{
    int64_t now_ms = self->book.now_ms, delay_ms = INT64_MAX;
    if (recorder_leases_count (self->book.leases))
        delay_ms = TICK_MS;
    int64_t due_ms = recorder_leases_next_due (self->book.leases);
    if (due_ms != INT64_MAX && due_ms - now_ms < delay_ms)
        delay_ms = due_ms - now_ms;
    bool untold = self->book.published < self->book.change && !self->publishing;
    if (untold && self->publish_after_ms - now_ms < delay_ms)
        delay_ms = self->publish_after_ms - now_ms;
    if (self->suspect || delay_ms < 0)
        delay_ms = 0; /* the next turn */
    if (delay_ms < self->judge_after_ms - now_ms)
        delay_ms = self->judge_after_ms - now_ms;
    bool sooner = delay_ms != INT64_MAX && now_ms + delay_ms < self->tick_due_ms;
    if (delay_ms == INT64_MAX || (self->tick_due_ms && !sooner))
        return;
    self->tick_due_ms = now_ms + delay_ms;
    yard_timer_set (self->tick, delay_ms);
}
