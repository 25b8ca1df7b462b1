// SPDX-License-Identifier: Apache-2.0
/*  up_lock.c - <run>/up.lock
 */
#include "up_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <unistd.h>
#include "actors/ground/paths.h"

#define LOCK_NAME "up.lock"
#define NUMBER_SIZE 32

/*  0 = none stands there (yet). */
static pid_t read_pid (int fd)
{
    char text [NUMBER_SIZE];
    ssize_t size = pread (fd, text, sizeof text - 1, 0);
    text [size > 0 ? size : 0] = 0;
    long number = strtol (text, NULL, 10);
    return number > 0 && number <= INT_MAX ? (pid_t) number : 0;
}

int up_lock_take (const char *run, int *ret_fd, yard_error_t *error)
{
    char path [PATH_MAX];
    int rc = yard_path_join (path, run, LOCK_NAME, error);
    if (rc)
        return rc;
    int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return yard_error_errno (error, errno, "cannot open %s", path);
    if (flock (fd, LOCK_EX | LOCK_NB)) {
        rc = errno == EWOULDBLOCK
                 ? yard_error (error, YARD_TAKEN,
                               "a yard is up already (process %d, %s); stop it with `modelyard down`",
                               (int) read_pid (fd), run)
                 : yard_error_errno (error, errno, "cannot lock %s", path);
        close (fd);
        return rc;
    }
    *ret_fd = fd;
    return 0;
}

int up_lock_write (int fd, yard_error_t *error)
{
    char text [NUMBER_SIZE];
    int size = snprintf (text, sizeof text, "%d\n", (int) getpid ());
    if (ftruncate (fd, 0) || pwrite (fd, text, (size_t) size, 0) != size)
        return yard_error_errno (error, errno, "cannot write %s", LOCK_NAME);
    return 0;
}

static int nobody (const char *run, yard_error_t *error)
{
    return yard_error (error, YARD_NOT_FOUND, "no yard is up in %s; start one with `modelyard up`", run);
}

static bool is_held (int fd)
{
    if (flock (fd, LOCK_SH | LOCK_NB))
        return true;
    flock (fd, LOCK_UN);
    return false;
}

/*  The process is opened between two looks at the lock: if it is held with the same number after, the
 *  descriptor is the holder's, whatever the number was used for since. */
int up_lock_holder (const char *run, pid_t *ret_pid, int *ret_pidfd, yard_error_t *error)
{
    char path [PATH_MAX];
    int rc = yard_path_join (path, run, LOCK_NAME, error);
    if (rc)
        return rc;
    int fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? nobody (run, error)
                               : yard_error_errno (error, errno, "cannot open %s", path);
    pid_t pid = read_pid (fd);
    int pidfd = pid ? pidfd_open (pid, 0) : -1;
    if (!is_held (fd))
        rc = nobody (run, error);
    else if (pidfd < 0 || read_pid (fd) != pid)
        rc = yard_error (error, YARD_BUSY, "the yard in %s is just starting or stopping; try again", run);
    close (fd);
    if (rc) {
        if (pidfd >= 0)
            close (pidfd);
        return rc;
    }
    *ret_pid = pid;
    *ret_pidfd = pidfd;
    return 0;
}
