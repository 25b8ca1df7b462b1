// SPDX-License-Identifier: Apache-2.0
/*  sim_calls.c - the system calls that change the disk, each a place to die before; and those that open and
 *  close descriptors
 *
 *  The linker leads every call of the product here (--wrap). What a call does is not touched: only whether
 *  the process lives to make it. After a turn that has opened or closed something it is looked up whose is
 *  what (sim_process.c).
 */
#include "sim_world.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define WRAP(name, parameters, arguments) \
    int __real_##name parameters; \
    int __wrap_##name parameters; \
    int __wrap_##name parameters \
    { \
        sim_point (#name); \
        return __real_##name arguments; \
    }

WRAP (fsync, (int fd), (fd))
WRAP (fdatasync, (int fd), (fd))
WRAP (ftruncate, (int fd, off_t size), (fd, size))
WRAP (rename, (const char *from, const char *to), (from, to))
WRAP (renameat, (int a, const char *from, int b, const char *to), (a, from, b, to))
WRAP (renameat2, (int a, const char *from, int b, const char *to, unsigned flags), (a, from, b, to, flags))
WRAP (linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags))
WRAP (unlink, (const char *path), (path))
WRAP (unlinkat, (int fd, const char *path, int flags), (fd, path, flags))
WRAP (mkdir, (const char *path, mode_t mode), (path, mode))
WRAP (mkdirat, (int fd, const char *path, mode_t mode), (fd, path, mode))
WRAP (fchmodat, (int fd, const char *path, mode_t mode, int flags), (fd, path, mode, flags))

ssize_t __real_write (int fd, const void *data, size_t size);
ssize_t __wrap_write (int fd, const void *data, size_t size);
ssize_t __wrap_write (int fd, const void *data, size_t size)
{
    sim_point ("write");
    return __real_write (fd, data, size);
}

ssize_t __real_pwrite (int fd, const void *data, size_t size, off_t at);
ssize_t __wrap_pwrite (int fd, const void *data, size_t size, off_t at);
ssize_t __wrap_pwrite (int fd, const void *data, size_t size, off_t at)
{
    sim_point ("pwrite");
    return __real_pwrite (fd, data, size, at);
}

#define WRAP_NOTED(name, parameters, arguments) \
    int __real_##name parameters; \
    int __wrap_##name parameters; \
    int __wrap_##name parameters \
    { \
        if (sim_world_now ()) \
            sim_world_now ()->descriptors_moved = true; \
        return __real_##name arguments; \
    }

/*  open and openat: the mode is there when a file may be made. */
WRAP_NOTED (open, (const char *path, int flags, mode_t mode), (path, flags, mode))
WRAP_NOTED (openat, (int fd, const char *path, int flags, mode_t mode), (fd, path, flags, mode))
WRAP_NOTED (mkstemp, (char *path), (path))
WRAP_NOTED (memfd_create, (const char *name, unsigned flags), (name, flags))
WRAP_NOTED (eventfd, (unsigned value, int flags), (value, flags))
WRAP_NOTED (socket, (int domain, int type, int protocol), (domain, type, protocol))
WRAP_NOTED (accept4, (int fd, struct sockaddr *address, socklen_t *size, int flags),
            (fd, address, size, flags))
WRAP_NOTED (dup, (int fd), (fd))
WRAP_NOTED (close, (int fd), (fd))
WRAP_NOTED (closedir, (DIR * directory), (directory))
