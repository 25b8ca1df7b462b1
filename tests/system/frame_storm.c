// SPDX-License-Identifier: Apache-2.0
/*  frame_storm.c - throws frames at a broker that are no messages, or nearly are, while one valid asker takes the time of its answers
 *
 *  frame_storm RUN command|event|idle COUNT SEED RATE
 *
 *  command: COUNT messages over SOCKETS connections to command.ipc, RATE a second (0: as fast as they go); a
 *  quarter are noise, the rest are valid messages of every method and letter with up to MUTATIONS_MAX things
 *  changed in them. event: COUNT frames to event.ipc, subscriptions among them. idle: nothing, for COUNT asks of the asker.
 *  Each connection is closed and made anew after PER_CONNECTION messages, without a goodbye.
 *
 *  Prints one line: "sent N asks N p50_us N p99_us N slowest_us N unanswered N".
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>
#include "actors/ground/clock.h"
#include "proto/envelope.h"
#include "proto/messages.h"

#define REST_MAX 120 /* of a failure that is shown: its code, and the beginning of its sentence */
#define SOCKETS 8
#define PER_CONNECTION \
    5000 /* so that what a connection may hold is let go, and a hundred of them come and go */
#define MUTATIONS_MAX 4
#define FRAMES_MAX 12 /* two more than anybody takes */
#define FRAME_MAX 3000
#define TEMPLATES 512
#define ASKS_MAX 1000000
#define ANSWER_MS 10000 /* longer than any stall that may be called one */
#define ASK_EVERY_MS 1
#define TOO_LONG_ONE_IN 5000

typedef struct {
    char *bytes;
    size_t size;
} frame_t;

typedef struct {
    frame_t frames [FRAMES_MAX];
    size_t count;
} template_t;

typedef struct {
    void *context;
    char command [256], event [256];
    yard_random_t random;
    template_t templates [TEMPLATES];
    template_t made; /* the next message; its frames have FRAME_MAX bytes of room */
    atomic_bool over;

    /*  The asker's. */
    size_t asks, asks_max, unanswered;
    uint32_t *took_us;
} storm_t;

static uint64_t below (storm_t *self, uint64_t bound)
{
    return yard_random_below (&self->random, bound);
}

/*  --- valid messages ------------------------------------------------------------------------------------ */
static frame_t keep (const void *bytes, size_t size)
{
    frame_t kept = { malloc (FRAME_MAX), size < FRAME_MAX ? size : FRAME_MAX };
    assert (kept.bytes);
    memcpy (kept.bytes, bytes, kept.size);
    return kept;
}

static frame_t pack (storm_t *self, const yard_wire_type_t *type)
{
    yard_arena_t *arena = yard_arena_new (YARD_MESSAGE_MAX);
    yard_buffer_t body;
    yard_buffer_init (&body, YARD_MESSAGE_MAX);
    void *value = yard_arena_alloc (arena, type->size);
    yard_wire_random (type, &self->random, arena, value);
    yard_wire_pack (type, value, &body, NULL);
    frame_t packed = keep (body.size ? body.data : "\x80", body.size ? body.size : 1);
    yard_buffer_clear (&body);
    yard_arena_destroy (&arena);
    return packed;
}

/*  An ask of any method, or one of the other letters with its own body. */
static void make_template (storm_t *self, template_t *ret, size_t methods)
{
    const struct {
        char letter;
        const yard_wire_type_t *type;
    } letters [] = { { 'H', hello_type () },   { 'C', credit_type () },  { 'O', pong_type () },
                     { 'B', bye_type () },     { 'W', welcome_type () }, { 'F', failure_type () },
                     { 'R', nothing_type () }, { 'P', nothing_type () }, { 'E', nothing_type () } };
    char head [YARD_HEAD_MAX] = "YARD1A", name [YARD_METHOD_NAME_MAX] = "";
    size_t id = 8;
    const yard_method_t *method = yard_methods () [below (self, methods)];
    const yard_wire_type_t *body = method->ask ();
    if (below (self, 4) == 0) {
        size_t at = below (self, sizeof letters / sizeof letters [0]);
        head [5] = letters [at].letter;
        body = letters [at].type;
        id = below (self, 2) * 8;
    } else {
        yard_method_name (method, name);
    }
    yard_random_bytes (&self->random, head + 6, id);
    ret->frames [0] = keep (head, 6 + id);
    ret->frames [1] = keep (name, strlen (name));
    ret->frames [2] = pack (self, body);
    ret->count = 3;
    if (below (self, 2))
        ret->frames [ret->count++] = pack (self, meta_type ());
}

