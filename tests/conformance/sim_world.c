// SPDX-License-Identifier: Apache-2.0
/*  sim_world.c - makes the world, and unmakes it
 */
#include "sim_checker.h"
#include "sim_remote.h"

#include <fcntl.h>
#include <sys/stat.h>
#include "actors/ground/digest.h"
#include "actors/ground/durable.h"

#define WALL_MS 1800000000000 /* the world begins in January 2027 */
#define BEGIN_NS 1000000000 /* a clock that begins at 0 would hide who takes 0 for "never" */
#define TRACE_LINE_MAX 1024

/*  The doors that are chosen at link time get no argument: this is where they find the world. */
static sim_world_t *the_world;

sim_world_t *sim_world_now (void)
{
    return the_world;
}

static int64_t monotonic_ns (void *context)
{
    return ((sim_world_t *) context)->now_ns;
}

static int64_t wall_ms (void *context)
{
    return WALL_MS + ((sim_world_t *) context)->now_ns / 1000000;
}

int64_t sim_now_ms (const sim_world_t *self)
{
    return self->now_ns / 1000000;
}

void sim_trace (sim_world_t *self, const char *format, ...)
{
    char line [TRACE_LINE_MAX];
    va_list arguments;
    va_start (arguments, format);
    int size = vsnprintf (line, sizeof line, format, arguments);
    va_end (arguments);
    if (size >= (int) sizeof line)
        size = (int) sizeof line - 1;
    for (int i = 0; i < size; i++) /* FNV-1a: it only has to tell two stories apart */
        self->trace = (self->trace ^ (unsigned char) line [i]) * 0x100000001b3;
    if (self->verbose)
        printf ("%10.3f %s\n", (double) self->now_ns / 1e6, line);
}

static void name_processes (sim_world_t *self)
{
    extern const yard_actor_class_t recorder_class, installer_class, downloader_class, prober_class,
        loader_class;
    static const struct {
        const char *name;
        const yard_actor_class_t *class;
    } rows [SIM_PROCESSES] = {
        [SIM_BROKER] = { "broker", NULL },
        [SIM_RECORDER] = { "recorder", &recorder_class },
        [SIM_INSTALLER] = { "installer", &installer_class },
        [SIM_DOWNLOADER] = { "downloader-1", &downloader_class },
        [SIM_DOWNLOADER_TWO] = { "downloader-2", &downloader_class },
        [SIM_PROBER] = { "prober", &prober_class },
        [SIM_LOADER] = { "loader", &loader_class },
        [SIM_FOLLOWER] = { "follower", &sim_follower_class },
        [SIM_CLIENT] = { "client-1", &sim_client_class },
        [SIM_CLIENT_TWO] = { "client-2", &sim_client_class },
        [SIM_CLIENT_THREE] = { "client-3", &sim_client_class },
        [SIM_JUDGE] = { "judge", &sim_judge_class },
    };
    for (sim_slot_t slot = 0; slot < SIM_PROCESSES; slot++) {
        self->processes [slot].name = rows [slot].name;
        self->processes [slot].class = rows [slot].class;
        self->processes [slot].starts_ms = slot == SIM_JUDGE ? INT64_MAX : 0;
    }
}

/*  The last free space of the run directory's path is the attach socket's: below 108 bytes (ARCHITECTURE
 *  13). */
static void make_directories (sim_world_t *self)
{
    snprintf (self->directory, sizeof self->directory, "/dev/shm/yard-sim-XXXXXX");
    if (!mkdtemp (self->directory))
        sim_failed ("no directory in /dev/shm can be made");
    snprintf (self->paths.home, sizeof self->paths.home, "%s/home", self->directory);
    snprintf (self->paths.run, sizeof self->paths.run, "%s/run", self->directory);
    mkdir (self->paths.home, 0700);
    mkdir (self->paths.run, 0700);
}

static void configure (sim_world_t *self)
{
    static const char *const settings [] = { "bus.command=command", "bus.event=event", "node=box7",
                                             "download.max_parallel=3" };
    yard_error_t error = { 0 };
    if (yard_configuration_read (&self->paths, settings, sizeof settings / sizeof *settings,
                                 &self->configuration, &error))
        sim_failed ("configuration: %s", error.text);
}

sim_world_t *sim_world_new (uint64_t seed, const char *plant, bool verbose)
{
    sim_world_t *self = yard_zeroed (sizeof *self);
    the_world = self;
    self->seed = seed;
    self->plant = plant;
    self->verbose = verbose;
    self->gentle = seed % 10 == 0 && !plant;
    self->trace = 0xcbf29ce484222325;
    self->active = self->doomed = SIM_NOBODY;
    for (size_t fd = 0; fd < SIM_FDS_MAX; fd++)
        self->fd_owner [fd] = fcntl ((int) fd, F_GETFD) < 0 ? SIM_NOBODY : SIM_HOST;
    yard_table_seed (seed);
    yard_random_seed (&self->random, seed);
    make_directories (self);
    configure (self);
    self->now_ns = BEGIN_NS;
    self->clock = (yard_clock_t){ monotonic_ns, wall_ms, self };
    self->disk = vfs_memory_new ("simulation", seed, true);
    self->bus = yard_bus_memory_new ();
    self->remote = sim_remote_new (seed);
    self->checker = sim_checker_new (self);
    name_processes (self);
    return self;
}

/*  Clients first, the broker last: as a supervisor would. */
void sim_world_destroy (sim_world_t **self_p)
{
    sim_world_t *self = *self_p;
    for (sim_slot_t slot = SIM_PROCESSES; slot-- > 0;)
        sim_end (self, slot);
    sim_checker_destroy (&self->checker);
    yard_bus_destroy (&self->bus);
    if (self->gentle)
        vfs_memory_destroy (&self->disk); /* else the dead still have it open */
    sim_remote_destroy (&self->remote);
    yard_configuration_destroy (&self->configuration);
    yard_error_t error;
    if (yard_durable_remove (self->directory, &error))
        sim_failed ("%s stays: %s", self->directory, error.text);
    the_world = NULL;
    free (self);
    *self_p = NULL;
}
