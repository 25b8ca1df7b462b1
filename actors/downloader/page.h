// SPDX-License-Identifier: Apache-2.0
/*  page.h - a web page or an error in JSON, sent where a model was asked for
 */
#ifndef YARD_DOWNLOADER_PAGE_H
#define YARD_DOWNLOADER_PAGE_H

#include <stdbool.h>
#include <stddef.h>

/*  Does a file of this name hold binary weights? By its suffix. */
bool downloader_is_model_name (const char *name);

/*  Do these first bytes (up to 1 MiB of them; fewer than 8 only if that is all) begin a text of markup or JSON? No model file does: safetensors
 *  begins with a 64-bit length whose last byte is 0, GGUF with GGUF, zip with PK, pickle with 0x80. */
bool downloader_is_page (const void *data, size_t size);

#endif
