// SPDX-License-Identifier: Apache-2.0
/*  installer.c - takes a model from its source into the yard, one step of one install at a time
 *
 *  Promises: a model is in its final folder only whole, with a manifest that proves its bytes; a killed
 *  installer loses nothing; what is cancelled leaves nothing behind. Refuses: sources it does not know, names
 *  that leave the models directory, installing over another model.
 */
#include "installer.h"

#include "actors/ground/durable.h"

#define BEAT_MS 1000 /* leases are extended, progress is told (ARCHITECTURE 5) */
#define AGAIN_MS 1000 /* a sync waits for the running one */
#define SWEEP_MS 60000 /* staging of ended jobs is looked for */

static void on_retry (void *pointer, void *argument)
{
    (void) argument;
    installer_lease_more (pointer);
}

static void on_again (void *pointer, void *argument)
{
    (void) argument;
    installer_t *self = pointer;
    if (self->sync)
        yard_timer_set (self->again, AGAIN_MS); /* what it is for may lie behind the running one */
    else
        installer_sync_begin (self);
}

static void on_sweep (void *pointer, void *argument)
{
    (void) argument;
    installer_t *self = pointer;
    installer_sweep_staging (self);
    yard_timer_set (self->sweep, SWEEP_MS);
}

/*  Tells how far every lease is; brings back what was revoked. */
static void on_extended (void *pointer, void *argument, const yard_outcome_t *outcome)
{
    (void) argument;
    installer_t *self = pointer;
    if (outcome->code)
        return;
    const job_extend_answer_t *answer = outcome->answer;
    for (size_t i = 0; i < answer->revoked.count; i++)
        for (size_t k = 0; k < INSTALLER_LEASES_MAX; k++) {
            installer_lease_t *lease = self->leases [k];
            if (!lease || lease->job.id != answer->revoked.items [i].job ||
                lease->token != answer->revoked.items [i].token)
                continue; /* a later lease of the same job goes on */
            yard_log_info ("lease.revoked", "job=%lu why=%.*s", (unsigned long) lease->job.id,
                           YARD_VIEW (answer->revoked.items [i].why));
            lease->revoked = true;
            lease->clean = yard_string_is (answer->revoked.items [i].why, "cancelled");
            atomic_store (&lease->stop, true);
        }
}

static void on_beat (void *pointer, void *argument)
{
    (void) argument;
    installer_t *self = pointer;
    job_progress_t rows [INSTALLER_LEASES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < INSTALLER_LEASES_MAX; i++) {
        installer_lease_t *lease = self->leases [i];
        if (!lease || lease->revoked)
            continue;
        yard_wire_init (job_progress_type (), &rows [count]);
        rows [count].job = lease->job.id;
        rows [count].token = lease->token;
        rows [count].bytes = atomic_load (&lease->bytes);
        rows [count].total_bytes = atomic_load (&lease->total_bytes);
        count++;
    }
    if (count > 0) {
        job_extend_ask_t ask = { .leases = { rows, count } };
        yard_ask (self->actor, &job_extend_method, &ask, NULL, on_extended, NULL);
    }
    yard_timer_set (self->beat, BEAT_MS);
}

static int installer_open (void *pointer, yard_actor_t *actor, yard_error_t *error)
{
    installer_t *self = pointer;
    self->actor = actor;
    yard_string_t models = yard_actor_configuration (actor)->models_dir;
    if (models.size >= sizeof self->models)
        return yard_error (error, YARD_INVALID_CONFIG, "models_dir is longer than %zu bytes",
                           sizeof self->models - 1);
    memcpy (self->models, models.data, models.size);
    char staging [PATH_MAX];
    int code = yard_path_join (staging, self->models, ".staging", error);
    if (code == 0)
        code = yard_durable_mkdir (staging, 0755, error);
    if (code)
        return code;
    self->retry = yard_timer_new (actor, on_retry, NULL);
    self->beat = yard_timer_new (actor, on_beat, NULL);
    self->sweep = yard_timer_new (actor, on_sweep, NULL);
    self->again = yard_timer_new (actor, on_again, NULL);
    yard_timer_set (self->beat, BEAT_MS);
    yard_timer_set (self->sweep, SWEEP_MS);
    return 0;
}

static void installer_welcomed (void *pointer, bool new_epoch)
{
    (void) new_epoch;
    installer_t *self = pointer;
    if (!self->synced)
        installer_sync_begin (self);
    else
        installer_lease_more (self);
}

static size_t installer_drain (void *pointer)
{
    installer_sync_stop (pointer);
    return installer_leases_drain (pointer);
}

static void installer_close (void *pointer)
{
    installer_t *self = pointer;
    installer_sync_destroy (self);
    installer_leases_destroy (self);
    yard_timer_destroy (&self->retry);
    yard_timer_destroy (&self->beat);
    yard_timer_destroy (&self->sweep);
    yard_timer_destroy (&self->again);
}

static const yard_route_t routes [] = {
    HANDLE (installer_t, install_import, installer_on_import),
    HANDLE (installer_t, install_get, installer_on_get),
    HANDLE (installer_t, install_list, installer_on_list),
    HANDLE (installer_t, install_wait, installer_on_wait),
    HANDLE (installer_t, install_cancel, installer_on_cancel),
    HANDLE (installer_t, install_delete, installer_on_delete),
    HANDLE (installer_t, install_sync, installer_on_sync),
    { 0 },
};

const yard_actor_class_t installer_class = {
    .name = "installer",
    .size = sizeof (installer_t),
    .routes = routes,
    .open = installer_open,
    .welcomed = installer_welcomed,
    .drain = installer_drain,
    .close = installer_close,
};

YARD_ACTOR_MAIN (installer_class)
