// SPDX-License-Identifier: Apache-2.0
/*  log.c - the simulation's lines: into SIMCUDA_LOG, one write each, so that lines of several processes never mix
 *
 *  The file is opened for every line: there are few, and the programs under test close and count descriptors.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include "tests/simcuda/simcuda.h"

#define LINE_MAX_BYTES 512 /* the longest has four numbers and a path */

void simcuda_log (const char *format, ...)
{
    char line [LINE_MAX_BYTES];
    va_list arguments;
    va_start (arguments, format);
    int used = vsnprintf (line, sizeof line - 64, format, arguments);
    va_end (arguments);
    size_t size = used < 0 ? 0 : (size_t) used;
    if (size > sizeof line - 65)
        size = sizeof line - 65;
    size += (size_t) snprintf (line + size, sizeof line - size, " pid=%d thread=%d\n", (int) getpid (),
                               (int) syscall (SYS_gettid));
    const char *path = getenv ("SIMCUDA_LOG");
    int fd = path && *path ? open (path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : STDERR_FILENO;
    if (fd < 0 || write (fd, line, size) != (ssize_t) size)
        (void) !write (STDERR_FILENO, line, size); /* no log: better here than nowhere */
    if (fd > STDERR_FILENO)
        close (fd);
}
