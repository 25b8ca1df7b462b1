// SPDX-License-Identifier: Apache-2.0
/*  fault.c - MODELYARD_FAULT=name:n[:kill][,name:n...], read once at the first FAULT point that is
 *  reached
 *
 *  Refuses, by abort with a message: a name that faults.def does not list, here or in the variable, and
 *  anything else it cannot read. A test whose fault silently never happens would prove nothing.
 */
#include "fault.h"

#ifdef YARD_FAULTS
#    include <errno.h>
#    include <pthread.h>
#    include <signal.h>
#    include <stdatomic.h>
#    include <stddef.h>
#    include <stdio.h>
#    include <stdlib.h>
#    include <string.h>
#    include <unistd.h>

static const char *const names [] = {
#    define FAULT_POINT(name, doc) name,
#    include "faults.def"
#    undef FAULT_POINT
};

#    define POINTS (sizeof names / sizeof *names)

/*  The process's own, as the environment is: what was armed, and how often each point was passed. */
static struct {
    pthread_once_t once;
    unsigned long at [POINTS]; /* 0 = not armed */
    bool kill [POINTS];
    atomic_ulong passed [POINTS];
} armed = { .once = PTHREAD_ONCE_INIT };

static _Noreturn void refuse (const char *what, const char *text, size_t size)
{
    fprintf (stderr,
             "modelyard: %s: \"%.*s\" (MODELYARD_FAULT=name:n[:kill][,...] with names of faults.def)\n", what,
             (int) size, text);
    abort ();
}

static size_t point_of (const char *name, size_t size)
{
    for (size_t i = 0; i < POINTS; i++)
        if (strlen (names [i]) == size && memcmp (names [i], name, size) == 0)
            return i;
    refuse ("this fault point is not listed", name, size);
}

/*  One "name:n" or "name:n:kill" of the variable. */
static void arm (const char *text, size_t size)
{
    const char *colon = memchr (text, ':', size);
    if (!colon)
        refuse ("this fault has no count", text, size);
    size_t point = point_of (text, (size_t) (colon - text));
    char *end = NULL;
    errno = 0;
    unsigned long count = strtoul (colon + 1, &end, 10);
    size_t rest = (size_t) (text + size - end);
    bool killing = rest == 5 && memcmp (end, ":kill", 5) == 0;
    if (colon [1] < '0' || colon [1] > '9' || errno || count == 0 || (rest && !killing))
        refuse ("this fault cannot be read", text, size);
    armed.at [point] = count;
    armed.kill [point] = killing;
}

static void read_environment (void)
{
    const char *text = getenv ("MODELYARD_FAULT");
    while (text && *text) {
        size_t size = strcspn (text, ",");
        arm (text, size);
        text += size + (text [size] == ',');
    }
}

/*  The passes are counted atomically: some points lie in offloaded work, and exactly one pass is the n-th. */
bool yard_fault (const char *name)
{
    pthread_once (&armed.once, read_environment);
    size_t point = point_of (name, strlen (name));
    if (armed.at [point] == 0 || atomic_fetch_add (&armed.passed [point], 1) + 1 != armed.at [point])
        return false;
    fprintf (stderr, "modelyard: fault %s happens now\n", name);
    if (armed.kill [point])
        kill (getpid (), SIGKILL);
    return true;
}
#endif
