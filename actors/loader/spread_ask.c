// SPDX-License-Identifier: Apache-2.0
/*  spread_ask.c - load.spread: what is asked, of which record, of whose devices; then spread.c leads
 */
#include <stdlib.h>
#include "actors/loader/spread_inside.h"

#define ID_DIGITS 32 /* load_turn_ask.spread */

/*  What load.c sees of a spread's ask is a load's. */
typedef struct {
    load_model_ask_t as; /* first */
    const load_spread_ask_t *ask;
} spread_ask_t;

/*  --- the ask */

/*  cuda:2 before cuda:10: the shorter name first. */
static int by_name (const void *a, const void *b)
{
    const yard_string_t *left = a, *right = b;
    if (left->size != right->size)
        return left->size < right->size ? -1 : 1;
    return memcmp (left->data, right->data, left->size);
}

static int check (const load_spread_ask_t *ask, yard_error_t *error)
{
    for (size_t at = 0; at < ask->devices.count; at++) {
        yard_string_t device = ask->devices.items [at];
        if (device.size == 0 || device.size > 64 || yard_string_is (device, "host"))
            return yard_error (error, YARD_INVALID_MESSAGE,
                               "devices: GPUs by name, as cuda:0; the host has one copy for all in any case");
        if (at > 0 && yard_string_equal (ask->devices.items [at - 1], device))
            return yard_error (error, YARD_INVALID_MESSAGE, "devices: %.*s is named twice; name each once",
                               YARD_VIEW (device));
    }
    bool shard = ask->mode == spread_mode_shard;
    if (shard != (ask->slices.count > 0))
        return yard_error (error, YARD_INVALID_MESSAGE,
                           "slices say what mode shard cuts: give both of them, or neither");
    return 0;
}

int loader_on_load_spread (loader_t *loader, yard_request_t *request, const load_spread_ask_t *ask)
{
    qsort (ask->devices.items, ask->devices.count, sizeof *ask->devices.items, by_name);
    int rc = check (ask, yard_request_error (request));
    if (rc)
        return rc;
    spread_ask_t *like = yard_arena_alloc (yard_request_arena (request), sizeof *like);
    if (!like)
        return yard_error (yard_request_error (request), YARD_TOO_LARGE, "no room for the ask");
    yard_wire_init (load_model_ask_type (), &like->as);
    like->ask = ask;
    load_model_ask_t *as = &like->as;
    as->has_key = ask->has_key;
    as->key = ask->key;
    as->has_name = ask->has_name;
    as->name = ask->name;
    as->has_base = ask->has_base;
    as->base = ask->base;
    as->has_type = ask->has_type;
    as->type = ask->type;
    as->has_config = ask->has_config;
    as->config = ask->config;
    as->has_submodel = ask->has_submodel;
    as->submodel = ask->submodel;
    as->whole = ask->whole;
    as->device = ask->devices.items [0]; /* who serves it leads */
    as->has_precision = ask->has_precision;
    as->precision = ask->precision;
    as->has_variant = ask->has_variant;
    as->variant = ask->variant;
    as->priority = ask->priority;
    as->keep = ask->keep;
    as->has_context = ask->has_context;
    as->context = ask->context;
    return loader_load_spread (loader, request, as);
}

/*  --- the beginning: the record is known */

void loader_spread_begin (loader_load_t *load)
{
    loader_t *loader = load->self;
    const load_spread_ask_t *ask = ((const spread_ask_t *) load->ask)->ask;
    yard_string_t client = yard_request_from (load->request)->client;
    loader_spread_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->loader = loader;
    self->request = load->request;
    self->ask = ask;
    self->as = *load->ask;
    self->as.has_config = true;
    self->as.config = *load->config;
    self->began_ns = load->began_ns;
    yard_random_hex (yard_actor_random (loader->actor), self->id, ID_DIGITS);
    snprintf (self->client, sizeof self->client, "%.*s", YARD_VIEW (client));
    for (size_t at = 0; at < ask->devices.count; at++) {
        loader_rank_t *rank = &self->ranks [self->count++];
        rank->spread = self;
        rank->way = spread_way_read;
        snprintf (rank->device, sizeof rank->device, "%.*s", YARD_VIEW (ask->devices.items [at]));
        snprintf (rank->place, sizeof rank->place, "loader/%s/%.*s", yard_actor_node (loader->actor),
                  YARD_VIEW (ask->devices.items [at]));
    }
    free (load);
    loader_spread_lead (self);
}
