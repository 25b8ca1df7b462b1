// SPDX-License-Identifier: Apache-2.0
/*  sabotage.c - a preloaded disk that fails when told to: at the n-th call of one process, over all threads
 *
 *  Promises: calls on regular files and directories below SABOTAGE_ROOT are counted in one sequence, and the
 *  chosen ones are killed at, cut short, interrupted or failed; every other call goes to the kernel as it is.
 *  strace counts each thread by itself, so of two threads that share the work it never reaches the calls of
 *  the one that has less; it stays the tool where the kernel's own view of the calls matters.
 *
 *      SABOTAGE_CALLS   words of `kinds`, joined by +
 *      SABOTAGE_ACTION  none | kill | torn | short | eintr | an errno number
 *      SABOTAGE_FIRST   the first call that is met, from 1; SABOTAGE_LAST the last one, 0 = all after it
 *      SABOTAGE_PATH    only calls whose path holds this text
 *      SABOTAGE_LOG     a file that gets one line for each counted call
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#define LINE_MAX_BYTES (PATH_MAX + 64)

typedef enum {
    KIND_WRITE,
    KIND_SYNC,
    KIND_RENAME,
    KIND_LINK,
    KIND_UNLINK,
    KIND_MKDIR,
    KIND_TRUNCATE,
    KIND_CREATE,
    KIND_CLOSE,
    KIND_READ,
    KIND_RESERVE,
    KINDS
} kind_t;

static const char *const kinds [KINDS] = { "write",    "sync",   "rename", "link", "unlink", "mkdir",
                                           "truncate", "create", "close",  "read", "reserve" };

/*  What strike () says of a call: do it, do only its first byte, or fail with this errno. */
#define DO_IT 0
#define ONE_BYTE (-1)

/*  The process's own, as the environment is. */
static struct {
    bool read, counted [KINDS];
    const char *root, *part, *action;
    long first, last;
    int log;
    atomic_long calls;
} rule = { .log = -1 };

static bool has_word (const char *list, const char *word)
{
    size_t size = strlen (word);
    for (const char *at = list; at && (at = strstr (at, word)); at += size)
        if ((at == list || at [-1] == '+') && (at [size] == 0 || at [size] == '+'))
            return true;
    return false;
}

static long number (const char *name)
{
    const char *text = getenv (name);
    return text ? strtol (text, NULL, 10) : 0;
}

