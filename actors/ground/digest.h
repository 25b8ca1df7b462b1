// SPDX-License-Identifier: Apache-2.0
/*  digest.h - sha256 (FIPS 180-4, libcrypto) and crc32c (RFC 3720 B.4, libisal), in pieces
 */
#ifndef YARD_GROUND_DIGEST_H
#define YARD_GROUND_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#define YARD_SHA256_SIZE 32
#define YARD_SHA256_HEX_SIZE 65 /* 64 digits and the 0 */

typedef struct yard_sha256_t yard_sha256_t;

yard_sha256_t *yard_sha256_new (void);
void yard_sha256_destroy (yard_sha256_t **self_p);
void yard_sha256_update (yard_sha256_t *self, const void *data, size_t size);
void yard_sha256_hex (yard_sha256_t *self, char *ret_hex); /* ends it; ret_hex [YARD_SHA256_HEX_SIZE] */

/*  Start with 0; feed the last result on. Standard value: of "123456789" it is 0xe3069283. */
uint32_t yard_crc32c (uint32_t crc, const void *data, size_t size);

void yard_hex (const void *data, size_t size, char *ret_text); /* 2 * size digits and a 0 */

#endif
