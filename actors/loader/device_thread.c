// SPDX-License-Identifier: Apache-2.0
/*  device_thread.c - a queue of jobs and copies, and the copies that are under way
 *
 *  While there is work in the queue, copies that are over are looked for between two pieces of it; with an empty queue the thread waits
 *  for the oldest copy, and with no copy either, for work. An event stands behind each copy; events are kept and used again.
 */
#include "actors/loader/device_thread.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <sys/queue.h>
#include <time.h>
#include "actors/ground/log.h"

#define LOOK_NS 1000000 /* between two looks: a chunk takes no less, on the fastest link */

typedef struct item_t {
    STAILQ_ENTRY (item_t) link;
    loader_device_work_fn *work; /* NULL: a copy */
    loader_device_done_fn *done;
    void *argument;
    loader_device_copy_t copy;
    loader_event_t *event; /* behind the copy */
    yard_error_t error;
} item_t;

STAILQ_HEAD (items_t, item_t);

struct loader_device_thread_t {
    char name [64];
    loader_export_t wish;
    bool verify;
    loader_mail_t *mail;
    const loader_device_class_t *class;
    loader_device_t *device;
    loader_device_about_t about;
    pthread_t thread;
    pthread_mutex_t lock; /* of queue, look, opened, closing */
    pthread_cond_t changed;
    struct items_t queue;
    loader_device_look_fn *look; /* NULL: nothing is watched */
    void *look_argument;
    bool opened, closing;
    yard_error_t open_error;
    /*  The thread's own. */
    struct items_t under_way; /* copies, oldest first */
    loader_event_t **events; /* free ones */
    size_t event_count, event_room;
};

/*  --- events */

static int take_event (loader_device_thread_t *self, loader_event_t **ret, yard_error_t *error)
{
    if (self->event_count == 0)
        return self->class->event_new (self->device, ret, error);
    *ret = self->events [--self->event_count];
    return 0;
}

static void keep_event (loader_device_thread_t *self, loader_event_t *event)
{
    if (self->event_count == self->event_room) {
        self->event_room = self->event_room ? self->event_room * 2 : 16;
        self->events = realloc (self->events, self->event_room * sizeof (loader_event_t *));
        if (!self->events)
            abort ();
    }
    self->events [self->event_count++] = event;
}

/*  --- copies */

/*  What arrived, held against what was sent: a device or a link that lies is found before anybody uses the bytes. */
static int verify (loader_device_thread_t *self, const loader_device_copy_t *copy, yard_error_t *error)
{
    void *back = malloc (copy->size);
    if (!back)
        return yard_error (error, YARD_OUT_OF_MEMORY,
                           "no memory to read a copy back; switch loader.verify_copies off");
    int rc = self->class->read (self->device, copy->memory, copy->to, back, copy->size, error);
    if (rc == 0 && memcmp (back, copy->data, copy->size) != 0)
        rc = yard_error (error, YARD_INTEGRITY,
                         "%s has other bytes at %llu than were copied there; have the device checked",
                         self->name, (unsigned long long) copy->to);
    free (back);
    return rc;
}

static void end_copy (loader_device_thread_t *self, item_t *item)
{
    if (self->verify && item->error.code == 0)
        item->error.code = verify (self, &item->copy, &item->error);
    if (item->event)
        keep_event (self, item->event);
    item->copy.copied (item->copy.argument, &item->copy, &item->error);
    free (item);
}

static void begin_copy (loader_device_thread_t *self, item_t *item)
{
    const loader_device_copy_t *copy = &item->copy;
    item->error.code = take_event (self, &item->event, &item->error);
    if (item->error.code == 0)
        item->error.code = self->class->copy (self->device, copy->memory, copy->to, copy->data, copy->size,
                                              item->event, &item->error);
    if (item->error.code)
        end_copy (self, item);
    else
        STAILQ_INSERT_TAIL (&self->under_way, item, link);
}

/*  Ends the copies that are over; with `wait` the oldest in any case. Copies of one stream end in the order in which they began. */
static void end_copies (loader_device_thread_t *self, bool wait)
{
    for (item_t *item; (item = STAILQ_FIRST (&self->under_way)); wait = false) {
        int done = 0;
        if (wait)
            item->error.code = self->class->wait (self->device, item->event, &item->error);
        else
            item->error.code = self->class->done (self->device, item->event, &done, &item->error);
        if (item->error.code == 0 && !wait && !done)
            return;
        STAILQ_REMOVE_HEAD (&self->under_way, link);
        end_copy (self, item);
    }
}

/*  --- jobs */

static void read_done (void *argument)
{
    item_t *item = argument;
    item->done (item->argument, &item->error);
    free (item);
}

static void run_job (loader_device_thread_t *self, item_t *item)
{
    item->error.code = item->work (item->argument, self->class, self->device, &item->error);
    if (item->done)
        loader_mail_post (self->mail, read_done, item);
    else
        free (item);
}

/*  --- the thread */

static int open_device (loader_device_thread_t *self)
{
    yard_error_t *error = &self->open_error;
    int rc = loader_device_class (self->name, &self->class, error);
    if (rc == 0)
        rc = self->class->open (self->name, self->wish, &self->device, error);
    if (rc == 0)
        rc = self->class->about (self->device, &self->about, error);
    return rc;
}

static void tell_opened (loader_device_thread_t *self, int code)
{
    pthread_mutex_lock (&self->lock);
    self->open_error.code = code;
    self->opened = true;
    pthread_cond_broadcast (&self->changed);
    pthread_mutex_unlock (&self->lock);
}

