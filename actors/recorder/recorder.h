// SPDX-License-Identifier: Apache-2.0
/*  recorder.h - the actor's struct and what its files tell each other
 *
 *  Three layers: store.h (the database), book.h with records.h and jobs.h (what is true, without a bus), and here (who asked). A handler enters
 *  the book, has the effect, leaves, answers; the end of the turn grants, ends waits, commits and tells.
 */
#ifndef YARD_RECORDER_RECORDER_H
#define YARD_RECORDER_RECORDER_H

#include "actors/runtime/actor.h"
#include "book.h"
#include "secrets.h"

typedef struct recorder_asker_t recorder_asker_t; /* a kept job.lease */
typedef struct recorder_wait_t recorder_wait_t; /* a kept job.wait */
typedef struct recorder_submit_t recorder_submit_t; /* a job.submit whose token is being written */

typedef struct recorder_t {
    yard_actor_t *actor;
    int lock; /* of the home; -1 for none */
    recorder_book_t book;
    recorder_secrets_t *secrets;
    recorder_asker_t *first_asker, *last_asker; /* in order of arrival */
    recorder_wait_t *waits;
    yard_timer_t *tick; /* armed while there are leases, delays, or events to tell again */
    int64_t tick_due_ms; /* 0: unarmed */
    size_t handled; /* asks since the last tick */
    int64_t judge_after_ms; /* a commit failed: terms and delays are not judged before */
    bool suspect; /* a term is over: judged when the mailbox is empty */
    bool publishing; /* an event.publish is under way, up to publishing_to */
    uint64_t publishing_to;
    int64_t publish_after_ms; /* the broker did not take it: not before */
    bool checked; /* the file's check was started */
    bool read_only;
} recorder_t;

/*  Around every effect. enter: 0 go on; 1 the request is answered already, as its once key says; else a failure, in the request's error.
 *  leave: keeps or undoes the effect, answers if code is 0, and gives what the handler returns. */
int recorder_enter (recorder_t *self, yard_request_t *request);
int recorder_leave (recorder_t *self, yard_request_t *request, int code, const void *answer);
void recorder_set_time (recorder_t *self);

/*  The body of a handler whose effect takes the ask and gives the answer: one shape, so that none forgets to enter or to leave. */
#define EFFECT(name, answer_t, effect) \
    int recorder_on_##name (recorder_t *self, yard_request_t *request, const name##_ask_t *ask) \
    { \
        answer_t answer = { 0 }; \
        int code = recorder_enter (self, request); \
        if (code) \
            return code < 0 ? code : 0; \
        code = effect; \
        return recorder_leave (self, request, code, &answer); \
    }

/*  on_record.c */
int recorder_on_record_add (recorder_t *self, yard_request_t *request, const record_add_ask_t *ask);
int recorder_on_record_get (recorder_t *self, yard_request_t *request, const record_get_ask_t *ask);
int recorder_on_record_exists (recorder_t *self, yard_request_t *request, const record_exists_ask_t *ask);
int recorder_on_record_search (recorder_t *self, yard_request_t *request, const record_search_ask_t *ask);
int recorder_on_record_update (recorder_t *self, yard_request_t *request, const record_update_ask_t *ask);
int recorder_on_record_delete (recorder_t *self, yard_request_t *request, const record_delete_ask_t *ask);

/*  on_job.c */
int recorder_on_job_expand (recorder_t *self, yard_request_t *request, const job_expand_ask_t *ask);
int recorder_on_job_finish (recorder_t *self, yard_request_t *request, const job_finish_ask_t *ask);
int recorder_on_job_fail (recorder_t *self, yard_request_t *request, const job_fail_ask_t *ask);
int recorder_on_job_release (recorder_t *self, yard_request_t *request, const job_release_ask_t *ask);
int recorder_on_job_get (recorder_t *self, yard_request_t *request, const job_get_ask_t *ask);
int recorder_on_job_list (recorder_t *self, yard_request_t *request, const job_list_ask_t *ask);
int recorder_on_job_cancel (recorder_t *self, yard_request_t *request, const job_cancel_ask_t *ask);
int recorder_on_job_pause (recorder_t *self, yard_request_t *request, const job_pause_ask_t *ask);
int recorder_on_job_start (recorder_t *self, yard_request_t *request, const job_start_ask_t *ask);
int recorder_on_job_prune (recorder_t *self, yard_request_t *request, const job_prune_ask_t *ask);

/*  on_submit.c */
int recorder_on_job_submit (recorder_t *self, yard_request_t *request, const job_submit_ask_t *ask);
void recorder_remove_secrets (recorder_t *self); /* those of jobs that ended in this turn */

/*  on_lease.c */
int recorder_on_job_lease (recorder_t *self, yard_request_t *request, const job_lease_ask_t *ask);
int recorder_on_job_extend (recorder_t *self, yard_request_t *request, const job_extend_ask_t *ask);
void recorder_grant_all (recorder_t *self); /* work to those who wait for it, in order of arrival */
void recorder_on_tick (void *self, void *argument);
void recorder_arm_tick (recorder_t *self);
void recorder_forget_askers (recorder_t *self);

/*  on_wait.c */
int recorder_on_job_wait (recorder_t *self, yard_request_t *request, const job_wait_ask_t *ask);
void recorder_end_waits (recorder_t *self); /* those whose last job ended in this turn */
void recorder_count_waits (recorder_t *self); /* anew, after a turn was rolled back */
void recorder_forget_waits (recorder_t *self);

/*  on_event.c */
int recorder_on_event_history (recorder_t *self, yard_request_t *request, const event_history_ask_t *ask);
void recorder_publish (recorder_t *self);
void recorder_tell_progress (recorder_t *self, const uint64_t *jobs, size_t count);

/*  check.c */
void recorder_check (recorder_t *self);

#endif
