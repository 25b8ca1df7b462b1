// SPDX-License-Identifier: Apache-2.0
/*  lru.h - the loaded models of one budget, in the order of their last use, and who of them may go
 *
 *  An entry is a loaded model whose bytes the ledger counts as held. It is leased (uses), attached, or pinned
 *  by the yard, or else idle; only idle ones are evicted, the least recently used first. No I/O, no thread, no
 *  clock: times are the caller's, in milliseconds of one clock.
 *
 *  The way of a load: loader_ledger_ask, then settle, then its answer: granted; read the model; shrink what it
 *  did not need; loader_lru_add; loader_entry_release at the end of the lease. A load that fails cancels its
 *  reservation, and everything is as it was.
 *
 *  Invariants:
 *  - An entry with uses, pins or attachments is never evicted to make room, and never expires.
 *  - To make room, no model goes that could have been spared: from the least recently used on as many as are
 *    enough, then those are let off, the most recently used first, without whom it is still enough.
 *  - The owner is told of every eviction once, and says what becomes of the bytes; the entry is gone already.
 *    While it is told it calls nothing of this file and no settle of this ledger; other ledgers it may use.
 *    What an owner does by itself (retire) it is not told.
 *  - The sum of all entries' bytes, by state, is what the ledger counts as idle, busy and pinned.
 */
#ifndef LOADER_LRU_H
#define LOADER_LRU_H

#include "actors/loader/ledger.h"

#define LOADER_NO_EXPIRY INT64_MAX

typedef struct loader_lru_t loader_lru_t;
typedef struct loader_entry_t loader_entry_t;

/*  What becomes of an evicted model's bytes; those that are in neither are free now. The owner moves them on
 *  (loader_ledger_move) when that changes. */
typedef struct {
    uint64_t kept; /* until attachments end */
    uint64_t coming; /* being freed */
} loader_fate_t;

/*  *ret is all 0 before. model is what was given to loader_lru_add. */
typedef void (loader_evict_fn) (void *argument, void *model, loader_fate_t *ret);

/*  Becomes the ledger's evictor, until it is destroyed; the ledger is borrowed. */
loader_lru_t *loader_lru_new (loader_ledger_t *ledger, loader_evict_fn *evict, void *argument);
/*  Before the ledger. Entries are gone and their bytes no longer counted; the owner is not told. */
void loader_lru_destroy (loader_lru_t **self_p);

/*  A load has ended: commits its reservation, and counts a miss. The entry is used once already, by whoever
 *  the load was for; a prefetch releases it at once. ttl_ms: evicted when not used for so long; 0 = stays. */
loader_entry_t *loader_lru_add (loader_lru_t *self, loader_reservation_t **reservation_p, void *model,
                                int64_t ttl_ms, int64_t now_ms);

void loader_entry_use (loader_entry_t *self, int64_t now_ms); /* one lease more; counts a hit */
void loader_entry_release (loader_entry_t *self, int64_t now_ms); /* one less; the last use was now */
void loader_entry_attach (loader_entry_t *self);
void loader_entry_detach (loader_entry_t *self, int64_t now_ms); /* a use, too */
void loader_entry_pin (loader_entry_t *self);
void loader_entry_unpin (loader_entry_t *self); /* no use: it may expire at once */
uint64_t loader_entry_bytes (const loader_entry_t *self);

/*  The owner takes the model out of the cache, whatever its state (its files changed, its device failed); no
 *  longer an entry, its bytes are KEPT until the owner says otherwise. */
void loader_entry_retire (loader_entry_t **self_p);

/*  By a person's wish; the attached go too, and drain. YARD_CONFLICT while it is leased or pinned. */
int loader_entry_evict (loader_entry_t **self_p, yard_error_t *error);
size_t loader_lru_empty (loader_lru_t *self); /* every idle one; how many */
/*  As for a load that needs so many bytes; all idle ones where that is not enough. How many. */
size_t loader_lru_free (loader_lru_t *self, uint64_t bytes);

size_t loader_lru_expire (loader_lru_t *self, int64_t now_ms); /* how many */
/*  When expire has work; LOADER_NO_EXPIRY. Looks at every entry. */
int64_t loader_lru_next_ms (const loader_lru_t *self);

typedef struct {
    size_t models;
    uint64_t hits, misses; /* leases of what was there; loads */
    uint64_t evictions, evicted_bytes; /* for whatever reason */
    uint64_t expired; /* part of evictions */
} loader_lru_numbers_t;
void loader_lru_numbers (const loader_lru_t *self, loader_lru_numbers_t *ret);

#endif
