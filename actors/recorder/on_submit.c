// SPDX-License-Identifier: Apache-2.0
/*  on_submit.c - job.submit: at once, or after its token lies on the disk
 *
 *  The order is the promise: token written and fsynced (by the pool), then the row that names it. So a row never names a token that is not
 *  there; a token that no row names goes at the next start.
 */
#include "actors/ground/durable.h"
#include "jobs.h"
#include "recorder.h"

#define NAME_SIZE (RECORDER_SECRET_DIGITS + 1)

struct recorder_submit_t {
    yard_request_t *request; /* NULL: the runtime ended it meanwhile */
    const job_submit_ask_t *ask;
    char name [NAME_SIZE], path [PATH_MAX];
    char *token; /* for the pool: the request may end first */
    size_t size;
    int code;
    yard_error_t error;
};

/*  --- files that go */
typedef struct {
    char path [PATH_MAX];
    int code;
    yard_error_t error;
} removal_t;

static void remove_file (void *argument)
{
    removal_t *removal = argument;
    removal->code = yard_durable_remove (removal->path, &removal->error);
}

static void file_removed (void *self, void *argument)
{
    (void) self;
    removal_t *removal = argument;
    if (removal->code)
        yard_log_warning ("secret.left", "text=%s",
                          YARD_QUOTED (removal->error.text)); /* the next start tries again */
    free (removal);
}

static void remove_secret (recorder_t *self, const char *name)
{
    removal_t *removal = calloc (1, sizeof *removal);
    if (!removal)
        abort ();
    recorder_secrets_forget (self->secrets, name);
    if (recorder_secrets_path (self->secrets, name, removal->path, &removal->error) == 0)
        yard_offload (self->actor, remove_file, file_removed, removal);
    else
        free (removal);
}

void recorder_remove_secrets (recorder_t *self)
{
    for (size_t i = 0; i < self->book.removed_count; i++)
        remove_secret (self, self->book.removed [i].text);
}

/*  --- the submit */
static int submit (recorder_t *self, yard_request_t *request, const job_submit_ask_t *ask, const char *secret,
                   bool *ret_used)
{
    job_submit_answer_t answer = { 0 };
    int code = recorder_enter (self, request);
    if (code)
        return code < 0 ? code : 0;
    code =
        recorder_job_submit (&self->book, ask, yard_string (secret), &answer, yard_request_error (request));
    *ret_used = code == 0 && !answer.existed;
    return recorder_leave (self, request, code, &answer);
}

static void write_token (void *argument)
{
    recorder_submit_t *writing = argument;
    writing->code = yard_durable_write (writing->path, writing->token, writing->size, 0600, &writing->error);
}

static void token_written (void *argument, void *writing_p)
{
    recorder_t *self = argument;
    recorder_submit_t *writing = writing_p;
    bool used = false;
    if (writing->request && writing->code)
        yard_refuse_error (writing->request, &writing->error);
    else if (writing->request) {
        yard_request_t *request = writing->request;
        yard_request_keep (request, NULL, NULL);
        recorder_secrets_know (self->secrets, writing->name,
                               (yard_string_t){ writing->token, writing->size });
        int code = submit (self, request, writing->ask, writing->name, &used);
        if (code) {
            yard_request_error (request)->code = code;
            yard_refuse_error (request, yard_request_error (request));
        }
    }
    if (!used && writing->code == 0)
        remove_secret (self, writing->name);
    explicit_bzero (writing->token, writing->size);
    free (writing->token);
    free (writing);
}

static void submit_ended (void *self, yard_request_t *request, void *argument, int code)
{
    (void) self;
    (void) request;
    (void) code;
    recorder_submit_t *writing = argument;
    writing->request = NULL;
}

static int submit_with_token (recorder_t *self, yard_request_t *request, const job_submit_ask_t *ask)
{
    recorder_submit_t *writing = calloc (1, sizeof *writing);
    if (!writing)
        abort ();
    yard_random_hex (self->book.random, writing->name, RECORDER_SECRET_DIGITS);
    int code =
        recorder_secrets_path (self->secrets, writing->name, writing->path, yard_request_error (request));
    if (code) {
        free (writing);
        return code;
    }
    writing->size = ask->access_token.size;
    writing->token = malloc (writing->size + 1);
    if (!writing->token)
        abort ();
    memcpy (writing->token, ask->access_token.data, writing->size);
    writing->request = request;
    writing->ask = ask;
    yard_request_keep (request, submit_ended, writing);
    yard_offload (self->actor, write_token, token_written, writing);
    return 0;
}

int recorder_on_job_submit (recorder_t *self, yard_request_t *request, const job_submit_ask_t *ask)
{
    bool used;
    if (ask->has_access_token)
        return submit_with_token (self, request, ask);
    return submit (self, request, ask, "", &used);
}
