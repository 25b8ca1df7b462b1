// SPDX-License-Identifier: Apache-2.0
/*  transfer.h - the life of one download, from its lease to its last word
 *
 *  Opens the part, tries until the file is whole or hope is gone, proves it, names it. What it says to the recorder is its owner's business: the
 *  owner looks at the result when `ended` was called.
 *
 *  Invariants: `ended` runs exactly once, never from inside downloader_transfer_new or _stop; when it runs, the part file is closed and
 *  its lock given up.
 */
#ifndef YARD_DOWNLOADER_TRANSFER_H
#define YARD_DOWNLOADER_TRANSFER_H

#include "fetch.h"

typedef struct downloader_transfer_t downloader_transfer_t;

typedef enum {
    DOWNLOADER_RESULT_NONE, /* still under way */
    DOWNLOADER_RESULT_FINISHED, /* named and proven */
    DOWNLOADER_RESULT_FAILED,
    DOWNLOADER_RESULT_STOPPED /* as asked for */
} downloader_result_kind_t;

typedef struct {
    downloader_result_kind_t kind;
    uint64_t bytes; /* FINISHED */
    char sha256 [65];
    bool verified;
    char validator [DOWNLOADER_VALIDATOR_SIZE];
    const char *url; /* after redirects, without query */
    yard_error_t error; /* FAILED */
    bool again; /* FAILED: back to the queue, not before after_ms */
    uint64_t after_ms;
} downloader_result_t;

typedef void (downloader_transfer_fn) (void *argument, downloader_transfer_t *transfer);

/*  Copies what it needs of the grant. */
downloader_transfer_t *downloader_transfer_new (yard_actor_t *actor, downloader_fetch_t *fetch,
                                                const job_grant_t *grant, downloader_transfer_fn *ended,
                                                void *argument);
/*  When ended, or while the actor closes. */
void downloader_transfer_destroy (downloader_transfer_t **self_p);

/*  Ends it soon: what is written is proven and kept, or removed with its journal. A file that has its name already stays. */
void downloader_transfer_stop (downloader_transfer_t *self, bool remove);

uint64_t
downloader_transfer_bytes (const downloader_transfer_t *self); /* received, with those of earlier lives */
uint64_t downloader_transfer_size (const downloader_transfer_t *self); /* 0 while unknown */
const char *downloader_transfer_state (const downloader_transfer_t *self); /* one word, for people */
const downloader_result_t *downloader_transfer_result (const downloader_transfer_t *self);

#endif
