// SPDX-License-Identifier: Apache-2.0
/*  attempt.c - requests, hops, and the patience with them
 */
#include "attempt.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "url.h"

struct downloader_attempt_t {
    yard_actor_t *actor;
    downloader_fetch_t *fetch;
    downloader_attempt_options_t options;
    const downloader_attempt_listener_t *listener;
    void *argument;
    downloader_call_t *call; /* NULL between requests */
    yard_timer_t *stall;
    char *url;
    char validator [DOWNLOADER_VALIDATOR_SIZE];
    uint64_t hops;
    uint64_t at; /* next byte of the file */
    int64_t heard_ms; /* when the server last said something */
    bool judged; /* decision is that of a whole head */
    bool waiting; /* for our own disk */
    bool cut; /* the body was longer than it may be */
    bool framed;
    int64_t retry_ms;
    downloader_decision_t decision;
};

static const downloader_listener_t call_listener;

static const download_config_t *config (const downloader_attempt_t *self)
{
    return &yard_actor_configuration (self->actor)->download;
}

static void ask (downloader_attempt_t *self)
{
    const downloader_attempt_options_t *options = &self->options;
    bool may_see = options->credential && options->kind->may_see_credential (options->source, self->url);
    downloader_get_t get = {
        .url = self->url,
        .credential = may_see ? options->credential : NULL,
        .ranged = !options->asked.whole,
        .from = options->asked.from,
        .validator = self->validator,
    };
    self->judged = false;
    self->heard_ms = yard_now_ms (self->actor);
    self->call = downloader_fetch_get (self->fetch, &get, &call_listener, self);
    yard_timer_set (self->stall, (int64_t) config (self)->stall_ms);
}

/*  The last call into the owner: self may be gone after it. */
static void end (downloader_attempt_t *self, downloader_ended_t how, const yard_error_t *error)
{
    yard_timer_set (self->stall, -1);
    downloader_outcome_t outcome = { .how = how, .retry_ms = self->retry_ms, .framed = self->framed };
    if (error)
        outcome.error = *error;
    self->listener->ended (self->argument, &outcome);
}

static void on_stall (void *actor_self, void *argument)
{
    (void) actor_self;
    downloader_attempt_t *self = argument;
    int64_t limit = (int64_t) config (self)->stall_ms, silent = yard_now_ms (self->actor) - self->heard_ms;
    if (self->waiting || silent < limit) {
        yard_timer_set (self->stall, self->waiting ? limit : limit - silent);
        return;
    }
    downloader_fetch_stop (&self->call);
    yard_error_t error;
    yard_error (&error, YARD_STALLED, "no byte came for %lld ms (download.stall_ms)", (long long) limit);
    end (self, DOWNLOADER_ENDED_AGAIN, &error);
}

/*  --- what the call says */
static int on_head (void *argument, const downloader_reply_t *reply)
{
    downloader_attempt_t *self = argument;
    self->heard_ms = yard_now_ms (self->actor);
    self->judged = true;
    downloader_reply_judge (reply, &self->options.asked, &self->decision);
    self->retry_ms = downloader_reply_retry_ms (reply, yard_wall_ms (self->actor));
    self->framed = reply->chunked || reply->length != DOWNLOADER_SIZE_UNKNOWN || reply->ranged;
    char *next = NULL;
    switch (self->decision.verdict) {
    case DOWNLOADER_TAKE:
        if (!self->options.asked.from || reply->etag [0] || reply->modified [0])
            downloader_reply_validator (reply, self->validator);
        self->listener->taken (self->argument, self->decision.size, self->validator);
        return 0;
    case DOWNLOADER_FOLLOW:
        if (self->hops++ >= config (self)->redirects_max) {
            yard_error (&self->decision.error, YARD_HTTP_FAILED,
                        "more than %llu redirects (download.redirects_max); look at the URL in a browser",
                        (unsigned long long) config (self)->redirects_max);
            self->decision.verdict = DOWNLOADER_FAIL;
        } else if (downloader_url_follow (self->url, reply->location, &next, &self->decision.error))
            self->decision.verdict = DOWNLOADER_FAIL;
        else {
            free (self->url);
            self->url = next;
        }
        return -1;
    default:
        return -1;
    }
}

