// SPDX-License-Identifier: Apache-2.0
/*  sim_scheduler.c - what happens next: a message arrives, a process gets a turn, time passes, something
 *  breaks
 *
 *  The story has three parts: a minute of faults while clients are at it; then no more faults, and whoever
 *  is down comes back; then the judge, when nobody asks anything any more.
 */
#include "sim_checker.h"
#include "sim_remote.h"

#include <sys/stat.h>
#include "actors/ground/durable.h"

#define FAULTS_MS \
    45000 /* longer than a lease's term and a stop together would be better, and costs more per seed */
#define END_MS \
    3600000 /* by then every job has ended: attempts, terms and waits of a story add up to minutes */
#define REST_MS 8000 /* the broker's sweep (5 s) and what it brings */
#define STEP_NS_MAX 150000 /* what a message or a turn takes */
#define BROKER_MS 100 /* how often the broker gets a turn at least: it does not tell when it wants one */
#define STOP_MS 30000 /* a lease's term: what was stopped longer may have lost its work to another */

static uint64_t below (sim_world_t *self, uint64_t bound)
{
    return yard_random_below (&self->random, bound);
}

/*  --- what breaks --------------------------------------------------------------------------------------- */
static sim_slot_t choose_victim (sim_world_t *self)
{
    static const sim_slot_t slots [] = {
        SIM_RECORDER,   SIM_RECORDER,       SIM_RECORDER,       SIM_INSTALLER, SIM_INSTALLER, SIM_DOWNLOADER,
        SIM_DOWNLOADER, SIM_DOWNLOADER_TWO, SIM_DOWNLOADER_TWO, SIM_PROBER,    SIM_LOADER,    SIM_FOLLOWER,
        SIM_CLIENT,     SIM_CLIENT_TWO,     SIM_CLIENT_THREE,   SIM_BROKER,
    };
    return slots [below (self, sizeof slots / sizeof *slots)];
}

static void doom (sim_world_t *self)
{
    if (self->gentle || self->doomed != SIM_NOBODY)
        return;
    self->doomed = choose_victim (self);
    self->doomed_at = NULL;
    self->points_left = (unsigned) (below (self, 3) ? below (self, 12) : below (self, 80));
    sim_trace (self, "doom %s points=%u", self->processes [self->doomed].name, self->points_left);
}

/*  Where a turn's promise is kept or broken: around the recorder's commit. */
static void doom_commit (sim_world_t *self)
{
    static const char *const points [] = { "recorder.before_commit", "recorder.after_commit",
                                           "recorder.before_answer", "send" };
    if (self->gentle || self->doomed != SIM_NOBODY)
        return;
    self->doomed = SIM_RECORDER;
    self->doomed_at = points [below (self, sizeof points / sizeof *points)];
    self->points_left = (unsigned) below (self, 6);
    sim_trace (self, "doom recorder at=%s points=%u", self->doomed_at, self->points_left);
}

static void kill_now (sim_world_t *self)
{
    if (!self->gentle)
        sim_kill (self, choose_victim (self), false);
}

static void cut_power (sim_world_t *self)
{
    if (!self->gentle)
        sim_kill (self, SIM_RECORDER, true);
}

static void stop_for (sim_world_t *self, sim_slot_t slot, int64_t ms)
{
    sim_process_t *process = &self->processes [slot];
    if (process->class == NULL || !sim_lives (process) || process->stopped_until_ms)
        return;
    sim_trace (self, "stop %s", process->name);
    process->stopped_until_ms = sim_now_ms (self) + ms;
}

static void stop (sim_world_t *self)
{
    stop_for (self, choose_victim (self), STOP_MS / 2 + (int64_t) below (self, STOP_MS));
}

/*  Long enough that its files are another's when it goes on. */
static void stop_downloader (sim_world_t *self)
{
    stop_for (self, below (self, 2) ? SIM_DOWNLOADER : SIM_DOWNLOADER_TWO,
              STOP_MS + (int64_t) below (self, STOP_MS));
}

static void cut (sim_world_t *self)
{
    sim_process_t *process = &self->processes [choose_victim (self)];
    if (!process->actor || process->reconnects_ms)
        return;
    sim_trace (self, "cut %s", process->name);
    yard_bus_memory_cut (process->actor->socket);
    process->reconnects_ms = sim_now_ms (self) + 1 + (int64_t) below (self, 1500);
}

static void end (sim_world_t *self)
{
    sim_process_t *process = &self->processes [choose_victim (self)];
    if (!process->actor)
        return;
    sim_trace (self, "drain %s", process->name);
    yard_actor_stop (process->actor, YARD_EXIT_DRAINED);
}

