// SPDX-License-Identifier: Apache-2.0
/*  handler_watch.c - the slot, and the thread that looks at it
 *
 *  The slot is a sequence lock of atomics: `turn` is odd while a handler runs, and changes with each begin and end. The thread believes what
 *  it read only if `turn` was the same before and after, so the loop never waits for it.
 */
#include "handler_watch.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "actors/ground/clock.h"
#include "actors/ground/log.h"

#define SLOW_MS \
    500 /* fifty times what a handler may take in a bad moment; a tenth of what makes an actor count as gone */
#define LOOK_MS 250 /* four looks a second cost nothing and catch every 500 ms */

struct yard_handler_watch_t {
    _Atomic uint64_t turn;
    _Atomic int64_t begun_ms;
    _Atomic (const char *) handler;
    _Atomic (const char *) message;

    pthread_t thread;
    pthread_mutex_t mutex; /* guards closing */
    pthread_cond_t wake;
    bool closing;

    /*  The thread's alone: what it has told. */
    uint64_t told_turn;
    int64_t next_ms;
};

static int64_t real_ms (void)
{
    return yard_clock_ms (yard_clock_system ());
}

void yard_handler_watch_begin (yard_handler_watch_t *self, const char *handler, const char *message)
{
    if (!self)
        return;
    atomic_store (&self->handler, handler);
    atomic_store (&self->message, message);
    atomic_store (&self->begun_ms, real_ms ());
    atomic_fetch_add (&self->turn, 1);
}

void yard_handler_watch_end (yard_handler_watch_t *self)
{
    if (self)
        atomic_fetch_add (&self->turn, 1);
}

static void look (yard_handler_watch_t *self)
{
    uint64_t turn = atomic_load (&self->turn);
    const char *handler = atomic_load (&self->handler);
    const char *message = atomic_load (&self->message);
    int64_t running_ms = real_ms () - atomic_load (&self->begun_ms);
    if (turn % 2 == 0 || turn != atomic_load (&self->turn))
        return;
    if (turn != self->told_turn) {
        self->told_turn = turn;
        self->next_ms = SLOW_MS;
    }
    if (running_ms < self->next_ms)
        return;
    while (self->next_ms <= running_ms)
        self->next_ms *= 2;
    yard_log_warning ("handler.slow", "handler=%s message=%s ms=%lld", handler, message,
                      (long long) running_ms);
}

static void *watch (void *argument)
{
    yard_handler_watch_t *self = argument;
    pthread_mutex_lock (&self->mutex);
    while (!self->closing) {
        struct timespec until;
        clock_gettime (CLOCK_MONOTONIC, &until);
        until.tv_nsec += LOOK_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_cond_timedwait (&self->wake, &self->mutex, &until);
        look (self);
    }
    pthread_mutex_unlock (&self->mutex);
    return NULL;
}

yard_handler_watch_t *yard_handler_watch_new (void)
{
    yard_handler_watch_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    pthread_mutex_init (&self->mutex, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init (&monotonic);
    pthread_condattr_setclock (&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init (&self->wake, &monotonic);
    pthread_condattr_destroy (&monotonic);

    /* Signals are the loop's. */
    sigset_t all, before;
    sigfillset (&all);
    pthread_sigmask (SIG_SETMASK, &all, &before);
    int number = pthread_create (&self->thread, NULL, watch, self);
    pthread_sigmask (SIG_SETMASK, &before, NULL);
    if (number) {
        fprintf (stderr, "modelyard: cannot start a thread: %s; raise the limit of processes\n",
                 strerror (number));
        abort ();
    }
    pthread_setname_np (self->thread, "handler_watch");
    return self;
}

void yard_handler_watch_destroy (yard_handler_watch_t **self_p)
{
    yard_handler_watch_t *self = *self_p;
    if (!self)
        return;
    pthread_mutex_lock (&self->mutex);
    self->closing = true;
    pthread_cond_signal (&self->wake);
    pthread_mutex_unlock (&self->mutex);
    pthread_join (self->thread, NULL);
    pthread_cond_destroy (&self->wake);
    pthread_mutex_destroy (&self->mutex);
    free (self);
    *self_p = NULL;
}
