// SPDX-License-Identifier: Apache-2.0
/*  leases.c - gets steps from the recorder, keeps them alive, hands them on
 *
 *  One job.lease is open while there is room. A lease ends in exactly one of expand, fail and done; a revoked
 *  one ends silently, and if it was cancelled its staging goes.
 */
#include "installer.h"

#include <assert.h>
#include "actors/ground/durable.h"

#define LEASE_ARENA_MAX (64u * 1024 * 1024) /* a job's row, its answers, and the manifest of 1,024 files */
#define AGAIN_AFTER_MS 30000 /* until the prober, or whatever else a step lacked, may be back */
#define RETRY_FIRST_MS 100 /* a recorder restarts in well under a second */
#define RETRY_MAX_MS 5000 /* … or somebody has to start it by hand */

static const struct {
    const char *name;
    void (*begin) (installer_lease_t *lease);
    bool alone; /* one at a time per models directory (R2.4) */
} steps [] = {
    { "", installer_step_resolve, false },
    { "resolve", installer_step_resolve, false },
    { "probe", installer_step_probe, true },
    { "place", installer_step_place, true },
};

static size_t room (const installer_t *self)
{
    size_t free_slots = 0;
    for (size_t i = 0; i < INSTALLER_LEASES_MAX; i++)
        free_slots += self->leases [i] == NULL;
    return free_slots;
}

static bool turn_is_free (const installer_t *self)
{
    for (size_t i = 0; i < INSTALLER_LEASES_MAX; i++)
        if (self->leases [i] && self->leases [i]->placing)
            return false;
    return true;
}

static void begin (installer_lease_t *lease)
{
    for (size_t i = 0; i < sizeof steps / sizeof steps [0]; i++)
        if (yard_string_is (lease->job.step, steps [i].name)) {
            if (steps [i].alone && !turn_is_free (lease->owner)) {
                lease->waiting_turn = true;
                return;
            }
            lease->waiting_turn = false;
            lease->placing = steps [i].alone;
            yard_log_info ("step.begin", "job=%lu step=%s", (unsigned long) lease->job.id,
                           *steps [i].name ? steps [i].name : "resolve");
            steps [i].begin (lease);
            return;
        }
    installer_lease_fail (lease, YARD_INTERNAL, false,
                          "the job's step is not one this installer knows; is it older?");
}

/*  A step that waited for its turn may begin now. */
static void next_turn (installer_t *self)
{
    for (size_t i = 0; i < INSTALLER_LEASES_MAX; i++) {
        installer_lease_t *lease = self->leases [i];
        if (!lease || !lease->waiting_turn)
            continue;
        if (lease->revoked)
            installer_lease_done (lease);
        else
            begin (lease);
        return;
    }
}

static void destroy_lease (installer_lease_t *lease)
{
    installer_t *self = lease->owner;
    for (size_t i = 0; i < INSTALLER_LEASES_MAX; i++)
        if (self->leases [i] == lease)
            self->leases [i] = NULL;
    yard_arena_t *arena = lease->arena; /* the lease lives in it */
    yard_arena_destroy (&arena);
}

/*  A file copy that is under way holds its lease until the thread has seen the stop; so destroying is always
 *  safe here. */
static void remove_staging (void *argument)
{
    installer_lease_t *lease = argument;
    yard_error_t error = { 0 };
    if (yard_durable_remove (lease->staging, &error))
        yard_log_warning ("staging.not_removed", "job=%lu error=%s", (unsigned long) lease->job.id,
                          error.text);
}

static void after_removal (void *pointer, void *argument)
{
    installer_t *self = pointer;
    destroy_lease (argument);
    next_turn (self);
    installer_lease_more (self);
}

void installer_lease_done (installer_lease_t *lease)
{
    lease->placing = false;
    lease->waiting_turn = false;
    if (lease->clean)
        yard_offload (lease->owner->actor, remove_staging, after_removal, lease);
    else
        after_removal (lease->owner, lease);
}

/*  Our last word may not have been heard, and an open job.lease still names this one as ours: it would lie
 *  until its term is over. A new job.lease says what we hold, and the rest goes back to the queue at once. */
void installer_lease_unheard (installer_lease_t *lease)
{
    installer_t *self = lease->owner;
    if (self->asked)
        yard_withdraw (self->actor, self->asked);
    self->asked = 0;
    installer_lease_done (lease);
}

static void on_handed_on (void *pointer, void *argument, const yard_outcome_t *outcome)
{
    (void) pointer;
    installer_lease_t *lease = argument;
    if (outcome->code)
        yard_log_warning ("step.not_handed_on", "job=%lu code=%s text=%s", (unsigned long) lease->job.id,
                          yard_error_row (outcome->code)->word, outcome->text);
    if (outcome->code == YARD_CANCELLED || outcome->code == YARD_TOO_LATE)
        lease->clean = true;
    if (outcome->code)
        installer_lease_unheard (lease);
    else
        installer_lease_done (lease);
}

