// SPDX-License-Identifier: Apache-2.0
/*  faults.c - the script of failures: SIMCUDA_FAULTS = "cudaMalloc:3=2,cudaMemcpyAsync:1=wrong"
 *
 *  Each entry counts the calls of its name, from 1, in this process, and strikes once. What may stand behind the equals sign:
 *      a number   the call returns it and does nothing (cudaError_t, CUresult or ncclResult_t, by the name)
 *      wrong      a copy delivers one flipped byte
 *      hang       a copy never ends; any other call never returns
 *      lateN      the copy is accepted, and fails with N when its turn comes: sticky, as errors of a device are
 */
#include <pthread.h>
#include "tests/simcuda/inside.h"

#define ENTRIES_MAX 32 /* a script is a handful */

typedef struct {
    char name [48];
    char what [16];
    unsigned long at, calls;
} entry_t;

static struct {
    pthread_once_t once;
    pthread_mutex_t lock; /* its own: the simulated NCCL asks without the world's */
    entry_t entries [ENTRIES_MAX];
    unsigned count;
} script = { .once = PTHREAD_ONCE_INIT, .lock = PTHREAD_MUTEX_INITIALIZER };

static const char *parse (const char *text, entry_t *entry)
{
    int used = 0;
    if (sscanf (text, "%47[A-Za-z]:%lu=%15[A-Za-z0-9]%n", entry->name, &entry->at, entry->what, &used) != 3)
        return NULL;
    text += used;
    return *text == ',' ? text + 1 : *text ? NULL : text;
}

static void read_script (void)
{
    const char *text = getenv ("SIMCUDA_FAULTS");
    while (text && *text && script.count < ENTRIES_MAX) {
        const char *rest = parse (text, &script.entries [script.count]);
        if (!rest) {
            simcuda_log ("simcuda.bad_setting name=SIMCUDA_FAULTS value=%s", text);
            abort (); /* a script that is half read would prove something else */
        }
        script.count++;
        text = rest;
    }
}

const char *simcuda_fault (const char *name)
{
    const char *what = NULL;
    pthread_once (&script.once, read_script);
    pthread_mutex_lock (&script.lock);
    for (unsigned i = 0; i < script.count; i++) {
        entry_t *entry = &script.entries [i];
        if (strcmp (entry->name, name) == 0 && ++entry->calls == entry->at)
            what = entry->what;
    }
    pthread_mutex_unlock (&script.lock);
    if (what)
        simcuda_log ("simcuda.fault call=%s what=%s", name, what);
    return what;
}
