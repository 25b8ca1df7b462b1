// SPDX-License-Identifier: Apache-2.0
/*  offload.c - a few threads, a queue in, a queue out, an eventfd
 *
 *  The eventfd is written when the queue of the ended goes from empty to not empty, and read before
 *  that queue is taken: so it is readable exactly while reap has something to do. The queue has no
 *  limit of its own: what is submitted is bounded by the open work of the actor, which has one.
 */
#include "offload.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

typedef struct task_t {
    struct task_t *next;
    yard_work_fn *work;
    yard_done_fn *done;
    void *argument;
} task_t;

/*  A list with a pointer to its last link, so that push and pop are O(1) and an empty one needs no
 *  special case. */
typedef struct {
    task_t *first, **last_p;
} queue_t;

struct yard_offload_pool_t {
    pthread_mutex_t mutex; /* guards waiting, ended, closing */
    pthread_cond_t wake;
    queue_t waiting, ended;
    bool closing;
    pthread_t *threads;
    size_t thread_count;
    int fd;
    size_t pending; /* the loop's alone */
};

static void queue_init (queue_t *self)
{
    self->first = NULL;
    self->last_p = &self->first;
}

static void queue_push (queue_t *self, task_t *task)
{
    task->next = NULL;
    *self->last_p = task;
    self->last_p = &task->next;
}

static task_t *queue_pop (queue_t *self)
{
    task_t *task = self->first;
    if (task && !(self->first = task->next))
        self->last_p = &self->first;
    return task;
}

static void queue_free (queue_t *self)
{
    for (task_t *task; (task = queue_pop (self));)
        free (task);
}

/*  The lock is held but for the work itself. A task that has begun is always finished, closing or not. */
static void *thread_main (void *argument)
{
    yard_offload_pool_t *self = argument;
    pthread_mutex_lock (&self->mutex);
    for (;;) {
        while (!self->closing && !self->waiting.first)
            pthread_cond_wait (&self->wake, &self->mutex);
        if (self->closing)
            break;
        task_t *task = queue_pop (&self->waiting);
        pthread_mutex_unlock (&self->mutex);
        task->work (task->argument);
        pthread_mutex_lock (&self->mutex);
        bool tell = !self->ended.first;
        queue_push (&self->ended, task);
        if (tell && eventfd_write (self->fd, 1))
            abort ();
    }
    pthread_mutex_unlock (&self->mutex);
    return NULL;
}

static void start_threads (yard_offload_pool_t *self)
{
    /* Signals are the loop's: a thread that took SIGTERM would leave it asleep. */
    sigset_t all, before;
    sigfillset (&all);
    pthread_sigmask (SIG_SETMASK, &all, &before);
    for (size_t i = 0; i < self->thread_count; i++) {
        int number = pthread_create (&self->threads [i], NULL, thread_main, self);
        if (number) {
            fprintf (stderr, "modelyard: cannot start a thread: %s; raise the limit of processes\n",
                     strerror (number));
            abort ();
        }
        pthread_setname_np (self->threads [i], "offload");
    }
    pthread_sigmask (SIG_SETMASK, &before, NULL);
}

yard_offload_pool_t *yard_offload_pool_new (size_t threads)
{
    yard_offload_pool_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    pthread_mutex_init (&self->mutex, NULL);
    pthread_cond_init (&self->wake, NULL);
    queue_init (&self->waiting);
    queue_init (&self->ended);
    self->fd = -1;
    self->thread_count = threads;
    if (threads == 0)
        return self;
    self->fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    self->threads = calloc (threads, sizeof *self->threads);
    if (self->fd < 0 || !self->threads)
        abort ();
    start_threads (self);
    return self;
}

void yard_offload_pool_destroy (yard_offload_pool_t **self_p)
{
    assert (self_p);
    yard_offload_pool_t *self = *self_p;
    if (!self)
        return;
    pthread_mutex_lock (&self->mutex);
    self->closing = true;
    pthread_cond_broadcast (&self->wake);
    pthread_mutex_unlock (&self->mutex);
    for (size_t i = 0; i < self->thread_count; i++)
        pthread_join (self->threads [i], NULL);
    queue_free (&self->waiting);
    queue_free (&self->ended);
    if (self->fd >= 0)
        close (self->fd);
    pthread_cond_destroy (&self->wake);
    pthread_mutex_destroy (&self->mutex);
    free (self->threads);
    free (self);
    *self_p = NULL;
}

void yard_offload_pool_submit (yard_offload_pool_t *self, yard_work_fn *work, yard_done_fn *done,
                               void *argument)
{
    assert (work && done);
    task_t *task = malloc (sizeof *task);
    if (!task)
        abort ();
    *task = (task_t){ .work = work, .done = done, .argument = argument };
    pthread_mutex_lock (&self->mutex);
    queue_push (&self->waiting, task);
    pthread_cond_signal (&self->wake);
    pthread_mutex_unlock (&self->mutex);
    self->pending++;
}

int yard_offload_pool_fd (const yard_offload_pool_t *self)
{
    return self->fd;
}

/*  Takes a whole queue over, so that what done submits waits for the next reap. */
static void queue_move (queue_t *from, queue_t *to)
{
    queue_init (to);
    for (task_t *task; (task = queue_pop (from));)
        queue_push (to, task);
}

/*  done runs without the lock: it may submit, and it may take its time. */
size_t yard_offload_pool_reap (yard_offload_pool_t *self, void *actor)
{
    queue_t batch;
    bool inline_work = self->thread_count == 0;
    pthread_mutex_lock (&self->mutex);
    eventfd_t told;
    if (!inline_work)
        (void) eventfd_read (self->fd, &told); /* EAGAIN when nothing was told: then the queue is empty too */
    queue_move (inline_work ? &self->waiting : &self->ended, &batch);
    pthread_mutex_unlock (&self->mutex);

    size_t count = 0;
    for (task_t *task; (task = queue_pop (&batch)); count++) {
        if (inline_work)
            task->work (task->argument);
        self->pending--;
        task->done (actor, task->argument);
        free (task);
    }
    return count;
}

size_t yard_offload_pool_pending (const yard_offload_pool_t *self)
{
    return self->pending;
}
