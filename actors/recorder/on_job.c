// SPDX-License-Identifier: Apache-2.0
/*  on_job.c - job.* from the bus, where the answer is there at once; submit, lease and wait have files of their own
 */
#include "jobs.h"
#include "recorder.h"

EFFECT (job_expand, job_expand_answer_t,
        recorder_job_expand (&self->book, ask, &answer, yard_request_error (request)))
EFFECT (job_finish, job_t, recorder_job_finish (&self->book, ask, &answer, yard_request_error (request)))
EFFECT (job_fail, job_t, recorder_job_fail (&self->book, ask, &answer, yard_request_error (request)))
EFFECT (job_release, job_t, recorder_job_release (&self->book, ask, &answer, yard_request_error (request)))
EFFECT (job_cancel, job_t, recorder_job_cancel (&self->book, ask->id, &answer, yard_request_error (request)))
EFFECT (job_pause, job_t, recorder_job_pause (&self->book, ask->id, &answer, yard_request_error (request)))
EFFECT (job_start, job_t, recorder_job_start (&self->book, ask->id, &answer, yard_request_error (request)))
EFFECT (job_prune, job_prune_answer_t,
        recorder_job_prune (&self->book, ask, &answer, yard_request_error (request)))

int recorder_on_job_get (recorder_t *self, yard_request_t *request, const job_get_ask_t *ask)
{
    job_t answer;
    int code = recorder_job_get (&self->book, ask->id, &answer, yard_request_error (request));
    return code ? code : yard_reply (request, &answer);
}

int recorder_on_job_list (recorder_t *self, yard_request_t *request, const job_list_ask_t *ask)
{
    job_list_answer_t answer;
    int code = recorder_job_list (&self->book, ask, &answer, yard_request_error (request));
    return code ? code : yard_reply (request, &answer);
}
