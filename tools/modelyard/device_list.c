// SPDX-License-Identifier: Apache-2.0
/*  device_list.c - which GPUs this machine has, told by a short-lived child
 *
 *  The child writes rows as they are in memory into a pipe: both ends are the same program.
 */
#include "device_list.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include "actors/ground/clock.h"

#define ANSWER_MS 30000 /* a driver that has to wake up sixteen devices takes several seconds */

typedef struct {
    yard_error_t error;
    int count;
} head_t;

/*  --- the child */
static bool give (int fd, const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        ssize_t written = write (fd, at, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        at += written;
        size -= (size_t) written;
    }
    return true;
}

static void look (const loader_device_class_t *class, int number, bool open, device_row_t *ret)
{
    char name [32];
    loader_device_t *device = NULL;
    snprintf (name, sizeof name, "cuda:%d", number);
    int rc = class->look (number, &ret->about, &ret->error);
    if (rc == 0 && open)
        rc = class->open (name, LOADER_EXPORT_AUTO, &device, &ret->error);
    if (rc == 0 && open)
        rc = class->about (device, &ret->about, &ret->error);
    if (device)
        class->close (&device);
    if (rc && !ret->error.code)
        ret->error.code = rc;
}

static void tell (int fd, bool open)
{
    const loader_device_class_t *class = NULL;
    head_t head = { 0 };
    int rc = loader_device_class ("cuda:0", &class, &head.error);
    if (rc == 0)
        rc = class->count (&head.count, &head.error);
    head.error.code = rc;
    head.count = rc || head.count < 0 ? 0 : head.count > DEVICE_LIST_MAX ? DEVICE_LIST_MAX : head.count;
    bool heard = give (fd, &head, sizeof head);
    for (int i = 0; i < head.count && heard; i++) {
        device_row_t row = { 0 };
        look (class, i, open, &row);
        heard = give (fd, &row, sizeof row);
    }
}

/*  What libraries print is not our output; what they leave in a core is nobody's. */
static _Noreturn void be_child (int fd, bool open)
{
    prctl (PR_SET_PDEATHSIG, SIGKILL);
    setrlimit (RLIMIT_CORE, &(struct rlimit){ 0, 0 });
    dup2 (STDERR_FILENO, STDOUT_FILENO);
    signal (SIGPIPE, SIG_IGN);
    tell (fd, open);
    _exit (0);
}

/*  --- the parent */
/*  0, or YARD_GONE: no more came, or YARD_TIMEOUT. */
static int take (int fd, void *into, size_t size, int64_t end_ms)
{
    char *at = into;
    while (size > 0) {
        int64_t left = end_ms - yard_clock_ms (yard_clock_system ());
        struct pollfd waiting = { .fd = fd, .events = POLLIN };
        int ready = left > 0 ? poll (&waiting, 1, (int) left) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return YARD_TIMEOUT;
        ssize_t got = read (fd, at, size);
        if (got <= 0)
            return YARD_GONE;
        at += got;
        size -= (size_t) got;
    }
    return 0;
}

static int hear (int fd, device_list_t *ret, yard_error_t *error)
{
    int64_t end_ms = yard_clock_ms (yard_clock_system ()) + ANSWER_MS;
    head_t head;
    int rc = take (fd, &head, sizeof head, end_ms);
    if (rc)
        return rc;
    if (head.error.code)
        return yard_error (error, head.error.code, "%s", head.error.text);
    ret->rows = calloc ((size_t) head.count + 1, sizeof *ret->rows);
    if (!ret->rows)
        abort ();
    for (; ret->count < (size_t) head.count && rc == 0; ret->count += rc == 0)
        rc = take (fd, &ret->rows [ret->count], sizeof *ret->rows, end_ms);
    return rc;
}

/*  A child that ended before it had said all: why. */
static int explain (int status, yard_error_t *error)
{
    bool killed = WIFSIGNALED (status);
    return yard_error (
        error, YARD_DEVICE_LOST,
        "the libraries of the GPUs ended the process that listed them (%s %d); see `nvidia-smi` and "
        "`dmesg`",
        killed ? "signal" : "status", killed ? WTERMSIG (status) : WEXITSTATUS (status));
}

int device_list_read (bool open, device_list_t *ret, yard_error_t *error)
{
    int ends [2], status = 0;
    *ret = (device_list_t){ 0 };
    if (pipe2 (ends, O_CLOEXEC))
        return yard_error_errno (error, errno, "no pipe to list devices through");
    fflush (NULL);
    pid_t child = fork ();
    if (child == 0) {
        close (ends [0]);
        be_child (ends [1], open);
    }
    int saved = errno;
    close (ends [1]);
    int rc = child < 0 ? yard_error_errno (error, saved, "no process to list devices in")
                       : hear (ends [0], ret, error);
    close (ends [0]);
    if (child < 0)
        return rc;
    /* What the libraries still do at their end, or whether they hang there, is of no interest; one that died by
     * itself keeps its own status. */
    kill (child, SIGKILL);
    waitpid (child, &status, 0);
    if (rc == YARD_GONE)
        rc = explain (status, error);
    else if (rc == YARD_TIMEOUT)
        rc = yard_error (error, rc,
                         "the driver of the GPUs did not answer in %d s; see `nvidia-smi` and `dmesg`",
                         ANSWER_MS / 1000);
    if (rc)
        device_list_clear (ret);
    return rc;
}

void device_list_clear (device_list_t *self)
{
    free (self->rows);
    *self = (device_list_t){ 0 };
}