static const struct {
    void (*happen) (sim_world_t *self);
    unsigned weight;
} faults [] = { { doom, 10 }, { doom_commit, 5 },     { kill_now, 2 }, { cut_power, 1 },
                { stop, 2 },  { stop_downloader, 4 }, { cut, 5 },      { end, 2 } };

static void break_something (sim_world_t *self)
{
    uint64_t roll = below (self, 31);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        if (roll < faults [i].weight) {
            faults [i].happen (self);
            return;
        }
        roll -= faults [i].weight;
    }
}

/*  --- what is due --------------------------------------------------------------------------------------- */
static void mend (sim_world_t *self)
{
    int64_t now_ms = sim_now_ms (self);
    for (sim_slot_t slot = 0; slot < SIM_PROCESSES; slot++) {
        sim_process_t *process = &self->processes [slot];
        if (!sim_lives (process) && process->starts_ms <= now_ms)
            sim_start (self, slot);
        if (process->stopped_until_ms && process->stopped_until_ms <= now_ms) {
            sim_trace (self, "continue %s", process->name);
            process->stopped_until_ms = 0;
            process->wants = 3;
        }
        if (process->actor && process->reconnects_ms && process->reconnects_ms <= now_ms) {
            sim_trace (self, "reconnect %s", process->name);
            process->reconnects_ms = 0;
            yard_bus_memory_connect (process->actor->socket);
            process->wants = 3;
        }
    }
}

/*  Milliseconds until a process needs its turn; 0: now. */
static int64_t wait_of (const sim_world_t *self, const sim_process_t *process)
{
    if (!sim_lives (process))
        return process->starts_ms == INT64_MAX ? INT64_MAX : process->starts_ms - sim_now_ms (self);
    if (process->stopped_until_ms)
        return process->stopped_until_ms - sim_now_ms (self);
    if (process->wants)
        return 0;
    if (process->server)
        return BROKER_MS - sim_now_ms (self) % BROKER_MS;
    const yard_actor_t *actor = process->actor;
    int64_t wait_ms = actor->timer_count ? actor->timers [1]->due_ms - sim_now_ms (self) : INT64_MAX;
    if (process->reconnects_ms && process->reconnects_ms - sim_now_ms (self) < wait_ms)
        wait_ms = process->reconnects_ms - sim_now_ms (self);
    return wait_ms < 0 ? 0 : wait_ms;
}

static bool may_turn (const sim_world_t *self, sim_slot_t slot)
{
    const sim_process_t *process = &self->processes [slot];
    return sim_lives (process) && !process->stopped_until_ms && wait_of (self, process) == 0;
}

/*  Nothing is under way and nobody wants a turn: on to the next moment when somebody does. */
static void pass_time (sim_world_t *self)
{
    int64_t least_ms = BROKER_MS;
    for (sim_slot_t slot = 0; slot < SIM_PROCESSES; slot++) {
        int64_t wait_ms = wait_of (self, &self->processes [slot]);
        if (wait_ms > 0 && wait_ms < least_ms)
            least_ms = wait_ms;
    }
    self->now_ns += least_ms * 1000000;
    self->processes [SIM_BROKER].wants = 1;
}

static void deliver (sim_world_t *self, size_t under_way)
{
    yard_passed_t passed;
    yard_bus_memory_let (self->bus, (size_t) below (self, under_way), &passed);
    sim_tap (self, &passed);
    sim_subscriber_read (self);
    sim_slot_t slot = passed.to_connector ? sim_slot_of (self, passed.connector) : SIM_BROKER;
    if (slot != SIM_NOBODY)
        self->processes [slot].wants += self->processes [slot].wants == 0;
}

static void step (sim_world_t *self)
{
    self->steps++;
    self->now_ns += (int64_t) below (self, STEP_NS_MAX);
    mend (self);
    size_t under_way = yard_bus_memory_under_way (self->bus);
    sim_slot_t ready [SIM_PROCESSES];
    size_t count = 0;
    for (sim_slot_t slot = 0; slot < SIM_PROCESSES; slot++)
        if (may_turn (self, slot))
            ready [count++] = slot;
    uint64_t roll = below (self, 100);
    if (roll < 2 && below (self, 3) == 0)
        self->now_ns += (int64_t) below (self, 30) * 1000000; /* the machine is busy elsewhere */
    else if (under_way && (roll < 50 || count == 0))
        deliver (self, under_way);
    else if (count)
        sim_turn (self, ready [below (self, count)]);
    else if (!under_way)
        pass_time (self);
    if (self->steps % 64 == 0)
        sim_check_part_files (self);
}

