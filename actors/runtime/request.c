// SPDX-License-Identifier: Apache-2.0
/*  request.c - what others want from us: each request is answered exactly once
 *
 *  A request owns a copy of its frames, so that a handler can keep it. It ends by an answer, a refusal, or here: at its deadline, when its
 *  asker withdrew or has gone, when the broker is another, when the actor closes.
 */
#include "actor_inside.h"

#include <assert.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "actors/ground/fault.h"

#define STRANGER_MS_MAX \
    600000 /* ten minutes: who waits longer says hello, or says for how long (meta.deadline_ms) */
#define WEDGE_MS \
    3000 /* of the FAULT point: long enough to be named thrice, too short for the broker to call us gone */
#define BROKER_NUMBER_SIZE 8 /* of the id that the broker puts in place of the asker's (ARCHITECTURE 2) */

static void request_free (yard_request_t *self)
{
    yard_actor_t *actor = self->actor;
    if (yard_table_get (actor->requests, self->id.data, self->id.size) == self)
        yard_table_take (actor->requests, self->id.data, self->id.size);
    if (actor->handling == self)
        actor->handling = NULL;
    yard_timer_set (&self->deadline, -1);
    yard_arena_t *arena = self->arena; /* the request lies in it */
    yard_arena_destroy (&arena);
}

/*  --- answers */
int yard_refuse_failure (yard_request_t *self, const failure_t *failure)
{
    yard_buffer_t body;
    yard_failure_pack (failure, &body);
    yard_say (self->actor, 'F', self->id, self->name, &body);
    request_free (self);
    return 0;
}

int yard_refuse_error (yard_request_t *self, const yard_error_t *error)
{
    failure_t failure = { .code = yard_string (yard_error_row (error->code)->word),
                          .text = yard_string (error->text) };
    return yard_refuse_failure (self, &failure);
}

int yard_refuse (yard_request_t *self, int code, const char *format, ...)
{
    yard_error_t error = { .code = code };
    va_list arguments;
    va_start (arguments, format);
    vsnprintf (error.text, sizeof error.text, format, arguments);
    va_end (arguments);
    return yard_refuse_error (self, &error);
}

int yard_reply (yard_request_t *self, const void *answer)
{
    yard_buffer_t body;
    yard_error_t error = { 0 };
    yard_buffer_init (&body, YARD_MESSAGE_MAX);
    int code = yard_wire_pack (self->method->answer (), answer, &body, &error);
    if (code) {
        yard_log_warning ("answer.unfit", "method=%s text=%s", self->method->id, YARD_QUOTED (error.text));
        yard_buffer_clear (&body);
        return yard_refuse_error (self, &error);
    }
    yard_say (self->actor, 'R', self->id, self->name, &body);
    request_free (self);
    return 0;
}

/*  --- the runtime's own endings */
/*  Answers too where the asker has gone: the broker drops it, and counts us free of it. Silent only towards a new broker, to which the old
 *  number may mean another ask. */
static void end (yard_request_t *self, int code, const char *why, bool silent)
{
    yard_actor_t *actor = self->actor;
    yard_table_take (actor->requests, self->id.data, self->id.size);
    if (!silent) {
        yard_buffer_t body;
        failure_t failure = { .code = yard_string (yard_error_row (code)->word), .text = yard_string (why) };
        yard_failure_pack (&failure, &body);
        yard_say (actor, 'F', self->id, self->name, &body);
    }
    if (self->ended) {
        yard_handling_begin (actor, "ended", self->method->id);
        self->ended (actor->self, self, self->ended_argument, code);
        yard_handling_end (actor);
    }
    request_free (self);
}

static void deadline_passed (void *self, void *argument)
{
    (void) self;
    end (argument, YARD_TIMEOUT, "the deadline passed while this was worked on; the outcome is unknown",
         false);
}

/*  Ends those of a client, or all (client NULL). The handler told may answer others, so each search starts anew. */
static void end_all (yard_actor_t *actor, const yard_string_t *client, int code, const char *why, bool silent)
{
    for (bool found = true; found;) {
        found = false;
        void *value;
        for (size_t at = 0; !found && yard_table_next (actor->requests, &at, &value);) {
            yard_request_t *request = value;
            if (client && !yard_string_equal (request->from.client, *client))
                continue;
            found = true;
            end (request, code, why, silent);
        }
    }
}

void yard_requests_end (yard_actor_t *actor, int code, const char *why)
{
    end_all (actor, NULL, code, why, code == YARD_GONE && !actor->closing);
}

/*  B with a number: the asker does not want this one any more. B with a client: it does not want anything any more. */
void yard_request_bye (yard_actor_t *actor, const yard_envelope_t *envelope)
{
    if (envelope->id.size) {
        yard_request_t *request = yard_table_get (actor->requests, envelope->id.data, envelope->id.size);
        if (request)
            end (request, YARD_CANCELLED, "the asker withdrew it", false);
        return;
    }
    bye_t bye;
    yard_error_t error;
    yard_arena_reset (actor->scratch);
    if (yard_wire_unpack (bye_type (), envelope->body.data, envelope->body.size, YARD_WIRE_ANSWER,
                          actor->scratch, &bye, &error)) {
        yard_mailbox_malformed (actor, error.text);
        return;
    }
    if (!bye.has_client)
        return;
    end_all (actor, &bye.client, YARD_GONE, "the asker has gone", false);
    if (actor->class->client_gone) {
        yard_handling_begin (actor, "client_gone", "-");
        actor->class->client_gone (actor->self, bye.client);
        yard_handling_end (actor);
    }
}

