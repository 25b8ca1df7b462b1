// SPDX-License-Identifier: Apache-2.0
/*  journal.h - what is proven of a file that is not whole yet
 *
 *  A head of 512 bytes, then records of 16, each "so many bytes are on the disk, and this is their crc32c". A record is written only after the bytes
 *  it speaks of are synced, and is synced itself. Every record's own checksum covers the one before it, back to the head: a torn tail,
 *  a flipped bit or a record of another journal ends the chain, and what stands before it stays true.
 *
 *  All functions block; they are called from the offload pool. directory is an open directory, names are names in it.
 */
#ifndef YARD_DOWNLOADER_JOURNAL_H
#define YARD_DOWNLOADER_JOURNAL_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "actors/ground/error.h"
#include "reply.h"

#define DOWNLOADER_JOURNAL_HEAD_BYTES 512 /* one sector: it is written whole or not */
#define DOWNLOADER_JOURNAL_RECORD_BYTES 16
#define DOWNLOADER_JOURNAL_RECORDS_MAX \
    65536 /* 1 MiB; at one in 5 s that is 91 hours, then the journal begins anew */
#define DOWNLOADER_PART_SUFFIX_SIZE 48 /* ".part." and 20 digits, with its 0 */

typedef struct {
    unsigned char source [32]; /* sha256 of the source's URL */
    uint64_t size; /* of the whole file, or DOWNLOADER_SIZE_UNKNOWN */
    char suffix [DOWNLOADER_PART_SUFFIX_SIZE]; /* the part file is <name><suffix> */
    char validator [DOWNLOADER_VALIDATOR_SIZE]; /* "" for none */
} downloader_journal_head_t;

typedef struct {
    uint64_t bytes; /* from the file's start, on the disk */
    uint32_t crc; /* crc32c of them */
} downloader_proof_t;

typedef struct downloader_journal_t downloader_journal_t;

/*  A new journal with one record (proof) takes the place of any of that name: written beside, synced, renamed, directory synced. */
int downloader_journal_new (int directory, const char *name, const downloader_journal_head_t *head,
                            const downloader_proof_t *proof, downloader_journal_t **ret, yard_error_t *error);
void downloader_journal_destroy (downloader_journal_t **self_p); /* closes; the file stays */
int downloader_journal_append (downloader_journal_t *self, const downloader_proof_t *proof,
                               yard_error_t *error);

/*  not_found, or invalid_file when not even the head can be believed. */
int downloader_journal_load (int directory, const char *name, downloader_journal_head_t *ret_head,
                             downloader_proof_t *ret_proof, yard_error_t *error);

/*  The same of bytes in memory; false for no head. No whole record: a proof of 0 bytes. */
bool downloader_journal_parse (const unsigned char *data, size_t size, downloader_journal_head_t *ret_head,
                               downloader_proof_t *ret_proof);

#endif
