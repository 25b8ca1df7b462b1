// SPDX-License-Identifier: Apache-2.0
/*  gguf_bed.h - GGUF files by hand, for tests: bytes are put one after another, right or wrong
 */
#ifndef TESTS_UNIT_GGUF_BED_H
#define TESTS_UNIT_GGUF_BED_H

#include <stdint.h>
#include <string.h>

#define GGUF_ROOM 65536

enum {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY
};
enum {
    GGML_F32 = 0,
    GGML_F16 = 1,
    GGML_Q4_0 = 2,
    GGML_Q4_K = 12,
    GGML_I8 = 24
};

typedef struct {
    char bytes [GGUF_ROOM];
    size_t size;
} gguf_file_t;

static inline void put_number (gguf_file_t *file, uint64_t number, size_t width)
{
    for (size_t at = 0; at < width; at++)
        file->bytes [file->size++] = (char) (number >> (8 * at));
}

static inline void put_text (gguf_file_t *file, const char *text)
{
    size_t size = strlen (text);
    put_number (file, size, 8);
    memcpy (file->bytes + file->size, text, size);
    file->size += size;
}

static inline void put_start (gguf_file_t *file, uint64_t version, uint64_t tensors, uint64_t pairs)
{
    file->size = 0;
    put_number (file, 0x46554747, 4); /* "GGUF" */
    put_number (file, version, 4);
    put_number (file, tensors, 8);
    put_number (file, pairs, 8);
}

static inline void put_pair (gguf_file_t *file, const char *key, uint64_t type, uint64_t value, size_t width)
{
    put_text (file, key);
    put_number (file, type, 4);
    put_number (file, value, width);
}

static inline void put_words (gguf_file_t *file, const char *key, const char *value)
{
    put_text (file, key);
    put_number (file, GGUF_STRING, 4);
    put_text (file, value);
}

/*  Dimensions innermost first, as the file has them. */
static inline void put_info (gguf_file_t *file, const char *name, unsigned rank, const uint64_t *dimensions,
                             uint64_t type, uint64_t offset)
{
    put_text (file, name);
    put_number (file, rank, 4);
    for (unsigned at = 0; at < rank; at++)
        put_number (file, dimensions [at], 8);
    put_number (file, type, 4);
    put_number (file, offset, 8);
}

static inline void put_padding (gguf_file_t *file, size_t alignment)
{
    while (file->size % alignment != 0)
        file->bytes [file->size++] = 0;
}

static inline void put_data (gguf_file_t *file, size_t size)
{
    memset (file->bytes + file->size, 7, size);
    file->size += size;
}

#endif
