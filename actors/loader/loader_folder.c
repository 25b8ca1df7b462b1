// SPDX-License-Identifier: Apache-2.0
/*  loader_folder.c - models that are a folder in the form of diffusers and transformers: one weights file, or
 *  shards with an index
 *
 *  A main model's part is the folder of that name below it. Which files hold the weights: the index names
 *  them (*.safetensors.index.json); without an index the one .safetensors file of the folder, or the one with
 *  the library's own name. Promises: a tensor is taken from the file that the index names, whatever else lies
 *  in the folder. Refuses: two indexes, several files that nothing tells apart, whole main models (their
 *  parts use the same names).
 */
#include "actors/loader/loader_folder.h"

#include <dirent.h>
#include <errno.h>
#include "actors/formats/shard_index.h"

#define INDEX_SUFFIX ".safetensors.index.json"
#define FILE_SUFFIX ".safetensors"
#define HEADERS_BYTES_MAX \
    (200u << 20) /* of all files together, as they are in memory at once: two of the largest allowed */
#define ENTRIES_MAX 10000 /* names looked at in a folder; published ones have some hundred */

/*  What the libraries call the weights when there is one file without a variant. */
static const char *const own_names [] = { "model.safetensors", "diffusion_pytorch_model.safetensors" };

typedef struct {
    char index [NAME_MAX + 1], file [NAME_MAX + 1], own [NAME_MAX + 1]; /* empty: not there */
    size_t indexes, files;
} listing_t;

typedef struct {
    loader_opening_t *opening;
    int folder_fd;
    char *json; /* of the index; NULL without one */
    yard_shard_index_t shards;
    yard_table_t *by_name;
} folder_t;

static bool ends_with (const char *name, const char *suffix)
{
    size_t size = strlen (name), suffix_size = strlen (suffix);
    return size > suffix_size && strcmp (name + size - suffix_size, suffix) == 0;
}

static void note_name (listing_t *listing, const char *name)
{
    if (name [0] == '.')
        return;
    if (ends_with (name, INDEX_SUFFIX)) {
        listing->indexes++;
        snprintf (listing->index, sizeof listing->index, "%s", name);
    } else if (ends_with (name, FILE_SUFFIX)) {
        listing->files++;
        snprintf (listing->file, sizeof listing->file, "%s", name);
        for (size_t at = 0; at < sizeof own_names / sizeof own_names [0]; at++)
            if (strcmp (name, own_names [at]) == 0)
                snprintf (listing->own, sizeof listing->own, "%s", name);
    }
}

static int list_folder (const folder_t *self, listing_t *ret)
{
    loader_opening_t *opening = self->opening;
    *ret = (listing_t){ 0 };
    int fd = dup (self->folder_fd); /* closedir closes what it reads from */
    DIR *folder = fd < 0 ? NULL : fdopendir (fd);
    if (!folder) {
        int saved_errno = errno;
        if (fd >= 0)
            close (fd);
        return yard_error_errno (&opening->error, saved_errno, "cannot list %s", opening->path);
    }
    const struct dirent *entry;
    for (size_t at = 0; at < ENTRIES_MAX && (entry = readdir (folder)); at++)
        note_name (ret, entry->d_name);
    closedir (folder);
    if (ret->indexes == 0 && ret->files == 0)
        return yard_error (
            &opening->error, YARD_MODEL_NOT_FOUND,
            "%s has no .safetensors file; others are not loaded yet: convert it, or install it again",
            opening->path);
    if (ret->indexes > 1 || (ret->indexes == 0 && ret->files > 1 && ret->own [0] == 0))
        return yard_error (
            &opening->error, YARD_INVALID_FILE,
            "%s has several sets of weights, and nothing says which; leave one of them in the folder",
            opening->path);
    return 0;
}

static int read_index (folder_t *self, const char *name)
{
    yard_error_t *error = &self->opening->error;
    loader_file_t file;
    int rc = loader_file_open_in (self->folder_fd, name, &file, error);
    if (rc)
        return rc;
    uint64_t size = file.identity.bytes;
    if (size > YARD_SHARD_INDEX_BYTES_MAX)
        rc = yard_error (error, YARD_TOO_LARGE, "the index %s has %llu bytes, the limit is %u", name,
                         (unsigned long long) size, YARD_SHARD_INDEX_BYTES_MAX);
    if (rc == 0 && !(self->json = malloc (size ? size : 1)))
        abort ();
    if (rc == 0)
        rc = loader_file_read (&file, 0, self->json, size, error);
    loader_file_close (&file);
    if (rc == 0)
        rc = yard_shard_index_parse (self->json, size, &self->shards, error);
    if (rc == 0 && self->shards.file_count > LOADER_FILES_MAX)
        rc = yard_error (error, YARD_TOO_LARGE, "the model has %zu files, the limit is %d",
                         self->shards.file_count, LOADER_FILES_MAX);
    return rc;
}

static int open_files (folder_t *self, const listing_t *listing)
{
    loader_opening_t *opening = self->opening;
    if (!self->json) {
        opening->model = loader_model_new (1);
        const char *name = listing->own [0] ? listing->own : listing->file;
        return loader_file_open_in (self->folder_fd, name, &opening->model->files [0], &opening->error);
    }
    loader_model_t *model = opening->model = loader_model_new (self->shards.file_count);
    for (size_t at = 0; at < model->file_count; at++) {
        char name [YARD_SHARD_NAME_MAX + 1];
        snprintf (name, sizeof name, "%.*s", YARD_VIEW (self->shards.files [at]));
        int rc = loader_file_open_in (self->folder_fd, name, &model->files [at], &opening->error);
        if (rc)
            return rc;
    }
    return 0;
}

