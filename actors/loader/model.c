// SPDX-License-Identifier: Apache-2.0
/*  model.c - the count of uses, the numbers of the descriptors, and the end
 */
#include "actors/loader/model.h"

#include <assert.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define DESCRIPTORS_MAX \
    65536 /* the kernel's table for so many takes 512 KiB; far above files_max and connections together */

loader_model_t *loader_model_new (size_t file_count)
{
    loader_model_t *self = calloc (1, sizeof *self);
    loader_file_t *files = calloc (file_count ? file_count : 1, sizeof *files);
    if (!self || !files)
        abort ();
    for (size_t at = 0; at < file_count; at++)
        files [at].fd = -1;
    self->files = files;
    self->file_count = file_count;
    self->form = load_form_mapped;
    self->directory_fd = -1;
    self->handle.fd = -1;
    self->uses = 1;
    return self;
}

loader_model_t *loader_model_use (loader_model_t *self)
{
    assert (self->uses > 0);
    self->uses++;
    return self;
}

void loader_model_drop (loader_model_t **self_p)
{
    loader_model_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    assert (self->uses > 0);
    if (--self->uses > 0)
        return;
    if (self->count)
        *self->count -= self->file_count;
    self->count = NULL;
    if (self->keeper.ended)
        self->keeper.ended (self->keeper.argument, self);
    else
        loader_model_free (self);
}

void loader_model_free (loader_model_t *self)
{
    assert (!self->allocation);
    if (self->memory_bytes)
        munmap (self->memory, self->memory_bytes);
    for (size_t at = 0; at < self->file_count; at++) {
        loader_file_close (&self->files [at]);
        if (self->checksums)
            free (self->checksums [at].crc32c);
    }
    free (self->checksums);
    if (self->directory_fd >= 0)
        close (self->directory_fd);
    if (self->handle.fd >= 0)
        close (self->handle.fd);
    loader_plan_clear (&self->plan);
    free (self->files);
    free (self);
}

size_t loader_model_regions (const loader_model_t *self)
{
    return self->form == load_form_device ? 1 : self->file_count;
}

void loader_model_count (loader_model_t *self, size_t *count)
{
    assert (!self->count);
    self->count = count;
    *count += self->file_count;
}

void loader_numbers_init (loader_numbers_t *self)
{
    struct rlimit limit = { 0 };
    rlim_t end = DESCRIPTORS_MAX;
    if (getrlimit (RLIMIT_NOFILE, &limit) < 0)
        limit.rlim_cur = limit.rlim_max = 1024; /* what every Linux grants */
    if (end > limit.rlim_max)
        end = limit.rlim_max;
    if (limit.rlim_cur < end) {
        limit.rlim_cur = end;
        setrlimit (RLIMIT_NOFILE, &limit);
    }
    /*  The lower half is for everything else: sockets, connections, files that are being opened. */
    *self = (loader_numbers_t){ .first = (int) (end / 2), .next = (int) (end / 2), .end = (int) end };
}

/*  The next free number, or -1: then the range is full and the descriptor stays where it is. */
static int move_up (int fd, loader_numbers_t *numbers)
{
    int moved = fcntl (fd, F_DUPFD_CLOEXEC, numbers->next);
    if (moved < 0) {
        numbers->next = numbers->first;
        moved = fcntl (fd, F_DUPFD_CLOEXEC, numbers->next);
    }
    if (moved >= 0)
        numbers->next = moved + 1 < numbers->end ? moved + 1 : numbers->first;
    return moved;
}

void loader_model_number (loader_model_t *self, loader_numbers_t *numbers)
{
    for (size_t at = 0; at < self->file_count; at++) {
        int moved = self->files [at].fd < 0 ? -1 : move_up (self->files [at].fd, numbers);
        if (moved < 0)
            return;
        close (self->files [at].fd);
        self->files [at].fd = moved;
    }
}

bool loader_model_is (const loader_model_t *self, const loader_file_t *files, size_t count)
{
    if (self->file_count != count)
        return false;
    for (size_t at = 0; at < count; at++)
        if (strcmp (self->files [at].name, files [at].name) != 0 ||
            !loader_identity_equal (&self->files [at].identity, &files [at].identity))
            return false;
    return true;
}
