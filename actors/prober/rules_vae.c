// SPDX-License-Identifier: Apache-2.0
/*  rules_vae.c - VAEs in one file, of SD-1, SD-2, SDXL
 *
 *  A VAE has the first convolution of its decoder or encoder at the top level of its keys. The three bases'
 *  VAEs are alike in every shape, so the file's name decides between them, and the score says how little that
 *  is.
 */
#include "actors/prober/identify.h"

#define SCORE_BY_NAME 70 /* four latent channels, and a name that says the base */
#define SCORE_BY_HABIT 50 /* four latent channels, and no word of the base */
#define SCORE_BY_NAME_ALONE 40 /* no decoder to look at */

#define DECODER_KEY "decoder.conv_in.weight" /* [width, latent channels, 3, 3] */
#define LATENT_CHANNELS 4

/*  First part that the name has, without regard to case. "" fits every name. */
static const struct {
    const char *part;
    const char *rule, *base;
    uint32_t score;
} names [] = {
    { "xl", "vae.sdxl.name", "sdxl", SCORE_BY_NAME },
    { "sd2", "vae.sd2.name", "sd-2", SCORE_BY_NAME },
    { "", "vae.sd1.default", "sd-1", SCORE_BY_HABIT },
};

/*  Keys and shapes of VAEs that are none of the three. */
static const char *foreign (const yard_tensors_t *tensors, const yard_tensor_t *decoder)
{
    if (yard_tensors_find (tensors, yard_string ("bn.running_mean")))
        return "normalises its latents as FLUX.2's VAE does";
    if (decoder && decoder->rank == 5)
        return "convolves in time, as the VAEs of video models do";
    if (decoder && (decoder->rank != 4 || decoder->shape [1] != LATENT_CHANNELS))
        return "has not the 4 latent channels of SD-1, SD-2 and SDXL";
    return NULL;
}

static const yard_tensor_t *first_convolution (const yard_tensors_t *tensors)
{
    for (size_t at = 0; at < tensors->count; at++)
        if (yard_string_starts (tensors->items [at].name, "encoder.conv_in") ||
            yard_string_starts (tensors->items [at].name, "decoder.conv_in"))
            return &tensors->items [at];
    return NULL;
}

static uint32_t claim (const prober_subject_t *subject, prober_verdict_t *verdict)
{
    const yard_tensor_t *convolution = first_convolution (subject->tensors);
    if (!convolution)
        return 0;
    const yard_tensor_t *decoder = yard_tensors_find (subject->tensors, yard_string (DECODER_KEY));
    const char *why_not = foreign (subject->tensors, decoder);
    char shown [PROBER_SHOWN_SIZE];
    prober_show (decoder ? decoder : convolution, shown);
    size_t at = 0;
    while (!prober_name_has (subject->file_name, names [at].part))
        at++;
    if (!why_not && !decoder && names [at].part [0] == 0 && !prober_name_has (subject->file_name, "vae"))
        why_not = "has no " DECODER_KEY ", and its name says no base";
    if (why_not) {
        PROBER_WRITE (verdict->evidence, "a VAE by its keys, but it %s; %s", why_not, shown);
        return 0;
    }
    PROBER_WRITE (verdict->type, "vae");
    PROBER_WRITE (verdict->base, "%s", names [at].base);
    PROBER_WRITE (verdict->format, "checkpoint");
    PROBER_WRITE (verdict->rule, "%s", names [at].rule);
    PROBER_WRITE (
        verdict->evidence,
        "%s: a VAE; the VAEs of SD-1, SD-2 and SDXL have equal shapes, so the file's name decided (%s%s)",
        shown, names [at].part [0] ? "it has " : "no word of another base in it", names [at].part);
    return decoder ? names [at].score : SCORE_BY_NAME_ALONE;
}

const prober_family_t prober_family_vae = { "vae", claim };
