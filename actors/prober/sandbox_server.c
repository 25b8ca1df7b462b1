// SPDX-License-Identifier: Apache-2.0
/*  sandbox_server.c - forks a child for each request, waits for what becomes of it, passes the verdict on
 *
 *  A child's life shows on its result socket alone: a message is its verdict, the end of the socket its death
 *  (close is not among the calls that a child may make). So one poll over sockets and deadlines is the whole
 *  loop; no signal is handled.
 */
#include "actors/prober/sandbox_server.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "actors/ground/clock.h"

typedef struct {
    pid_t pid;
    int result;
    uint64_t ticket;
    int64_t deadline_ms;
    bool answered, overdue;
    prober_verdict_t verdict;
} child_t;

typedef struct {
    int link;
    const prober_limits_t *limits;
    child_t children [PROBER_CHILDREN_MAX];
    size_t count;
} server_t;

/*  Why a child may have died, for people. Signals that are not here are told by name alone. */
static const struct {
    int number;
    const char *reason;
} deaths [] = {
    { SIGSYS, "it asked the system for something that no reader of files needs" },
    { SIGXCPU, "it used up its processor time" },
    { SIGABRT, "it gave up, for lack of memory or by a bug of ours" },
    { SIGKILL, "it was killed, perhaps for lack of memory" },
};

static const char *reason_of (int number)
{
    for (size_t at = 0; at < sizeof deaths / sizeof deaths [0]; at++)
        if (deaths [at].number == number)
            return deaths [at].reason;
    return "its memory was broken";
}

/*  A verdict in place of the one that a child did not live to give. */
static void crashed (const child_t *child, int wait_status, int64_t wall_ms, prober_verdict_t *verdict)
{
    static const char advice [] = "do not trust the file; if you do, install it with type, base and format";
    yard_error_t error;
    if (child->overdue)
        yard_error (&error, YARD_PROBE_CRASHED, "the probe was not done in %lld ms and was ended; %s",
                    (long long) wall_ms, advice);
    else if (WIFSIGNALED (wait_status))
        yard_error (&error, YARD_PROBE_CRASHED, "the probe died by SIG%s: %s; %s",
                    sigabbrev_np (WTERMSIG (wait_status)), reason_of (WTERMSIG (wait_status)), advice);
    else
        yard_error (&error, YARD_PROBE_CRASHED, "the probe ended without a verdict (status %d); %s",
                    WEXITSTATUS (wait_status), advice);
    prober_verdict_fail (verdict, &error);
}

static void end_children (server_t *self)
{
    for (size_t at = 0; at < self->count; at++)
        kill (self->children [at].pid, SIGKILL);
    for (size_t at = 0; at < self->count; at++)
        waitpid (self->children [at].pid, NULL, 0);
}

static _Noreturn void end (server_t *self)
{
    end_children (self);
    _exit (0);
}

static void reply (server_t *self, uint64_t ticket, const prober_verdict_t *verdict)
{
    prober_reply_t message = { .ticket = ticket, .verdict = *verdict };
    /* May block; the actor has at most `children` verdicts to fetch, which the socket's buffer holds. */
    if (send (self->link, &message, sizeof message, MSG_NOSIGNAL) < 0)
        end (self);
}

static void bury (server_t *self, size_t at)
{
    child_t *child = &self->children [at];
    int wait_status = 0;
    while (waitpid (child->pid, &wait_status, 0) < 0 && errno == EINTR)
        continue;
    close (child->result);
    if (!child->answered || wait_status != 0)
        crashed (child, wait_status, self->limits->wall_ms, &child->verdict);
    reply (self, child->ticket, &child->verdict);
    *child = self->children [--self->count];
}

/*  One message or the end. true when the child is over. */
static bool hear (child_t *child)
{
    prober_verdict_t verdict;
    ssize_t size = recv (child->result, &verdict, sizeof verdict, MSG_DONTWAIT);
    if (size < 0)
        return errno != EAGAIN && errno != EINTR;
    if (size == (ssize_t) sizeof verdict) {
        child->verdict = verdict;
        child->answered = true;
    }
    return size == 0;
}

static _Noreturn void become_child (server_t *self, pid_t server, int file, int result,
                                    const prober_request_t *request)
{
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    if (getppid () != server) /* it died before the line above */
        _exit (1);
    prober_sandbox_child (file, result, request->name, self->limits);
}

static int start (server_t *self, int file, const prober_request_t *request, yard_error_t *error)
{
    int pair [2];
    pid_t server = getpid ();
    if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return yard_error_errno (error, errno, "making a socket for the probe");
    pid_t pid = fork ();
    if (pid == 0)
        become_child (self, server, file, pair [1], request);
    int saved_errno = errno;
    close (pair [1]);
    if (pid < 0) {
        close (pair [0]);
        return yard_error_errno (error, saved_errno, "starting a process for the probe");
    }
    self->children [self->count++] = (child_t){
        .pid = pid,
        .result = pair [0],
        .ticket = request->ticket,
        .deadline_ms = yard_clock_ms (yard_clock_system ()) + self->limits->wall_ms,
    };
    return 0;
}

/*  Reads one request and starts its child. The end of the link is the end of the server. */
static void take_request (server_t *self)
{
    prober_request_t request;
    union {
        struct cmsghdr header;
        char room [CMSG_SPACE (sizeof (int))];
    } control;
    struct iovec part = { .iov_base = &request, .iov_len = sizeof request };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
    };
    ssize_t size = recvmsg (self->link, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    struct cmsghdr *header = CMSG_FIRSTHDR (&message);
    if (size != (ssize_t) sizeof request || !header || header->cmsg_type != SCM_RIGHTS)
        end (self);
    int file;
    memcpy (&file, CMSG_DATA (header), sizeof file);
    yard_error_t error = { 0 };
    if (start (self, file, &request, &error) != 0) {
        prober_verdict_t verdict;
        prober_verdict_fail (&verdict, &error);
        reply (self, request.ticket, &verdict);
    }
    close (file);
}

/*  Ends what is overdue; how long until the next would be. */
static int next_deadline (server_t *self)
{
    int64_t now = yard_clock_ms (yard_clock_system ()), rest = -1;
    for (size_t at = 0; at < self->count; at++) {
        child_t *child = &self->children [at];
        int64_t left = child->deadline_ms - now;
        if (child->overdue)
            continue;
        if (left <= 0) {
            kill (child->pid, SIGKILL);
            child->overdue = true;
        } else if (rest < 0 || left < rest) {
            rest = left;
        }
    }
    return rest > INT_MAX ? INT_MAX : (int) rest;
}

void prober_sandbox_serve (int link, const prober_limits_t *limits)
{
    server_t self = { .link = link, .limits = limits };
    prctl (PR_SET_NAME, "prober-sandbox");
    for (;;) {
        struct pollfd fds [1 + PROBER_CHILDREN_MAX];
        int timeout_ms = next_deadline (&self);
        size_t count = self.count;
        fds [0] = (struct pollfd){ .fd = link, .events = count < limits->children ? POLLIN : 0 };
        for (size_t at = 0; at < count; at++)
            fds [1 + at] = (struct pollfd){ .fd = self.children [at].result, .events = POLLIN };
        if (poll (fds, 1 + count, timeout_ms) < 0)
            continue;
        /* From the last, since the place of a buried one is taken by the last. */
        for (size_t at = count; at-- > 0;)
            if (fds [1 + at].revents && hear (&self.children [at]))
                bury (&self, at);
        if (fds [0].revents & POLLIN)
            take_request (&self);
        else if (fds [0].revents)
            end (&self);
    }
}
