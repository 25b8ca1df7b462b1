// SPDX-License-Identifier: Apache-2.0
/*  part_inside.h - what part.c and part_open.c know of a part, and nobody else
 */
#ifndef YARD_DOWNLOADER_PART_INSIDE_H
#define YARD_DOWNLOADER_PART_INSIDE_H

#include <limits.h>
#include "journal.h"
#include "part.h"

struct downloader_part_t {
    char path [PATH_MAX];
    char parent [PATH_MAX];
    const char *name; /* behind the last slash of path */
    char journal_name [NAME_MAX + 1];
    char published_sha256 [YARD_SHA256_HEX_SIZE]; /* lower case; "" for none */
    uint64_t published_size;
    uint64_t token;
    int directory; /* -1 before open */
    int fd; /* the locked part file; -1 for none */
    downloader_journal_head_t head; /* as it will be in the journal */
    downloader_journal_t *journal; /* NULL: made with the next checkpoint */
    uint64_t bytes; /* written */
    uint64_t proven; /* synced and in the journal */
    uint32_t crc; /* crc32c of `bytes` */
    yard_sha256_t *sha256; /* of `bytes` */
    char sha256_text [YARD_SHA256_HEX_SIZE];
    bool reserved; /* space was asked for */
    bool trusts_name; /* what has its name in this directory was proven by us */
    bool is_there, is_verified;
};

/*  Back to 0 bytes in memory. */
void downloader_part_forget (downloader_part_t *self);

/*  Feeds what was read or written into both sums. */
void downloader_part_digest (downloader_part_t *self, const void *data, size_t size);

/*  Gives the full name of a file with this suffix into ret_name [NAME_MAX + 1]. */
void downloader_part_file_name (const downloader_part_t *self, const char *suffix, char *ret_name);

/*  pwrite of it all. */
int downloader_part_write_at (int fd, const void *data, size_t size, uint64_t at, const char *path,
                              yard_error_t *error);

#endif
