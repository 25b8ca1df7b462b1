// SPDX-License-Identifier: Apache-2.0
/*  simcuda.c - a CUDA runtime without a GPU: for tests, by SONAME and LD_LIBRARY_PATH in the real one's place
 *
 *  The folder is one shared library, libcudart.so.13, built from the real headers, so that a wrong signature does not compile. It has
 *  what the loader's plug-in calls and nothing else, and is stricter than hardware: what a real device does "perhaps later", this one
 *  always does later, and what a real device leaves undefined is seen here as wrong bytes, a signal or a line in the log.
 *
 *  In reading order: inside.h (everything it knows), this file (the way in and out of every call), device.c, physical.c and view.c
 *  (memory), memory.c (cudaMalloc), pinned.c, stream.c and copy.c (what runs late), order.c (who may touch what), event.c, ipc.c, vmm.c
 *  and vmm_map.c (sharing), entry.c, state.c (what the processes of a test share), faults.c, errors.c, log.c, report.c (what was left at
 *  exit). nccl*.c are the simulated NCCL.
 *
 *  Settings, all read at the first call:
 *      SIMCUDA_DEVICES  how many (1); 0 answers as the real library does without a driver
 *      SIMCUDA_MEMORY   bytes of each device (1 GiB), handed out in steps of 2 MiB
 *      SIMCUDA_LINK_MB  MB/s of each device in each direction (0: unlimited)
 *      SIMCUDA_SEED     of the delays (1)
 *      SIMCUDA_VMM      0: devices without virtual memory management (1)
 *      SIMCUDA_STATE    a file that all processes of a test share: bytes in use, links. Without it each process has its own devices
 *      SIMCUDA_FAULTS   name:n=what,...  what: an error's number, "wrong", "hang", "lateN" (faults.c)
 *      SIMCUDA_LOG      a file that lines are added to; without it, stderr. A program without mistakes leaves it empty
 *
 *  Lines (event names are stable): leak, leak_mapping, leak_stream, leak_event, leak_pin, leak_descriptor (all at exit); double_free,
 *  free_unknown, use_after_free, freed_under_copy, unmapped_under_copy, unpinned_under_copy, freed_while_mapped, freed_with_importers,
 *  dangling_import, source_reused, missing_wait, wrong_device, device_not_set, pageable_source, out_of_bounds, access_denied,
 *  default_stream, fork, stale_handle, sticky, fault, unknown_attribute, unknown_entry, bad_setting, state_full; each begins "simcuda.".
 *
 *  Refuses: kernels, graphs, the default stream (abort), managed memory, pools, peer access and topology, virtual time.
 */
#include "tests/simcuda/inside.h"

#define MEMORY_DEFAULT ((uint64_t) 1 << 30) /* small enough for eight on a test machine */

simcuda_world_t simcuda_world = { .lock = PTHREAD_MUTEX_INITIALIZER };
_Thread_local simcuda_thread_t simcuda_thread;

static uint64_t setting (const char *name, uint64_t otherwise)
{
    const char *text = getenv (name);
    char *end = NULL;
    if (!text || !*text)
        return otherwise;
    unsigned long long value = strtoull (text, &end, 10);
    if (*end)
        simcuda_log ("simcuda.bad_setting name=%s value=%s", name, text);
    return *end ? otherwise : value;
}

static void begin (simcuda_world_t *world)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init (&monotonic);
    pthread_condattr_setclock (&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init (&world->changed, &monotonic);
    pthread_condattr_destroy (&monotonic);
    world->devices = (int) setting ("SIMCUDA_DEVICES", 1);
    if (world->devices > SIMCUDA_DEVICES_MAX || simcuda_state_open () != 0)
        abort (); /* a test that is set up wrong; the log says how */
    world->memory = setting ("SIMCUDA_MEMORY", MEMORY_DEFAULT) / SIMCUDA_STEP * SIMCUDA_STEP;
    world->link_rate = setting ("SIMCUDA_LINK_MB", 0) * 1000000;
    world->seed = setting ("SIMCUDA_SEED", 1);
    world->vmm = setting ("SIMCUDA_VMM", 1) != 0;
    world->numbers = 0x1000; /* far from the default streams' 0, 1 and 2 */
    world->pid = getpid ();
}

uint64_t simcuda_now (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000000000 + (uint64_t) now.tv_nsec;
}

void simcuda_wait_change (void)
{
    pthread_cond_wait (&simcuda_world.changed, &simcuda_world.lock);
}

/*  As a driver that has lost its device: the call never comes back. */
_Noreturn void simcuda_hang (void)
{
    pthread_mutex_unlock (&simcuda_world.lock);
    for (;;)
        pause ();
}

static cudaError_t scripted (const char *name)
{
    const char *what = simcuda_fault (name);
    simcuda_thread.fault = NULL;
    if (!what)
        return cudaSuccess;
    if (what [0] >= '0' && what [0] <= '9')
        return (cudaError_t) strtol (what, NULL, 10);
    simcuda_thread.fault = what;
    if (strcmp (what, "hang") == 0 && strcmp (name, "cudaMemcpyAsync") != 0)
        simcuda_hang ();
    return cudaSuccess;
}

cudaError_t simcuda_enter (const char *name, bool uses_device)
{
    simcuda_world_t *world = &simcuda_world;
    if (world->pid && world->pid != getpid ()) {
        /*  The lock may be held by a thread that isn't here: nothing of the parent's is touched. */
        simcuda_log ("simcuda.fork call=%s", name);
        pthread_mutex_init (&world->lock, NULL);
        pthread_mutex_lock (&world->lock);
        return cudaErrorInitializationError;
    }
    pthread_mutex_lock (&world->lock);
    if (!world->pid)
        begin (world);
    if (world->devices == 0)
        return cudaErrorInsufficientDriver;
    if (world->sticky)
        return world->sticky;
    if (uses_device && !simcuda_thread.device_set && !simcuda_thread.device_missed) {
        simcuda_thread.device_missed = true;
        simcuda_log ("simcuda.device_not_set call=%s", name);
    }
    return scripted (name);
}

void simcuda_stick (cudaError_t answer)
{
    const simcuda_error_row_t *row = simcuda_error_row (answer);
    if (!row || !row->sticky || simcuda_world.sticky)
        return;
    simcuda_world.sticky = answer;
    simcuda_log ("simcuda.sticky code=%d", (int) answer);
    pthread_cond_broadcast (&simcuda_world.changed);
}

/*  cudaErrorNotReady is no error and isn't kept (CUDA C++ Programming Guide, Error Checking). */
cudaError_t simcuda_leave (cudaError_t answer)
{
    if (answer && answer != cudaErrorNotReady)
        simcuda_thread.last = answer;
    simcuda_stick (answer);
    pthread_mutex_unlock (&simcuda_world.lock);
    return answer;
}

CUresult simcuda_leave_driver (CUresult answer)
{
    simcuda_stick ((cudaError_t) answer);
    pthread_mutex_unlock (&simcuda_world.lock);
    return answer;
}

__attribute__ ((destructor)) static void end (void)
{
    if (simcuda_world.pid == getpid () && simcuda_world.devices > 0)
        simcuda_report ();
}
