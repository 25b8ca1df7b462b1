// SPDX-License-Identifier: Apache-2.0
/*  load.c - one load.model: record, files, lease, answer
 *
 *  A load_t lives from the ask to the later of two ends: that of the request (which the runtime may end:
 *  deadline, asker gone) and that of what it waits for. So each of the two clears its own side, and the last
 *  frees.
 */
#include "actors/ground/fault.h"
#include "actors/loader/loader.h"

#define RECORD_DEADLINE_MS 10000 /* of record.get and record.search */
#define ONE_AND_ONE_MORE 2 /* rows that tell one model from several */

typedef struct {
    loader_t *self;
    yard_request_t *request; /* NULL once it has ended */
    const load_model_ask_t *ask;
    model_config_t *config; /* in the request's arena */
    uint64_t asked; /* of the recorder; 0 when not waiting for it */
    loader_waiter_t *waiter; /* of loads.c; NULL when not waiting for it */
    int64_t began_ns;
    loader_phase_t record;
} load_t;

static int64_t now_ns (void)
{
    const yard_clock_t *clock = yard_clock_system (); /* durations for people; nothing decides by them */
    return clock->monotonic_ns (clock->context);
}

static uint64_t microseconds_since (int64_t ns)
{
    return (uint64_t) (now_ns () - ns) / 1000;
}

/*  The request is answered, by us or by the runtime. */
static void end_request (load_t *load)
{
    load->request = NULL;
    load->self->open_loads--;
}

static void refuse (load_t *load, int code, const char *text)
{
    yard_refuse (load->request, code, "%s", text);
    end_request (load);
    free (load);
}

/*  --- the answer
 *  ---------------------------------------------------------------------------------------------------------- */

static void tell (const load_t *load, const yard_event_t *event, const char *precision)
{
    const load_model_ask_t *ask = load->ask;
    char key [LOADER_KEY_SIZE];
    load_context_t none;
    yard_wire_init (load_context_type (), &none);
    const load_context_t *context = ask->has_context ? &ask->context : &none;
    load_told_t told;
    yard_wire_init (load_told_type (), &told);
    told.queue_id = context->queue_id;
    told.queue_item_id = context->queue_item_id;
    told.queue_batch_id = context->queue_batch_id;
    told.graph_execution_state_id = context->graph_execution_state_id;
    told.model_key = load->config->key;
    told.submodel_type = ask->has_submodel ? ask->submodel : yard_string ("");
    told.hash = load->config->hash;
    told.location = load->config->path;
    told.precision = yard_string (precision);
    told.timestamp = (double) yard_wall_ms (load->self->actor) / 1000;
    snprintf (key, sizeof key, "%.*s", YARD_VIEW (load->config->key));
    yard_publish (load->self->actor, event, key, &told);
}

static void copy_view (char *to, size_t room, yard_string_t text)
{
    size_t size = text.size < room ? text.size : room - 1;
    memcpy (to, text.data, size);
    to [size] = 0;
}

static int grant (const load_t *load, loader_model_t *model, const loader_lease_t **ret, yard_error_t *error)
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
    if (load->ask->has_submodel)
        copy_view (wish.submodel, sizeof wish.submodel, load->ask->submodel);
    return loader_leases_grant (self->leases, &wish, yard_actor_random (self->actor), ret, error);
}

static void fill_regions (load_model_answer_t *answer, const loader_model_t *model, yard_arena_t *arena)
{
    answer->regions.items = yard_arena_alloc (arena, model->file_count * sizeof *answer->regions.items);
    if (!answer->regions.items)
        return; /* then the answer breaks its own bounds and is refused as such */
    answer->regions.count = model->file_count;
    for (size_t at = 0; at < model->file_count; at++)
        answer->regions.items [at] = (load_region_t){ .name = yard_string (model->files [at].name),
                                                      .bytes = model->files [at].identity.bytes };
}

static void add_phase (load_model_answer_t *answer, const loader_phase_t *phase)
{
    answer->phases.items [answer->phases.count++] =
        (load_phase_t){ .name = yard_string (phase->name), .us = phase->us };
}

