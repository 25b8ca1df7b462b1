// SPDX-License-Identifier: Apache-2.0
/*  nccl_bed.c - starts ranks, talks to them, ends them
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "tests/simcuda/nccl_bed.h"

#define DEADLINE_MS 30000 /* for a loaded machine; a rank answers within milliseconds */
#define LOG_TRIES 1000 /* 10 ms apart */
#define LOG_SIZE 65536

static void become_rank (const nccl_bed_t *self, int ours, const char *const *settings)
{
    prctl (PR_SET_PDEATHSIG, SIGKILL); /* one that hangs must not outlive a test that failed */
    dup2 (ours, STDIN_FILENO);
    dup2 (ours, STDOUT_FILENO);
    setenv ("SIMCUDA_LOG", self->log, 1);
    setenv ("SIMCUDA_DEVICES", "8", 1);
    for (; settings && *settings; settings++)
        putenv ((char *) (uintptr_t) *settings);
    execl (SIMNCCL_RANK, SIMNCCL_RANK, (char *) NULL);
    _exit (127);
}

static void start_one (nccl_bed_t *self, unsigned rank, const char *const *settings)
{
    int pair [2];
    assert_int_equal (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    self->rank [rank].process = fork ();
    assert_true (self->rank [rank].process >= 0);
    if (self->rank [rank].process == 0)
        become_rank (self, pair [1], settings);
    close (pair [1]);
    self->rank [rank].to = self->rank [rank].from = pair [0];
    assert_int_equal (nccl_bed_ask (self, rank, "device %u", rank), 0);
    assert_int_equal (nccl_bed_ask (self, rank, "allocate %u", NCCL_BED_MEMORY), 0);
}

void nccl_bed_start (nccl_bed_t *self, unsigned ranks, const char *const *settings)
{
    memset (self, 0, sizeof *self);
    snprintf (self->folder, sizeof self->folder, "/tmp/simnccl-XXXXXX");
    assert_non_null (mkdtemp (self->folder));
    snprintf (self->log, sizeof self->log, "%s/log", self->folder);
    self->ranks = ranks;
    for (unsigned rank = 0; rank < ranks; rank++)
        start_one (self, rank, settings);
}

static void reap (nccl_bed_rank_t *rank)
{
    int status;
    close (rank->to);
    while (waitpid (rank->process, &status, 0) != rank->process)
        ;
    rank->process = 0;
    assert_true (!WIFEXITED (status) || WEXITSTATUS (status) == 0);
    assert_true (!WIFSIGNALED (status) || WTERMSIG (status) == SIGKILL);
}

void nccl_bed_kill (nccl_bed_t *self, unsigned rank)
{
    kill (self->rank [rank].process, SIGKILL);
    reap (&self->rank [rank]);
}

void nccl_bed_leave (nccl_bed_t *self, unsigned rank)
{
    reap (&self->rank [rank]);
}

void nccl_bed_stop (nccl_bed_t *self)
{
    for (unsigned rank = 0; rank < self->ranks; rank++)
        if (self->rank [rank].process > 0)
            reap (&self->rank [rank]);
    unlink (self->log);
    assert_int_equal (rmdir (self->folder), 0);
}

static void tell (nccl_bed_t *self, unsigned rank, const char *format, va_list values)
{
    char line [512];
    int size = vsnprintf (line, sizeof line - 1, format, values);
    line [size++] = '\n';
    assert_int_equal (send (self->rank [rank].to, line, (size_t) size, MSG_NOSIGNAL), size);
}

void nccl_bed_tell (nccl_bed_t *self, unsigned rank, const char *format, ...)
{
    va_list values;
    va_start (values, format);
    tell (self, rank, format, values);
    va_end (values);
}

/*  A line without its end; false: not in time. */
static bool hear (nccl_bed_t *self, unsigned rank, char *line, size_t size, int ms)
{
    struct pollfd entry = { .fd = self->rank [rank].from, .events = POLLIN };
    size_t used = 0;
    while (used + 1 < size) {
        if (poll (&entry, 1, ms) != 1 || read (entry.fd, line + used, 1) != 1)
            return false;
        if (line [used] == '\n')
            break;
        used++;
    }
    line [used] = 0;
    return true;
}

long long nccl_bed_answer_within (nccl_bed_t *self, unsigned rank, int ms)
{
    char line [32];
    return hear (self, rank, line, sizeof line, ms) ? strtoll (line, NULL, 10) : NCCL_BED_SILENT;
}

long long nccl_bed_answer (nccl_bed_t *self, unsigned rank)
{
    long long answer = nccl_bed_answer_within (self, rank, DEADLINE_MS);
    assert_int_not_equal (answer, NCCL_BED_SILENT);
    return answer;
}

long long nccl_bed_ask (nccl_bed_t *self, unsigned rank, const char *format, ...)
{
    va_list values;
    va_start (values, format);
    tell (self, rank, format, values);
    va_end (values);
    return nccl_bed_answer (self, rank);
}

void nccl_bed_draw (nccl_bed_t *self, unsigned rank)
{
    nccl_bed_tell (self, rank, "id");
    assert_true (hear (self, rank, self->id, sizeof self->id, DEADLINE_MS));
    assert_int_equal (strlen (self->id), 256);
}

void nccl_bed_all (nccl_bed_t *self, long long expected, const char *command)
{
    for (unsigned rank = 0; rank < self->ranks; rank++)
        nccl_bed_tell (self, rank, "%s", command);
    for (unsigned rank = 0; rank < self->ranks; rank++)
        assert_int_equal (nccl_bed_answer (self, rank), expected);
}

void nccl_bed_join (nccl_bed_t *self, bool blocking)
{
    nccl_bed_draw (self, 0);
    for (unsigned rank = 0; rank < self->ranks; rank++)
        nccl_bed_tell (self, rank, "join %u %u %d %s", rank, self->ranks, blocking, self->id);
    for (unsigned rank = 0; rank < self->ranks; rank++)
        assert_int_equal (nccl_bed_answer (self, rank), blocking ? 0 : 7);
    nccl_bed_all (self, 0, "ready 20000");
}

bool nccl_bed_logged (const nccl_bed_t *self, const char *text)
{
    static char log [LOG_SIZE];
    ssize_t size = 0;
    int fd = open (self->log, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        size = read (fd, log, sizeof log - 1);
        close (fd);
    }
    log [size > 0 ? size : 0] = 0;
    return strstr (log, text) != NULL;
}

void nccl_bed_await_log (const nccl_bed_t *self, const char *text)
{
    for (int tries = 0; tries < LOG_TRIES && !nccl_bed_logged (self, text); tries++)
        poll (NULL, 0, 10);
    assert_true (nccl_bed_logged (self, text));
}
