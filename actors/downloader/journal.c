// SPDX-License-Identifier: Apache-2.0
/*  journal.c - a head, a chain of records, and how they are read back
 *
 *  Head, little-endian: magic 8 | version 4 | zero 4 | source 32 | size 8 | suffix 48 | validator 256 | zeros | crc32c 4 of all before it.
 *  Record: bytes 8 | crc 4 | check 4, where check = crc32c of the 12 bytes, started with the check before it.
 */
#include "journal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "actors/ground/digest.h"

#define VERSION 1
#define HEAD_CHECK_AT (DOWNLOADER_JOURNAL_HEAD_BYTES - 4)
#define FILE_BYTES_MAX \
    (DOWNLOADER_JOURNAL_HEAD_BYTES + DOWNLOADER_JOURNAL_RECORDS_MAX * DOWNLOADER_JOURNAL_RECORD_BYTES)

static const unsigned char magic [8] = { 'Y', 'A', 'R', 'D', 'P', 'A', 'R', 'T' };

/*  Where the head's fields stand. */
enum {
    MAGIC_AT = 0,
    VERSION_AT = 8,
    SOURCE_AT = 16,
    SIZE_AT = 48,
    SUFFIX_AT = 56,
    VALIDATOR_AT = 104
};

struct downloader_journal_t {
    int directory; /* borrowed */
    int fd;
    char name [NAME_MAX + 1];
    downloader_journal_head_t head;
    uint32_t check; /* of the last record: the link of the chain */
    size_t records;
};

static void put (unsigned char *at, uint64_t number, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        at [i] = (unsigned char) (number >> (8 * i));
}

static uint64_t get (const unsigned char *at, unsigned bytes)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < bytes; i++)
        number |= (uint64_t) at [i] << (8 * i);
    return number;
}

static void write_head (const downloader_journal_head_t *head, unsigned char *ret_bytes)
{
    memset (ret_bytes, 0, DOWNLOADER_JOURNAL_HEAD_BYTES);
    memcpy (ret_bytes + MAGIC_AT, magic, sizeof magic);
    put (ret_bytes + VERSION_AT, VERSION, 4);
    memcpy (ret_bytes + SOURCE_AT, head->source, sizeof head->source);
    put (ret_bytes + SIZE_AT, head->size, 8);
    memcpy (ret_bytes + SUFFIX_AT, head->suffix, sizeof head->suffix);
    memcpy (ret_bytes + VALIDATOR_AT, head->validator, sizeof head->validator);
    put (ret_bytes + HEAD_CHECK_AT, yard_crc32c (0, ret_bytes, HEAD_CHECK_AT), 4);
}

static bool read_head (const unsigned char *bytes, downloader_journal_head_t *ret)
{
    if (memcmp (bytes + MAGIC_AT, magic, sizeof magic) != 0 || get (bytes + VERSION_AT, 4) != VERSION ||
        get (bytes + HEAD_CHECK_AT, 4) != yard_crc32c (0, bytes, HEAD_CHECK_AT))
        return false;
    memcpy (ret->source, bytes + SOURCE_AT, sizeof ret->source);
    ret->size = get (bytes + SIZE_AT, 8);
    memcpy (ret->suffix, bytes + SUFFIX_AT, sizeof ret->suffix);
    memcpy (ret->validator, bytes + VALIDATOR_AT, sizeof ret->validator);
    /* The checksum keeps accidents out, not malice: the suffix becomes part of a path. */
    return memchr (ret->suffix, 0, sizeof ret->suffix) && memchr (ret->validator, 0, sizeof ret->validator) &&
           strncmp (ret->suffix, ".part", 5) == 0 && !strchr (ret->suffix, '/');
}

static uint32_t write_record (const downloader_proof_t *proof, uint32_t link, unsigned char *ret_bytes)
{
    put (ret_bytes, proof->bytes, 8);
    put (ret_bytes + 8, proof->crc, 4);
    uint32_t check = yard_crc32c (link, ret_bytes, 12);
    put (ret_bytes + 12, check, 4);
    return check;
}

bool downloader_journal_parse (const unsigned char *data, size_t size, downloader_journal_head_t *ret_head,
                               downloader_proof_t *ret_proof)
{
    *ret_proof = (downloader_proof_t){ 0 };
    if (size < DOWNLOADER_JOURNAL_HEAD_BYTES || !read_head (data, ret_head))
        return false;
    uint32_t link = (uint32_t) get (data + HEAD_CHECK_AT, 4);
    size_t at = DOWNLOADER_JOURNAL_HEAD_BYTES;
    for (; size - at >= DOWNLOADER_JOURNAL_RECORD_BYTES; at += DOWNLOADER_JOURNAL_RECORD_BYTES) {
        downloader_proof_t proof = { .bytes = get (data + at, 8), .crc = (uint32_t) get (data + at + 8, 4) };
        uint32_t check = yard_crc32c (link, data + at, 12);
        if (check != get (data + at + 12, 4) || proof.bytes < ret_proof->bytes ||
            proof.bytes > ret_head->size)
            break;
        *ret_proof = proof;
        link = check;
    }
    return true;
}

