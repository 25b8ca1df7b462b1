// SPDX-License-Identifier: Apache-2.0
/*  on_record.c - record.* from the bus: each handler reads, or enters, has its effect and leaves
 */
#include "recorder.h"
#include "records.h"

EFFECT (record_add, model_record_t,
        recorder_record_add (&self->book, ask, &answer, yard_request_error (request)))
EFFECT (record_update, model_record_t,
        recorder_record_update (&self->book, ask, &answer, yard_request_error (request)))
EFFECT (record_delete, model_record_t,
        recorder_record_delete (&self->book, ask->key, &answer, yard_request_error (request)))

int recorder_on_record_get (recorder_t *self, yard_request_t *request, const record_get_ask_t *ask)
{
    model_record_t answer;
    int code = recorder_record_get (&self->book, ask->key, &answer, yard_request_error (request));
    return code ? code : yard_reply (request, &answer);
}

int recorder_on_record_exists (recorder_t *self, yard_request_t *request, const record_exists_ask_t *ask)
{
    record_exists_answer_t answer;
    int code = recorder_record_exists (&self->book, ask->key, &answer.exists, yard_request_error (request));
    return code ? code : yard_reply (request, &answer);
}

int recorder_on_record_search (recorder_t *self, yard_request_t *request, const record_search_ask_t *ask)
{
    record_search_answer_t answer;
    int code = recorder_record_search (&self->book, ask, &answer, yard_request_error (request));
    return code ? code : yard_reply (request, &answer);
}
