// SPDX-License-Identifier: Apache-2.0
/*  staging.c - <models>/.staging/<job>/: where a model is put together before anybody can see it
 *
 *  A file there has its own name only when it is whole; before, it ends in .part (the downloader's) or begins
 *  with a dot (ours). All of this blocks on the disk and runs in the offload pool.
 */
#include "installer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include "actors/ground/durable.h"

#define COPY_BYTES \
    (8u * 1024 * 1024) /* one step of a copy: large enough for the disk, small enough to stop within 100 ms */

const char *installer_staging_path (const installer_t *self, uint64_t job, yard_arena_t *arena)
{
    return yard_arena_printf (arena, "%s/.staging/%lu", self->models, (unsigned long) job);
}

static bool ends_with (const char *text, const char *end)
{
    size_t size = strlen (text), end_size = strlen (end);
    return size >= end_size && strcmp (text + size - end_size, end) == 0;
}

/*  <name>.part.<token>: of a member that took over. "lora.part2.safetensors" is somebody's model. */
static bool is_token_part (const char *name)
{
    const char *dot = strrchr (name, '.');
    return dot && dot - name >= 5 && memcmp (dot - 5, ".part", 5) == 0 && dot [1] &&
           strspn (dot + 1, "0123456789") == strlen (dot + 1);
}

bool installer_staging_is_leftover (const char *name)
{
    return name [0] == '.' || ends_with (name, ".part") || is_token_part (name) ||
           ends_with (name, ".journal") || ends_with (name, ".journal.new");
}

int installer_staging_file (const char *staging, yard_arena_t *arena, const char **ret_path,
                            uint64_t *ret_bytes, yard_error_t *error)
{
    DIR *directory = opendir (staging);
    if (!directory)
        return errno == ENOENT ? yard_error (error, YARD_NOT_FOUND, "%s is not there", staging)
                               : yard_error_errno (error, errno, "open %s", staging);
    const char *found = NULL;
    uint64_t bytes = 0;
    int code = 0;
    for (struct dirent *entry; code == 0 && (entry = readdir (directory));) {
        struct stat state;
        if (installer_staging_is_leftover (entry->d_name))
            continue;
        if (fstatat (dirfd (directory), entry->d_name, &state, AT_SYMLINK_NOFOLLOW) ||
            !S_ISREG (state.st_mode))
            code = yard_error (error, YARD_CONFLICT, "%s/%s is no regular file; remove it and install again",
                               staging, entry->d_name);
        else if (found)
            code = yard_error (error, YARD_CONFLICT, "%s holds several files; remove it and install again",
                               staging);
        else {
            found = yard_arena_printf (arena, "%s/%s", staging, entry->d_name);
            bytes = (uint64_t) state.st_size;
        }
    }
    closedir (directory);
    if (code)
        return code;
    if (!found)
        return yard_error (error, YARD_NOT_FOUND, "%s holds no finished file", staging);
    *ret_path = found;
    *ret_bytes = bytes;
    return 0;
}

