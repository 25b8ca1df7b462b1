// SPDX-License-Identifier: Apache-2.0
/*  carrier.h - asks and answers over one bus or another, so that all of them are measured by the same loop
 *
 *  over_bus.c is ours (through the broker, or straight to a ROUTER: the frames are the same), over_nats.c and
 *  over_redis.c are the peers, over their text protocols. Bodies are the same bytes everywhere. Whatever goes
 *  wrong ends the program with a sentence: a bench has nothing to save.
 */
#ifndef YARD_BENCH_CARRIER_H
#define YARD_BENCH_CARRIER_H

#include <stdbool.h>
#include <stdint.h>
#include "actors/ground/view.h"

typedef struct bench_carrier_t bench_carrier_t; /* one end: an asker's or an answerer's */

typedef struct {
    const char *name; /* on the command line */
    /*  method: what the asker asks, on a bus that has methods. */
    bench_carrier_t *(*open) (const char *where, bool asks, const char *method);
    /*  An asker's ask, or the answer to the ask of this number. May be held back until the next hear. */
    void (*say) (bench_carrier_t *self, uint64_t number, yard_string_t body);
    /*  Blocks. The body is valid until the next call. */
    yard_string_t (*hear) (bench_carrier_t *self, uint64_t *ret_number);
    void (*close) (bench_carrier_t *self);
} bench_carrier_class_t;

extern const bench_carrier_class_t bench_over_bus, bench_over_nats, bench_over_redis;

/*  By its name; ends the program if there is none. */
const bench_carrier_class_t *bench_carrier_named (const char *name);

/*  --- say.c: how a program ends, reads its words and tells the time */
_Noreturn void bench_die (const char *format, ...) __attribute__ ((format (printf, 1, 2)));
uint64_t bench_number (const char *text); /* of the command line */
int64_t bench_now_ns (void);
void bench_sort (int64_t *times, size_t count); /* ascending */

#endif
