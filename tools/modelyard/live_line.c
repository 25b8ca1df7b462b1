// SPDX-License-Identifier: Apache-2.0
/*  live_line.c - the one line of stderr that says how far something is
 */
#include "live_line.h"

#include "actors/ground/clock.h"
#include "rows.h"

#define DRAW_MS 100 /* ten pictures a second are smooth */
#define PLAIN_MS 5000 /* off a terminal: a line every so often */

int64_t live_line_now_ms (void)
{
    return yard_clock_ms (yard_clock_system ());
}

void live_line_end (live_line_t *self)
{
    if (self->drawn)
        fputc ('\n', stderr);
    self->drawn = false;
}

void live_line_draw (live_line_t *self, const invocation_t *invocation, const char *phase,
                     const progress_t *progress, bool at_once)
{
    char line [512] = "";
    int64_t now = live_line_now_ms ();
    bool tty = invocation->err_tty;
    if (invocation->json || (!at_once && now - self->drawn_ms < (tty ? DRAW_MS : PLAIN_MS)))
        return;
    self->drawn_ms = now;
    size_t width = rows_terminal_width ();
    size_t left = width > strlen (phase) + 3 ? width - strlen (phase) - 3 : 0;
    if (progress)
        progress_line (progress, now, tty ? left : 0, line, sizeof line);
    fprintf (stderr, "%s%s%s%s%s", tty ? "\r" : "", phase, progress ? "  " : "", line, tty ? "\033[K" : "\n");
    fflush (stderr);
    self->drawn = tty;
}
