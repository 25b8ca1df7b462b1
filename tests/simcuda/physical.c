// SPDX-License-Identifier: Apache-2.0
/*  physical.c - stretches of device memory: memfds, counted against their device's capacity as long as anybody has them
 *
 *  A memfd's name says what it is, so that a descriptor alone is enough to import it: "simcuda:key:device:size". The memory outlives
 *  its maker as long as another process has it (cuda.h, cuMemRelease), which is what a memfd does by itself; the rows of state.c only
 *  count it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include "tests/simcuda/inside.h"

static cudaError_t map_inside (simcuda_physical_t *physical)
{
    void *inside = mmap (NULL, physical->size, PROT_READ | PROT_WRITE, MAP_SHARED, physical->fd, 0);
    if (inside == MAP_FAILED)
        return cudaErrorMemoryAllocation;
    physical->inside = inside;
    return cudaSuccess;
}

static void release (simcuda_physical_t *physical)
{
    simcuda_state_drop (physical->key);
    if (physical->inside)
        munmap (physical->inside, physical->size);
    if (physical->fd >= 0)
        close (physical->fd);
    free (physical);
}

static simcuda_physical_t *enlist (simcuda_physical_t *physical)
{
    physical->references = 1;
    physical->next = simcuda_world.physicals;
    simcuda_world.physicals = physical;
    return physical;
}

/*  What is in new memory is nobody's to rely on (cuda_runtime_api.h, cudaMalloc: "The memory is not cleared"). */
static cudaError_t make (simcuda_physical_t *physical)
{
    char name [96];
    (void) snprintf (name, sizeof name, "simcuda:%" PRIx64 ":%d:%zx", physical->key, physical->device,
                     physical->size);
    physical->fd = memfd_create (name, MFD_CLOEXEC);
    if (physical->fd < 0 || ftruncate (physical->fd, (off_t) physical->size) != 0)
        return cudaErrorMemoryAllocation;
    cudaError_t answer = map_inside (physical);
    if (!answer)
        memset (physical->inside, SIMCUDA_POISON, physical->size);
    return answer;
}

simcuda_physical_t *simcuda_physical_new (int device, size_t size, cudaError_t *ret_error)
{
    simcuda_physical_sweep ();
    *ret_error = cudaErrorMemoryAllocation;
    if (size > simcuda_world.memory) /* also keeps the rounding from wrapping */
        return NULL;
    simcuda_physical_t *physical = calloc (1, sizeof *physical);
    if (!physical)
        return NULL;
    physical->fd = -1;
    physical->device = device;
    physical->size = (size + SIMCUDA_STEP - 1) / SIMCUDA_STEP * SIMCUDA_STEP;
    physical->owner = simcuda_world.pid;
    physical->owner_started = simcuda_process_started (physical->owner);
    if (getrandom (&physical->key, sizeof physical->key, 0) != (ssize_t) sizeof physical->key) {
        free (physical);
        return NULL;
    }
    if (simcuda_state_hold (physical->key, device, physical->size, simcuda_world.memory) != 0) {
        free (physical);
        return NULL;
    }
    *ret_error = make (physical);
    if (*ret_error) {
        release (physical);
        return NULL;
    }
    return enlist (physical);
}

/*  Reads the name of what is open as fd; the link's text is "/memfd:NAME (deleted)". */
static int read_name (int fd, simcuda_physical_t *physical)
{
    char path [40], name [128];
    (void) snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t size = readlink (path, name, sizeof name - 1);
    if (size < 0)
        return -1;
    name [size] = 0;
    int used = sscanf (name, "/memfd:simcuda:%" SCNx64 ":%d:%zx", &physical->key, &physical->device,
                       &physical->size);
    struct stat about;
    if (used != 3 || fstat (fd, &about) != 0 || (size_t) about.st_size != physical->size)
        return -1;
    return physical->device >= 0 && physical->device < simcuda_world.devices ? 0 : -1;
}

static simcuda_physical_t *known (uint64_t key)
{
    for (simcuda_physical_t *at = simcuda_world.physicals; at; at = at->next)
        if (at->key == key)
            return at;
    return NULL;
}

simcuda_physical_t *simcuda_physical_import (int fd, cudaError_t *ret_error)
{
    simcuda_physical_t found = { .fd = -1 };
    *ret_error = cudaErrorInvalidValue;
    if (read_name (fd, &found) != 0)
        return NULL;
    simcuda_physical_t *physical = known (found.key);
    *ret_error = cudaSuccess;
    if (physical) {
        physical->references++;
        return physical;
    }
    *ret_error = cudaErrorMemoryAllocation;
    physical = malloc (sizeof *physical);
    if (!physical)
        return NULL;
    *physical = found;
    physical->fd = fcntl (fd, F_DUPFD_CLOEXEC, 0);
    if (physical->fd < 0 || map_inside (physical) != 0) {
        release (physical);
        return NULL;
    }
    /*  It exists already, so it counts even where that is more than fits. */
    if (simcuda_state_hold (physical->key, physical->device, physical->size, UINT64_MAX) != 0) {
        release (physical);
        return NULL;
    }
    *ret_error = cudaSuccess;
    return enlist (physical);
}

/*  Whether the program still has a descriptor of it open besides ours. */
static bool still_open (const simcuda_physical_t *physical)
{
    struct stat ours, theirs;
    bool found = false;
    DIR *directory = physical->shared ? opendir ("/proc/self/fd") : NULL;
    if (!directory || fstat (physical->fd, &ours) != 0) {
        if (directory)
            closedir (directory);
        return false;
    }
    for (struct dirent *entry; !found && (entry = readdir (directory));) {
        int fd = (int) strtol (entry->d_name, NULL, 10);
        found = entry->d_name [0] != '.' && fd != physical->fd && fstat (fd, &theirs) == 0 &&
                theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev;
    }
    closedir (directory);
    return found;
}

void simcuda_physical_sweep (void)
{
    simcuda_physical_t **at = &simcuda_world.physicals;
    while (*at) {
        simcuda_physical_t *physical = *at;
        if (physical->references || still_open (physical)) {
            at = &physical->next;
            continue;
        }
        *at = physical->next;
        release (physical);
    }
}

void simcuda_physical_drop (simcuda_physical_t *physical)
{
    if (--physical->references == 0)
        simcuda_physical_sweep ();
}

static bool in_use (const simcuda_physical_t *physical)
{
    for (unsigned i = 0; i < SIMCUDA_STREAMS_MAX; i++) {
        const simcuda_stream_t *stream = simcuda_world.streams [i];
        for (const simcuda_operation_t *at = stream ? stream->head : NULL; at; at = at->next)
            if (at->to_memory == physical || at->from_memory == physical)
                return true;
    }
    return false;
}

void simcuda_physical_settle (simcuda_physical_t *physical, const char *why)
{
    if (!in_use (physical))
        return;
    simcuda_log ("simcuda.%s device=%d bytes=%zu", why, physical->device, physical->size);
    while (in_use (physical) && !simcuda_world.sticky)
        simcuda_wait_change ();
}

void *simcuda_memory (const void *pointer, size_t size, int *ret_device)
{
    uint8_t *data = NULL;
    pthread_mutex_lock (&simcuda_world.lock);
    simcuda_view_t *view = simcuda_view_at (pointer);
    size_t offset = view ? (size_t) ((const uint8_t *) pointer - view->base) : 0;
    if (view && size <= view->size - offset) {
        data = view->physical->inside + offset;
        *ret_device = view->physical->device;
        simcuda_order_check_range (data, size);
    }
    pthread_mutex_unlock (&simcuda_world.lock);
    return data;
}
