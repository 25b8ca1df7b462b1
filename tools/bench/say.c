// SPDX-License-Identifier: Apache-2.0
/*  say.c - what every bench program needs: to end with a sentence, to read a number, to tell the time
 */
#include "carrier.h"

#include <errno.h>
#include <stdarg.h>
#include "actors/ground/clock.h"

void bench_die (const char *format, ...)
{
    va_list arguments;
    va_start (arguments, format);
    vfprintf (stderr, format, arguments);
    va_end (arguments);
    fputc ('\n', stderr);
    exit (EXIT_FAILURE);
}

uint64_t bench_number (const char *text)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull (text, &end, 10);
    if (errno || *end || end == text)
        bench_die ("%s is no number", text);
    return number;
}

int64_t bench_now_ns (void)
{
    const yard_clock_t *clock = yard_clock_system ();
    return clock->monotonic_ns (clock->context);
}

static int compare (const void *a, const void *b)
{
    int64_t left = *(const int64_t *) a, right = *(const int64_t *) b;
    return (left > right) - (left < right);
}

void bench_sort (int64_t *times, size_t count)
{
    qsort (times, count, sizeof *times, compare);
}

const bench_carrier_class_t *bench_carrier_named (const char *name)
{
    static const bench_carrier_class_t *const all [] = { &bench_over_bus, &bench_over_nats,
                                                         &bench_over_redis };
    for (size_t i = 0; i < sizeof all / sizeof all [0]; i++)
        if (strcmp (all [i]->name, name) == 0)
            return all [i];
    bench_die ("%s is none of bus, nats, redis", name);
}
