// SPDX-License-Identifier: Apache-2.0
/*  outgoing.c - every frame that leaves the router
 *
 *  Promises: a failed send frees nothing; it makes the peer suspected, and the sweep of liveness.c does the rest in its own time. So
 *  everybody may send while walking any list.
 */
#include "asks.h"
#include "actors/ground/log.h"

int broker_send_frames (broker_router_t *self, broker_peer_t *peer, const yard_string_t *frames, size_t count)
{
    yard_string_t routing = { peer->routing, peer->routing_size };
    int rc = self->options.send (self->options.context, routing, frames, count);
    if (rc == YARD_GONE) {
        peer->unreachable = true;
        broker_suspect (self, peer, "its connection has ended");
    }
    return rc;
}

int broker_send (broker_router_t *self, broker_peer_t *peer, const yard_envelope_t *envelope)
{
    if (peer->owed_count)
        return YARD_BUSY;
    char head [YARD_HEAD_MAX];
    yard_string_t frames [YARD_FRAMES_MAX];
    size_t count = yard_envelope_frames (envelope, head, frames);
    return broker_send_frames (self, peer, frames, count);
}

void broker_send_surely (broker_router_t *self, broker_peer_t *peer, const yard_envelope_t *envelope)
{
    char head [YARD_HEAD_MAX];
    yard_string_t frames [YARD_FRAMES_MAX];
    size_t count = yard_envelope_frames (envelope, head, frames);
    if (!peer->owed_count && broker_send_frames (self, peer, frames, count) != YARD_BUSY)
        return;
    if (broker_owe (self, peer, frames, count))
        return;
    peer->unreachable = true; /* a pong does not mend it: this frame is lost */
    broker_suspect (self, peer, "it does not read what it is told");
}

yard_string_t broker_pack (broker_router_t *self, const yard_wire_type_t *type, const void *value)
{
    yard_error_t error = { 0 };
    yard_buffer_reset (&self->body);
    if (yard_wire_pack (type, value, &self->body, &error))
        yard_log_error ("broker.unpackable", "type=%s text=%s", type->name, YARD_QUOTED (error.text));
    return yard_buffer_view (&self->body);
}

/*  The name of an ask may be any bytes and stands in our sentences; a failure's text is UTF-8. */
static yard_string_t printable (const char *text, char *ret)
{
    size_t size = 0;
    for (; text [size] && size < YARD_ERROR_TEXT_MAX - 1; size++)
        ret [size] = text [size] >= ' ' && text [size] <= '~' ? text [size] : '?';
    return (yard_string_t){ ret, size };
}

static yard_string_t pack_failure (broker_router_t *self, int code, const char *text)
{
    char ascii [YARD_ERROR_TEXT_MAX];
    failure_t failure;
    yard_wire_init (failure_type (), &failure);
    failure.code = yard_string (yard_error_row (code)->word);
    failure.text = printable (text, ascii);
    return broker_pack (self, failure_type (), &failure);
}

void broker_reply (broker_router_t *self, broker_peer_t *peer, const yard_envelope_t *ask,
                   const yard_wire_type_t *type, const void *value)
{
    yard_error_t error = { 0 };
    yard_buffer_reset (&self->body);
    if (yard_wire_pack (type, value, &self->body, &error)) {
        broker_fail (self, peer, ask, &error);
        return;
    }
    yard_envelope_t reply = *ask;
    reply.letter = 'R';
    reply.body = yard_buffer_view (&self->body);
    reply.meta = reply.from = (yard_string_t){ 0 };
    broker_send_surely (self, peer, &reply);
}

void broker_fail (broker_router_t *self, broker_peer_t *peer, const yard_envelope_t *ask,
                  const yard_error_t *error)
{
    yard_envelope_t fail = *ask;
    fail.letter = 'F';
    fail.body = pack_failure (self, error->code, error->text);
    fail.meta = fail.from = (yard_string_t){ 0 };
    broker_send_surely (self, peer, &fail);
}

void broker_fail_open (broker_router_t *self, broker_ask_t *ask, int code, const char *text)
{
    yard_string_t prefix [YARD_PREFIX_MAX];
    yard_envelope_t fail = broker_ask_echo (ask, 'F', pack_failure (self, code, text), prefix);
    broker_send_surely (self, ask->asker, &fail);
}

void broker_hello_first (broker_router_t *self, broker_peer_t *peer, const yard_envelope_t *envelope)
{
    yard_error_t error;
    yard_error (&error, YARD_HELLO_FIRST,
                "this broker (epoch %s) has no hello from this connection: say hello and repeat",
                self->options.epoch);
    yard_envelope_t answer = *envelope;
    if (envelope->letter != 'A')
        answer.id = answer.name = (yard_string_t){ 0 };
    broker_fail (self, peer, &answer, &error);
}
