// SPDX-License-Identifier: Apache-2.0
/*  call.c - asks on their way: sent when the yard has welcomed us, answered once, repeated where that is safe
 *
 *  Promises: a callback runs exactly once; a call that certainly was not done (hello_first, wrong_place,
 *  never sent) is sent again by itself, at most REPEATS_MAX times.
 */
#include "inside.h"

#include <assert.h>
#include <stdlib.h>

#define REPEATS_MAX 4 /* a broker that is replaced twice while we ask, and a wrong place; more is a quarrel */
#define UNSENT_MS 5000 /* a broker is started again within 1 s; then unreachable, certainly not done */
#define PATIENCE_MS 250 /* the server tells of a deadline first; ours is for servers that died */
#define META_BYTES_MAX 1024 /* all of its fields at their limits */

yard_call_t *client_call_new (yard_client_t *self, const yard_method_t *method, const void *ask,
                              const yard_call_options_t *options, yard_error_t *error)
{
    static const yard_call_options_t usual = { 0 };
    const yard_call_options_t *chosen = options ? options : &usual;
    char method_name [YARD_METHOD_NAME_MAX];
    yard_method_name (method, method_name);
    yard_call_t *call = calloc (1, sizeof *call);
    void *defaults = ask ? NULL : calloc (1, method->ask ()->size);
    if (!call || (!ask && !defaults))
        abort ();
    if (!ask)
        yard_wire_init (method->ask (), defaults);
    *call = (yard_call_t){ .client = self,
                           .method = method,
                           .number = ++self->last_number,
                           .ttl_s = chosen->ttl_s,
                           .placed = chosen->at != NULL,
                           .queued_ms = client_now_ms () };
    yard_buffer_init (&call->body, YARD_MESSAGE_MAX);
    int size = snprintf (call->name, sizeof call->name, "%s%s%s", method_name, chosen->at ? "@" : "",
                         chosen->at ? chosen->at : "");
    int rc = yard_wire_pack (method->ask (), ask ? ask : defaults, &call->body, error);
    free (defaults);
    if (rc == 0 &&
        (size >= (int) sizeof call->name || (chosen->once && strlen (chosen->once) >= sizeof call->once)))
        rc = yard_error (error, YARD_TOO_LARGE,
                         "the place has more than %d bytes, or the once key more than 128",
                         YARD_NAME_MAX - YARD_METHOD_NAME_MAX);
    if (rc == 0 && call->body.overflow)
        rc = yard_error (error, YARD_TOO_LARGE,
                         "the ask is larger than %d bytes; send a path instead of bytes", YARD_MESSAGE_MAX);
    snprintf (call->once, sizeof call->once, "%s", chosen->once ? chosen->once : "");
    int64_t deadline = chosen->deadline_ms ? chosen->deadline_ms : method->deadline_ms;
    call->deadline_ms = deadline ? client_now_ms () + deadline : 0;
    if (rc) {
        yard_buffer_clear (&call->body);
        free (call);
        return NULL;
    }
    yard_table_put_u64 (self->calls, call->number, call);
    return call;
}

void client_call_drop (yard_call_t **self_p)
{
    yard_call_t *self = *self_p;
    yard_table_take_u64 (self->client->calls, self->number);
    yard_buffer_clear (&self->body);
    free (self);
    *self_p = NULL;
}

/*  The one end of every call. Out of the table first: the callback may ask, withdraw others, or look at us
 *  through nobody. */
static void finish (yard_call_t *self, const yard_call_result_t *result)
{
    yard_table_take_u64 (self->client->calls, self->number);
    if (self->stream)
        client_stream_end (self->stream, result->code, result->text);
    else
        self->called (self->argument, result);
    yard_buffer_clear (&self->body);
    free (self);
}

static void finish_with (yard_call_t *self, int code, const char *text)
{
    finish (self, &(yard_call_result_t){ .code = code, .text = text });
}

/*  --- out */
static bool pack_meta (const yard_call_t *self, yard_buffer_t *buffer)
{
    meta_t meta;
    yard_wire_init (meta_type (), &meta);
    meta.has_deadline_ms = self->deadline_ms > 0;
    meta.deadline_ms = self->deadline_ms > 0 ? client_left_ms (self->deadline_ms) : 0;
    meta.has_once = self->once [0] != 0;
    meta.once = yard_string (self->once);
    meta.has_ttl_s = self->ttl_s > 0;
    meta.ttl_s = self->ttl_s;
    meta.has_epoch = true;
    meta.epoch = yard_string (self->client->epoch);
    return yard_wire_pack (meta_type (), &meta, buffer, NULL) == 0;
}

