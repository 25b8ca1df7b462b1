// SPDX-License-Identifier: Apache-2.0
/*  loader.c - models become memory that other processes map; one process per device, this one for the host
 *
 *  Promises: a leased model's bytes are the files' own, mapped by whoever attaches, never copied; its list of
 *  tensors is read once and handed out in a sealed memory file; a lease ends with its client, its time, or
 *  load.release, and an attachment with its connection. Refuses: files outside of the models directory,
 *  symlinks, files that break their format's rules, processes of other users.
 *
 *  Tour: load.c is the way of one ask; loads.c shares equal ones; opening.c, loader_safetensors.c and
 *  loader_folder.c do the disk's part on the pool; leases.c, attach.c and views.c are what a client then
 *  holds.
 */
#include "actors/loader/loader.h"

#define HOST "host" /* the one device of this build */
#define ROWS_MAX 256 /* load_list_answer.loads */
#define ORPHAN_MS \
    30000 /* a job's lease without a word has as long; who is attached keeps the memory, others load again */
#define SHORT_LEASE 8 /* digits of other people's leases that are shown: enough to tell them apart */

void loader_leases_changed (loader_t *self)
{
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
    yard_log_info ("lease.over", "lease=%.*s key=%s attachments=%zu why=%s", SHORT_LEASE, lease->id,
                   lease->key, lease->attachments, YARD_QUOTED (why));
}

static void on_lease_gone (void *argument, const loader_lease_t *lease)
{
    loader_t *self = argument;
    (void) lease;
    loader_loads_sweep (self->loads);
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

/*  --- load.release, load.list */

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

static load_row_t row_of (const loader_t *self, const loader_lease_t *lease, const from_t *from)
{
    bool yards = lease->owner [0] == 0;
    bool shown = yards || yard_string_is (from->client, lease->owner);
    return (load_row_t){ .lease = { lease->id, shown ? LOADER_LEASE_SIZE - 1 : SHORT_LEASE },
                         .key = yard_string (lease->key),
                         .name = yard_string (lease->name),
                         .submodel = yard_string (lease->submodel),
                         .device = yard_string (yard_actor_device (self->actor)),
                         .state = yard_string (lease->over ? "draining" : "leased"),
                         .owner = yard_string (yards ? "yard" : lease->owner),
                         .bytes = lease->model->bytes,
                         .attachments = lease->attachments,
                         .age_ms = (uint64_t) (yard_now_ms (self->actor) - lease->began_ms) };
}

static int on_load_list (loader_t *self, yard_request_t *request, const load_list_ask_t *ask)
{
    (void) ask;
    load_row_t rows [ROWS_MAX];
    load_list_answer_t answer;
    const loader_lease_t *lease;
    yard_wire_init (load_list_answer_type (), &answer);
    answer.loads.items = rows;
    for (size_t at = 0; loader_leases_next (self->leases, &at, &lease);)
        if (answer.loads.count < ROWS_MAX)
            rows [answer.loads.count++] = row_of (self, lease, yard_request_from (request));
        else
            answer.left_out++;
    return yard_reply (request, &answer);
}

/*  --- life
 *  ---------------------------------------------------------------------------------------------------------------- */

static int loader_open (void *argument, yard_actor_t *actor, yard_error_t *error)
{
    loader_t *self = argument;
    self->actor = actor;
    if (strcmp (yard_actor_device (actor), HOST) != 0)
        return yard_error (error, YARD_NOT_IMPLEMENTED,
                           "no loader for device %s in this build; start it for " HOST,
                           yard_actor_device (actor));
    const loader_lease_ends_t ends = { .over = on_lease_over, .gone = on_lease_gone, .argument = self };
    const loader_door_t door = { .enter = on_enter, .leave = on_leave, .argument = self };
    int rc = loader_registry_new (loader_kinds, &self->registry, error);
    if (rc == 0)
        rc = loader_views_open (&self->views, yard_actor_paths (actor)->run, error);
    if (rc == 0)
        rc = loader_attach_new (actor, &door, &self->attach, error);
    if (rc)
        return rc;
    self->loads = loader_loads_new (actor, self->registry);
    self->leases = loader_leases_new (yard_actor_configuration (actor)->loader.leases_max, &ends);
    self->lease_timer = yard_timer_new (actor, on_lease_time, NULL);
    return 0;
}

static void loader_welcomed (void *argument, bool new_epoch)
{
    loader_t *self = argument;
    if (!new_epoch)
        return;
    size_t count = loader_leases_orphan (self->leases, yard_now_ms (self->actor) + ORPHAN_MS);
    if (count == 0)
        return;
    yard_log_warning ("leases.orphaned", "leases=%zu ms=%d", count, ORPHAN_MS);
    loader_leases_changed (self);
}

static void loader_client_gone (void *argument, yard_string_t client)
{
    loader_t *self = argument;
    if (loader_leases_end_owner (self->leases, client) > 0)
        loader_leases_changed (self);
}

/*  Leases end with this process in any case; an attached client keeps its descriptors and mappings. */
static size_t loader_drain (void *argument)
{
    const loader_t *self = argument;
    return self->open_loads;
}

static void loader_close (void *argument)
{
    loader_t *self = argument;
    loader_attach_destroy (&self->attach);
    loader_leases_destroy (&self->leases);
    loader_loads_destroy (&self->loads);
    loader_registry_destroy (&self->registry);
    yard_timer_destroy (&self->lease_timer);
}

static const yard_route_t routes [] = {
    HANDLE (loader_t, load_model, loader_on_load_model),
    HANDLE (loader_t, load_release, on_load_release),
    HANDLE (loader_t, load_list, on_load_list),
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