static void answer_with (load_t *load, const loader_loaded_t *loaded, const loader_lease_t *lease,
                         const char *view, int64_t lease_began_ns)
{
    const loader_t *self = load->self;
    load_phase_t phases [LOADER_PHASES_MAX + 2];
    load_model_answer_t answer;
    yard_wire_init (load_model_answer_type (), &answer);
    answer.lease = yard_string (lease->id);
    answer.config = *load->config;
    answer.place = yard_string (yard_actor_place (self->actor));
    answer.device = yard_string (yard_actor_device (self->actor));
    answer.form = yard_string (LOADER_FORM);
    fill_regions (&answer, loaded->model, yard_request_arena (load->request));
    answer.tensors = loaded->model->tensors;
    answer.directory_bytes = loaded->model->directory_bytes;
    answer.attach = yard_string (loader_attach_path (self->attach));
    answer.view = yard_string (view);
    answer.shared = loaded->shared;
    answer.phases.items = phases;
    add_phase (&answer, &load->record);
    for (size_t at = 0; at < loaded->phase_count; at++)
        add_phase (&answer, &loaded->phases [at]);
    add_phase (&answer, &(loader_phase_t){ "lease", microseconds_since (lease_began_ns) });
    answer.took_us = microseconds_since (load->began_ns);
    yard_reply (load->request, &answer);
}

static void on_loaded (void *argument, const loader_loaded_t *loaded)
{
    load_t *load = argument;
    loader_t *self = load->self;
    yard_error_t error = { 0 };
    const loader_lease_t *lease;
    char view [PATH_MAX];
    load->waiter = NULL;
    if (loaded->code) {
        refuse (load, loaded->code, loaded->error->text);
        return;
    }
    int64_t lease_began_ns = now_ns ();
    int rc = grant (load, loaded->model, &lease, &error);
    if (rc) {
        refuse (load, rc, error.text);
        return;
    }
    rc = loader_views_add (&self->views, lease->id, loaded->model, view, &error);
    if (rc == 0 && FAULT ("loader.after_lease"))
        rc = yard_error (&error, YARD_INTERNAL, "a test broke this load after its lease");
    if (rc) {
        loader_lease_t *granted;
        if (loader_leases_find (self->leases, yard_string (lease->id), &granted, NULL) == 0)
            loader_leases_end (self->leases, granted, error.text);
        refuse (load, rc, error.text);
        return;
    }
    yard_log_info ("lease.granted", "lease=%.8s key=%s submodel=%s owner=%s shared=%d", lease->id, lease->key,
                   YARD_QUOTED (lease->submodel), lease->owner [0] ? lease->owner : "yard",
                   (int) loaded->shared);
    tell (load, &model_load_completed_event, loaded->model->precision);
    answer_with (load, loaded, lease, view, lease_began_ns);
    end_request (load);
    free (load);
    loader_leases_changed (self);
}

/*  --- from the record to the files */

/*  May this model be loaded by this part, or without one? */
static int check_part (const load_model_ask_t *ask, const model_config_t *config, yard_error_t *error)
{
    bool main_model = config->type == model_type_main;
    if (!main_model && ask->has_submodel)
        return yard_error (error, YARD_NO_SUBMODEL, "%.*s is a %s and has no parts; load it without submodel",
                           YARD_VIEW (config->name), yard_wire_word (model_type_type (), (int) config->type));
    if (main_model && ask->has_submodel && ask->whole)
        return yard_error (error, YARD_INVALID_MESSAGE,
                           "whole: true and a submodel exclude each other; give one");
    if (main_model && !ask->has_submodel && !ask->whole)
        return yard_error (
            error, YARD_SUBMODEL_NEEDED,
            "%.*s is a main model; name the submodel to load (unet, vae, text_encoder …), or whole: true",
            YARD_VIEW (config->name));
    return 0;
}

static void go_on_with (load_t *load, const model_config_t *config)
{
    yard_arena_t *arena = yard_request_arena (load->request);
    yard_error_t error = { 0 };
    const load_model_ask_t *ask = load->ask;
    load->record = (loader_phase_t){ "record", microseconds_since (load->began_ns) };
    load->config = yard_arena_alloc (arena, sizeof *load->config);
    int rc = load->config ? 0 : yard_error (&error, YARD_TOO_LARGE, "no room for the record");
    if (rc == 0) {
        yard_wire_copy (model_config_type (), config, arena, load->config);
        rc = check_part (ask, load->config, &error);
    }
    if (rc == 0)
        rc = loader_loads_want (load->self->loads, load->config,
                                ask->has_submodel ? ask->submodel : yard_string (""), on_loaded, load,
                                &load->waiter, &error);
    if (rc)
        refuse (load, rc, error.text);
    else
        tell (load, &model_load_started_event, "");
}

