// SPDX-License-Identifier: Apache-2.0
/*  fill.c - the way of one model into memory: room, prepare, read, finish, held
 *
 *  A fill is only ever at one step, and each step ends in one function on the loop; whoever cancels it marks it, and the end of the
 *  step under way turns into the discard. The reader's and the device's threads see no more of it than its read and its first copy
 *  error, under its lock.
 */
#include <assert.h>
#include <fcntl.h>
#include "actors/ground/clock.h"
#include "actors/ground/fault.h"
#include "actors/loader/spread_group.h"
#include "actors/loader/spread_share.h"
#include "actors/loader/spread_slice.h"
#include "actors/loader/tier_inside.h"

static int64_t now_ns (void)
{
    const yard_clock_t *clock = yard_clock_system (); /* durations for people; nothing decides by them */
    return clock->monotonic_ns (clock->context);
}

static void phase (loader_fill_t *self, const char *name)
{
    int64_t now = now_ns ();
    if (self->phase_count < LOADER_PHASES_MAX)
        self->phases [self->phase_count++] =
            (loader_phase_t){ name, (uint64_t) (now - self->mark_ns) / 1000 };
    self->mark_ns = now;
}

/*  --- work that blocks: on the device thread, or the pool for the host */

static int on_device_thread (void *argument, const loader_device_class_t *class, loader_device_t *device,
                             yard_error_t *error)
{
    loader_fill_t *self = argument;
    return self->work (self, class, device, error);
}

static void on_pool (void *argument)
{
    loader_fill_t *self = argument;
    self->error.code = self->work (self, NULL, NULL, &self->error);
}

static void worked_on_device (void *argument, const yard_error_t *error)
{
    loader_fill_t *self = argument;
    self->error = *error;
    self->next (self);
}

static void worked_on_pool (void *actor_self, void *argument)
{
    (void) actor_self;
    loader_fill_t *self = argument;
    self->next (self);
}

static void run (loader_fill_t *self,
                 int (*blocking) (loader_fill_t *, const loader_device_class_t *, loader_device_t *,
                                  yard_error_t *),
                 void (*next) (loader_fill_t *))
{
    self->step = LOADER_FILL_WORKING;
    self->work = blocking;
    self->next = next;
    self->error = (yard_error_t){ 0 };
    if (self->tier->device) {
        loader_device_thread_do (self->tier->device, on_device_thread, worked_on_device, self);
    } else if (self->tier->closing) {
        on_pool (self);
        next (self);
    } else
        yard_offload (self->tier->actor, on_pool, worked_on_pool, self);
}

/*  --- the end */

/*  The model may end in done. */
static void end (loader_fill_t *self, const yard_error_t *error)
{
    loader_fill_close_sources (self);
    self->tier->fills--;
    if (error->code == YARD_DEVICE_LOST)
        loader_tier_lost (self->tier, error);
    self->wish.done (self->wish.argument, error, self->phases, self->phase_count);
    free (self->own_runs);
    pthread_mutex_destroy (&self->lock);
    free (self);
}

static int do_discard (loader_fill_t *self, const loader_device_class_t *class, loader_device_t *device,
                       yard_error_t *error)
{
    (void) error;
    self->tier->kind->discard (self->wish.model, class, device);
    return 0;
}

static void discarded (loader_fill_t *self)
{
    loader_tier_t *tier = self->tier;
    loader_reservation_cancel (&self->reservation);
    end (self, &self->copy_error);
    loader_tier_stir (tier);
}

static void tell_group (loader_fill_t *self, loader_group_t *group)
{
    pthread_mutex_lock (&self->lock);
    self->group = group;
    pthread_mutex_unlock (&self->lock);
}

/*  From now on the fill goes on by itself. */
static const loader_fill_sharing_t *end_sharing (loader_fill_t *self)
{
    const loader_fill_sharing_t *sharing = self->wish.sharing;
    self->wish.sharing = NULL;
    tell_group (self, NULL);
    return sharing;
}

/*  Why is kept where the discard does not overwrite it. */
static void fail (loader_fill_t *self, const yard_error_t *error)
{
    const loader_fill_sharing_t *sharing = end_sharing (self);
    if (sharing)
        sharing->failed (sharing->argument);
    self->copy_error = *error;
    run (self, do_discard, discarded);
}

/*  Has the step that just ended failed, or is nobody interested any more? Then the fill is on its way out. */
static bool over (loader_fill_t *self)
{
    if (self->error.code == 0 && self->cancelled)
        yard_error (&self->error, YARD_CANCELLED, "the load was cancelled");
    if (self->error.code == 0)
        return false;
    fail (self, &self->error);
    return true;
}

/*  --- finish */

static int do_finish (loader_fill_t *self, const loader_device_class_t *class, loader_device_t *device,
                      yard_error_t *error)
{
    if (FAULT ("loader.before_finish"))
        return yard_error (error, YARD_INTERNAL, "a test broke this load before it was finished");
    return self->tier->kind->finish (self, class, device, error);
}