/*  Are all mapped tensors where the index says, and which file has which? */
static int map_shards (folder_t *self, const loader_header_t *headers)
{
    size_t count = self->shards.file_count;
    yard_tensors_t *lists = calloc (count, sizeof *lists);
    if (!lists)
        abort ();
    for (size_t at = 0; at < count; at++)
        lists [at] = headers [at].tensors;
    int rc = yard_shard_index_check (&self->shards, lists, &self->opening->error);
    free (lists);
    self->by_name = yard_table_new ();
    for (size_t at = 0; rc == 0 && at < self->shards.count; at++) {
        const yard_shard_entry_t *entry = &self->shards.entries [at];
        yard_table_put (self->by_name, entry->tensor.data, entry->tensor.size,
                        (void *) (uintptr_t) (entry->shard + 1u));
    }
    return rc;
}

static int read_headers (folder_t *self)
{
    loader_opening_t *opening = self->opening;
    loader_model_t *model = opening->model;
    loader_header_t *headers = calloc (model->file_count, sizeof *headers);
    uint64_t bytes = 0;
    int rc = 0;
    if (!headers)
        abort ();
    for (size_t at = 0; rc == 0 && at < model->file_count; at++) {
        rc = loader_header_read (&model->files [at], &headers [at], &opening->error);
        bytes += headers [at].size;
        if (rc == 0 && bytes > HEADERS_BYTES_MAX)
            rc = yard_error (&opening->error, YARD_TOO_LARGE,
                             "the headers of %s have more than %u bytes, the limit", opening->path,
                             HEADERS_BYTES_MAX);
    }
    if (rc == 0 && self->json)
        rc = map_shards (self, headers);
    loader_opening_phase (opening, "parse");
    if (rc == 0)
        rc = loader_directory_make (model, headers, &(loader_pick_t){ .shards = self->by_name },
                                    &opening->error);
    for (size_t at = 0; at < model->file_count; at++)
        loader_header_clear (&headers [at]);
    free (headers);
    loader_opening_phase (opening, "directory");
    return rc;
}

/*  The folder that holds the weights: the model's, or its part's. */
static int enter_folder (folder_t *self)
{
    loader_opening_t *opening = self->opening;
    const char *part = opening->submodel;
    char path [LOADER_MODEL_PATH_SIZE + LOADER_SUBMODEL_SIZE];
    if (opening->type == model_type_main && part [0] == 0)
        return yard_error (
            &opening->error, YARD_SUBMODEL_NEEDED,
            "%s is a folder of parts whose tensors have the same names; name the submodel to load",
            opening->path);
    if (part [0] == '.' || strchr (part, '/'))
        return yard_error (&opening->error, YARD_NO_SUBMODEL, "%s is no name of a part", part);
    snprintf (path, sizeof path, "%s%s%s", opening->path, part [0] ? "/" : "", part);
    int rc = loader_folder_open (opening->models_dir, path, &self->folder_fd, &opening->error);
    if (rc == YARD_MODEL_NOT_FOUND && part [0] &&
        loader_folder_open (opening->models_dir, opening->path, &self->folder_fd, NULL) == 0)
        rc = yard_error (&opening->error, YARD_NO_SUBMODEL, "%s has no folder %s; its parts are its folders",
                         opening->path, part);
    return rc;
}

static int open_folder (loader_opening_t *opening)
{
    folder_t self = { .opening = opening, .folder_fd = -1 };
    listing_t listing;
    int rc = enter_folder (&self);
    if (rc == 0)
        rc = list_folder (&self, &listing);
    if (rc == 0 && listing.indexes > 0)
        rc = read_index (&self, listing.index);
    if (rc == 0)
        rc = open_files (&self, &listing);
    loader_opening_phase (opening, "open");
    if (rc == 0 && loader_opening_known (opening, opening->model))
        loader_model_drop (&opening->model);
    else if (rc == 0)
        rc = read_headers (&self);
    yard_table_destroy (&self.by_name);
    yard_shard_index_clear (&self.shards);
    free (self.json);
    if (self.folder_fd >= 0)
        close (self.folder_fd);
    return rc;
}

static const loader_triple_t serves [] = {
    { base_model_any, model_type_main, model_format_diffusers },
    { base_model_any, model_type_vae, model_format_diffusers },
    { base_model_any, model_type_controlnet, model_format_diffusers },
    { base_model_any, model_type_t2i_adapter, model_format_diffusers },
    { base_model_any, model_type_clip_vision, model_format_diffusers },
    { base_model_any, model_type_clip_embed, model_format_diffusers },
    { base_model_any, model_type_siglip, model_format_diffusers },
    { base_model_any, model_type_llava_onevision, model_format_diffusers },
    { base_model_any, model_type_text_llm, model_format_diffusers },
    { base_model_any, model_type_t5_encoder, model_format_t5_encoder },
    { base_model_any, model_type_t5_encoder, model_format_diffusers },
};

const loader_kind_t loader_folder = {
    .name = "folder",
    .serves = serves,
    .count = sizeof serves / sizeof serves [0],
    .open = open_folder,
};
