// SPDX-License-Identifier: Apache-2.0
/*  spread_part.c - a queue of spreads, the first of which has the turn; and the way of that one
 *
 *  The model is loaded as any other is (loads.c), so whoever asks for it meanwhile shares the load. Only the fill is held: until the
 *  leader says who exchanges bytes, and until they have been exchanged. Nothing of a part waits for ever: the leader's end is told by
 *  the broker, and a group that stands still is given up after loader.spread_ms.
 */
#include "actors/loader/spread_part_inside.h"

#include "actors/ground/digest.h"
#include "actors/ground/fault.h"

#define QUEUE_MAX 16 /* spreads that wait for this device; more is a mistake of somebody's */

/*  --- the turn */

static void copy_text (char *to, size_t room, yard_string_t text)
{
    size_t size = text.size < room ? text.size : room - 1;
    memcpy (to, text.data, size);
    to [size] = 0;
}

static void answer_nothing (loader_part_t *self)
{
    nothing_t answer;
    yard_wire_init (nothing_type (), &answer);
    yard_reply (self->request, &answer);
    self->request = NULL;
}

static void give_turn (loader_parts_t *parts)
{
    loader_part_t *self = parts->first;
    if (!self || self->step != PART_WAITING)
        return;
    self->step = PART_TURN;
    (void) FAULT ("loader.spread_turn");
    answer_nothing (self);
}

/*  Ends it wherever it is. An open request is the caller's to answer. */
static void end_part (loader_part_t *self)
{
    loader_parts_t *parts = self->parts;
    loader_t *loader = parts->loader;
    loader_part_leave_group (self, true);
    if (self->waiter) {
        loader_loads_alone (self->waiter, self->good);
        loader_loads_forget (&self->waiter);
    }
    loader_reservation_cancel (&self->reservation);
    if (self->present)
        loader_tier_release (loader->tier, self->present);
    loader_model_drop (&self->present);
    free (self->load);
    loader_part_t **at = &parts->first;
    while (*at != self)
        at = &(*at)->next;
    *at = self->next;
    free (self);
    loader_tier_stir (loader->tier);
    give_turn (parts);
}

static void refuse (loader_part_t *self, const yard_error_t *error)
{
    if (self->request)
        yard_refuse_error (self->request, error);
    self->request = NULL;
    end_part (self);
}

/*  The runtime ended the leader's ask. Only of load.gather that is no end: the exchange has failed elsewhere. */
static void on_request_ended (void *actor_self, yard_request_t *request, void *argument, int code)
{
    (void) actor_self;
    (void) request;
    loader_part_t *self = argument;
    self->request = NULL;
    yard_error_t error = { 0 };
    if (self->step == PART_GATHERING && code == YARD_CANCELLED) {
        yard_error (&error, YARD_CANCELLED, "another device could not exchange bytes");
        loader_part_answer_gather (self, &error);
        return;
    }
    end_part (self);
}

void loader_part_keep (loader_part_t *self, yard_request_t *request)
{
    self->request = request;
    yard_request_keep (request, on_request_ended, self);
}

int loader_on_load_turn (loader_t *loader, yard_request_t *request, const load_turn_ask_t *ask)
{
    loader_parts_t *parts = loader->parts;
    loader_part_t **at = &parts->first;
    size_t count = 0;
    if (!loader_tier_is_device (loader->tier))
        return yard_error (yard_request_error (request), YARD_INVALID_MESSAGE,
                           "%s is no GPU; models are spread over GPUs", yard_actor_place (loader->actor));
    for (; *at; at = &(*at)->next)
        count++;
    if (count >= QUEUE_MAX)
        return yard_error (yard_request_error (request), YARD_BUSY,
                           "%zu spreads wait for %s, the limit; ask again when some have ended", count,
                           yard_actor_device (loader->actor));
    loader_part_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    *at = self;
    self->parts = parts;
    copy_text (self->spread, sizeof self->spread, ask->spread);
    copy_text (self->leader, sizeof self->leader, yard_request_from (request)->client);
    loader_part_keep (self, request);
    give_turn (parts);
    return 0;
}

/*  The part that has the turn, if it is this spread's, at this step, and nothing is asked of it now. */
int loader_part_find (loader_t *loader, yard_request_t *request, yard_string_t spread, part_step_t first,
                      part_step_t last, loader_part_t **ret)
{
    loader_part_t *self = loader->parts->first;
    if (!self || !yard_string_is (spread, self->spread) || self->step < first || self->step > last ||
        self->request)
        return yard_error (yard_request_error (request), YARD_CONFLICT,
                           "%s does not take this step of a spread now; ask load.spread anew",
                           yard_actor_place (loader->actor));
    *ret = self;
    return 0;
}

/*  --- joining */

/*  What devices must agree on before one takes another's bytes: the same files, which only their times tell from others of equal headers,
 *  and the same places. Numbers of file systems differ between containers that share them, so they do not count. */
