// SPDX-License-Identifier: Apache-2.0
/*  installer.h - the installer's rooms to each other
 *
 *  The installer keeps no state that matters: every lease is one step of one install, its name in the job's
 *  row; what a step has made is on the disk or in the row. So a killed installer is replaced by a fresh one
 *  at any instruction.
 */
#ifndef YARD_INSTALLER_H
#define YARD_INSTALLER_H

#include <stdatomic.h>
#include "actors/runtime/actor.h"

#define INSTALLER_LEASES_MAX \
    4 /* steps at once: local copies and resolves side by side; probing and placing go one by one */

typedef struct installer_t installer_t;
typedef struct installer_lease_t installer_lease_t;

/*  One granted step, until it is handed on. */
struct installer_lease_t {
    installer_t *owner;
    yard_arena_t *arena; /* lives as long as the lease; job leans on it */
    job_t job;
    uint64_t token;
    const char *staging; /* <models>/.staging/<job> */
    bool revoked; /* told by the recorder: stop, say nothing */
    bool clean; /* revoked because it was cancelled: remove what was made */
    bool placing; /* holds the one turn of probe and place */
    bool waiting_turn; /* granted, waits for it */
    atomic_bool stop; /* read by the copying thread */
    _Atomic uint64_t bytes, total_bytes; /* progress, written by the copying thread */
    void *step; /* of the running step, in the arena */
};

struct installer_t {
    yard_actor_t *actor;
    char models [PATH_MAX];
    installer_lease_t *leases [INSTALLER_LEASES_MAX];
    uint64_t asked; /* the open job.lease, 0 = none */
    int64_t retry_ms; /* wait before the next job.lease after a failure */
    yard_timer_t *retry, *beat, *sweep, *again;
    struct installer_sync_t *sync; /* the running one, or NULL */
    bool synced; /* staging was looked through once: leasing may begin */
    size_t deleting; /* deletes under way: their folders in staging are not leftovers */
};

/*  --- leases.c: getting steps, keeping them, ending them */
void installer_lease_more (installer_t *self); /* opens job.lease if there is room */
size_t installer_leases_drain (installer_t *self);
void installer_leases_destroy (installer_t *self);
/*  Each of these ends the lease; with a revoked one nothing is said. */
void installer_lease_expand (installer_lease_t *lease, const job_expand_ask_t *ask);
void installer_lease_fail (installer_lease_t *lease, int code, bool again, const char *text);
void installer_lease_done (installer_lease_t *lease); /* the job has ended, or is another's: forget it */
void installer_lease_unheard (installer_lease_t *lease); /* … or nobody knows: it goes back to the queue */

/*  --- step_*.c: begin one; it ends in one of the three above */
void installer_step_resolve (installer_lease_t *lease);
void installer_step_probe (installer_lease_t *lease);
void installer_step_place (installer_lease_t *lease);

/*  --- staging.c: all of these block, for offload only */
const char *installer_staging_path (const installer_t *self, uint64_t job, yard_arena_t *arena);
/*  Is this the name of something unfinished: a part, a journal, a copy, a dot file? */
bool installer_staging_is_leftover (const char *name);
/*  The one finished file of a staging directory, or not_found; conflict if there are several. */
int installer_staging_file (const char *staging, yard_arena_t *arena, const char **ret_path,
                            uint64_t *ret_bytes, yard_error_t *error);
/*  Copies (reflink where the file system can, hard link if link) a regular file to staging/name, whole or not
 *  at all. */
int installer_staging_copy (const char *from, const char *staging, const char *name, bool link,
                            installer_lease_t *lease, yard_error_t *error);

/*  --- manifest.c: block too */
int installer_manifest_make (const char *folder, uint64_t job, const model_config_t *config,
                             atomic_bool *stop, yard_arena_t *arena, manifest_t *ret, yard_error_t *error);
int installer_manifest_write (const char *folder, const manifest_t *manifest, yard_error_t *error);
int installer_manifest_read (const char *folder, yard_arena_t *arena, manifest_t *ret, yard_error_t *error);
/*  Sizes and sha256 of all files are those of the manifest, else integrity. */
int installer_manifest_prove (const char *folder, const manifest_t *manifest, yard_arena_t *arena,
                              yard_error_t *error);

/*  --- import.c, queries.c, delete.c, sync.c: the handlers */
int installer_on_import (installer_t *self, yard_request_t *request, const install_import_ask_t *ask);
int installer_on_get (installer_t *self, yard_request_t *request, const install_get_ask_t *ask);
int installer_on_list (installer_t *self, yard_request_t *request, const install_list_ask_t *ask);
int installer_on_wait (installer_t *self, yard_request_t *request, const install_wait_ask_t *ask);
int installer_on_cancel (installer_t *self, yard_request_t *request, const install_cancel_ask_t *ask);
int installer_on_delete (installer_t *self, yard_request_t *request, const install_delete_ask_t *ask);
/*  <models>/<base>/<type>/<name> that a record's path lies in or is; NULL for any other path. */
const char *installer_model_folder (const installer_t *self, yard_string_t path, bool *ret_inside,
                                    yard_arena_t *arena);
int installer_on_sync (installer_t *self, yard_request_t *request, const install_sync_ask_t *ask);
void installer_sync_begin (installer_t *self); /* the whole, as at start */
void installer_sync_stop (installer_t *self); /* its walk ends soon, and it with it */
void installer_sync_destroy (installer_t *self); /* one that was cut by the end */
void installer_sweep_staging (installer_t *self); /* only staging directories of ended jobs */
void installer_describe (const job_t *job, install_job_t *ret); /* R2.5 from the row; borrows its strings */

#define INSTALLER_MANIFEST_NAME ".modelyard.json"

#endif
