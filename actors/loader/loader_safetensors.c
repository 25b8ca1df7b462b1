// SPDX-License-Identifier: Apache-2.0
/*  loader_safetensors.c - models that are one safetensors file
 *
 *  Promises: reads the header and nothing else; the tensors' bytes are mapped by whoever attaches. Refuses:
 *  files of other formats (a pickle has no directory that could be trusted), parts of models that are no
 *  whole checkpoint.
 */
#include "actors/loader/loader_safetensors.h"

#include "actors/loader/submodel.h"

#define SUFFIX ".safetensors"

static int check_name (const char *path, yard_error_t *error)
{
    size_t size = strlen (path);
    if (size > strlen (SUFFIX) && strcmp (path + size - strlen (SUFFIX), SUFFIX) == 0)
        return 0;
    return yard_error (error, YARD_NOT_IMPLEMENTED,
                       "%s is no .safetensors file, and others are not loaded yet; convert it to safetensors",
                       path);
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

static int open_file (loader_opening_t *self)
{
    loader_pick_t pick = { 0 };
    int rc = check_name (self->path, &self->error);
    if (rc == 0)
        rc = find_prefix (self, &pick.prefix, &self->error);
    if (rc)
        return rc;
    loader_model_t *model = self->model = loader_model_new (1);
    if ((rc = loader_file_open (self->models_dir, self->path, &model->files [0], &self->error)))
        return rc;
    loader_opening_phase (self, "open");
    if (loader_opening_known (self, model)) {
        loader_model_drop (&self->model);
        return 0;
    }
    loader_header_t header;
    rc = loader_header_read (&model->files [0], &header, &self->error);
    loader_opening_phase (self, "parse");
    if (rc)
        return rc;
    rc = loader_directory_make (model, &header, &pick, &self->error);
    loader_header_clear (&header);
    loader_opening_phase (self, "directory");
    return rc;
}

/*  Types whose models are published as one file; the format says how its tensors are named, which is not our
 *  business here. */
static const loader_triple_t serves [] = {
    { base_model_any, model_type_main, model_format_checkpoint },
    { base_model_any, model_type_vae, model_format_checkpoint },
    { base_model_any, model_type_lora, model_format_lycoris },
    { base_model_any, model_type_lora, model_format_omi },
    { base_model_any, model_type_lora, model_format_diffusers },
    { base_model_any, model_type_control_lora, model_format_lycoris },
    { base_model_any, model_type_control_lora, model_format_diffusers },
    { base_model_any, model_type_controlnet, model_format_checkpoint },
    { base_model_any, model_type_embedding, model_format_embedding_file },
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
