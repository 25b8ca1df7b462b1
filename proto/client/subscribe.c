// SPDX-License-Identifier: Apache-2.0
/*  subscribe.c - plain subscriptions: events may be lost, and the loss is told
 *
 *  Each event carries the number of the last one of its name; if that is not the one seen last, some were
 *  lost. The beat, once a second, carries the last number of every name, so that a loss with nothing behind
 *  it shows too. A name counts as watched whole when a prefix of ours covers every topic of it.
 */
#include "inside.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <zmq.h>

#define PREFIXES_MAX 32 /* as a follow */
#define RECEIVE_MAX \
    10000 /* events that wait here for a slow taker before ZeroMQ drops: a burst of a large install */
#define BODY_BYTES_MAX (64 * 1024 * 1024)
#define NAMES_MAX 256 /* event names; the beat's own limit */

/*  What was seen last of one name. */
typedef struct {
    uint64_t number;
} seen_t;

struct yard_subscription_t {
    void *context, *socket;
    char *prefixes [PREFIXES_MAX];
    size_t prefix_count;
    yard_table_t *names; /* name -> seen_t */
    char epoch [17];
    yard_arena_t *arena; /* of the event given last */
};

static seen_t *seen_of (yard_subscription_t *self, yard_string_t name)
{
    seen_t *seen = yard_table_get (self->names, name.data, name.size);
    if (seen || yard_table_count (self->names) >= NAMES_MAX)
        return seen;
    seen = calloc (1, sizeof *seen);
    if (!seen)
        abort ();
    yard_table_put (self->names, name.data, name.size, seen);
    return seen;
}

static void forget (yard_subscription_t *self)
{
    void *value;
    for (size_t at = 0; yard_table_next (self->names, &at, &value);)
        free (value);
    yard_table_destroy (&self->names);
    self->names = yard_table_new ();
}

/*  Every topic name/… begins with one of our prefixes. */
static bool is_watched_whole (const yard_subscription_t *self, yard_string_t name)
{
    for (size_t i = 0; i < self->prefix_count; i++) {
        size_t size = strlen (self->prefixes [i]);
        bool slash = size > 0 && self->prefixes [i][size - 1] == '/';
        size -= slash;
        if (size <= name.size && memcmp (self->prefixes [i], name.data, size) == 0 &&
            (!slash || size == name.size))
            return true;
    }
    return false;
}

static bool is_wanted (const yard_subscription_t *self, yard_string_t topic)
{
    for (size_t i = 0; i < self->prefix_count; i++)
        if (yard_string_starts (topic, self->prefixes [i]))
            return true;
    return false;
}

/*  Another broker counts from the start: what it told before we heard it cannot be known, so it counts as
 *  lost. */
static bool note_epoch (yard_subscription_t *self, yard_string_t epoch)
{
    bool other = self->epoch [0] && !yard_string_is (epoch, self->epoch);
    if (other)
        forget (self);
    snprintf (self->epoch, sizeof self->epoch, "%.*s", YARD_VIEW (epoch));
    return other;
}

static bool note_event (yard_subscription_t *self, const yard_event_seen_t *event)
{
    bool lost = note_epoch (self, event->stamp->epoch);
    seen_t *seen = is_watched_whole (self, event->name) ? seen_of (self, event->name) : NULL;
    if (seen) {
        lost = lost || (seen->number && event->stamp->previous != seen->number);
        seen->number = event->stamp->number;
    }
    return lost;
}

static bool note_beat (yard_subscription_t *self, const beat_t *beat)
{
    bool lost = note_epoch (self, beat->epoch);
    for (size_t i = 0; i < beat->last.count; i++) {
        const beat_number_t *row = &beat->last.items [i];
        seen_t *seen = is_watched_whole (self, row->name) ? seen_of (self, row->name) : NULL;
        if (!seen)
            continue;
        lost = lost || (seen->number && row->number > seen->number);
        if (row->number > seen->number)
            seen->number = row->number;
    }
    return lost;
}

