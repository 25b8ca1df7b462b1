// SPDX-License-Identifier: Apache-2.0
/*  loader.c - models become memory that other processes map; one process per device, the host being one
 *
 *  Promises: a mapped model's bytes are the files' own; a resident one's are read once, checked, and sealed; one on a GPU lies in one
 *  allocation; whoever attaches maps them, and nothing is copied for him. A lease ends with its client, its time, or load.release, and
 *  an attachment with its connection; bytes stay counted until then. Refuses: files outside of the models directory (but for load.path),
 *  symlinks, files that break their format's rules, processes of other users, more memory than its budget.
 *
 *  Tour: load.c is the way of one ask, load_answer.c its end; loads.c shares equal ones; opening.c and the loader_*.c files do the
 *  disk's part on the pool; tier.c and fill.c give a model memory, with ledger.c, lru.c, read.c and device_thread.c; leases.c, attach.c
 *  and views.c are what a client then holds. One model on several GPUs: spread_ask.c and spread.c lead, spread_part.c and
 *  spread_exchange.c are each device's part, spread_group.c speaks NCCL's language, spread_share.c and spread_slice.c do the sums.
 */
#include "actors/loader/spread_part.h"

#define ORPHAN_MS \
    30000 /* a job's lease without a word has as long; who is attached keeps the memory, others load again */

void loader_leases_changed (loader_t *self)
{
    loader_loads_sweep (self->loads);
    int64_t next = loader_leases_next_ms (self->leases);
    int64_t now = yard_now_ms (self->actor);
    yard_timer_set (self->lease_timer, next == LOADER_FOREVER ? -1 : next > now ? next - now : 0);
    char note [96];
    snprintf (note, sizeof note, "%zu leases of %zu models", loader_leases_count (self->leases),
              loader_loads_models (self->loads));
    yard_actor_note (self->actor, note);
}

static void on_lease_time (void *argument, void *unused)
{
    (void) unused;
    loader_t *self = argument;
    loader_leases_expire (self->leases, yard_now_ms (self->actor));
    loader_leases_changed (self);
}

static void on_lease_over (void *argument, const loader_lease_t *lease, const char *why)
{
    loader_t *self = argument;
    loader_views_remove (&self->views, lease->id);
    loader_lock_over (self, lease);
    yard_log_info ("lease.over", "lease=%.8s key=%s attachments=%zu why=%s", lease->id, lease->key,
                   lease->attachments, YARD_QUOTED (why));
}

static void on_lease_gone (void *argument, const loader_lease_t *lease)
{
    loader_t *self = argument;
    loader_tier_release (self->tier, lease->model);
}

/*  --- the attach door */

static int on_enter (void *argument, yard_string_t id, const loader_model_t **ret_model, void **ret_ticket,
                     yard_error_t *error)
{
    loader_t *self = argument;
    loader_lease_t *lease;
    int rc = loader_leases_find (self->leases, id, &lease, error);
    if (rc)
        return rc;
    loader_leases_attach (self->leases, lease);
    *ret_model = lease->model;
    *ret_ticket = lease;
    return 0;
}

static void on_leave (void *argument, void *ticket)
{
    loader_t *self = argument;
    loader_leases_detach (self->leases, ticket);
    loader_leases_changed (self);
}

/*  --- load.release */

static int on_load_release (loader_t *self, yard_request_t *request, const load_release_ask_t *ask)
{
    loader_lease_t *lease;
    int rc = loader_leases_find (self->leases, ask->lease, &lease, yard_request_error (request));
    if (rc)
        return rc;
    loader_leases_end (self->leases, lease, "released");
    loader_leases_changed (self);
    nothing_t answer;
    yard_wire_init (nothing_type (), &answer);
    return yard_reply (request, &answer);
}

/*  --- life
 *  ---------------------------------------------------------------------------------------------------------------- */

