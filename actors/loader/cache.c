// SPDX-License-Identifier: Apache-2.0
/*  cache.c - what is in memory here, for people and for those who need room
 */
#include "actors/loader/loader.h"

#define ROWS_MAX 256 /* load_list_answer.loads */
#define SHORT_LEASE 8 /* digits of other people's leases that are shown: enough to tell them apart */
#define PROGRESS_MS 250 /* between two events of a load: as often as people look */

/*  --- load.list */

static load_row_t lease_row (const loader_t *self, const loader_lease_t *lease, const from_t *from)
{
    bool yards = lease->owner [0] == 0;
    bool shown = yards || yard_string_is (from->client, lease->owner);
    return (load_row_t){ .lease = { lease->id, shown ? LOADER_LEASE_SIZE - 1 : SHORT_LEASE },
                         .key = yard_string (lease->key),
                         .name = yard_string (lease->name),
                         .submodel = yard_string (lease->submodel),
                         .device = yard_string (yard_actor_device (self->actor)),
                         .form = lease->model->form,
                         .state = yard_string (lease->over ? "draining" : "leased"),
                         .owner = yard_string (yards ? "yard" : lease->owner),
                         .bytes = lease->model->bytes,
                         .attachments = lease->attachments,
                         .age_ms = (uint64_t) (yard_now_ms (self->actor) - lease->began_ms) };
}

static load_row_t load_row (const loader_t *self, const loader_load_row_t *row)
{
    return (load_row_t){ .lease = yard_string (""),
                         .key = yard_string (row->key),
                         .name = yard_string (row->name),
                         .submodel = yard_string (row->submodel),
                         .device = yard_string (yard_actor_device (self->actor)),
                         .form = row->form,
                         .state = yard_string (row->model ? "idle" : "loading"),
                         .owner = yard_string (""),
                         .bytes = row->total_bytes,
                         .done_bytes = row->model ? 0 : row->bytes,
                         .age_ms = (uint64_t) (yard_now_ms (self->actor) - row->since_ms) };
}

static bool is_leased (const loader_t *self, const loader_model_t *model)
{
    const loader_lease_t *lease;
    for (size_t at = 0; loader_leases_next (self->leases, &at, &lease);)
        if (lease->model == model)
            return true;
    return false;
}

static void add (load_list_answer_t *answer, load_row_t row)
{
    if (answer->loads.count < ROWS_MAX)
        answer->loads.items [answer->loads.count++] = row;
    else
        answer->left_out++;
}

int loader_on_load_list (loader_t *self, yard_request_t *request, const load_list_ask_t *ask)
{
    (void) ask;
    load_row_t rows [ROWS_MAX];
    load_list_answer_t answer;
    const loader_lease_t *lease;
    loader_load_row_t row;
    yard_wire_init (load_list_answer_type (), &answer);
    answer.loads.items = rows;
    for (size_t at = 0; loader_leases_next (self->leases, &at, &lease);)
        add (&answer, lease_row (self, lease, yard_request_from (request)));
    for (size_t at = 0; loader_loads_next (self->loads, &at, &row);)
        if (row.form != load_form_mapped && !is_leased (self, row.model))
            add (&answer, load_row (self, &row));
    for (size_t at = 0; loader_loads_next_under_way (self->loads, &at, &row);)
        add (&answer, load_row (self, &row));
    return yard_reply (request, &answer);
}

/*  --- load.device */

int loader_on_load_device (loader_t *self, yard_request_t *request, const load_device_ask_t *ask)
{
    (void) ask;
    loader_tier_numbers_t numbers;
    load_device_answer_t answer;
    const loader_device_about_t *about = loader_tier_about (self->tier);
    loader_tier_numbers (self->tier, &numbers);
    yard_wire_init (load_device_answer_type (), &answer);
    answer.device = yard_string (yard_actor_device (self->actor));
    answer.name = yard_string (about ? about->name : yard_actor_node (self->actor));
    answer.uuid = yard_string (about ? about->uuid : "");
    answer.pci = yard_string (about ? about->pci : "");
    answer.total_bytes =
        about ? about->bytes_total : (uint64_t) sysconf (_SC_PHYS_PAGES) * (uint64_t) sysconf (_SC_PAGESIZE);
    answer.budget_bytes = numbers.ledger.budget;
    answer.free_bytes = numbers.ledger.free;
    answer.reserved_bytes = numbers.ledger.reserved;
    answer.held_bytes = numbers.ledger.held;
    answer.idle_bytes = numbers.ledger.evictable;
    answer.draining_bytes = numbers.ledger.draining;
    answer.waiting_bytes = numbers.ledger.waiting;
    answer.peak_bytes = numbers.ledger.peak;
    answer.models = loader_loads_models (self->loads);
    answer.leases = loader_leases_count (self->leases);
    answer.loads = self->load_count;
    answer.hits = self->hit_count;
    answer.evictions = numbers.lru.evictions;
    answer.read_bytes =
        numbers.reader.bytes_cached + numbers.reader.bytes_direct + numbers.reader.bytes_buffered;
    answer.cached_bytes = numbers.reader.bytes_cached;
    answer.uring = numbers.reader.uring;
    return yard_reply (request, &answer);
}

