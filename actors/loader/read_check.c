// SPDX-License-Identifier: Apache-2.0
/*  read_check.c - a file's checksums from pieces of other sizes, in any order, without reading a byte twice
 *
 *  A checksum's block that lies within one piece is compared at once. Else each piece gives its share: its own crc32c, moved by the
 *  bytes of the block that follow it; the exclusive or of all shares is the block's checksum. That is arithmetic over GF(2): to
 *  append n bytes multiplies the checksum so far by x^(8n) modulo the polynomial, and xors that of the bytes appended.
 *
 *  Open blocks are few: pieces begin in the order of the file, so at most those between the first and last piece under way.
 */
#include "actors/loader/read_inside.h"

#include <inttypes.h>
#include <pthread.h>
#include "actors/ground/digest.h"

/*  RFC 3720 B.4, its bits mirrored: the highest bit is x^0. */
#define POLYNOMIAL UINT32_C (0x82f63b78)
#define X_TO_0 (UINT32_C (1) << 31)
#define X_TO_8 (UINT32_C (1) << 23)

typedef struct block_t {
    struct block_t *next;
    uint32_t source, sum;
    uint64_t index, missing; /* bytes */
} block_t;

struct loader_read_check_t {
    const loader_source_t *sources;
    pthread_mutex_t mutex; /* guards open */
    block_t *open;
};

loader_read_check_t *loader_read_check_new (const loader_source_t *sources, size_t count)
{
    bool any = false;
    for (size_t i = 0; i < count; i++)
        any = any || sources [i].crc32c;
    if (!any)
        return NULL;
    loader_read_check_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->sources = sources;
    pthread_mutex_init (&self->mutex, NULL);
    return self;
}

void loader_read_check_destroy (loader_read_check_t **self_p)
{
    loader_read_check_t *self = *self_p;
    if (!self)
        return;
    for (block_t *next; self->open; self->open = next) {
        next = self->open->next;
        free (self->open);
    }
    pthread_mutex_destroy (&self->mutex);
    free (self);
    *self_p = NULL;
}

static uint32_t multiply (uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (uint32_t bit = X_TO_0; bit; bit >>= 1) {
        if (a & bit)
            product ^= b;
        b = b & 1 ? b >> 1 ^ POLYNOMIAL : b >> 1; /* times x */
    }
    return product;
}

/*  The checksum's share when `bytes` more follow. */
static uint32_t move (uint32_t sum, uint64_t bytes)
{
    uint32_t power = X_TO_0;
    for (uint32_t base = X_TO_8; bytes; bytes >>= 1, base = multiply (base, base))
        if (bytes & 1)
            power = multiply (power, base);
    return multiply (sum, power);
}

/*  Adds a share; whether the block is whole now, and its sum then. */
static bool add_share (loader_read_check_t *self, uint32_t source, uint64_t index, uint64_t block_bytes,
                       uint32_t share, uint64_t bytes, uint32_t *ret_sum)
{
    pthread_mutex_lock (&self->mutex);
    block_t **at = &self->open;
    while (*at && ((*at)->source != source || (*at)->index != index))
        at = &(*at)->next;
    if (!*at) {
        *at = calloc (1, sizeof **at);
        if (!*at)
            abort ();
        **at = (block_t){ .source = source, .index = index, .missing = block_bytes };
    }
    block_t *block = *at;
    block->sum ^= share;
    block->missing -= bytes;
    bool whole = block->missing == 0;
    if (whole) {
        *ret_sum = block->sum;
        *at = block->next;
        free (block);
    }
    pthread_mutex_unlock (&self->mutex);
    return whole;
}

int loader_read_check_piece (loader_read_check_t *self, const loader_piece_t *piece, const void *data,
                             uint64_t *ret_checked, yard_error_t *error)
{
    const loader_source_t *source = self ? &self->sources [piece->source] : NULL;
    *ret_checked = 0;
    if (!source || !source->crc32c)
        return 0;
    uint64_t end = piece->offset + piece->size, size = source->crc_bytes;
    for (uint64_t index = piece->offset / size; index * size < end; index++) {
        uint64_t first = index * size, last = source->bytes - first > size ? first + size : source->bytes;
        if (first < piece->stretch_begin || last > piece->stretch_end)
            continue; /* not all of it is read */
        uint64_t from = first > piece->offset ? first : piece->offset, to = last < end ? last : end;
        uint32_t sum = yard_crc32c (0, (const char *) data + (from - piece->offset), to - from);
        if (to - from < last - first &&
            !add_share (self, piece->source, index, last - first, move (sum, last - to), to - from, &sum))
            continue;
        *ret_checked += last - first;
        if (sum != source->crc32c [index])
            return yard_error (error, YARD_INTEGRITY,
                               "%s is damaged in its %" PRIu64 " bytes at %" PRIu64
                               ": their crc32c is %08" PRIx32 ", and the manifest's %08" PRIx32
                               "; install the model again",
                               source->name, last - first, first, sum, source->crc32c [index]);
    }
    return 0;
}
