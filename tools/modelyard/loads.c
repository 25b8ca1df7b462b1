// SPDX-License-Identifier: Apache-2.0
/*  loads.c - commands about models in memory: load, unload
 */
#include "commands.h"

#include "loads.h"
#include "model_find.h"
#include "text.h"

#define LEASE_DIGITS 32
#define RELEASES_MAX 256 /* as many as one page of load.list holds */

int load_each (invocation_t *self, load_each_fn *each, void *argument)
{
    yard_devices_answer_t devices;
    int rc = invocation_ask (self, &yard_devices_method, NULL, &devices);
    for (size_t i = 0; i < devices.devices.count && rc == 0; i++) {
        load_list_answer_t answer;
        const char *place = devices.devices.items [i].place.data;
        rc = invocation_ask_with (self, &load_list_method, NULL, &(yard_call_options_t){ .at = place },
                                  &answer);
        for (size_t row = 0; rc == 0 && row < answer.loads.count; row++)
            each (argument, place, &answer.loads.items [row]);
    }
    return rc;
}

/*  --- load */
typedef struct {
    const char *word, *submodel, *device;
    bool whole;
} load_t;

enum {
    OPTION_SUBMODEL = 0x200,
    OPTION_WHOLE,
    OPTION_DEVICE
};

static error_t parse_load (int key, char *word, struct argp_state *state)
{
    load_t *self = state->input;
    switch (key) {
    case OPTION_SUBMODEL:
        self->submodel = word;
        return 0;
    case OPTION_WHOLE:
        self->whole = true;
        return 0;
    case OPTION_DEVICE:
        self->device = word;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            argp_usage (state);
        self->word = word;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error (state, "which model? a key, its first digits, or a name; `modelyard ls` lists them");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp load_argp = {
    .options =
        (const struct argp_option []){
            { .name = "submodel",
              .key = OPTION_SUBMODEL,
              .arg = "PART",
              .doc = "Part of a main model: unet, vae, text_encoder …" },
            { .name = "whole", .key = OPTION_WHOLE, .doc = "A main model with all its parts" },
            { .name = "device", .key = OPTION_DEVICE, .arg = "DEVICE", .doc = "host, cuda:0 … (host)" },
            { 0 } },
    .parser = parse_load,
    .args_doc = "KEY|NAME",
    .doc = "Loads a model and keeps it in memory until `modelyard unload`."
};

static void print_loaded (const load_model_answer_t *answer)
{
    char name [512], size [32], took [32];
    uint64_t bytes = 0;
    for (size_t i = 0; i < answer->regions.count; i++)
        bytes += answer->regions.items [i].bytes;
    printf ("lease   %s\nmodel   %s\ndevice  %s (%s)\n", answer->lease.data,
            text_clean (name, sizeof name, answer->config.name), answer->device.data, answer->form.data);
    printf ("size    %s, %llu tensors\n", text_size (size, sizeof size, bytes),
            (unsigned long long) answer->tensors);
    if (answer->view.size)
        printf ("files   %s\n", text_clean (name, sizeof name, answer->view));
    fprintf (stderr, "%s in %s; `modelyard unload %.8s` ends it\n",
             answer->shared ? "was loaded, leased" : "loaded",
             text_duration (took, sizeof took, (int64_t) (answer->took_us / 1000)), answer->config.key.data);
}

int command_load (invocation_t *self, int argc, char **argv)
{
    load_t words = { 0 };
    model_record_t record;
    load_model_ask_t ask;
    load_model_answer_t answer;
    int rc = invocation_parse (self, &load_argp, argc, argv, &words);
    if (rc == 0)
        rc = model_find (self, words.word, &record);
    if (rc == 0) {
        yard_wire_init (load_model_ask_type (), &ask);
        ask.has_key = ask.keep = true;
        ask.key = record.config.key;
        ask.has_submodel = words.submodel != NULL;
        ask.submodel = yard_string (words.submodel);
        ask.whole = words.whole;
        ask.device = yard_string (words.device ? words.device : "");
        rc = invocation_ask (self, &load_model_method, &ask, &answer);
    }
    if (rc)
        return invocation_failed (self);
    if (self->json)
        invocation_json (load_model_answer_type (), &answer);
    else
        print_loaded (&answer);
    return EXIT_DONE;
}

/*  --- unload */
typedef struct {
    const char *word;
    size_t count;
    struct {
        const char *place;
        load_row_t row;
    } found [RELEASES_MAX];
    bool others; /* it is loaded, by leases that are not the yard's */
} unload_t;

static error_t parse_unload (int key, char *word, struct argp_state *state)
{
    unload_t *self = state->input;
    if (key == ARGP_KEY_NO_ARGS)
        argp_error (state, "which? a lease, or a model's key, its first digits, or its name");
    if (key != ARGP_KEY_ARG)
        return ARGP_ERR_UNKNOWN;
    if (state->arg_num > 0)
        argp_usage (state);
    self->word = word;
    return 0;
}

/*  A lease by its first digits too; a key by at least four. Leases that we may not end show eight digits
 *  only. */
static void find_row (void *argument, const char *place, const load_row_t *row)
{
    unload_t *self = argument;
    bool is_it = yard_string_is (row->name, self->word) ||
                 (strlen (self->word) >= 4 &&
                  (yard_string_starts (row->key, self->word) || yard_string_starts (row->lease, self->word)));
    if (!is_it || !yard_string_is (row->state, "leased"))
        return;
    if (row->lease.size != LEASE_DIGITS || self->count == RELEASES_MAX)
        self->others = true;
    else {
        self->found [self->count].place = place;
        self->found [self->count++].row = *row;
    }
}

static int release (invocation_t *self, const char *place, const load_row_t *row)
{
    const load_release_ask_t ask = { .lease = row->lease };
    char name [512];
    int rc =
        invocation_ask_with (self, &load_release_method, &ask, &(yard_call_options_t){ .at = place }, NULL);
    if (rc)
        return rc;
    if (self->json)
        invocation_json (load_row_type (), row);
    else
        printf ("unloaded %s from %s\n", text_clean (name, sizeof name, row->name), row->device.data);
    return 0;
}

int command_unload (invocation_t *self, int argc, char **argv)
{
    static const struct argp argp = {
        .parser = parse_unload,
        .args_doc = "LEASE|KEY|NAME",
        .doc =
            "Ends what `modelyard load` began; processes that have the model attached keep it until they end."
    };
    unload_t words = { 0 };
    int rc = invocation_parse (self, &argp, argc, argv, &words);
    if (rc == 0)
        rc = load_each (self, find_row, &words);
    if (rc == 0 && words.count == 0)
        rc = yard_error (&self->error, YARD_UNKNOWN_LEASE,
                         "%.100s is %s; `modelyard call load.list` shows what is", words.word,
                         words.others ? "loaded by clients, who end it themselves" : "not loaded");
    for (size_t i = 0; i < words.count && rc == 0; i++)
        rc = release (self, words.found [i].place, &words.found [i].row);
    return rc ? invocation_failed (self) : EXIT_DONE;
}
