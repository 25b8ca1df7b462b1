// SPDX-License-Identifier: Apache-2.0
/*  directory_make.c - the model's list of tensors, into the memory file that every client maps
 *
 *  A reader that looks at tensors in the order of the list reads the files from front to back. The file is
 *  sealed against growing, shrinking and writing before anybody else can see it, so clients need not trust
 *  each other, or us later on.
 */
#include "actors/loader/opening.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include "proto/directory.h"

#define SEALS (F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_WRITE | F_SEAL_SEAL)

/*  How the seed's events name precisions; integers do not count (position ids lie among the weights of any
 *  text encoder). */
static const struct {
    yard_dtype_t dtype;
    const char *precision;
} precisions [] = {
    { YARD_DTYPE_F16, "float16" },           { YARD_DTYPE_BF16, "bfloat16" },
    { YARD_DTYPE_F32, "float32" },           { YARD_DTYPE_F64, "float64" },
    { YARD_DTYPE_F8_E4M3, "float8_e4m3fn" }, { YARD_DTYPE_F8_E5M2, "float8_e5m2" },
    { YARD_DTYPE_F4, "float4_e2m1fn_x2" },
};

static void note_precision (loader_model_t *model, yard_dtype_t dtype)
{
    const char *precision = NULL;
    for (size_t at = 0; at < sizeof precisions / sizeof precisions [0]; at++)
        if (precisions [at].dtype == dtype)
            precision = precisions [at].precision;
    if (!precision || strcmp (precision, model->precision) == 0)
        return;
    snprintf (model->precision, sizeof model->precision, "%s", model->precision [0] ? "mixed" : precision);
}

static bool picked (const loader_pick_t *pick, yard_string_t name, uint32_t region)
{
    if (pick->prefix && !yard_string_starts (name, pick->prefix))
        return false;
    return !pick->shards || (uintptr_t) yard_table_get (pick->shards, name.data, name.size) == region + 1u;
}

static int add_tensors (yard_directory_writer_t *writer, loader_model_t *model, uint32_t region,
                        const yard_tensors_t *tensors, const loader_pick_t *pick, yard_error_t *error)
{
    for (size_t at = 0; at < tensors->count; at++) {
        const yard_tensor_t *tensor = &tensors->items [at];
        if (!picked (pick, tensor->name, region))
            continue;
        const yard_tensor_row_t row = { .name = tensor->name,
                                        .dtype = yard_string (yard_dtype_row (tensor->dtype)->word),
                                        .shape = tensor->shape,
                                        .rank = tensor->rank,
                                        .region = region,
                                        .offset = tensor->offset,
                                        .bytes = tensor->bytes };
        int rc = yard_directory_writer_add (writer, &row, error);
        if (rc)
            return rc;
        note_precision (model, tensor->dtype);
        model->tensors++;
    }
    return 0;
}

/*  Holes cost nothing, so a file may say that it has more than any memory. */
static int add_bytes (loader_model_t *model, const loader_file_t *file, yard_error_t *error)
{
    if (file->identity.bytes > YARD_SAFE_INTEGER - model->bytes)
        return yard_error (error, YARD_INVALID_FILE,
                           "%s makes the model larger than any is (2^53 bytes); install the model again",
                           file->name);
    model->bytes += file->identity.bytes;
    return 0;
}

static int write_all (int fd, const char *data, size_t size, yard_error_t *error)
{
    while (size > 0) {
        ssize_t written = write (fd, data, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return yard_error_errno (error, errno, "cannot fill the directory's memory file");
        data += written;
        size -= (size_t) written;
    }
    return 0;
}

int loader_directory_seal (loader_model_t *model, const yard_buffer_t *bytes, yard_error_t *error)
{
    int fd = memfd_create ("modelyard-directory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return yard_error_errno (error, errno, "cannot make the directory's memory file");
    int rc = write_all (fd, bytes->data, bytes->size, error);
    if (rc == 0 && fcntl (fd, F_ADD_SEALS, SEALS) < 0)
        rc = yard_error_errno (error, errno, "cannot seal the directory's memory file");
    if (rc) {
        close (fd);
        return rc;
    }
    model->directory_fd = fd;
    model->directory_bytes = bytes->size;
    return 0;
}

int loader_directory_make (loader_model_t *model, const loader_header_t *headers, const loader_pick_t *pick,
                           yard_error_t *error)
{
    yard_directory_writer_t *writer = yard_directory_writer_new ();
    yard_buffer_t bytes;
    int rc = 0;
    yard_buffer_init (&bytes, YARD_DIRECTORY_BYTES_MAX);
    for (size_t at = 0; rc == 0 && at < model->file_count; at++) {
        rc = add_tensors (writer, model, (uint32_t) at, &headers [at].tensors, pick, error);
        if (rc == 0)
            rc = add_bytes (model, &model->files [at], error);
    }
    if (rc == 0 && pick->prefix && model->tensors == 0)
        rc = yard_error (
            error, YARD_NO_SUBMODEL,
            "the file has no tensor whose name begins with %s, so it lacks this part; load another part, "
            "or whole: true",
            pick->prefix);
    if (rc == 0)
        rc = yard_directory_writer_finish (writer, &bytes, error);
    if (rc == 0)
        rc = loader_directory_seal (model, &bytes, error);
    yard_directory_writer_destroy (&writer);
    yard_buffer_clear (&bytes);
    return rc;
}
