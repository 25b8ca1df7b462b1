// SPDX-License-Identifier: Apache-2.0
/*  answer.c - answers record.exists without a yard: over a ROUTER of its own, NATS or Redis, until it is ended
 *
 *      bench-answer bus|nats|redis WHERE       (an endpoint, or a port of this machine)
 *
 *  It unpacks each ask and packs each answer with the yard's engine, as an actor does. Says "ready" when it listens.
 */
#include "carrier.h"

#include "proto/messages.h"

#define ARENA_BYTES_MAX ((size_t) 1 << 20)

int main (int argc, char **argv)
{
    if (argc != 3)
        bench_die ("usage: bench-answer bus|nats|redis WHERE");
    const bench_carrier_class_t *class = bench_carrier_named (argv [1]);
    bench_carrier_t *carrier = class->open (argv [2], false, "record.exists");
    yard_arena_t *arena = yard_arena_new (ARENA_BYTES_MAX);
    yard_buffer_t packed;
    yard_buffer_init (&packed, YARD_MESSAGE_MAX);
    puts ("ready");
    fflush (stdout);
    for (;;) {
        uint64_t number;
        yard_error_t error;
        record_exists_ask_t ask;
        yard_string_t body = class->hear (carrier, &number);
        yard_arena_reset (arena);
        yard_buffer_reset (&packed);
        if (yard_wire_unpack (record_exists_method.ask (), body.data, body.size, YARD_WIRE_ASK, arena, &ask,
                              &error))
            bench_die ("%s", error.text);
        record_exists_answer_t answer = { .exists = ask.key.size > 0 };
        if (yard_wire_pack (record_exists_method.answer (), &answer, &packed, &error))
            bench_die ("%s", error.text);
        class->say (carrier, number, yard_buffer_view (&packed));
    }
}
