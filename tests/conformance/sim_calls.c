// SPDX-License-Identifier: Apache-2.0
/*  sim_calls.c - the system calls that change the disk, each a place to die before
 *
 *  The linker leads every call of the product here (--wrap). What a call does is not touched: only whether the process lives to make it.
 */
#include "sim_world.h"

#include <stdarg.h>
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
