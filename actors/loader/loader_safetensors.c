// SPDX-License-Identifier: Apache-2.0
/*  loader_safetensors.c - models that are one safetensors file
 *
 *  Promises: reads the header and nothing else; the tensors' bytes are mapped by whoever attaches. A pickle in
 *  its place is handed out as the file that it is, without tensors (it has no directory that could be trusted,
 *  and nobody here opens it). Refuses: parts of models that are no whole checkpoint, and of pickles.
 */
#include "actors/loader/loader_safetensors.h"

#include "actors/loader/headers.h"
#include "actors/loader/loader_files.h"
#include "actors/loader/submodel.h"

#define SUFFIX ".safetensors"

static const char *const pickles [] = { ".ckpt", ".pt", ".pth", ".bin" };

static bool ends_with (const char *path, const char *suffix)
{
    size_t size = strlen (path), suffix_size = strlen (suffix);
    return size > suffix_size && strcmp (path + size - suffix_size, suffix) == 0;
}

/*  Not a .safetensors file. */
static int open_other (loader_opening_t *self)
{
    bool pickle = false;
    for (size_t at = 0; at < sizeof pickles / sizeof pickles [0]; at++)
        pickle = pickle || ends_with (self->path, pickles [at]);
    if (!pickle)
        return yard_error (
            &self->error, YARD_NOT_IMPLEMENTED,
            "%s is no .safetensors file, and its record says so; convert it to safetensors, or "
            "correct the record's format",
            self->path);
    if (self->submodel [0])
        return yard_error (&self->error, YARD_NOT_IMPLEMENTED,
                           "%s is a pickle, which is not looked into, so its parts cannot be told apart; "
                           "convert it to safetensors, or load it with whole: true",
                           self->path);
    return loader_files_open_single (self);
}

/*  The prefix of the part's names, or NULL for the whole file. */
static int find_prefix (const loader_opening_t *self, const char **ret_prefix, yard_error_t *error)
{
    *ret_prefix = NULL;
    if (self->submodel [0] == 0)
        return 0;
    *ret_prefix = loader_submodel_prefix (self->base, yard_string (self->submodel));
    if (*ret_prefix)
        return 0;
    char known [YARD_ERROR_TEXT_MAX / 2];
    loader_submodel_list (self->base, known, sizeof known);
    return yard_error (error, YARD_NO_SUBMODEL, "a single file of base %s has no part %s; its parts are %s",
                       yard_wire_word (base_model_type (), (int) self->base), self->submodel, known);
}

/*  A transformer is published alone, too, without the prefix: then the part is the whole file. */
static void widen (const loader_opening_t *self, const loader_header_t *header, loader_pick_t *pick)
{
    if (pick->prefix && strcmp (self->submodel, "transformer") == 0 && loader_headers_alone (self, header, 1))
        pick->prefix = NULL;
}

static int make_directory (loader_opening_t *self, loader_pick_t *pick)
{
    loader_header_t header;
    int rc = loader_header_read (&self->model->files [0], &header, &self->error);
    loader_opening_phase (self, "parse");
    if (rc)
        return rc;
    widen (self, &header, pick);
    rc = loader_directory_make (self->model, &header, pick, &self->error);
    loader_header_clear (&header);
    loader_opening_phase (self, "directory");
    return rc;
}

static int open_file (loader_opening_t *self)
{
    loader_pick_t pick = { 0 };
    if (!ends_with (self->path, SUFFIX))
        return open_other (self);
    int rc = find_prefix (self, &pick.prefix, &self->error);
    if (rc)
        return rc;
    loader_model_t *model = self->model = loader_model_new (1);
    if ((rc = loader_file_open (self->models_dir, self->path, &model->files [0], &self->error)))
        return rc;
    loader_opening_phase (self, "open");
    if (!loader_opening_known (self, model))
        return make_directory (self, &pick);
    loader_model_drop (&self->model);
    return 0;
}

/*  Types whose models are published as one file; the format says how its tensors are named, which is not our
 *  business here. */
static const loader_triple_t serves [] = {
    { base_model_any, model_type_main, model_format_checkpoint },
    { base_model_any, model_type_main, model_format_bnb_quantized_nf4b },
    { base_model_any, model_type_vae, model_format_checkpoint },
    { base_model_any, model_type_lora, model_format_lycoris },
    { base_model_any, model_type_lora, model_format_omi },
    { base_model_any, model_type_control_lora, model_format_lycoris },
    { base_model_any, model_type_controlnet, model_format_checkpoint },
    { base_model_any, model_type_ip_adapter, model_format_checkpoint },
    { base_model_any, model_type_clip_vision, model_format_checkpoint },
    { base_model_any, model_type_clip_embed, model_format_checkpoint },
    { base_model_any, model_type_t2i_adapter, model_format_checkpoint },
    { base_model_any, model_type_t5_encoder, model_format_checkpoint },
    { base_model_any, model_type_spandrel_image_to_image, model_format_checkpoint },
    { base_model_any, model_type_flux_redux, model_format_checkpoint },
};

const loader_kind_t loader_safetensors = {
    .name = "safetensors",
    .serves = serves,
    .count = sizeof serves / sizeof serves [0],
    .open = open_file,
};
