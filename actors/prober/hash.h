// SPDX-License-Identifier: Apache-2.0
/*  hash.h - content hashes of a file, written algorithm:hex
 *
 *  sha256 reads the whole file. imohash reads three samples (github.com/kalafut/imohash, "Algorithm
 *  description"): a file below 128 KiB whole, else 16 KiB from its start, middle and end; MurmurHash3 x64 128
 *  (Appleby, public domain) with seed 0 of those bytes, its two halves big-endian, and over its first bytes
 *  the file's size as an unsigned LEB128.
 */
#ifndef YARD_PROBER_HASH_H
#define YARD_PROBER_HASH_H

#include <stdint.h>
#include "actors/ground/error.h"
#include "proto/messages.h"

#define PROBER_HASH_TEXT_SIZE 96 /* "sha256:" and 64 digits fit */

/*  Blocks on the disk: for offload. Symlinks are followed, anything but a regular file is refused;
 *  source_changed if it changes meanwhile. */
int prober_hash_file (const char *path, hash_algorithm_t algorithm, char *ret_text, uint64_t *ret_bytes,
                      yard_error_t *error);

/*  MurmurHash3 x64 128, seed 0, of size bytes: 16 bytes, each half big-endian. */
void prober_murmur3 (const void *data, size_t size, uint8_t ret_hash [16]);

#endif
