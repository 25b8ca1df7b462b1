// SPDX-License-Identifier: Apache-2.0
/*  tier.c - a ledger, the LRU over it, and who frees what has left it
 *
 *  Bytes are given back when they are free and not before: a model that nobody uses any more is freed off the loop (gigabytes of pages
 *  take their time), and until then its bytes count as draining.
 */
#include "actors/loader/tier_inside.h"

#include <assert.h>
#include "actors/ground/log.h"
#include "actors/loader/memory_limits.h"

#define HOST "host"

/*  --- a turn of the ledger */

void loader_tier_stir (loader_tier_t *self)
{
    yard_timer_set (self->stirred, 0);
}

void loader_tier_lost (loader_tier_t *self, const yard_error_t *error)
{
    yard_log_error ("device.lost", "device=%s text=%s", yard_actor_device (self->actor),
                    YARD_QUOTED (error->text));
    yard_actor_stop (self->actor, YARD_EXIT_BROKEN);
}

static void arm (loader_tier_t *self)
{
    int64_t now = yard_now_ms (self->actor), due = loader_ledger_next_ms (self->ledger);
    int64_t expiry = loader_lru_next_ms (self->lru);
    if (expiry < due)
        due = expiry;
    yard_timer_set (self->stirred, due == INT64_MAX ? -1 : due > now ? due - now : 0);
}

static void on_stirred (void *actor_self, void *argument)
{
    (void) actor_self;
    loader_tier_t *self = argument;
    int64_t now = yard_now_ms (self->actor);
    self->reason = "time";
    loader_lru_expire (self->lru, now);
    self->reason = "room";
    loader_ledger_settle (self->ledger, now);
    arm (self);
}

/*  --- the end of a model's memory */

typedef struct {
    loader_tier_t *tier;
    loader_model_t *model;
} burial_t;

static int bury (void *argument, const loader_device_class_t *class, loader_device_t *device,
                 yard_error_t *error)
{
    (void) error;
    const burial_t *burial = argument;
    burial->tier->kind->discard (burial->model, class, device);
    return 0;
}

static void bury_on_pool (void *argument)
{
    bury (argument, NULL, NULL, NULL);
}

static void buried (void *argument, const yard_error_t *error)
{
    (void) error;
    burial_t *burial = argument;
    loader_tier_t *self = burial->tier;
    loader_hold_t *hold = burial->model->keeper.hold;
    loader_ledger_move (self->ledger, LOADER_BYTES_COMING, LOADER_BYTES_FREE, hold->bytes);
    free (hold);
    loader_model_free (burial->model);
    free (burial);
    loader_tier_stir (self);
}

static void buried_on_pool (void *actor_self, void *argument)
{
    (void) actor_self;
    buried (argument, NULL);
}

/*  Nobody uses the model any more. It has left the cache before: the cache is a user. */
static void on_ended (void *argument, loader_model_t *model)
{
    loader_tier_t *self = argument;
    loader_hold_t *hold = model->keeper.hold;
    assert (!hold->entry);
    if (hold->kind == LOADER_BYTES_KEPT)
        loader_ledger_move (self->ledger, LOADER_BYTES_KEPT, LOADER_BYTES_COMING, hold->bytes);
    burial_t *burial = malloc (sizeof *burial);
    if (!burial)
        abort ();
    *burial = (burial_t){ .tier = self, .model = model };
    if (self->device) {
        loader_device_thread_do (self->device, bury, buried, burial);
    } else if (self->closing) {
        bury_on_pool (burial);
        buried (burial, NULL);
    } else
        yard_offload (self->actor, bury_on_pool, buried_on_pool, burial);
}

/*  --- what is held */

void loader_tier_hold (loader_tier_t *self, loader_model_t *model, loader_reservation_t **reservation_p)
{
    loader_hold_t *hold = calloc (1, sizeof *hold);
    if (!hold)
        abort ();
    const loader_config_t *configuration = &yard_actor_configuration (self->actor)->loader;
    hold->bytes = loader_reservation_bytes (*reservation_p);
    hold->entry = loader_lru_add (self->lru, reservation_p, model, (int64_t) configuration->idle_ms,
                                  yard_now_ms (self->actor));
    model->keeper = (loader_keeper_t){ .ended = on_ended, .argument = self, .hold = hold };
}

