// SPDX-License-Identifier: Apache-2.0
/*  child.c - one supervised process
 */
#include "child.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include "actors/ground/paths.h"

#define EXIT_NOT_STARTED 127 /* as a shell says it: the program could not be run */

void child_init (child_t *self, const char *name, unsigned stage)
{
    *self = (child_t){ .stage = stage, .due_ms = -1, .pidfd = -1 };
    snprintf (self->name, sizeof self->name, "%s", name);
}

void child_clear (child_t *self)
{
    if (self->pidfd >= 0) {
        child_signal (self, SIGKILL);
        siginfo_t info;
        while (waitid (P_PIDFD, (id_t) self->pidfd, &info, WEXITED) && errno == EINTR)
            continue;
        close (self->pidfd);
    }
    for (char **word = self->words; *word; word++)
        free (*word);
    *self = (child_t){ .pidfd = -1 };
}

int child_word (child_t *self, const char *word, yard_error_t *error)
{
    size_t count = 0;
    while (self->words [count])
        count++;
    if (count == CHILD_WORDS_MAX)
        return yard_error (error, YARD_TOO_LARGE,
                           "more than %d words for one actor; put settings into modelyard.yaml",
                           CHILD_WORDS_MAX);
    self->words [count] = strdup (word);
    if (!self->words [count])
        abort ();
    return 0;
}

/*  In the new process, up to exec. It leaves our terminal's group, so that Ctrl-C reaches us alone and we
 *  stop the actors in order; and it does not survive us: SIGKILL, because nobody would be left to insist, and
 *  a killed actor is an ordinary event. */
static void become (const child_t *self, const child_surroundings_t *around, pid_t parent, int log)
{
    sigset_t none;
    sigemptyset (&none);
    setsid ();
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    if (getppid () != parent) /* we were killed before that line */
        _exit (EXIT_NOT_STARTED);
    sigprocmask (SIG_SETMASK, &none, NULL);
    signal (SIGPIPE, SIG_DFL);
    char watchdog [32];
    snprintf (watchdog, sizeof watchdog, "%lld", (long long) CHILD_WATCHDOG_MS * 1000);
    setenv ("NOTIFY_SOCKET", around->notify_path, 1);
    setenv ("WATCHDOG_USEC", watchdog, 1);
    unsetenv ("WATCHDOG_PID");
    int nothing = open ("/dev/null", O_RDONLY | O_CLOEXEC);
    if (nothing >= 0)
        dup2 (nothing, STDIN_FILENO);
    if (log >= 0) {
        dup2 (log, STDOUT_FILENO);
        dup2 (log, STDERR_FILENO);
    }
    execv (self->words [0], self->words);
    _exit (EXIT_NOT_STARTED);
}

static int open_log (const child_t *self, const char *directory, int *ret, yard_error_t *error)
{
    char path [PATH_MAX], name [CHILD_NAME_MAX + 8];
    snprintf (name, sizeof name, "%s.log", self->name);
    int rc = yard_path_join (path, directory, name, error);
    if (rc)
        return rc;
    int fd = open (path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return yard_error_errno (error, errno, "cannot open the log %s", path);
    *ret = fd;
    return 0;
}

int child_spawn (child_t *self, const child_surroundings_t *around, yard_error_t *error)
{
    assert (self->pidfd < 0);
    int log = -1, rc = around->log_directory ? open_log (self, around->log_directory, &log, error) : 0;
    if (rc)
        return rc;
    pid_t parent = getpid (), pid = fork ();
    if (pid == 0)
        become (self, around, parent, log);
    int saved_errno = errno;
    if (log >= 0)
        close (log);
    if (pid < 0)
        return yard_error_errno (error, saved_errno, "cannot start %s", self->name);
    /* Not reaped yet, so the number is still this process. */
    self->pidfd = pidfd_open (pid, 0);
    if (self->pidfd < 0) {
        rc = yard_error_errno (error, errno, "cannot watch %s", self->name);
        kill (pid, SIGKILL);
        waitpid (pid, NULL, 0);
        return rc;
    }
    fcntl (self->pidfd, F_SETFD, FD_CLOEXEC);
    self->pid = pid;
    return 0;
}

void child_signal (const child_t *self, int number)
{
    if (self->pidfd >= 0)
        pidfd_send_signal (self->pidfd, number, NULL, 0);
}

bool child_reap (child_t *self)
{
    siginfo_t info = { 0 };
    if (self->pidfd < 0 || waitid (P_PIDFD, (id_t) self->pidfd, &info, WEXITED | WNOHANG) || info.si_pid == 0)
        return false;
    self->exit_code = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
    close (self->pidfd);
    self->pidfd = -1;
    self->pid = 0;
    return true;
}
