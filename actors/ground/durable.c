// SPDX-License-Identifier: Apache-2.0
/*  durable.c - write, name, read one file so that a power cut leaves the old or the new
 *
 *  Promises: a failure leaves no file of ours behind and the target as it was (but for the fsync of its
 *  directory: then the target is there, and whether it survives a power cut is unknown).
 *  Refuses: paths without a name; to read what is no regular file, since a FIFO would block and a
 *  device never end.
 */
#include "durable.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "buffer.h"
#include "durable_place.h"
#include "random.h"

#define RANDOM_DIGITS 16 /* 64 bits: two writers of one file do not meet */
#define PART_NAME_BYTES 200 /* of the target's name, so that with the rest it stays below NAME_MAX */
#define READ_CHUNK_BYTES 16384 /* one read; the files read here are configurations and manifests */

int yard_durable_place (yard_durable_place_t *self, const char *path, yard_error_t *error)
{
    size_t end = strlen (path);
    while (end > 0 && path [end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin > 0 && path [begin - 1] != '/')
        begin--;
    const char *name = path + begin;
    size_t size = end - begin;
    if (size == 0 || (size == 1 && name [0] == '.') || (size == 2 && name [0] == '.' && name [1] == '.'))
        return yard_error (error, YARD_INTERNAL, "the path \"%s\" does not end in a name", path);
    if (size > NAME_MAX || begin >= PATH_MAX)
        return yard_error (error, YARD_TOO_LARGE,
                           "the path %.200s... is too long; a name has at most %d bytes", path, NAME_MAX);
    memcpy (self->name, name, size);
    self->name [size] = 0;
    while (begin > 1 && path [begin - 1] == '/')
        begin--;
    memcpy (self->parent, begin ? path : ".", begin ? begin : 1);
    self->parent [begin ? begin : 1] = 0;
    return 0;
}

int yard_durable_sync_fd (int fd, const char *path, yard_error_t *error)
{
    if (fsync (fd) == 0)
        return 0;
    int number = errno;
    struct stat status;
    /* Some network and user-space file systems know no fsync of a directory; what they keep of names is
     * theirs to say. */
    if (number == EINVAL && fstat (fd, &status) == 0 && S_ISDIR (status.st_mode))
        return 0;
    return yard_error_errno (error, number,
                             "fsync of %s failed; what was written there is lost, write it again", path);
}

int yard_durable_sync (const char *path, yard_error_t *error)
{
    int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return yard_error_errno (error, errno, "cannot open %s to sync it", path);
    int rc = yard_durable_sync_fd (fd, path, error);
    close (fd);
    return rc;
}

/*  A short write is no error: a signal, or a disk that is nearly full and says so at the next write. */
static int write_all (int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t written = write (fd, data, size);
        if (written < 0 && errno != EINTR)
            return -1;
        if (written > 0) {
            data += written;
            size -= (size_t) written;
        }
    }
    return 0;
}

