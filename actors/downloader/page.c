// SPDX-License-Identifier: Apache-2.0
/*  page.c - tells text from weights by the first bytes
 */
#include "page.h"

#include <string.h>
#include <strings.h>

#define PROBE_BYTES 8 /* safetensors' length field: text has no 0 in it */

static const char *const suffixes [] = {
    ".safetensors", ".sft", ".gguf", ".ckpt", ".pt", ".pth", ".bin", ".onnx",
};

bool downloader_is_model_name (const char *name)
{
    size_t size = strlen (name);
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes [0]; i++) {
        size_t length = strlen (suffixes [i]);
        if (size > length && strcasecmp (name + size - length, suffixes [i]) == 0)
            return true;
    }
    return false;
}

bool downloader_is_page (const void *data, size_t size)
{
    const char *text = data;
    if (size >= 3 && memcmp (text, "\xef\xbb\xbf", 3) == 0) { /* UTF-8's byte order mark */
        text += 3;
        size -= 3;
    }
    if (memchr (text, 0, size < PROBE_BYTES ? size : PROBE_BYTES))
        return false;
    size_t at = 0;
    while (at < size && strchr (" \t\r\n", text [at]))
        at++;
    return at < size && (text [at] == '<' || text [at] == '{' || text [at] == '[');
}
