// SPDX-License-Identifier: Apache-2.0
/*  signals.c - signals as something to wait for
 */
#include "signals.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>

int signals_catch (const int *also, int *ret_fd, yard_error_t *error)
{
    sigset_t caught;
    sigemptyset (&caught);
    sigaddset (&caught, SIGINT);
    sigaddset (&caught, SIGTERM);
    for (; also && *also; also++)
        sigaddset (&caught, *also);
    sigprocmask (SIG_BLOCK, &caught, NULL);
    *ret_fd = signalfd (-1, &caught, SFD_CLOEXEC | SFD_NONBLOCK);
    return *ret_fd < 0 ? yard_error_errno (error, errno, "cannot wait for signals") : 0;
}

int signals_take (int fd)
{
    struct signalfd_siginfo info;
    return read (fd, &info, sizeof info) == sizeof info ? (int) info.ssi_signo : 0;
}
