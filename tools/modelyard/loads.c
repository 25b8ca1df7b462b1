// SPDX-License-Identifier: Apache-2.0
/*  loads.c - `modelyard load` and `modelyard pin`: a model in memory, kept by the yard
 *
 *  Both leave a lease that is the yard's, so the model stays when this program has ended. `load` says what it got
 *  and where the time went; `pin` only the lease, and on the host it wants memory of the yard's own (resident)
 *  unless it is told otherwise, since a file's pages may be thrown out at any time.
 */
#include "commands.h"

#include <errno.h>
#include <stdlib.h>
#include "load_watch.h"
#include "load_words.h"
#include "model_find.h"
#include "text.h"

#define REGIONS_SHOWN 8 /* a large model has 60 shards; --json has them all */

/*  --- what it got */
/*  A line a region, when there is more than the one. */
static void print_regions (const load_model_answer_t *answer)
{
    char name [256], size [32];
    size_t count = answer->regions.count;
    for (size_t i = 0; count > 1 && i < count && i < REGIONS_SHOWN; i++)
        printf ("region   %s, %s\n", text_clean (name, sizeof name, answer->regions.items [i].name),
                text_size (size, sizeof size, answer->regions.items [i].bytes));
    if (count > REGIONS_SHOWN)
        printf ("region   and %zu more\n", count - REGIONS_SHOWN);
}

/*  "1.53 s: open 1.10 ms, read 1.51 s (1.31 GiB/s)" */
static void print_phases (const load_model_answer_t *answer, uint64_t bytes)
{
    char took [32], name [64], speed [32];
    printf ("took     %s", text_microseconds (took, sizeof took, answer->took_us));
    for (size_t i = 0; i < answer->phases.count; i++) {
        const load_phase_t *phase = &answer->phases.items [i];
        printf ("%s%s %s", i ? ", " : ": ", text_clean (name, sizeof name, phase->name),
                text_microseconds (took, sizeof took, phase->us));
        if (yard_string_is (phase->name, "read") && phase->us > 0)
            printf (" (%s/s)",
                    text_size (speed, sizeof speed, (uint64_t) ((double) bytes * 1e6 / (double) phase->us)));
    }
    putchar ('\n');
}

static void print_loaded (const load_model_answer_t *answer, const load_model_ask_t *ask)
{
    char name [512], part [80], size [32];
    uint64_t bytes = 0;
    for (size_t i = 0; i < answer->regions.count; i++)
        bytes += answer->regions.items [i].bytes;
    printf ("lease    %s\nmodel    %s", answer->lease.data,
            text_clean (name, sizeof name, answer->config.name));
    if (ask->has_submodel)
        printf (", %s", text_clean (part, sizeof part, ask->submodel));
    printf ("\ndevice   %s", text_clean (name, sizeof name, answer->device));
    if (answer->device_uuid.size)
        printf (", %s", text_clean (name, sizeof name, answer->device_uuid));
    printf ("\nform     %s%s\n", yard_wire_word (load_form_type (), (int) answer->form),
            answer->locked ? ", never swapped out" : "");
    printf ("size     %s, %llu tensors in %zu region%s\n", text_size (size, sizeof size, bytes),
            (unsigned long long) answer->tensors, answer->regions.count,
            answer->regions.count == 1 ? "" : "s");
    print_regions (answer);
    if (answer->checked_bytes)
        printf ("checked  %s against checksums\n", text_size (size, sizeof size, answer->checked_bytes));
    if (answer->view.size)
        printf ("files    %s\n", text_clean (name, sizeof name, answer->view));
    print_phases (answer, bytes);
}

/*  What `unload` can be given: the key's first digits, or the lease of a model that has no key in the store. */
static void say_how_it_ends (const load_words_t *self, const load_model_answer_t *answer)
{
    char ttl [32];
    fprintf (stderr, "%s; `modelyard unload %.8s` ends it", answer->shared ? "was loaded, leased" : "loaded",
             self->path ? answer->lease.data : answer->config.key.data);
    if (self->ttl_s)
        fprintf (stderr, ", or %s", text_duration (ttl, sizeof ttl, (int64_t) self->ttl_s * 1000));
    fputc ('\n', stderr);
}

static int load (invocation_t *self, load_words_t *words)
{
    load_model_answer_t answer;
    load_path_ask_t path;
    const load_subject_t subject = { .key = words->ask.key,
                                     .location = words->path ? words->real_path : NULL,
                                     .submodel = words->ask.submodel,
                                     .device = words->ask.device };
    words->ask.keep = true;
    yard_wire_init (load_path_ask_type (), &path);
    path.path = yard_string (words->real_path);
    path.as = words->ask;
    int rc = load_watch (self, words->path ? &load_path_method : &load_model_method,
                         words->path ? (const void *) &path : &words->ask,
                         &(yard_call_options_t){ .ttl_s = words->ttl_s }, &subject, &answer);
    if (rc)
        return rc;
    if (self->json)
        invocation_json (load_model_answer_type (), &answer);
    else if (words->pin)
        printf ("%s\n", answer.lease.data);
    else {
        print_loaded (&answer, &words->ask);
        say_how_it_ends (words, &answer);
    }
    return 0;
}

