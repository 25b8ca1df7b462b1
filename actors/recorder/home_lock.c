// SPDX-License-Identifier: Apache-2.0
/*  home_lock.c - flock on a file that says whose it is
 */
#include "home_lock.h"
#include "actors/ground/paths.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

#define LOCK_NAME "recorder.lock"
#define PROCESS_SIZE 24 /* a process id and a line end */

/*  For the sentence alone; what is no number is "?". */
static void read_holder (int fd, char *text)
{
    ssize_t size = pread (fd, text, PROCESS_SIZE - 1, 0);
    text [size < 0 ? 0 : size] = 0;
    text [strspn (text, "0123456789")] = 0;
    if (!text [0])
        snprintf (text, PROCESS_SIZE, "?");
}

int recorder_home_lock (const char *home, int *ret_fd, yard_error_t *error)
{
    char path [PATH_MAX], process [PROCESS_SIZE];
    int code = yard_path_join (path, home, LOCK_NAME, error);
    if (code)
        return code;
    int fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return yard_error_errno (error, errno, "cannot open the lock %s", path);
    if (flock (fd, LOCK_EX | LOCK_NB)) {
        int saved = errno;
        read_holder (fd, process);
        close (fd);
        if (saved != EWOULDBLOCK)
            return yard_error_errno (error, saved, "cannot lock %s", path);
        return yard_error (error, YARD_TAKEN,
                           "another recorder keeps %s: process %s holds recorder.lock; stop it, or choose "
                           "another --home",
                           home, process);
    }
    /* The number is for people: on a full disk the lock is as good without it. */
    int size = snprintf (process, sizeof process, "%ld\n", (long) getpid ());
    if (ftruncate (fd, 0) == 0 && pwrite (fd, process, (size_t) size, 0) != size)
        process [0] = 0;
    *ret_fd = fd;
    return 0;
}