static bool send_call (yard_call_t *self)
{
    yard_buffer_t meta;
    yard_buffer_init (&meta, META_BYTES_MAX);
    const yard_envelope_t envelope = { .letter = 'A',
                                       .id = { (const char *) &self->number, sizeof self->number },
                                       .name = yard_string (self->name),
                                       .body = yard_buffer_view (&self->body),
                                       .meta = pack_meta (self, &meta) ? yard_buffer_view (&meta)
                                                                       : (yard_string_t){ NULL, 0 } };
    self->sent = client_send (self->client, &envelope);
    yard_buffer_clear (&meta);
    return self->sent;
}

void client_calls_flush (yard_client_t *self)
{
    void *value;
    for (size_t at = 0; yard_table_next (self->calls, &at, &value);) {
        yard_call_t *call = value;
        if (!call->sent && !send_call (call))
            return;
    }
}

int yard_client_call (yard_client_t *self, const yard_method_t *method, const void *ask,
                      const yard_call_options_t *options, yard_called_fn *called, void *argument,
                      yard_call_t **ret, yard_error_t *error)
{
    yard_error_t cause = { .code = YARD_INTERNAL };
    yard_call_t *call = client_call_new (self, method, ask, options, &cause);
    if (!call)
        return yard_error (error, cause.code, "%s", cause.text);
    call->called = called;
    call->argument = argument;
    if (self->welcomed)
        client_calls_flush (self);
    if (ret)
        *ret = call;
    return 0;
}

void yard_call_withdraw (yard_call_t **self_p)
{
    yard_call_t *self = *self_p;
    if (!self)
        return;
    bye_t bye;
    yard_wire_init (bye_type (), &bye);
    if (self->sent)
        client_say (self->client, 'B', self->number, bye_type (), &bye);
    *self_p = NULL;
    finish_with (self, YARD_CANCELLED, "the call was withdrawn");
}

/*  --- in */
/*  What certainly was not done is sent again: to the place that the failure names, or after a hello. */
static bool repeat (yard_call_t *self, int code, const failure_t *failure)
{
    if (self->repeats == REPEATS_MAX || (code != YARD_HELLO_FIRST && code != YARD_WRONG_PLACE))
        return false;
    if (code == YARD_WRONG_PLACE) {
        char method_name [YARD_METHOD_NAME_MAX];
        if (self->placed || !failure->has_place)
            return false;
        yard_method_name (self->method, method_name);
        snprintf (self->name, sizeof self->name, "%s@%.*s", method_name, YARD_VIEW (failure->place));
        self->placed = true;
    }
    self->repeats++;
    self->sent = false;
    self->queued_ms = client_now_ms ();
    if (code == YARD_HELLO_FIRST && self->client->welcomed)
        client_hello (self->client);
    return true;
}

static void fail (yard_call_t *self, const yard_envelope_t *envelope)
{
    yard_error_t error;
    failure_t failure;
    if (yard_wire_unpack (failure_type (), envelope->body.data, envelope->body.size, YARD_WIRE_ANSWER,
                          self->client->reading, &failure, &error)) {
        finish_with (self, YARD_INVALID_MESSAGE, error.text);
        return;
    }
    int code = yard_error_code (failure.code.data, failure.code.size);
    if (repeat (self, code, &failure))
        return;
    const char *text = yard_arena_text (self->client->reading, failure.text);
    finish (self, &(yard_call_result_t){ .code = code, .text = text ? text : "", .failure = &failure });
}

static void reply (yard_call_t *self, const yard_envelope_t *envelope)
{
    yard_error_t error;
    const yard_wire_type_t *type = self->method->answer ();
    void *answer = yard_arena_alloc (self->client->reading, type->size);
    assert (answer);
    int rc = yard_wire_unpack (type, envelope->body.data, envelope->body.size, YARD_WIRE_ANSWER,
                               self->client->reading, answer, &error);
    if (rc)
        finish_with (self, rc, error.text);
    else if (self->stream) /* it stands: the call stays for its events */
        self->called (self->argument, &(yard_call_result_t){ .answer = answer });
    else
        finish (self, &(yard_call_result_t){ .answer = answer });
}

