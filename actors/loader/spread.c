// SPDX-License-Identifier: Apache-2.0
/*  spread.c - leads the spread of one model over several GPUs; the loader of the lowest of them does
 *
 *  Five steps, each of them an ask of every device's loader, and the next one only when all have answered:
 *
 *      turns, one after the other -> join -> an id for the group is drawn -> gather -> complete -> answer
 *
 *  A device that fails before bytes are exchanged is left out, and its row says why; the others exchange without it. When the exchange fails
 *  anywhere, it ends everywhere, and each device reads what it lacks from its own disk. Nobody is waited for without an end: a device
 *  that does not come together with the others in loader.spread_ms is left out, one that stands still says so itself, and of one that has
 *  died the broker tells.
 *
 *  Leases are this loader's, in the asker's name: when the asker goes, this loader ends them. They end with this loader, too.
 */
#include "actors/ground/digest.h"
#include "actors/loader/spread_inside.h"
#include "actors/loader/tier_inside.h"

#define GUARDED_MAX \
    256 /* spreads whose asker's end is waited for; as many as a device remembers (spread_part.c) */

static void next_turn (loader_spread_t *self);
static void join (loader_spread_t *self);
static void gather (loader_spread_t *self);
static void complete (loader_spread_t *self);

/*  --- its life: until the asker has gone, or has its answer and nothing to lose */

static void take_out (loader_spread_t *self)
{
    loader_spread_t **at = &self->loader->spreads;
    while (*at != self)
        at = &(*at)->next;
    *at = self->next;
}

static void free_spread (loader_spread_t *self)
{
    take_out (self);
    yard_timer_destroy (&self->patience);
    free (self);
}

static void tell_to_leave (const loader_rank_t *rank)
{
    const yard_ask_options_t options = { .at = rank->place };
    load_leave_ask_t ask;
    yard_wire_init (load_leave_ask_type (), &ask);
    ask.spread = yard_string (rank->spread->id);
    yard_ask (rank->spread->loader->actor, &load_leave_method, &ask, &options, NULL, NULL);
}

static void end_request (loader_spread_t *self)
{
    self->request = NULL;
    self->loader->open_loads--;
}

/*  Of an ended request: frees as soon as nothing of it is under way. */
static bool is_over (loader_spread_t *self)
{
    if (self->request)
        return false;
    if (self->open == 0 && !self->drawing)
        free_spread (self);
    return true;
}

/*  The runtime ended the request: everything is given up. */
static void on_request_ended (void *actor_self, yard_request_t *request, void *argument, int code)
{
    (void) actor_self;
    (void) request;
    loader_spread_t *self = argument;
    yard_error_t error = { 0 };
    yard_error (&error, code, "nobody waits for this spread any more");
    loader_spread_tell (self, &model_spread_failed_event, &error);
    end_request (self);
    for (size_t at = 0; at < self->count; at++) {
        loader_rank_t *rank = &self->ranks [at];
        if (rank->asked)
            yard_withdraw (self->loader->actor, rank->asked);
        if (rank->turn)
            tell_to_leave (rank);
    }
    is_over (self);
}

/*  Keeps what is needed to end the leases with their asker. */
static void guard (loader_spread_t *self)
{
    size_t count = 0;
    loader_spread_t *oldest = NULL;
    for (loader_spread_t *at = self->loader->spreads; at; at = at->next)
        if (!at->request && at->open == 0 && at != self) {
            oldest = at;
            count++;
        }
    yard_timer_destroy (&self->patience);
    if (count >= GUARDED_MAX)
        free_spread (oldest);
}

static void answer (loader_spread_t *self)
{
    loader_spread_answer (self);
    end_request (self);
    if (self->as.keep)
        free_spread (self);
    else
        guard (self);
}

void loader_spreads_client_gone (loader_t *loader, yard_string_t client)
{
    for (loader_spread_t *at = loader->spreads, *next; at; at = next) {
        next = at->next;
        if (at->request || at->open > 0 || at->drawing || !yard_string_is (client, at->client))
            continue;
        for (size_t rank = 0; rank < at->count; rank++)
            if (at->ranks [rank].has_load)
                tell_to_leave (&at->ranks [rank]);
        free_spread (at);
    }
}

