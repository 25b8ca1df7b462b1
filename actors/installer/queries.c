// SPDX-License-Identifier: Apache-2.0
/*  queries.c - install.get, .list, .wait and .cancel: the recorder's jobs, told as installs
 */
#include "installer.h"

void installer_describe (const job_t *job, install_job_t *ret)
{
    yard_wire_init (install_job_type (), ret);
    ret->id = job->id;
    ret->status = job->status;
    ret->held = job->held;
    ret->has_config_in = job->install.has_config;
    ret->config_in = job->install.config;
    ret->has_config_out = job->has_config_out && job->status == job_status_completed;
    ret->config_out = job->config_out;
    ret->inplace = job->install.inplace;
    ret->source = job->install.source;
    ret->local_path = job->install.local ? job->install.source : job->local_path;
    ret->key = job->key;
    ret->bytes = job->bytes;
    ret->total_bytes = job->total_bytes;
    ret->step = job->step;
    ret->error_type = job->error_type;
    ret->error = job->error;
    ret->waiting = job->status == job_status_waiting;
    ret->downloading = job->status == job_status_downloading;
    ret->running = job->status == job_status_running;
    ret->complete = job->status == job_status_completed;
    ret->errored = job->status == job_status_error;
    ret->cancelled = job->status == job_status_cancelled;
    ret->in_terminal_state = ret->complete || ret->errored || ret->cancelled;
    ret->change = job->change;
}

/*  A request that waits for one ask of ours. */
typedef struct {
    yard_request_t *request; /* NULL: ended meanwhile */
    installer_t *owner;
    uint64_t asked;
} passed_t;

static void on_ended (void *self, yard_request_t *request, void *argument, int code)
{
    (void) self, (void) request, (void) code;
    passed_t *passed = argument;
    passed->request = NULL;
    yard_withdraw (passed->owner->actor, passed->asked);
}

static void reply_one (passed_t *passed, const void *answer)
{
    install_job_t job;
    installer_describe (answer, &job);
    if (((const job_t *) answer)->kind != job_kind_install)
        yard_refuse (passed->request, YARD_UNKNOWN_JOB, "job %lu is no install; ask job.get",
                     (unsigned long) job.id);
    else
        yard_reply (passed->request, &job);
}

static void reply_list (passed_t *passed, const void *answer)
{
    const job_list_answer_t *list = answer;
    install_list_answer_t reply = { .more = list->more };
    yard_arena_t *arena = yard_request_arena (passed->request);
    reply.jobs.items = yard_arena_alloc (arena, (list->jobs.count + 1) * sizeof *reply.jobs.items);
    for (size_t i = 0; i < list->jobs.count; i++)
        if (list->jobs.items [i].kind == job_kind_install)
            installer_describe (&list->jobs.items [i], &reply.jobs.items [reply.jobs.count++]);
    yard_reply (passed->request, &reply);
}

static void on_answered (passed_t *passed, const yard_outcome_t *outcome,
                         void (*reply) (passed_t *passed, const void *answer))
{
    if (passed->request && outcome->code)
        yard_refuse (passed->request, outcome->code, "%s", outcome->text);
    else if (passed->request)
        reply (passed, outcome->answer);
    free (passed);
}

static void on_one (void *self, void *argument, const yard_outcome_t *outcome)
{
    (void) self;
    on_answered (argument, outcome, reply_one);
}

static void on_list (void *self, void *argument, const yard_outcome_t *outcome)
{
    (void) self;
    on_answered (argument, outcome, reply_list);
}

static void on_cancelled (void *self, void *argument, const yard_outcome_t *outcome)
{
    on_answered (argument, outcome, reply_one);
    installer_sweep_staging (self);
}

static int pass (installer_t *self, yard_request_t *request, const yard_method_t *method, const void *ask,
                 yard_answered_fn *answered)
{
    passed_t *passed = calloc (1, sizeof *passed);
    passed->request = request;
    passed->owner = self;
    yard_request_keep (request, on_ended, passed);
    const meta_t *meta = yard_request_meta (request);
    yard_ask_options_t options = { .once = meta->has_once
                                               ? yard_arena_text (yard_request_arena (request), meta->once)
                                               : NULL };
    passed->asked = yard_ask (self->actor, method, ask, &options, answered, passed);
    return 0;
}

int installer_on_get (installer_t *self, yard_request_t *request, const install_get_ask_t *ask)
{
    return pass (self, request, &job_get_method, ask, on_one);
}

int installer_on_cancel (installer_t *self, yard_request_t *request, const install_cancel_ask_t *ask)
{
    return pass (self, request, &job_cancel_method, ask, on_cancelled);
}

int installer_on_list (installer_t *self, yard_request_t *request, const install_list_ask_t *ask)
{
    job_list_ask_t jobs;
    yard_wire_init (job_list_ask_type (), &jobs);
    jobs.has_kind = true;
    jobs.kind = job_kind_install;
    jobs.live = ask->live;
    jobs.has_source = ask->has_source;
    jobs.source = ask->source;
    jobs.has_key = ask->has_key;
    jobs.key = ask->key;
    jobs.after = ask->after;
    jobs.limit = ask->limit;
    return pass (self, request, &job_list_method, &jobs, on_list);
}

int installer_on_wait (installer_t *self, yard_request_t *request, const install_wait_ask_t *ask)
{
    job_wait_ask_t jobs;
    yard_wire_init (job_wait_ask_type (), &jobs);
    jobs.ids.items = ask->ids.items;
    jobs.ids.count = ask->ids.count;
    jobs.has_kind = true;
    jobs.kind = job_kind_install;
    jobs.timeout_ms = ask->timeout_ms;
    return pass (self, request, &job_wait_method, &jobs, on_list);
}
