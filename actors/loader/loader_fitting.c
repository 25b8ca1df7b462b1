// SPDX-License-Identifier: Apache-2.0
/*  loader_fitting.c - which loader fits a path that is in no record (REQUIREMENTS R6.8)
 *
 *  A file tells it by its name's ending, a folder by the names in it: the first row of a table that fits one of
 *  them. Promises: reads one listing, and of files at most the first bytes of a pipeline's model_index.json;
 *  what it finds only chooses among loaders that trust nothing, so a wrong name costs a refusal and no more.
 */
#include "actors/loader/loader_fitting.h"

#include "actors/loader/listing.h"
#include "actors/loader/loader_files.h"
#include "actors/loader/loader_folder.h"
#include "actors/loader/loader_gguf.h"
#include "actors/loader/loader_safetensors.h"

#define INDEX_NAME "model_index.json"
#define INDEX_BYTES_MAX 65536 /* read of it; published ones have about 1 KB */
#define ONNX_CLASS \
    "OnnxRuntimeModel" /* what diffusers writes there as the class of an ONNX pipeline's parts */

typedef struct {
    const char *name;
    const loader_kind_t *kind;
    model_type_t type; /* what a load by path of this kind counts as */
    bool ending; /* name is how names end */
} fit_t;

/*  Pickles: a .ckpt is a main model, which has parts; the others are embeddings and parts of adapters. */
static const fit_t files [] = {
    { ".safetensors", &loader_safetensors, model_type_unknown, true },
    { ".gguf", &loader_gguf, model_type_unknown, true },
    { ".onnx", &loader_files, model_type_onnx, true },
    { ".ckpt", &loader_safetensors, model_type_unknown, true },
    { ".bin", &loader_files, model_type_embedding, true },
    { ".pt", &loader_files, model_type_embedding, true },
    { ".pth", &loader_files, model_type_embedding, true },
};

/*  What is whole only with the words beside its weights stands first; weights by their format; the last row
 *  fits every folder. The names are those that InvokeAI and diffusers write. */
static const fit_t folders [] = {
    { INDEX_NAME, &loader_folder, model_type_main, false },
    { "image_encoder.txt", &loader_files, model_type_ip_adapter, false },
    { "learned_embeds.safetensors", &loader_files, model_type_embedding, false },
    { "learned_embeds.bin", &loader_files, model_type_embedding, false },
    { "pytorch_lora_weights.safetensors", &loader_files, model_type_lora, false },
    { "pytorch_lora_weights.bin", &loader_files, model_type_lora, false },
    { ".safetensors", &loader_folder, model_type_unknown, true },
    { ".gguf", &loader_gguf, model_type_unknown, true },
    { ".onnx", &loader_files, model_type_onnx, true },
    { "", &loader_folder, model_type_unknown, true },
};

#define ROWS(table) (sizeof (table) / sizeof (table) [0])

static bool fits (const fit_t *row, const char *name)
{
    size_t size = strlen (name), row_size = strlen (row->name);
    return row->ending ? size >= row_size && strcmp (name + size - row_size, row->name) == 0
                       : strcmp (name, row->name) == 0;
}

static const fit_t *find_file (const char *path)
{
    for (size_t at = 0; at < ROWS (files); at++)
        if (fits (&files [at], path))
            return &files [at];
    return NULL;
}

static const fit_t *find_folder (const loader_listing_t *listing)
{
    for (size_t at = 0; at < ROWS (folders) - 1; at++)
        for (size_t entry = 0; entry < listing->count; entry++)
            if (!listing->entries [entry].folder && fits (&folders [at], listing->entries [entry].name))
                return &folders [at];
    return &folders [ROWS (folders) - 1];
}

/*  Are the parts of this pipeline ONNX models? What cannot be read says no: then its loader says why. */
static bool is_onnx_pipeline (int folder_fd)
{
    loader_file_t file;
    if (loader_file_open_in (folder_fd, INDEX_NAME, &file, NULL) != 0)
        return false;
    size_t size = file.identity.bytes < INDEX_BYTES_MAX ? (size_t) file.identity.bytes : INDEX_BYTES_MAX;
    char *text = malloc (size + 1);
    if (!text)
        abort ();
    bool found = loader_file_read (&file, 0, text, size, NULL) == 0 &&
                 memmem (text, size, ONNX_CLASS, strlen (ONNX_CLASS)) != NULL;
    free (text);
    loader_file_close (&file);
    return found;
}

static int open_as (loader_opening_t *opening, const loader_kind_t *kind, model_type_t type)
{
    if (opening->type == model_type_unknown)
        opening->type = type;
    return kind->open (opening);
}

/*  Takes folder_fd. */
static int open_folder (loader_opening_t *opening, int folder_fd)
{
    loader_listing_t listing;
    int rc = loader_listing_read (folder_fd, opening->path, &listing, &opening->error);
    if (rc) {
        close (folder_fd);
        return rc;
    }
    const fit_t *row = find_folder (&listing);
    bool onnx = strcmp (row->name, INDEX_NAME) == 0 && is_onnx_pipeline (folder_fd);
    loader_listing_clear (&listing);
    close (folder_fd);
    return onnx ? open_as (opening, &loader_files, model_type_onnx) : open_as (opening, row->kind, row->type);
}

static int open_fitting (loader_opening_t *opening)
{
    int folder_fd;
    if (loader_folder_open (opening->models_dir, opening->path, &folder_fd, NULL) == 0)
        return open_folder (opening, folder_fd);
    const fit_t *row = find_file (opening->path);
    if (row)
        return open_as (opening, row->kind, row->type);
    return yard_error (&opening->error, YARD_NOT_IMPLEMENTED,
                       "no loader fits %s by its name; files end in .safetensors, .gguf, .onnx, .bin, .pt, "
                       ".pth or .ckpt; or name a loader",
                       opening->path);
}

const loader_kind_t loader_fitting = { .name = "fitting", .open = open_fitting };
