// SPDX-License-Identifier: Apache-2.0
/*  actor.c - the loop: one turn after the other
 *
 *  Start here. The order of a turn is what the whole yard leans on: what is due, what comes, what is ready,
 *  what has ended; then settle; then it is said. Each step is a file: timer.c, mailbox.c (request.c, ask.c,
 *  follow.c, hello.c), watch.c, settle.c, outbox.c (publish.c), drain.c. main.c makes a process of it.
 */
#include "actor_inside.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OFFLOAD_THREADS 2 /* enough that an fsync does not wait for a hash */

static int name_itself (yard_actor_t *self, yard_error_t *error)
{
    const yard_actor_class_t *class = self->class;
    yard_random_hex (self->options.random, self->instance, sizeof self->instance - 1);
    self->device = self->options.device ? self->options.device : "host";
    const char *last = class->placed ? self->device : self->instance;
    int size = class->placed || class->pool ? snprintf (self->place, sizeof self->place, "%s/%s/%s",
                                                        class->name, yard_actor_node (self), last)
                                            : snprintf (self->place, sizeof self->place, "%s", class->name);
    if (size >= (int) sizeof self->place)
        return yard_error (error, YARD_INVALID_CONFIG,
                           "the place %.60s… is longer than %zu bytes; shorten `node`", self->place,
                           sizeof self->place - 1);
    return 0;
}

static int start (yard_actor_t *self, yard_error_t *error)
{
    int code = name_itself (self, error);
    if (code == 0)
        code = yard_hello_prepare (self, error);
    if (code == 0)
        code = yard_bus_open (self->options.bus, YARD_SOCKET_DEALER, self->configuration->bus.command.data,
                              &self->socket, error);
    if (code)
        return code;
    size_t threads = self->class->offload_threads ? self->class->offload_threads : OFFLOAD_THREADS;
    self->pool = yard_offload_pool_new (self->options.offload_inline ? 0 : threads);
    self->handler_watch = self->options.offload_inline ? NULL : yard_handler_watch_new ();
    self->self = yard_zeroed (self->class->size);
    return self->class->open ? self->class->open (self->self, self, error) : 0;
}

/*  In the order of making, backwards; copes with half of it. */
static void tear_down (yard_actor_t *self)
{
    if (self->self && self->class->close)
        self->class->close (self->self);
    yard_offload_pool_destroy (&self->pool);
    yard_handler_watch_destroy (&self->handler_watch);
    yard_follows_free (self);
    yard_asks_drop_all (self);
    yard_outbox_forget (self);
    yard_watches_free (self);
    yard_socket_close (&self->socket);
    yard_message_clear (&self->message);
    yard_buffer_clear (&self->hello);
    yard_table_destroy (&self->requests);
    yard_table_destroy (&self->asks);
    yard_arena_destroy (&self->scratch);
    yard_arena_destroy (&self->event_scratch);
    yard_arena_destroy (&self->published_arena);
    free (self->published);
    free (self->timers);
    free (self->self);
    free (self);
}

int yard_actor_new (const yard_actor_class_t *class, const yard_actor_options_t *options, yard_actor_t **ret,
                    yard_error_t *error)
{
    yard_actor_t *self = yard_zeroed (sizeof *self);
    self->class = class;
    self->options = *options;
    self->configuration = yard_configuration_values (options->configuration);
    self->now_ms = yard_clock_ms (options->clock);
    self->requests = yard_table_new ();
    self->asks = yard_table_new ();
    self->scratch = yard_arena_new (YARD_ARENA_BYTES_MAX);
    self->event_scratch = yard_arena_new (YARD_ARENA_BYTES_MAX);
    yard_message_init (&self->message);
    yard_buffer_init (&self->hello, YARD_MESSAGE_MAX);
    int code = start (self, error);
    if (code) {
        tear_down (self);
        return code;
    }
    *ret = self;
    return 0;
}

void yard_actor_destroy (yard_actor_t **self_p)
{
    if (!*self_p)
        return;
    yard_actor_close_all (*self_p);
    tear_down (*self_p);
    *self_p = NULL;
}

/*  How long the poll may wait: not at all while something waits for this turn's settle. */
static int wait_ms (const yard_actor_t *self, int timeout_ms)
{
    bool work_here = yard_offload_pool_pending (self->pool) && yard_offload_pool_fd (self->pool) < 0;
    if (self->dirty || self->asks_ended.first || work_here)
        return 0;
    return yard_timers_wait_ms (self, timeout_ms);
}

static void reap (yard_actor_t *self)
{
    if (yard_offload_pool_pending (self->pool) == 0)
        return;
    yard_handler_watch_begin (self->handler_watch, "offloaded", "-");
    if (yard_offload_pool_reap (self->pool, self->self))
        self->dirty = true;
    yard_handler_watch_end (self->handler_watch);
}

bool yard_actor_turn (yard_actor_t *self, int timeout_ms, int *ret_exit)
{
    const yard_clock_t *clock = self->options.clock;
    int64_t begun_ns = clock->monotonic_ns (clock->context);
    uint64_t idle_before_us = self->idle_us;
    self->now_ms = begun_ns / 1000000;
    yard_asks_run_ended (self);
    yard_timers_run (self);
    yard_watches_poll (self, wait_ms (self, timeout_ms));
    reap (self);
    yard_drain_step (self);
    yard_settle (self);
    yard_outbox_flush (self);
    uint64_t turn_us = (uint64_t) (clock->monotonic_ns (clock->context) - begun_ns) / 1000;
    uint64_t waited_us = self->idle_us - idle_before_us;
    self->busy_us += turn_us > waited_us ? turn_us - waited_us : 0;
    return !yard_drain_ended (self, ret_exit);
}

void yard_offload (yard_actor_t *self, yard_work_fn *work, yard_done_fn *done, void *argument)
{
    yard_offload_pool_submit (self->pool, work, done, argument);
}

/*  --- what an actor may know */
void *yard_actor_self (const yard_actor_t *self)
{
    return self->self;
}

void *yard_actor_prepared (const yard_actor_t *self)
{
    return self->options.prepared;
}

int64_t yard_now_ms (const yard_actor_t *self)
{
    return self->now_ms;
}

int64_t yard_wall_ms (const yard_actor_t *self)
{
    return yard_clock_wall_ms (self->options.clock);
}

yard_random_t *yard_actor_random (yard_actor_t *self)
{
    return self->options.random;
}

const configuration_t *yard_actor_configuration (const yard_actor_t *self)
{
    return self->configuration;
}

const yard_paths_t *yard_actor_paths (const yard_actor_t *self)
{
    return self->options.paths;
}

const char *yard_actor_place (const yard_actor_t *self)
{
    return self->place;
}

const char *yard_actor_instance (const yard_actor_t *self)
{
    return self->instance;
}

const char *yard_actor_node (const yard_actor_t *self)
{
    return self->configuration->node.data;
}

const char *yard_actor_device (const yard_actor_t *self)
{
    return self->device;
}

/*  ASCII only: a note that cannot be packed would cost the pong, and with it the actor. */
void yard_actor_note (yard_actor_t *self, const char *note)
{
    snprintf (self->note, sizeof self->note, "%s", note);
    for (char *at = self->note; *at; at++)
        if (*at < 0x20 || *at > 0x7e)
            *at = '?';
}
