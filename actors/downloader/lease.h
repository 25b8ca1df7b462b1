// SPDX-License-Identifier: Apache-2.0
/*  lease.h - one job that this member holds: its transfer, and its last word to the recorder
 *
 *  Invariants: the last word (job.finish, job.fail or job.release) is repeated until the recorder has answered it, since the same token gets the
 *  same answer; a revoked lease ends without one. `over` runs once, last, never from inside downloader_lease_new.
 */
#ifndef YARD_DOWNLOADER_LEASE_H
#define YARD_DOWNLOADER_LEASE_H

#include "transfer.h"

typedef struct downloader_lease_t downloader_lease_t;
typedef void (downloader_lease_fn) (void *argument, downloader_lease_t *lease);

downloader_lease_t *downloader_lease_new (yard_actor_t *actor, downloader_fetch_t *fetch,
                                          const job_grant_t *grant, downloader_lease_fn *over,
                                          void *argument);
void downloader_lease_destroy (downloader_lease_t **self_p);

/*  The recorder took it back: why is job_revoked's. Cancelled: what was fetched is removed; otherwise it stays. */
void downloader_lease_revoke (downloader_lease_t *self, yard_string_t why);
/*  Hands it back unharmed. */
void downloader_lease_release (downloader_lease_t *self);

uint64_t downloader_lease_job (const downloader_lease_t *self);
uint64_t downloader_lease_token (const downloader_lease_t *self);
uint64_t downloader_lease_bytes (const downloader_lease_t *self);
/*  What job.extend tells of it. false: its last word is under way, nothing more to tell. */
bool downloader_lease_progress (const downloader_lease_t *self, job_progress_t *ret_progress);

#endif
