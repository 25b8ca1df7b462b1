// SPDX-License-Identifier: Apache-2.0
/*  loaders.c - what all loaders of the yard say at once
 */
#include "loaders.h"

#include <poll.h>

/*  One ask of one loader. */
typedef struct {
    yard_arena_t *arena;
    size_t *waiting; /* how many are not answered yet */
    const yard_method_t *method;
    loader_outcome_t *outcome;
    void *answer;
} question_t;

static void on_answered (void *argument, const yard_call_result_t *result)
{
    question_t *self = argument;
    --*self->waiting;
    self->outcome->code = result->code;
    if (result->code == 0)
        self->outcome->code =
            yard_wire_copy (self->method->answer (), result->answer, self->arena, self->answer);
    if (self->outcome->code)
        self->outcome->text = yard_arena_text (self->arena, yard_string (result->text ? result->text : ""));
    if (self->outcome->code && !self->outcome->text)
        self->outcome->text = "";
}

static void ask (invocation_t *self, yard_arena_t *arena, size_t *waiting, const yard_method_t *method,
                 loader_seen_t *seen, loader_outcome_t *outcome, void *answer)
{
    yard_error_t error;
    const yard_call_options_t options = { .at = seen->place.data, .deadline_ms = LOADERS_WAIT_MS };
    question_t *question = yard_arena_alloc (arena, sizeof *question);
    *outcome = (loader_outcome_t){ .code = YARD_TOO_LARGE, .text = "too many answers" };
    if (!question)
        return;
    *question = (question_t){ arena, waiting, method, outcome, answer };
    ++*waiting;
    outcome->code =
        yard_client_call (self->client, method, NULL, &options, on_answered, question, NULL, &error);
    if (outcome->code) {
        --*waiting;
        outcome->text = yard_arena_text (arena, yard_string (error.text));
    }
}

/*  Every call has a deadline, so this ends. */
static void await (invocation_t *self, const size_t *waiting)
{
    while (*waiting > 0) {
        struct pollfd fd = { .fd = yard_client_fd (self->client), .events = POLLIN };
        poll (&fd, 1, yard_client_timeout_ms (self->client));
        yard_client_dispatch (self->client);
    }
}

static bool is_wanted (const yard_device_row_t *row, const char *device)
{
    return !device || !*device || yard_string_is (row->device, device) || yard_string_is (row->place, device);
}

int loaders_look (invocation_t *self, yard_arena_t *arena, unsigned what, const char *device, loaders_t *ret)
{
    yard_devices_answer_t devices;
    int rc = invocation_connect (self);
    if (rc == 0)
        rc = yard_client_ask (self->client, &yard_devices_method, NULL, NULL, arena, &devices, &self->error);
    if (rc)
        return rc;
    loaders_t found = { .items = yard_arena_alloc (arena, devices.devices.count * sizeof *found.items + 1) };
    for (size_t i = 0; i < devices.devices.count && found.items; i++) {
        const yard_device_row_t *row = &devices.devices.items [i];
        if (is_wanted (row, device))
            found.items [found.count++] =
                (loader_seen_t){ .device = row->device, .node = row->node, .place = row->place };
    }
    if (found.count == 0 && device && *device)
        return yard_error (&self->error, YARD_NOT_SERVED,
                           "no loader of this yard has the device %.64s; `modelyard devices` lists them",
                           device);
    size_t waiting = 0;
    for (size_t i = 0; i < found.count; i++) {
        loader_seen_t *seen = &found.items [i];
        if (what & LOADERS_LIST)
            ask (self, arena, &waiting, &load_list_method, seen, &seen->listed, &seen->list);
        if (what & LOADERS_DEVICE)
            ask (self, arena, &waiting, &load_device_method, seen, &seen->described, &seen->about);
    }
    await (self, &waiting);
    *ret = found;
    return 0;
}

int load_each (invocation_t *self, const char *device, load_each_fn *each, void *argument)
{
    loaders_t loaders;
    int rc = loaders_look (self, self->arena, LOADERS_LIST, device, &loaders);
    for (size_t i = 0; rc == 0 && i < loaders.count; i++) {
        const loader_seen_t *seen = &loaders.items [i];
        for (size_t row = 0; seen->listed.code == 0 && row < seen->list.loads.count; row++)
            each (argument, seen, &seen->list.loads.items [row]);
    }
    for (size_t i = 0; rc == 0 && i < loaders.count; i++)
        if (loaders.items [i].listed.code)
            return yard_error (&self->error, loaders.items [i].listed.code, "%s: %s",
                               loaders.items [i].place.data, loaders.items [i].listed.text);
    return rc;
}