static int open_socket (yard_subscription_t *self, const char *endpoint, yard_error_t *error)
{
    const int limit = RECEIVE_MAX, linger = 0;
    const int64_t frame_max = YARD_MESSAGE_MAX;
    self->context = zmq_ctx_new ();
    self->socket = self->context ? zmq_socket (self->context, ZMQ_SUB) : NULL;
    if (!self->socket)
        return yard_error (error, YARD_INTERNAL, "cannot make a ZeroMQ socket: %s", zmq_strerror (errno));
    zmq_setsockopt (self->socket, ZMQ_RCVHWM, &limit, sizeof limit);
    zmq_setsockopt (self->socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt (self->socket, ZMQ_MAXMSGSIZE, &frame_max, sizeof frame_max);
    for (size_t i = 0; i < self->prefix_count; i++)
        zmq_setsockopt (self->socket, ZMQ_SUBSCRIBE, self->prefixes [i], strlen (self->prefixes [i]));
    zmq_setsockopt (self->socket, ZMQ_SUBSCRIBE, "yard_beat/", 10);
    if (zmq_connect (self->socket, endpoint))
        return yard_error (error, YARD_UNREACHABLE, "cannot subscribe at %s: %s", endpoint,
                           zmq_strerror (errno));
    return 0;
}

int yard_client_subscribe (yard_client_t *client, const char *const *prefixes, size_t count,
                           yard_subscription_t **ret, yard_error_t *error)
{
    if (count > PREFIXES_MAX)
        return yard_error (error, YARD_TOO_LARGE, "at most %d prefixes; one that is shorter covers several",
                           PREFIXES_MAX);
    yard_subscription_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->names = yard_table_new ();
    self->arena = yard_arena_new (BODY_BYTES_MAX);
    for (size_t i = 0; i < (count ? count : 1); i++) {
        self->prefixes [self->prefix_count] = strdup (count ? prefixes [i] : "");
        if (!self->prefixes [self->prefix_count++])
            abort ();
    }
    yard_version_answer_t version;
    int rc = yard_client_ask (client, &yard_version_method, NULL, NULL, self->arena, &version, error);
    if (rc == 0)
        rc = open_socket (self, version.event_endpoint.data, error);
    if (rc)
        yard_subscription_destroy (&self);
    else
        *ret = self;
    return rc;
}

/*  One message into the arena; frames past the third are dropped. How many there were; 0 = none waits. */
static size_t receive (yard_subscription_t *self, yard_string_t *frames)
{
    size_t count = 0;
    bool more = true;
    while (more) {
        zmq_msg_t part;
        zmq_msg_init (&part);
        if (zmq_msg_recv (&part, self->socket, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close (&part);
            return 0;
        }
        more = zmq_msg_more (&part);
        if (count < 3)
            frames [count] =
                yard_arena_copy (self->arena, (yard_string_t){ zmq_msg_data (&part), zmq_msg_size (&part) });
        count++;
        zmq_msg_close (&part);
    }
    return count;
}

/*  0: ret is something to give. YARD_BUSY: it was nothing to give, look again. YARD_TIMEOUT: nothing
 *  waits. */
static int take (yard_subscription_t *self, yard_event_seen_t *ret, bool *ret_lost)
{
    yard_string_t frames [3];
    yard_event_seen_t seen;
    yard_arena_reset (self->arena);
    size_t count = receive (self, frames);
    if (count == 0)
        return YARD_TIMEOUT;
    /* On XPUB the stamp comes before the body. */
    if (count != 3 || client_event_read (frames [0], frames [2], frames [1], self->arena, &seen, NULL))
        return YARD_BUSY;
    if (seen.event == &yard_beat_event) {
        bool lost = note_beat (self, seen.body);
        bool wanted = is_wanted (self, frames [0]);
        if (lost && !wanted)
            seen = (yard_event_seen_t){ .name = { "", 0 }, .subject = { "", 0 }, .stamp = seen.stamp };
        *ret = seen;
        *ret_lost = lost;
        return lost || wanted ? 0 : YARD_BUSY;
    }
    *ret_lost = note_event (self, &seen);
    *ret = seen;
    return 0;
}

int yard_subscription_next (yard_subscription_t *self, int timeout_ms, yard_event_seen_t *ret, bool *ret_lost,
                            yard_error_t *error)
{
    int64_t end = client_now_ms () + (timeout_ms > 0 ? timeout_ms : 0);
    for (;;) {
        int rc = take (self, ret, ret_lost);
        if (rc == 0)
            return 0;
        int left = timeout_ms < 0 ? -1 : client_left_ms (end);
        if (rc == YARD_TIMEOUT && left == 0)
            return yard_error (error, YARD_TIMEOUT, "no event came in %d ms", timeout_ms);
        zmq_pollitem_t item = { .socket = self->socket, .events = ZMQ_POLLIN };
        zmq_poll (&item, 1, rc == YARD_BUSY ? 0 : left);
    }
}

int yard_subscription_fd (const yard_subscription_t *self)
{
    int fd = -1;
    size_t size = sizeof fd;
    zmq_getsockopt (self->socket, ZMQ_FD, &fd, &size);
    return fd;
}

void yard_subscription_destroy (yard_subscription_t **self_p)
{
    assert (self_p);
    yard_subscription_t *self = *self_p;
    if (!self)
        return;
    if (self->socket)
        zmq_close (self->socket);
    if (self->context)
        zmq_ctx_term (self->context);
    for (size_t i = 0; i < self->prefix_count; i++)
        free (self->prefixes [i]);
    forget (self);
    yard_table_destroy (&self->names);
    yard_arena_destroy (&self->arena);
    free (self);
    *self_p = NULL;
}