void installer_lease_expand (installer_lease_t *lease, const job_expand_ask_t *ask)
{
    if (lease->revoked) {
        installer_lease_done (lease);
        return;
    }
    yard_ask (lease->owner->actor, &job_expand_method, ask, NULL, on_handed_on, lease);
}

void installer_lease_fail (installer_lease_t *lease, int code, bool again, const char *text)
{
    yard_log_warning ("step.failed", "job=%lu code=%s text=%s", (unsigned long) lease->job.id,
                      yard_error_row (code)->word, text);
    if (lease->revoked) {
        installer_lease_done (lease);
        return;
    }
    job_fail_ask_t ask;
    yard_wire_init (job_fail_ask_type (), &ask);
    ask.job = lease->job.id;
    ask.token = lease->token;
    ask.error_type = yard_string (yard_error_row (code)->word);
    ask.error = yard_string (text);
    ask.again = again;
    bool full = code == YARD_DISK_FULL || code == YARD_STORE_FAILED;
    uint64_t disk_wait_ms = yard_actor_configuration (lease->owner->actor)->jobs.disk_wait_ms;
    ask.after_ms = !again ? 0 : full ? disk_wait_ms : AGAIN_AFTER_MS;
    yard_ask (lease->owner->actor, &job_fail_method, &ask, NULL, on_handed_on, lease);
}

static void take_grant (installer_t *self, const job_grant_t *grant)
{
    yard_arena_t *arena = yard_arena_new (LEASE_ARENA_MAX);
    installer_lease_t *lease = yard_arena_alloc (arena, sizeof *lease);
    lease->owner = self;
    lease->arena = arena;
    lease->token = grant->token;
    yard_wire_copy (job_type (), &grant->job, arena, &lease->job);
    /* Told with the next beat: a step that moves no bytes must not set back what the row says of them. */
    atomic_store (&lease->bytes, lease->job.bytes);
    atomic_store (&lease->total_bytes, lease->job.total_bytes);
    lease->staging = installer_staging_path (self, lease->job.id, arena);
    for (size_t i = 0; i < INSTALLER_LEASES_MAX; i++)
        if (!self->leases [i]) {
            self->leases [i] = lease;
            begin (lease);
            return;
        }
    assert (false && "granted more than there was room for");
}

static void on_leased (void *pointer, void *argument, const yard_outcome_t *outcome)
{
    (void) argument;
    installer_t *self = pointer;
    if (outcome->code == YARD_CANCELLED)
        return; /* we withdrew it, and another may be open */
    self->asked = 0;
    if (outcome->code) {
        self->retry_ms = self->retry_ms ? self->retry_ms * 2 : RETRY_FIRST_MS;
        if (self->retry_ms > RETRY_MAX_MS)
            self->retry_ms = RETRY_MAX_MS;
        yard_timer_set (self->retry, self->retry_ms);
        return;
    }
    self->retry_ms = 0;
    const job_lease_answer_t *answer = outcome->answer;
    for (size_t i = 0; i < answer->grants.count && room (self) > 0; i++)
        take_grant (self, &answer->grants.items [i]);
    installer_lease_more (self);
}

void installer_lease_more (installer_t *self)
{
    if (self->asked || !self->synced || room (self) == 0 || yard_actor_draining (self->actor))
        return;
    job_kind_t kinds [] = { job_kind_install };
    job_holding_t holding [INSTALLER_LEASES_MAX];
    job_lease_ask_t ask;
    yard_wire_init (job_lease_ask_type (), &ask);
    ask.kinds.items = kinds;
    ask.kinds.count = 1;
    ask.node = yard_string (yard_actor_node (self->actor));
    ask.member = yard_string (yard_actor_instance (self->actor));
    ask.room = room (self);
    ask.holding.items = holding;
    for (size_t i = 0; i < INSTALLER_LEASES_MAX; i++)
        if (self->leases [i] && !self->leases [i]->revoked)
            holding [ask.holding.count++] =
                (job_holding_t){ self->leases [i]->job.id, self->leases [i]->token };
    self->asked = yard_ask (self->actor, &job_lease_method, &ask, NULL, on_leased, NULL);
}

size_t installer_leases_drain (installer_t *self)
{
    if (self->asked) {
        yard_withdraw (self->actor, self->asked);
        self->asked = 0;
    }
    size_t open = 0;
    for (size_t i = 0; i < INSTALLER_LEASES_MAX; i++) {
        installer_lease_t *lease = self->leases [i];
        if (!lease)
            continue;
        open++;
        if (lease->revoked)
            continue;
        /* Handed back unharmed: the next installer begins the step again. */
        job_release_ask_t ask = { .job = lease->job.id, .token = lease->token };
        yard_ask (self->actor, &job_release_method, &ask, NULL, NULL, NULL);
        lease->revoked = true;
        atomic_store (&lease->stop, true);
        if (lease->waiting_turn)
            installer_lease_done (lease);
    }
    return open;
}

void installer_leases_destroy (installer_t *self)
{
    for (size_t i = 0; i < INSTALLER_LEASES_MAX; i++)
        if (self->leases [i])
            destroy_lease (self->leases [i]);
}
