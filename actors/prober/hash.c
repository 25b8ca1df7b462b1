// SPDX-License-Identifier: Apache-2.0
/*  hash.c - reads a file, or three samples of it, into a hash
 */
#include "hash.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include "actors/ground/digest.h"

#define SAMPLE_BYTES 16384u /* imohash's default */
#define WHOLE_BELOW 131072u /* imohash's default: smaller files are hashed whole */
#define READ_BYTES (1024u * 1024)

/*  Exactly size bytes from an offset; a shorter file has changed since it was measured. */
static int read_at (int file, const char *path, uint64_t offset, uint8_t *data, size_t size,
                    yard_error_t *error)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = pread (file, data + done, size - done, (off_t) (offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return yard_error_errno (error, errno, "read %s", path);
        if (got == 0)
            return yard_error (error, YARD_SOURCE_CHANGED, "%s became shorter while it was read; try again",
                               path);
        done += (size_t) got;
    }
    return 0;
}

static int imohash (int file, const char *path, uint64_t size, char *ret_text, yard_error_t *error)
{
    uint8_t samples [WHOLE_BELOW], hash [16];
    size_t filled = 3 * SAMPLE_BYTES;
    int code;
    if (size < WHOLE_BELOW) {
        filled = (size_t) size;
        code = read_at (file, path, 0, samples, filled, error);
    } else {
        code = read_at (file, path, 0, samples, SAMPLE_BYTES, error);
        if (code == 0)
            code = read_at (file, path, size / 2, samples + SAMPLE_BYTES, SAMPLE_BYTES, error);
        if (code == 0)
            code = read_at (file, path, size - SAMPLE_BYTES, samples + 2 * SAMPLE_BYTES, SAMPLE_BYTES, error);
    }
    if (code)
        return code;
    prober_murmur3 (samples, filled, hash);
    size_t at = 0;
    for (uint64_t left = size;; left >>= 7) {
        hash [at++] = (uint8_t) ((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
        if (left <= 0x7f)
            break;
    }
    memcpy (ret_text, "imohash:", 8);
    yard_hex (hash, sizeof hash, ret_text + 8);
    return 0;
}

static int sha256 (int file, const char *path, uint64_t size, char *ret_text, yard_error_t *error)
{
    uint8_t *chunk = malloc (READ_BYTES);
    yard_sha256_t *digest = yard_sha256_new ();
    int code = 0;
    for (uint64_t at = 0; at < size && code == 0;) {
        size_t step = size - at < READ_BYTES ? (size_t) (size - at) : READ_BYTES;
        code = read_at (file, path, at, chunk, step, error);
        yard_sha256_update (digest, chunk, code ? 0 : step);
        at += step;
    }
    memcpy (ret_text, "sha256:", 7);
    yard_sha256_hex (digest, ret_text + 7);
    yard_sha256_destroy (&digest);
    free (chunk);
    return code;
}

static int (*const algorithms [hash_algorithm_count]) (int, const char *, uint64_t, char *,
                                                       yard_error_t *) = {
    [hash_algorithm_imohash] = imohash,
    [hash_algorithm_sha256] = sha256,
};

int prober_hash_file (const char *path, hash_algorithm_t algorithm, char *ret_text, uint64_t *ret_bytes,
                      yard_error_t *error)
{
    struct stat before, after;
    char text [PROBER_HASH_TEXT_SIZE];
    int file = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return yard_error_errno (error, errno, "open %s", path);
    int code = 0;
    if (fstat (file, &before) || !S_ISREG (before.st_mode))
        code = yard_error (error, YARD_INVALID_SOURCE,
                           "%s is no regular file; only files have a content hash", path);
    if (code == 0)
        code = algorithms [algorithm](file, path, (uint64_t) before.st_size, text, error);
    if (code == 0 && (fstat (file, &after) || after.st_size != before.st_size ||
                      memcmp (&after.st_mtim, &before.st_mtim, sizeof before.st_mtim) != 0))
        code = yard_error (error, YARD_SOURCE_CHANGED, "%s changed while it was read; try again", path);
    close (file);
    if (code)
        return code;
    memcpy (ret_text, text, sizeof text);
    *ret_bytes = (uint64_t) before.st_size;
    return 0;
}
