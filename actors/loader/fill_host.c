// SPDX-License-Identifier: Apache-2.0
/*  fill_host.c - resident models: one memory file for each file of the model, byte for byte
 *
 *  Memory files, since they are shared by descriptor, counted by the kernel until the last mapping goes, and can be sealed: nobody can
 *  change, grow or shrink one any more, us included (memfd_create(2)). The reader writes them through their descriptors (read_chunk.c
 *  says why); when they are full we map them side by side to lock them into memory, if the limits allow.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "actors/loader/tier_inside.h"

#define SEALS (F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE)
#define MEMORY_NAME_SIZE 250 /* memfd_create(2): 249 bytes, for people; a file's name may have 255 */

static int make_memory_file (loader_file_t *file, yard_error_t *error)
{
    char name [MEMORY_NAME_SIZE];
    snprintf (name, sizeof name, "%.*s", MEMORY_NAME_SIZE - 1, file->name);
    int fd = memfd_create (name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate (fd, (off_t) file->identity.bytes) < 0) {
        int saved_errno = errno;
        if (fd >= 0)
            close (fd);
        return yard_error_errno (error, saved_errno, "cannot make memory for %s", file->name);
    }
    file->fd = fd;
    return 0;
}

static int prepare (loader_fill_t *fill, const loader_device_class_t *class, loader_device_t *device,
                    yard_error_t *error)
{
    (void) class;
    (void) device;
    loader_model_t *model = fill->wish.model;
    loader_run_t *runs = fill->own_runs = calloc (model->file_count + 1, sizeof *runs);
    if (!runs)
        abort ();
    for (size_t at = 0; at < model->file_count; at++) {
        loader_file_t *file = &model->files [at];
        int rc = make_memory_file (file, error);
        if (rc)
            return rc;
        fill->sources [at].memory_fd = file->fd;
        if (file->identity.bytes)
            runs [fill->run_count++] =
                (loader_run_t){ .source = (uint32_t) at, .bytes = file->identity.bytes };
    }
    fill->runs = runs;
    return 0;
}

static int give (loader_file_t *file, yard_error_t *error)
{
    struct stat state;
    if (fcntl (file->fd, F_ADD_SEALS, SEALS) < 0 || fstat (file->fd, &state) < 0)
        return yard_error_errno (error, errno, "cannot seal the memory of %s", file->name);
    file->given = (loader_identity_t){ .device = state.st_dev,
                                       .inode = state.st_ino,
                                       .bytes = (uint64_t) state.st_size };
    return 0;
}

static uint64_t page_up (uint64_t bytes)
{
    uint64_t page = (uint64_t) sysconf (_SC_PAGESIZE);
    return (bytes + page - 1) / page * page;
}

/*  All memory files side by side, read-only. */
static bool map_all (loader_model_t *model)
{
    uint64_t bytes = 0, to = 0;
    for (size_t at = 0; at < model->file_count; at++)
        bytes += page_up (model->files [at].given.bytes);
    if (bytes == 0)
        return false;
    char *memory = mmap (NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return false;
    model->memory = memory;
    model->memory_bytes = bytes;
    for (size_t at = 0; at < model->file_count; at++) {
        const loader_file_t *file = &model->files [at];
        if (file->given.bytes && mmap (memory + to, file->given.bytes, PROT_READ, MAP_SHARED | MAP_FIXED,
                                       file->fd, 0) == MAP_FAILED)
            return false;
        to += page_up (file->given.bytes);
    }
    return true;
}

static void unmap_all (loader_model_t *model)
{
    if (model->memory_bytes)
        munmap (model->memory, model->memory_bytes);
    model->memory_bytes = 0;
}

static int finish (loader_fill_t *fill, const loader_device_class_t *class, loader_device_t *device,
                   yard_error_t *error)
{
    (void) class;
    (void) device;
    loader_model_t *model = fill->wish.model;
    for (size_t at = 0; at < model->file_count; at++) {
        int rc = give (&model->files [at], error);
        if (rc)
            return rc;
    }
    model->locked = map_all (model) && mlock (model->memory, model->memory_bytes) == 0;
    if (!model->locked)
        unmap_all (model);
    model->form = load_form_resident;
    return 0;
}

static void discard (loader_model_t *model, const loader_device_class_t *class, loader_device_t *device)
{
    (void) class;
    (void) device;
    unmap_all (model);
    for (size_t at = 0; at < model->file_count; at++)
        loader_file_close (&model->files [at]);
}

const loader_memory_kind_t loader_host_memory = { .prepare = prepare, .finish = finish, .discard = discard };
