// SPDX-License-Identifier: Apache-2.0
/*  part_open.c - how a part is found again: by its journal, under its lock, and only as far as it can be proven
 *
 *  Bytes behind the last checkpoint are cut off; the bytes before it are read back and must have the crc32c that the journal tells, else
 *  the file begins anew. What was once in memory of a dead process is never believed.
 */
#include "part.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "actors/ground/durable.h"
#include "actors/ground/fault.h"
#include "actors/ground/log.h"
#include "part_inside.h"

#define READ_BACK_BYTES 1048576 /* one read; larger ones are no faster */
#define FRESH_TRIES_MAX 4 /* names that others may take under our hands */

static int open_directory (downloader_part_t *self, yard_error_t *error)
{
    if (self->directory >= 0)
        return 0;
    int rc = yard_durable_mkdir (self->parent, 0700, error);
    if (rc)
        return rc;
    self->directory = open (self->parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (self->directory < 0)
        return yard_error_errno (error, errno, "cannot open the directory %s (it may not be a symlink)",
                                 self->parent);
    return 0;
}

/*  Reads `bytes` from the start of fd into the sums, and into a copy if that is a file. 0, or invalid_file when they are not what proof says. */
static int read_back (downloader_part_t *self, int fd, const downloader_proof_t *proof, int copy,
                      yard_error_t *error)
{
    char *data = malloc (READ_BACK_BYTES);
    assert (data);
    downloader_part_forget (self);
    int rc = 0;
    while (rc == 0 && self->bytes < proof->bytes) {
        uint64_t rest = proof->bytes - self->bytes;
        ssize_t got = pread (fd, data, rest < READ_BACK_BYTES ? rest : READ_BACK_BYTES, (off_t) self->bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            rc = yard_error_errno (error, errno, "cannot read back %s", self->path);
        else if (got == 0)
            break;
        else if (copy >= 0)
            rc = downloader_part_write_at (copy, data, (size_t) got, self->bytes, self->path, error);
        if (rc == 0)
            downloader_part_digest (self, data, (size_t) got);
    }
    free (data);
    if (rc == 0 && (self->bytes != proof->bytes || self->crc != proof->crc))
        rc = yard_error (error, YARD_INVALID_FILE, "the bytes of %s are not those its journal proves",
                         self->path);
    return rc;
}

/*  Opens a regular file of ours; -1 with errno. */
static int open_regular (const downloader_part_t *self, const char *name)
{
    int fd = openat (self->directory, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat status;
    if (fd >= 0 && (fstat (fd, &status) || !S_ISREG (status.st_mode))) {
        close (fd);
        errno = ELOOP;
        return -1;
    }
    return fd;
}

/*  false: another holds it. */
static bool lock (int fd)
{
    return FAULT ("planted.no_lock") || flock (fd, LOCK_EX | LOCK_NB) == 0;
}

/*  An empty file of this name, locked by us; YARD_FILE_LOCKED when another holds it. What was there and nobody holds is removed: a fresh file is
 *  a new inode, so a writer that is not quite dead writes into nothing. */
static int make_fresh (downloader_part_t *self, const char *suffix, int *ret_fd, yard_error_t *error)
{
    char name [NAME_MAX + 1];
    downloader_part_file_name (self, suffix, name);
    for (int tries = 0; tries < FRESH_TRIES_MAX; tries++) {
        int old = open_regular (self, name);
        bool locked = old >= 0 && !lock (old);
        if (!locked)
            unlinkat (self->directory, name, 0);
        if (old >= 0)
            close (old);
        if (locked)
            break;
        int fd = openat (self->directory, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd >= 0 && lock (fd)) {
            *ret_fd = fd;
            return 0;
        }
        if (fd < 0 && errno != EEXIST)
            return yard_error_errno (error, errno, "cannot make %s", self->path);
        if (fd >= 0)
            close (fd);
    }
    return yard_error (error, YARD_FILE_LOCKED, "another process writes %s", self->path);
}

/*  A fresh file under the usual name, or under one with our token where another holds the usual one. */
static int begin_anew (downloader_part_t *self, int *ret_fd, yard_error_t *error)
{
    char suffix [DOWNLOADER_PART_SUFFIX_SIZE] = ".part";
    int rc = make_fresh (self, suffix, ret_fd, error);
    if (rc == YARD_FILE_LOCKED) {
        snprintf (suffix, sizeof suffix, ".part.%llu", (unsigned long long) self->token);
        rc = make_fresh (self, suffix, ret_fd, error);
    }
    if (rc == 0) {
        memset (self->head.suffix, 0, sizeof self->head.suffix);
        memcpy (self->head.suffix, suffix, strlen (suffix));
    }
    return rc;
}

int downloader_part_reset (downloader_part_t *self, yard_error_t *error)
{
    if (self->fd >= 0) {
        downloader_part_remove (self);
        close (self->fd);
        self->fd = -1;
    }
    downloader_journal_destroy (&self->journal);
    downloader_part_forget (self);
    self->head.size = self->published_size;
    memset (self->head.validator, 0, sizeof self->head.validator);
    int rc = open_directory (self, error);
    if (rc == 0) {
        unlinkat (self->directory, self->journal_name, 0);
        rc = begin_anew (self, &self->fd, error);
    }
    return rc;
}

/*  The part file that the journal names: under its lock, or copied from under another's. */
static int take_over (downloader_part_t *self, const downloader_proof_t *proof, yard_error_t *error)
{
    char name [NAME_MAX + 1];
    downloader_part_file_name (self, self->head.suffix, name);
    int fd = open_regular (self, name);
    if (fd < 0)
        return yard_error_errno (error, errno, "cannot open %s", name);
    int rc;
    if (lock (fd)) {
        rc = read_back (self, fd, proof, -1, error);
        if (rc == 0 && ftruncate (fd, (off_t) proof->bytes))
            rc = yard_error_errno (error, errno, "cannot cut %s", self->path);
        if (rc)
            close (fd);
        else
            self->fd = fd;
    } else {
        yard_log_warning ("download.lock_taken", "path=%s", YARD_QUOTED (self->path));
        int copy = -1;
        rc = begin_anew (self, &copy, error);
        if (rc == 0)
            rc = read_back (self, fd, proof, copy, error);
        if (rc == 0)
            self->fd = copy;
        else if (copy >= 0)
            close (copy);
        close (fd);
    }
    return rc;
}

/*  Does the journal speak of this source, and of the file that was published? */
static bool fits (const downloader_part_t *self, const downloader_journal_head_t *head)
{
    bool same_size = self->published_size == DOWNLOADER_SIZE_UNKNOWN ||
                     head->size == DOWNLOADER_SIZE_UNKNOWN || self->published_size == head->size;
    return same_size && memcmp (self->head.source, head->source, sizeof head->source) == 0;
}

/*  The named file: renamed by us in an earlier life, which ended before the job did. Proven by what was
 *  published, or by the journal that outlived the rename, or, where there is neither, by having its name
 *  in staging: only a proven file gets one there. proof is NULL where no journal is. */
static bool is_finished (downloader_part_t *self, const downloader_proof_t *proof)
{
    struct stat status;
    int fd = open_regular (self, self->name);
    if (fd < 0 || fstat (fd, &status)) {
        if (fd >= 0)
            close (fd);
        return false;
    }
    uint64_t size = (uint64_t) status.st_size;
    uint64_t due = self->published_size;
    bool right = due == DOWNLOADER_SIZE_UNKNOWN || due == size;
    downloader_proof_t all = { .bytes = size };
    int rc = right ? read_back (self, fd, &all, -1, NULL) : YARD_INTEGRITY;
    right = right && (rc == 0 || rc == YARD_INVALID_FILE) &&
            self->bytes == size; /* its crc is what we want to know */
    if (right && self->published_sha256 [0]) {
        yard_sha256_hex (self->sha256, self->sha256_text);
        right = strcmp (self->sha256_text, self->published_sha256) == 0;
        self->is_verified = right;
    } else if (right) {
        right = proof ? proof->bytes == size && proof->crc == self->crc : self->trusts_name;
        yard_sha256_hex (self->sha256, self->sha256_text);
    }
    /* The rename may not be on the disk yet: a directory that cannot be synced proves nothing. */
    right = right && fsync (self->directory) == 0;
    close (fd);
    if (right) {
        self->head.size = size;
        unlinkat (self->directory, self->journal_name, 0);
    }
    return right;
}

int downloader_part_open (downloader_part_t *self, yard_error_t *error)
{
    int rc = open_directory (self, error);
    if (rc)
        return rc;
    downloader_journal_head_t head = { .size = DOWNLOADER_SIZE_UNKNOWN };
    downloader_proof_t proof = { 0 };
    rc = downloader_journal_load (self->directory, self->journal_name, &head, &proof, NULL);
    bool journaled = rc == 0 && fits (self, &head);
    if (!journaled)
        proof = (downloader_proof_t){ 0 };
    if (is_finished (self, rc == YARD_NOT_FOUND ? NULL : &proof)) {
        self->is_there = true;
        return 0;
    }
    /* Without a validator and a published hash nothing could tell the rest of another version from ours. */
    if (journaled && proof.bytes > 0 && (head.validator [0] || self->published_sha256 [0])) {
        self->head = head;
        if (head.size == DOWNLOADER_SIZE_UNKNOWN)
            self->head.size = self->published_size;
        yard_error_t why;
        rc = take_over (self, &proof, &why);
        if (rc == 0) {
            self->proven = 0; /* the next checkpoint writes a journal of our own */
            return downloader_part_checkpoint (self, error);
        }
        yard_log_warning ("download.anew", "path=%s why=%s", YARD_QUOTED (self->path),
                          YARD_QUOTED (why.text));
    }
    return downloader_part_reset (self, error);
}