static void finished (loader_fill_t *self)
{
    phase (self, "finish");
    if (over (self))
        return;
    self->wish.model->checked_bytes = loader_fill_checked (self);
    loader_reservation_shrink (self->reservation, self->need);
    loader_tier_hold (self->tier, self->wish.model, &self->reservation);
    end (self, &self->error);
}

/*  --- read */

static void read_what_lacks (loader_fill_t *self);

static void read_over (void *argument)
{
    loader_fill_t *self = argument;
    phase (self, "read");
    if (self->copy_error.code)
        self->error = self->copy_error;
    if (self->again && !self->cancelled) {
        read_what_lacks (self);
        return;
    }
    if (over (self))
        return;
    if (self->wish.sharing) {
        self->step = LOADER_FILL_HELD;
        self->wish.sharing->read_over (self->wish.sharing->argument);
    } else
        run (self, do_finish, finished);
}

/*  On a thread of the reader. */
static void on_read_done (void *argument, const yard_error_t *error)
{
    loader_fill_t *self = argument;
    pthread_mutex_lock (&self->lock);
    self->read = NULL;
    self->error = *error;
    pthread_mutex_unlock (&self->lock);
    loader_mail_post (self->tier->mail, read_over, self);
}

/*  On the device thread: the slot's bytes have left it. */
static void on_copied (void *argument, const loader_device_copy_t *copy, const yard_error_t *error)
{
    loader_fill_t *self = argument;
    pthread_mutex_lock (&self->lock);
    loader_read_t *read = self->read; /* lives: its done waits for this slot */
    loader_group_t *group = self->group; /* lives: it leaves on this thread, after we are back */
    if (error->code && !self->copy_error.code) {
        self->copy_error = *error;
        loader_read_cancel (read);
    }
    pthread_mutex_unlock (&self->lock);
    if (group && error->code == 0)
        loader_group_copied (group, copy->to, copy->size);
    loader_slot_return (read, copy->index);
}

/*  On a thread of the reader. */
static void on_filled (void *argument, const loader_slot_t *slot)
{
    loader_fill_t *self = argument;
    loader_device_copy_t copy = { .memory = self->wish.model->allocation,
                                  .to = slot->to,
                                  .data = slot->data,
                                  .size = slot->size,
                                  .index = slot->index,
                                  .copied = on_copied,
                                  .argument = self };
    if (slot->to >= LOADER_PACKED)
        loader_slice_pack (&self->wish.model->plan, slot, &copy.to, &copy.size);
    if (copy.size > 0) {
        loader_device_thread_copy (self->tier->device, &copy);
        return;
    }
    pthread_mutex_lock (&self->lock);
    loader_read_t *read = self->read;
    pthread_mutex_unlock (&self->lock);
    loader_slot_return (read, slot->index);
}

static int start_reading (loader_fill_t *self, yard_error_t *error)
{
    loader_tier_t *tier = self->tier;
    int rc = loader_tier_reader (tier, error);
    if (rc)
        return rc;
    const loader_read_wish_t wish = { .sources = self->sources,
                                      .source_count = self->source_count,
                                      .runs = self->runs,
                                      .run_count = self->run_count,
                                      .filled = tier->device ? on_filled : NULL,
                                      .done = on_read_done,
                                      .argument = self,
                                      .priority = self->wish.priority,
                                      .deadline_ms = self->wish.deadline_ms };
    self->step = LOADER_FILL_READING;
    /*  Under the lock, since a copy may be over before start returns. */
    pthread_mutex_lock (&self->lock);
    rc = loader_read_start (tier->reader, &wish, &self->read, error);
    pthread_mutex_unlock (&self->lock);
    return rc;
}

/*  Reads the runs of the fill; one that cannot begin has failed. */
static void read_runs (loader_fill_t *self)
{
    self->bytes = 0;
    for (size_t at = 0; at < self->run_count; at++)
        self->bytes += self->runs [at].bytes;
    yard_error_t error = { 0 };
    error.code = start_reading (self, &error);
    if (error.code)
        fail (self, &error);
}

static void take_runs (loader_fill_t *self, loader_run_t *runs, size_t count)
{
    free (self->own_runs);
    self->runs = self->own_runs = runs;
    self->run_count = count;
}

static void read_what_lacks (loader_fill_t *self)
{
    const loader_plan_t *plan = &self->wish.model->plan;
    loader_run_t *runs;
    size_t count = loader_share_rest (plan->runs, plan->run_count, self->good, &runs);
    self->again = false;
    self->copy_error = (yard_error_t){ 0 };
    take_runs (self, runs, count);
    read_runs (self);
}

/*  --- prepare */

static int do_prepare (loader_fill_t *self, const loader_device_class_t *class, loader_device_t *device,
                       yard_error_t *error)
{
    return self->tier->kind->prepare (self, class, device, error);
}

