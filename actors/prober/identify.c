// SPDX-License-Identifier: Apache-2.0
/*  identify.c - asks the families, names the model
 */
#include "actors/prober/identify.h"

#include <strings.h>

#define DIMENSIONS_SHOWN_MAX 5u /* convolutions in time have 5; whatever has more tells nobody anything */

/*  In order of precedence between equal scores. */
static const prober_family_t *const families [] = {
    &prober_family_main,
    &prober_family_lora,
    &prober_family_vae,
};
#define FAMILY_COUNT (sizeof families / sizeof families [0])

/*  How a word of the taxonomy is written for people. */
static const struct {
    const char *word, *title;
} titles [] = {
    { "sd-1", "SD-1" }, { "sd-2", "SD-2" }, { "sdxl", "SDXL" }, { "sdxl-refiner", "SDXL refiner" },
    { "main", "main" }, { "lora", "LoRA" }, { "vae", "VAE" },
};

/*  Endings of model files (InvokeAI's gate for single files): they are no part of a name. */
static const char *const endings [] = { ".safetensors", ".ckpt", ".pt", ".pth", ".bin", ".gguf", ".onnx" };

bool prober_contains (yard_string_t text, const char *part)
{
    return memmem (text.data, text.size, part, strlen (part)) != NULL;
}

bool prober_ends (yard_string_t text, const char *ending)
{
    size_t size = strlen (ending);
    return text.size >= size && memcmp (text.data + text.size - size, ending, size) == 0;
}

bool prober_name_has (const char *file_name, const char *part)
{
    return strcasestr (file_name, part) != NULL;
}

void prober_show (const yard_tensor_t *tensor, char *ret_text)
{
    char key [YARD_NAME_TEXT_SIZE];
    yard_name_text (tensor->name, key);
    int size = snprintf (ret_text, PROBER_SHOWN_SIZE, "\"%s\" has shape [", key);
    for (uint32_t at = 0; at < tensor->rank && size < PROBER_SHOWN_SIZE; at++) {
        bool shown = at < DIMENSIONS_SHOWN_MAX;
        size += snprintf (ret_text + size, PROBER_SHOWN_SIZE - (size_t) size, shown ? "%s%llu" : "%s...",
                          at ? ", " : "", (unsigned long long) tensor->shape [at]);
        if (!shown)
            break;
    }
    if (size < PROBER_SHOWN_SIZE)
        snprintf (ret_text + size, PROBER_SHOWN_SIZE - (size_t) size, "]");
}

static const char *title_of (const char *word)
{
    for (size_t at = 0; at < sizeof titles / sizeof titles [0]; at++)
        if (strcmp (titles [at].word, word) == 0)
            return titles [at].title;
    return word;
}

void prober_default_name (const char *file_name, char *ret_name)
{
    size_t size = strlen (file_name), out = 0;
    for (size_t at = 0; at < sizeof endings / sizeof endings [0]; at++) {
        size_t ending = strlen (endings [at]);
        if (size > ending && strcasecmp (file_name + size - ending, endings [at]) == 0) {
            size -= ending;
            break;
        }
    }
    for (size_t at = 0; at < size && out < PROBER_NAME_SIZE - 1; at++) {
        char byte = file_name [at];
        bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                     (byte >= '0' && byte <= '9') || byte == '.' || byte == '_' || byte == '-';
        if (out == 0 && (byte == '.' || byte == '-'))
            continue;
        ret_name [out++] = plain ? byte : '_';
    }
    ret_name [out] = 0;
    if (out == 0)
        snprintf (ret_name, PROBER_NAME_SIZE, "model");
}

/*  No family claimed the file, and none came near: says what was seen. */
static void tell_unknown (const prober_subject_t *subject, prober_verdict_t *verdict)
{
    const yard_tensors_t *tensors = subject->tensors;
    if (tensors->count == 0) {
        prober_verdict_unknown (
            verdict, "the file holds no tensor; install it with type, base and format if that is right");
        return;
    }
    char shown [PROBER_SHOWN_SIZE];
    prober_show (&tensors->items [0], shown);
    prober_verdict_unknown (verdict,
                            "none of the families known (main, LoRA, VAE of SD-1, SD-2, SDXL) has keys like "
                            "the %zu here; the first, %s; "
                            "install it with type, base and format",
                            tensors->count, shown);
}

void prober_identify (const prober_subject_t *subject, prober_verdict_t *verdict)
{
    prober_verdict_t near;
    bool is_near = false;
    prober_verdict_init (verdict);
    for (size_t at = 0; at < FAMILY_COUNT; at++) {
        prober_verdict_t candidate;
        prober_verdict_init (&candidate);
        candidate.score = families [at]->claim (subject, &candidate);
        if (candidate.score > verdict->score)
            *verdict = candidate;
        if (candidate.score == 0 && candidate.evidence [0] && !is_near) {
            near = candidate;
            is_near = true;
        }
    }
    if (verdict->score == 0 && is_near)
        prober_verdict_unknown (verdict, "%s; install it with type, base and format", near.evidence);
    else if (verdict->score == 0)
        tell_unknown (subject, verdict);
    prober_default_name (subject->file_name, verdict->name);
    if (verdict->score > 0)
        PROBER_WRITE (verdict->description, "%s %s model %s", title_of (verdict->base),
                      title_of (verdict->type), verdict->name);
}