/*  The bytes in a new file beside the target, proven to be on the disk. */
static int write_part (int directory, const char *part, const void *data, size_t size, mode_t mode,
                       const char *path, yard_error_t *error)
{
    int fd = openat (directory, part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return yard_error_errno (error, errno, "cannot make a file beside %s", path);
    int rc = 0;
    if (write_all (fd, data, size))
        rc = yard_error_errno (error, errno, "cannot write %s", path);
    else if (fchmod (fd, mode)) /* exactly mode, whatever the umask */
        rc = yard_error_errno (error, errno, "cannot set the mode of %s", path);
    else
        rc = yard_durable_sync_fd (fd, path, error);
    /* NFS may report a full disk only here. */
    if (close (fd) && rc == 0)
        rc = yard_error_errno (error, errno, "cannot close %s", path);
    if (rc)
        unlinkat (directory, part, 0);
    return rc;
}

/*  The directory is opened once: all three names are looked up in the same one, whoever moves it
 *  meanwhile. */
int yard_durable_write (const char *path, const void *data, size_t size, mode_t mode, yard_error_t *error)
{
    yard_durable_place_t place;
    int rc = yard_durable_place (&place, path, error);
    if (rc)
        return rc;
    yard_random_t random;
    yard_random_init (&random);
    char digits [RANDOM_DIGITS + 1], part [NAME_MAX + 1];
    yard_random_hex (&random, digits, RANDOM_DIGITS);
    snprintf (part, sizeof part, ".%.*s.%s.part", PART_NAME_BYTES, place.name, digits);

    int directory = open (place.parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return yard_error_errno (error, errno, "cannot open the directory %s", place.parent);
    rc = write_part (directory, part, data, size, mode, path, error);
    if (rc == 0 && renameat (directory, part, directory, place.name)) {
        rc = yard_error_errno (error, errno, "cannot put the new %s in place", path);
        unlinkat (directory, part, 0);
    }
    if (rc == 0)
        rc = yard_durable_sync_fd (directory, place.parent, error);
    close (directory);
    return rc;
}

/*  One directory of a path. One that is there already is right, through a symlink too: it is an
 *  operator's way to another disk. */
static int make_directory (const char *path, mode_t mode, yard_error_t *error)
{
    if (mkdir (path, mode) == 0) {
        yard_durable_place_t place;
        int rc = yard_durable_place (&place, path, error);
        return rc ? rc : yard_durable_sync (place.parent, error);
    }
    if (errno != EEXIST)
        return yard_error_errno (error, errno, "cannot make the directory %s", path);
    struct stat status;
    if (stat (path, &status))
        return yard_error_errno (error, errno, "cannot look at %s", path);
    if (!S_ISDIR (status.st_mode))
        return yard_error (error, YARD_CONFLICT, "%s is no directory; move it away", path);
    return 0;
}

int yard_durable_mkdir (const char *path, mode_t mode, yard_error_t *error)
{
    char prefix [PATH_MAX];
    size_t size = strlen (path);
    while (size > 1 && path [size - 1] == '/')
        size--;
    if (size == 0 || size >= sizeof prefix)
        return yard_error (error, YARD_TOO_LARGE, "a directory's path has 1 to %d bytes, this has %zu",
                           PATH_MAX - 1, size);
    for (size_t i = 1; i <= size; i++) {
        /* A component ends before each run of slashes, and at the end. */
        if (i < size && (path [i] != '/' || path [i - 1] == '/'))
            continue;
        memcpy (prefix, path, i);
        prefix [i] = 0;
        int rc = make_directory (prefix, mode, error);
        if (rc)
            return rc;
    }
    return 0;
}

/*  For file systems without RENAME_NOREPLACE: a file gets its second name by link, which refuses an
 *  existing target as well. What cannot be linked is looked for and renamed: there another writer could
 *  slip in between, but not harm more than an empty directory or, where there are no links, one file.
 *  The yard's writers hold a lease or a lock on what they name. */
static int rename_without_flag (const char *from, const char *to)
{
    if (link (from, to) == 0)
        return unlink (from);
    if (errno == EEXIST || errno == ENOENT || errno == ENOTDIR || errno == EXDEV)
        return -1;
    struct stat status;
    if (lstat (to, &status) == 0) {
        errno = EEXIST;
        return -1;
    }
    return errno == ENOENT ? rename (from, to) : -1;
}

int yard_durable_rename (const char *from, const char *to, yard_error_t *error)
{
    yard_durable_place_t from_place, to_place;
    int rc = yard_durable_place (&from_place, from, error);
    if (rc == 0)
        rc = yard_durable_place (&to_place, to, error);
    if (rc)
        return rc;
    int failed = renameat2 (AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
    if (failed && (errno == EINVAL || errno == ENOSYS))
        failed = rename_without_flag (from, to);
    if (failed && errno == EEXIST)
        return yard_error (error, YARD_CONFLICT, "%s is there already; choose another name or remove it", to);
    if (failed)
        return yard_error_errno (error, errno, "cannot rename %s to %s", from, to);
    /* The new name first: after a power cut in between, two names are better than none. */
    rc = yard_durable_sync (to_place.parent, error);
    if (rc == 0 && strcmp (from_place.parent, to_place.parent) != 0)
        rc = yard_durable_sync (from_place.parent, error);
    return rc;
}

static int read_whole (int fd, yard_buffer_t *buffer)
{
    char chunk [READ_CHUNK_BYTES];
    while (!buffer->overflow) {
        ssize_t got = read (fd, chunk, sizeof chunk);
        if (got == 0)
            return 0;
        if (got < 0 && errno != EINTR)
            return -1;
        if (got > 0)
            yard_buffer_append (buffer, chunk, (size_t) got);
    }
    return 0;
}

int yard_file_read (const char *path, size_t size_max, char **ret_data, size_t *ret_size, yard_error_t *error)
{
    int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return yard_error_errno (error, errno, "cannot open %s", path);
    int rc = 0;
    struct stat status;
    yard_buffer_t buffer;
    yard_buffer_init (&buffer, size_max);
    if (fstat (fd, &status))
        rc = yard_error_errno (error, errno, "cannot look at %s", path);
    else if (!S_ISREG (status.st_mode))
        rc = yard_error (error, YARD_INVALID_FILE, "%s is no regular file; give the path of one", path);
    else if (read_whole (fd, &buffer))
        rc = yard_error_errno (error, errno, "cannot read %s", path);
    else if (buffer.overflow)
        rc = yard_error (error, YARD_TOO_LARGE, "%s is longer than %zu bytes; is it the right file?", path,
                         size_max);
    close (fd);
    if (rc) {
        yard_buffer_clear (&buffer);
        return rc;
    }
    char *data = buffer.capacity ? buffer.data : calloc (1, 1); /* an empty buffer's "" is not ours to give */
    if (!data)
        abort ();
    *ret_data = data;
    *ret_size = buffer.size;
    return 0;
}
