// SPDX-License-Identifier: Apache-2.0
/*  fill_host.c - resident models: one memory file for each file of the model, byte for byte
 *
 *  Memory files, since they are shared by descriptor, counted by the kernel until the last mapping goes, and can be sealed: nobody can
 *  change, grow or shrink one any more, us included (memfd_create(2)). While they are filled they lie side by side in one mapping of
 *  ours, so that the reader has one place to write to; afterwards that mapping is read-only, and keeps them locked if the limits allow.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "actors/loader/tier_inside.h"

#define SEALS (F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE)

static uint64_t page_up (uint64_t bytes)
{
    uint64_t page = (uint64_t) sysconf (_SC_PAGESIZE);
    return (bytes + page - 1) / page * page;
}

static int make_memory_file (const loader_file_t *file, char *at, int protection, int *ret_fd,
                             yard_error_t *error)
{
    int fd = memfd_create (file->name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate (fd, (off_t) file->identity.bytes) < 0 ||
        (file->identity.bytes &&
         mmap (at, file->identity.bytes, protection, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED)) {
        int saved_errno = errno;
        if (fd >= 0)
            close (fd);
        return saved_errno == ENOMEM
                   ? yard_error (error, YARD_OUT_OF_MEMORY, "no address space for %s; unload other models",
                                 file->name)
                   : yard_error_errno (error, saved_errno, "cannot make memory for %s", file->name);
    }
    *ret_fd = fd;
    return 0;
}

static int prepare (loader_fill_t *fill, const loader_device_class_t *class, loader_device_t *device,
                    yard_error_t *error)
{
    (void) class;
    (void) device;
    loader_model_t *model = fill->wish.model;
    size_t count = model->file_count;
    for (size_t at = 0; at < count; at++)
        model->memory_bytes += page_up (model->files [at].identity.bytes);
    model->memory_bytes += page_up (1); /* of empty files alone there would be nothing to map */
    model->memory =
        mmap (NULL, model->memory_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (model->memory == MAP_FAILED) {
        model->memory_bytes = 0;
        return yard_error (error, YARD_OUT_OF_MEMORY,
                           "no address space for a model of %llu bytes; unload others",
                           (unsigned long long) model->bytes);
    }
    loader_run_t *runs = fill->own_runs = calloc (count + 1, sizeof *runs);
    if (!runs)
        abort ();
    uint64_t to = 0;
    for (size_t at = 0; at < count; at++) {
        loader_file_t *file = &model->files [at];
        int rc = make_memory_file (file, model->memory + to, PROT_READ | PROT_WRITE, &file->fd, error);
        if (rc)
            return rc;
        if (file->identity.bytes)
            runs [fill->run_count++] =
                (loader_run_t){ .source = (uint32_t) at, .bytes = file->identity.bytes, .to = to };
        to += page_up (file->identity.bytes);
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

static int finish (loader_fill_t *fill, const loader_device_class_t *class, loader_device_t *device,
                   yard_error_t *error)
{
    (void) class;
    (void) device;
    loader_model_t *model = fill->wish.model;
    if (mprotect (model->memory, model->memory_bytes, PROT_READ) < 0)
        return yard_error_errno (error, errno, "cannot protect the memory of a model");
    for (size_t at = 0; at < model->file_count; at++) {
        int rc = give (&model->files [at], error);
        if (rc)
            return rc;
    }
    model->locked = mlock (model->memory, model->memory_bytes) == 0;
    if (!model->locked) {
        munmap (model->memory, model->memory_bytes);
        model->memory_bytes = 0;
    }
    model->form = load_form_resident;
    return 0;
}

static void discard (loader_model_t *model, const loader_device_class_t *class, loader_device_t *device)
{
    (void) class;
    (void) device;
    if (model->memory_bytes)
        munmap (model->memory, model->memory_bytes);
    model->memory_bytes = 0;
    for (size_t at = 0; at < model->file_count; at++)
        loader_file_close (&model->files [at]);
}

const loader_memory_kind_t loader_host_memory = { .prepare = prepare, .finish = finish, .discard = discard };