static downloader_body_t on_body (void *argument, const void *data, size_t size)
{
    downloader_attempt_t *self = argument;
    self->heard_ms = yard_now_ms (self->actor);
    uint64_t room = self->decision.end - self->at;
    bool cut = self->decision.end != DOWNLOADER_SIZE_UNKNOWN && size > room;
    if (cut)
        size = (size_t) room;
    downloader_body_t answer =
        size ? self->listener->body (self->argument, data, size) : DOWNLOADER_BODY_TAKEN;
    self->waiting = answer == DOWNLOADER_BODY_WAIT;
    if (answer != DOWNLOADER_BODY_TAKEN)
        return answer;
    self->at += size;
    self->cut = self->cut || cut;
    return cut ? DOWNLOADER_BODY_STOP : DOWNLOADER_BODY_TAKEN;
}

/*  A body that was taken has ended. */
static void end_body (downloader_attempt_t *self, const downloader_end_t *how)
{
    const downloader_decision_t *decision = &self->decision;
    bool all = self->at == decision->end || (decision->end == DOWNLOADER_SIZE_UNKNOWN && how->code == 0);
    yard_error_t error;
    if (self->cut)
        yard_log_warning ("download.body_cut", "source=%s bytes=%llu", self->options.kind->name,
                          (unsigned long long) self->at);
    if (all && (decision->size == DOWNLOADER_SIZE_UNKNOWN || self->at == decision->size)) {
        end (self, DOWNLOADER_ENDED_WHOLE, NULL);
    } else if (all) {
        end (self, DOWNLOADER_ENDED_SHORT, NULL);
    } else {
        yard_error (&error, YARD_NETWORK_FAILED, "the connection ended %llu bytes before the file: %s",
                    (unsigned long long) (decision->end - self->at),
                    how->code ? how->text : "the body was short");
        end (self, DOWNLOADER_ENDED_AGAIN, &error);
    }
}

static void on_ended (void *argument, const downloader_end_t *how)
{
    static const downloader_ended_t ends [] = {
        [DOWNLOADER_COMPLETE] = DOWNLOADER_ENDED_WHOLE,  [DOWNLOADER_RESTART] = DOWNLOADER_ENDED_RESTART,
        [DOWNLOADER_CHANGED] = DOWNLOADER_ENDED_CHANGED, [DOWNLOADER_AGAIN] = DOWNLOADER_ENDED_AGAIN,
        [DOWNLOADER_FAIL] = DOWNLOADER_ENDED_FAILED,
    };
    downloader_attempt_t *self = argument;
    self->call = NULL;
    yard_error_t error;
    if (!self->judged) {
        yard_error (&error, how->code ? how->code : YARD_NETWORK_FAILED, "%s",
                    how->code ? how->text : "the server said nothing");
        end (self, how->again || !how->code ? DOWNLOADER_ENDED_AGAIN : DOWNLOADER_ENDED_FAILED, &error);
        return;
    }
    switch (self->decision.verdict) {
    case DOWNLOADER_TAKE:
        end_body (self, how);
        break;
    case DOWNLOADER_PLAIN:
        self->options.asked.whole = true;
        ask (self);
        break;
    case DOWNLOADER_FOLLOW:
        ask (self);
        break;
    default:
        self->framed = true;
        end (self, ends [self->decision.verdict], &self->decision.error);
    }
}

static const downloader_listener_t call_listener = { .head = on_head, .body = on_body, .ended = on_ended };

downloader_attempt_t *downloader_attempt_new (yard_actor_t *actor, downloader_fetch_t *fetch,
                                              const downloader_attempt_options_t *options,
                                              const downloader_attempt_listener_t *listener, void *argument)
{
    downloader_attempt_t *self = calloc (1, sizeof *self);
    assert (self);
    self->actor = actor;
    self->fetch = fetch;
    self->options = *options;
    self->listener = listener;
    self->argument = argument;
    self->at = options->asked.from;
    memcpy (self->validator, options->asked.validator, strlen (options->asked.validator) + 1);
    self->options.asked.validator = self->validator;
    self->url = strdup (options->source);
    assert (self->url);
    self->stall = yard_timer_new (actor, on_stall, self);
    ask (self);
    return self;
}

void downloader_attempt_destroy (downloader_attempt_t **self_p)
{
    downloader_attempt_t *self = *self_p;
    if (!self)
        return;
    downloader_fetch_stop (&self->call);
    yard_timer_destroy (&self->stall);
    free (self->url);
    free (self);
    *self_p = NULL;
}

void downloader_attempt_go_on (downloader_attempt_t *self)
{
    if (!self->waiting || !self->call)
        return;
    self->waiting = false;
    self->heard_ms = yard_now_ms (self->actor);
    downloader_fetch_go_on (self->call);
}

const char *downloader_attempt_url (const downloader_attempt_t *self)
{
    return self->url;
}
