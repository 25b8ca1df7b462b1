// SPDX-License-Identifier: Apache-2.0
/*  part.c - bytes into the part file, proofs into the journal, and at the end a name
 *
 *  Order is everything here: pwrite, fdatasync, then the journal; all of it proven and synced, then the rename, then the directory's fsync, then
 *  the journal goes. Killed between any two of them, the next start finds a state that part_open.c knows.
 */
#include "part.h"

#include <assert.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "actors/ground/fault.h"
#include "part_inside.h"

#define NAME_BYTES_MAX \
    200 /* NAME_MAX (255) less the longest suffix of ours, ".part." and 20 digits, and ".journal.new" */

/*  --- the name */
static bool is_clean_segment (const char *segment, size_t size)
{
    if (size == 0 || size > NAME_MAX || (size == 1 && segment [0] == '.') ||
        (size == 2 && segment [0] == '.' && segment [1] == '.'))
        return false;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char) segment [i] < 0x20 || segment [i] == 0x7f)
            return false;
    return true;
}

static bool is_clean_path (const char *path)
{
    if (path [0] != '/')
        return false;
    for (const char *at = path; *at == '/';) {
        const char *segment = at + 1;
        at = segment + strcspn (segment, "/");
        if (!is_clean_segment (segment, (size_t) (at - segment)))
            return false;
    }
    return true;
}

int downloader_part_new (const char *path, const char *source, uint64_t token, uint64_t size,
                         const char *sha256, downloader_part_t **ret, yard_error_t *error)
{
    size_t length = strlen (path);
    if (length >= PATH_MAX || !is_clean_path (path))
        return yard_error (error, YARD_INVALID_MESSAGE,
                           "the destination must be an absolute path without \"..\" or control characters");
    const char *name = strrchr (path, '/') + 1;
    if (strlen (name) > NAME_BYTES_MAX)
        return yard_error (error, YARD_TOO_LARGE,
                           "the name %.60s... has more than %d bytes; give a shorter one", name,
                           NAME_BYTES_MAX);
    downloader_part_t *self = calloc (1, sizeof *self);
    assert (self);
    memcpy (self->path, path, length + 1);
    memcpy (self->parent, path, (size_t) (name - path) - (name - path > 1));
    if (!self->parent [0])
        self->parent [0] = '/';
    self->name = self->path + (name - path);
    snprintf (self->journal_name, sizeof self->journal_name, "%.*s.journal", NAME_BYTES_MAX, name);
    for (size_t i = 0; sha256 && sha256 [i] && i < YARD_SHA256_HEX_SIZE - 1; i++)
        self->published_sha256 [i] = (char) tolower ((unsigned char) sha256 [i]);
    self->published_size = size;
    self->token = token;
    self->directory = self->fd = -1;
    self->head.size = size;
    yard_sha256_t *digest = yard_sha256_new ();
    char hex [YARD_SHA256_HEX_SIZE];
    yard_sha256_update (digest, source, strlen (source));
    yard_sha256_hex (digest, hex);
    yard_sha256_destroy (&digest);
    for (size_t i = 0; i < sizeof self->head.source; i++)
        self->head.source [i] =
            (unsigned char) strtoul ((char [3]){ hex [2 * i], hex [2 * i + 1], 0 }, NULL, 16);
    downloader_part_forget (self);
    *ret = self;
    return 0;
}

void downloader_part_close (downloader_part_t *self)
{
    downloader_journal_destroy (&self->journal);
    if (self->fd >= 0)
        close (self->fd);
    if (self->directory >= 0)
        close (self->directory);
    self->fd = self->directory = -1;
}

void downloader_part_destroy (downloader_part_t **self_p)
{
    downloader_part_t *self = *self_p;
    if (!self)
        return;
    downloader_part_close (self);
    yard_sha256_destroy (&self->sha256);
    free (self);
    *self_p = NULL;
}

void downloader_part_trust_name (downloader_part_t *self)
{
    self->trusts_name = true;
}

void downloader_part_file_name (const downloader_part_t *self, const char *suffix, char *ret_name)
{
    snprintf (ret_name, NAME_MAX + 1, "%.*s%.*s", NAME_BYTES_MAX, self->name, DOWNLOADER_PART_SUFFIX_SIZE,
              suffix);
}

