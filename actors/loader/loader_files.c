// SPDX-License-Identifier: Apache-2.0
/*  loader_files.c - models that are handed out as files: ONNX, IP-Adapter and LoRA folders, textual
 *  inversion, the tokenizer and scheduler of a pipeline, pickles
 *
 *  Every file of the folder becomes a region. Its name is its path below that folder ("unet/model.onnx"), so
 *  names are unique and a view can be the same tree. The safetensors files among them give their tensors; no
 *  other file is opened as tensors, a pickle least of all, so a model may well have a directory without rows.
 *  Left out are names that begin with a dot, and safetensors of another variant than the one that is loaded
 *  (listing.h).
 *
 *  Refuses: symlinks; a tensor's name in two files; a tree that is deeper or has more files than a model.
 */
#include "actors/loader/loader_files.h"

#include <errno.h>
#include <fcntl.h>
#include "actors/ground/utf8.h"
#include "actors/loader/headers.h"
#include "actors/loader/listing.h"

#define DEPTH_MAX 8 /* folders below the model's; published models have up to 3 */

/*  Variants that are kinds of files, and what the names of theirs have in them. */
static const struct {
    const char *variant, *has;
} forms [] = {
    { "onnx", ".onnx" },
    { "openvino", "openvino_model" },
    { "flax", "flax_model" },
};
#define FORMS (sizeof forms / sizeof forms [0])

/*  How files end that hold weights; others (vocabularies, configurations) are of every variant. */
static const char *const weights_ends [] = { ".safetensors", ".bin",  ".pt",     ".pth",
                                             ".ckpt",        ".onnx", ".msgpack" };

typedef struct {
    loader_opening_t *opening;
    loader_file_t *files; /* [LOADER_FILES_MAX] */
    size_t count;
    const char *form; /* what the names of the variant's files have in them; NULL: the variant is a label */
    size_t of_form, of_weights; /* files seen so far */
} walk_t;

static bool ends_with (const char *name, const char *suffix)
{
    size_t size = strlen (name), suffix_size = strlen (suffix);
    return size > suffix_size && strcmp (name + size - suffix_size, suffix) == 0;
}

static const char *find_form (const char *variant)
{
    for (size_t at = 0; at < FORMS; at++)
        if (strcmp (variant, forms [at].variant) == 0)
            return forms [at].has;
    return NULL;
}

bool loader_files_is_form (const char *variant)
{
    return find_form (variant) != NULL;
}

/*  Is this file's name one that the variant leaves out? */
static int leave_out (walk_t *self, const loader_listing_t *listing, const char *name, const char *path,
                      bool *ret_out)
{
    loader_weights_t weights;
    yard_string_t label;
    *ret_out = false;
    for (size_t at = 0; at < sizeof weights_ends / sizeof weights_ends [0]; at++)
        self->of_weights += ends_with (name, weights_ends [at]);
    self->of_form += self->form && strstr (name, self->form) != NULL;
    if (!loader_weights_read (name, &weights))
        return 0;
    if (self->form) {
        *ret_out = true;
        return 0;
    }
    int rc = loader_weights_label (listing, self->opening->variant, &weights.stem, path, &label,
                                   &self->opening->error);
    *ret_out = rc == 0 && !yard_string_equal (weights.label, label);
    return rc;
}

/*  The name below the model's folder, in ret [NAME_MAX + 1]. */
static int name_below (walk_t *self, const char *below, const char *name, char *ret)
{
    int size = snprintf (ret, NAME_MAX + 1, "%s%s%s", below, below [0] ? "/" : "", name);
    if (size > NAME_MAX)
        return yard_error (&self->opening->error, YARD_TOO_LARGE,
                           "%.100s/%.100s is a longer name than a region may have (%d bytes); shorten it",
                           below, name, NAME_MAX);
    if (yard_utf8_valid (ret, (size_t) size) < (size_t) size)
        return yard_error (&self->opening->error, YARD_INVALID_FILE,
                           "%s has a file whose name is no UTF-8; rename it", self->opening->path);
    return 0;
}

static int add_file (walk_t *self, int folder_fd, const char *name, const char *shown)
{
    if (self->count == LOADER_FILES_MAX)
        return yard_error (&self->opening->error, YARD_TOO_LARGE,
                           "%s has more than %d files, the limit; leave the model's own files in it",
                           self->opening->path, LOADER_FILES_MAX);
    loader_file_t *file = &self->files [self->count];
    int rc = loader_file_open_in (folder_fd, name, file, &self->opening->error);
    if (rc)
        return rc;
    self->count++;
    snprintf (file->name, sizeof file->name, "%s", shown);
    return 0;
}

static int walk (walk_t *self, int folder_fd, const char *below, unsigned depth);