/*  Until there is work, or it is time for another look. */
static void rest (loader_device_thread_t *self)
{
    struct timespec until;
    clock_gettime (CLOCK_MONOTONIC, &until);
    until.tv_nsec += LOOK_NS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait (&self->changed, &self->lock, &until);
}

/*  The next piece of work; NULL: there is none now (copies are under way, something is watched), or ever (*ret_over). */
static item_t *next_item (loader_device_thread_t *self, bool *ret_over)
{
    pthread_mutex_lock (&self->lock);
    if (STAILQ_EMPTY (&self->queue) && self->look)
        rest (self);
    while (STAILQ_EMPTY (&self->queue) && STAILQ_EMPTY (&self->under_way) && !self->look && !self->closing)
        pthread_cond_wait (&self->changed, &self->lock);
    item_t *item = STAILQ_FIRST (&self->queue);
    if (item)
        STAILQ_REMOVE_HEAD (&self->queue, link);
    *ret_over = !item && self->closing && STAILQ_EMPTY (&self->under_way);
    pthread_mutex_unlock (&self->lock);
    return item;
}

/*  true: something is still watched, so nobody may wait for a copy alone. */
static bool watch (loader_device_thread_t *self)
{
    pthread_mutex_lock (&self->lock);
    loader_device_look_fn *look = self->look;
    void *argument = self->look_argument;
    pthread_mutex_unlock (&self->lock);
    if (look && !look (argument, self->class, self->device))
        loader_device_thread_watch (self, NULL, NULL);
    return look != NULL;
}

static void close_device (loader_device_thread_t *self)
{
    for (size_t at = 0; at < self->event_count; at++)
        self->class->event_destroy (self->device, &self->events [at]);
    free (self->events);
    if (self->device)
        self->class->close (&self->device);
}

static void *run (void *argument)
{
    loader_device_thread_t *self = argument;
    int rc = open_device (self);
    tell_opened (self, rc);
    for (bool over = rc != 0; !over;) {
        item_t *item = next_item (self, &over);
        if (item && item->work)
            run_job (self, item);
        else if (item)
            begin_copy (self, item);
        bool watched = watch (self);
        end_copies (self, !item && !watched);
    }
    close_device (self);
    return NULL;
}

static int start (loader_device_thread_t *self, yard_error_t *error)
{
    sigset_t all, before; /* signals are the loop's */
    sigfillset (&all);
    pthread_sigmask (SIG_SETMASK, &all, &before);
    int failed = pthread_create (&self->thread, NULL, run, self);
    pthread_sigmask (SIG_SETMASK, &before, NULL);
    if (failed)
        return yard_error_errno (error, failed, "cannot start the device thread");
    pthread_mutex_lock (&self->lock);
    while (!self->opened)
        pthread_cond_wait (&self->changed, &self->lock);
    pthread_mutex_unlock (&self->lock);
    if (self->open_error.code == 0)
        return 0;
    pthread_join (self->thread, NULL);
    return yard_error (error, self->open_error.code, "%s", self->open_error.text);
}

static void free_thread (loader_device_thread_t *self)
{
    pthread_cond_destroy (&self->changed);
    pthread_mutex_destroy (&self->lock);
    free (self);
}

int loader_device_thread_new (const char *device, loader_export_t wish, bool verify, loader_mail_t *mail,
                              loader_device_thread_t **ret, yard_error_t *error)
{
    loader_device_thread_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    snprintf (self->name, sizeof self->name, "%s", device);
    self->wish = wish;
    self->verify = verify;
    self->mail = mail;
    pthread_mutex_init (&self->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init (&monotonic);
    pthread_condattr_setclock (&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init (&self->changed, &monotonic);
    pthread_condattr_destroy (&monotonic);
    STAILQ_INIT (&self->queue);
    STAILQ_INIT (&self->under_way);
    int rc = start (self, error);
    if (rc)
        free_thread (self);
    else
        *ret = self;
    return rc;
}

void loader_device_thread_destroy (loader_device_thread_t **self_p)
{
    loader_device_thread_t *self = *self_p;
    if (!self)
        return;
    pthread_mutex_lock (&self->lock);
    self->closing = true;
    pthread_cond_broadcast (&self->changed);
    pthread_mutex_unlock (&self->lock);
    pthread_join (self->thread, NULL);
    assert (STAILQ_EMPTY (&self->queue));
    free_thread (self);
    *self_p = NULL;
}

static void put (loader_device_thread_t *self, const item_t *like)
{
    item_t *item = malloc (sizeof *item);
    if (!item)
        abort ();
    *item = *like;
    pthread_mutex_lock (&self->lock);
    STAILQ_INSERT_TAIL (&self->queue, item, link);
    pthread_cond_broadcast (&self->changed);
    pthread_mutex_unlock (&self->lock);
}

void loader_device_thread_do (loader_device_thread_t *self, loader_device_work_fn *work,
                              loader_device_done_fn *done, void *argument)
{
    put (self, &(item_t){ .work = work, .done = done, .argument = argument });
}

void loader_device_thread_copy (loader_device_thread_t *self, const loader_device_copy_t *copy)
{
    put (self, &(item_t){ .copy = *copy });
}

void loader_device_thread_watch (loader_device_thread_t *self, loader_device_look_fn *look, void *argument)
{
    pthread_mutex_lock (&self->lock);
    assert (!look || !self->look);
    self->look = look;
    self->look_argument = argument;
    pthread_cond_broadcast (&self->changed);
    pthread_mutex_unlock (&self->lock);
}

const loader_device_about_t *loader_device_thread_about (const loader_device_thread_t *self)
{
    return &self->about;
}