/*  Byte by byte where the file system cannot share blocks. */
static int copy_bytes (int from, int to, const char *name, installer_lease_t *lease, yard_error_t *error)
{
    char *chunk = malloc (COPY_BYTES);
    int code = 0;
    for (;;) {
        if (atomic_load (&lease->stop)) {
            code = yard_error (error, YARD_CANCELLED, "stopped");
            break;
        }
        ssize_t got = read (from, chunk, COPY_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            code = yard_error_errno (error, errno, "read %s", name);
        if (got <= 0)
            break;
        for (ssize_t done = 0; done < got && code == 0;) {
            ssize_t put = write (to, chunk + done, (size_t) (got - done));
            if (put < 0 && errno != EINTR)
                code = yard_error_errno (error, errno, "copy %s", name);
            else if (put > 0)
                done += put;
        }
        if (code)
            break;
        atomic_fetch_add (&lease->bytes, (uint64_t) got);
    }
    free (chunk);
    return code;
}

/*  Fills the open file `to` from `from`, and proves that the source stood still meanwhile. */
static int fill (int from, int to, const char *name, installer_lease_t *lease, yard_error_t *error)
{
    struct stat before, after;
    if (fstat (from, &before))
        return yard_error_errno (error, errno, "stat %s", name);
    if (!S_ISREG (before.st_mode))
        return S_ISDIR (before.st_mode)
                   ? yard_error (error, YARD_NOT_IMPLEMENTED,
                                 "%s is a folder; installing folders is not built yet, give one file of it",
                                 name)
                   : yard_error (error, YARD_INVALID_SOURCE, "%s is no regular file", name);
    atomic_store (&lease->bytes, 0); /* a copy that was cut begins anew */
    atomic_store (&lease->total_bytes, (uint64_t) before.st_size);
    if (ioctl (to, FICLONE, from)) {
        int code = copy_bytes (from, to, name, lease, error);
        if (code)
            return code;
    }
    if (fstat (from, &after) || after.st_size != before.st_size ||
        after.st_mtim.tv_sec != before.st_mtim.tv_sec || after.st_mtim.tv_nsec != before.st_mtim.tv_nsec)
        return yard_error (error, YARD_SOURCE_CHANGED,
                           "%s changed while it was copied; install it again when it is whole", name);
    atomic_store (&lease->bytes, (uint64_t) before.st_size);
    return fsync (to) ? yard_error_errno (error, errno, "fsync of the copy of %s", name) : 0;
}

/*  What a killed installer left would take the room of the copy. One that only was thought dead writes
 *  into nothing then, and its rename fails. */
static int remove_copies (const char *staging, yard_error_t *error)
{
    DIR *directory = opendir (staging);
    if (!directory)
        return yard_error_errno (error, errno, "open %s", staging);
    int code = 0;
    for (struct dirent *entry; code == 0 && (entry = readdir (directory));)
        if (entry->d_name [0] == '.' && ends_with (entry->d_name, ".copy") &&
            unlinkat (dirfd (directory), entry->d_name, 0) && errno != ENOENT)
            code = yard_error_errno (error, errno, "remove %s/%s", staging, entry->d_name);
    closedir (directory);
    return code;
}

int installer_staging_copy (const char *from, const char *staging, const char *name, bool link,
                            installer_lease_t *lease, yard_error_t *error)
{
    yard_arena_t *arena = yard_arena_new (64 * 1024);
    /* The token keeps two leases of one job apart: a half copy must never be renamed by the other. */
    const char *part =
        yard_arena_printf (arena, "%s/.%s.%lu.copy", staging, name, (unsigned long) lease->token);
    const char *whole = yard_arena_printf (arena, "%s/%s", staging, name);
    int source = -1, target = -1, code = remove_copies (staging, error);
    if (code)
        goto end;
    source = open (from, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (source < 0) {
        code = yard_error_errno (error, errno, "open %s", from);
        goto end;
    }
    struct stat state;
    if (link && fstat (source, &state) == 0 && S_ISREG (state.st_mode) &&
        linkat (AT_FDCWD, from, AT_FDCWD, whole, AT_SYMLINK_FOLLOW) == 0) {
        code = yard_durable_sync (staging, error);
        goto end;
    }
    target = open (part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (target < 0) {
        code = yard_error_errno (error, errno, "make %s", part);
        goto end;
    }
    code = fill (source, target, from, lease, error);
    if (code == 0)
        code = yard_durable_rename (part, whole, error);
    if (code)
        unlink (part);
    if (code == YARD_CONFLICT)
        code = 0; /* another lease of this job was faster: what has its name is whole */
end:
    if (source >= 0)
        close (source);
    if (target >= 0)
        close (target);
    yard_arena_destroy (&arena);
    return code;
}
