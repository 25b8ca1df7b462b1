// SPDX-License-Identifier: Apache-2.0
/*  over_nats.c - NATS as its client protocol says: SUB, PUB with a reply subject, MSG
 *
 *  https://docs.nats.io/reference/reference-protocols/nats-protocol. The number of an ask is the last word of its reply subject.
 */
#include "carrier.h"

#include "stream.h"

#define ASKS "bench.ask"
#define ANSWERS "bench.answer."

struct bench_carrier_t {
    bench_stream_t *stream;
    bool asks;
};

/*  Skips what is not wanted, and answers the server's pings. */
static yard_string_t wait_line (bench_carrier_t *self, const char *start)
{
    for (;;) {
        yard_string_t line = bench_stream_line (self->stream);
        if (yard_string_starts (line, start))
            return line;
        if (yard_string_starts (line, "PING"))
            bench_stream_printf (self->stream, "PONG\r\n");
        if (yard_string_starts (line, "-ERR"))
            bench_die ("nats-server: %s", line.data);
    }
}

static bench_carrier_t *over_nats_open (const char *where, bool asks, const char *method)
{
    (void) method;
    bench_carrier_t *self = calloc (1, sizeof *self);
    if (!self)
        bench_die ("out of memory");
    self->stream = bench_stream_open (where);
    self->asks = asks;
    bench_stream_printf (self->stream,
                         "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB %s 1\r\nPING\r\n",
                         asks ? ANSWERS "*" : ASKS);
    wait_line (self, "PONG");
    return self;
}

static void over_nats_say (bench_carrier_t *self, uint64_t number, yard_string_t body)
{
    unsigned long long digits = number;
    if (self->asks)
        bench_stream_printf (self->stream, "PUB " ASKS " " ANSWERS "%llu %zu\r\n", digits, body.size);
    else
        bench_stream_printf (self->stream, "PUB " ANSWERS "%llu %zu\r\n", digits, body.size);
    bench_stream_write (self->stream, body);
    bench_stream_write (self->stream, yard_string ("\r\n"));
}

/*  MSG subject sid [reply] size */
static yard_string_t over_nats_hear (bench_carrier_t *self, uint64_t *ret_number)
{
    yard_string_t line = wait_line (self, "MSG ");
    const char *number = strstr (line.data, ANSWERS);
    const char *size = strrchr (line.data, ' ');
    if (!number || !size)
        bench_die ("nats-server: %s", line.data);
    *ret_number = strtoull (number + sizeof ANSWERS - 1, NULL, 10);
    return bench_stream_bytes (self->stream, (size_t) strtoull (size, NULL, 10));
}

static void over_nats_close (bench_carrier_t *self)
{
    bench_stream_close (self->stream);
    free (self);
}

const bench_carrier_class_t bench_over_nats = { "nats", over_nats_open, over_nats_say, over_nats_hear,
                                                over_nats_close };