static void write_agreement (const loader_part_t *self, const loader_model_t *model, char *ret)
{
    char hex [YARD_SHA256_HEX_SIZE];
    yard_sha256_t *sha256 = yard_sha256_new ();
    for (size_t at = 0; at < model->file_count; at++) {
        loader_identity_t identity = model->files [at].identity;
        identity.device = 0;
        yard_sha256_update (sha256, model->files [at].name, strlen (model->files [at].name) + 1);
        yard_sha256_update (sha256, &identity, sizeof identity);
    }
    if (self->mode == spread_mode_replicate)
        yard_sha256_update (sha256, model->plan.hash, strlen (model->plan.hash));
    yard_sha256_hex (sha256, hex);
    yard_sha256_destroy (&sha256);
    snprintf (ret, AGREEMENT_SIZE, "%.32s", hex);
}

/*  Of a model that is there: nobody should wait for room to give it to others. */
static bool is_full (const loader_t *loader)
{
    uint64_t evict;
    loader_verdict_t verdict = loader_tier_estimate (loader->tier, LOADER_GATHER_BYTES, 0, &evict);
    return verdict != LOADER_FITS_NOW && verdict != LOADER_FITS_EVICTING;
}

static void answer_join (loader_part_t *self, const loader_model_t *model)
{
    char agreement [AGREEMENT_SIZE];
    load_join_answer_t answer;
    self->step = PART_READY;
    write_agreement (self, model, agreement);
    yard_wire_init (load_join_answer_type (), &answer);
    answer.plan = yard_string (agreement);
    answer.present = self->present != NULL;
    answer.apart = self->present ? is_full (self->parts->loader) : loader_fill_is_apart (self->fill);
    answer.device_uuid = yard_string (loader_tier_about (self->parts->loader->tier)->uuid);
    (void) FAULT ("loader.spread_joined");
    yard_reply (self->request, &answer);
    self->request = NULL;
}

static void on_prepared (void *argument, loader_fill_t *fill)
{
    loader_part_t *self = argument;
    self->fill = fill;
    answer_join (self, loader_fill_model (fill));
}

/*  --- the end of the load, whoever filled it */

static void remember (loader_parts_t *parts, const char *spread, const char *lease)
{
    granted_t *granted = &parts->granted [parts->next_granted++ % GRANTED_MAX];
    memcpy (granted->spread, spread, sizeof granted->spread);
    snprintf (granted->lease, sizeof granted->lease, "%s", lease);
}

/*  The lease that was granted last is the youngest of the table. */
static void remember_lease (loader_part_t *self)
{
    const loader_lease_t *lease = NULL;
    for (size_t at = 0; loader_leases_next (self->parts->loader->leases, &at, &lease);)
        ;
    if (lease)
        remember (self->parts, self->spread, lease->id);
}

static void complete (loader_part_t *self, const loader_loaded_t *loaded)
{
    loader_t *loader = self->parts->loader;
    yard_error_t error = { 0 };
    int rc = loader_load_answer (self->load, loaded, &error);
    if (rc) {
        error.code = rc;
        loader_load_tell_failed (self->load, rc, error.text);
        refuse (self, &error);
    } else {
        self->request = NULL;
        remember_lease (self);
        end_part (self);
    }
    loader_leases_changed (loader);
}

static void on_loaded (void *argument, const loader_loaded_t *loaded)
{
    loader_part_t *self = argument;
    self->waiter = NULL;
    self->fill = NULL;
    if (loaded->code && self->request) {
        refuse (self, loaded->error);
    } else if (loaded->code) {
        self->error = *loaded->error;
    } else if (self->step == PART_COMPLETING) {
        complete (self, loaded);
    } else {
        self->present = loader_model_use (loaded->model);
        loader_tier_use (self->parts->loader->tier, loaded->model);
        answer_join (self, loaded->model);
    }
}

static void on_failed (void *argument)
{
    loader_part_t *self = argument;
    loader_part_leave_group (self, true);
    self->fill = NULL;
}

static void take_slices (loader_part_t *self, const load_join_ask_t *ask)
{
    loader_slices_t *slices = &self->slices;
    slices->rank = (unsigned) ask->rank;
    slices->ranks = (unsigned) ask->ranks;
    slices->count = ask->slices.count;
    for (size_t at = 0; at < slices->count; at++) {
        copy_text (slices->rows [at].pattern, LOADER_PATTERN_SIZE, ask->slices.items [at].pattern);
        slices->rows [at].axis = (uint32_t) ask->slices.items [at].axis;
    }
    loader_slices_name (slices);
}