static void prepared (loader_fill_t *self)
{
    phase (self, "prepare");
    if (over (self))
        return;
    if (self->wish.sharing) {
        self->step = LOADER_FILL_HELD;
        self->wish.sharing->prepared (self->wish.sharing->argument, self);
    } else
        read_runs (self);
}

/*  --- room */

static void on_room (void *argument, const yard_error_t *refusal)
{
    loader_fill_t *self = argument;
    phase (self, "room");
    if (!refusal) {
        run (self, do_prepare, prepared);
        return;
    }
    self->reservation = NULL;
    end (self, refusal);
}

int loader_fill_start (loader_tier_t *self, const loader_fill_wish_t *wish, loader_fill_t **ret,
                       yard_error_t *error)
{
    loader_fill_t *fill = calloc (1, sizeof *fill);
    if (!fill)
        abort ();
    *fill = (loader_fill_t){ .tier = self, .wish = *wish, .mark_ns = now_ns () };
    if (wish->sharing)
        wish->model->padding = loader_share_padding ((unsigned) wish->sharing->ranks);
    fill->need = loader_tier_need (self, wish->model);
    uint64_t extra = wish->sharing ? wish->sharing->extra_bytes : 0;
    loader_room_wish_t room = { .bytes = fill->need + extra,
                                .priority = wish->priority,
                                .deadline_ms = wish->deadline_ms,
                                .answer = on_room,
                                .argument = fill };
    int rc = loader_ledger_ask (self->ledger, &room, &fill->reservation, error);
    if (rc == YARD_OUT_OF_MEMORY && extra > 0) {
        room.bytes = fill->need;
        fill->apart = true;
        rc = loader_ledger_ask (self->ledger, &room, &fill->reservation, error);
    }
    if (rc) {
        free (fill);
        return rc;
    }
    pthread_mutex_init (&fill->lock, NULL);
    loader_fill_take_sources (fill);
    self->fills++;
    loader_tier_stir (self);
    *ret = fill;
    return 0;
}

static void cancelled_while_asking (void *argument)
{
    yard_error_t error = { 0 };
    yard_error (&error, YARD_CANCELLED, "the load was cancelled while it waited for room");
    end (argument, &error);
}

void loader_fill_cancel (loader_fill_t *self)
{
    if (self->cancelled)
        return;
    self->cancelled = true;
    if (self->step == LOADER_FILL_ASKING) {
        loader_tier_t *tier = self->tier;
        loader_reservation_cancel (&self->reservation);
        loader_mail_post (tier->mail, cancelled_while_asking, self);
        loader_tier_stir (tier);
        return;
    }
    if (self->step == LOADER_FILL_HELD) {
        over (self);
        return;
    }
    pthread_mutex_lock (&self->lock);
    if (self->read)
        loader_read_cancel (self->read);
    pthread_mutex_unlock (&self->lock);
}

/*  --- shared */

loader_model_t *loader_fill_model (const loader_fill_t *self)
{
    return self->wish.model;
}

bool loader_fill_is_apart (const loader_fill_t *self)
{
    return self->apart;
}

void loader_fill_read (loader_fill_t *self, loader_run_t *runs, size_t count, loader_group_t *group)
{
    assert (self->step == LOADER_FILL_HELD);
    tell_group (self, group);
    take_runs (self, runs, count);
    phase (self, "join");
    read_runs (self);
}

void loader_fill_forget_group (loader_fill_t *self)
{
    tell_group (self, NULL);
}

void loader_fill_finish (loader_fill_t *self)
{
    assert (self->step == LOADER_FILL_HELD);
    phase (self, "gather");
    end_sharing (self);
    run (self, do_finish, finished);
}

void loader_fill_alone (loader_fill_t *self, uint64_t good)
{
    end_sharing (self);
    self->good = good;
    if (self->cancelled || self->step == LOADER_FILL_ASKING || self->step == LOADER_FILL_WORKING)
        return;
    if (self->step == LOADER_FILL_HELD) {
        read_what_lacks (self);
        return;
    }
    self->again = true;
    pthread_mutex_lock (&self->lock);
    if (self->read)
        loader_read_cancel (self->read);
    pthread_mutex_unlock (&self->lock);
}

void loader_fill_give_time (loader_fill_t *self, int64_t deadline_ms)
{
    self->wish.deadline_ms = deadline_ms;
    if (self->step == LOADER_FILL_ASKING && !self->cancelled)
        loader_reservation_give_time (self->reservation, deadline_ms);
}

void loader_fill_progress (loader_fill_t *self, uint64_t *ret_bytes, uint64_t *ret_total)
{
    *ret_total = self->bytes;
    pthread_mutex_lock (&self->lock);
    *ret_bytes = self->read ? loader_read_bytes (self->read) : self->bytes; /* before the read it is 0 */
    pthread_mutex_unlock (&self->lock);
}