/*  --- the parts of the story ---------------------------------------------------------------------------- */
static void before_send (void *context)
{
    sim_world_t *self = context;
    self->sent++;
    sim_point ("send");
}

static void put_sources (sim_world_t *self)
{
    char path [PATH_MAX];
    yard_error_t error;
    snprintf (path, sizeof path, "%s/sources", self->directory);
    mkdir (path, 0700);
    for (size_t file = 0; file < SIM_FILES; file++) {
        yard_string_t bytes = sim_remote_bytes (self->remote, file, 0);
        snprintf (path, sizeof path, "%s/sources/%zu.safetensors", self->directory, file);
        if (yard_durable_write (path, bytes.data, bytes.size, 0600, &error))
            sim_failed ("%s", error.text);
    }
}

/*  Some stories are full of faults, some have one or two, at the wrong moment. */
static void run_faults (sim_world_t *self)
{
    int64_t until_ms = sim_now_ms (self) + FAULTS_MS, mean_ms = 300 + (int64_t) below (self, 6000);
    int64_t next_ms = sim_now_ms (self) + 1000;
    uint64_t deaths = 0;
    self->faults = true;
    while (sim_now_ms (self) < until_ms) {
        step (self);
        if (sim_now_ms (self) >= next_ms) {
            break_something (self);
            next_ms = sim_now_ms (self) + 1 + (int64_t) below (self, (uint64_t) mean_ms * 2);
        }
        if (self->deaths != deaths)
            sim_check_folders (self);
        deaths = self->deaths;
    }
    self->faults = false;
    self->doomed = SIM_NOBODY;
}

static void bring_back (sim_world_t *self)
{
    for (sim_slot_t slot = SIM_CLIENT; slot <= SIM_CLIENT_THREE; slot++) {
        self->processes [slot].stopped_until_ms = 0;
        sim_end (self, slot);
        self->processes [slot].starts_ms = INT64_MAX;
    }
    for (sim_slot_t slot = 0; slot < SIM_CLIENT; slot++) {
        sim_process_t *process = &self->processes [slot];
        if (process->reconnects_ms)
            process->reconnects_ms = sim_now_ms (self);
    }
}

static void run_until (sim_world_t *self, int64_t until_ms, const bool *done)
{
    while (sim_now_ms (self) < until_ms && !(done && *done))
        step (self);
}

static bool all_are_up (const sim_world_t *self)
{
    for (sim_slot_t slot = 0; slot < SIM_PROCESSES; slot++) {
        const sim_process_t *process = &self->processes [slot];
        if (process->stopped_until_ms || (!sim_lives (process) && process->starts_ms != INT64_MAX))
            return false;
    }
    return true;
}

static void tell_live (sim_world_t *self)
{
    for (uint64_t i = 0; i < sim_jobs_count (self); i++)
        sim_trace (self, "acknowledged job %llu", (unsigned long long) sim_job_at (self, i));
    sim_failed ("the story does not end: some job or a load's lease lives, or nobody answers, after %d s "
                "without faults",
                END_MS / 1000);
}

uint64_t sim_run (sim_world_t *self)
{
    yard_bus_memory_hold (self->bus, before_send, self);
    put_sources (self);
    sim_subscriber_open (self);
    for (sim_slot_t slot = 0; slot < SIM_PROCESSES; slot++)
        if (self->processes [slot].starts_ms == 0)
            self->processes [slot].starts_ms = 1 + (int64_t) below (self, 2000);
    run_faults (self);
    sim_trace (self, "no more faults");
    bring_back (self);
    int64_t end_ms = sim_now_ms (self) + END_MS;
    while (!all_are_up (self) && sim_now_ms (self) < end_ms)
        step (self);
    /* Who was stopped for long learns by and by that its work is another's; what it has begun is swept with
     * the judge's sync. */
    run_until (self, sim_now_ms (self) + REST_MS, NULL);
    self->processes [SIM_JUDGE].starts_ms = 0;
    run_until (self, end_ms, &sim_findings (self)->done);
    if (!sim_findings (self)->done)
        tell_live (self);
    sim_trace (self, "the judge has seen all");
    run_until (self, sim_now_ms (self) + REST_MS, NULL);
    sim_check_findings (self);
    sim_check_disk (self);
    int64_t until_ms = sim_now_ms (self) + REST_MS;
    while (sim_now_ms (self) < until_ms &&
           sim_asks_too_many (self)) /* a beat, or a sweep, may be on its way just now */
        step (self);
    if (sim_asks_too_many (self))
        sim_failed ("%s", sim_asks_too_many (self));
    return self->trace;
}
