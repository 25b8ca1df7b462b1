// SPDX-License-Identifier: Apache-2.0
/*  rules_lora.c - LoRA and its kin (LoHa, LoKr, IA3, full differences) of SD-1, SD-2, SDXL in one file;
 *  format `lycoris`
 *
 *  The base is the width of the text tokens: what goes into the UNet's cross-attention, or else into the text
 *  encoders' own attention. Names come in two manners: kohya's (`lora_unet_…_attn2_to_k.lora_down.weight`)
 *  and PEFT's and diffusers' (`unet.….attn2.to_k.lora_A.weight`). A file that patches neither tells its base
 *  by how deep its UNet's blocks are, by its trainer's metadata, or not at all.
 *
 *  Where ours differ from InvokeAI's: PEFT names and factored LoKr get a base; the width of time_emb_proj is
 *  not used (it is 1280 in all three); a first text encoder alone needs metadata, since SD-1 and SDXL share
 *  it.
 */
#include "actors/prober/identify.h"

#define SCORE_BY_UNET 95 /* the token width stands in the file */
#define SCORE_BY_ENCODER 85 /* the encoders' width does */
#define SCORE_BY_METADATA 60 /* only the trainer says so */
#define SCORE_BY_DEPTH 60 /* only a block's number does */

/*  Searches for the second half of a LoKr, each a walk over all keys: one for each part that tells a width,
 *  and some in vain. */
#define SEARCHES_MAX 16

/*  Any key that begins, or ends, so: the file is some LoRA. */
static const char *const lora_prefixes [] = {
    "lora_te_", "lora_te1_", "lora_te2_", "lora_unet_", "lora_transformer_",
};
static const char *const lora_endings [] = {
    ".lora_A.weight",  ".lora_B.weight",    ".lora_down.weight", ".lora_up.weight", ".lora.down.weight",
    ".lora.up.weight", "_lora.down.weight", "_lora.up.weight",   ".lokr_w1",        ".lokr_w2",
    ".hada_w1_a",      ".hada_w2_a",        ".dora_scale",
};

/*  Any key with such a part: a LoRA of a family that is not ours. They may patch a text encoder that SD-1 has
 *  too, so they are looked for first. */
static const struct {
    const char *part, *family;
} foreigners [] = {
    { "double_blocks", "FLUX" },
    { "single_blocks", "FLUX" },
    { "single_transformer_blocks", "FLUX" },
    { "lora_te2_encoder_block_", "FLUX" },
    { "joint_blocks", "SD-3" },
    { "lora_te3_", "SD-3" },
    { "context_refiner", "Z-Image" },
    { "noise_refiner", "Z-Image" },
    { "lora_unet__layers", "Z-Image" },
    { "diffusion_model.layers.", "Z-Image" },
    { "transformer.layers.", "Z-Image" },
    { "text_fusion", "Krea-2" },
    { "txtfusion", "Krea-2" },
    { "time_mod_proj", "Krea-2" },
    { "llm_adapter", "Anima" },
    { "adaln_modulation", "Anima" },
    { "transformer.transformer_blocks.", "Qwen-Image or SD-3" },
    { "lora_unet_transformer_blocks_", "Qwen-Image or SD-3" },
    { "lora_unet_blocks_", "Wan" },
    { "diffusion_model.blocks.", "Wan" },
    { "lora_unet_img_in", "FLUX" },
};

/*  Where the width of a patch's input stands, by the ending of its key. A LoKr is a Kronecker product: the
 *  widths of its two parts multiply, each whole (`lokr_w1`) or factored (`lokr_w1_b`). */
static const struct {
    const char *ending;
    uint32_t dimension;
    bool product; /* the partner's width multiplies */
    bool encoder; /* only in an encoder's module without dots in its name: the ending alone is too common */
} widths [] = {
    { ".lora_down.weight", 1, false, false },
    { ".lora_A.weight", 1, false, false },
    { ".lora.down.weight", 1, false, false },
    { "_lora.down.weight", 1, false, false },
    { ".hada_w1_b", 1, false, false },
    { ".hada_w2_b", 1, false, false },
    { ".diff", 1, false, false },
    { ".lokr_w1", 1, true, false },
    { ".lokr_w1_b", 1, true, false },
    { ".weight", 0, false, true }, /* IA3 */
};
static const char *const lokr_partners [] = { ".lokr_w2", ".lokr_w2_b" };

typedef enum {
    UNET,
    ENCODER,
    ENCODER_1,
    ENCODER_2,
    PART_COUNT
} part_t;

/*  Which modules tell a width: their key begins so and has this part further on. */
static const struct {
    const char *prefix, *module;
    part_t part;
} modules [] = {
    { "lora_unet_", "attn2_to_k.", UNET },
    { "lora_unet_", "attn2_to_v.", UNET },
    { "unet.", ".attn2.to_k.", UNET },
    { "unet.", ".attn2.to_v.", UNET },
    { "unet.", ".attn2.processor.to_k_lora.", UNET },
    { "unet.", ".attn2.processor.to_v_lora.", UNET },
    { "lora_te_", "_self_attn_", ENCODER },
    { "lora_te1_", "_self_attn_", ENCODER_1 },
    { "lora_te2_", "_self_attn_", ENCODER_2 },
    { "text_encoder.", ".self_attn.", ENCODER_1 },
    { "text_encoder_2.", ".self_attn.", ENCODER_2 },
};

