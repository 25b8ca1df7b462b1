// SPDX-License-Identifier: Apache-2.0
/*  sandbox_child.c - the one process that reads hostile bytes
 */
#include "actors/prober/sandbox_server.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include "actors/ground/fault.h"
#include "actors/prober/inspect.h"

/*  The two descriptors that a child has, beside the standard ones. */
#define FILE_FD 3
#define RESULT_FD 4
#define ABOVE_FD 5

#ifdef YARD_FAULTS
static void try_open (void)
{
    int fd = open ("/etc/hostname", O_RDONLY | O_CLOEXEC);
    (void) fd;
}

static void try_socket (void)
{
    int fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void) fd;
}

static void try_execve (void)
{
    char *const arguments [] = { "true", NULL };
    execve ("/bin/true", arguments, arguments + 1);
}

static void try_read (void)
{
    char byte;
    ssize_t got = pread (STDIN_FILENO, &byte, 1, 0);
    (void) got;
}

static void spin (void)
{
    for (volatile uint64_t turn = 0;; turn++)
        ;
}

/*  What a child that hostile bytes have taken over might do, for tests of the walls. Armed before the walls
 *  stand, since a fault announces itself, and done behind them. */
static const struct {
    const char *point;
    void (*act) (void);
} escapes [] = {
    { "prober.open", try_open }, { "prober.socket", try_socket }, { "prober.execve", try_execve },
    { "prober.read", try_read }, { "prober.spin", spin },         { "prober.abort", abort },
};
#endif

/*  Closes all but the two, which get fixed numbers. */
static int keep_two (int file, int result)
{
    int high_file = fcntl (file, F_DUPFD, ABOVE_FD), high_result = fcntl (result, F_DUPFD, ABOVE_FD);
    if (high_file < 0 || high_result < 0 || dup2 (high_file, FILE_FD) < 0 ||
        dup2 (high_result, RESULT_FD) < 0)
        return -1;
    return close_range (ABOVE_FD, ~0u, 0);
}

static int live (const char *name, const prober_limits_t *limits)
{
    yard_error_t error = { 0 };
    prober_verdict_t verdict;
    void (*act) (void) = NULL;
#ifdef YARD_FAULTS
    if (FAULT ("prober.hang"))
        pause ();
    for (size_t at = 0; at < sizeof escapes / sizeof escapes [0]; at++)
        if (FAULT (escapes [at].point))
            act = escapes [at].act;
#endif
    if (prober_confine (FILE_FD, RESULT_FD, limits, &error) != 0) {
        /* Without walls nothing is read. The verdict still gets out. */
        prober_verdict_fail (&verdict, &error);
    } else {
        if (act)
            act ();
        prober_inspect (FILE_FD, name, &verdict);
    }
    ssize_t sent = send (RESULT_FD, &verdict, sizeof verdict, MSG_NOSIGNAL);
    return sent == (ssize_t) sizeof verdict ? 0 : 1;
}

void prober_sandbox_child (int file, int result, const char *name, const prober_limits_t *limits)
{
    prctl (PR_SET_NAME, "prober-child");
    if (keep_two (file, result) != 0)
        _exit (1);
    _exit (live (name, limits));
}
