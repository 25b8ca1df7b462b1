// SPDX-License-Identifier: Apache-2.0
/*  sandbox.c - the actor's side: a link to the server, and those who wait for a place
 */
#include "actors/prober/sandbox.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "actors/prober/sandbox_server.h"

#define QUEUE_MAX \
    256u /* one page of a scanned folder (ARCHITECTURE 2), each with a descriptor of the default 1,024 */

typedef struct {
    int fd;
    prober_request_t request;
} waiting_t;

struct prober_sandbox_t {
    pid_t server;
    int link;
    bool dead;
    prober_limits_t limits;
    size_t running; /* sent, not yet received */
    waiting_t *queue; /* a ring of QUEUE_MAX */
    size_t first, waiting;
};

/*  The server's first steps, while it still is a copy of the actor. */
static _Noreturn void become_server (pid_t actor, int link, const prober_limits_t *limits)
{
    static const int ignored [] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE };
    sigset_t none;
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    if (getppid () != actor) /* it died before the line above */
        _exit (1);
    /* A signal to the whole group is the actor's to obey: it drains, then the link ends. */
    for (size_t at = 0; at < sizeof ignored / sizeof ignored [0]; at++)
        signal (ignored [at], SIG_IGN);
    signal (SIGCHLD, SIG_DFL); /* its children are waited for, whatever the actor made of its own */
    sigemptyset (&none);
    sigprocmask (SIG_SETMASK, &none, NULL);
    if (link > STDERR_FILENO + 1)
        close_range (STDERR_FILENO + 1, (unsigned) link - 1, 0);
    close_range ((unsigned) link + 1, ~0u, 0);
    prober_sandbox_serve (link, limits);
}

prober_sandbox_t *prober_sandbox_new (const prober_limits_t *limits, yard_error_t *error)
{
    int pair [2];
    pid_t actor = getpid ();
    assert (limits->children > 0 && limits->children <= PROBER_CHILDREN_MAX);
    if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        yard_error_errno (error, errno, "making the sandbox's socket");
        return NULL;
    }
    prober_sandbox_t *self = calloc (1, sizeof *self);
    waiting_t *queue = calloc (QUEUE_MAX, sizeof *queue);
    if (!self || !queue)
        abort ();
    *self = (prober_sandbox_t){ .link = pair [0], .limits = *limits, .queue = queue };
    self->server = fork ();
    if (self->server == 0)
        become_server (actor, pair [1], &self->limits);
    int saved_errno = errno;
    close (pair [1]);
    if (self->server < 0) {
        prober_sandbox_destroy (&self);
        yard_error_errno (error, saved_errno, "starting the sandbox's server");
    }
    return self;
}

void prober_sandbox_destroy (prober_sandbox_t **self_p)
{
    assert (self_p);
    prober_sandbox_t *self = *self_p;
    if (!self)
        return;
    close (self->link);
    if (self->server > 0) {
        kill (self->server, SIGKILL); /* its children follow it */
        while (waitpid (self->server, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    for (; self->waiting > 0; self->waiting--, self->first++)
        close (self->queue [self->first % QUEUE_MAX].fd);
    free (self->queue);
    free (self);
    *self_p = NULL;
}

int prober_sandbox_fd (const prober_sandbox_t *self)
{
    return self->link;
}

static int gone (prober_sandbox_t *self, yard_error_t *error)
{
    self->dead = true;
    return yard_error (error, YARD_GONE,
                       "the sandbox's server has ended; the prober starts anew, then probe again");
}

/*  0 when sent, with the descriptor closed; 1 when the socket is full; YARD_GONE. */
static int send_request (prober_sandbox_t *self, const waiting_t *one, yard_error_t *error)
{
    union {
        struct cmsghdr header;
        char room [CMSG_SPACE (sizeof (int))];
    } control = { 0 };
    struct iovec part = { .iov_base = (void *) (uintptr_t) &one->request, .iov_len = sizeof one->request };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
    };
    control.header.cmsg_len = CMSG_LEN (sizeof (int));
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    memcpy (CMSG_DATA (&control.header), &one->fd, sizeof one->fd);
    while (sendmsg (self->link, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        if (errno == EAGAIN)
            return 1;
        if (errno != EINTR)
            return gone (self, error);
    }
    close (one->fd);
    self->running++;
    return 0;
}

/*  Sends what waits while there are places. */
static int advance (prober_sandbox_t *self, yard_error_t *error)
{
    while (self->waiting > 0 && self->running < self->limits.children) {
        int rc = send_request (self, &self->queue [self->first], error);
        if (rc)
            return rc < 0 ? rc : 0; /* a full socket has answers for us behind it: receive comes here again */
        self->first = (self->first + 1) % QUEUE_MAX;
        self->waiting--;
    }
    return 0;
}

int prober_sandbox_submit (prober_sandbox_t *self, int fd, const char *name, uint64_t ticket,
                           yard_error_t *error)
{
    if (self->dead)
        return gone (self, error);
    if (self->waiting == QUEUE_MAX)
        return yard_error (error, YARD_BUSY, "%u files wait to be probed already; try again later",
                           QUEUE_MAX);
    waiting_t *one = &self->queue [(self->first + self->waiting) % QUEUE_MAX];
    memset (one, 0, sizeof *one);
    one->fd = fd;
    one->request.ticket = ticket;
    if (snprintf (one->request.name, sizeof one->request.name, "%s", name) >= (int) sizeof one->request.name)
        return yard_error (error, YARD_TOO_LARGE, "a file's name has at most %d bytes", NAME_MAX);
    self->waiting++;
    int rc = advance (self, error);
    if (rc)
        self->waiting--; /* the newest: its descriptor stays the caller's */
    return rc;
}

int prober_sandbox_receive (prober_sandbox_t *self, uint64_t *ret_ticket, prober_verdict_t *ret_verdict,
                            yard_error_t *error)
{
    prober_reply_t reply;
    if (self->dead)
        return gone (self, error);
    ssize_t size = recv (self->link, &reply, sizeof reply, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (size != (ssize_t) sizeof reply || self->running == 0)
        return gone (self, error);
    self->running--;
    prober_verdict_disarm (&reply.verdict);
    *ret_ticket = reply.ticket;
    *ret_verdict = reply.verdict;
    if (advance (self, NULL) != 0)
        self->dead = true; /* this verdict still counts; the next call says so */
    return 1;
}

size_t prober_sandbox_pending (const prober_sandbox_t *self)
{
    return self->running + self->waiting;
}

pid_t prober_sandbox_server (const prober_sandbox_t *self)
{
    return self->server;
}
