// SPDX-License-Identifier: Apache-2.0
/*  progress.c - how far, how fast, how long still
 */
#include "progress.h"

#include <stdio.h>
#include <string.h>
#include "text.h"

#define WINDOW_MS 5000 /* long enough to be calm, short enough to show a stall */
#define SAMPLE_MS 200 /* WINDOW_MS fits into the ring with room */
#define BAR_MIN 10 /* a shorter bar says nothing */
#define BAR_MAX 40
#define SPEED_SPAN_MS 500 /* below this a speed is noise */

static size_t at (const progress_t *self, size_t index)
{
    return (self->first + index) % PROGRESS_SAMPLES;
}

static void drop_first (progress_t *self)
{
    self->first = at (self, 1);
    self->count--;
}

void progress_told (progress_t *self, int64_t now_ms, uint64_t bytes, uint64_t total)
{
    if (bytes < self->bytes) /* begun anew: what was measured is of another life */
        self->count = 0;
    self->bytes = bytes;
    self->total = total;
    if (self->count && now_ms - self->samples [at (self, self->count - 1)].ms < SAMPLE_MS)
        return;
    /* One sample older than the window stays: speed is measured from it. */
    while (self->count >= 2 && now_ms - self->samples [at (self, 1)].ms >= WINDOW_MS)
        drop_first (self);
    if (self->count == PROGRESS_SAMPLES)
        drop_first (self);
    size_t next = at (self, self->count++);
    self->samples [next].ms = now_ms;
    self->samples [next].bytes = bytes;
}

uint64_t progress_speed (const progress_t *self, int64_t now_ms)
{
    if (self->count == 0)
        return 0;
    int64_t span = now_ms - self->samples [self->first].ms;
    uint64_t moved = self->bytes - self->samples [self->first].bytes;
    return span < SPEED_SPAN_MS ? 0 : (uint64_t) ((double) moved * 1000.0 / (double) span);
}

int64_t progress_left_ms (const progress_t *self, int64_t now_ms)
{
    uint64_t speed = progress_speed (self, now_ms);
    if (speed == 0 || self->total == 0 || self->bytes > self->total)
        return -1;
    double left = (double) (self->total - self->bytes) * 1000.0 / (double) speed;
    return left > 1e15 ? -1 : (int64_t) left;
}

/*  Rounded down: 100 means all. */
static int percent (const progress_t *self)
{
    return self->bytes >= self->total ? 100 : (int) (100.0 * (double) self->bytes / (double) self->total);
}

/*  [#######-----] in so many columns. */
static void draw_bar (const progress_t *self, size_t columns, char *into)
{
    size_t inside = columns - 2;
    double part = self->total ? (double) self->bytes / (double) self->total : 0;
    size_t full = part >= 1 ? inside : (size_t) (part * (double) inside);
    into [0] = '[';
    memset (into + 1, '#', full);
    memset (into + 1 + full, '-', inside - full);
    into [columns - 1] = ']';
    into [columns] = 0;
}

const char *progress_line (const progress_t *self, int64_t now_ms, size_t columns, char *into, size_t size)
{
    char done [32], all [32], speed [32], left [32], text [256], bar [BAR_MAX + 1] = "";
    int64_t left_ms = progress_left_ms (self, now_ms);
    text_size (done, sizeof done, self->bytes);
    text_size (all, sizeof all, self->total);
    text_size (speed, sizeof speed, progress_speed (self, now_ms));
    text_duration (left, sizeof left, left_ms);
    if (self->total)
        snprintf (text, sizeof text, "%3d %%  %s of %s  %s/s%s%s%s", percent (self), done, all, speed,
                  left_ms >= 0 ? "  " : "", left_ms >= 0 ? left : "", left_ms >= 0 ? " left" : "");
    else
        snprintf (text, sizeof text, "%s  %s/s", done, speed);
    size_t used = strlen (text) + 1, room = columns > used ? columns - used : 0;
    if (room >= BAR_MIN && self->total)
        draw_bar (self, room > BAR_MAX ? BAR_MAX : room, bar);
    snprintf (into, size, "%s%s%s", bar, *bar ? " " : "", text);
    return into;
}
