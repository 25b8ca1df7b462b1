// SPDX-License-Identifier: Apache-2.0
/*  headers.c - several headers at once
 */
#include "actors/loader/headers.h"

#include "actors/loader/submodel.h"

#define SUFFIX ".safetensors"
#define HEADERS_BYTES_MAX \
    (200u << 20) /* of all files together, as they are in memory at once: two of the largest allowed */

static bool is_safetensors (const char *name)
{
    size_t size = strlen (name);
    return size > strlen (SUFFIX) && strcmp (name + size - strlen (SUFFIX), SUFFIX) == 0;
}

int loader_headers_count (const loader_opening_t *opening, const loader_header_t *header, uint64_t *bytes,
                          yard_error_t *error)
{
    *bytes += header->size;
    if (*bytes <= HEADERS_BYTES_MAX)
        return 0;
    return yard_error (error, YARD_TOO_LARGE,
                       "the headers of %s have more than %u bytes, the limit; load a part of it",
                       opening->path, HEADERS_BYTES_MAX);
}

int loader_headers_read (loader_opening_t *opening, loader_header_t **ret)
{
    const loader_model_t *model = opening->model;
    loader_header_t *headers = calloc (model->file_count ? model->file_count : 1, sizeof *headers);
    uint64_t bytes = 0;
    int rc = 0;
    if (!headers)
        abort ();
    *ret = headers;
    for (size_t at = 0; rc == 0 && at < model->file_count; at++) {
        if (!is_safetensors (model->files [at].name))
            continue;
        rc = loader_header_read (&model->files [at], &headers [at], &opening->error);
        if (rc == 0)
            rc = loader_headers_count (opening, &headers [at], &bytes, &opening->error);
    }
    return rc;
}

void loader_headers_destroy (loader_header_t **self_p, size_t count)
{
    for (size_t at = 0; *self_p && at < count; at++)
        loader_header_clear (&(*self_p) [at]);
    free (*self_p);
    *self_p = NULL;
}

/*  The names of the first two files that hold the tensor, which at least two do. */
static int tell_twice (loader_opening_t *opening, const loader_header_t *headers, yard_string_t name)
{
    const loader_model_t *model = opening->model;
    const char *files [2] = { "", "" };
    char text [YARD_NAME_TEXT_SIZE];
    size_t found = 0;
    for (size_t at = 0; at < model->file_count && found < 2; at++)
        if (yard_tensors_find (&headers [at].tensors, name))
            files [found++] = model->files [at].name;
    yard_name_text (name, text);
    return yard_error (
        &opening->error, YARD_INVALID_FILE,
        "the tensor \"%s\" is in %.120s and in %.120s, and nothing says which counts; take one "
        "of the files out of the model's folder",
        text, files [0], files [1]);
}

int loader_headers_unique (loader_opening_t *opening, const loader_header_t *headers)
{
    size_t count = 0, used = 0;
    size_t files = opening->model->file_count;
    for (size_t at = 0; at < files; at++)
        count += headers [at].tensors.count;
    if (files < 2 || count < 2)
        return 0;
    yard_string_t *names = calloc (count, sizeof *names);
    if (!names)
        abort ();
    for (size_t at = 0; at < files; at++)
        for (size_t tensor = 0; tensor < headers [at].tensors.count; tensor++)
            names [used++] = headers [at].tensors.items [tensor].name;
    const yard_string_t *twice = yard_names_duplicate (names, count, sizeof *names);
    int rc = twice ? tell_twice (opening, headers, *twice) : 0;
    free (names);
    return rc;
}

bool loader_headers_alone (const loader_opening_t *opening, const loader_header_t *headers, size_t count)
{
    if (!loader_submodel_is_denoiser (yard_string (opening->submodel)))
        return false;
    for (size_t at = 0; at < count; at++)
        for (size_t tensor = 0; tensor < headers [at].tensors.count; tensor++)
            if (loader_submodel_has_prefix (opening->base, headers [at].tensors.items [tensor].name))
                return false;
    return true;
}
