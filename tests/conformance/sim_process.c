// SPDX-License-Identifier: Apache-2.0
/*  sim_process.c - how a process starts, gets its turn, and dies
 *
 *  A death inside a turn is a longjmp over everything the process was doing. What it had open is closed by
 *  number: the descriptors that appeared during its turns are its own. Its memory is never looked at again,
 *  and never freed: a destructor would do what a killed process does not do.
 */
#include "sim_checker.h"

#include <fcntl.h>
#include "actors/runtime/bus_class.h"

#define START_AGAIN_MS 500 /* a process that ended by itself: the supervisor's first backoff */
#define START_FAILED_MS 2000
#define TURNS_AFTER_WORK 3 /* what a turn has begun (an inline offload, an eventfd) may need the next two */

bool sim_lives (const sim_process_t *self)
{
    return self->actor || self->server;
}

/*  --- descriptors */
size_t sim_open_fds (void)
{
    size_t count = 0;
    for (int fd = 0; fd < SIM_FDS_MAX; fd++)
        count += fcntl (fd, F_GETFD) >= 0;
    return count;
}

static void note_fds (sim_world_t *self, sim_slot_t slot)
{
    self->descriptors_moved = false;
    for (int fd = 3; fd < SIM_FDS_MAX; fd++)
        if (fcntl (fd, F_GETFD) < 0)
            self->fd_owner [fd] = SIM_NOBODY; /* a new one of this number is its maker's */
        else if (self->fd_owner [fd] == SIM_NOBODY)
            self->fd_owner [fd] = slot;
}

/*  The memory disk keeps shared memory for its connections, dead ones too, and looks after it itself. */
static void target_of (int fd, char *ret_target)
{
    char path [40];
    snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t size = readlink (path, ret_target, PATH_MAX - 1);
    ret_target [size > 0 ? size : 0] = 0;
}

static bool is_disks (int fd)
{
    char target [PATH_MAX];
    target_of (fd, target);
    return yard_string_starts (yard_string (target), "/memfd:");
}

static void close_fds (sim_world_t *self, sim_slot_t slot)
{
    for (int fd = 3; fd < SIM_FDS_MAX; fd++) {
        if (self->fd_owner [fd] != slot)
            continue;
        bool kept = slot == SIM_RECORDER && is_disks (fd);
        if (!kept)
            close (fd);
        self->fd_owner [fd] = kept ? SIM_HOST : SIM_NOBODY;
    }
}

/*  --- death */
void sim_point (const char *what)
{
    sim_world_t *self = sim_world_now ();
    if (!self || self->active == SIM_NOBODY || self->active != self->doomed ||
        (self->doomed_at && strcmp (what, self->doomed_at) != 0))
        return;
    if (self->points_left-- > 0)
        return;
    self->death = what;
    siglongjmp (self->back, 1);
}

/*  A killed process's memory stays reachable from here, so that the leak check speaks of the living. */
static void bury (void *remains)
{
    static void *graveyard [4096];
    static size_t count;
    if (count < sizeof graveyard / sizeof *graveyard)
        graveyard [count++] = remains;
}

static void close_socket (sim_world_t *self, yard_socket_t **socket_p, size_t kept)
{
    yard_passed_t passed;
    for (size_t i = 0; i < kept && yard_bus_memory_let_from (*socket_p, &passed); i++)
        sim_tap (self, &passed);
    yard_bus_memory_kill (socket_p);
}

/*  What the kernel had already, somebody still reads: some of it. */
static void close_sockets (sim_world_t *self, sim_process_t *process, size_t kept)
{
    if (process->actor) {
        close_socket (self, &process->actor->socket, kept);
        return;
    }
    for (yard_socket_t *socket = self->bus->first, *next; socket; socket = next) {
        next = socket->next;
        if (yard_socket_binds (socket))
            close_socket (self, &socket, kept);
    }
}

void sim_kill (sim_world_t *self, sim_slot_t slot, bool power)
{
    sim_process_t *process = &self->processes [slot];
    if (!sim_lives (process))
        return;
    size_t kept = (size_t) yard_random_below (&self->random, 8);
    sim_trace (self, "kill %s kept=%zu power=%d", process->name, kept, power);
    self->deaths++;
    self->active = SIM_NOBODY;
    if (self->doomed == slot)
        self->doomed = SIM_NOBODY;
    if (power)
        vfs_memory_power_cut (self->disk, &self->random);
    else if (slot == SIM_RECORDER)
        vfs_memory_kill (self->disk, process->instance);
    close_sockets (self, process, kept);
    note_fds (self, slot);
    close_fds (self, slot);
    bury (process->actor);
    bury (process->server);
    process->actor = NULL;
    process->server = NULL;
    process->reconnects_ms = process->stopped_until_ms = 0;
    process->starts_ms = sim_now_ms (self) + 50 + (int64_t) yard_random_below (&self->random, 3000);
    if (slot == SIM_RECORDER || slot == SIM_BROKER)
        sim_tap_forget (self);
}

