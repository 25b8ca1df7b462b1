// SPDX-License-Identifier: Apache-2.0
/*  events.c - tells events to a broker, or follows them on many connections
 *
 *      bench-events publish ENDPOINT COUNT BATCH RATE       RATE a second, BATCH in one ask; 0 = as fast as they are taken
 *      bench-events follow ENDPOINT FOLLOWERS COUNT         ends when each of them has had COUNT, without a gap
 *
 *  A follower says hello, answers pings and gives credit as the clients do. `follow` says "ready" when all of them stand.
 */
#include "carrier.h"

#include <errno.h>
#include <poll.h>
#include "actors/ground/arena.h"
#include "actors/runtime/bus.h"
#include "proto/messages.h"

#define FOLLOWERS_MAX 64
#define BATCH_MAX 256 /* event.def */
#define UNDER_WAY_MAX 4 /* asks of a publisher */
#define BODY_BYTES 200 /* of an event: a download's */
#define CREDIT 256
#define CREDIT_STEP 128
#define ARENA_BYTES_MAX ((size_t) 1 << 20)
#define EVENT_NAME "bench_told"

typedef struct {
    yard_bus_t *bus;
    yard_socket_t *socket;
    yard_message_t message;
    yard_arena_t *arena;
    uint64_t seen, number; /* events, and the last one's number */
} follower_t;

/*  --- publish */
static void pack_batch (uint64_t batch, yard_buffer_t *ret)
{
    static char body [BODY_BYTES];
    told_t rows [BATCH_MAX];
    event_publish_ask_t ask;
    yard_wire_init (event_publish_method.ask (), &ask);
    for (uint64_t i = 0; i < batch; i++) {
        yard_wire_init (told_type (), &rows [i]);
        rows [i].name = yard_string (EVENT_NAME);
        rows [i].subject = yard_string ("17");
        rows [i].body = (yard_string_t){ body, sizeof body };
        rows [i].time = 1;
    }
    ask.events.items = rows;
    ask.events.count = batch;
    yard_error_t error;
    if (yard_wire_pack (event_publish_method.ask (), &ask, ret, &error))
        bench_die ("%s", error.text);
}

