// SPDX-License-Identifier: Apache-2.0
/*  model_file.c - a walk from the models directory down, one openat a step
 *
 *  Every step is opened with O_NOFOLLOW, so that neither a symlink in an archive nor one that is swapped in
 *  while we walk leads out. The models directory itself may be a symlink: that is the operator's choice, made
 *  in the configuration. (openat2 would do the walk in one call, but older kernels and some containers do not
 *  have it, and a second way would need the same tests again.)
 */
#include "actors/loader/model_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define FETCH_AGAIN "; install the model again, or delete its record"

static int missing (yard_error_t *error, int saved_errno, const char *path)
{
    switch (saved_errno) {
    case ENOENT:
    case ENOTDIR:
        return yard_error (error, YARD_MODEL_NOT_FOUND, "%s is not there" FETCH_AGAIN, path);
    case ELOOP:
        return yard_error (
            error, YARD_FORBIDDEN,
            "%s goes through a symlink, and models are read without following any; put the files "
            "themselves below the models directory",
            path);
    default:
        return yard_error_errno (error, saved_errno, "cannot open %s", path);
    }
}

/*  What of path lies below models_dir: path itself when it is relative; NULL when it lies elsewhere. */
static const char *below (const char *models_dir, const char *path)
{
    if (path [0] != '/')
        return path;
    size_t size = strlen (models_dir);
    while (size > 0 && models_dir [size - 1] == '/')
        size--;
    if (strncmp (path, models_dir, size) != 0 || path [size] != '/')
        return NULL;
    return path + size + strspn (path + size, "/");
}

/*  One name of the path, and where the next begins. A name of our own making is never "..", and an empty or
 *  "." one is skipped. */
static int next_step (const char **at, char *ret_name, const char *path, yard_error_t *error)
{
    do {
        *at += strspn (*at, "/");
        size_t size = strcspn (*at, "/");
        if (size > NAME_MAX)
            return yard_error (error, YARD_MODEL_NOT_FOUND,
                               "%s has a name longer than any file's" FETCH_AGAIN, path);
        memcpy (ret_name, *at, size);
        ret_name [size] = 0;
        *at += size;
    } while (strcmp (ret_name, ".") == 0);
    if (strcmp (ret_name, "..") == 0)
        return yard_error (error, YARD_FORBIDDEN, "%s climbs out of its folder; record the path without ..",
                           path);
    return 0;
}

/*  Why a step failed: a symlink where a folder should be says ENOTDIR, and is told as what it is. */
static int step_errno (int folder_fd, const char *name)
{
    int saved_errno = errno;
    struct stat state;
    if (saved_errno == ENOTDIR && fstatat (folder_fd, name, &state, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISLNK (state.st_mode))
        return ELOOP;
    return saved_errno;
}

/*  Opens what path leads to: a folder for each step but the last, the last with flags. name is the last
 *  step's. */
static int walk (const char *models_dir, const char *path, int flags, char *ret_name, int *ret_fd,
                 yard_error_t *error)
{
    const char *at = below (models_dir, path);
    if (!at)
        return yard_error (error, YARD_FORBIDDEN,
                           "%s is outside of the models directory %s; install the model into it", path,
                           models_dir);
    int fd = open (models_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return missing (error, errno, models_dir);
    int rc = next_step (&at, ret_name, path, error);
    for (unsigned steps = 0; rc == 0; steps++) {
        char next_name [NAME_MAX + 1];
        const char *next = at;
        if ((rc = next_step (&next, next_name, path, error)))
            break;
        bool last = next_name [0] == 0;
        if (ret_name [0] == 0 || steps == LOADER_PATH_STEPS_MAX) {
            rc = yard_error (error, YARD_MODEL_NOT_FOUND, "%s names no file within %d folders" FETCH_AGAIN,
                             path, LOADER_PATH_STEPS_MAX);
            break;
        }
        int step = openat (fd, ret_name, (last ? flags : O_PATH | O_DIRECTORY) | O_NOFOLLOW | O_CLOEXEC);
        if (step < 0) {
            rc = missing (error, step_errno (fd, ret_name), path);
            break;
        }
        close (fd);
        fd = step;
        if (last) {
            *ret_fd = fd;
            return 0;
        }
        memcpy (ret_name, next_name, sizeof next_name);
        at = next;
    }
    close (fd);
    return rc;
}

/*  Takes fd. */
static int look (int fd, const char *path, loader_file_t *ret, yard_error_t *error)
{
    struct stat state;
    int rc = 0;
    if (fstat (fd, &state) < 0)
        rc = yard_error_errno (error, errno, "cannot look at %s", path);
    else if (!S_ISREG (state.st_mode))
        rc = yard_error (error, YARD_INVALID_FILE,
                         "%s is no regular file; record the path of the model's file", path);
    if (rc) {
        close (fd);
        return rc;
    }
    /*  We read headers through this descriptor, and the rest in chunks of our own: the kernel's readahead behind a header would drag a
     *  whole cold file through the page cache. Those who map the file have descriptors of their own. */
    posix_fadvise (fd, 0, 0, POSIX_FADV_RANDOM);
    ret->fd = fd;
    ret->identity = (loader_identity_t){ .device = state.st_dev,
                                         .inode = state.st_ino,
                                         .bytes = (uint64_t) state.st_size,
                                         .mtime_s = state.st_mtim.tv_sec,
                                         .mtime_ns = state.st_mtim.tv_nsec };
    ret->given = ret->identity;
    return 0;
}

int loader_file_open (const char *models_dir, const char *path, loader_file_t *ret, yard_error_t *error)
{
    int fd = -1;
    ret->fd = -1;
    /*  O_NONBLOCK: a fifo in the place of the file must not hold the thread; it means nothing to a regular file. */
    int rc = walk (models_dir, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, ret->name, &fd, error);
    return rc ? rc : look (fd, path, ret, error);
}

int loader_folder_open (const char *models_dir, const char *path, int *ret_fd, yard_error_t *error)
{
    char name [NAME_MAX + 1];
    return walk (models_dir, path, O_RDONLY | O_DIRECTORY, name, ret_fd, error);
}

int loader_file_open_in (int folder_fd, const char *name, loader_file_t *ret, yard_error_t *error)
{
    ret->fd = -1;
    int size = snprintf (ret->name, sizeof ret->name, "%s", name);
    if (size <= 0 || (size_t) size >= sizeof ret->name || strchr (name, '/') || strcmp (name, "..") == 0)
        return yard_error (error, YARD_INVALID_FILE, "a folder's file cannot have the name %.80s" FETCH_AGAIN,
                           name);
    int fd = openat (folder_fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? missing (error, errno, name) : look (fd, name, ret, error);
}

void loader_file_close (loader_file_t *self)
{
    if (self->fd >= 0)
        close (self->fd);
    self->fd = -1;
}

bool loader_identity_equal (const loader_identity_t *a, const loader_identity_t *b)
{
    return a->device == b->device && a->inode == b->inode && a->bytes == b->bytes &&
           a->mtime_s == b->mtime_s && a->mtime_ns == b->mtime_ns;
}

int loader_file_read (const loader_file_t *self, uint64_t offset, void *data, size_t size,
                      yard_error_t *error)
{
    char *at = data;
    while (size > 0) {
        ssize_t got = pread (self->fd, at, size, (off_t) offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return yard_error_errno (error, errno, "cannot read %s", self->name);
        if (got == 0)
            return yard_error (error, YARD_INVALID_FILE, "%s ended while it was read" FETCH_AGAIN,
                               self->name);
        at += got;
        offset += (uint64_t) got;
        size -= (size_t) got;
    }
    return 0;
}
