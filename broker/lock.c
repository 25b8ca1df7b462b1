// SPDX-License-Identifier: Apache-2.0
/*  lock.c - flock, and the removal of dead sockets
 */
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include "actors/ground/view.h"

#define PROCESS_TEXT_SIZE 24 /* a process id and a line end */

static void read_holder (int fd, char *text)
{
    ssize_t size = pread (fd, text, PROCESS_TEXT_SIZE - 1, 0);
    text [size < 0 ? 0 : size] = 0;
    text [strspn (text, "0123456789")] = 0;
}

int broker_lock (const char *path, int *ret_fd, yard_error_t *error)
{
    char process [PROCESS_TEXT_SIZE];
    int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return yard_error_errno (error, errno, "cannot open the lock %s", path);
    if (flock (fd, LOCK_EX | LOCK_NB)) {
        int saved = errno;
        read_holder (fd, process);
        close (fd);
        if (saved == EWOULDBLOCK)
            return yard_error (
                error, YARD_TAKEN,
                "a broker runs here already: process %s holds %s; stop it, or choose another --run",
                process [0] ? process : "?", path);
        return yard_error_errno (error, saved, "cannot lock %s", path);
    }
    int size = snprintf (process, sizeof process, "%ld\n", (long) getpid ());
    /* The id is for people; a lock without it is as good. */
    if (ftruncate (fd, 0) == 0 && pwrite (fd, process, (size_t) size, 0) != size)
        process [0] = 0;
    *ret_fd = fd;
    return 0;
}

int broker_lock_clear (const char *endpoint, yard_error_t *error)
{
    static const char scheme [] = "ipc://";
    if (!yard_string_starts (yard_string (endpoint), scheme))
        return 0;
    const char *path = endpoint + sizeof scheme - 1;
    struct stat status;
    if (path [0] == '@')
        return 0;
    if (lstat (path, &status))
        return errno == ENOENT ? 0 : yard_error_errno (error, errno, "cannot look at the socket %s", path);
    if (!S_ISSOCK (status.st_mode))
        return yard_error (error, YARD_INVALID_CONFIG,
                           "%s is no socket: it is left alone; choose another endpoint", path);
    if (unlink (path) && errno != ENOENT)
        return yard_error_errno (error, errno, "cannot remove the dead socket %s", path);
    return 0;
}
