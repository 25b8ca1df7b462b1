// SPDX-License-Identifier: Apache-2.0
/*  loader_folder.c - models that are a folder in the form of diffusers and transformers: one weights file, or
 *  shards with an index
 *
 *  A main model's part is the folder of that name below it. Which files hold the weights: the variant's index
 *  names them (*.safetensors.index.json); without an index the variant's one .safetensors file of the folder,
 *  or the one with the library's own name (listing.h). A folder without any (a tokenizer, a scheduler, weights
 *  as a pickle) and a variant that is another kind of files are handed out as files (loader_files.c).
 *  Promises: a tensor is taken from the file that the index names, whatever else lies in the folder. Refuses:
 *  two indexes, several files that nothing tells apart, whole main models (their parts use the same names).
 */
#include "actors/loader/loader_folder.h"

#include "actors/formats/shard_index.h"
#include "actors/loader/headers.h"
#include "actors/loader/listing.h"
#include "actors/loader/loader_files.h"

typedef struct {
    loader_opening_t *opening;
    int folder_fd;
    char *json; /* of the index; NULL without one */
    yard_shard_index_t shards;
    yard_table_t *by_name;
} folder_t;

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

/*  name: the one file, without an index. */
static int open_files (folder_t *self, const char *name)
{
    loader_opening_t *opening = self->opening;
    if (!self->json) {
        opening->model = loader_model_new (1);
        return loader_file_open_in (self->folder_fd, name, &opening->model->files [0], &opening->error);
    }
    loader_model_t *model = opening->model = loader_model_new (self->shards.file_count);
    for (size_t at = 0; at < model->file_count; at++) {
        char shard [YARD_SHARD_NAME_MAX + 1];
        snprintf (shard, sizeof shard, "%.*s", YARD_VIEW (self->shards.files [at]));
        int rc = loader_file_open_in (self->folder_fd, shard, &model->files [at], &opening->error);
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
    size_t count = opening->model->file_count;
    loader_header_t *headers;
    int rc = loader_headers_read (opening, &headers);
    if (rc == 0 && self->json)
        rc = map_shards (self, headers);
    loader_opening_phase (opening, "parse");
    if (rc == 0)
        rc = loader_directory_make (opening->model, headers, &(loader_pick_t){ .shards = self->by_name },
                                    &opening->error);
    loader_headers_destroy (&headers, count);
    loader_opening_phase (opening, "directory");
    return rc;
}

static int open_weights (folder_t *self, const char *name, bool index)
{
    loader_opening_t *opening = self->opening;
    int rc = index ? read_index (self, name) : 0;
    if (rc == 0)
        rc = open_files (self, name);
    loader_opening_phase (opening, "open");
    if (rc == 0 && loader_opening_known (opening, opening->model))
        loader_model_drop (&opening->model);
    else if (rc == 0)
        rc = read_headers (self);
    yard_table_destroy (&self->by_name);
    yard_shard_index_clear (&self->shards);
    free (self->json);
    return rc;
}

static bool is_pipeline (const loader_listing_t *listing)
{
    for (size_t at = 0; at < listing->count; at++)
        if (strcmp (listing->entries [at].name, "model_index.json") == 0)
            return true;
    return false;
}

static int submodel_needed (loader_opening_t *opening)
{
    return yard_error (&opening->error, YARD_SUBMODEL_NEEDED,
                       "%s is a folder of parts whose tensors have the same names; name the submodel to load",
                       opening->path);
}

static int open_listed (folder_t *self, const loader_listing_t *listing)
{
    loader_opening_t *opening = self->opening;
    const char *name = NULL;
    bool index = false;
    if (opening->submodel [0] == 0 && is_pipeline (listing)) /* whatever its record says */
        return submodel_needed (opening);
    if (loader_files_is_form (opening->variant))
        return loader_files_open_folder (opening, self->folder_fd);
    int rc = loader_weights_choose (listing, opening->variant, opening->path, &name, &index, &opening->error);
    if (rc)
        return rc;
    return name ? open_weights (self, name, index) : loader_files_open_folder (opening, self->folder_fd);
}

static int open_folder (loader_opening_t *opening)
{
    folder_t self = { .opening = opening, .folder_fd = -1 };
    loader_listing_t listing;
    if (opening->type == model_type_main && opening->submodel [0] == 0)
        return submodel_needed (opening);
    int rc = loader_files_enter (opening, &self.folder_fd);
    if (rc)
        return rc;
    rc = loader_listing_read (self.folder_fd, opening->path, &listing, &opening->error);
    if (rc == 0) {
        rc = open_listed (&self, &listing);
        loader_listing_clear (&listing);
    }
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
