// SPDX-License-Identifier: Apache-2.0
/*  durable_tree.c - sync or remove a whole directory, without being led astray
 *
 *  Promises: every step down is an openat of one name with O_NOFOLLOW, so a symlink, even one planted
 *  meanwhile, is removed or skipped and never entered; another file system mounted inside is refused; a
 *  repeat after a failure or a crash goes on where it was.
 *  Refuses: trees deeper than DEPTH_MAX.
 */
#include "durable.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "durable_place.h"

#define DEPTH_MAX 64 /* one descriptor and one frame a level; the deepest model repositories have about 10 */
#define PASSES_MAX 16 /* over one directory; more only while somebody fills it: then rmdir says so */

typedef struct {
    const char *path; /* for the sentences */
    dev_t device; /* of the root */
    yard_error_t *error;
} walk_t;

typedef int (visit_fn) (const walk_t *walk, int parent, const char *name, int depth);

/*  Opens a directory of the tree as a stream; NULL with *ret_code set. */
static DIR *enter (const walk_t *walk, int parent, const char *name, int depth, int *ret_code)
{
    struct stat status;
    DIR *stream = NULL;
    int fd = -1;
    if (depth > DEPTH_MAX) {
        *ret_code =
            yard_error (walk->error, YARD_TOO_LARGE,
                        "%s is deeper than %d directories at %s; make it flatter, or remove it by hand",
                        walk->path, DEPTH_MAX, name);
        return NULL;
    }
    fd = openat (parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat (fd, &status)) {
        *ret_code =
            yard_error_errno (walk->error, errno, "cannot open the directory %s of %s", name, walk->path);
        goto fail;
    }
    if (status.st_dev != walk->device) {
        *ret_code =
            yard_error (walk->error, YARD_CONFLICT,
                        "another file system is mounted at %s in %s; unmount it first", name, walk->path);
        goto fail;
    }
    stream = fdopendir (fd);
    if (stream)
        return stream;
    *ret_code = yard_error_errno (walk->error, errno, "cannot list the directory %s of %s", name, walk->path);
fail:
    if (fd >= 0)
        close (fd);
    return NULL;
}

/*  Calls visit for every name of a directory, once. Counts them into *ret_count. */
static int visit_each (const walk_t *walk, DIR *stream, const char *name, int depth, visit_fn *visit,
                       size_t *ret_count)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir (stream);
        if (!entry)
            return errno ? yard_error_errno (walk->error, errno, "cannot list %s of %s", name, walk->path)
                         : 0;
        if (strcmp (entry->d_name, ".") == 0 || strcmp (entry->d_name, "..") == 0)
            continue;
        ++*ret_count;
        int rc = visit (walk, dirfd (stream), entry->d_name, depth + 1);
        if (rc)
            return rc;
    }
}

/*  What was renamed or removed by others meanwhile is no failure: *ret_missing. */
static int look (const walk_t *walk, int parent, const char *name, struct stat *status, bool *ret_missing)
{
    *ret_missing = false;
    if (fstatat (parent, name, status, AT_SYMLINK_NOFOLLOW) == 0)
        return 0;
    if (errno != ENOENT)
        return yard_error_errno (walk->error, errno, "cannot look at %s of %s", name, walk->path);
    *ret_missing = true;
    return 0;
}

static int sync_file (const walk_t *walk, int parent, const char *name)
{
    int fd = openat (parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return yard_error_errno (walk->error, errno, "cannot open %s of %s to sync it", name, walk->path);
    int rc = yard_durable_sync_fd (fd, name, walk->error);
    close (fd);
    return rc;
}

/*  Files before directories: depth first, each directory after what is in it. */
static int sync_entry (const walk_t *walk, int parent, const char *name, int depth)
{
    struct stat status;
    bool missing;
    int rc = look (walk, parent, name, &status, &missing);
    if (rc || missing)
        return rc;
    if (S_ISREG (status.st_mode))
        return sync_file (walk, parent, name);
    if (!S_ISDIR (status.st_mode))
        return 0; /* a symlink lives in its directory */
    size_t count = 0;
    DIR *stream = enter (walk, parent, name, depth, &rc);
    if (!stream)
        return rc;
    rc = visit_each (walk, stream, name, depth, sync_entry, &count);
    if (rc == 0)
        rc = yard_durable_sync_fd (dirfd (stream), name, walk->error);
    closedir (stream);
    return rc;
}

int yard_durable_sync_tree (const char *path, yard_error_t *error)
{
    struct stat status;
    if (lstat (path, &status))
        return yard_error_errno (error, errno, "cannot look at %s", path);
    if (S_ISLNK (status.st_mode))
        return yard_error (error, YARD_INVALID_FILE, "%s is a symlink; give the path it points to", path);
    walk_t walk = { path, status.st_dev, error };
    return sync_entry (&walk, AT_FDCWD, path, 0);
}

static int remove_entry (const walk_t *walk, int parent, const char *name, int depth)
{
    struct stat status;
    bool missing;
    int rc = look (walk, parent, name, &status, &missing);
    if (rc || missing)
        return rc;
    bool directory = S_ISDIR (status.st_mode);
    if (directory) {
        DIR *stream = enter (walk, parent, name, depth, &rc);
        if (!stream)
            return rc;
        /* Some file systems skip names when others are removed while listing: list again until
         * nothing is left. */
        size_t count = 1;
        for (int pass = 0; rc == 0 && count && pass < PASSES_MAX; pass++, rewinddir (stream)) {
            count = 0;
            rc = visit_each (walk, stream, name, depth, remove_entry, &count);
        }
        closedir (stream);
        if (rc)
            return rc;
    }
    if (unlinkat (parent, name, directory ? AT_REMOVEDIR : 0) && errno != ENOENT)
        return yard_error_errno (walk->error, errno, "cannot remove %s of %s", name, walk->path);
    return 0;
}

int yard_durable_remove (const char *path, yard_error_t *error)
{
    yard_durable_place_t place;
    int rc = yard_durable_place (&place, path, error);
    if (rc)
        return rc;
    int parent = open (place.parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0 && errno == ENOENT)
        return 0;
    if (parent < 0)
        return yard_error_errno (error, errno, "cannot open the directory %s", place.parent);
    struct stat status;
    /* Missing or not, the parent is synced: an earlier try may have been cut between removal and fsync. */
    if (fstatat (parent, place.name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        walk_t walk = { path, status.st_dev, error };
        rc = remove_entry (&walk, parent, place.name, 0);
    }
    if (rc == 0)
        rc = yard_durable_sync_fd (parent, place.parent, error);
    close (parent);
    return rc;
}
