// SPDX-License-Identifier: Apache-2.0
/*  inside.h - what the files of the client know of each other
 */
#ifndef YARD_CLIENT_INSIDE_H
#define YARD_CLIENT_INSIDE_H

#include "actors/ground/clock.h"
#include "actors/ground/random.h"
#include "actors/ground/table.h"
#include "modelyard.h"
#include "proto/envelope.h"

/*  A call lives in the client's table under its number until its callback has run. A follow is a call that
 *  stays. */
struct yard_call_t {
    yard_client_t *client;
    uint64_t number; /* its bytes are the id on the wire */
    const yard_method_t *method;
    char name [YARD_NAME_MAX + 1];
    yard_buffer_t body;
    char once [129];
    uint64_t ttl_s;
    int64_t deadline_ms; /* monotonic; 0 = none */
    int64_t queued_ms; /* since when it waits to be sent */
    unsigned repeats;
    bool sent, placed; /* placed: the caller chose the place */
    yard_called_fn *called;
    void *argument;
    yard_follow_stream_t *stream; /* NULL for a plain ask */
};

struct yard_client_t {
    void *context, *socket;
    char endpoint [256];
    char instance [33], epoch [17];
    yard_string_t node; /* of this machine */
    char node_text [65];
    bool welcomed; /* since the last hello */
    bool hello_sent;
    int64_t heard_ms, hello_ms;
    uint64_t last_number;
    yard_table_t *calls;
    yard_arena_t *reading; /* of the message that is being handled */
    yard_buffer_t packing;
    yard_random_t random;
};

/*  No business of who links the shared library. */
#pragma GCC visibility push(hidden)

static inline int64_t client_now_ms (void)
{
    return yard_clock_ms (yard_clock_system ());
}

/*  Sends one envelope; false when the connection takes nothing now. */
bool client_send (yard_client_t *self, const yard_envelope_t *envelope);
/*  Packs body and sends it under letter and id (0 = none). */
bool client_say (yard_client_t *self, char letter, uint64_t number, const yard_wire_type_t *type,
                 const void *body);
void client_hello (yard_client_t *self);
/*  Waits at most timeout_ms (-1 = until something is due), then dispatches. */
void client_wait (yard_client_t *self, int timeout_ms);
/*  Milliseconds until deadline for a poll, -1 for deadline 0 = none. */
int client_left_ms (int64_t deadline_ms);

/*  call.c: sends what waits, ends what is over, takes answers. */
void client_calls_flush (yard_client_t *self);
void client_calls_tick (yard_client_t *self);
int64_t client_calls_due_ms (const yard_client_t *self); /* monotonic; INT64_MAX = nothing */
void client_calls_answer (yard_client_t *self, const yard_envelope_t *envelope);
/*  All calls that were sent, or all, end with this. */
void client_calls_end (yard_client_t *self, bool also_unsent, int code, const char *text);
yard_call_t *client_call_new (yard_client_t *self, const yard_method_t *method, const void *ask,
                              const yard_call_options_t *options, yard_error_t *error);
void client_call_drop (yard_call_t **self_p); /* out of the table, no callback */

/*  follow.c: an event for a stream, and its end. */
void client_stream_event (yard_follow_stream_t *self, const yard_envelope_t *envelope);
void client_stream_end (yard_follow_stream_t *self, int code, const char *text);

/*  An event's topic and stamp, body unpacked if its name is known; all of it in arena. */
int client_event_read (yard_string_t topic, yard_string_t body, yard_string_t stamp, yard_arena_t *arena,
                       yard_event_seen_t *ret, yard_error_t *error);

#pragma GCC visibility pop

#endif
