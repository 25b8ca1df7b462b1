// SPDX-License-Identifier: Apache-2.0
/*  submodel.c - the prefixes of the parts of single-file main models
 *
 *  Sources: the checkpoints themselves, as their trainers wrote them: CompVis for SD-1, Stability for SD-2,
 *  SDXL (conditioner.embedders, in the order of its configuration) and SD-3 (bundled text encoders); the
 *  transformers since are bundled by ComfyUI, which kept the prefix. The first row that fits counts, so an
 *  exact base stands before `any`.
 */
#include "actors/loader/submodel.h"

typedef struct {
    base_model_t base; /* base_model_any: all that have no row of their own */
    const char *submodel, *prefix;
} part_t;

static const part_t parts [] = {
    { base_model_sdxl, "text_encoder", "conditioner.embedders.0." },
    { base_model_sdxl, "text_encoder_2", "conditioner.embedders.1." },
    /*  The refiner has the second encoder alone; its file counts it as the first. */
    { base_model_sdxl_refiner, "text_encoder_2", "conditioner.embedders.0." },
    { base_model_sd_3, "transformer", "model.diffusion_model." },
    { base_model_sd_3, "text_encoder", "text_encoders.clip_l." },
    { base_model_sd_3, "text_encoder_2", "text_encoders.clip_g." },
    { base_model_sd_3, "text_encoder_3", "text_encoders.t5xxl." },
    { base_model_sd_1, "text_encoder", "cond_stage_model." },
    { base_model_sd_2, "text_encoder", "cond_stage_model." },
    { base_model_flux, "transformer", "model.diffusion_model." },
    { base_model_flux2, "transformer", "model.diffusion_model." },
    { base_model_cogview4, "transformer", "model.diffusion_model." },
    { base_model_z_image, "transformer", "model.diffusion_model." },
    { base_model_qwen_image, "transformer", "model.diffusion_model." },
    { base_model_wan, "transformer", "model.diffusion_model." },
    { base_model_any, "unet", "model.diffusion_model." },
    { base_model_any, "vae", "first_stage_model." },
};

#define PARTS (sizeof parts / sizeof parts [0])

static bool has_transformer (base_model_t base)
{
    for (size_t at = 0; at < PARTS; at++)
        if (parts [at].base == base && strcmp (parts [at].submodel, "transformer") == 0)
            return true;
    return false;
}

static bool fits (const part_t *part, base_model_t base)
{
    if (part->base == base)
        return true;
    /*  A transformer is no unet, though its names begin alike. */
    return part->base == base_model_any && !(strcmp (part->submodel, "unet") == 0 && has_transformer (base));
}

const char *loader_submodel_prefix (base_model_t base, yard_string_t submodel)
{
    for (size_t at = 0; at < PARTS; at++)
        if (fits (&parts [at], base) && yard_string_is (submodel, parts [at].submodel))
            return parts [at].prefix;
    return NULL;
}

bool loader_submodel_is_denoiser (yard_string_t submodel)
{
    return yard_string_is (submodel, "unet") || yard_string_is (submodel, "transformer");
}

bool loader_submodel_has_prefix (base_model_t base, yard_string_t name)
{
    for (size_t at = 0; at < PARTS; at++)
        if (fits (&parts [at], base) && yard_string_starts (name, parts [at].prefix))
            return true;
    return false;
}

void loader_submodel_list (base_model_t base, char *ret_text, size_t size)
{
    size_t used = 0;
    ret_text [0] = 0;
    for (size_t at = 0; at < PARTS; at++)
        if (fits (&parts [at], base) && used < size)
            used += (size_t) snprintf (ret_text + used, size - used, "%s%s", used ? ", " : "",
                                       parts [at].submodel);
}
