// SPDX-License-Identifier: Apache-2.0
/*  unsynced.c - a preloaded library that takes the syncs away, for the controls of the power cut test
 *
 *      UNSYNCED=all      fsync and fdatasync return 0 and do nothing
 *      UNSYNCED=commits  SQLite is told synchronous = NORMAL where the recorder says FULL
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct sqlite3;
typedef int (*exec_t) (struct sqlite3 *, const char *, int (*) (void *, int, char **, char **), void *,
                       char **);
int sqlite3_exec (struct sqlite3 *database, const char *sql, int (*row) (void *, int, char **, char **),
                  void *argument, char **ret_error);

static int is (const char *word)
{
    const char *told = getenv ("UNSYNCED");
    return told && strcmp (told, word) == 0;
}

int fsync (int fd)
{
    return is ("all") ? 0 : (int) syscall (SYS_fsync, fd);
}

int fdatasync (int fd)
{
    return is ("all") ? 0 : (int) syscall (SYS_fdatasync, fd);
}

int sqlite3_exec (struct sqlite3 *database, const char *sql, int (*row) (void *, int, char **, char **),
                  void *argument, char **ret_error)
{
    exec_t next = (exec_t) dlsym (RTLD_NEXT, "sqlite3_exec");
    if (is ("commits") && strcmp (sql, "PRAGMA synchronous = FULL") == 0)
        sql = "PRAGMA synchronous = NORMAL";
    return next (database, sql, row, argument, ret_error);
}
