// SPDX-License-Identifier: Apache-2.0
/*  modelyard.h - libmodelyard: ask a yard, hear its events, map its models
 *
 *      yard_error_t error;
 *      yard_client_t *client = NULL;
 *      if (yard_client_connect (NULL, &client, &error))
 *          fail (error.text);
 *      record_key_t ask = { .key = yard_string ("0123…") };
 *      model_record_t record;
 *      if (yard_client_ask (client, &record_get_method, &ask, NULL, arena, &record, &error) == 0)
 *          printf ("%s\n", record.config.name.data);
 *      yard_client_destroy (&client);
 *
 *  What can be asked, and the structs of asks and answers, are in proto/messages.h and MESSAGES.md.
 *
 *  Invariants:
 *  - A client belongs to one thread. It has no thread of its own: pings are answered while it waits, and in
 *    yard_client_dispatch. Who neither waits nor dispatches for 5 s is taken for dead by the yard: what was
 *    lent to this client without `keep` is given back, its open calls and follows end with `gone`. The next
 *    ask introduces it again, by itself.
 *  - Functions return 0 or a negative code of errors.def and write a sentence to error (which may be NULL).
 *    ret_ values are written on success only.
 *  - not_served, busy, forbidden, unreachable mean certainly not done. gone and timeout mean unknown: ask
 *    again only with `once`. hello_first and wrong_place do not come out: the client asks again, where it
 *    must.
 */
#ifndef MODELYARD_H
#define MODELYARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "actors/ground/arena.h"
#include "actors/ground/error.h"
#include "proto/messages.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct yard_client_t yard_client_t;
typedef struct yard_call_t yard_call_t; /* an ask under way */
typedef struct yard_follow_stream_t yard_follow_stream_t; /* ordered, gap-free events */
typedef struct yard_subscription_t yard_subscription_t; /* events that may be lost, and the loss told */
typedef struct yard_attachment_t yard_attachment_t; /* a model, mapped */

/*  --- connection */
/*  where: a run directory, an endpoint (ipc://…, tcp://…), or NULL for the yard that $MODELYARD_RUN,
 *  $MODELYARD_HOME and its configuration name. Says hello and waits for the welcome; unreachable after 2 s,
 *  at once when nothing can be there. */
int yard_client_connect (const char *where, yard_client_t **ret, yard_error_t *error);
/*  Withdraws calls and follows (their callbacks run with YARD_CANCELLED, streams end and are still their
 *  owner's to destroy); attachments live on. */
void yard_client_destroy (yard_client_t **self_p);

const char *yard_client_endpoint (const yard_client_t *self);
const char *yard_client_epoch (const yard_client_t *self); /* of the broker's life: 16 hex digits */

/*  For an event loop of yours: poll the descriptor for POLLIN, at most so many milliseconds, then dispatch;
 *  ask for the milliseconds before every poll (the descriptor tells of changes, not of what is still there:
 *  then they are 0). Dispatch never blocks; callbacks run in it. */
int yard_client_fd (const yard_client_t *self);
int yard_client_timeout_ms (yard_client_t *self);
void yard_client_dispatch (yard_client_t *self);

/*  --- asks */
typedef struct {
    const char *at; /* a place or instance; NULL = whoever the broker finds */
    int64_t deadline_ms; /* 0 = the method's own; a method without one is waited for until the yard is gone */
    const char *once; /* idempotency key; NULL = none */
    uint64_t ttl_s; /* how long what is granted lasts; 0 = as long as this client */
} yard_call_options_t;

/*  Blocks. ask is the method's ask struct (NULL = all defaults), ret_answer has room for its answer struct;
 *  what hangs on the answer lives in arena, and every string of it has a 0 behind it. options may be NULL. */
int yard_client_ask (yard_client_t *self, const yard_method_t *method, const void *ask,
                     const yard_call_options_t *options, yard_arena_t *arena, void *ret_answer,
                     yard_error_t *error);

typedef struct {
    int code; /* 0: answered */
    const void *answer; /* the method's answer struct; NULL on failure; valid until the callback returns */
    const char *text; /* of a failure: what was wrong and what to do */
    const failure_t *failure; /* whole, if it came from the yard; else NULL */
} yard_call_result_t;
typedef void (yard_called_fn) (void *argument, const yard_call_result_t *result);

/*  Does not block; called runs exactly once, in a later wait, dispatch, withdraw or destroy, and the call is
 *  freed after it. On failure (the ask does not pack) called does not run. ask is not needed after the
 *  return. ret may be NULL. A callback may call and withdraw; it must not block (ask, follow), and must not
 *  destroy the client. */
int yard_client_call (yard_client_t *self, const yard_method_t *method, const void *ask,
                      const yard_call_options_t *options, yard_called_fn *called, void *argument,
                      yard_call_t **ret, yard_error_t *error);
