// SPDX-License-Identifier: Apache-2.0
/*  views.c - a few symlinks, made aside and renamed into place
 *
 *  Made aside as ".<pid>.<lease>", so that a crash at any point leaves either nothing, or a name that tells
 *  whose it was, or a view whose links tell it. The run directory is private to the user (0700), so nobody
 *  plays with names in it; it is memory on every system that boots systemd, and a view has one link a file,
 *  so this is done in the loop.
 */
#include "actors/loader/views.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include "actors/ground/log.h"
#include "actors/ground/paths.h"

#define COMM_SIZE 17 /* TASK_COMM_LEN and the line's end */
#define LINK_SIZE 64 /* "/proc/4194304/fd/2147483647" has 27 */
#define LEFTOVERS_MAX 100000 /* links looked at in one folder; a view has at most LOADER_FILES_MAX */
#define DEPTH_MAX 16 /* folders in a view; a model's name has at most half as many */

/*  Unlinks what is in the folder and in those below it, then the folder. */
static void remove_tree (int parent_fd, const char *name, unsigned depth)
{
    int fd = openat (parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir (fd);
    if (!folder) {
        if (fd >= 0)
            close (fd);
        return;
    }
    const struct dirent *entry;
    for (int count = 0; count < LEFTOVERS_MAX && (entry = readdir (folder)); count++)
        if (strcmp (entry->d_name, ".") != 0 && strcmp (entry->d_name, "..") != 0 &&
            unlinkat (fd, entry->d_name, 0) < 0 && errno == EISDIR && depth < DEPTH_MAX)
            remove_tree (fd, entry->d_name, depth + 1);
    closedir (folder);
    if (unlinkat (parent_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        yard_log_warning ("view.not_removed", "view=%s error=%s", YARD_QUOTED (name), strerror (errno));
}

static void remove_folder (int parent_fd, const char *name)
{
    remove_tree (parent_fd, name, 0);
}

static bool read_comm (const char *process, char *ret_comm)
{
    char path [LINK_SIZE];
    snprintf (path, sizeof path, "/proc/%.20s/comm", process);
    int fd = open (path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read (fd, ret_comm, COMM_SIZE - 1);
    if (fd >= 0)
        close (fd);
    if (got < 0)
        return false;
    ret_comm [got] = 0;
    return true;
}

/*  Is there a loader of this pid, other than us? A pid that another program has by now is a dead loader's. */
static bool alive (long pid)
{
    char process [LINK_SIZE], comm [COMM_SIZE], ours [COMM_SIZE];
    if (pid <= 0 || pid == (long) getpid ())
        return false;
    snprintf (process, sizeof process, "%ld", pid);
    return read_comm (process, comm) && (!read_comm ("self", ours) || strcmp (comm, ours) == 0);
}

/*  The pid of the first link in the folder or below it; 0 when there is none. */
static long owner_in (int parent_fd, const char *name, unsigned depth)
{
    long pid = 0;
    int fd = openat (parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir (fd);
    if (!folder) {
        if (fd >= 0)
            close (fd);
        return 0;
    }
    const struct dirent *entry;
    for (int count = 0; count < LEFTOVERS_MAX && pid == 0 && (entry = readdir (folder)); count++) {
        char target [LINK_SIZE];
        ssize_t size = readlinkat (fd, entry->d_name, target, sizeof target - 1);
        if (size < 0 && entry->d_name [0] != '.' && depth < DEPTH_MAX)
            pid = owner_in (fd, entry->d_name, depth + 1);
        if (size < 0)
            continue;
        target [size] = 0;
        if (strncmp (target, "/proc/", 6) == 0)
            pid = strtol (target + 6, NULL, 10);
    }
    closedir (folder);
    return pid;
}

/*  Whose view is it? 0 when that cannot be told. */
static long owner_of (int views_fd, const char *name)
{
    return name [0] == '.' ? strtol (name + 1, NULL, 10) : owner_in (views_fd, name, 0);
}

static void remove_leftovers (const char *path)
{
    DIR *views = opendir (path);
    if (!views)
        return;
    const struct dirent *entry;
    while ((entry = readdir (views))) {
        if (strcmp (entry->d_name, ".") == 0 || strcmp (entry->d_name, "..") == 0)
            continue;
        if (!alive (owner_of (dirfd (views), entry->d_name)))
            remove_folder (dirfd (views), entry->d_name);
    }
    closedir (views);
}

int loader_views_open (loader_views_t *self, const char *run, yard_error_t *error)
{
    int rc = yard_path_join (self->folder, run, "views", error);
    if (rc == 0)
        rc = yard_paths_make_private (self->folder, error);
    if (rc == 0)
        remove_leftovers (self->folder);
    return rc;
}

/*  The folders before a name's last step: "unet/model.onnx" needs "unet". */
static int make_parents (int folder_fd, const char *name, yard_error_t *error)
{
    char path [NAME_MAX + 1];
    for (const char *slash = strchr (name, '/'); slash; slash = strchr (slash + 1, '/')) {
        snprintf (path, sizeof path, "%.*s", (int) (slash - name), name);
        if (mkdirat (folder_fd, path, 0700) < 0 && errno != EEXIST)
            return yard_error_errno (error, errno, "cannot make the view's folder %s", path);
    }
    return 0;
}

static int make_links (int folder_fd, const loader_model_t *model, yard_error_t *error)
{
    for (size_t at = 0; at < model->file_count; at++) {
        char target [LINK_SIZE];
        int rc = make_parents (folder_fd, model->files [at].name, error);
        if (rc)
            return rc;
        snprintf (target, sizeof target, "/proc/%ld/fd/%d", (long) getpid (), model->files [at].fd);
        if (symlinkat (target, folder_fd, model->files [at].name) < 0)
            return yard_error_errno (error, errno, "cannot make the view's link %s", model->files [at].name);
    }
    return 0;
}

int loader_views_add (const loader_views_t *self, const char *lease, const loader_model_t *model,
                      char *ret_path, yard_error_t *error)
{
    char aside [NAME_MAX + 1];
    int rc = yard_path_join (ret_path, self->folder, lease, error);
    if (rc)
        return rc;
    snprintf (aside, sizeof aside, ".%ld.%s", (long) getpid (), lease);
    int views_fd = open (self->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (views_fd < 0)
        return yard_error_errno (error, errno, "cannot open %s", self->folder);
    int folder_fd = -1;
    if (mkdirat (views_fd, aside, 0700) < 0 ||
        (folder_fd = openat (views_fd, aside, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
        rc = yard_error_errno (error, errno, "cannot make a view in %s", self->folder);
    if (rc == 0)
        rc = make_links (folder_fd, model, error);
    if (rc == 0 && renameat (views_fd, aside, views_fd, lease) < 0)
        rc = yard_error_errno (error, errno, "cannot name the view in %s", self->folder);
    if (rc)
        remove_folder (views_fd, aside);
    if (folder_fd >= 0)
        close (folder_fd);
    close (views_fd);
    return rc;
}

void loader_views_remove (const loader_views_t *self, const char *lease)
{
    int views_fd = open (self->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (views_fd < 0)
        return;
    remove_folder (views_fd, lease);
    close (views_fd);
}