static loader_hold_t *hold_of (const loader_model_t *model)
{
    return model->keeper.hold;
}

/*  The ledger's wish: an idle model goes. The owner's use is the only one. */
static void on_evict (void *argument, void *model_p, loader_fate_t *ret)
{
    loader_tier_t *self = argument;
    loader_model_t *model = model_p;
    loader_hold_t *hold = hold_of (model);
    hold->entry = NULL;
    hold->kind = LOADER_BYTES_COMING;
    ret->coming = hold->bytes;
    self->evicted (self->argument, model, self->reason);
}

void loader_tier_use (loader_tier_t *self, loader_model_t *model)
{
    loader_hold_t *hold = hold_of (model);
    if (hold && hold->entry)
        loader_entry_use (hold->entry, yard_now_ms (self->actor));
}

void loader_tier_release (loader_tier_t *self, loader_model_t *model)
{
    loader_hold_t *hold = hold_of (model);
    if (!hold || !hold->entry)
        return;
    loader_entry_release (hold->entry, yard_now_ms (self->actor));
    loader_tier_stir (self);
}

void loader_tier_retire (loader_tier_t *self, loader_model_t *model)
{
    (void) self;
    loader_hold_t *hold = hold_of (model);
    if (!hold || !hold->entry)
        return;
    hold->kind = LOADER_BYTES_KEPT;
    loader_entry_retire (&hold->entry);
}

int loader_tier_evict (loader_tier_t *self, loader_model_t *model, yard_error_t *error)
{
    loader_hold_t *hold = hold_of (model);
    if (!hold || !hold->entry)
        return 0;
    self->reason = "asked";
    loader_entry_t *entry = hold->entry;
    int rc = loader_entry_evict (&entry, error);
    loader_tier_stir (self);
    return rc;
}

void loader_tier_make_room (loader_tier_t *self, uint64_t bytes)
{
    uint64_t there = loader_ledger_bytes (self->ledger, LOADER_BYTES_FREE) +
                     loader_ledger_bytes (self->ledger, LOADER_BYTES_COMING);
    uint64_t idle = loader_ledger_bytes (self->ledger, LOADER_BYTES_IDLE);
    self->reason = "asked";
    if (bytes > there && bytes - there >= idle)
        loader_lru_empty (self->lru);
    else if (bytes > there)
        loader_lru_free (self->lru, bytes - there);
    loader_tier_stir (self);
}

/*  --- looking */

uint64_t loader_tier_need (const loader_tier_t *self, const loader_model_t *model)
{
    if (!self->device)
        return model->bytes;
    uint64_t step = loader_device_thread_about (self->device)->granularity;
    uint64_t bytes = model->plan.bytes + model->padding;
    bytes = bytes ? bytes : 1;
    return step ? (bytes + step - 1) / step * step : bytes;
}

loader_verdict_t loader_tier_estimate (const loader_tier_t *self, uint64_t bytes, int priority,
                                       uint64_t *ret_evict)
{
    const loader_room_wish_t wish = { .bytes = bytes,
                                      .priority = priority,
                                      .deadline_ms = LOADER_NO_DEADLINE };
    return loader_ledger_estimate (self->ledger, &wish, ret_evict);
}

void loader_tier_numbers (const loader_tier_t *self, loader_tier_numbers_t *ret)
{
    loader_ledger_numbers (self->ledger, &ret->ledger);
    loader_lru_numbers (self->lru, &ret->lru);
    ret->reader = (loader_reader_counts_t){ 0 };
    if (self->reader)
        loader_reader_counts (self->reader, &ret->reader);
}

bool loader_tier_is_device (const loader_tier_t *self)
{
    return self->device != NULL;
}

const loader_device_about_t *loader_tier_about (const loader_tier_t *self)
{
    return self->device ? loader_device_thread_about (self->device) : NULL;
}

/*  --- the reader */

static int pin_ring (void *argument, const loader_device_class_t *class, loader_device_t *device,
                     yard_error_t *error)
{
    const loader_tier_t *self = argument;
    size_t bytes;
    void *ring = loader_reader_ring (self->reader, &bytes);
    return class->pin (device, ring, bytes, error);
}

