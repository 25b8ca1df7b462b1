// SPDX-License-Identifier: Apache-2.0
/*  state.c - what all processes of a test share: who holds which device memory, and when each link is free
 *
 *  A file (SIMCUDA_STATE), mapped by every process and locked with flock around every change, so that a process killed in the middle
 *  leaves no lock behind. Memory is counted once however many processes hold it, and no longer than one of them lives.
 */
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include "tests/simcuda/inside.h"

#define MAGIC 0x31756361646d6973 /* "simdacu1": a file of this layout */
#define HOLDINGS_MAX 4096 /* models x processes of the largest test, ten times over */

typedef struct {
    uint64_t key, bytes, started; /* started: of the process; 0 = free row */
    int32_t pid, device;
} holding_t;

typedef struct {
    uint64_t magic;
    _Atomic uint64_t links [SIMCUDA_DEVICES_MAX][2];
    holding_t holdings [HOLDINGS_MAX];
} shared_t;

static struct {
    shared_t *shared;
    int fd; /* -1: this process's alone */
} state = { .fd = -1 };

static void lock (int operation)
{
    while (state.fd >= 0 && flock (state.fd, operation) != 0)
        ;
}

int simcuda_state_open (void)
{
    const char *path = getenv ("SIMCUDA_STATE");
    int flags = MAP_SHARED | (path ? 0 : MAP_ANONYMOUS);
    if (path && (state.fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)) < 0) {
        simcuda_log ("simcuda.bad_setting name=SIMCUDA_STATE value=%s", path);
        return -1;
    }
    lock (LOCK_EX);
    if (path && ftruncate (state.fd, sizeof (shared_t)) != 0)
        return -1;
    state.shared = mmap (NULL, sizeof (shared_t), PROT_READ | PROT_WRITE, flags, state.fd, 0);
    if (state.shared == MAP_FAILED)
        return -1;
    if (state.shared->magic && state.shared->magic != MAGIC) {
        simcuda_log ("simcuda.bad_setting name=SIMCUDA_STATE value=%s", path);
        return -1;
    }
    state.shared->magic = MAGIC;
    lock (LOCK_UN);
    return 0;
}

/*  The 22nd field of /proc/PID/stat; counted from behind the name, which may hold anything. */
uint64_t simcuda_process_started (pid_t pid)
{
    char path [32], text [512];
    (void) snprintf (path, sizeof path, "/proc/%d/stat", (int) pid);
    int fd = open (path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? 0 : read (fd, text, sizeof text - 1);
    if (fd >= 0)
        close (fd);
    if (size <= 0)
        return 0;
    text [size] = 0;
    char *at = strrchr (text, ')'), state_letter = 0;
    unsigned long long started = 0;
    if (!at ||
        sscanf (at + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
                &state_letter, &started) != 2)
        return 0;
    return state_letter == 'Z' || state_letter == 'X' ? 0 : started; /* a zombie holds nothing any more */
}

static void prune (void)
{
    pid_t known = 0;
    uint64_t known_started = 0;
    for (size_t i = 0; i < HOLDINGS_MAX; i++) {
        holding_t *row = &state.shared->holdings [i];
        if (!row->started || row->pid == simcuda_world.pid)
            continue;
        if (row->pid != known) {
            known = row->pid;
            known_started = simcuda_process_started (known);
        }
        if (row->started != known_started)
            row->started = 0;
    }
}

static bool first_of_key (size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (state.shared->holdings [i].started &&
            state.shared->holdings [i].key == state.shared->holdings [at].key)
            return false;
    return true;
}

static uint64_t used (int device)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < HOLDINGS_MAX; i++) {
        const holding_t *row = &state.shared->holdings [i];
        if (row->started && row->device == device && first_of_key (i))
            bytes += row->bytes;
    }
    return bytes;
}

static bool held (uint64_t key)
{
    for (size_t i = 0; i < HOLDINGS_MAX; i++)
        if (state.shared->holdings [i].started && state.shared->holdings [i].key == key)
            return true;
    return false;
}

static int hold (const holding_t *holding, uint64_t capacity)
{
    if (!held (holding->key) && used (holding->device) + holding->bytes > capacity)
        return -1;
    for (size_t i = 0; i < HOLDINGS_MAX; i++) {
        if (!state.shared->holdings [i].started) {
            state.shared->holdings [i] = *holding;
            return 0;
        }
    }
    simcuda_log ("simcuda.state_full rows=%d", HOLDINGS_MAX);
    return -1;
}

int simcuda_state_hold (uint64_t key, int device, uint64_t bytes, uint64_t capacity)
{
    holding_t holding = { .key = key, .device = device, .bytes = bytes, .pid = simcuda_world.pid };
    holding.started = simcuda_process_started (holding.pid);
    lock (LOCK_EX);
    prune ();
    int rc = hold (&holding, capacity);
    lock (LOCK_UN);
    return rc;
}

void simcuda_state_drop (uint64_t key)
{
    lock (LOCK_EX);
    for (size_t i = 0; i < HOLDINGS_MAX; i++) {
        holding_t *row = &state.shared->holdings [i];
        if (row->key == key && row->pid == simcuda_world.pid)
            row->started = 0;
    }
    lock (LOCK_UN);
}

uint64_t simcuda_state_used (int device)
{
    lock (LOCK_EX);
    prune ();
    uint64_t bytes = used (device);
    lock (LOCK_UN);
    return bytes;
}

unsigned simcuda_state_others (uint64_t key)
{
    unsigned count = 0;
    lock (LOCK_EX);
    prune ();
    for (size_t i = 0; i < HOLDINGS_MAX; i++) {
        const holding_t *row = &state.shared->holdings [i];
        count += row->started && row->key == key && row->pid != simcuda_world.pid;
    }
    lock (LOCK_UN);
    return count;
}

_Atomic uint64_t *simcuda_state_link (int device, int direction)
{
    return &state.shared->links [device][direction];
}