static const struct {
    uint64_t width;
    const char *rule, *base;
} bases [] = {
    { 768, "lora.sd1.token_width", "sd-1" },
    { 1024, "lora.sd2.token_width", "sd-2" },
    { 1280, "lora.sdxl.token_width", "sdxl" }, /* SDXL's second encoder; its refiner */
    { 2048, "lora.sdxl.token_width", "sdxl" },
};

/*  What kohya's trainer notes of the model that it started from. */
#define BASE_NOTE "ss_base_model_version"
static const struct {
    const char *begin;
    const char *rule, *base;
} noted_bases [] = {
    { "sdxl", "lora.sdxl.metadata", "sdxl" },
    { "sd_v1", "lora.sd1.metadata", "sd-1" },
    { "sd_v2", "lora.sd2.metadata", "sd-2" },
};

#define COUNT(table) (sizeof (table) / sizeof (table) [0])

/*  What the file's keys say, gathered in one walk. */
typedef struct {
    const yard_tensor_t *lora; /* the first key of any LoRA */
    const yard_tensor_t *tensor [PART_COUNT]; /* the first that tells the width of this part */
    uint64_t width [PART_COUNT];
    unsigned searches; /* for the other part of a LoKr, so far */
    const yard_tensor_t *deep; /* an attention that SD-1 and SD-2 do not have */
    const yard_tensor_t *foreign;
    const char *family; /* of the foreign key */
} survey_t;

static uint64_t dimension (const yard_tensor_t *tensor, uint32_t at)
{
    return tensor->rank > at ? tensor->shape [at] : 0;
}

/*  The width of the other part of a LoKr, whose first part's key is `name`, ending in `ending`. */
static uint64_t partner_width (const yard_tensors_t *tensors, yard_string_t name, const char *ending,
                               survey_t *survey)
{
    char key [YARD_NAME_TEXT_SIZE];
    size_t module_size = name.size - strlen (ending);
    if (module_size >= sizeof key || survey->searches++ >= SEARCHES_MAX)
        return 0;
    for (size_t at = 0; at < COUNT (lokr_partners); at++) {
        int size = snprintf (key, sizeof key, "%.*s%s", (int) module_size, name.data, lokr_partners [at]);
        const yard_tensor_t *partner =
            size < (int) sizeof key ? yard_tensors_find (tensors, yard_string (key)) : NULL;
        if (partner)
            return dimension (partner, 1);
    }
    return 0;
}

/*  How wide the input of the patched module is; 0 when this key does not say. */
static uint64_t width_of (const yard_tensors_t *tensors, const yard_tensor_t *tensor, part_t part,
                          survey_t *survey)
{
    for (size_t at = 0; at < COUNT (widths); at++) {
        if (!prober_ends (tensor->name, widths [at].ending))
            continue;
        size_t module_size = tensor->name.size - strlen (widths [at].ending);
        if (widths [at].encoder && (part == UNET || memchr (tensor->name.data, '.', module_size)))
            continue;
        uint64_t width = dimension (tensor, widths [at].dimension), product;
        if (!widths [at].product)
            return width;
        uint64_t partner = partner_width (tensors, tensor->name, widths [at].ending, survey);
        return __builtin_mul_overflow (width, partner, &product) ? 0 : product;
    }
    return 0;
}

static bool is_lora (yard_string_t name)
{
    for (size_t at = 0; at < COUNT (lora_prefixes); at++)
        if (yard_string_starts (name, lora_prefixes [at]))
            return true;
    for (size_t at = 0; at < COUNT (lora_endings); at++)
        if (prober_ends (name, lora_endings [at]))
            return true;
    return false;
}

/*  In SD-1 and SD-2 every attention has one transformer block, number 0; in SDXL two or ten. */
static bool is_deep (yard_string_t name)
{
    static const char *const blocks [] = { "_transformer_blocks_", ".transformer_blocks." };
    if (!yard_string_starts (name, "lora_unet_") && !yard_string_starts (name, "unet."))
        return false;
    for (size_t at = 0; at < COUNT (blocks); at++) {
        size_t size = strlen (blocks [at]);
        const char *found = memmem (name.data, name.size, blocks [at], size);
        if (found && found + size < name.data + name.size && found [size] >= '1' && found [size] <= '9')
            return true;
    }
    return false;
}

static void survey_widths (const yard_tensors_t *tensors, const yard_tensor_t *tensor, survey_t *survey)
{
    for (size_t at = 0; at < COUNT (modules); at++) {
        part_t part = modules [at].part;
        if (survey->tensor [part] || !yard_string_starts (tensor->name, modules [at].prefix) ||
            !prober_contains (tensor->name, modules [at].module))
            continue;
        uint64_t width = width_of (tensors, tensor, part, survey);
        if (width == 0)
            continue;
        survey->tensor [part] = tensor;
        survey->width [part] = width;
    }
}