/*  --- bytes and proofs */
void downloader_part_forget (downloader_part_t *self)
{
    self->bytes = self->proven = 0;
    self->crc = 0;
    self->reserved = false;
    yard_sha256_destroy (&self->sha256);
    self->sha256 = yard_sha256_new ();
}

void downloader_part_digest (downloader_part_t *self, const void *data, size_t size)
{
    self->crc = yard_crc32c (self->crc, data, size);
    yard_sha256_update (self->sha256, data, size);
    self->bytes += size;
}

int downloader_part_write_at (int fd, const void *data, size_t size, uint64_t at, const char *path,
                              yard_error_t *error)
{
    const char *bytes = data;
    while (size) {
        ssize_t written = pwrite (fd, bytes, size, (off_t) at);
        if (written < 0 && errno != EINTR)
            return yard_error_errno (error, errno, "cannot write %s", path);
        if (written > 0) {
            bytes += written;
            size -= (size_t) written;
            at += (uint64_t) written;
        }
    }
    return 0;
}

/*  A full disk is better known before the first byte than after the last. Where the file system cannot reserve, writing will tell. */
static int reserve (downloader_part_t *self, yard_error_t *error)
{
    self->reserved = true;
    if (self->head.size == DOWNLOADER_SIZE_UNKNOWN || self->head.size <= self->bytes)
        return 0;
    if (fallocate (self->fd, FALLOC_FL_KEEP_SIZE, (off_t) self->bytes,
                   (off_t) (self->head.size - self->bytes)) == 0)
        return 0;
    if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)
        return yard_error_errno (error, errno,
                                 "no room for the %llu bytes of %s; make room, then it goes on by itself",
                                 (unsigned long long) self->head.size, self->path);
    return 0;
}

int downloader_part_write (downloader_part_t *self, const void *data, size_t size, yard_error_t *error)
{
    assert (self->fd >= 0);
    int rc = self->reserved ? 0 : reserve (self, error);
    if (rc == 0)
        rc = downloader_part_write_at (self->fd, data, size, self->bytes, self->path, error);
    if (rc == 0)
        downloader_part_digest (self, data, size);
    return rc;
}

int downloader_part_checkpoint (downloader_part_t *self, yard_error_t *error)
{
    if (self->journal && self->proven == self->bytes)
        return 0;
    if (fdatasync (self->fd))
        return yard_error_errno (error, errno, "fsync of %s failed; it is fetched anew", self->path);
    if (FAULT ("downloader.after_write"))
        return yard_error (error, YARD_DISK_FAILED, "a test broke %s after a write", self->path);
    downloader_proof_t proof = { .bytes = self->bytes, .crc = self->crc };
    int rc = self->journal ? downloader_journal_append (self->journal, &proof, error)
                           : downloader_journal_new (self->directory, self->journal_name, &self->head, &proof,
                                                     &self->journal, error);
    if (rc == 0)
        self->proven = self->bytes;
    return rc;
}

void downloader_part_expect (downloader_part_t *self, uint64_t size, const char *validator)
{
    bool same = self->head.size == size && strcmp (self->head.validator, validator) == 0;
    if (same)
        return;
    self->head.size = size;
    memset (self->head.validator, 0, sizeof self->head.validator);
    snprintf (self->head.validator, sizeof self->head.validator, "%s", validator);
    downloader_journal_destroy (&self->journal); /* the next checkpoint writes a new head */
}

/*  --- the end */
static int prove (downloader_part_t *self, yard_error_t *error)
{
    struct stat status;
    if (fstat (self->fd, &status))
        return yard_error_errno (error, errno, "cannot look at %s", self->path);
    uint64_t size = self->head.size == DOWNLOADER_SIZE_UNKNOWN ? self->bytes : self->head.size;
    if (self->bytes != size || (uint64_t) status.st_size != size)
        return yard_error (error, YARD_INTEGRITY, "%s has %llu bytes where %llu are due", self->path,
                           (unsigned long long) self->bytes, (unsigned long long) size);
    yard_sha256_hex (self->sha256, self->sha256_text);
    self->is_verified = self->published_sha256 [0] != 0;
    if (self->is_verified && strcmp (self->sha256_text, self->published_sha256) != 0)
        return yard_error (error, YARD_INTEGRITY, "the sha256 of %s is %s, but %s was published", self->name,
                           self->sha256_text, self->published_sha256);
    return 0;
}