void client_calls_answer (yard_client_t *self, const yard_envelope_t *envelope)
{
    yard_call_t *call = yard_table_get (self->calls, envelope->id.data, envelope->id.size);
    if (!call || !call->sent) /* withdrawn, or to be asked again */
        return;
    if (envelope->letter == 'F')
        fail (call, envelope);
    else if (envelope->letter == 'R')
        reply (call, envelope);
    else if (call->stream)
        client_stream_event (call->stream, envelope);
}

/*  --- time */
static int64_t due_ms (const yard_call_t *self)
{
    int64_t due = self->deadline_ms ? self->deadline_ms + PATIENCE_MS : INT64_MAX;
    if (!self->sent && self->queued_ms + UNSENT_MS < due)
        due = self->queued_ms + UNSENT_MS;
    return due;
}

int64_t client_calls_due_ms (const yard_client_t *self)
{
    int64_t first = INT64_MAX;
    void *value;
    for (size_t at = 0; yard_table_next (self->calls, &at, &value);) {
        const yard_call_t *call = value;
        if (due_ms (call) < first)
            first = due_ms (call);
        if (!call->sent && self->welcomed) /* the connection took nothing: try again soon */
            first = client_now_ms () + 10;
    }
    return first;
}

static void expire (yard_call_t *self)
{
    char text [YARD_ERROR_TEXT_MAX];
    if (!self->sent) {
        snprintf (text, sizeof text, "no yard answers at %s; start one with `modelyard up`",
                  self->client->endpoint);
        finish_with (self, YARD_UNREACHABLE, text);
        return;
    }
    bye_t bye;
    yard_wire_init (bye_type (), &bye);
    client_say (self->client, 'B', self->number, bye_type (), &bye);
    snprintf (text, sizeof text, "%.100s was not answered in time; whether it was done is unknown",
              self->name);
    finish_with (self, YARD_TIMEOUT, text);
}

/*  A callback may ask and withdraw, so both loops begin anew after each end; calls made meanwhile have higher
 *  numbers and are let be. */
void client_calls_tick (yard_client_t *self)
{
    int64_t now = client_now_ms ();
    uint64_t last = self->last_number;
    void *value;
    for (size_t at = 0; yard_table_next (self->calls, &at, &value);) {
        yard_call_t *call = value;
        if (call->number > last || due_ms (call) > now)
            continue;
        expire (call);
        at = 0;
    }
}

void client_calls_end (yard_client_t *self, bool also_unsent, int code, const char *text)
{
    uint64_t last = self->last_number;
    void *value;
    for (size_t at = 0; yard_table_next (self->calls, &at, &value);) {
        yard_call_t *call = value;
        if (call->number > last || (!call->sent && !also_unsent))
            continue;
        finish_with (call, code, text);
        at = 0;
    }
}

/*  --- blocking */
typedef struct {
    const yard_method_t *method;
    yard_arena_t *arena;
    void *ret_answer;
    yard_error_t error;
    bool over;
} waiting_t;

static void on_over (void *argument, const yard_call_result_t *result)
{
    waiting_t *self = argument;
    self->over = true;
    self->error.code = result->code;
    if (result->code)
        snprintf (self->error.text, sizeof self->error.text, "%s", result->text);
    else if (self->ret_answer &&
             yard_wire_copy (self->method->answer (), result->answer, self->arena, self->ret_answer))
        yard_error (&self->error, YARD_TOO_LARGE, "the answer does not fit into the caller's arena");
}

int yard_client_ask (yard_client_t *self, const yard_method_t *method, const void *ask,
                     const yard_call_options_t *options, yard_arena_t *arena, void *ret_answer,
                     yard_error_t *error)
{
    waiting_t waiting = { .method = method, .arena = arena, .ret_answer = ret_answer };
    /* What came while nobody waited first: pings, and perhaps the news that the yard is another. */
    yard_client_dispatch (self);
    int rc = yard_client_call (self, method, ask, options, on_over, &waiting, NULL, error);
    if (rc)
        return rc;
    while (!waiting.over)
        client_wait (self, -1);
    if (waiting.error.code && error)
        *error = waiting.error;
    return waiting.error.code;
}
