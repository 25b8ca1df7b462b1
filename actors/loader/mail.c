// SPDX-License-Identifier: Apache-2.0
/*  mail.c - a list under a lock, and an eventfd that wakes the loop
 */
#include "actors/loader/mail.h"

#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include "actors/ground/log.h"

typedef struct letter_t {
    STAILQ_ENTRY (letter_t) link;
    loader_letter_fn *read;
    void *argument;
} letter_t;

STAILQ_HEAD (letters_t, letter_t);

struct loader_mail_t {
    yard_watch_t *watch;
    int fd;
    pthread_mutex_t lock; /* of letters */
    struct letters_t letters;
};

static void read_all (loader_mail_t *self)
{
    struct letters_t letters = STAILQ_HEAD_INITIALIZER (letters);
    pthread_mutex_lock (&self->lock);
    STAILQ_CONCAT (&letters, &self->letters);
    pthread_mutex_unlock (&self->lock);
    for (letter_t *letter; (letter = STAILQ_FIRST (&letters));) {
        STAILQ_REMOVE_HEAD (&letters, link);
        letter->read (letter->argument);
        free (letter);
    }
}

static void on_mail (void *actor_self, void *argument, int fd, short events)
{
    (void) actor_self;
    (void) events;
    uint64_t count;
    if (read (fd, &count, sizeof count) < 0)
        return; /* EAGAIN: another wake has read them */
    read_all (argument);
}

loader_mail_t *loader_mail_new (yard_actor_t *actor)
{
    loader_mail_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->fd < 0)
        abort (); /* of no descriptors at start, nothing could be served */
    pthread_mutex_init (&self->lock, NULL);
    STAILQ_INIT (&self->letters);
    self->watch = yard_watch_new (actor, self->fd, POLLIN, on_mail, self);
    return self;
}

void loader_mail_destroy (loader_mail_t **self_p)
{
    loader_mail_t *self = *self_p;
    if (!self)
        return;
    read_all (self);
    yard_watch_destroy (&self->watch);
    close (self->fd);
    pthread_mutex_destroy (&self->lock);
    free (self);
    *self_p = NULL;
}

void loader_mail_wait (loader_mail_t *self)
{
    struct pollfd item = { .fd = self->fd, .events = POLLIN };
    uint64_t count;
    if (poll (&item, 1, -1) > 0 && read (self->fd, &count, sizeof count) > 0)
        read_all (self);
}

void loader_mail_post (loader_mail_t *self, loader_letter_fn *read, void *argument)
{
    letter_t *letter = malloc (sizeof *letter);
    if (!letter)
        abort ();
    *letter = (letter_t){ .read = read, .argument = argument };
    pthread_mutex_lock (&self->lock);
    STAILQ_INSERT_TAIL (&self->letters, letter, link);
    pthread_mutex_unlock (&self->lock);
    const uint64_t one = 1;
    if (write (self->fd, &one, sizeof one) < 0 && errno != EAGAIN)
        yard_log_error ("mail.unwoken", "error=%s", YARD_QUOTED (strerror (errno)));
}
