// SPDX-License-Identifier: Apache-2.0
/*  headers.h - the headers of all files of a model, in memory together while its directory is made
 */
#ifndef LOADER_HEADERS_H
#define LOADER_HEADERS_H

#include "actors/loader/opening.h"

/*  One for each file of the model; a file that is no safetensors has no tensors. Gives *ret, also on failure. */
int loader_headers_read (loader_opening_t *opening, loader_header_t **ret);
void loader_headers_destroy (loader_header_t **self_p, size_t count);

/*  Adds a header to the sum of bytes; YARD_TOO_LARGE when all together are too large for our memory. */
int loader_headers_count (const loader_opening_t *opening, const loader_header_t *header, uint64_t *bytes,
                          yard_error_t *error);

/*  Where no index says which file has which tensor: YARD_INVALID_FILE when two files have one of the same
 *  name, since then nobody could say which is meant. */
int loader_headers_unique (loader_opening_t *opening, const loader_header_t *headers);

/*  Is this file the denoiser that was asked for, and nothing else? Then its names have no part's prefix. */
bool loader_headers_alone (const loader_opening_t *opening, const loader_header_t *headers, size_t count);

#endif
