// SPDX-License-Identifier: Apache-2.0
/*  load_watch.c - asks a loader for something that may take long, and shows how far it is
 *
 *  The events are followed before the ask goes out, so none is missed. They are a comfort: without them the load
 *  is waited for all the same.
 */
#include "load_watch.h"

#include <errno.h>
#include <poll.h>
#include "live_line.h"
#include "signals.h"

#define KEY_MAX 64 /* of load_told and load_progress */
#define LOOK_MS 200 /* between looks when nothing comes: the line's time left counts on */

typedef struct {
    invocation_t *invocation;
    load_subject_t subject;
    char key [KEY_MAX + 1]; /* of a model that is known by its location */
    yard_follow_stream_t *stream;
    yard_call_t *call; /* NULL: answered */
    void *answer;
    const yard_method_t *method;
    int code;
    progress_t progress;
    bool reading; /* progress was told */
    live_line_t line;
    int signals;
} watch_t;

static void on_answered (void *argument, const yard_call_result_t *result)
{
    watch_t *self = argument;
    invocation_t *invocation = self->invocation;
    self->call = NULL;
    if (result->code)
        self->code = yard_error (&invocation->error, result->code, "%s", result->text);
    else if (yard_wire_copy (self->method->answer (), result->answer, invocation->arena, self->answer))
        self->code = yard_error (&invocation->error, YARD_TOO_LARGE, "the answer does not fit into memory");
}

/*  By the key where it is known. Loads of paths are found among all. */
static void open_stream (watch_t *self)
{
    static const char *const prefixes [] = { "model_load_" };
    const yard_follow_options_t options = { .prefixes = prefixes,
                                            .prefix_count = 1,
                                            .subject = *self->key ? self->key : NULL };
    if (yard_client_follow (self->invocation->client, &options, &self->stream, NULL))
        self->stream = NULL;
}

static void take_started (watch_t *self, const load_told_t *told)
{
    if (self->subject.location && !*self->key && yard_string_is (told->location, self->subject.location))
        snprintf (self->key, sizeof self->key, "%.*s", (int) told->model_key.size, told->model_key.data);
}

static int64_t passed_ms (const load_progress_t *told)
{
    return told->bytes_per_s == 0 ? 0
                                  : (int64_t) ((double) told->bytes * 1000.0 / (double) told->bytes_per_s);
}

static void take_progress (watch_t *self, const load_progress_t *told)
{
    if (!*self->key || !yard_string_is (told->model_key, self->key) ||
        !yard_string_equal (told->submodel_type, self->subject.submodel) ||
        (self->subject.device.size > 0 && !yard_string_equal (told->device, self->subject.device)))
        return;
    int64_t now = live_line_now_ms ();
    if (!self->reading) /* its begin, as the loader measured it: so the first line has a speed */
        progress_told (&self->progress, now - passed_ms (told), 0, told->total_bytes);
    progress_told (&self->progress, now, told->bytes, told->total_bytes);
    live_line_draw (&self->line, self->invocation, "reading", &self->progress, !self->reading);
    self->reading = true;
}

static void take_events (watch_t *self)
{
    yard_event_seen_t seen;
    int rc = YARD_TIMEOUT;
    while (self->stream && (rc = yard_follow_stream_next (self->stream, 0, &seen, NULL)) == 0) {
        if (seen.event == &model_load_started_event)
            take_started (self, seen.body);
        else if (seen.event == &model_load_progress_event)
            take_progress (self, seen.body);
    }
    if (self->stream && rc != YARD_TIMEOUT)
        yard_follow_stream_destroy (&self->stream);
}

static void watch (watch_t *self)
{
    while (self->call && self->code == 0) {
        struct pollfd fds [] = { { .fd = yard_client_fd (self->invocation->client), .events = POLLIN },
                                 { .fd = self->signals, .events = POLLIN } };
        int timeout = yard_client_timeout_ms (self->invocation->client);
        poll (fds, 2, timeout < LOOK_MS ? timeout : LOOK_MS);
        if (signals_take (self->signals))
            self->code = yard_error (&self->invocation->error, YARD_CANCELLED,
                                     "given up; what only this load had read is dropped");
        yard_client_dispatch (self->invocation->client);
        take_events (self);
        if (self->reading)
            live_line_draw (&self->line, self->invocation, "reading", &self->progress, false);
    }
}

/*  Withdrawn first, so that its callback cannot write over why. */
static void give_up (watch_t *self)
{
    int code = self->code;
    yard_error_t error = self->invocation->error;
    yard_call_withdraw (&self->call);
    self->invocation->error = error;
    self->code = code;
}

int load_watch (invocation_t *invocation, const yard_method_t *method, const void *ask,
                const yard_call_options_t *options, const load_subject_t *subject, void *ret_answer)
{
    watch_t self = {
        .invocation = invocation, .subject = *subject, .answer = ret_answer, .method = method, .signals = -1
    };
    snprintf (self.key, sizeof self.key, "%.*s", (int) subject->key.size,
              subject->key.size ? subject->key.data : "");
    int rc = invocation_connect (invocation);
    if (rc == 0)
        rc = signals_catch (NULL, &self.signals, &invocation->error);
    if (rc)
        return rc;
    open_stream (&self);
    self.code = yard_client_call (invocation->client, method, ask, options, on_answered, &self, &self.call,
                                  &invocation->error);
    watch (&self);
    if (self.call)
        give_up (&self);
    take_events (&self);
    live_line_end (&self.line);
    yard_follow_stream_destroy (&self.stream);
    close (self.signals);
    return self.code;
}
