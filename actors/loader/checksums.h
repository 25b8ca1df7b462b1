// SPDX-License-Identifier: Apache-2.0
/*  checksums.h - what the manifest says of a model's files, chunk by chunk (proto/manifest.def)
 *
 *  A model that we installed has .modelyard.json in its folder, with a crc32c for each 8 MiB of each file; whatever is read into memory
 *  is held against it on the way. A model without a manifest, or with files that it does not name, is read unchecked: the load's answer
 *  says how many bytes were checked.
 */
#ifndef LOADER_CHECKSUMS_H
#define LOADER_CHECKSUMS_H

#include "actors/loader/opening.h"

/*  Fills opening->model->checksums where there is something to say. Blocks on the disk. invalid_file: there is a manifest, and it
 *  cannot be read; too_large. */
int loader_checksums_read (loader_opening_t *opening);

#endif