/*  Tells the server that nobody waits any more, runs the callback with YARD_CANCELLED, frees. Not after the
 *  callback has run. */
void yard_call_withdraw (yard_call_t **self_p);

/*  --- events */
/*  One event. Everything in it is valid until the next one is taken. */
typedef struct {
    yard_string_t name, subject;
    const yard_event_t *event; /* NULL: of a later version than this library; then body is NULL too */
    const void *body; /* the event's struct */
    const stamp_t *stamp;
} yard_event_seen_t;

typedef struct {
    const char *const *prefixes; /* of event names; NULL = all */
    size_t prefix_count;
    const char *subject; /* only this subject; NULL = all */
    const char *epoch; /* with it: events behind number `after` of that epoch; NULL = from now */
    uint64_t after;
} yard_follow_options_t;

/*  Blocks until the stream stands. Credit is given as events are taken: the yard keeps what is not taken yet
 *  (65,536 events), and who falls further behind gets too_old. Where the stream starts:
 *  yard_follow_stream_number. */
int yard_client_follow (yard_client_t *self, const yard_follow_options_t *options, yard_follow_stream_t **ret,
                        yard_error_t *error);
uint64_t yard_follow_stream_number (
    const yard_follow_stream_t *self); /* events after this one follow, or have been taken up to it */
const char *yard_follow_stream_epoch (const yard_follow_stream_t *self);
/*  0, or YARD_TIMEOUT when none came in timeout_ms (0 = looks only; negative = for ever), or the stream's
 *  end, which every later call says again: too_old (events were lost: read the state anew), gone (the broker
 *  is another: events with a change are in event.history). */
int yard_follow_stream_next (yard_follow_stream_t *self, int timeout_ms, yard_event_seen_t *ret,
                             yard_error_t *error);
void yard_follow_stream_destroy (yard_follow_stream_t **self_p);

/*  A plain subscription: cheap for the yard, but who is slow loses events. Each event comes with how it was
 *  told; `lost` is true when something of prefixes was lost before it (told by whole names: a prefix that
 *  names a subject, "a/17/", hides losses). */
int yard_client_subscribe (yard_client_t *self, const char *const *prefixes, size_t count,
                           yard_subscription_t **ret, yard_error_t *error);
/*  0, or YARD_TIMEOUT. Independent of the client's own socket; the client may be destroyed first. A loss at
 *  the very end shows within a second: then an event of name "" with `lost` comes. */
int yard_subscription_next (yard_subscription_t *self, int timeout_ms, yard_event_seen_t *ret, bool *ret_lost,
                            yard_error_t *error);
int yard_subscription_fd (
    const yard_subscription_t *self); /* as yard_client_fd: take events until YARD_TIMEOUT after it */
void yard_subscription_destroy (yard_subscription_t **self_p);

/*  --- models in memory */
typedef struct {
    yard_string_t name; /* of the file, or of the GPU */
    const uint8_t *data; /* read-only; NULL for an empty file */
    size_t size;
    int device; /* -1: the host; else CUDA's number in this process, and data is an address there */
} yard_attached_region_t;

typedef struct {
    yard_string_t name;
    yard_string_t dtype; /* "F16", "BF16", "F8_E4M3" … as in the file */
    const uint64_t *shape; /* rank of them */
    const uint64_t *strides; /* in elements; NULL = row-major without gaps */
    size_t rank;
    const uint8_t *data; /* inside its region, on its region's device; little-endian */
    size_t bytes;
} yard_attached_tensor_t;

/*  By the attach path and lease of a load_model_answer_t, on the same machine, as the same user. Blocks for
 *  as long as the loader takes, at most 10 s. The bytes stay while the attachment lives, also when the lease
 *  or the client has ended. Model files are never written in place by the yard; who truncates one by hand
 *  makes its readers die of SIGBUS. A model on a GPU needs the CUDA runtime (libcudart.so.13 or .12) in this
 *  process, or where it is found: not_served, not_local, out_of_memory say why it does not come. */
int yard_attach (const char *socket_path, yard_string_t lease, yard_attachment_t **ret, yard_error_t *error);
void yard_attachment_destroy (yard_attachment_t **self_p); /* unmaps: no pointer into it may be used after */
size_t yard_attachment_regions (const yard_attachment_t *self);
yard_attached_region_t yard_attachment_region (const yard_attachment_t *self, size_t index);
size_t yard_attachment_tensors (const yard_attachment_t *self);
yard_attached_tensor_t yard_attachment_tensor (const yard_attachment_t *self, size_t index);
bool yard_attachment_find (yard_attachment_t *self, const char *name, yard_attached_tensor_t *ret);

#ifdef __cplusplus
}
#endif
#endif