static int unpin_ring (void *argument, const loader_device_class_t *class, loader_device_t *device,
                       yard_error_t *error)
{
    (void) error;
    const loader_tier_t *self = argument;
    size_t bytes;
    class->unpin (device, loader_reader_ring (self->reader, &bytes));
    return 0;
}

/*  A ring that could not be pinned copies more slowly, and right. */
static void pinned (void *argument, const yard_error_t *error)
{
    loader_tier_t *self = argument;
    self->pinned = error->code == 0;
    if (error->code)
        yard_log_warning ("ring.unpinned", "code=%s text=%s", yard_error_row (error->code)->word,
                          YARD_QUOTED (error->text));
}

int loader_tier_reader (loader_tier_t *self, yard_error_t *error)
{
    if (self->reader)
        return 0;
    const loader_reader_options_t options = {
        .in_flight_bytes = (size_t) yard_actor_configuration (self->actor)->loader.read_ahead_bytes,
        .ring = self->device != NULL,
    };
    int rc = loader_reader_new (&options, &self->reader, error);
    if (rc == 0 && self->device)
        loader_device_thread_do (self->device, pin_ring, pinned, self);
    return rc;
}

/*  --- life */

static int budget_of (const loader_tier_t *self, uint64_t *ret, yard_error_t *error)
{
    const loader_config_t *configuration = &yard_actor_configuration (self->actor)->loader;
    *ret = self->device ? configuration->device_bytes : configuration->host_bytes;
    if (*ret)
        return 0;
    if (!self->device)
        return loader_memory_host_budget (&loader_memory_files, "loader.host_bytes", ret, error);
    *ret = loader_memory_device_budget (loader_device_thread_about (self->device)->bytes_total,
                                        configuration->device_spare_bytes);
    return 0;
}

static int open_device (loader_tier_t *self, const char *device, yard_error_t *error)
{
    static const loader_export_t exports [] = {
        [export_form_auto] = LOADER_EXPORT_AUTO,
        [export_form_vmm] = LOADER_EXPORT_VMM,
        [export_form_ipc] = LOADER_EXPORT_IPC,
    };
    const loader_config_t *configuration = &yard_actor_configuration (self->actor)->loader;
    return loader_device_thread_new (device, exports [configuration->export], configuration->verify_copies,
                                     self->mail, &self->device, error);
}

int loader_tier_new (yard_actor_t *actor, const char *device, loader_evicted_fn *evicted, void *argument,
                     loader_tier_t **ret, yard_error_t *error)
{
    bool host = strcmp (device, HOST) == 0;
    loader_tier_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    *self = (loader_tier_t){ .actor = actor,
                             .kind = host ? &loader_host_memory : &loader_device_memory,
                             .evicted = evicted,
                             .argument = argument,
                             .reason = "room" };
    self->mail = loader_mail_new (actor);
    uint64_t budget = 0;
    int rc = host ? 0 : open_device (self, device, error);
    if (rc == 0)
        rc = budget_of (self, &budget, error);
    if (rc) {
        loader_tier_destroy (&self);
        return rc;
    }
    self->ledger = loader_ledger_new (budget, host ? "loader.host_bytes" : "loader.device_bytes",
                                      (size_t) yard_actor_configuration (actor)->loader.waiters_max);
    self->lru = loader_lru_new (self->ledger, on_evict, self);
    self->stirred = yard_timer_new (actor, on_stirred, self);
    *ret = self;
    return 0;
}

void loader_tier_close (loader_tier_t *self)
{
    self->closing = true;
    while (self->fills > 0)
        loader_mail_wait (self->mail);
}

void loader_tier_destroy (loader_tier_t **self_p)
{
    loader_tier_t *self = *self_p;
    if (!self)
        return;
    if (self->pinned)
        loader_device_thread_do (self->device, unpin_ring, NULL, self);
    loader_device_thread_destroy (&self->device);
    loader_reader_destroy (&self->reader);
    loader_mail_destroy (&self->mail);
    loader_lru_destroy (&self->lru);
    loader_ledger_destroy (&self->ledger);
    yard_timer_destroy (&self->stirred);
    free (self);
    *self_p = NULL;
}