/*  --- estimate, prefetch */
static int estimate (invocation_t *self, const load_words_t *words)
{
    static const struct {
        load_fit_t fit;
        const char *means;
    } meanings [] = {
        { load_fit_loaded, "it is in memory already" },
        { load_fit_now, "there is room for it" },
        { load_fit_evicting, "there is room when idle models have gone" },
        { load_fit_waiting, "it waits until leases or loads of others end" },
        { load_fit_never,
          "it is larger than the device's budget; see loader.host_bytes, loader.device_bytes" },
    };
    load_estimate_answer_t answer;
    char size [32], precision [64];
    int rc = invocation_ask (self, &load_estimate_method, &words->ask, &answer);
    if (rc)
        return rc;
    if (self->json) {
        invocation_json (load_estimate_answer_type (), &answer);
        return 0;
    }
    printf ("fit      %s", yard_wire_word (load_fit_type (), (int) answer.fit));
    for (size_t i = 0; i < sizeof meanings / sizeof meanings [0]; i++)
        if (meanings [i].fit == answer.fit)
            printf (": %s", meanings [i].means);
    printf ("\nneeds    %s of the budget\n", text_size (size, sizeof size, answer.bytes));
    if (answer.evict_bytes)
        printf ("evicts   %s of idle models\n", text_size (size, sizeof size, answer.evict_bytes));
    printf ("tensors  %llu%s%s\n", (unsigned long long) answer.tensors, answer.precision.size ? ", " : "",
            text_clean (precision, sizeof precision, answer.precision));
    return 0;
}

static int prefetch (invocation_t *self, const load_words_t *words)
{
    load_prefetch_answer_t answer;
    char size [32], took [32];
    const load_subject_t subject = { .key = words->ask.key,
                                     .submodel = words->ask.submodel,
                                     .device = words->ask.device };
    int rc = load_watch (self, &load_prefetch_method, &words->ask, NULL, &subject, &answer);
    if (rc)
        return rc;
    if (self->json)
        invocation_json (load_prefetch_answer_type (), &answer);
    else
        printf ("%s %s in %s; it stays until room is needed\n", answer.shared ? "was there:" : "read",
                text_size (size, sizeof size, answer.bytes),
                text_microseconds (took, sizeof took, answer.took_us));
    return 0;
}

/*  --- the commands */
/*  The broker knows of places, the user of devices. */
static int explain (invocation_t *self, const load_words_t *words, int rc)
{
    if (rc != YARD_NOT_SERVED || words->ask.device.size == 0)
        return rc;
    return yard_error (&self->error, rc,
                       "no loader of this yard serves the device %.64s; `modelyard devices` lists them, and "
                       "loader.devices in the configuration says which ones `up` starts",
                       words->ask.device.data);
}

/*  A path is made absolute here, since the loader has another current directory. */
static int name_model (invocation_t *self, load_words_t *words)
{
    model_record_t record;
    if (words->path)
        return realpath (words->path, words->real_path)
                   ? 0
                   : yard_error_errno (&self->error, errno, "cannot find %s", words->path);
    int rc = model_find (self, words->word, &record);
    words->ask.has_key = rc == 0;
    words->ask.key = rc == 0 ? record.config.key : yard_string ("");
    return rc;
}

static bool is_host (yard_string_t device)
{
    return device.size == 0 || yard_string_is (device, "host");
}

static int run (invocation_t *self, const struct argp *argp, bool pin, int argc, char **argv)
{
    load_words_t words = { .pin = pin };
    yard_wire_init (load_model_ask_type (), &words.ask);
    int rc = invocation_parse (self, argp, argc, argv, &words);
    if (rc == 0)
        rc = name_model (self, &words);
    if (pin && !words.ask.has_form && is_host (words.ask.device)) {
        words.ask.has_form = true;
        words.ask.form = load_form_resident;
    }
    if (rc == 0)
        rc = words.estimate   ? estimate (self, &words)
             : words.prefetch ? prefetch (self, &words)
                              : load (self, &words);
    return explain (self, &words, rc) ? invocation_failed (self) : EXIT_DONE;
}

int command_load (invocation_t *self, int argc, char **argv)
{
    return run (self, &load_argp, false, argc, argv);
}

int command_pin (invocation_t *self, int argc, char **argv)
{
    return run (self, &pin_argp, true, argc, argv);
}