static void survey_all (const yard_tensors_t *tensors, survey_t *survey)
{
    for (size_t at = 0; at < tensors->count; at++) {
        const yard_tensor_t *tensor = &tensors->items [at];
        if (!survey->lora && is_lora (tensor->name))
            survey->lora = tensor;
        for (size_t row = 0; row < COUNT (foreigners) && !survey->foreign; row++)
            if (prober_contains (tensor->name, foreigners [row].part)) {
                survey->foreign = tensor;
                survey->family = foreigners [row].family;
            }
        if (!survey->deep && is_deep (tensor->name))
            survey->deep = tensor;
        survey_widths (tensors, tensor, survey);
    }
}

static uint32_t accept (const char *rule, const char *base, const yard_tensor_t *tensor, const char *because,
                        uint32_t score, prober_verdict_t *verdict)
{
    char shown [PROBER_SHOWN_SIZE];
    prober_show (tensor, shown);
    PROBER_WRITE (verdict->type, "lora");
    PROBER_WRITE (verdict->base, "%s", base);
    PROBER_WRITE (verdict->format, "lycoris");
    PROBER_WRITE (verdict->rule, "%s", rule);
    PROBER_WRITE (verdict->evidence, "%s: %s", shown, because);
    return score;
}

static uint32_t by_width (uint64_t width, const yard_tensor_t *tensor, const char *of, uint32_t score,
                          prober_verdict_t *verdict)
{
    char because [128];
    for (size_t at = 0; at < COUNT (bases); at++)
        if (bases [at].width == width) {
            PROBER_WRITE (because, "%s %llu wide, as in %s", of, (unsigned long long) width, bases [at].base);
            return accept (bases [at].rule, bases [at].base, tensor, because, score, verdict);
        }
    char shown [PROBER_SHOWN_SIZE];
    prober_show (tensor, shown);
    PROBER_WRITE (verdict->evidence, "a LoRA, but %s: %s %llu wide, as in no base known", shown, of,
                  (unsigned long long) width);
    return 0;
}

static uint32_t by_encoder (const survey_t *survey, prober_verdict_t *verdict)
{
    if (survey->tensor [ENCODER])
        return by_width (survey->width [ENCODER], survey->tensor [ENCODER], "a text encoder's attention",
                         SCORE_BY_ENCODER, verdict);
    if (!survey->tensor [ENCODER_2])
        return 0;
    uint64_t width = survey->width [ENCODER_2];
    if (survey->tensor [ENCODER_1])
        width += survey->width [ENCODER_1]; /* SDXL's tokens are those of both encoders side by side */
    return by_width (width, survey->tensor [ENCODER_2], "text encoders' attention", SCORE_BY_ENCODER,
                     verdict);
}

/*  The last resort: no width is in the file, or one that two bases share. */
static uint32_t by_hints (const prober_subject_t *subject, const survey_t *survey, prober_verdict_t *verdict)
{
    const yard_tensor_t *encoder = survey->tensor [ENCODER_1];
    if (survey->deep)
        return accept ("lora.sdxl.depth", "sdxl", survey->deep,
                       "a transformer block beyond the first, which only SDXL has", SCORE_BY_DEPTH, verdict);
    yard_string_t noted = yard_tensors_metadata (subject->tensors, BASE_NOTE);
    for (size_t at = 0; at < COUNT (noted_bases); at++)
        if (noted.data && yard_string_starts (noted, noted_bases [at].begin))
            return accept (noted_bases [at].rule, noted_bases [at].base, survey->lora,
                           "a LoRA, whose metadata name its base (" BASE_NOTE ")", SCORE_BY_METADATA,
                           verdict);
    char shown [PROBER_SHOWN_SIZE];
    prober_show (encoder ? encoder : survey->lora, shown);
    PROBER_WRITE (verdict->evidence, "a LoRA, but no key tells its base%s; %s",
                  encoder ? ": it patches the encoder that SD-1 and SDXL share" : "", shown);
    return 0;
}

static uint32_t claim (const prober_subject_t *subject, prober_verdict_t *verdict)
{
    survey_t survey = { 0 };
    char shown [PROBER_SHOWN_SIZE];
    survey_all (subject->tensors, &survey);
    if (!survey.lora)
        return 0;
    if (survey.foreign) {
        prober_show (survey.foreign, shown);
        PROBER_WRITE (verdict->evidence, "a LoRA of the %s family, which is not known here yet; %s",
                      survey.family, shown);
        return 0;
    }
    if (survey.tensor [UNET])
        return by_width (survey.width [UNET], survey.tensor [UNET], "text tokens", SCORE_BY_UNET, verdict);
    uint32_t score = by_encoder (&survey, verdict);
    return score > 0 || verdict->evidence [0] ? score : by_hints (subject, &survey, verdict);
}

const prober_family_t prober_family_lora = { "lora", claim };