/*  --- life */
static int start_actor (sim_world_t *self, sim_process_t *process, yard_error_t *error)
{
    void *prepared = NULL;
    if (process->class->prepare && process->class->prepare (&prepared, error))
        return error->code;
    yard_actor_options_t options = { .bus = self->bus,
                                     .clock = &self->clock,
                                     .random = &process->random,
                                     .configuration = self->configuration,
                                     .paths = &self->paths,
                                     .prepared = prepared,
                                     .offload_inline = true };
    return yard_actor_new (process->class, &options, &process->actor, error);
}

static int start_broker (sim_world_t *self, sim_process_t *process, yard_error_t *error)
{
    broker_server_options_t options = { self->bus, &self->clock, &process->random, self->configuration,
                                        &self->paths };
    return broker_server_new (&options, &process->server, error);
}

/*  One that cannot start is tried again: the judge sees to it that all is done in the end. One that dies
 *  while it starts leaves what it had made. */
void sim_start (sim_world_t *self, sim_slot_t slot)
{
    sim_process_t *process = &self->processes [slot];
    yard_error_t error = { 0 };
    process->lives++;
    yard_random_seed (&process->random, yard_random_next (&self->random));
    process->starts_ms = 0;
    process->wants = TURNS_AFTER_WORK;
    self->active = slot;
    sim_trace (self, "start %s life=%u", process->name, process->lives);
    if (slot == SIM_RECORDER) {
        process->instance++;
        vfs_memory_act_as (self->disk, process->instance);
        sim_tap_forget (self);
    }
    if (sigsetjmp (self->back, 0)) {
        sim_trace (self, "died %s at=%s", process->name, self->death);
        yard_socket_t *socket = self->bus->first; /* the one it had just opened, if it came so far */
        if (slot != SIM_BROKER && socket && !yard_socket_binds (socket) &&
            sim_slot_of (self, socket) == SIM_NOBODY)
            yard_bus_memory_kill (&socket);
        if (slot == SIM_RECORDER)
            vfs_memory_kill (self->disk, process->instance);
        self->active = self->doomed = SIM_NOBODY;
        self->deaths++;
        note_fds (self, slot);
        close_fds (self, slot);
        process->starts_ms = sim_now_ms (self) + START_AGAIN_MS;
        return;
    }
    int code = process->class ? start_actor (self, process, &error) : start_broker (self, process, &error);
    self->active = SIM_NOBODY;
    note_fds (self, slot);
    if (code) {
        sim_trace (self, "cannot start %s: %s", process->name, yard_error_row (code)->word);
        if (self->verbose)
            printf ("           %s\n", error.text);
        process->starts_ms = sim_now_ms (self) + START_FAILED_MS;
    }
}

void sim_end (sim_world_t *self, sim_slot_t slot)
{
    sim_process_t *process = &self->processes [slot];
    if (!sim_lives (process))
        return;
    sim_trace (self, "end %s", process->name);
    if (slot == SIM_RECORDER)
        vfs_memory_act_as (self->disk, process->instance);
    self->active = slot;
    self->doomed = SIM_NOBODY;
    yard_actor_destroy (&process->actor);
    broker_server_destroy (&process->server);
    self->active = SIM_NOBODY;
    note_fds (self, slot);
    for (int fd = 3; fd < SIM_FDS_MAX; fd++)
        if (self->fd_owner [fd] == slot) {
            char target [PATH_MAX];
            target_of (fd, target);
            sim_failed ("%s ended and left descriptor %d open: %s", process->name, fd, target);
        }
    process->starts_ms = sim_now_ms (self) + START_AGAIN_MS;
}

static bool turn (sim_world_t *self, sim_process_t *process)
{
    int exit_code = 0;
    if (process->server) {
        broker_server_turn (process->server, 0, -1);
        return true;
    }
    bool goes_on = yard_actor_turn (process->actor, 0, &exit_code);
    if (!goes_on)
        sim_trace (self, "%s ends itself code=%d", process->name, exit_code);
    return goes_on;
}

void sim_turn (sim_world_t *self, sim_slot_t slot)
{
    sim_process_t *process = &self->processes [slot];
    uint64_t sent = self->sent;
    self->active = slot;
    process->wants -= process->wants > 0;
    if (slot == SIM_RECORDER)
        vfs_memory_act_as (self->disk, process->instance);
    if (sigsetjmp (self->back, 0)) {
        sim_trace (self, "died %s at=%s", process->name, self->death);
        sim_kill (self, slot, false);
        return;
    }
    bool goes_on = turn (self, process);
    self->active = SIM_NOBODY;
    if (self->descriptors_moved)
        note_fds (self, slot);
    if (self->sent != sent || (process->actor && yard_offload_pool_pending (process->actor->pool)))
        process->wants = TURNS_AFTER_WORK;
    if (!goes_on)
        sim_end (self, slot);
}

sim_slot_t sim_slot_of (const sim_world_t *self, const yard_socket_t *socket)
{
    for (sim_slot_t slot = 0; slot < SIM_PROCESSES; slot++)
        if (self->processes [slot].actor && self->processes [slot].actor->socket == socket)
            return slot;
    return SIM_NOBODY;
}
