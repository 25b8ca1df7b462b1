// SPDX-License-Identifier: Apache-2.0
/*  rules_main.c - main models in one file (checkpoint): SD-1, SD-2, SDXL and its refiner
 *
 *  The base is the width of the text tokens that the UNet attends to: the last dimension of a
 *  cross-attention's to_k. The variant is the number of channels that go into the UNet. What the model
 *  predicts cannot be seen in shapes: the file's own words count first.
 */
#include "actors/prober/identify.h"

#define SCORE_BY_SHAPE 100 /* key and width fit one base alone */

#define UNET "model.diffusion_model."
#define ATTENTION ".transformer_blocks.0.attn2.to_k.weight"
#define ATTENTION_2 UNET "input_blocks.2.1" ATTENTION /* SD-1 and SD-2 attend at this level, SDXL does not */
#define ATTENTION_4 UNET "input_blocks.4.1" ATTENTION

static const struct {
    const char *rule, *base;
    const char *key;
    uint64_t width; /* last dimension */
} bases [] = {
    { "main.sd1.checkpoint", "sd-1", ATTENTION_2, 768 },
    { "main.sd2.checkpoint", "sd-2", ATTENTION_2, 1024 },
    { "main.sdxl.checkpoint", "sdxl", ATTENTION_4, 2048 },
    { "main.sdxl_refiner.checkpoint", "sdxl-refiner", ATTENTION_4, 1280 },
};

#define INPUT_KEY UNET "input_blocks.0.0.weight" /* [320, channels, 3, 3] */

static const struct {
    uint64_t channels;
    const char *variant;
    const char *base; /* NULL: of any */
} variants [] = {
    { 4, "normal", NULL }, /* latents */
    { 9, "inpaint", NULL }, /* latents, masked latents, mask */
    { 5, "depth", "sd-2" }, /* latents, depth */
};

/*  Beginnings of keys that only main models have. */
static const char *const prefixes [] = { "cond_stage_model.", "first_stage_model.", UNET };

/*  Words for the prediction in modelspec metadata, which trainers write (ModelSpec,
 *  "modelspec.prediction_type"). */
static const struct {
    const char *word, *prediction;
} predictions [] = {
    { "epsilon", "epsilon" },
    { "eps", "epsilon" },
    { "v", "v_prediction" },
    { "v_prediction", "v_prediction" },
    { "v-prediction", "v_prediction" },
    { "sample", "sample" },
};

static const yard_tensor_t *find (const prober_subject_t *subject, const char *key)
{
    return yard_tensors_find (subject->tensors, yard_string (key));
}

/*  Where the prediction is said, for the evidence; the word goes to verdict. */
static const char *find_prediction (const prober_subject_t *subject, prober_verdict_t *verdict)
{
    yard_string_t said = yard_tensors_metadata (subject->tensors, "modelspec.prediction_type");
    for (size_t at = 0; at < sizeof predictions / sizeof predictions [0]; at++)
        if (yard_string_is (said, predictions [at].word)) {
            PROBER_WRITE (verdict->prediction_type, "%s", predictions [at].prediction);
            return "the file's metadata";
        }
    /* A marker tensor that trainers of v-prediction models add, for SDXL above all; InvokeAI does not look for it
     * (its issue 7495). */
    if (find (subject, "v_pred")) {
        PROBER_WRITE (verdict->prediction_type, "v_prediction");
        return "the key \"v_pred\"";
    }
    if (strcmp (verdict->base, "sd-2") != 0) {
        PROBER_WRITE (verdict->prediction_type, "epsilon");
        return "its base's habit";
    }
    /* SD-2 was published in both manners, alike in every shape. Inpaint and depth, and the 512 pixel models ("base"),
     * predict the noise. */
    bool noise = strcmp (verdict->variant, "normal") != 0 || prober_name_has (subject->file_name, "512") ||
                 prober_name_has (subject->file_name, "base");
    PROBER_WRITE (verdict->prediction_type, noise ? "epsilon" : "v_prediction");
    return noise ? "its variant or name" : "its base's habit";
}

/*  false, with why, when the channels are those of no variant. */
static bool find_variant (const prober_subject_t *subject, prober_verdict_t *verdict)
{
    const yard_tensor_t *input = find (subject, INPUT_KEY);
    if (!input || input->rank != 4) {
        PROBER_WRITE (verdict->evidence,
                      "the UNet of a %s model without its first convolution (" INPUT_KEY ")", verdict->base);
        return false;
    }
    for (size_t at = 0; at < sizeof variants / sizeof variants [0]; at++)
        if (input->shape [1] == variants [at].channels &&
            (!variants [at].base || strcmp (variants [at].base, verdict->base) == 0)) {
            PROBER_WRITE (verdict->variant, "%s", variants [at].variant);
            return true;
        }
    char shown [PROBER_SHOWN_SIZE];
    prober_show (input, shown);
    PROBER_WRITE (verdict->evidence, "%s: so many input channels are no variant of a %s model", shown,
                  verdict->base);
    return false;
}

static uint32_t describe (const prober_subject_t *subject, const yard_tensor_t *tensor, const char *rule,
                          const char *base, prober_verdict_t *verdict)
{
    char shown [PROBER_SHOWN_SIZE];
    PROBER_WRITE (verdict->type, "main");
    PROBER_WRITE (verdict->base, "%s", base);
    PROBER_WRITE (verdict->format, "checkpoint");
    PROBER_WRITE (verdict->rule, "%s", rule);
    if (!find_variant (subject, verdict))
        return 0;
    const char *source = find_prediction (subject, verdict);
    /* SD-2's v-prediction models overflow in half precision inside their attention. */
    verdict->upcast_attention =
        strcmp (base, "sd-2") == 0 && strcmp (verdict->prediction_type, "v_prediction") == 0;
    prober_show (tensor, shown);
    PROBER_WRITE (verdict->evidence, "%s: the token width of %s; prediction from %s", shown, base, source);
    return SCORE_BY_SHAPE;
}

/*  No base fits: if it is a main model all the same, says what stands where the width should. */
static void tell_near (const prober_subject_t *subject, prober_verdict_t *verdict)
{
    const yard_tensor_t *attention = find (subject, ATTENTION_2);
    attention = attention ? attention : find (subject, ATTENTION_4);
    char shown [PROBER_SHOWN_SIZE];
    for (size_t at = 0; at < subject->tensors->count && !attention; at++)
        for (size_t prefix = 0; prefix < sizeof prefixes / sizeof prefixes [0]; prefix++)
            if (yard_string_starts (subject->tensors->items [at].name, prefixes [prefix])) {
                prober_show (&subject->tensors->items [at], shown);
                PROBER_WRITE (verdict->evidence,
                              "a main model by its keys, but without the attention that tells SD-1, SD-2 and "
                              "SDXL apart; %s",
                              shown);
                return;
            }
    if (attention) {
        prober_show (attention, shown);
        PROBER_WRITE (verdict->evidence, "a main model by its keys, but %s, the token width of no base known",
                      shown);
    }
}

static uint32_t claim (const prober_subject_t *subject, prober_verdict_t *verdict)
{
    for (size_t at = 0; at < sizeof bases / sizeof bases [0]; at++) {
        const yard_tensor_t *tensor = find (subject, bases [at].key);
        if (tensor && tensor->rank == 2 && tensor->shape [1] == bases [at].width)
            return describe (subject, tensor, bases [at].rule, bases [at].base, verdict);
    }
    tell_near (subject, verdict);
    return 0;
}

const prober_family_t prober_family_main = { "main", claim };
