// SPDX-License-Identifier: Apache-2.0
/*  clock.c - the kernel's two clocks, and a time as people read it
 */
#include "clock.h"

#include <assert.h>
#include <string.h>
#include <time.h>

/*  Years 0000 to 9999: what four digits can say. A time beyond them is shown as the nearest of them. */
#define WALL_MS_MIN (int64_t) - 62167219200000
#define WALL_MS_MAX (int64_t) 253402300799999

static int64_t system_monotonic_ns (void *context)
{
    (void) context;
    struct timespec now;
    int rc = clock_gettime (CLOCK_MONOTONIC, &now);
    assert (rc == 0);
    return (int64_t) now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t system_wall_ms (void *context)
{
    (void) context;
    struct timespec now;
    int rc = clock_gettime (CLOCK_REALTIME, &now);
    assert (rc == 0);
    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

const yard_clock_t *yard_clock_system (void)
{
    static const yard_clock_t clock = { system_monotonic_ns, system_wall_ms, NULL };
    return &clock;
}

void yard_time_text (int64_t wall_ms, char *text)
{
    wall_ms = wall_ms < WALL_MS_MIN ? WALL_MS_MIN : wall_ms > WALL_MS_MAX ? WALL_MS_MAX : wall_ms;
    int64_t milliseconds = (wall_ms % 1000 + 1000) % 1000; /* before 1970 too, the fraction counts up */
    time_t seconds = (time_t) ((wall_ms - milliseconds) / 1000);
    struct tm parts;
    struct tm *known = gmtime_r (&seconds, &parts);
    assert (known);
    const int values [] = { parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,     parts.tm_hour,
                            parts.tm_min,         parts.tm_sec,     (int) milliseconds };
    /* One digit of a value takes the place of each of its letters. */
    static const char letters [] = "ymdhnsf", shape [] = "yyyy-mm-ddThh:nn:ss.fffZ";
    static_assert (sizeof shape <= YARD_TIME_TEXT_SIZE, "a time fits into its text");
    memcpy (text, shape, sizeof shape);
    for (size_t i = 0; letters [i]; i++) {
        int value = values [i];
        for (char *at = text + strlen (shape); at-- > text;)
            if (shape [at - text] == letters [i]) {
                *at = (char) ('0' + value % 10);
                value /= 10;
            }
    }
}