static int enter (walk_t *self, int folder_fd, const char *name, const char *shown, unsigned depth)
{
    if (depth == DEPTH_MAX)
        return yard_error (&self->opening->error, YARD_TOO_LARGE,
                           "%s has folders in folders deeper than %d; leave the model's own files in it",
                           self->opening->path, DEPTH_MAX);
    int fd = openat (folder_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return yard_error_errno (&self->opening->error, errno, "cannot open the folder %s", shown);
    int rc = walk (self, fd, shown, depth + 1);
    close (fd);
    return rc;
}

/*  Opens all files below the folder, in order of their names, a folder's at its place. */
static int walk (walk_t *self, int folder_fd, const char *below, unsigned depth)
{
    loader_opening_t *opening = self->opening;
    const char *path = below [0] ? below : opening->path;
    loader_listing_t listing;
    int rc = loader_listing_read (folder_fd, path, &listing, &opening->error);
    if (rc)
        return rc;
    for (size_t at = 0; rc == 0 && at < listing.count; at++) {
        const loader_listed_t *entry = &listing.entries [at];
        char shown [NAME_MAX + 1];
        bool out = false;
        rc = name_below (self, below, entry->name, shown);
        if (rc == 0 && entry->folder) {
            rc = enter (self, folder_fd, entry->name, shown, depth);
            continue;
        }
        if (rc == 0)
            rc = leave_out (self, &listing, entry->name, path, &out);
        if (rc == 0 && !out)
            rc = add_file (self, folder_fd, entry->name, shown);
    }
    loader_listing_clear (&listing);
    return rc;
}

static int check_found (const walk_t *self)
{
    loader_opening_t *opening = self->opening;
    if (self->form && self->of_form == 0 && self->of_weights > 0)
        return yard_error (
            &opening->error, YARD_NOT_FOUND,
            "%s has no file of variant %s (with %s in its name), but others; load it without a "
            "variant, or install this one",
            opening->path, opening->variant, self->form);
    if (self->count == 0)
        return yard_error (&opening->error, YARD_MODEL_NOT_FOUND,
                           "%s has no file; install the model again, or delete its record", opening->path);
    return 0;
}

/*  The model's files are open: are they the known ones? Else its directory is made. */
static int finish (loader_opening_t *opening)
{
    loader_opening_phase (opening, "open");
    if (loader_opening_known (opening, opening->model)) {
        loader_model_drop (&opening->model);
        return 0;
    }
    size_t count = opening->model->file_count;
    loader_header_t *headers;
    int rc = loader_headers_read (opening, &headers);
    if (rc == 0)
        rc = loader_headers_unique (opening, headers);
    loader_opening_phase (opening, "parse");
    if (rc == 0)
        rc = loader_directory_make (opening->model, headers, &(loader_pick_t){ 0 }, &opening->error);
    loader_headers_destroy (&headers, count);
    loader_opening_phase (opening, "directory");
    return rc;
}

int loader_files_open_folder (loader_opening_t *opening, int folder_fd)
{
    walk_t self = { .opening = opening, .form = find_form (opening->variant) };
    self.files = calloc (LOADER_FILES_MAX, sizeof *self.files);
    if (!self.files)
        abort ();
    int rc = walk (&self, folder_fd, "", 0);
    if (rc == 0)
        rc = check_found (&self);
    if (rc == 0) {
        opening->model = loader_model_new (self.count);
        memcpy (opening->model->files, self.files, self.count * sizeof *self.files);
        rc = finish (opening);
    } else {
        for (size_t at = 0; at < self.count; at++)
            loader_file_close (&self.files [at]);
    }
    free (self.files);
    return rc;
}

int loader_files_open_single (loader_opening_t *opening)
{
    opening->model = loader_model_new (1);
    int rc =
        loader_file_open (opening->models_dir, opening->path, &opening->model->files [0], &opening->error);
    return rc ? rc : finish (opening);
}

int loader_files_enter (loader_opening_t *opening, int *ret_fd)
{
    const char *part = opening->submodel;
    char path [LOADER_MODEL_PATH_SIZE + LOADER_SUBMODEL_SIZE];
    if (part [0] == '.' || strchr (part, '/'))
        return yard_error (&opening->error, YARD_NO_SUBMODEL, "%s is no name of a part", part);
    snprintf (path, sizeof path, "%s%s%s", opening->path, part [0] ? "/" : "", part);
    int rc = loader_folder_open (opening->models_dir, path, ret_fd, &opening->error);
    if (rc != YARD_MODEL_NOT_FOUND || part [0] == 0)
        return rc;
    int whole_fd;
    if (loader_folder_open (opening->models_dir, opening->path, &whole_fd, NULL) != 0)
        return rc;
    close (whole_fd);
    return yard_error (&opening->error, YARD_NO_SUBMODEL, "%s has no folder %s; its parts are its folders",
                       opening->path, part);
}

/*  A folder, or its part; else a file, which has none. */
static int open_files (loader_opening_t *opening)
{
    int folder_fd = -1;
    if (loader_folder_open (opening->models_dir, opening->path, &folder_fd, NULL) != 0) {
        if (opening->submodel [0])
            return yard_error (&opening->error, YARD_NO_SUBMODEL,
                               "%s is one file and has no parts; load it without submodel", opening->path);
        return loader_files_open_single (opening);
    }
    close (folder_fd);
    int rc = loader_files_enter (opening, &folder_fd);
    if (rc)
        return rc;
    rc = loader_files_open_folder (opening, folder_fd);
    close (folder_fd);
    return rc;
}

static const loader_triple_t serves [] = {
    { base_model_any, model_type_onnx, model_format_onnx },
    { base_model_any, model_type_onnx, model_format_olive },
    { base_model_any, model_type_main, model_format_onnx },
    { base_model_any, model_type_main, model_format_olive },
    { base_model_any, model_type_vae, model_format_onnx },
    { base_model_any, model_type_ip_adapter, model_format_invokeai },
    { base_model_any, model_type_lora, model_format_diffusers },
    { base_model_any, model_type_control_lora, model_format_diffusers },
    { base_model_any, model_type_embedding, model_format_embedding_file },
    { base_model_any, model_type_embedding, model_format_embedding_folder },
};

const loader_kind_t loader_files = {
    .name = "files",
    .serves = serves,
    .count = sizeof serves / sizeof serves [0],
    .open = open_files,
};
