// SPDX-License-Identifier: Apache-2.0
/*  digest.c - sha256 by libcrypto's EVP, crc32c by libisal
 *
 *  Both use the processor's own instructions where it has them. libcrypto fails here only when it is
 *  broken or out of memory; a hash that could be wrong is worse than a crash, so that aborts.
 */
#include "digest.h"

#include <assert.h>
#include <openssl/evp.h>
#include <isa-l/crc.h>
#include <stdbool.h>
#include <stdlib.h>

#define CRC_BYTES_MAX ((size_t) 1 << 30) /* libisal counts in int */

struct yard_sha256_t {
    EVP_MD_CTX *context;
    bool ended;
};

yard_sha256_t *yard_sha256_new (void)
{
    yard_sha256_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->context = EVP_MD_CTX_new ();
    if (!self->context || EVP_DigestInit_ex (self->context, EVP_sha256 (), NULL) != 1)
        abort ();
    return self;
}

void yard_sha256_destroy (yard_sha256_t **self_p)
{
    assert (self_p);
    yard_sha256_t *self = *self_p;
    if (!self)
        return;
    EVP_MD_CTX_free (self->context);
    free (self);
    *self_p = NULL;
}

void yard_sha256_update (yard_sha256_t *self, const void *data, size_t size)
{
    assert (!self->ended);
    if (size && EVP_DigestUpdate (self->context, data, size) != 1)
        abort ();
}

void yard_sha256_hex (yard_sha256_t *self, char *ret_hex)
{
    assert (!self->ended);
    unsigned char digest [YARD_SHA256_SIZE];
    unsigned int size = 0;
    if (EVP_DigestFinal_ex (self->context, digest, &size) != 1 || size != sizeof digest)
        abort ();
    self->ended = true;
    yard_hex (digest, sizeof digest, ret_hex);
}

uint32_t yard_crc32c (uint32_t crc, const void *data, size_t size)
{
    /* crc32_iscsi is the bare register: the inversions before and after are the caller's, and cancel
     * out between pieces. It only reads, whatever its prototype says. */
    unsigned char *at = (unsigned char *) (uintptr_t) data;
    while (size) {
        size_t part = size < CRC_BYTES_MAX ? size : CRC_BYTES_MAX;
        crc = ~crc32_iscsi (at, (int) part, ~crc);
        at += part;
        size -= part;
    }
    return crc;
}

void yard_hex (const void *data, size_t size, char *ret_text)
{
    static const char digits [] = "0123456789abcdef";
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++) {
        ret_text [2 * i] = digits [bytes [i] >> 4];
        ret_text [2 * i + 1] = digits [bytes [i] & 15];
    }
    ret_text [2 * size] = 0;
}
