// SPDX-License-Identifier: Apache-2.0
/*  opening.c - what every loader needs while it opens a model
 */
#include "actors/loader/opening.h"

#include <errno.h>
#include <sys/mman.h>
#include "actors/formats/safetensors.h"
#include "actors/ground/clock.h"
#include "actors/loader/checksums.h"

static int64_t now_ns (void)
{
    /*  Durations of real disk work; nothing decides by them. */
    const yard_clock_t *clock = yard_clock_system ();
    return clock->monotonic_ns (clock->context);
}

loader_opening_t *loader_opening_new (void)
{
    loader_opening_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    return self;
}

void loader_opening_destroy (loader_opening_t **self_p)
{
    loader_opening_t *self = *self_p;
    if (!self)
        return;
    loader_model_drop (&self->model);
    free (self->known);
    free (self->slices);
    free (self);
    *self_p = NULL;
}

/*  The directory that the kind of model made speaks of files; on a device the tensors lie elsewhere. */
static int plan (loader_opening_t *self)
{
    loader_model_t *model = self->model;
    yard_directory_t directory;
    yard_buffer_t bytes;
    void *mapped = mmap (NULL, model->directory_bytes, PROT_READ, MAP_PRIVATE, model->directory_fd, 0);
    if (mapped == MAP_FAILED)
        return yard_error (&self->error, YARD_OUT_OF_MEMORY, "no address space for the directory of %s",
                           self->path);
    yard_buffer_init (&bytes, YARD_DIRECTORY_BYTES_MAX);
    int rc = yard_directory_open (&directory, mapped, model->directory_bytes, &self->error);
    if (rc == 0)
        rc = self->slices
                 ? loader_slice_plan_make (&directory, self->slices, &model->plan, &bytes, &self->error)
                 : loader_plan_make (&directory, &model->plan, &bytes, &self->error);
    munmap (mapped, model->directory_bytes);
    if (rc == 0) {
        close (model->directory_fd);
        model->directory_fd = -1;
        rc = loader_directory_seal (model, &bytes, &self->error);
    }
    yard_buffer_clear (&bytes);
    loader_opening_phase (self, "plan");
    return rc;
}

/*  A path from the root on is its caller's own word: symlinks in it are followed, here and once. */
static int make_real (loader_opening_t *self)
{
    char resolved [PATH_MAX];
    if (!realpath (self->path, resolved))
        return errno == ENOENT || errno == ENOTDIR
                   ? yard_error (&self->error, YARD_MODEL_NOT_FOUND,
                                 "%s is not there; give the path of a file or folder on the loader's machine",
                                 self->path)
                   : yard_error_errno (&self->error, errno, "cannot look at %s", self->path);
    snprintf (self->path, sizeof self->path, "%s", resolved);
    return 0;
}

static int open_variant (loader_opening_t *self)
{
    int rc = self->open (self);
    if (rc != YARD_NOT_FOUND || !self->variant_soft || self->variant [0] == 0)
        return rc;
    loader_model_drop (&self->model);
    self->variant [0] = 0;
    return self->open (self);
}

void loader_opening_run (loader_opening_t *self)
{
    self->mark_ns = now_ns ();
    int rc = strcmp (self->models_dir, LOADER_ANYWHERE) == 0 ? make_real (self) : 0;
    if (rc == 0)
        rc = open_variant (self);
    if (rc == 0 && self->model && self->into_memory)
        rc = loader_checksums_read (self);
    if (rc == 0 && self->model && self->onto_device)
        rc = plan (self);
    if (rc)
        loader_model_drop (&self->model);
    self->error.code = rc;
}

void loader_opening_phase (loader_opening_t *self, const char *name)
{
    int64_t now = now_ns ();
    if (self->phase_count < LOADER_PHASES_MAX)
        self->phases [self->phase_count++] =
            (loader_phase_t){ .name = name, .us = (uint64_t) (now - self->mark_ns) / 1000 };
    self->mark_ns = now;
}

bool loader_opening_known (loader_opening_t *self, const loader_model_t *model)
{
    self->same = self->known && loader_model_is (model, self->known, self->known_count);
    return self->same;
}

int loader_header_read (const loader_file_t *file, loader_header_t *ret, yard_error_t *error)
{
    char first [YARD_SAFETENSORS_LENGTH_SIZE] = { 0 };
    uint64_t file_size = file->identity.bytes;
    *ret = (loader_header_t){ 0 };
    int rc = 0;
    if (file_size >= sizeof first)
        rc = loader_file_read (file, 0, first, sizeof first, error);
    if (rc == 0)
        rc = yard_safetensors_header_size (first, file_size, &ret->size, error);
    if (rc)
        return rc;
    /*  The size is at most 100 MB and no more than the file has, so this cannot be made to lie. */
    ret->bytes = malloc (ret->size);
    if (!ret->bytes)
        return yard_error (error, YARD_OUT_OF_MEMORY,
                           "no memory for a header of %llu bytes; unload other models",
                           (unsigned long long) ret->size);
    rc = loader_file_read (file, 0, ret->bytes, ret->size, error);
    if (rc == 0)
        rc = yard_safetensors_parse (ret->bytes, ret->size, file_size, &ret->tensors, error);
    if (rc)
        loader_header_clear (ret);
    return rc;
}

void loader_header_clear (loader_header_t *self)
{
    yard_tensors_clear (&self->tensors);
    free (self->bytes);
    *self = (loader_header_t){ 0 };
}