void loader_spreads_forget (loader_t *loader)
{
    for (loader_spread_t *at = loader->spreads, *next; at; at = next) {
        next = at->next;
        if (!at->request && at->open == 0 && !at->drawing)
            free_spread (at);
    }
}

void loader_spreads_close (loader_t *loader)
{
    while (loader->spreads)
        free_spread (loader->spreads);
}

/*  --- asking the devices */

static void ask_rank (loader_rank_t *rank, const yard_method_t *method, const void *ask,
                      yard_answered_fn *answered)
{
    loader_spread_t *self = rank->spread;
    const meta_t *meta = yard_request_meta (self->request);
    const yard_ask_options_t options = { .at = rank->place, .ttl_s = meta->has_ttl_s ? meta->ttl_s : 0 };
    self->open++;
    rank->asked = yard_ask (self->loader->actor, method, ask, &options, answered, rank);
}

static void leave_out (loader_rank_t *rank, int code, const char *text)
{
    yard_error (&rank->failure, code, "%s", text ? text : "its loader did not answer");
    yard_log_warning ("spread.left_out", "spread=%.8s device=%s code=%s text=%s", rank->spread->id,
                      rank->device, yard_error_row (code)->word, YARD_QUOTED (rank->failure.text));
    if (rank->turn)
        tell_to_leave (rank);
}

/*  The outcome of an ask; false: the spread has been given up. A failure leaves the device out. */
static bool hear (loader_rank_t *rank, const yard_outcome_t *outcome)
{
    loader_spread_t *self = rank->spread;
    self->open--;
    rank->asked = 0;
    if (is_over (self))
        return false;
    if (outcome->code && rank->late)
        leave_out (rank, YARD_TIMEOUT,
                   "it was not ready in time (loader.spread_ms); its memory is full of models in use, or its "
                   "disk or loader is slow");
    else if (outcome->code)
        leave_out (rank, outcome->code, outcome->text);
    return true;
}

static bool takes_part (const loader_rank_t *rank)
{
    return rank->failure.code == 0;
}

/*  --- turns */

static void on_turn (void *actor_self, void *argument, const yard_outcome_t *outcome)
{
    (void) actor_self;
    loader_rank_t *rank = argument;
    loader_spread_t *self = rank->spread;
    rank->turn = outcome->code == 0;
    if (!self->request && rank->turn)
        tell_to_leave (rank);
    if (hear (rank, outcome))
        next_turn (self);
}

static void next_turn (loader_spread_t *self)
{
    if (self->turn == self->count) {
        join (self);
        return;
    }
    load_turn_ask_t ask;
    yard_wire_init (load_turn_ask_type (), &ask);
    ask.spread = yard_string (self->id);
    ask_rank (&self->ranks [self->turn++], &load_turn_method, &ask, on_turn);
}

/*  --- joining */

/*  Only who has the very same files, and is another GPU, may exchange bytes. */
static void compare (loader_spread_t *self)
{
    const loader_rank_t *first = NULL;
    char text [YARD_ERROR_TEXT_MAX];
    for (size_t at = 0; at < self->count; at++) {
        loader_rank_t *rank = &self->ranks [at];
        if (!takes_part (rank))
            continue;
        if (!first)
            first = rank;
        if (strcmp (rank->plan, first->plan) != 0) {
            snprintf (
                text, sizeof text,
                "the files of this model are others for %s than for %s (their times, sizes or headers); "
                "give both loaders the same models_dir, or install the model anew",
                rank->device, first->device);
            leave_out (rank, YARD_CONFLICT, text);
        }
        for (size_t other = 0; other < at; other++)
            if (takes_part (rank) && takes_part (&self->ranks [other]) && rank->uuid [0] &&
                strcmp (self->ranks [other].uuid, rank->uuid) == 0) {
                snprintf (text, sizeof text, "it is the same GPU as %s; name each once",
                          self->ranks [other].device);
                leave_out (rank, YARD_INVALID_MESSAGE, text);
            }
    }
}

