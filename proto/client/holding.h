// SPDX-License-Identifier: Apache-2.0
/*  holding.h - the regions of one attachment, kept by the views on them
 *
 *  For clients in other languages: they speak with the loader's attach socket themselves (proto/load.def), put the connection and what
 *  came over it in here, and hand out DLPack tensors (dlpack.h). A tensor's end, in whatever thread and without any lock of the
 *  language, is then all that is needed to let go.
 *
 *  Invariants:
 *  - A holding is counted: one for its maker, one for each tensor on it. Who lets go last unmaps every region and then closes the
 *    connection, in this order: the connection's end is how the loader learns that nobody looks any more.
 *  - Regions are added by the maker alone, and never go one by one. Taking and dropping is safe in any thread.
 *  - A host region is mapped copy on write: what is written there is this process's own, and neither the file nor another process sees
 *    it. A CUDA region is everybody's: it is not to be written, and where the driver can keep writers out, it does.
 */
#ifndef YARD_CLIENT_HOLDING_H
#define YARD_CLIENT_HOLDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "actors/ground/error.h"
#include "cuda_import.h"

#define YARD_HOLDING_REGIONS_MAX 65536 /* files of one model; the largest we know has some 200 */
#define YARD_HOLDING_HOST (-1)

typedef struct yard_holding_t yard_holding_t;

typedef struct {
    void *data; /* host: NULL for an empty region; CUDA: the device's address */
    uint64_t bytes;
    int device; /* CUDA's number in this process, or YARD_HOLDING_HOST */
    bool writable; /* by whoever holds it, without being seen by others */
} yard_holding_region_t;

/*  Borrows the connection: the holding has a duplicate of its own. */
int yard_holding_new (int connection, yard_holding_t **ret, yard_error_t *error);
/*  Adds a host region: the first `bytes` of the file, copy on write. Borrows the descriptor. integrity when the file is shorter. */
int yard_holding_map (yard_holding_t *self, int fd, uint64_t bytes, yard_error_t *error);
/*  Adds a CUDA region: a whole allocation of another process. Borrows the handle's descriptor; fails as client_cuda_open says. */
int yard_holding_import (yard_holding_t *self, const yard_cuda_handle_t *handle, yard_error_t *error);

size_t yard_holding_count (const yard_holding_t *self);
yard_holding_region_t yard_holding_region (const yard_holding_t *self, size_t index); /* index < count */

/*  One more to let go; returns self. */
yard_holding_t *yard_holding_take (yard_holding_t *self);
/*  Takes NULL. What was read from region () is not to be used after the last drop. */
void yard_holding_drop (yard_holding_t **self_p);

#endif