int loader_on_load_join (loader_t *loader, yard_request_t *request, const load_join_ask_t *ask)
{
    loader_part_t *self;
    yard_error_t *error = yard_request_error (request);
    int rc = loader_part_find (loader, request, ask->spread, PART_TURN, PART_TURN, &self);
    if (rc == 0 && (!ask->as.has_config || ask->rank >= ask->ranks))
        rc = yard_error (error, YARD_INVALID_MESSAGE, "the record and a rank below ranks are needed here");
    if (rc)
        return rc;
    loader_part_keep (self, request);
    self->step = PART_JOINING;
    self->mode = ask->mode;
    self->sharing = (loader_fill_sharing_t){
        .prepared = on_prepared, .read_over = loader_part_read_over, .failed = on_failed, .argument = self
    };
    if (ask->mode == spread_mode_replicate && ask->ranks > 1) {
        self->sharing.ranks = ask->ranks;
        self->sharing.extra_bytes = LOADER_GATHER_BYTES;
    }
    const loader_load_t like = {
        .self = loader, .request = request, .ask = &ask->as, .config = (model_config_t *) &ask->as.config
    };
    loader_wish_t wish = loader_load_wish (&like);
    wish.form = load_form_device;
    wish.sharing = &self->sharing;
    if (ask->mode == spread_mode_shard) {
        take_slices (self, ask);
        wish.slices = &self->slices;
    }
    rc = loader_loads_want (loader->loads, &wish, on_loaded, self, &self->waiter, error);
    if (rc) {
        yard_error_t refusal = *error;
        refusal.code = rc;
        refuse (self, &refusal);
        return 0;
    }
    loader_load_tell (&like, &model_load_started_event, "");
    loader_progress_changed (loader);
    return 0;
}

/*  --- finishing */

static loader_load_t *new_load (loader_part_t *self, const load_complete_ask_t *ask)
{
    loader_load_t *load = calloc (1, sizeof *load);
    if (!load)
        abort ();
    self->parts->loader->load_count++;
    *load = (loader_load_t){ .self = self->parts->loader,
                             .op = LOADER_OP_LEASE,
                             .request = self->request,
                             .ask = &ask->as,
                             .config = (model_config_t *) &ask->as.config,
                             .form = load_form_device,
                             .began_ns = loader_now_ns (),
                             .record = { .name = "record" } };
    return load;
}

int loader_on_load_complete (loader_t *loader, yard_request_t *request, const load_complete_ask_t *ask)
{
    loader_part_t *self;
    int rc = loader_part_find (loader, request, ask->spread, PART_READY, PART_GATHERED, &self);
    if (rc)
        return rc;
    (void) FAULT ("loader.spread_complete");
    bool whole = self->step == PART_GATHERED && self->exchanged && !ask->alone;
    loader_part_keep (self, request);
    self->step = PART_COMPLETING;
    self->load = new_load (self, ask);
    loader_part_leave_group (self, !whole);
    loader_reservation_cancel (&self->reservation);
    if (self->error.code) {
        yard_error_t error = self->error;
        refuse (self, &error);
    } else if (self->present) {
        complete (self, &(loader_loaded_t){ .model = self->present, .shared = true });
    } else if (whole) {
        loader_fill_finish (self->fill);
    } else
        loader_loads_alone (self->waiter, self->good);
    return 0;
}

int loader_on_load_leave (loader_t *loader, yard_request_t *request, const load_leave_ask_t *ask)
{
    loader_parts_t *parts = loader->parts;
    loader_part_t *self = parts->first;
    loader_lease_t *lease;
    while (self && !yard_string_is (ask->spread, self->spread))
        self = self->next;
    yard_error_t error = { 0 };
    yard_error (&error, YARD_CANCELLED, "the spread was given up");
    if (self)
        refuse (self, &error);
    for (size_t at = 0; at < GRANTED_MAX; at++) {
        granted_t *granted = &parts->granted [at];
        if (!yard_string_is (ask->spread, granted->spread))
            continue;
        if (loader_leases_find (loader->leases, yard_string (granted->lease), &lease, NULL) == 0)
            loader_leases_end (loader->leases, lease, "the spread's asker has gone");
        *granted = (granted_t){ 0 };
    }
    loader_leases_changed (loader);
    nothing_t answer;
    yard_wire_init (nothing_type (), &answer);
    return yard_reply (request, &answer);
}

/*  --- life */

void loader_parts_leader_gone (loader_parts_t *self, const yard_string_t *client)
{
    for (loader_part_t *at = self->first, *next; at; at = next) {
        next = at->next;
        if (client && !yard_string_is (*client, at->leader))
            continue;
        yard_error_t error = { 0 };
        yard_error (&error, YARD_GONE, "the loader that led this spread has ended");
        refuse (at, &error);
    }
}

loader_parts_t *loader_parts_new (loader_t *loader)
{
    loader_parts_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->loader = loader;
    self->look = yard_timer_new (loader->actor, loader_part_look, self);
    return self;
}

void loader_parts_destroy (loader_parts_t **self_p)
{
    loader_parts_t *self = *self_p;
    if (!self)
        return;
    while (self->first) {
        self->first->request = NULL; /* the runtime has answered it */
        end_part (self->first);
    }
    yard_timer_destroy (&self->look);
    free (self);
    *self_p = NULL;
}
