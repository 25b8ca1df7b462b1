// SPDX-License-Identifier: Apache-2.0
/*  attach_socket.c - bind, listen, and who is at the other end
 */
#include "actors/loader/attach_socket.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define BACKLOG 128 /* clients between connect and accept; a turn of the loop takes them all */
#define PREFIX "attach-"
#define SUFFIX ".sock"
#define UNBORN \
    ".made" /* as long; of a socket that nobody listens on yet, which others would take for a dead one */
#define OWN_PATH_SIZE 40 /* "/proc/4194304/ns/pid" */
#define NAMESPACE_SIZE 64 /* "pid:[4026531836]" */

static int address_of (const char *path, struct sockaddr_un *ret, yard_error_t *error)
{
    *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
    int size = snprintf (ret->sun_path, sizeof ret->sun_path, "%s", path);
    if (size < 0 || (size_t) size >= sizeof ret->sun_path)
        return yard_error (
            error, YARD_INVALID_CONFIG,
            "the attach socket %.120s has a longer path than sockets can have (%d bytes); choose a "
            "shorter MODELYARD_RUN",
            path, YARD_SOCKET_PATH_MAX);
    return 0;
}

/*  Refused connections are the one sign that a socket's process is dead. */
static void remove_if_dead (const char *path)
{
    struct sockaddr_un address;
    if (address_of (path, &address, NULL))
        return;
    int fd = socket (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    if (connect (fd, (const struct sockaddr *) &address, sizeof address) < 0 && errno == ECONNREFUSED)
        unlink (path);
    close (fd);
}

static void remove_leftovers (const char *run)
{
    DIR *folder = opendir (run);
    if (!folder)
        return;
    const struct dirent *entry;
    while ((entry = readdir (folder))) {
        char path [PATH_MAX];
        yard_string_t name = yard_string (entry->d_name);
        if (yard_string_starts (name, PREFIX) && name.size > strlen (PREFIX SUFFIX) &&
            strcmp (entry->d_name + name.size - strlen (SUFFIX), SUFFIX) == 0 &&
            yard_path_join (path, run, entry->d_name, NULL) == 0)
            remove_if_dead (path);
    }
    closedir (folder);
}

int loader_attach_socket_open (const char *run, const char *instance, char *ret_path, int *ret_fd,
                               yard_error_t *error)
{
    struct sockaddr_un address;
    char unborn [PATH_MAX], path [PATH_MAX];
    remove_leftovers (run);
    snprintf (unborn, sizeof unborn, "%s/" PREFIX "%s" UNBORN, run, instance);
    snprintf (path, sizeof path, "%s/" PREFIX "%s" SUFFIX, run, instance);
    int rc = address_of (unborn, &address, error);
    if (rc)
        return rc;
    int fd = socket (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return yard_error_errno (error, errno, "cannot make the attach socket");
    if (bind (fd, (const struct sockaddr *) &address, sizeof address) < 0 || chmod (unborn, 0600) < 0 ||
        listen (fd, BACKLOG) < 0 || rename (unborn, path) < 0) {
        rc = yard_error_errno (error, errno, "cannot listen at %s", path);
        close (fd);
        return rc;
    }
    address_of (path, &address, NULL); /* as long as the other: it fits */
    snprintf (ret_path, YARD_SOCKET_PATH_MAX + 1, "%s", address.sun_path);
    *ret_fd = fd;
    return 0;
}

/*  Names of processes, and so paths below /proc, mean something else in another pid namespace: a view would lead to a stranger's files.
 *  A process that cannot be seen from here has pid 0. */
static bool same_pid_namespace (pid_t pid)
{
    char path [OWN_PATH_SIZE], theirs [NAMESPACE_SIZE] = { 0 }, ours [NAMESPACE_SIZE] = { 0 };
    snprintf (path, sizeof path, "/proc/%ld/ns/pid", (long) pid);
    if (pid == 0 || readlink ("/proc/self/ns/pid", ours, sizeof ours - 1) < 0)
        return false;
    return readlink (path, theirs, sizeof theirs - 1) > 0 && strcmp (ours, theirs) == 0;
}

int loader_attach_socket_check (int fd, yard_error_t *error)
{
    struct ucred peer = { .uid = (uid_t) -1 };
    socklen_t size = sizeof peer;
    if (getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != geteuid ())
        return yard_error (
            error, YARD_NOT_LOCAL,
            "this loader gives its memory to processes of user %ld alone; run the client as that user",
            (long) geteuid ());
    if (!same_pid_namespace (peer.pid))
        return yard_error (error, YARD_NOT_LOCAL,
                           "the client is in another pid namespace than this loader; run both in one "
                           "container, or share the "
                           "namespace (--pid)");
    return 0;
}
