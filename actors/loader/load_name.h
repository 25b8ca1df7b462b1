// SPDX-License-Identifier: Apache-2.0
/*  load_name.h - by which wishes find the load that they share
 *
 *  key, part, variant, form and path, each with a 0 behind it: so key and part can be read out of a name. In the form stand also the
 *  loader and the record's attributes, since others make another directory of the same files.
 */
#ifndef LOADER_LOAD_NAME_H
#define LOADER_LOAD_NAME_H

#include "actors/loader/loads.h"

#define LOADER_FORM_SIZE 160 /* five numbers, a loader's name, the name of slices */
#define LOADER_NAME_BYTES_MAX \
    (64 + 1 + LOADER_SUBMODEL_SIZE + LOADER_VARIANT_SIZE + LOADER_FORM_SIZE + LOADER_MODEL_PATH_SIZE)

typedef struct {
    char bytes [LOADER_NAME_BYTES_MAX];
    size_t size, plain; /* plain: without the number that makes the name of a look its own */
} loader_load_name_t;

/*  serial: a number that no other name has; used by a look. false: the wish's texts together are too long. */
bool loader_load_name_write (loader_load_name_t *self, const loader_wish_t *wish, uint64_t serial);
/*  Becomes a name that no wish has. */
void loader_load_name_hide (loader_load_name_t *self, uint64_t serial);
/*  The part behind the key. */
const char *loader_load_name_part (const char *name);

#endif
