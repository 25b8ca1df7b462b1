// SPDX-License-Identifier: Apache-2.0
/*  leases.h - who holds which loaded model, and until when
 *
 *  A lease is 32 hex digits drawn by us; who knows them may attach and release. It ends with its owner (a
 *  client's connection), at its time, or by load.release; one that is the yard's has no owner to end with. A
 *  lease that is over takes no new attachment, and stays in the list as draining until its last attachment is
 *  closed; then it is gone, and so is its use of the model.
 *
 *  Invariants: holds at most max leases, draining ones included; `over` is told once for each lease, then
 *  `gone` once, both before the call returns that caused them; inside `gone` it still uses the model, after it
 *  the use ends and the lease is freed.
 */
#ifndef LOADER_LEASES_H
#define LOADER_LEASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "actors/ground/error.h"
#include "actors/ground/random.h"
#include "actors/ground/view.h"
#include "actors/loader/model.h"

#define LOADER_LEASE_SIZE 33 /* 32 hex digits and the 0 */
#define LOADER_OWNER_SIZE 65 /* from.client */
#define LOADER_NAME_SIZE 256 /* model_config.name */
#define LOADER_KEY_SIZE 33 /* model_config.key */
#define LOADER_FOREVER INT64_MAX
#define LOADER_ORPHAN "?" /* in place of the owner's name: no client of a broker is called so */

typedef struct {
    char id [LOADER_LEASE_SIZE];
    char owner [LOADER_OWNER_SIZE]; /* empty: the yard */
    char key [LOADER_KEY_SIZE], name [LOADER_NAME_SIZE], submodel [LOADER_OWNER_SIZE];
    char
        state [LOADER_LEASE_SIZE]; /* the host's lease of the same model's state dict (lock.c); empty: none */
    loader_model_t *model; /* used once by this lease */
    int64_t began_ms, ends_ms; /* monotonic; LOADER_FOREVER */
    size_t attachments;
    bool over;
} loader_lease_t;

typedef struct {
    void (*over) (void *argument, const loader_lease_t *lease, const char *why);
    void (*gone) (void *argument, const loader_lease_t *lease);
    void *argument;
} loader_lease_ends_t;

typedef struct loader_leases_t loader_leases_t;

loader_leases_t *loader_leases_new (size_t max, const loader_lease_ends_t *ends);
/*  ends all, tells all; attachments are to be closed before */
void loader_leases_destroy (loader_leases_t **self_p);

/*  What is granted; id, attachments and over are the table's own and need not be set. Uses the model once
 *  more. YARD_BUSY at max. */
int loader_leases_grant (loader_leases_t *self, const loader_lease_t *grant, yard_random_t *random,
                         const loader_lease_t **ret, yard_error_t *error);

/*  By its whole id; YARD_UNKNOWN_LEASE for none and for one that is over. */
int loader_leases_find (const loader_leases_t *self, yard_string_t id, loader_lease_t **ret,
                        yard_error_t *error);

void loader_leases_end (loader_leases_t *self, loader_lease_t *lease, const char *why);
size_t loader_leases_end_owner (loader_leases_t *self, yard_string_t owner); /* how many */
size_t loader_leases_expire (loader_leases_t *self, int64_t now_ms); /* how many */
/*  Another broker numbers its clients anew: owners of before are nobody's names any more, and nobody will
 *  tell us of their ends. Their leases end at ends_ms, or at their own earlier time; the yard's stay. How
 *  many. */
size_t loader_leases_orphan (loader_leases_t *self, int64_t ends_ms);
int64_t loader_leases_next_ms (const loader_leases_t *self); /* when expire has work; LOADER_FOREVER */

void loader_leases_attach (loader_leases_t *self, loader_lease_t *lease);
void loader_leases_detach (loader_leases_t *self, loader_lease_t *lease);

size_t loader_leases_count (const loader_leases_t *self);
/*  Oldest first: for (size_t at = 0; loader_leases_next (self, &at, &lease);) */
bool loader_leases_next (const loader_leases_t *self, size_t *at, const loader_lease_t **ret);

#endif
