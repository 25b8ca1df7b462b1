// SPDX-License-Identifier: Apache-2.0
/*  load.c - one load: record, files, memory, and then what its asker gets
 */
#include "actors/loader/loader.h"

#define RECORD_DEADLINE_MS 10000 /* of record.get and record.search */
#define ONE_AND_ONE_MORE 2 /* rows that tell one model from several */

int64_t loader_now_ns (void)
{
    const yard_clock_t *clock = yard_clock_system (); /* durations for people; nothing decides by them */
    return clock->monotonic_ns (clock->context);
}

uint64_t loader_microseconds_since (int64_t ns)
{
    return (uint64_t) (loader_now_ns () - ns) / 1000;
}

/*  The request is answered, by us or by the runtime. */
static void end_request (loader_load_t *load)
{
    load->request = NULL;
    load->self->open_loads--;
}

void loader_load_refuse (loader_load_t *load, int code, const char *text)
{
    if (load->config && load->op == LOADER_OP_LEASE)
        loader_load_tell_failed (load, code, text);
    yard_refuse (load->request, code, "%s", text);
    end_request (load);
    free (load);
}

static void on_loaded (void *argument, const loader_loaded_t *loaded)
{
    loader_load_t *load = argument;
    loader_t *self = load->self;
    yard_error_t error = { 0 };
    load->waiter = NULL;
    int rc = loaded->code;
    if (rc == 0)
        rc = loader_load_answer (load, loaded, &error);
    if (rc) {
        loader_load_refuse (load, rc, loaded->code ? loaded->error->text : error.text);
        return;
    }
    end_request (load);
    free (load);
    loader_leases_changed (self);
}

/*  --- from the record to the files */

