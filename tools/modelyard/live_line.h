// SPDX-License-Identifier: Apache-2.0
/*  live_line.h - the one line of stderr that says how far something is
 *
 *  On a terminal it is drawn over itself; elsewhere it is a line now and then, and at each new phase. With
 *  --json there is none.
 */
#ifndef MODELYARD_LIVE_LINE_H
#define MODELYARD_LIVE_LINE_H

#include "invocation.h"
#include "progress.h"

typedef struct {
    bool drawn; /* a line without its end stands on the terminal */
    int64_t drawn_ms;
} live_line_t;

/*  phase: a word before it ("downloading"); progress may be NULL: the phase alone. at_once: now, however short
 *  ago the last one was. */
void live_line_draw (live_line_t *self, const invocation_t *invocation, const char *phase,
                     const progress_t *progress, bool at_once);
void live_line_end (live_line_t *self); /* what is printed next stands on a line of its own */

int64_t live_line_now_ms (void); /* the clock that progress is told by */

#endif