/*  Is the part's name still our file's? Another member may have taken over while we were thought dead. */
static bool is_ours (const downloader_part_t *self, const char *part_name)
{
    struct stat mine, named;
    return fstat (self->fd, &mine) == 0 &&
           fstatat (self->directory, part_name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           mine.st_ino == named.st_ino && mine.st_dev == named.st_dev;
}

/*  Is this <name>.part or <name>.part.<token>, or the journal? */
static bool is_leftover (const downloader_part_t *self, const char *entry)
{
    size_t size = strlen (self->name);
    if (strncmp (entry, self->name, size) != 0)
        return false;
    const char *suffix = entry + size;
    if (strcmp (suffix, ".journal") == 0 || strcmp (suffix, ".journal.new") == 0 ||
        strcmp (suffix, ".part") == 0)
        return true;
    return strncmp (suffix, ".part.", 6) == 0 && suffix [6] &&
           strspn (suffix + 6, "0123456789") == strlen (suffix + 6);
}

/*  Removes what this file's making left in its directory, part files of members that were thought dead among it: the directory becomes the
 *  model's folder. */
static void sweep (downloader_part_t *self)
{
    int fd = openat (self->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = fd < 0 ? NULL : fdopendir (fd);
    if (!entries && fd >= 0)
        close (fd);
    for (struct dirent *entry; entries && (entry = readdir (entries));)
        if (is_leftover (self, entry->d_name))
            unlinkat (self->directory, entry->d_name, 0);
    if (entries)
        closedir (entries);
}

int downloader_part_publish (downloader_part_t *self, yard_error_t *error)
{
    char part_name [NAME_MAX + 1];
    downloader_part_file_name (self, self->head.suffix, part_name);
    int rc = prove (self, error);
    if (rc == 0)
        rc = downloader_part_checkpoint (self,
                                         error); /* after the rename, it is the proof of the named file */
    if (rc)
        return rc;
    if (fchmod (self->fd, 0644) || fsync (self->fd))
        return yard_error_errno (error, errno, "fsync of %s failed; it is fetched anew", self->path);
    if (FAULT ("downloader.before_rename"))
        return yard_error (error, YARD_DISK_FAILED, "a test broke %s before its rename", self->path);
    if (!is_ours (self, part_name))
        return yard_error (error, YARD_FILE_LOCKED, "another downloader has taken over %s", self->path);
    if (renameat (self->directory, part_name, self->directory, self->name))
        return yard_error_errno (error, errno, "cannot rename to %s", self->path);
    if (FAULT ("downloader.after_rename"))
        return yard_error (error, YARD_DISK_FAILED, "a test broke %s after its rename", self->path);
    if (fsync (self->directory))
        return yard_error_errno (error, errno, "fsync of %s failed", self->parent);
    sweep (self);
    self->is_there = true;
    return 0;
}

void downloader_part_remove (downloader_part_t *self)
{
    char part_name [NAME_MAX + 1];
    downloader_part_file_name (self, self->head.suffix, part_name);
    if (self->directory < 0 || self->fd < 0 || !is_ours (self, part_name))
        return;
    sweep (self);
}

uint64_t downloader_part_bytes (const downloader_part_t *self)
{
    return self->bytes;
}

uint64_t downloader_part_size (const downloader_part_t *self)
{
    return self->head.size;
}

const char *downloader_part_validator (const downloader_part_t *self)
{
    return self->head.validator;
}

const char *downloader_part_sha256 (const downloader_part_t *self)
{
    return self->sha256_text;
}

bool downloader_part_is_there (const downloader_part_t *self)
{
    return self->is_there;
}

bool downloader_part_is_verified (const downloader_part_t *self)
{
    return self->is_verified;
}

const char *downloader_part_path (const downloader_part_t *self)
{
    return self->path;
}

const char *downloader_part_name (const downloader_part_t *self)
{
    return self->name;
}