/*  The recorder's word, or NULL when the load is over: then it has been freed. */
static const void *hear (load_t *load, const yard_outcome_t *outcome)
{
    load->asked = 0;
    if (!load->request) {
        free (load);
        return NULL;
    }
    if (outcome->code)
        refuse (load, outcome->code,
                outcome->text ? outcome->text : "the recorder did not answer; try again");
    return outcome->code ? NULL : outcome->answer;
}

static void on_record (void *actor_self, void *argument, const yard_outcome_t *outcome)
{
    (void) actor_self;
    const record_get_answer_t *answer = hear (argument, outcome);
    if (answer)
        go_on_with (argument, &answer->config);
}

static void on_records (void *actor_self, void *argument, const yard_outcome_t *outcome)
{
    (void) actor_self;
    const record_search_answer_t *answer = hear (argument, outcome);
    if (!answer)
        return;
    if (answer->records.count == 1)
        go_on_with (argument, &answer->records.items [0].config);
    else if (answer->records.count == 0)
        refuse (argument, YARD_UNKNOWN_MODEL,
                "no model has these attributes; record.search shows what there is");
    else
        refuse (argument, YARD_AMBIGUOUS_MODEL,
                "several models have these attributes; give more of name, base and type, or the key");
}

static void ask_for_record (load_t *load)
{
    const load_model_ask_t *ask = load->ask;
    int64_t left = yard_request_left_ms (load->request);
    const yard_ask_options_t options = { .deadline_ms =
                                             left < RECORD_DEADLINE_MS ? left : RECORD_DEADLINE_MS };
    if (ask->has_key) {
        const record_key_t key = { .key = ask->key };
        load->asked = yard_ask (load->self->actor, &record_get_method, &key, &options, on_record, load);
        return;
    }
    record_search_ask_t search;
    yard_wire_init (record_search_ask_type (), &search);
    search.has_name = ask->has_name;
    search.name = ask->name;
    search.has_base = ask->has_base;
    search.base = ask->base;
    search.has_type = ask->has_type;
    search.type = ask->type;
    search.limit = ONE_AND_ONE_MORE;
    load->asked = yard_ask (load->self->actor, &record_search_method, &search, &options, on_records, load);
}

/*  --- the ask
 *  ------------------------------------------------------------------------------------------------------------- */

/*  The runtime ended the request: nobody wants the load any more. */
static void on_request_ended (void *actor_self, yard_request_t *request, void *argument, int code)
{
    (void) actor_self;
    (void) request;
    (void) code;
    load_t *load = argument;
    end_request (load);
    if (load->waiter) {
        loader_loads_forget (&load->waiter);
        free (load);
    } else {
        yard_withdraw (load->self->actor, load->asked); /* its handler frees */
    }
}

static int wrong_place (const loader_t *self, yard_request_t *request, const load_model_ask_t *ask)
{
    char *place = yard_arena_printf (yard_request_arena (request), "loader/%s/%.*s",
                                     yard_actor_node (self->actor), YARD_VIEW (ask->device));
    char *text = yard_arena_printf (yard_request_arena (request), "%s serves %s; ask load.model@%s",
                                    yard_actor_place (self->actor), yard_actor_device (self->actor),
                                    place ? place : "that place");
    failure_t failure;
    yard_wire_init (failure_type (), &failure);
    failure.code = yard_string (yard_error_row (YARD_WRONG_PLACE)->word);
    failure.text = yard_string (text ? text : "");
    failure.has_place = place != NULL;
    failure.place = yard_string (place);
    return yard_refuse_failure (request, &failure);
}

int loader_on_load_model (loader_t *self, yard_request_t *request, const load_model_ask_t *ask)
{
    const from_t *from = yard_request_from (request);
    if (ask->device.size > 0 && !yard_string_is (ask->device, yard_actor_device (self->actor)))
        return wrong_place (self, request, ask);
    if (!ask->has_key && !ask->has_name && !ask->has_base && !ask->has_type)
        return yard_refuse (request, YARD_INVALID_MESSAGE,
                            "which model? Give its key, or its name, base or type");
    if (!from->hello && !ask->keep && !yard_request_meta (request)->has_ttl_s)
        return yard_refuse (
            request, YARD_INVALID_MESSAGE,
            "without a hello the end of this client cannot be seen; say hello, put ttl_s into meta, or "
            "keep: true");
    load_t *load = calloc (1, sizeof *load);
    if (!load)
        abort ();
    *load = (load_t){ .self = self, .request = request, .ask = ask, .began_ns = now_ns () };
    self->open_loads++;
    yard_request_keep (request, on_request_ended, load);
    ask_for_record (load);
    return 0;
}
