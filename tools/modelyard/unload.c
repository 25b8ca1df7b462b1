// SPDX-License-Identifier: Apache-2.0
/*  unload.c - `modelyard unload`: ends leases of the yard's, and takes idle models out of memory
 *
 *  Two steps that are easily taken for one: a lease that ends makes a model idle (it stays in the cache, and the
 *  next load of it costs nothing), and an idle one leaves memory when room is needed, or by --idle now.
 */
#include "commands.h"

#include "loaders.h"
#include "text.h"

#define LEASE_DIGITS 32
#define PREFIX_DIGITS_MIN 4 /* as model_find: fewer are more likely a name mistyped */
#define RELEASES_MAX 256 /* as many as one page of load.list holds */

typedef struct {
    const char *word, *device;
    bool idle, all_idle;
    size_t count;
    struct {
        const char *place;
        load_row_t row;
    } found [RELEASES_MAX];
    bool others; /* it is loaded, by leases that are not the yard's */
    bool has_idle; /* it is in the cache, and nobody's */
    yard_string_t key; /* of the model that was found */
} unload_t;

enum {
    OPTION_DEVICE = 0x200,
    OPTION_IDLE,
    OPTION_ALL_IDLE
};

static error_t parse_unload (int key, char *word, struct argp_state *state)
{
    unload_t *self = state->input;
    switch (key) {
    case OPTION_DEVICE:
        self->device = word;
        return 0;
    case OPTION_IDLE:
        self->idle = true;
        return 0;
    case OPTION_ALL_IDLE:
        self->all_idle = true;
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            argp_usage (state);
        self->word = word;
        return 0;
    case ARGP_KEY_END:
        if (!self->word == !self->all_idle)
            argp_error (state, self->word
                                   ? "--all-idle is for all models, not for one; --idle is"
                                   : "which? a lease, or a model's key, its first digits, or its name; "
                                     "`modelyard ps` lists them");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp unload_argp = {
    .options =
        (const struct argp_option []){
            { .name = "device",
              .key = OPTION_DEVICE,
              .arg = "DEVICE",
              .doc = "Only there: host, cuda:0 … (all)" },
            { .name = "idle", .key = OPTION_IDLE, .doc = "Also out of the cache, not only nobody's" },
            { .name = "all-idle", .key = OPTION_ALL_IDLE, .doc = "All idle models out of the cache" },
            { 0 } },
    .parser = parse_unload,
    .args_doc = "LEASE|KEY|NAME\n--all-idle",
    .doc = "Ends what `modelyard load` began; processes that have the model attached keep it until they end."
};

/*  A lease by its first digits too; a key by at least four. Leases that we may not end show eight digits
 *  only. */
static void find_row (void *argument, const loader_seen_t *loader, const load_row_t *row)
{
    unload_t *self = argument;
    bool long_enough = strlen (self->word) >= PREFIX_DIGITS_MIN;
    bool is_it = yard_string_is (row->name, self->word) ||
                 (long_enough &&
                  (yard_string_starts (row->key, self->word) || yard_string_starts (row->lease, self->word)));
    if (!is_it)
        return;
    self->key = row->key;
    if (yard_string_is (row->state, "idle"))
        self->has_idle = true;
    else if (!yard_string_is (row->state, "leased"))
        return;
    else if (row->lease.size != LEASE_DIGITS || self->count == RELEASES_MAX)
        self->others = true;
    else {
        self->found [self->count].place = loader->place.data;
        self->found [self->count++].row = *row;
    }
}

static int release (invocation_t *self, const char *place, const load_row_t *row)
{
    const load_release_ask_t ask = { .lease = row->lease };
    char name [512], device [128];
    int rc =
        invocation_ask_with (self, &load_release_method, &ask, &(yard_call_options_t){ .at = place }, NULL);
    if (rc)
        return rc;
    if (self->json)
        invocation_json (load_row_type (), row);
    else
        printf ("unloaded %s from %s\n", text_clean (name, sizeof name, row->name),
                text_clean (device, sizeof device, row->device));
    return 0;
}

/*  key empty: all idle ones. A loader that has none of them says 0, which is no failure. */
static int evict (invocation_t *self, const unload_t *words, yard_string_t key, uint64_t *ret_models)
{
    loaders_t loaders = { 0 };
    load_evict_ask_t ask;
    int rc = loaders_look (self, self->arena, 0, words->device, &loaders);
    yard_wire_init (load_evict_ask_type (), &ask);
    ask.has_key = key.size > 0;
    ask.key = key;
    *ret_models = 0;
    for (size_t i = 0; i < loaders.count && rc == 0; i++) {
        load_evict_answer_t answer;
        char size [32], device [128];
        rc = invocation_ask_with (self, &load_evict_method, &ask,
                                  &(yard_call_options_t){ .at = loaders.items [i].place.data }, &answer);
        if (rc)
            return rc;
        *ret_models += answer.models;
        if (self->json && (answer.models || !key.size))
            invocation_json (load_evict_answer_type (), &answer);
        else if (answer.models)
            printf ("evicted %llu idle model%s, %s, from %s\n", (unsigned long long) answer.models,
                    answer.models == 1 ? "" : "s", text_size (size, sizeof size, answer.bytes),
                    text_clean (device, sizeof device, loaders.items [i].device));
    }
    return rc;
}

static int evict_all (invocation_t *self, const unload_t *words)
{
    uint64_t models = 0;
    int rc = evict (self, words, yard_string (""), &models);
    if (rc == 0 && models == 0 && !self->json)
        fprintf (stderr, "no model is idle\n");
    return rc;
}

static int nothing_to_end (invocation_t *self, const unload_t *words)
{
    const char *is = words->others ? "loaded by clients, who end it themselves"
                     : words->has_idle
                         ? "idle: no lease holds it; `modelyard unload --idle` takes it out of memory"
                         : "not loaded";
    return yard_error (&self->error, YARD_UNKNOWN_LEASE, "%.100s is %s; `modelyard ps` shows what is loaded",
                       words->word, is);
}

static int unload (invocation_t *self, unload_t *words)
{
    uint64_t models = 0;
    yard_error_t silent = { 0 };
    /* A loader that does not answer is no reason not to unload what the others have. */
    if (load_each (self, words->device, find_row, words))
        silent = self->error;
    int rc = 0;
    for (size_t i = 0; i < words->count && rc == 0; i++)
        rc = release (self, words->found [i].place, &words->found [i].row);
    if (rc == 0 && words->idle && words->key.size)
        rc = evict (self, words, words->key, &models);
    if (rc == 0 && silent.code) {
        self->error = silent;
        rc = silent.code;
    }
    return rc == 0 && words->count == 0 && models == 0 ? nothing_to_end (self, words) : rc;
}

int command_unload (invocation_t *self, int argc, char **argv)
{
    unload_t words = { 0 };
    int rc = invocation_parse (self, &unload_argp, argc, argv, &words);
    if (rc == 0)
        rc = words.all_idle ? evict_all (self, &words) : unload (self, &words);
    return rc ? invocation_failed (self) : EXIT_DONE;
}
