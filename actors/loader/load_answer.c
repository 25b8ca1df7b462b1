// SPDX-License-Identifier: Apache-2.0
/*  load_answer.c - what the asker of a load gets: a lease, a word, or an estimate; and what everybody hears
 */
#include <fcntl.h>
#include "actors/ground/fault.h"
#include "actors/loader/loader.h"

/*  --- events */

static const load_context_t *context_of (const loader_load_t *load, load_context_t *room)
{
    yard_wire_init (load_context_type (), room);
    return load->ask->has_context ? &load->ask->context : room;
}

static yard_string_t part_of (const loader_load_t *load)
{
    return load->ask->has_submodel ? load->ask->submodel : yard_string ("");
}

static void publish (const loader_load_t *load, const yard_event_t *event, const void *body)
{
    char key [LOADER_KEY_SIZE];
    snprintf (key, sizeof key, "%.*s", YARD_VIEW (load->config->key));
    yard_publish (load->self->actor, event, key, body);
}

void loader_load_tell (const loader_load_t *load, const yard_event_t *event, const char *precision)
{
    load_context_t none;
    const load_context_t *context = context_of (load, &none);
    load_told_t told;
    yard_wire_init (load_told_type (), &told);
    told.queue_id = context->queue_id;
    told.queue_item_id = context->queue_item_id;
    told.queue_batch_id = context->queue_batch_id;
    told.graph_execution_state_id = context->graph_execution_state_id;
    told.model_key = load->config->key;
    told.submodel_type = part_of (load);
    told.hash = load->config->hash;
    told.location = load->config->path;
    told.precision = yard_string (precision);
    told.timestamp = (double) yard_wall_ms (load->self->actor) / 1000;
    publish (load, event, &told);
}

void loader_load_tell_failed (const loader_load_t *load, int code, const char *text)
{
    load_context_t none;
    const load_context_t *context = context_of (load, &none);
    load_failed_t failed;
    yard_wire_init (load_failed_type (), &failed);
    failed.queue_id = context->queue_id;
    failed.queue_item_id = context->queue_item_id;
    failed.queue_batch_id = context->queue_batch_id;
    failed.graph_execution_state_id = context->graph_execution_state_id;
    failed.model_key = load->config->key;
    failed.submodel_type = part_of (load);
    failed.error_type = yard_string (yard_error_row (code)->word);
    failed.error = yard_string (text);
    failed.timestamp = (double) yard_wall_ms (load->self->actor) / 1000;
    publish (load, &model_load_failed_event, &failed);
}

/*  --- a lease */

static void copy_view (char *to, size_t room, yard_string_t text)
{
    size_t size = text.size < room ? text.size : room - 1;
    memcpy (to, text.data, size);
    to [size] = 0;
}

static int grant (const loader_load_t *load, loader_model_t *model, const loader_lease_t **ret,
                  yard_error_t *error)
{
    loader_t *self = load->self;
    const meta_t *meta = yard_request_meta (load->request);
    int64_t now = yard_now_ms (self->actor);
    loader_lease_t wish = { .model = model,
                            .began_ms = now,
                            .ends_ms =
                                meta->has_ttl_s ? now + (int64_t) meta->ttl_s * 1000 : LOADER_FOREVER };
    if (!load->ask->keep)
        copy_view (wish.owner, sizeof wish.owner, yard_request_from (load->request)->client);
    copy_view (wish.key, sizeof wish.key, load->config->key);
    copy_view (wish.name, sizeof wish.name, load->config->name);
    copy_view (wish.submodel, sizeof wish.submodel, part_of (load));
    int rc = loader_leases_grant (self->leases, &wish, yard_actor_random (self->actor), ret, error);
    if (rc == 0)
        loader_tier_use (self->tier, model);
    return rc;
}