/*  Before main, so that no thread can see it half read. */
__attribute__ ((constructor)) static void read_rule (void)
{
    const char *calls = getenv ("SABOTAGE_CALLS"), *log = getenv ("SABOTAGE_LOG");
    rule.root = getenv ("SABOTAGE_ROOT");
    rule.part = getenv ("SABOTAGE_PATH");
    rule.action = getenv ("SABOTAGE_ACTION");
    rule.first = number ("SABOTAGE_FIRST");
    rule.last = number ("SABOTAGE_LAST");
    if (!rule.root || !rule.action || !calls)
        return;
    for (size_t i = 0; i < KINDS; i++)
        rule.counted [i] = has_word (calls, kinds [i]);
    if (log)
        rule.log = (int) syscall (SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    rule.read = true;
}

/*  A regular file or directory of the yard: not its sockets and locks, not its logs. */
static bool is_of_the_yard (const char *path)
{
    size_t root = strlen (rule.root), size = strlen (path);
    if (strncmp (path, rule.root, root) != 0 || strncmp (path + root, "/run/", 5) == 0)
        return false;
    if (size > 4 && strcmp (path + size - 4, ".log") == 0)
        return false;
    return !rule.part || strstr (path, rule.part) != NULL;
}

static bool path_of (int fd, char *ret)
{
    char link [64];
    snprintf (link, sizeof link, "/proc/self/fd/%d", fd);
    long size = syscall (SYS_readlinkat, AT_FDCWD, link, ret, PATH_MAX - 1);
    ret [size > 0 ? size : 0] = 0;
    return size > 0;
}

static int act (kind_t kind, long call)
{
    if (call < rule.first || (rule.last && call > rule.last))
        return DO_IT;
    bool tears = strcmp (rule.action, "torn") == 0;
    if (strcmp (rule.action, "kill") == 0 || (tears && kind != KIND_WRITE))
        kill (getpid (), SIGKILL);
    if (tears)
        return ONE_BYTE;
    /* Every other one, so that whoever repeats gets on. */
    if (strcmp (rule.action, "short") == 0)
        return call % 2 ? ONE_BYTE : DO_IT;
    if (strcmp (rule.action, "eintr") == 0)
        return call % 2 ? EINTR : DO_IT;
    return (int) strtol (rule.action, NULL, 10);
}

/*  The one gate that every call goes through; fd or a name below a directory. */
static int strike (kind_t kind, int fd, const char *name)
{
    char path [2 * PATH_MAX] = "", line [LINE_MAX_BYTES];
    if (!rule.read || !rule.counted [kind])
        return DO_IT;
    int saved = errno;
    bool known = name && name [0] == '/' ? true : path_of (fd, path);
    if (name)
        snprintf (path + strlen (path), PATH_MAX, "%s%s", name [0] == '/' ? "" : "/", name);
    errno = saved;
    if (!known || !is_of_the_yard (path))
        return DO_IT;
    long call = atomic_fetch_add (&rule.calls, 1) + 1;
    if (rule.log >= 0) {
        int size = snprintf (line, sizeof line, "%ld %s %s\n", call, kinds [kind], path);
        syscall (SYS_write, rule.log, line, size < LINE_MAX_BYTES ? size : LINE_MAX_BYTES - 1);
    }
    errno = saved;
    return act (kind, call);
}

/*  Fails a call of result type long as the world would. */
#define MEET(kind, fd, name) \
    do { \
        int met_ = strike ((kind), (fd), (name)); \
        if (met_ > 0) { \
            errno = met_; \
            return -1; \
        } \
    } while (0)

/*  --- bytes: these may also be cut short. torn: half of them reach the file, then the process ends. */
static size_t cut (kind_t kind, int fd, size_t size, int *ret_errno)
{
    int met = strike (kind, fd, NULL);
    *ret_errno = met > 0 ? met : 0;
    if (met != ONE_BYTE || size == 0)
        return size;
    return strcmp (rule.action, "torn") == 0 ? size / 2 : 1;
}

static ssize_t after_write (ssize_t done, size_t asked, size_t wanted)
{
    if (asked != wanted && strcmp (rule.action, "torn") == 0)
        kill (getpid (), SIGKILL);
    return done;
}

ssize_t write (int fd, const void *data, size_t size)
{
    int failed;
    size_t part = fd <= STDERR_FILENO ? size : cut (KIND_WRITE, fd, size, &failed);
    if (fd > STDERR_FILENO && failed) {
        errno = failed;
        return -1;
    }
    return after_write (syscall (SYS_write, fd, data, part), part, size);
}

ssize_t pwrite64 (int fd, const void *data, size_t size, off_t at)
{
    int failed;
    size_t part = cut (KIND_WRITE, fd, size, &failed);
    if (failed) {
        errno = failed;
        return -1;
    }
    return after_write (syscall (SYS_pwrite64, fd, data, part, at), part, size);
}

ssize_t pwrite (int fd, const void *data, size_t size, off_t at)
{
    return pwrite64 (fd, data, size, at);
}

ssize_t read (int fd, void *data, size_t size)
{
    int failed;
    size_t part = cut (KIND_READ, fd, size, &failed);
    if (failed) {
        errno = failed;
        return -1;
    }
    return syscall (SYS_read, fd, data, part);
}

ssize_t pread64 (int fd, void *data, size_t size, off_t at)
{
    int failed;
    size_t part = cut (KIND_READ, fd, size, &failed);
    if (failed) {
        errno = failed;
        return -1;
    }
    return syscall (SYS_pread64, fd, data, part, at);
}

ssize_t pread (int fd, void *data, size_t size, off_t at)
{
    return pread64 (fd, data, size, at);
}

/*  The names that a fortified build calls instead; their own check is not what is tested here. */
ssize_t __read_chk (int fd, void *data, size_t size, size_t room)
{
    return size > room ? -1 : read (fd, data, size);
}

ssize_t __pread_chk (int fd, void *data, size_t size, off_t at, size_t room)
{
    return size > room ? -1 : pread64 (fd, data, size, at);
}

ssize_t __pread64_chk (int fd, void *data, size_t size, off_t at, size_t room)
{
    return __pread_chk (fd, data, size, at, room);
}

/*  --- the disk and names */
int fsync (int fd)
{
    MEET (KIND_SYNC, fd, NULL);
    return (int) syscall (SYS_fsync, fd);
}

int fdatasync (int fd)
{
    MEET (KIND_SYNC, fd, NULL);
    return (int) syscall (SYS_fdatasync, fd);
}

int fallocate (int fd, int mode, off_t at, off_t size)
{
    MEET (KIND_RESERVE, fd, NULL);
    return (int) syscall (SYS_fallocate, fd, mode, at, size);
}

int ftruncate64 (int fd, off_t size)
{
    MEET (KIND_TRUNCATE, fd, NULL);
    return (int) syscall (SYS_ftruncate, fd, size);
}

int ftruncate (int fd, off_t size)
{
    return ftruncate64 (fd, size);
}

int renameat2 (int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    MEET (KIND_RENAME, from_fd, from);
    return (int) syscall (SYS_renameat2, from_fd, from, to_fd, to, flags);
}

int renameat (int from_fd, const char *from, int to_fd, const char *to)
{
    return renameat2 (from_fd, from, to_fd, to, 0);
}

int rename (const char *from, const char *to)
{
    return renameat2 (AT_FDCWD, from, AT_FDCWD, to, 0);
}

int linkat (int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    MEET (KIND_LINK, from_fd, from);
    return (int) syscall (SYS_linkat, from_fd, from, to_fd, to, flags);
}

int link (const char *from, const char *to)
{
    return linkat (AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlinkat (int fd, const char *name, int flags)
{
    MEET (KIND_UNLINK, fd, name);
    return (int) syscall (SYS_unlinkat, fd, name, flags);
}

int unlink (const char *path)
{
    return unlinkat (AT_FDCWD, path, 0);
}

int rmdir (const char *path)
{
    return unlinkat (AT_FDCWD, path, AT_REMOVEDIR);
}

int mkdirat (int fd, const char *name, mode_t mode)
{
    MEET (KIND_MKDIR, fd, name);
    return (int) syscall (SYS_mkdirat, fd, name, mode);
}

int mkdir (const char *path, mode_t mode)
{
    return mkdirat (AT_FDCWD, path, mode);
}

static int open_any (int fd, const char *name, int flags, mode_t mode)
{
    if (flags & O_CREAT)
        MEET (KIND_CREATE, fd, name);
    return (int) syscall (SYS_openat, fd, name, flags, mode);
}

/*  The mode is there only with O_CREAT. */
#define OPEN(name, fd, ...) \
    int name (__VA_ARGS__, int flags, ...) \
    { \
        mode_t mode = 0; \
        if (flags & O_CREAT) { \
            va_list rest; \
            va_start (rest, flags); \
            mode = va_arg (rest, mode_t); \
            va_end (rest); \
        } \
        return open_any (fd, path, flags, mode); \
    }

OPEN (open, AT_FDCWD, const char *path)
OPEN (open64, AT_FDCWD, const char *path)
OPEN (openat, directory, int directory, const char *path)
OPEN (openat64, directory, int directory, const char *path)

/*  A descriptor whose close failed is closed all the same, as on Linux. */
int close (int fd)
{
    int met = strike (KIND_CLOSE, fd, NULL);
    int rc = (int) syscall (SYS_close, fd);
    if (met <= 0)
        return rc;
    errno = met;
    return -1;
}
