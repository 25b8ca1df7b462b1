// SPDX-License-Identifier: Apache-2.0
/*  spool.h - bytes on their way from the connection to the disk, in order, bounded
 *
 *  Two buffers: one fills from the loop while the other is written in the offload pool. When both are full, the connection waits. The spool
 *  is the part's only user while it runs: nobody else calls a blocking function of the part before the spool is idle.
 */
#ifndef YARD_DOWNLOADER_SPOOL_H
#define YARD_DOWNLOADER_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include "actors/runtime/actor.h"
#include "part.h"

#define DOWNLOADER_SPOOL_CHUNK_BYTES 1048576 /* written from this size on: large enough for any disk */
#define DOWNLOADER_SPOOL_BUFFER_BYTES 2097152 /* each of the two; 5 downloads hold at most 20 MiB */

typedef struct downloader_spool_t downloader_spool_t;

/*  One write has ended, on the loop: there is room again. code < 0: it failed, and what was under way is dropped. */
typedef void (downloader_spool_fn) (void *argument, int code, const yard_error_t *error);

downloader_spool_t *downloader_spool_new (yard_actor_t *actor, downloader_part_t *part,
                                          downloader_spool_fn *moved, void *argument);
/*  Only when idle. */
void downloader_spool_destroy (downloader_spool_t **self_p);

/*  false: no room; nothing was taken. */
bool downloader_spool_put (downloader_spool_t *self, const void *data, size_t size);
/*  Writes what there is as soon as the disk is free; checkpoint: and proves it. moved is called in any case. */
void downloader_spool_flush (downloader_spool_t *self, bool checkpoint);
/*  Forgets what is not yet given to the disk. */
void downloader_spool_drop (downloader_spool_t *self);
bool downloader_spool_is_idle (const downloader_spool_t *self);
/*  The bytes not yet given to the disk: a file's first ones are looked at before they are written. */
const void *downloader_spool_waiting (const downloader_spool_t *self, size_t *ret_size);

#endif
