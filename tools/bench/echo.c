// SPDX-License-Identifier: Apache-2.0
/*  echo.c - an actor whose handlers do nothing: what an ask costs before anybody works for it
 *
 *  Answers record.exists and record.get as the recorder does, with a record of the same size, and has no store.
 */
#include "actors/runtime/actor.h"

typedef struct {
    model_record_t record;
} echo_t;

static int echo_open (void *argument, yard_actor_t *actor, yard_error_t *error)
{
    (void) actor;
    (void) error;
    echo_t *self = argument;
    yard_wire_init (model_record_type (), &self->record);
    model_config_t *config = &self->record.config;
    config->name = yard_string ("model 1");
    config->type = model_type_lora;
    config->base = base_model_sd_1;
    config->format = model_format_lycoris;
    config->path = yard_string ("sd-1/lora/model-1/model.safetensors");
    config->hash = yard_string ("imohash:00000000000000000000000000000001");
    config->total_bytes = 1;
    self->record.change = 1;
    self->record.created_ms = self->record.updated_ms = yard_wall_ms (actor);
    return 0;
}

static int on_record_exists (echo_t *self, yard_request_t *request, const record_exists_ask_t *ask)
{
    (void) self;
    record_exists_answer_t answer = { .exists = ask->key.size > 0 };
    return yard_reply (request, &answer);
}

static int on_record_get (echo_t *self, yard_request_t *request, const record_get_ask_t *ask)
{
    self->record.config.key = ask->key;
    return yard_reply (request, &self->record);
}

static const yard_route_t routes [] = {
    HANDLE (echo_t, record_exists, on_record_exists),
    HANDLE (echo_t, record_get, on_record_get),
    { 0 },
};

static const yard_actor_class_t echo_class = {
    .name = "echo",
    .size = sizeof (echo_t),
    .routes = routes,
    .open = echo_open,
};

YARD_ACTOR_MAIN (echo_class)