static void wait_until (int64_t due_ns)
{
    struct timespec until = { due_ns / 1000000000, due_ns % 1000000000 };
    while (clock_nanosleep (CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        continue;
}

static void publish (const char *endpoint, uint64_t count, uint64_t batch, uint64_t rate)
{
    if (batch == 0 || batch > BATCH_MAX)
        bench_die ("a batch has 1 to %d events", BATCH_MAX);
    yard_buffer_t packed;
    yard_buffer_init (&packed, YARD_MESSAGE_MAX);
    pack_batch (batch, &packed);
    bench_carrier_t *carrier = bench_over_bus.open (endpoint, true, "event.publish");
    uint64_t asks = count / batch, taken = 0, number;
    int64_t begun_ns = bench_now_ns ();
    for (uint64_t i = 0; i < asks; i++) {
        if (rate)
            wait_until (begun_ns + (int64_t) (i * batch * 1000000000 / rate));
        bench_over_bus.say (carrier, i, yard_buffer_view (&packed));
        for (; i + 1 - taken >= UNDER_WAY_MAX; taken++)
            bench_over_bus.hear (carrier, &number);
    }
    for (; taken < asks; taken++)
        bench_over_bus.hear (carrier, &number);
    double seconds = (double) (bench_now_ns () - begun_ns) / 1e9;
    printf ("{\"seconds\": %.3f, \"per_s\": %.1f}\n", seconds, (double) (asks * batch) / seconds);
    bench_over_bus.close (carrier);
    yard_buffer_clear (&packed);
}

/*  --- follow */
static void say (follower_t *self, char letter, const char *name, const yard_wire_type_t *type,
                 const void *value)
{
    yard_buffer_t body;
    yard_error_t error;
    yard_buffer_init (&body, YARD_MESSAGE_MAX);
    if (yard_wire_pack (type, value, &body, &error))
        bench_die ("%s", error.text);
    bool about_follow = letter == 'A' || letter == 'C';
    yard_envelope_t envelope = { .letter = letter,
                                 .id = yard_string (about_follow ? "f" : ""),
                                 .name = yard_string (name),
                                 .body = yard_buffer_view (&body) };
    char head [YARD_HEAD_MAX];
    yard_string_t frames [YARD_FRAMES_MAX];
    size_t count = yard_envelope_frames (&envelope, head, frames);
    yard_poll_t item = { .socket = self->socket, .events = POLLOUT };
    while (yard_socket_send (self->socket, frames, count) == YARD_BUSY)
        yard_bus_poll (self->bus, &item, 1, -1);
    yard_buffer_clear (&body);
}

static void say_hello (follower_t *self, size_t number)
{
    char instance [33], place [64];
    snprintf (instance, sizeof instance, "%032llx", (unsigned long long) getpid () << 16 | number);
    snprintf (place, sizeof place, "client/%s", instance);
    hello_t hello;
    yard_wire_init (hello_type (), &hello);
    hello.actor = yard_string ("client");
    hello.place = yard_string (place);
    hello.instance = yard_string (instance);
    hello.node = yard_string ("bench");
    hello.protocol = YARD_PROTOCOL;
    say (self, 'H', "", hello_type (), &hello);
}

static void ask_follow (follower_t *self)
{
    yard_text_t prefix = yard_string (EVENT_NAME);
    event_follow_ask_t ask;
    yard_wire_init (event_follow_method.ask (), &ask);
    ask.prefixes.items = &prefix;
    ask.prefixes.count = 1;
    ask.credit = CREDIT;
    say (self, 'A', "event.follow", event_follow_method.ask (), &ask);
}

/*  Only events of our name come, so `previous` is the one before, or that one was lost. */
static void take_event (follower_t *self, const yard_envelope_t *envelope)
{
    stamp_t stamp;
    yard_error_t error;
    yard_arena_reset (self->arena);
    if (yard_wire_unpack (stamp_type (), envelope->meta.data, envelope->meta.size, YARD_WIRE_ANSWER,
                          self->arena, &stamp, &error))
        bench_die ("%s", error.text);
    if (self->number && stamp.previous != self->number)
        bench_die ("event %llu is lost", (unsigned long long) stamp.previous);
    self->number = stamp.number;
    if (++self->seen % CREDIT_STEP)
        return;
    credit_t credit = { .more = CREDIT_STEP };
    say (self, 'C', "", credit_type (), &credit);
}

/*  The letter of what came; 0: nothing. */
static char take (follower_t *self)
{
    if (!yard_socket_receive (self->socket, &self->message))
        return 0;
    yard_envelope_t envelope;
    yard_error_t error;
    if (yard_envelope_parse (self->message.frames, self->message.count, &envelope, &error))
        bench_die ("%s", error.text);
    if (envelope.letter == 'F')
        bench_die ("refused: %.*s", YARD_VIEW (envelope.body));
    if (envelope.letter == 'E')
        take_event (self, &envelope);
    if (envelope.letter == 'P') {
        pong_t pong;
        yard_wire_init (pong_type (), &pong);
        say (self, 'O', "", pong_type (), &pong);
    }
    return envelope.letter;
}

static void wait_for (follower_t *self, char letter)
{
    yard_poll_t item = { .socket = self->socket, .events = POLLIN };
    for (char came = 0; came != letter;)
        if (!(came = take (self)))
            yard_bus_poll (self->bus, &item, 1, -1);
}

static void begin (follower_t *self, yard_bus_t *bus, const char *endpoint, size_t number)
{
    yard_error_t error;
    self->bus = bus;
    self->arena = yard_arena_new (ARENA_BYTES_MAX);
    yard_message_init (&self->message);
    if (yard_bus_open (bus, YARD_SOCKET_DEALER, endpoint, &self->socket, &error))
        bench_die ("%s", error.text);
    say_hello (self, number);
    wait_for (self, 'W');
    ask_follow (self);
    wait_for (self, 'R');
}

/*  Reads what has come for each of them; how many events the last of them has had. */
static uint64_t take_all (follower_t *all, size_t count)
{
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < count; i++) {
        while (take (&all [i]))
            continue;
        least = all [i].seen < least ? all [i].seen : least;
    }
    return least;
}

static void follow (const char *endpoint, uint64_t count, uint64_t events)
{
    if (count == 0 || count > FOLLOWERS_MAX)
        bench_die ("1 to %d followers", FOLLOWERS_MAX);
    static follower_t all [FOLLOWERS_MAX];
    yard_poll_t items [FOLLOWERS_MAX];
    yard_bus_t *bus = yard_bus_zmq_new ();
    for (size_t i = 0; i < count; i++) {
        begin (&all [i], bus, endpoint, i);
        items [i] = (yard_poll_t){ .socket = all [i].socket, .events = POLLIN };
    }
    puts ("ready");
    fflush (stdout);
    do
        yard_bus_poll (bus, items, count, -1);
    while (take_all (all, count) < events);
    for (size_t i = 0; i < count; i++) {
        yard_message_clear (&all [i].message);
        yard_arena_destroy (&all [i].arena);
    }
    yard_bus_destroy (&bus);
}

int main (int argc, char **argv)
{
    if (argc == 6 && strcmp (argv [1], "publish") == 0)
        publish (argv [2], bench_number (argv [3]), bench_number (argv [4]), bench_number (argv [5]));
    else if (argc == 5 && strcmp (argv [1], "follow") == 0)
        follow (argv [2], bench_number (argv [3]), bench_number (argv [4]));
    else
        bench_die ("usage: bench-events publish ENDPOINT COUNT BATCH RATE | follow ENDPOINT FOLLOWERS COUNT");
    return 0;
}