static void fill_regions (load_model_answer_t *answer, const loader_model_t *model, yard_arena_t *arena)
{
    size_t count = loader_model_regions (model);
    answer->regions.items = yard_arena_alloc (arena, count * sizeof *answer->regions.items);
    if (!answer->regions.items)
        return; /* then the answer breaks its own bounds and is refused as such */
    answer->regions.count = count;
    if (model->form == load_form_device) {
        answer->regions.items [0] = (load_region_t){ yard_string (model->device_name), model->bytes };
        return;
    }
    for (size_t at = 0; at < count; at++)
        answer->regions.items [at] =
            (load_region_t){ yard_string (model->files [at].name), model->files [at].given.bytes };
}

static void add_phase (load_model_answer_t *answer, const loader_phase_t *phase)
{
    answer->phases.items [answer->phases.count++] =
        (load_phase_t){ .name = yard_string (phase->name), .us = phase->us };
}

/*  The runtime would refuse an answer that breaks its bounds (a file's name that is no text, found through a symlink), and the lease
 *  would be nobody's. */
static int check_answer (const load_model_answer_t *answer, yard_error_t *error)
{
    yard_buffer_t bytes;
    yard_buffer_init (&bytes, YARD_MESSAGE_MAX);
    int rc = yard_wire_pack (load_model_answer_type (), answer, &bytes, error);
    yard_buffer_clear (&bytes);
    return rc;
}

static void granted (loader_load_t *load, const loader_loaded_t *loaded, const loader_lease_t *lease)
{
    load->self->hit_count += loaded->shared;
    yard_log_info ("lease.granted", "lease=%.8s key=%s submodel=%s owner=%s shared=%d", lease->id, lease->key,
                   YARD_QUOTED (lease->submodel), lease->owner [0] ? lease->owner : "yard",
                   (int) loaded->shared);
    loader_load_tell (load, &model_load_completed_event, loaded->model->precision);
}

/*  With a code nothing was answered. */
static int answer_lease (loader_load_t *load, const loader_loaded_t *loaded, const loader_lease_t *lease,
                         const char *view, int64_t lease_began_ns, yard_error_t *error)
{
    const loader_t *self = load->self;
    const loader_model_t *model = loaded->model;
    load_phase_t phases [2 * LOADER_PHASES_MAX + 2];
    load_model_answer_t answer;
    yard_wire_init (load_model_answer_type (), &answer);
    answer.lease = yard_string (lease->id);
    answer.config = *load->config;
    answer.place = yard_string (yard_actor_place (self->actor));
    answer.device = yard_string (yard_actor_device (self->actor));
    answer.form = model->form;
    answer.device_uuid = yard_string (model->device_uuid);
    answer.plan = yard_string (model->plan.hash);
    answer.locked = model->locked;
    answer.checked_bytes = model->checked_bytes;
    fill_regions (&answer, model, yard_request_arena (load->request));
    answer.tensors = model->tensors;
    answer.directory_bytes = model->directory_bytes;
    answer.attach = yard_string (loader_attach_path (self->attach));
    answer.view = yard_string (view);
    answer.shared = loaded->shared;
    answer.phases.items = phases;
    add_phase (&answer, &load->record);
    for (size_t at = 0; at < loaded->phase_count && at < 2 * LOADER_PHASES_MAX; at++)
        add_phase (&answer, &loaded->phases [at]);
    add_phase (&answer, &(loader_phase_t){ "lease", loader_microseconds_since (lease_began_ns) });
    answer.took_us = loader_microseconds_since (load->began_ns);
    int rc = check_answer (&answer, error);
    if (rc)
        return rc;
    granted (load, loaded, lease);
    return yard_reply (load->request, &answer);
}

static int lease (loader_load_t *load, const loader_loaded_t *loaded, yard_error_t *error)
{
    loader_t *self = load->self;
    const loader_lease_t *lease;
    char view [PATH_MAX];
    int64_t lease_began_ns = loader_now_ns ();
    int rc = grant (load, loaded->model, &lease, error);
    if (rc)
        return rc;
    view [0] = 0;
    if (loaded->model->form != load_form_device) /* there are no files to be opened by a path */
        rc = loader_views_add (&self->views, lease->id, loaded->model, view, error);
    if (rc == 0 && FAULT ("loader.after_lease"))
        rc = yard_error (error, YARD_INTERNAL, "a test broke this load after its lease");
    if (rc == 0)
        rc = answer_lease (load, loaded, lease, view, lease_began_ns, error);
    loader_lease_t *row;
    if (rc && loader_leases_find (self->leases, yard_string (lease->id), &row, NULL) == 0)
        loader_leases_end (self->leases, row, error->text);
    return rc;
}

