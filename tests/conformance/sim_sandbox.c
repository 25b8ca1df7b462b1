// SPDX-License-Identifier: Apache-2.0
/*  sim_sandbox.c - the prober's sandbox without its processes: a file is looked at here, and the verdict
 *  waits on an eventfd
 *
 *  Takes the place of sandbox.c at link time. The walls have their own tests, on real processes.
 */
#include "sim_world.h"

#include <sys/eventfd.h>
#include "actors/prober/inspect.h"
#include "actors/prober/sandbox.h"

#define WAITING_MAX 256 /* as the real one's */

struct prober_sandbox_t {
    int fd;
    size_t count;
    uint64_t tickets [WAITING_MAX];
    prober_verdict_t verdicts [WAITING_MAX];
};

prober_sandbox_t *prober_sandbox_new (const prober_limits_t *limits, yard_error_t *error)
{
    (void) limits, (void) error;
    prober_sandbox_t *self = yard_zeroed (sizeof *self);
    self->fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    return self;
}

void prober_sandbox_destroy (prober_sandbox_t **self_p)
{
    if (*self_p)
        close ((*self_p)->fd);
    free (*self_p);
    *self_p = NULL;
}

int prober_sandbox_fd (const prober_sandbox_t *self)
{
    return self->fd;
}

int prober_sandbox_submit (prober_sandbox_t *self, int fd, const char *name, uint64_t ticket,
                           yard_error_t *error)
{
    if (self->count == WAITING_MAX)
        return yard_error (error, YARD_BUSY, "%d probes wait", WAITING_MAX);
    prober_verdict_init (&self->verdicts [self->count]);
    prober_inspect (fd, name, &self->verdicts [self->count]);
    prober_verdict_disarm (&self->verdicts [self->count]);
    self->tickets [self->count++] = ticket;
    close (fd);
    eventfd_write (self->fd, 1);
    return 0;
}

int prober_sandbox_receive (prober_sandbox_t *self, uint64_t *ret_ticket, prober_verdict_t *ret_verdict,
                            yard_error_t *error)
{
    (void) error;
    eventfd_t unused;
    if (self->count == 0) {
        eventfd_read (self->fd, &unused);
        return 0;
    }
    size_t which = (size_t) yard_random_below (&sim_world_now ()->random, self->count);
    *ret_ticket = self->tickets [which];
    *ret_verdict = self->verdicts [which];
    self->count--;
    self->tickets [which] = self->tickets [self->count];
    self->verdicts [which] = self->verdicts [self->count];
    return 1;
}

size_t prober_sandbox_pending (const prober_sandbox_t *self)
{
    return self->count;
}

pid_t prober_sandbox_server (const prober_sandbox_t *self)
{
    (void) self;
    return 0;
}
