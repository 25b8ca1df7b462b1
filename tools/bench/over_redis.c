// SPDX-License-Identifier: Apache-2.0
/*  over_redis.c - two lists of redis as mailboxes: LPUSH says, BRPOP hears
 *
 *  https://redis.io/docs/latest/develop/reference/protocol-spec/. A BRPOP holds its connection until something
 *  comes, so each end has two. An ask's number is the first eight bytes of its element.
 */
#include "carrier.h"

#include "stream.h"

#define ASKS "bench.ask"
#define ANSWERS "bench.answer"
#define POPS_AHEAD 128 /* BRPOPs of an answerer under way: more than the window of asks */

struct bench_carrier_t {
    bench_stream_t *push, *pop;
    bool asks;
};

static void pop_one (bench_carrier_t *self)
{
    const char *list = self->asks ? ANSWERS : ASKS;
    bench_stream_printf (self->pop, "*3\r\n$5\r\nBRPOP\r\n$%zu\r\n%s\r\n$1\r\n0\r\n", strlen (list), list);
}

static bench_carrier_t *over_redis_open (const char *where, bool asks, const char *method)
{
    (void) method;
    bench_carrier_t *self = calloc (1, sizeof *self);
    if (!self)
        bench_die ("out of memory");
    self->push = bench_stream_open (where);
    self->pop = bench_stream_open (where);
    self->asks = asks;
    for (int i = 0; !asks && i < POPS_AHEAD; i++)
        pop_one (self);
    bench_stream_flush (self->pop);
    return self;
}

static void over_redis_say (bench_carrier_t *self, uint64_t number, yard_string_t body)
{
    const char *list = self->asks ? ASKS : ANSWERS;
    bench_stream_printf (self->push, "*3\r\n$5\r\nLPUSH\r\n$%zu\r\n%s\r\n$%zu\r\n", strlen (list), list,
                         sizeof number + body.size);
    bench_stream_write (self->push, (yard_string_t){ (const char *) &number, sizeof number });
    bench_stream_write (self->push, body);
    bench_stream_write (self->push, yard_string ("\r\n"));
    pop_one (self);
}

/*  *2 $n list $m element. What LPUSH answers, a length, nobody needs. */
static yard_string_t over_redis_hear (bench_carrier_t *self, uint64_t *ret_number)
{
    bench_stream_forget (self->push);
    yard_string_t line = bench_stream_line (self->pop);
    if (!yard_string_is (line, "*2"))
        bench_die ("redis-server: %s", line.data);
    bench_stream_line (self->pop);
    bench_stream_line (self->pop);
    line = bench_stream_line (self->pop);
    yard_string_t element = bench_stream_bytes (self->pop, (size_t) strtoull (line.data + 1, NULL, 10));
    if (element.size < sizeof *ret_number)
        bench_die ("redis-server: an element without a number");
    memcpy (ret_number, element.data, sizeof *ret_number);
    return (yard_string_t){ element.data + sizeof *ret_number, element.size - sizeof *ret_number };
}

static void over_redis_close (bench_carrier_t *self)
{
    bench_stream_close (self->push);
    bench_stream_close (self->pop);
    free (self);
}

const bench_carrier_class_t bench_over_redis = { "redis", over_redis_open, over_redis_say, over_redis_hear,
                                                 over_redis_close };