/*  --- a word, an estimate */

/*  On a pool thread: the kernel begins to read the files into its page cache. */
static void read_ahead (void *argument)
{
    const loader_model_t *model = argument;
    for (size_t at = 0; at < model->file_count; at++)
        posix_fadvise (model->files [at].fd, 0, 0, POSIX_FADV_WILLNEED);
}

static void read_ahead_begun (void *actor_self, void *argument)
{
    loader_t *self = actor_self;
    loader_model_t *model = argument;
    loader_model_drop (&model);
    loader_loads_sweep (self->loads);
}

/*  A mapped model has no memory of its own to be in; its files come into the page cache, and the answer does not wait for that. */
static int prefetched (loader_load_t *load, const loader_loaded_t *loaded, yard_error_t *error)
{
    (void) error;
    if (loaded->model->form == load_form_mapped)
        yard_offload (load->self->actor, read_ahead, read_ahead_begun, loader_model_use (loaded->model));
    load_prefetch_answer_t answer;
    yard_wire_init (load_prefetch_answer_type (), &answer);
    answer.bytes = loaded->model->bytes;
    answer.shared = loaded->shared;
    answer.took_us = loader_microseconds_since (load->began_ns);
    return yard_reply (load->request, &answer);
}

static load_fit_t fit_of (const loader_t *self, uint64_t bytes, int priority, uint64_t *ret_evict)
{
    static const load_fit_t fits [] = {
        [LOADER_FITS_NOW] = load_fit_now,
        [LOADER_FITS_EVICTING] = load_fit_evicting,
        [LOADER_MUST_WAIT] = load_fit_waiting,
        [LOADER_NEVER_FITS] = load_fit_never,
    };
    return fits [loader_tier_estimate (self->tier, bytes, priority, ret_evict)];
}

static int estimated (loader_load_t *load, const loader_loaded_t *loaded, yard_error_t *error)
{
    (void) error;
    load_estimate_answer_t answer;
    yard_wire_init (load_estimate_answer_type (), &answer);
    answer.fit = load_fit_now;
    if (loaded->shared)
        answer.fit = load_fit_loaded;
    else if (load->form != load_form_mapped) {
        answer.bytes = loader_tier_need (load->self->tier, loaded->model);
        answer.fit = fit_of (load->self, answer.bytes, (int) load->ask->priority, &answer.evict_bytes);
    }
    answer.tensors = loaded->model->tensors;
    answer.precision = yard_string (loaded->model->precision);
    return yard_reply (load->request, &answer);
}

/*  --- */

/*  Tensors come as they are in the files, until there is a converter. */
static int check_precision (const loader_load_t *load, const loader_model_t *model, yard_error_t *error)
{
    const load_model_ask_t *ask = load->ask;
    yard_string_t wished =
        ask->has_precision ? ask->precision : yard_actor_configuration (load->self->actor)->loader.precision;
    if (wished.size == 0 || model->precision [0] == 0 || yard_string_is (wished, model->precision))
        return 0;
    return yard_error (
        error, YARD_NOT_IMPLEMENTED,
        "the files of %.*s are %s, and nothing converts to %.*s yet; load without a precision, or take "
        "a variant that has it",
        YARD_VIEW (load->config->name), model->precision, YARD_VIEW (wished));
}

int loader_load_answer (loader_load_t *load, const loader_loaded_t *loaded, yard_error_t *error)
{
    static int (*const answers []) (loader_load_t *, const loader_loaded_t *, yard_error_t *) = {
        [LOADER_OP_LEASE] = lease,
        [LOADER_OP_PREFETCH] = prefetched,
        [LOADER_OP_ESTIMATE] = estimated,
    };
    int rc = check_precision (load, loaded->model, error);
    return rc ? rc : answers [load->op](load, loaded, error);
}