/*  --- messages that are none ---------------------------------------------------------------------------- */
static void noise (storm_t *self, frame_t *frame)
{
    static const size_t sizes [] = { 0, 1, 7, 40, 255, FRAME_MAX };
    frame->size = sizes [below (self, sizeof sizes / sizeof sizes [0])];
    yard_random_bytes (&self->random, frame->bytes, frame->size);
}

static void flip (storm_t *self, frame_t *frame)
{
    if (frame->size)
        frame->bytes [below (self, frame->size)] ^= (char) (1u << below (self, 8));
}

static void cut (storm_t *self, frame_t *frame)
{
    frame->size = below (self, frame->size + 1);
}

static void stretch (storm_t *self, frame_t *frame)
{
    size_t more = below (self, FRAME_MAX - frame->size + 1);
    yard_random_bytes (&self->random, frame->bytes + frame->size, more);
    frame->size += more;
}

/*  Another letter, if it is the head. */
static void rename_letter (storm_t *self, frame_t *frame)
{
    if (frame->size > 5)
        frame->bytes [5] = "ARFEHWCPOBx\0" [below (self, 12)];
}

static void mutate (storm_t *self)
{
    static void (*const ways []) (storm_t *, frame_t *) = { flip, flip, cut, stretch, rename_letter, noise };
    template_t *made = &self->made;
    size_t at = below (self, made->count), other = below (self, made->count);
    frame_t one = made->frames [at];
    switch (below (self, 8)) {
    case 0: /* two change places */
        made->frames [at] = made->frames [other];
        made->frames [other] = one;
        return;
    case 1: /* one more */
        if (made->count < FRAMES_MAX)
            noise (self, &made->frames [made->count++]);
        return;
    default:
        ways [below (self, sizeof ways / sizeof ways [0])](self, &made->frames [at]);
    }
}

static void make_message (storm_t *self)
{
    template_t *made = &self->made;
    if (below (self, 4) == 0) {
        made->count = 1 + below (self, FRAMES_MAX);
        for (size_t i = 0; i < made->count; i++)
            noise (self, &made->frames [i]);
        return;
    }
    const template_t *from = &self->templates [below (self, TEMPLATES)];
    made->count = from->count;
    for (size_t i = 0; i < from->count; i++) {
        made->frames [i].size = from->frames [i].size;
        memcpy (made->frames [i].bytes, from->frames [i].bytes, from->frames [i].size);
    }
    if (made->frames [0].size == 14) /* an ask with an id of its own */
        yard_random_bytes (&self->random, made->frames [0].bytes + 6, 8);
    for (uint64_t changes = below (self, MUTATIONS_MAX + 1); changes > 0; changes--)
        mutate (self);
}

/*  What an XPUB takes: subscriptions, their ends, and anything else, in one frame. Few are too long: those cost the
 *  connection, and all that was said on it comes again. */
static void make_subscription (storm_t *self)
{
    frame_t *frame = &self->made.frames [0];
    self->made.count = 1;
    noise (self, frame);
    if (below (self, TOO_LONG_ONE_IN))
        frame->size = frame->size > YARD_NAME_MAX ? YARD_NAME_MAX : frame->size;
    if (frame->size && below (self, 4))
        frame->bytes [0] = (char) below (self, 2);
}

