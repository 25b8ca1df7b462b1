// SPDX-License-Identifier: Apache-2.0
/*  paths.c - home and run directory, by the environment
 *
 *  Promises: an empty variable is as good as none; a relative one counts from the current directory;
 *  nothing is made here but by yard_paths_make_private. A result is written only on success.
 */
#include "paths.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "durable.h"

#define PASSWD_BYTES_MAX \
    16384 /* getpwuid_r's strings; glibc suggests 1 KiB, directories of large sites need more */

/*  A variable set to nothing is how shells unset one in front of a command. */
static const char *variable (const char *name)
{
    const char *value = getenv (name);
    return value && *value ? value : NULL;
}

int yard_path_join (char *ret_path, const char *a, const char *b, yard_error_t *error)
{
    char path [PATH_MAX];
    size_t a_size = strlen (a);
    bool alone = *b == '/' || a_size == 0;
    while (a_size > 1 && a [a_size - 1] == '/')
        a_size--;
    /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): a has a byte, else alone */
    const char *slash = alone || *b == 0 || a [a_size - 1] == '/' ? "" : "/";
    int size = -1;
    if (a_size < sizeof path)
        size = snprintf (path, sizeof path, "%.*s%s%s", alone ? 0 : (int) a_size, a, slash, b);
    if (size < 0 || size >= (int) sizeof path)
        return yard_error (error, YARD_TOO_LARGE,
                           "the path %.60s.../%.60s is longer than %d bytes; use a shorter directory", a, b,
                           PATH_MAX - 1);
    memcpy (ret_path, path, (size_t) size + 1);
    return 0;
}

/*  From the current directory if relative; without slashes at its end. */
static int make_absolute (char *ret_path, const char *path, yard_error_t *error)
{
    char base [PATH_MAX];
    if (path [0] != '/' && !getcwd (base, sizeof base))
        return yard_error_errno (error, errno,
                                 "cannot tell the current directory; give %s as an absolute path", path);
    int rc = yard_path_join (ret_path, path [0] == '/' ? "/" : base, path, error);
    for (size_t size = rc ? 0 : strlen (ret_path); size > 1 && ret_path [size - 1] == '/'; size--)
        ret_path [size - 1] = 0;
    return rc;
}

/*  HOME first, as every program of a user does; services often have none, and then the password file
 *  knows. */
static int user_home (char *ret_path, yard_error_t *error)
{
    const char *home = variable ("HOME");
    if (home)
        return make_absolute (ret_path, home, error);
    char strings [PASSWD_BYTES_MAX];
    struct passwd entry, *found = NULL;
    int number = getpwuid_r (getuid (), &entry, strings, sizeof strings, &found);
    if (!found || !entry.pw_dir || entry.pw_dir [0] != '/')
        return yard_error (error, YARD_INVALID_CONFIG,
                           "this user has no home directory (%s); set MODELYARD_HOME",
                           number ? strerror (number) : "no such user");
    return make_absolute (ret_path, entry.pw_dir, error);
}

static int find_home (char *ret_path, yard_error_t *error)
{
    const char *set = variable ("MODELYARD_HOME");
    if (set)
        return make_absolute (ret_path, set, error);
    char base [PATH_MAX];
    int rc = user_home (base, error);
    return rc ? rc : yard_path_join (ret_path, base, ".local/share/modelyard", error);
}

/*  A home that was set explicitly takes its run directory along, so that two yards of one user (a
 *  test's, say) never meet on a socket. */
static int find_run (char *ret_path, const char *home, yard_error_t *error)
{
    const char *set = variable ("MODELYARD_RUN");
    if (set)
        return make_absolute (ret_path, set, error);
    if (variable ("MODELYARD_HOME"))
        return yard_path_join (ret_path, home, "run", error);
    char base [PATH_MAX];
    const char *runtime = variable ("XDG_RUNTIME_DIR");
    int rc = make_absolute (base, runtime ? runtime : "/run", error);
    return rc ? rc : yard_path_join (ret_path, base, "modelyard", error);
}

/*  Both or neither: found first, copied when nothing can fail any more. */
int yard_paths_find (yard_paths_t *self, yard_error_t *error)
{
    yard_paths_t found;
    int rc = find_home (found.home, error);
    if (rc == 0)
        rc = find_run (found.run, found.home, error);
    if (rc == 0) {
        memcpy (self->home, found.home, strlen (found.home) + 1);
        memcpy (self->run, found.run, strlen (found.run) + 1);
    }
    return rc;
}

int yard_paths_make_private (const char *path, yard_error_t *error)
{
    int rc = yard_durable_mkdir (path, 0700, error);
    if (rc)
        return rc;
    /* Opened once and judged by its descriptor: nobody can swap the directory between the questions. */
    int fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return yard_error_errno (error, errno, "cannot open the directory %s", path);
    struct stat status;
    if (fstat (fd, &status))
        rc = yard_error_errno (error, errno, "cannot look at the directory %s", path);
    else if (status.st_uid != geteuid ())
        rc = yard_error (error, YARD_FORBIDDEN,
                         "the directory %s belongs to user %u, not to us (%u); choose another by "
                         "MODELYARD_HOME or MODELYARD_RUN",
                         path, status.st_uid, geteuid ());
    else if ((status.st_mode & 0077) && fchmod (fd, 0700))
        rc = yard_error_errno (error, errno, "others can enter %s and this cannot be changed; chmod 700 it",
                               path);
    close (fd);
    return rc;
}
