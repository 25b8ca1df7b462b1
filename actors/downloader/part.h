// SPDX-License-Identifier: Apache-2.0
/*  part.h - a file that is being made: its part file, its journal, its lock, its proof and its name
 *
 *  <name>.part grows under an exclusive flock, held from the first byte to close; <name>.journal says what of it is proven; <name> appears by one
 *  rename when everything is. Who finds the lock taken begins <name>.part.<token> from what the journal proves. Symlinks are never
 *  followed. An fsync that fails makes the file lost.
 *
 *  Functions marked B block: they run in the offload pool, one at a time. The rest looks at memory only, and may be called when none of them runs.
 */
#ifndef YARD_DOWNLOADER_PART_H
#define YARD_DOWNLOADER_PART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "actors/ground/digest.h"
#include "actors/ground/error.h"

typedef struct downloader_part_t downloader_part_t;

/*  path is copied: absolute, without empty, "." or ".." segments, control characters or a slash at its end; else invalid_message. sha256 is NULL
 *  or 64 hex digits, size may be DOWNLOADER_SIZE_UNKNOWN: what was published. */
int downloader_part_new (const char *path, const char *source, uint64_t token, uint64_t size,
                         const char *sha256, downloader_part_t **ret, yard_error_t *error);
void downloader_part_destroy (downloader_part_t **self_p); /* closes, which ends the lock; files stay */
/*  The directory is the yard's own, staging or the cache: only proven files have a name there, so one without journal
 *  and published hash is finished too. Elsewhere it may be anybody's, and is fetched anew. */
void downloader_part_trust_name (downloader_part_t *self);

/*  B. Makes the directory, takes the lock, reads back and checks what the journal proves. After it `bytes` says where to go on; `is_there`: the
 *  finished file stands under its name and is proven. */
int downloader_part_open (downloader_part_t *self, yard_error_t *error);
/*  B. Forgets what was fetched: a fresh file. */
int downloader_part_reset (downloader_part_t *self, yard_error_t *error);
/*  B. Appends. */
int downloader_part_write (downloader_part_t *self, const void *data, size_t size, yard_error_t *error);
/*  B. Syncs what was written, then says so in the journal. */
int downloader_part_checkpoint (downloader_part_t *self, yard_error_t *error);
/*  B. Proves size and sha256 (integrity), syncs, renames, syncs the directory, removes the journal. */
int downloader_part_publish (downloader_part_t *self, yard_error_t *error);
/*  B. Removes part file and journal. */
void downloader_part_remove (downloader_part_t *self);
/*  B. Ends the lock; files stay. The last close of a removed file of many GiB takes its time. What can be
 *  asked below stays. */
void downloader_part_close (downloader_part_t *self);

/*  What the server said of the file: goes into the journal with the next checkpoint. Changes neither bytes nor proofs. */
void downloader_part_expect (downloader_part_t *self, uint64_t size, const char *validator);

uint64_t downloader_part_bytes (const downloader_part_t *self);
uint64_t downloader_part_size (const downloader_part_t *self); /* or DOWNLOADER_SIZE_UNKNOWN */
const char *downloader_part_validator (const downloader_part_t *self);
const char *downloader_part_sha256 (const downloader_part_t *self); /* of the finished file */
bool downloader_part_is_there (const downloader_part_t *self);
bool downloader_part_is_verified (
    const downloader_part_t *self); /* a published sha256 was there, and is equal */
const char *downloader_part_path (const downloader_part_t *self);
const char *downloader_part_name (const downloader_part_t *self);

#endif
