// SPDX-License-Identifier: Apache-2.0
/*  spread_exchange.c - load.gather: a device's share is read, the others' come, and nobody stands still for long
 */
#include "actors/ground/fault.h"
#include "actors/loader/spread_part_inside.h"
#include "actors/loader/spread_share.h"

#define LOOK_MS \
    100 /* between two looks at a group's steps: the shortest patience (loader.spread_ms) is no less */

/*  --- the end */

void loader_part_leave_group (loader_part_t *self, bool abort)
{
    if (!self->group)
        return;
    self->good = loader_group_good (self->group);
    if (self->fill)
        loader_fill_forget_group (self->fill);
    loader_group_leave (&self->group, abort);
}

/*  The answer of load.gather. The part goes on to wait for load.complete, with whatever there is. */
void loader_part_answer_gather (loader_part_t *self, const yard_error_t *error)
{
    load_gather_answer_t answer;
    yard_wire_init (load_gather_answer_type (), &answer);
    self->step = PART_GATHERED;
    if (error) {
        loader_part_leave_group (self, true);
        answer.has_failure = true;
        yard_wire_init (failure_type (), &answer.failure);
        answer.failure.code = yard_string (yard_error_row (error->code)->word);
        answer.failure.text = yard_string (error->text);
    }
    if (self->request)
        yard_reply (self->request, &answer);
    self->request = NULL;
}

/*  --- exchanging */

void loader_part_look (void *actor_self, void *argument)
{
    (void) actor_self;
    loader_parts_t *parts = argument;
    loader_part_t *self = parts->first;
    if (!self || self->step != PART_GATHERING)
        return;
    int64_t now = yard_now_ms (parts->loader->actor);
    int64_t most = (int64_t) yard_actor_configuration (parts->loader->actor)->loader.spread_ms;
    uint64_t steps = self->group ? loader_group_steps (self->group) : 0;
    if (steps != self->steps)
        self->moved_ms = now;
    self->steps = steps;
    if (now - self->moved_ms < most) {
        yard_timer_set (parts->look, LOOK_MS);
        return;
    }
    yard_error_t error = { 0 };
    yard_error (&error, YARD_TIMEOUT,
                "%s: the devices stood still for %lld ms (loader.spread_ms) while they exchanged bytes; look "
                "for a peer that has ended, or run with NCCL_DEBUG=WARN",
                yard_actor_device (parts->loader->actor), (long long) most);
    loader_part_answer_gather (self, &error);
}

static void settle_gather (loader_part_t *self)
{
    if (self->step == PART_GATHERING && self->exchanged && !self->reading)
        loader_part_answer_gather (self, NULL);
}

void loader_part_read_over (void *argument)
{
    loader_part_t *self = argument;
    self->reading = false;
    settle_gather (self);
}

static void on_exchanged (void *argument, const yard_error_t *error)
{
    loader_part_t *self = argument;
    if (error->code) {
        loader_part_answer_gather (self, error);
        return;
    }
    self->exchanged = true;
    settle_gather (self);
}

/*  Into the group; with our share of the bytes to read, unless somebody has all of them. */
static void enter_group (loader_part_t *self)
{
    loader_tier_t *tier = self->parts->loader->tier;
    loader_model_t *model = self->present ? self->present : loader_fill_model (self->fill);
    const loader_plan_t *plan = &model->plan;
    loader_run_t *runs = NULL;
    size_t count = 0;
    if (!self->gather.has_root)
        count = loader_share_cut (plan->runs, plan->run_count, plan->bytes, (unsigned) self->gather.rank,
                                  (unsigned) self->gather.ranks, &runs);
    loader_group_wish_t wish = { .rank = (unsigned) self->gather.rank,
                                 .ranks = (unsigned) self->gather.ranks,
                                 .root = self->gather.has_root ? (int) self->gather.root : -1,
                                 .bytes = plan->bytes,
                                 .memory = model->allocation,
                                 .runs = runs,
                                 .run_count = count,
                                 .over = on_exchanged,
                                 .argument = self };
    memcpy (wish.id, self->id, sizeof wish.id);
    self->group = loader_group_new (tier->device, tier->mail, &wish);
    self->steps = 0;
    self->moved_ms = yard_now_ms (tier->actor);
    self->reading = count > 0;
    yard_timer_set (self->parts->look, LOOK_MS);
    if (count > 0)
        loader_fill_read (self->fill, runs, count, self->group);
    else
        free (runs);
}

/*  A model that was there holds its own bytes only: NCCL's come beside. */
static void on_room (void *argument, const yard_error_t *refusal)
{
    loader_part_t *self = argument;
    if (refusal) {
        self->reservation = NULL;
        loader_part_answer_gather (self, refusal);
    } else if (self->step == PART_GATHERING)
        enter_group (self);
}

static int ask_for_room (loader_part_t *self, yard_error_t *error)
{
    loader_tier_t *tier = self->parts->loader->tier;
    int64_t most = (int64_t) yard_actor_configuration (tier->actor)->loader.spread_ms;
    const loader_room_wish_t wish = { .bytes = LOADER_GATHER_BYTES,
                                      .deadline_ms = yard_now_ms (tier->actor) + most,
                                      .answer = on_room,
                                      .argument = self };
    int rc = loader_ledger_ask (tier->ledger, &wish, &self->reservation, error);
    loader_tier_stir (tier);
    return rc;
}

static int read_hex (yard_string_t text, uint8_t *ret, size_t size, yard_error_t *error)
{
    for (size_t at = 0; at < 2 * size; at++) {
        char digit = at < text.size ? text.data [at] : 0;
        unsigned value = digit >= '0' && digit <= '9'   ? (unsigned) (digit - '0')
                         : digit >= 'a' && digit <= 'f' ? (unsigned) (digit - 'a') + 10
                                                        : 16;
        if (value > 15)
            return yard_error (error, YARD_INVALID_MESSAGE, "id: %zu hex digits, in small letters", 2 * size);
        ret [at / 2] = (uint8_t) (at % 2 ? ret [at / 2] | value : value << 4);
    }
    return 0;
}

int loader_on_load_gather (loader_t *loader, yard_request_t *request, const load_gather_ask_t *ask)
{
    loader_part_t *self;
    yard_error_t *error = yard_request_error (request);
    int rc = loader_part_find (loader, request, ask->spread, PART_READY, PART_READY, &self);
    if (rc == 0)
        rc = read_hex (ask->id, self->id, sizeof self->id, error);
    if (rc == 0 && (ask->rank >= ask->ranks || (ask->has_root && ask->root >= ask->ranks) ||
                    (self->present && (!ask->has_root || ask->root != ask->rank))))
        rc = yard_error (error, YARD_INVALID_MESSAGE, "rank %llu of %llu does not fit here",
                         (unsigned long long) ask->rank, (unsigned long long) ask->ranks);
    if (rc)
        return rc;
    loader_part_keep (self, request);
    self->gather = *ask;
    self->step = PART_GATHERING;
    yard_error_t refusal = { 0 };
    if (self->error.code || FAULT ("loader.spread_gather")) {
        if (self->error.code == 0)
            yard_error (&self->error, YARD_INTERNAL, "a test broke this exchange before it began");
        refusal = self->error;
        loader_part_answer_gather (self, &refusal);
    } else if (!self->present) {
        enter_group (self);
    } else if (ask_for_room (self, &refusal)) {
        loader_part_answer_gather (self, &refusal);
    }
    return 0;
}