/*  --- load.evict */

void loader_on_evicted (void *argument, loader_model_t *model, const char *reason)
{
    loader_t *self = argument;
    char key [65], submodel [LOADER_SUBMODEL_SIZE];
    load_evicted_t evicted;
    uint64_t bytes = model->bytes;
    key [0] = submodel [0] = 0;
    loader_loads_evicted (self->loads, model, key, sizeof key, submodel);
    yard_log_info ("model.evicted", "key=%s submodel=%s bytes=%llu reason=%s", key, YARD_QUOTED (submodel),
                   (unsigned long long) bytes, reason);
    yard_wire_init (load_evicted_type (), &evicted);
    evicted.model_key = yard_string (key);
    evicted.submodel_type = yard_string (submodel);
    evicted.device = yard_string (yard_actor_device (self->actor));
    evicted.bytes = bytes;
    evicted.reason = yard_string (reason);
    evicted.timestamp = (double) yard_wall_ms (self->actor) / 1000;
    yard_publish (self->actor, &model_evicted_event, key, &evicted);
}

/*  Every part of one model. */
static int evict_key (loader_t *self, yard_string_t key, yard_error_t *error)
{
    loader_load_row_t row;
    bool found = false;
    for (size_t at = 0; loader_loads_next (self->loads, &at, &row);) {
        if (!yard_string_is (key, row.key))
            continue;
        int rc = loader_tier_evict (self->tier, row.model, error);
        if (rc)
            return rc;
        found = true;
    }
    return found ? 0
                 : yard_error (error, YARD_UNKNOWN_MODEL,
                               "no model of this key is in memory here; `modelyard ps` lists them");
}

int loader_on_load_evict (loader_t *self, yard_request_t *request, const load_evict_ask_t *ask)
{
    loader_tier_numbers_t before, after;
    loader_tier_numbers (self->tier, &before);
    int rc = 0;
    if (ask->has_key)
        rc = evict_key (self, ask->key, yard_request_error (request));
    else
        loader_tier_make_room (self->tier, ask->has_bytes ? ask->bytes : UINT64_MAX);
    if (rc)
        return rc;
    loader_tier_numbers (self->tier, &after);
    load_evict_answer_t answer;
    yard_wire_init (load_evict_answer_type (), &answer);
    answer.models = after.lru.evictions - before.lru.evictions;
    answer.bytes = after.lru.evicted_bytes - before.lru.evicted_bytes;
    loader_leases_changed (self);
    return yard_reply (request, &answer);
}

/*  --- progress */

void loader_progress_changed (loader_t *self)
{
    yard_timer_set (self->progress_timer, loader_loads_under_way (self->loads) > 0 ? PROGRESS_MS : -1);
}

static void tell (loader_t *self, const loader_load_row_t *row)
{
    int64_t took_ms = yard_now_ms (self->actor) - row->since_ms;
    load_progress_t progress;
    yard_wire_init (load_progress_type (), &progress);
    progress.model_key = yard_string (row->key);
    progress.submodel_type = yard_string (row->submodel);
    progress.device = yard_string (yard_actor_device (self->actor));
    progress.bytes = row->bytes;
    progress.total_bytes = row->total_bytes;
    progress.bytes_per_s = took_ms > 0 ? row->bytes * 1000 / (uint64_t) took_ms : 0;
    progress.timestamp = (double) yard_wall_ms (self->actor) / 1000;
    yard_publish (self->actor, &model_load_progress_event, row->key, &progress);
}

void loader_on_progress (void *actor_self, void *argument)
{
    (void) argument;
    loader_t *self = actor_self;
    loader_load_row_t row;
    for (size_t at = 0; loader_loads_next_under_way (self->loads, &at, &row);)
        if (row.total_bytes > 0)
            tell (self, &row);
    loader_progress_changed (self);
}