static int loader_open (void *argument, yard_actor_t *actor, yard_error_t *error)
{
    loader_t *self = argument;
    self->actor = actor;
    const loader_lease_ends_t ends = { .over = on_lease_over, .gone = on_lease_gone, .argument = self };
    const loader_door_t door = { .enter = on_enter, .leave = on_leave, .argument = self };
    int rc = loader_registry_new (loader_kinds, &self->registry, error);
    if (rc == 0)
        rc = loader_tier_new (actor, yard_actor_device (actor), loader_on_evicted, self, &self->tier, error);
    if (rc == 0)
        rc = loader_views_open (&self->views, yard_actor_paths (actor)->run, error);
    if (rc == 0)
        rc = loader_attach_new (actor, &door, &self->attach, error);
    if (rc)
        return rc;
    self->loads = loader_loads_new (actor, self->registry, self->tier);
    self->parts = loader_parts_new (self);
    self->leases = loader_leases_new (yard_actor_configuration (actor)->loader.leases_max, &ends);
    self->lease_timer = yard_timer_new (actor, on_lease_time, NULL);
    self->progress_timer = yard_timer_new (actor, loader_on_progress, NULL);
    return 0;
}

static void loader_welcomed (void *argument, bool new_epoch)
{
    loader_t *self = argument;
    if (!new_epoch)
        return;
    loader_remotes_welcomed (self);
    loader_parts_leader_gone (self->parts, NULL);
    loader_spreads_forget (self);
    size_t count = loader_leases_orphan (self->leases, yard_now_ms (self->actor) + ORPHAN_MS);
    if (count == 0)
        return;
    yard_log_warning ("leases.orphaned", "leases=%zu ms=%d", count, ORPHAN_MS);
    loader_leases_changed (self);
}

static void loader_client_gone (void *argument, yard_string_t client)
{
    loader_t *self = argument;
    loader_parts_leader_gone (self->parts, &client);
    loader_spreads_client_gone (self, client);
    if (loader_leases_end_owner (self->leases, client) > 0)
        loader_leases_changed (self);
}

/*  Leases end with this process in any case; an attached client keeps its descriptors and mappings. */
static size_t loader_drain (void *argument)
{
    loader_t *self = argument;
    loader_remotes_drain (self);
    return self->open_loads + loader_loads_under_way (self->loads);
}

static void loader_close (void *argument)
{
    loader_t *self = argument;
    loader_remotes_close (self);
    if (self->loads)
        loader_loads_cancel (self->loads);
    if (self->tier)
        loader_tier_close (self->tier);
    loader_attach_destroy (&self->attach); /* the last use of a model may end here, and the pool is closed */
    loader_parts_destroy (&self->parts);
    loader_leases_destroy (&self->leases);
    loader_loads_destroy (&self->loads);
    loader_tier_destroy (&self->tier);
    loader_spreads_close (self);
    loader_registry_destroy (&self->registry);
    yard_timer_destroy (&self->lease_timer);
    yard_timer_destroy (&self->progress_timer);
}

static const yard_route_t routes [] = {
    HANDLE (loader_t, load_model, loader_on_load_model),
    HANDLE (loader_t, load_path, loader_on_load_path),
    HANDLE (loader_t, load_remote, loader_on_load_remote),
    HANDLE (loader_t, load_prefetch, loader_on_load_prefetch),
    HANDLE (loader_t, load_estimate, loader_on_load_estimate),
    HANDLE (loader_t, load_spread, loader_on_load_spread),
    HANDLE (loader_t, load_turn, loader_on_load_turn),
    HANDLE (loader_t, load_join, loader_on_load_join),
    HANDLE (loader_t, load_gather, loader_on_load_gather),
    HANDLE (loader_t, load_complete, loader_on_load_complete),
    HANDLE (loader_t, load_leave, loader_on_load_leave),
    HANDLE (loader_t, load_lock, loader_on_load_lock),
    HANDLE (loader_t, load_release, on_load_release),
    HANDLE (loader_t, load_evict, loader_on_load_evict),
    HANDLE (loader_t, load_list, loader_on_load_list),
    HANDLE (loader_t, load_device, loader_on_load_device),
    { 0 },
};

const yard_actor_class_t loader_class = {
    .name = "loader",
    .size = sizeof (loader_t),
    .routes = routes,
    .placed = true,
    .open = loader_open,
    .welcomed = loader_welcomed,
    .client_gone = loader_client_gone,
    .drain = loader_drain,
    .close = loader_close,
};

YARD_ACTOR_MAIN (loader_class)