/*  --- the valid asker ----------------------------------------------------------------------------------- */
/*  The next message's head, and its last frame as far as it can be printed [REST_MAX]; what is between is read away. */
static int receive_head (void *socket, char *ret_head, size_t size, char *ret_rest)
{
    int got = zmq_recv (socket, ret_head, size, 0), more = got >= 0;
    for (size_t option = sizeof more; more;) {
        zmq_getsockopt (socket, ZMQ_RCVMORE, &more, &option);
        int rest = more ? zmq_recv (socket, ret_rest, REST_MAX, 0) : 0;
        for (int at = 0; at < REST_MAX && rest > 0; at++)
            ret_rest [at] = at >= rest                                     ? 0
                            : ret_rest [at] >= ' ' && ret_rest [at] <= '~' ? ret_rest [at]
                                                                           : '.';
    }
    return got;
}

/*  An answer that comes after its ask was given up belongs to that one. */
static bool ask_once (void *socket, uint64_t number)
{
    static const char body [] = "\x81\xa3key\xd9\x20"
                                "00000000000000000000000000000000"; /* record.exists {key} */
    char head [14] = "YARD1A", answer [14], rest [REST_MAX];
    memcpy (head + 6, &number, sizeof number);
    zmq_send (socket, head, sizeof head, ZMQ_SNDMORE);
    zmq_send (socket, "record.exists", 13, ZMQ_SNDMORE);
    zmq_send (socket, body, sizeof body - 1, 0);
    for (;;) {
        int size = receive_head (socket, answer, sizeof answer, rest);
        if (size < 0) {
            fprintf (stderr, "ask %llu: no answer in %d ms\n", (unsigned long long) number, ANSWER_MS);
            return false;
        }
        if (size != sizeof head || memcmp (answer + 6, &number, sizeof number) != 0)
            continue;
        if (answer [5] != 'R')
            fprintf (stderr, "ask %llu: answered with %c: %.*s\n", (unsigned long long) number, answer [5],
                     REST_MAX, rest);
        return answer [5] == 'R';
    }
}

static void *ask_on (void *argument)
{
    storm_t *self = argument;
    const yard_clock_t *clock = yard_clock_system ();
    const int patience = ANSWER_MS, none = 0;
    void *socket = zmq_socket (self->context, ZMQ_DEALER);
    zmq_setsockopt (socket, ZMQ_RCVTIMEO, &patience, sizeof patience);
    zmq_setsockopt (socket, ZMQ_LINGER, &none, sizeof none);
    zmq_connect (socket, self->command);
    while (!self->over && self->asks < self->asks_max) {
        int64_t begun_ns = clock->monotonic_ns (clock->context);
        bool good = ask_once (socket, self->asks + 1);
        self->took_us [self->asks++] = (uint32_t) ((clock->monotonic_ns (clock->context) - begun_ns) / 1000);
        self->unanswered += !good;
        poll (NULL, 0, ASK_EVERY_MS);
    }
    self->over = true;
    zmq_close (socket);
    return NULL;
}

/*  --- the storm ----------------------------------------------------------------------------------------- */
static void *open_socket (storm_t *self, bool event)
{
    const int none = 0;
    void *socket = zmq_socket (self->context, event ? ZMQ_XSUB : ZMQ_DEALER);
    zmq_setsockopt (socket, ZMQ_LINGER, &none, sizeof none);
    zmq_connect (socket, event ? self->event : self->command);
    return socket;
}

/*  Sends what was made. Waits while the broker takes no more: that is its right; then the answers are read
 *  away, on all connections but the first. */
static void send_made (storm_t *self, void *socket, bool reads)
{
    zmq_pollitem_t item = { .socket = socket, .events = ZMQ_POLLOUT };
    zmq_poll (&item, 1, ANSWER_MS);
    for (size_t i = 0; i < self->made.count; i++)
        zmq_send (socket, self->made.frames [i].bytes, self->made.frames [i].size,
                  ZMQ_DONTWAIT | (i + 1 < self->made.count ? ZMQ_SNDMORE : 0));
    char rest [64];
    while (reads && zmq_recv (socket, rest, sizeof rest, ZMQ_DONTWAIT) >= 0)
        continue;
}