/*  May this model be loaded by this part, or without one? */
static int check_part (const load_model_ask_t *ask, const model_config_t *config, yard_error_t *error)
{
    /*  An ONNX model is all of its parts, or one of them: REQUIREMENTS R6.1. */
    if (config->type == model_type_onnx || config->format == model_format_onnx ||
        config->format == model_format_olive)
        return 0;
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

/*  What the bytes will be: the ask's word, else the configuration's; a device knows only one form. */
static int choose_form (const loader_load_t *load, load_form_t *ret, yard_error_t *error)
{
    const load_model_ask_t *ask = load->ask;
    const loader_t *self = load->self;
    if (loader_tier_is_device (self->tier)) {
        if (ask->has_form && ask->form != load_form_device)
            return yard_error (error, YARD_INVALID_MESSAGE,
                               "on %s a model has the form device; leave form out",
                               yard_actor_device (self->actor));
        *ret = load_form_device;
        return 0;
    }
    if (ask->has_form && ask->form == load_form_device)
        return yard_error (
            error, YARD_INVALID_MESSAGE,
            "the host has the forms mapped and resident; for a GPU ask load.model with device: cuda:0");
    bool resident = yard_actor_configuration (self->actor)->loader.form == host_form_resident;
    *ret = ask->has_form ? ask->form : resident ? load_form_resident : load_form_mapped;
    return 0;
}

/*  The priority and deadline of reading, and of waiting for room. */
loader_wish_t loader_load_wish (const loader_load_t *load)
{
    const load_model_ask_t *ask = load->ask;
    int64_t left = yard_request_left_ms (load->request), now = yard_now_ms (load->self->actor);
    return (loader_wish_t){ .config = load->config,
                            .submodel = ask->has_submodel ? ask->submodel : yard_string (""),
                            .variant = ask->has_variant ? ask->variant : load->config->repo_variant,
                            .variant_soft = !ask->has_variant && load->config->repo_variant.size > 0,
                            .form = load->form,
                            .look_only = load->op == LOADER_OP_ESTIMATE,
                            .kind = load->kind,
                            .root = load->root,
                            .priority = (int) ask->priority,
                            .deadline_ms = left > INT64_MAX - now ? LOADER_NO_DEADLINE : now + left };
}

void loader_load_go_on (loader_load_t *load, const model_config_t *config)
{
    yard_arena_t *arena = yard_request_arena (load->request);
    yard_error_t error = { 0 };
    load->record.us = loader_microseconds_since (load->began_ns);
    load->config = yard_arena_alloc (arena, sizeof *load->config);
    int rc = load->config ? 0 : yard_error (&error, YARD_TOO_LARGE, "no room for the record");
    if (rc == 0) {
        yard_wire_copy (model_config_type (), config, arena, load->config);
        rc = load->root ? 0 : check_part (load->ask, load->config, &error);
    }
    if (rc == 0)
        rc = choose_form (load, &load->form, &error);
    if (rc == 0 && load->op == LOADER_OP_SPREAD) {
        loader_spread_begin (load);
        return;
    }
    if (rc == 0) {
        const loader_wish_t wish = loader_load_wish (load);
        rc = loader_loads_want (load->self->loads, &wish, on_loaded, load, &load->waiter, &error);
    }
    if (rc) {
        loader_load_refuse (load, rc, error.text);
        return;
    }
    if (load->op == LOADER_OP_LEASE)
        loader_load_tell (load, &model_load_started_event, "");
    loader_progress_changed (load->self);
}

/*  The recorder's word, or NULL when the load is over: then it has been freed. */
static const void *hear (loader_load_t *load, const yard_outcome_t *outcome)
{
    load->asked = 0;
    if (!load->request) {
        free (load);
        return NULL;
    }
    if (outcome->code)
        loader_load_refuse (load, outcome->code,
                            outcome->text ? outcome->text : "the recorder did not answer; try again");
    return outcome->code ? NULL : outcome->answer;
}

static void on_record (void *actor_self, void *argument, const yard_outcome_t *outcome)
{
    (void) actor_self;
    const record_get_answer_t *answer = hear (argument, outcome);
    if (answer)
        loader_load_go_on (argument, &answer->config);
}

static void on_records (void *actor_self, void *argument, const yard_outcome_t *outcome)
{
    (void) actor_self;
    const record_search_answer_t *answer = hear (argument, outcome);
    if (!answer)
        return;
    if (answer->records.count == 1)
        loader_load_go_on (argument, &answer->records.items [0].config);
    else if (answer->records.count == 0)
        loader_load_refuse (argument, YARD_UNKNOWN_MODEL,
                            "no model has these attributes; record.search shows what there is");
    else
        loader_load_refuse (
            argument, YARD_AMBIGUOUS_MODEL,
            "several models have these attributes; give more of name, base and type, or the key");
}

static void ask_for_record (loader_load_t *load)
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

/*  --- the ask */

/*  The runtime ended the request: nobody wants the load any more. */
static void on_request_ended (void *actor_self, yard_request_t *request, void *argument, int code)
{
    (void) actor_self;
    (void) request;
    loader_load_t *load = argument;
    if (load->config && load->op == LOADER_OP_LEASE)
        loader_load_tell_failed (load, code, "nobody waits for this load any more");
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
    char method [YARD_METHOD_NAME_MAX];
    yard_method_name (yard_request_method (request), method);
    char *place = yard_arena_printf (yard_request_arena (request), "loader/%s/%.*s",
                                     yard_actor_node (self->actor), YARD_VIEW (ask->device));
    char *text = yard_arena_printf (yard_request_arena (request), "%s serves %s; ask %s@%s",
                                    yard_actor_place (self->actor), yard_actor_device (self->actor), method,
                                    place ? place : "that place");
    failure_t failure;
    yard_wire_init (failure_type (), &failure);
    failure.code = yard_string (yard_error_row (YARD_WRONG_PLACE)->word);
    failure.text = yard_string (text ? text : "");
    failure.has_place = place != NULL;
    failure.place = yard_string (place);
    return yard_refuse_failure (request, &failure);
}

static loader_load_t *new_load (loader_t *self, yard_request_t *request, const load_model_ask_t *ask,
                                loader_op_t op)
{
    loader_load_t *load = calloc (1, sizeof *load);
    if (!load)
        abort ();
    *load = (loader_load_t){
        .self = self,
        .op = op,
        .request = request,
        .ask = ask,
        .began_ns = loader_now_ns (),
        .record.name = "record",
    };
    self->open_loads++;
    self->load_count += op == LOADER_OP_LEASE;
    yard_request_keep (request, on_request_ended, load);
    return load;
}

/*  A lease must have an end that can be seen. */
static int check_owner (yard_request_t *request, const load_model_ask_t *ask)
{
    if (yard_request_from (request)->hello || ask->keep || yard_request_meta (request)->has_ttl_s)
        return 0;
    return yard_error (
        yard_request_error (request), YARD_INVALID_MESSAGE,
        "without a hello the end of this client cannot be seen; say hello, put ttl_s into meta, or "
        "keep: true");
}

static int begin (loader_t *self, yard_request_t *request, const load_model_ask_t *ask, loader_op_t op)
{
    if (ask->device.size > 0 && !yard_string_is (ask->device, yard_actor_device (self->actor)))
        return wrong_place (self, request, ask);
    if (!ask->has_config && !ask->has_key && !ask->has_name && !ask->has_base && !ask->has_type)
        return yard_error (yard_request_error (request), YARD_INVALID_MESSAGE,
                           "which model? Give its key, its name, base or type, or its record");
    int rc = op == LOADER_OP_LEASE || op == LOADER_OP_SPREAD ? check_owner (request, ask) : 0;
    if (rc)
        return rc;
    loader_load_t *load = new_load (self, request, ask, op);
    if (ask->has_config)
        loader_load_go_on (load, &ask->config);
    else
        ask_for_record (load);
    return 0;
}

int loader_load_spread (loader_t *self, yard_request_t *request, const load_model_ask_t *ask)
{
    return begin (self, request, ask, LOADER_OP_SPREAD);
}

int loader_on_load_model (loader_t *self, yard_request_t *request, const load_model_ask_t *ask)
{
    return begin (self, request, ask, LOADER_OP_LEASE);
}

int loader_on_load_prefetch (loader_t *self, yard_request_t *request, const load_model_ask_t *ask)
{
    return begin (self, request, ask, LOADER_OP_PREFETCH);
}

int loader_on_load_estimate (loader_t *self, yard_request_t *request, const load_model_ask_t *ask)
{
    return begin (self, request, ask, LOADER_OP_ESTIMATE);
}

int loader_load_open (loader_t *self, yard_request_t *request, const load_model_ask_t *ask,
                      const loader_kind_t *kind, const char *root, loader_load_t **ret)
{
    *ret = NULL;
    if (ask->device.size > 0 && !yard_string_is (ask->device, yard_actor_device (self->actor)))
        return wrong_place (self, request, ask);
    int rc = check_owner (request, ask);
    if (rc)
        return rc;
    loader_load_t *load = new_load (self, request, ask, LOADER_OP_LEASE);
    load->kind = kind;
    load->root = root;
    *ret = load;
    return 0;
}

int loader_load_begin (loader_t *self, yard_request_t *request, const load_model_ask_t *ask,
                       const model_config_t *config, const loader_kind_t *kind, const char *root)
{
    loader_load_t *load;
    int rc = loader_load_open (self, request, ask, kind, root, &load);
    if (load)
        loader_load_go_on (load, config);
    return rc;
}