/*  --- a request comes */
static const yard_route_t *route_find (const yard_actor_t *actor, yard_string_t name)
{
    const yard_method_t *method = yard_method_find (name);
    for (const yard_route_t *route = actor->class->routes; method && route && route->method; route++)
        if (route->method == method)
            return route;
    return NULL;
}

/*  The request itself lies in its arena, the first thing in it. NULL: from or meta cannot be read, and were counted. */
static yard_request_t *request_new (yard_actor_t *actor, const yard_envelope_t *envelope)
{
    yard_arena_t *arena = yard_arena_new (YARD_ARENA_BYTES_MAX);
    yard_request_t *self = yard_arena_alloc (arena, sizeof *self);
    *self = (yard_request_t){ .actor = actor, .arena = arena, .due_ms = INT64_MAX };
    yard_timer_init (&self->deadline, actor, deadline_passed, self);
    self->id = yard_arena_copy (arena, envelope->id);
    self->name = yard_arena_copy (arena, envelope->name);
    self->body = yard_arena_copy (arena, envelope->body);
    yard_string_t meta = yard_arena_copy (arena, envelope->meta),
                  from = yard_arena_copy (arena, envelope->from);
    yard_wire_init (meta_type (), &self->meta);
    yard_error_t error;
    if (yard_wire_unpack (from_type (), from.data, from.size, YARD_WIRE_ANSWER, arena, &self->from, &error) ==
            0 &&
        (meta.size == 0 || yard_wire_unpack (meta_type (), meta.data, meta.size, YARD_WIRE_ANSWER, arena,
                                             &self->meta, &error) == 0))
        return self;
    yard_mailbox_malformed (actor, error.text);
    yard_arena_destroy (&arena);
    return NULL;
}

/*  Nobody tells us when a peer without hello has gone. What it waits for without a deadline would stay for
 *  ever, and many of them would fill YARD_OPEN_REQUESTS_MAX. */
static void set_deadline (yard_request_t *self)
{
    int64_t deadline_ms = self->meta.has_deadline_ms ? self->meta.deadline_ms : self->method->deadline_ms;
    if (!self->meta.has_deadline_ms && deadline_ms == 0) {
        if (self->from.hello)
            return;
        deadline_ms = STRANGER_MS_MAX;
    }
    self->due_ms = self->actor->now_ms + deadline_ms;
    yard_timer_set (&self->deadline, deadline_ms);
}

static void handle (yard_request_t *self, const yard_route_t *route)
{
    yard_actor_t *actor = self->actor;
    const yard_wire_type_t *type = route->method->ask ();
    void *ask = yard_arena_alloc (self->arena, type->size);
    if (yard_wire_unpack (type, self->body.data, self->body.size, YARD_WIRE_ASK, self->arena, ask,
                          &self->error)) {
        yard_refuse_error (self, &self->error);
        return;
    }
    yard_table_put (actor->requests, self->id.data, self->id.size, self);
    set_deadline (self);
    actor->handling = self;
    yard_handling_begin (actor, "request", route->method->id);
    if (FAULT ("runtime.wedge"))
        poll (NULL, 0, WEDGE_MS);
    int code = route->handler (actor->self, self, ask);
    yard_handling_end (actor);
    assert (code == 0 || actor->handling); /* a code after an answer would be a second answer */
    if (code) {
        if (self->error.code != code)
            yard_error (&self->error, code, "%s", yard_error_row (code)->doc);
        yard_refuse_error (self, &self->error);
    }
    actor->handling = NULL;
}

void yard_request_asked (yard_actor_t *actor, const yard_envelope_t *envelope)
{
    if (envelope->id.size != BROKER_NUMBER_SIZE ||
        yard_table_get (actor->requests, envelope->id.data, envelope->id.size)) {
        yard_mailbox_malformed (actor, "an ask without a fresh number of the broker");
        return;
    }
    yard_request_t *request = request_new (actor, envelope);
    if (!request)
        return;
    const yard_route_t *route = route_find (actor, request->name);
    if (!route) {
        yard_refuse (request, YARD_UNKNOWN_METHOD,
                     "%s has no method %.*s; ask yard.methods for what there is", actor->place,
                     YARD_VIEW (request->name));
        return;
    }
    request->method = route->method;
    if (actor->draining)
        yard_refuse (request, YARD_NOT_SERVED, "%s is ending; ask again in a moment", actor->place);
    else if (yard_table_count (actor->requests) >= YARD_OPEN_REQUESTS_MAX)
        yard_refuse (request, YARD_BUSY, "%s has %d open requests, its limit; ask again later", actor->place,
                     YARD_OPEN_REQUESTS_MAX);
    else
        handle (request, route);
}

/*  --- what a handler may know */
void yard_request_keep (yard_request_t *self, yard_ended_fn *ended, void *argument)
{
    self->ended = ended;
    self->ended_argument = argument;
}

yard_error_t *yard_request_error (yard_request_t *self)
{
    return &self->error;
}

yard_arena_t *yard_request_arena (yard_request_t *self)
{
    return self->arena;
}

const from_t *yard_request_from (const yard_request_t *self)
{
    return &self->from;
}

const meta_t *yard_request_meta (const yard_request_t *self)
{
    return &self->meta;
}

const yard_method_t *yard_request_method (const yard_request_t *self)
{
    return self->method;
}

yard_string_t yard_request_body (const yard_request_t *self)
{
    return self->body;
}

int64_t yard_request_left_ms (const yard_request_t *self)
{
    return self->due_ms == INT64_MAX ? INT64_MAX : self->due_ms - self->actor->now_ms;
}
