// SPDX-License-Identifier: Apache-2.0
/*  transfer_begin.c - from a grant to the first state, and what the outside sees and may ask
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "transfer_inside.h"

static const char *const state_words [DOWNLOADER_STATES] = {
    [DOWNLOADER_OPENING] = "opening",  [DOWNLOADER_ASKING] = "fetching",
    [DOWNLOADER_SETTLING] = "writing", [DOWNLOADER_WAITING] = "waiting",
    [DOWNLOADER_PROVING] = "proving",  [DOWNLOADER_RESETTING] = "resetting",
    [DOWNLOADER_LEAVING] = "closing",  [DOWNLOADER_STATE_ENDED] = "ended",
};

/*  --- the outside */
static char *text_of (yard_string_t view)
{
    char *text = strndup (view.data ? view.data : "", view.size);
    assert (text);
    return text;
}

/*  What cannot be begun ends on the usual way, so that its owner hears of it like of any other. */
static int refuse_part (downloader_part_t *part, yard_error_t *error)
{
    (void) part;
    return error->code;
}

static bool is_below (yard_string_t path, yard_string_t folder, const char *inside)
{
    size_t inside_size = strlen (inside);
    return path.size > folder.size + inside_size && memcmp (path.data, folder.data, folder.size) == 0 &&
           memcmp (path.data + folder.size, inside, inside_size) == 0;
}

static bool is_staged (const downloader_transfer_t *self, yard_string_t path)
{
    return is_below (path, yard_actor_configuration (self->actor)->models_dir, "/.staging/");
}

/*  Is path in staging, or in the cache? There a file that has its name is whole, because only we name files
 *  there. */
static bool is_ours (const downloader_transfer_t *self, yard_string_t path)
{
    return is_staged (self, path) ||
           is_below (path, yard_string (yard_actor_paths (self->actor)->home), "/cache/downloads/");
}

static int prepare (downloader_transfer_t *self, const job_grant_t *grant, yard_error_t *error)
{
    const download_request_t *request = &grant->job.download;
    if (!grant->job.has_download)
        return yard_error (error, YARD_INVALID_MESSAGE, "the job has no download in it");
    if (grant->job.has_parent && !is_staged (self, request->path))
        return yard_error (
            error, YARD_INVALID_MESSAGE,
            "%.*s is not below %.*s/.staging: a file of an install is made there; do all actors of "
            "this yard have the same models_dir?",
            YARD_VIEW (request->path), YARD_VIEW (yard_actor_configuration (self->actor)->models_dir));
    int rc = downloader_source_find (self->source, &self->kind, error);
    for (const char *at = self->credential; rc == 0 && at && *at; at++)
        if ((unsigned char) *at < 0x21 || *at == 0x7f)
            rc = yard_error (error, YARD_NOT_AUTHORISED,
                             "access_token has spaces or control characters; give it as issued");
    if (rc)
        return rc;
    char *path = text_of (request->path);
    rc = downloader_part_new (path, self->source, grant->token, self->published_size,
                              self->published_sha256 [0] ? self->published_sha256 : NULL, &self->part, error);
    free (path);
    if (rc == 0 && is_ours (self, request->path))
        downloader_part_trust_name (self->part);
    return rc;
}

downloader_transfer_t *downloader_transfer_new (yard_actor_t *actor, downloader_fetch_t *fetch,
                                                const job_grant_t *grant, downloader_transfer_fn *ended,
                                                void *argument)
{
    downloader_transfer_t *self = calloc (1, sizeof *self);
    assert (self);
    const download_request_t *request = &grant->job.download;
    self->actor = actor;
    self->fetch = fetch;
    self->ended = ended;
    self->argument = argument;
    self->job = grant->job.id;
    self->source = text_of (request->source);
    self->credential = grant->has_access_token ? text_of (grant->access_token) : NULL;
    self->size = DOWNLOADER_SIZE_UNKNOWN;
    self->published_size = request->has_size ? request->size : DOWNLOADER_SIZE_UNKNOWN;
    if (request->has_sha256)
        memcpy (self->published_sha256, request->sha256.data,
                sizeof self->published_sha256 - 1); /* 64 by its definition */
    self->timer = yard_timer_new (actor, downloader_transfer_on_timer, self);
    int rc = prepare (self, grant, &self->work_error);
    if (rc == 0)
        self->spool = downloader_spool_new (actor, self->part, downloader_transfer_on_moved, self);
    downloader_transfer_start_work (self, rc ? refuse_part : downloader_part_open);
    return self;
}

void downloader_transfer_destroy (downloader_transfer_t **self_p)
{
    downloader_transfer_t *self = *self_p;
    if (!self)
        return;
    downloader_attempt_destroy (&self->attempt);
    yard_timer_destroy (&self->timer);
    if (self->busy || (self->spool && !downloader_spool_is_idle (self->spool)))
        self->doomed = true;
    else
        downloader_transfer_free (self);
    *self_p = NULL;
}

void downloader_transfer_stop (downloader_transfer_t *self, bool remove)
{
    self->remove = self->remove || remove;
    if (self->stopping || self->state == DOWNLOADER_LEAVING || self->state == DOWNLOADER_STATE_ENDED)
        return;
    self->stopping = true;
    if (self->state == DOWNLOADER_ASKING)
        downloader_transfer_settle (self, DOWNLOADER_EVENT_END);
    else if (self->state == DOWNLOADER_WAITING) {
        yard_timer_set (self->timer, -1);
        downloader_transfer_step (self, DOWNLOADER_EVENT_END);
    }
}

uint64_t downloader_transfer_bytes (const downloader_transfer_t *self)
{
    return self->received;
}

uint64_t downloader_transfer_size (const downloader_transfer_t *self)
{
    return self->size == DOWNLOADER_SIZE_UNKNOWN ? 0 : self->size;
}

const char *downloader_transfer_state (const downloader_transfer_t *self)
{
    return state_words [self->state];
}

const downloader_result_t *downloader_transfer_result (const downloader_transfer_t *self)
{
    return &self->result;
}