static void keep_rate (int64_t begun_ms, size_t sent, size_t rate)
{
    int64_t due_ms = rate ? begun_ms + (int64_t) (sent * 1000 / rate) : 0;
    int64_t early_ms = due_ms - yard_clock_ms (yard_clock_system ());
    if (early_ms > 0)
        poll (NULL, 0, (int) early_ms);
}

static size_t blow (storm_t *self, bool event, size_t count, size_t rate)
{
    void *sockets [SOCKETS];
    size_t sent = 0;
    int64_t begun_ms = yard_clock_ms (yard_clock_system ());
    for (size_t i = 0; i < SOCKETS; i++)
        sockets [i] = open_socket (self, event);
    for (; sent < count && !self->over; sent++) {
        size_t at = sent % SOCKETS;
        if (event)
            make_subscription (self);
        else
            make_message (self);
        send_made (self, sockets [at], at != 0);
        if (sent / SOCKETS % PER_CONNECTION == PER_CONNECTION - 1) {
            zmq_close (sockets [at]);
            sockets [at] = open_socket (self, event);
        }
        if (sent % 32 == 0)
            keep_rate (begun_ms, sent, rate);
    }
    for (size_t i = 0; i < SOCKETS; i++)
        zmq_close (sockets [i]);
    return sent;
}

static int by_size (const void *one, const void *other)
{
    const uint32_t *a = one, *b = other;
    return (*a > *b) - (*a < *b);
}

static void prepare (storm_t *self, const char *run, uint64_t seed)
{
    size_t methods = 0;
    while (yard_methods () [methods])
        methods++;
    self->context = zmq_ctx_new ();
    snprintf (self->command, sizeof self->command, "ipc://%s/command.ipc", run);
    snprintf (self->event, sizeof self->event, "ipc://%s/event.ipc", run);
    yard_random_seed (&self->random, seed);
    for (size_t i = 0; i < TEMPLATES; i++)
        make_template (self, &self->templates [i], methods);
    for (size_t i = 0; i < FRAMES_MAX; i++)
        self->made.frames [i] = keep ("", 0);
    self->took_us = calloc (ASKS_MAX, sizeof *self->took_us);
    assert (self->context && self->took_us);
}

static void clear (storm_t *self)
{
    zmq_ctx_term (self->context);
    for (size_t i = 0; i < TEMPLATES; i++)
        for (size_t j = 0; j < self->templates [i].count; j++)
            free (self->templates [i].frames [j].bytes);
    for (size_t i = 0; i < FRAMES_MAX; i++)
        free (self->made.frames [i].bytes);
    free (self->took_us);
    free (self);
}

int main (int argc, char **argv)
{
    if (argc != 6)
        return 2;
    storm_t *self = calloc (1, sizeof *self);
    assert (self);
    size_t count = strtoul (argv [3], NULL, 10), sent = 0;
    bool idle = strcmp (argv [2], "idle") == 0;
    prepare (self, argv [1], strtoul (argv [4], NULL, 10));
    self->asks_max = idle && count < ASKS_MAX ? count : ASKS_MAX;
    pthread_t asker;
    int failed = pthread_create (&asker, NULL, ask_on, self);
    assert (!failed);
    if (!idle) {
        sent = blow (self, strcmp (argv [2], "event") == 0, count, strtoul (argv [5], NULL, 10));
        self->over = true;
    }
    pthread_join (asker, NULL);
    qsort (self->took_us, self->asks, sizeof *self->took_us, by_size);
    printf ("sent %zu asks %zu p50_us %u p99_us %u slowest_us %u unanswered %zu\n", sent, self->asks,
            self->took_us [self->asks / 2], self->took_us [self->asks * 99 / 100],
            self->took_us [self->asks ? self->asks - 1 : 0], self->unanswered);
    clear (self);
    return 0;
}
