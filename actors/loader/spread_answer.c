// SPDX-License-Identifier: Apache-2.0
/*  spread_answer.c - what the asker of a spread gets, and what everybody hears of it
 */
#include "actors/loader/spread_inside.h"

#define NAMES_SIZE 1100 /* load_spread_told.devices: 16 names of 64 bytes and the blanks */

static void write_names (const loader_spread_t *self, char *ret)
{
    size_t used = 0;
    ret [0] = 0;
    for (size_t at = 0; at < self->count; at++)
        if (self->ranks [at].failure.code == 0)
            used += (size_t) snprintf (ret + used, NAMES_SIZE - used, "%s%s", used ? " " : "",
                                       self->ranks [at].device);
}

void loader_spread_tell (const loader_spread_t *self, const yard_event_t *event, const yard_error_t *error)
{
    char names [NAMES_SIZE], key [LOADER_KEY_SIZE];
    load_spread_told_t told;
    load_context_t context;
    yard_wire_init (load_context_type (), &context);
    if (self->as.has_context)
        context = self->as.context;
    write_names (self, names);
    yard_wire_init (load_spread_told_type (), &told);
    told.queue_id = context.queue_id;
    told.queue_item_id = context.queue_item_id;
    told.queue_batch_id = context.queue_batch_id;
    told.graph_execution_state_id = context.graph_execution_state_id;
    told.model_key = self->as.config.key;
    told.submodel_type = self->as.has_submodel ? self->as.submodel : yard_string ("");
    told.mode = self->ask->mode;
    told.devices = yard_string (names);
    told.fallback = self->fallback;
    if (error) {
        told.error_type = yard_string (yard_error_row (error->code)->word);
        told.error = yard_string (error->text);
    }
    told.timestamp = (double) yard_wall_ms (self->loader->actor) / 1000;
    snprintf (key, sizeof key, "%.*s", YARD_VIEW (self->as.config.key));
    yard_publish (self->loader->actor, event, key, &told);
}

static load_spread_row_t row_of (const loader_rank_t *rank)
{
    load_spread_row_t row;
    yard_wire_init (load_spread_row_type (), &row);
    row.device = yard_string (rank->device);
    row.place = yard_string (rank->place);
    row.way = rank->way;
    row.has_load = rank->has_load;
    row.load = rank->load;
    row.has_failure = !rank->has_load;
    yard_wire_init (failure_type (), &row.failure);
    row.failure.code = yard_string (yard_error_row (rank->failure.code)->word);
    row.failure.text = yard_string (rank->failure.text);
    return row;
}

/*  Nobody has it: the lowest device's reason is as good as any. */
static void refuse (loader_spread_t *self)
{
    yard_error_t error = { 0 };
    yard_error (&error, self->ranks [0].failure.code, "%s: %s", self->ranks [0].device,
                self->ranks [0].failure.text);
    loader_spread_tell (self, &model_spread_failed_event, &error);
    yard_refuse_error (self->request, &error);
}

void loader_spread_answer (loader_spread_t *self)
{
    load_spread_row_t rows [LOADER_SPREAD_DEVICES_MAX];
    load_spread_answer_t answer;
    bool any = false;
    yard_wire_init (load_spread_answer_type (), &answer);
    for (size_t at = 0; at < self->count; at++) {
        rows [at] = row_of (&self->ranks [at]);
        any |= self->ranks [at].has_load;
    }
    if (!any) {
        refuse (self);
        return;
    }
    answer.devices.items = rows;
    answer.devices.count = self->count;
    answer.mode = self->ask->mode;
    answer.fallback = self->fallback;
    answer.fallback_reason = yard_string (self->fallback_error.text);
    answer.took_us = loader_microseconds_since (self->began_ns);
    loader_spread_tell (self, &model_spread_completed_event, NULL);
    yard_reply (self->request, &answer);
}