int downloader_journal_load (int directory, const char *name, downloader_journal_head_t *ret_head,
                             downloader_proof_t *ret_proof, yard_error_t *error)
{
    int fd = openat (directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return yard_error_errno (error, errno, "cannot open the journal %s", name);
    unsigned char *data = malloc (FILE_BYTES_MAX);
    assert (data);
    size_t size = 0;
    ssize_t got = 1;
    while (size < FILE_BYTES_MAX && got > 0) {
        got = pread (fd, data + size, FILE_BYTES_MAX - size, (off_t) size);
        if (got < 0 && errno == EINTR)
            got = 1;
        else if (got > 0)
            size += (size_t) got;
    }
    int rc = 0;
    if (got < 0)
        rc = yard_error_errno (error, errno, "cannot read the journal %s", name);
    else if (!downloader_journal_parse (data, size, ret_head, ret_proof))
        rc = yard_error (error, YARD_INVALID_FILE,
                         "the journal %s cannot be believed; the file is fetched anew", name);
    free (data);
    close (fd);
    return rc;
}

static int write_at (int fd, const unsigned char *data, size_t size, off_t at)
{
    while (size) {
        ssize_t written = pwrite (fd, data, size, at);
        if (written < 0 && errno != EINTR)
            return -1;
        if (written > 0) {
            data += written;
            size -= (size_t) written;
            at += written;
        }
    }
    return 0;
}

/*  Head and first record into <name>.new, synced; then the name. */
static int begin_file (downloader_journal_t *self, const downloader_proof_t *proof, int *ret_fd,
                       yard_error_t *error)
{
    char beside [NAME_MAX + 8];
    snprintf (beside, sizeof beside, "%s.new", self->name);
    unlinkat (self->directory, beside, 0);
    int fd = openat (self->directory, beside, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return yard_error_errno (error, errno, "cannot make the journal %s", self->name);
    unsigned char bytes [DOWNLOADER_JOURNAL_HEAD_BYTES + DOWNLOADER_JOURNAL_RECORD_BYTES];
    write_head (&self->head, bytes);
    uint32_t link = (uint32_t) get (bytes + HEAD_CHECK_AT, 4);
    self->check = write_record (proof, link, bytes + DOWNLOADER_JOURNAL_HEAD_BYTES);
    self->records = 1;
    if (write_at (fd, bytes, sizeof bytes, 0) || fsync (fd) ||
        renameat (self->directory, beside, self->directory, self->name) || fsync (self->directory)) {
        int rc = yard_error_errno (error, errno, "cannot write the journal %s", self->name);
        unlinkat (self->directory, beside, 0);
        close (fd);
        return rc;
    }
    *ret_fd = fd;
    return 0;
}

int downloader_journal_new (int directory, const char *name, const downloader_journal_head_t *head,
                            const downloader_proof_t *proof, downloader_journal_t **ret, yard_error_t *error)
{
    downloader_journal_t *self = calloc (1, sizeof *self);
    assert (self);
    self->directory = directory;
    self->fd = -1;
    self->head = *head;
    int rc = 0;
    if (snprintf (self->name, sizeof self->name, "%s", name) > NAME_MAX - 4)
        rc = yard_error (error, YARD_TOO_LARGE, "the name %s is too long for a journal beside it", name);
    if (rc == 0)
        rc = begin_file (self, proof, &self->fd, error);
    if (rc == 0)
        *ret = self;
    else
        downloader_journal_destroy (&self);
    return rc;
}

void downloader_journal_destroy (downloader_journal_t **self_p)
{
    downloader_journal_t *self = *self_p;
    if (!self)
        return;
    if (self->fd >= 0)
        close (self->fd);
    free (self);
    *self_p = NULL;
}

int downloader_journal_append (downloader_journal_t *self, const downloader_proof_t *proof,
                               yard_error_t *error)
{
    if (self->records == DOWNLOADER_JOURNAL_RECORDS_MAX) {
        int fd = -1;
        int rc = begin_file (self, proof, &fd, error);
        if (rc == 0) {
            close (self->fd);
            self->fd = fd;
        }
        return rc;
    }
    unsigned char bytes [DOWNLOADER_JOURNAL_RECORD_BYTES];
    uint32_t check = write_record (proof, self->check, bytes);
    off_t at = (off_t) (DOWNLOADER_JOURNAL_HEAD_BYTES + self->records * DOWNLOADER_JOURNAL_RECORD_BYTES);
    if (write_at (self->fd, bytes, sizeof bytes, at) || fdatasync (self->fd))
        return yard_error_errno (error, errno, "cannot write the journal %s", self->name);
    self->check = check;
    self->records++;
    return 0;
}