static void on_joined (void *actor_self, void *argument, const yard_outcome_t *outcome)
{
    (void) actor_self;
    loader_rank_t *rank = argument;
    loader_spread_t *self = rank->spread;
    if (outcome->code == 0) {
        rank->joined = *(const load_join_answer_t *) outcome->answer;
        snprintf (rank->plan, sizeof rank->plan, "%.*s", YARD_VIEW (rank->joined.plan));
        snprintf (rank->uuid, sizeof rank->uuid, "%.*s", YARD_VIEW (rank->joined.device_uuid));
        rank->way = rank->joined.present ? spread_way_present : spread_way_read;
    }
    if (!hear (rank, outcome) || self->open > 0)
        return;
    yard_timer_set (self->patience, -1);
    compare (self);
    gather (self);
}

static void on_patience_over (void *actor_self, void *argument)
{
    (void) actor_self;
    loader_spread_t *self = argument;
    for (size_t at = 0; at < self->count; at++) {
        loader_rank_t *rank = &self->ranks [at];
        if (!rank->asked)
            continue;
        rank->late = true;
        yard_withdraw (self->loader->actor, rank->asked);
    }
}

static void join (loader_spread_t *self)
{
    load_join_ask_t ask;
    yard_wire_init (load_join_ask_type (), &ask);
    ask.spread = yard_string (self->id);
    ask.as = self->as;
    ask.mode = self->ask->mode;
    ask.slices.items = self->ask->slices.items;
    ask.slices.count = self->ask->slices.count;
    ask.ranks = self->count;
    for (size_t at = 0; at < self->count; at++) {
        if (!takes_part (&self->ranks [at]))
            continue;
        ask.rank = at;
        ask.as.device = yard_string (self->ranks [at].device);
        ask_rank (&self->ranks [at], &load_join_method, &ask, on_joined);
    }
    if (self->open == 0)
        answer (self);
    else
        yard_timer_set (self->patience,
                        (int64_t) yard_actor_configuration (self->loader->actor)->loader.spread_ms);
}

/*  --- exchanging */

/*  The exchange ends on all devices; each goes on alone. */
static void fall_back (loader_spread_t *self, const yard_error_t *error)
{
    if (self->fallback)
        return;
    self->fallback = true;
    self->fallback_error = *error;
    yard_log_warning ("spread.fallback", "spread=%.8s code=%s text=%s", self->id,
                      yard_error_row (error->code)->word, YARD_QUOTED (error->text));
    loader_spread_tell (self, &model_spread_fallback_event, error);
    for (size_t at = 0; at < self->count; at++)
        if (self->ranks [at].asked)
            yard_withdraw (self->loader->actor, self->ranks [at].asked);
}

static void on_gathered (void *actor_self, void *argument, const yard_outcome_t *outcome)
{
    (void) actor_self;
    loader_rank_t *rank = argument;
    loader_spread_t *self = rank->spread;
    yard_error_t error = { 0 };
    const load_gather_answer_t *gathered = outcome->answer;
    if (outcome->code == YARD_CANCELLED && self->fallback) {
        yard_outcome_t withdrawn = { 0 }; /* by us: it waits for load.complete */
        if (!hear (rank, &withdrawn))
            return;
    } else {
        if (!hear (rank, outcome))
            return;
        if (outcome->code)
            yard_error (&error, outcome->code, "%s: %s", rank->device, rank->failure.text);
        else if (gathered->has_failure)
            yard_error (&error, yard_error_code (gathered->failure.code.data, gathered->failure.code.size),
                        "%s: %.*s", rank->device, YARD_VIEW (gathered->failure.text));
        if (error.code)
            fall_back (self, &error);
    }
    if (self->open == 0)
        complete (self);
}

