// SPDX-License-Identifier: Apache-2.0
/*  load_words.c - the words of `modelyard load` and `modelyard pin`
 *
 *  Most options are a field of the ask as it is: what the loader does not like, it refuses with its own sentence.
 */
#include "load_words.h"

#include <stdlib.h>
#include "text.h"

enum {
    OPTION_SUBMODEL = 0x200,
    OPTION_WHOLE,
    OPTION_DEVICE,
    OPTION_FORM,
    OPTION_VARIANT,
    OPTION_PRECISION,
    OPTION_PRIORITY,
    OPTION_TTL,
    OPTION_PATH,
    OPTION_PREFETCH
};

static void parse_form (load_model_ask_t *ask, const char *word, struct argp_state *state)
{
    ask->has_form = true;
    if (strcmp (word, "mapped") == 0)
        ask->form = load_form_mapped;
    else if (strcmp (word, "resident") == 0)
        ask->form = load_form_resident;
    else
        argp_error (state, "\"%.40s\" is no form; mapped (the file itself) or resident (read into memory)",
                    word);
}

static void parse_priority (load_model_ask_t *ask, const char *word, struct argp_state *state)
{
    char *end;
    ask->priority = strtoll (word, &end, 10);
    if (*end || end == word || ask->priority < -100 || ask->priority > 100)
        argp_error (state, "--priority must be a whole number from -100 to 100; higher goes first");
}

/*  Options that are a text of the ask, as it is. */
static const struct {
    int key;
    size_t offset, has_offset; /* has_offset 0: always there */
} texts [] = {
    { OPTION_SUBMODEL, offsetof (load_model_ask_t, submodel), offsetof (load_model_ask_t, has_submodel) },
    { OPTION_DEVICE, offsetof (load_model_ask_t, device), 0 },
    { OPTION_VARIANT, offsetof (load_model_ask_t, variant), offsetof (load_model_ask_t, has_variant) },
    { OPTION_PRECISION, offsetof (load_model_ask_t, precision), offsetof (load_model_ask_t, has_precision) },
};

static bool parse_text (load_model_ask_t *ask, int key, const char *word)
{
    for (size_t i = 0; i < sizeof texts / sizeof texts [0]; i++) {
        if (texts [i].key != key)
            continue;
        *(yard_string_t *) ((char *) ask + texts [i].offset) = yard_string (word);
        if (texts [i].has_offset)
            *(bool *) ((char *) ask + texts [i].has_offset) = true;
        return true;
    }
    return false;
}

/*  What contradicts itself. */
static void check_words (const load_words_t *self, struct argp_state *state)
{
    if (!self->word == !self->path)
        argp_error (state, self->word
                               ? "a model or --path, not both"
                               : "which model? a key, its first digits, or a name (`modelyard ls` lists "
                                 "them); or --path FILE");
    if (self->estimate && self->prefetch)
        argp_error (state, "--estimate or --prefetch, not both");
    if (self->path && (self->estimate || self->prefetch))
        argp_error (state, "%s is for installed models: `modelyard install` first",
                    self->estimate ? "--estimate" : "--prefetch");
    if (self->ttl_s && (self->estimate || self->prefetch))
        argp_error (state, "--ttl is of a lease, and %s gives none",
                    self->estimate ? "--estimate" : "--prefetch");
    if (self->ask.whole && self->ask.has_submodel)
        argp_error (state, "--submodel or --whole, not both");
}

static error_t parse_load (int key, char *word, struct argp_state *state)
{
    load_words_t *self = state->input;
    switch (key) {
    case OPTION_WHOLE:
        self->ask.whole = true;
        return 0;
    case OPTION_FORM:
        parse_form (&self->ask, word, state);
        return 0;
    case OPTION_PRIORITY:
        parse_priority (&self->ask, word, state);
        return 0;
    case OPTION_TTL:
        if (!text_seconds (word, &self->ttl_s))
            argp_error (state, "--ttl must be a time of at most a week: 600 (seconds), 10m, 2h, 7d");
        return 0;
    case OPTION_PATH:
        self->path = word;
        return 0;
    case 'n':
        self->estimate = true;
        return 0;
    case OPTION_PREFETCH:
        self->prefetch = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            argp_usage (state);
        self->word = word;
        return 0;
    case ARGP_KEY_END:
        check_words (self, state);
        return 0;
    default:
        return word && parse_text (&self->ask, key, word) ? 0 : ARGP_ERR_UNKNOWN;
    }
}

#define WHAT_OPTIONS \
    { .name = "submodel", \
      .key = OPTION_SUBMODEL, \
      .arg = "PART", \
      .doc = "Part of a main model: unet, vae, text_encoder …" }, \
        { .name = "whole", .key = OPTION_WHOLE, .doc = "A main model with all its parts" }, \
        { .name = "device", .key = OPTION_DEVICE, .arg = "DEVICE", .doc = "host, cuda:0 … (host)" }, \
        { .name = "form", \
          .key = OPTION_FORM, \
          .arg = "FORM", \
          .doc = "On the host: mapped (the file itself) or resident (read into memory whole)" }, \
        { .name = "variant", \
          .key = OPTION_VARIANT, \
          .arg = "VARIANT", \
          .doc = "Which of a repository's files: fp16 …" }, \
        { .name = "precision", \
          .key = OPTION_PRECISION, \
          .arg = "DTYPE", \
          .doc = "Of the tensors: float16 …" }, \
        { .name = "priority", \
          .key = OPTION_PRIORITY, \
          .arg = "N", \
          .doc = "-100 to 100; higher goes first (0)" }, \
        { .name = "ttl", .key = OPTION_TTL, .arg = "TIME", .doc = "Kept for so long only: 600, 10m, 2h" }, \
    { \
        .name = "path", .key = OPTION_PATH, .arg = "FILE", .doc = "A file or folder that is not installed" \
    }

const struct argp load_argp = {
    .options =
        (const struct argp_option []){
            WHAT_OPTIONS,
            { .name = "estimate", .key = 'n', .doc = "Only say what the load would take" },
            { .name = "prefetch",
              .key = OPTION_PREFETCH,
              .doc = "Only read it: it is in memory when it is asked for, unless room is needed before" },
            { 0 } },
    .parser = parse_load,
    .args_doc = "KEY|NAME\n--path FILE",
    .doc = "Loads a model and keeps it in memory until `modelyard unload`. Ctrl-C gives the load up."
};

const struct argp pin_argp = {
    .options = (const struct argp_option []){ WHAT_OPTIONS, { 0 } },
    .parser = parse_load,
    .args_doc = "KEY|NAME\n--path FILE",
    .doc =
        "Keeps a model in memory until `modelyard unload`, and prints the lease. On the host it is read into "
        "memory of the yard's own (--form resident), which stays however short memory gets."
};
