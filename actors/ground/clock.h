// SPDX-License-Identifier: Apache-2.0
/*  clock.h - the door to time
 *
 *  Deadlines, leases and rates use the monotonic clock; the wall clock is for people. The simulation brings
 *  its own clock.
 */
#ifndef YARD_GROUND_CLOCK_H
#define YARD_GROUND_CLOCK_H

#include <stdint.h>

typedef struct yard_clock_t {
    int64_t (*monotonic_ns) (void *context);
    int64_t (*wall_ms) (void *context); /* since 1970, UTC */
    void *context;
} yard_clock_t;

const yard_clock_t *yard_clock_system (void);

static inline int64_t yard_clock_ms (const yard_clock_t *self)
{
    return self->monotonic_ns (self->context) / 1000000;
}

static inline int64_t yard_clock_wall_ms (const yard_clock_t *self)
{
    return self->wall_ms (self->context);
}

/*  "2026-11-21T22:17:51.123Z" into text [YARD_TIME_TEXT_SIZE]. */
#define YARD_TIME_TEXT_SIZE 32
void yard_time_text (int64_t wall_ms, char *text);

#endif