static int draw (void *argument, const loader_device_class_t *class, loader_device_t *device,
                 yard_error_t *error)
{
    loader_spread_t *self = argument;
    if (!class->gather_id)
        return yard_error (
            error, YARD_NOT_SERVED,
            "this build has no NCCL, so devices cannot give each other bytes; build with NCCL installed");
    return class->gather_id (device, self->group, error);
}

static void drawn (void *argument, const yard_error_t *error)
{
    loader_spread_t *self = argument;
    self->drawing = false;
    if (is_over (self))
        return;
    char id [2 * LOADER_GATHER_ID_SIZE + 1];
    load_gather_ask_t ask;
    yard_wire_init (load_gather_ask_type (), &ask);
    yard_hex (self->group, sizeof self->group, id);
    ask.spread = yard_string (self->id);
    ask.id = yard_string (id);
    for (size_t at = 0; at < self->count; at++) {
        if (!self->ranks [at].grouped)
            continue;
        ask.has_root |= self->ranks [at].joined.present;
        ask.root = self->ranks [at].joined.present ? ask.ranks : ask.root;
        ask.ranks++;
    }
    if (error->code)
        fall_back (self, error);
    for (size_t at = 0; at < self->count && error->code == 0; at++) {
        if (!self->ranks [at].grouped)
            continue;
        if (!self->ranks [at].joined.present)
            self->ranks [at].way = ask.has_root ? spread_way_received : spread_way_gathered;
        ask_rank (&self->ranks [at], &load_gather_method, &ask, on_gathered);
        ask.rank++;
    }
    if (self->open == 0)
        complete (self);
}

/*  Who exchanges: all that lack the model, and the first that has it; but for those without room for that. */
static void gather (loader_spread_t *self)
{
    size_t lacking = 0;
    loader_rank_t *root = NULL;
    for (size_t at = 0; at < self->count; at++) {
        loader_rank_t *rank = &self->ranks [at];
        bool able = takes_part (rank) && !rank->joined.apart;
        rank->grouped = able && !rank->joined.present;
        lacking += rank->grouped;
        if (able && rank->joined.present && !root)
            root = rank;
    }
    if (self->ask->mode == spread_mode_shard || lacking == 0 || (lacking == 1 && !root)) {
        complete (self);
        return;
    }
    if (root)
        root->grouped = true;
    self->drawing = true;
    loader_device_thread_do (self->loader->tier->device, draw, drawn, self);
}

/*  --- completing */

static void on_completed (void *actor_self, void *argument, const yard_outcome_t *outcome)
{
    (void) actor_self;
    loader_rank_t *rank = argument;
    loader_spread_t *self = rank->spread;
    if (self->request && outcome->code == 0)
        rank->has_load = yard_wire_copy (load_model_answer_type (), outcome->answer,
                                         yard_request_arena (self->request), &rank->load) == 0;
    if (!hear (rank, outcome))
        return;
    if (!rank->has_load && takes_part (rank))
        leave_out (rank, YARD_TOO_LARGE, "no room for its answer");
    if (self->open == 0)
        answer (self);
}

static void complete (loader_spread_t *self)
{
    load_complete_ask_t ask;
    yard_wire_init (load_complete_ask_type (), &ask);
    ask.spread = yard_string (self->id);
    ask.as = self->as;
    ask.alone = self->fallback;
    for (size_t at = 0; at < self->count; at++) {
        loader_rank_t *rank = &self->ranks [at];
        if (!takes_part (rank))
            continue;
        if (self->fallback && rank->way != spread_way_present)
            rank->way = spread_way_read;
        ask.as.device = yard_string (rank->device);
        ask_rank (rank, &load_complete_method, &ask, on_completed);
    }
    if (self->open == 0)
        answer (self);
}

void loader_spread_lead (loader_spread_t *self)
{
    self->patience = yard_timer_new (self->loader->actor, on_patience_over, self);
    self->next = self->loader->spreads;
    self->loader->spreads = self;
    yard_request_keep (self->request, on_request_ended, self);
    next_turn (self);
}
