// SPDX-License-Identifier: Apache-2.0
/*  step_probe.c - second step: what is this model? The prober says; the user's overrides win
 *
 *  Ends with the whole record-to-be in the job's row, or undecided (`ambiguous`) with the bytes kept and the
 *  way on in the text.
 */
#include "installer.h"

#include "actors/ground/durable.h"

typedef struct {
    const char *path;
    uint64_t bytes;
    bool crashed_once; /* the prober died under this file */
    model_config_t config;
    yard_error_t error;
} probe_t;

static void ask_probe (installer_lease_t *lease);

static void work_find (void *argument)
{
    installer_lease_t *lease = argument;
    probe_t *step = lease->step;
    installer_staging_file (lease->staging, lease->arena, &step->path, &step->bytes, &step->error);
}

/*  A field of the overrides wins over the probe's. */
static void override (model_config_t *config, const model_changes_t *changes)
{
#define TAKE(field) \
    if (changes->has_##field) \
    config->field = changes->field
#define TAKE_OPTIONAL(field) TAKE (field), config->has_##field = true
    TAKE (name);
    TAKE (type);
    TAKE (base);
    TAKE (format);
    TAKE (description);
    TAKE (source);
    TAKE (repo_variant);
    TAKE_OPTIONAL (variant);
    TAKE_OPTIONAL (prediction_type);
    TAKE_OPTIONAL (upcast_attention);
    if (changes->has_also_bases) {
        config->also_bases.items = changes->also_bases.items;
        config->also_bases.count = changes->also_bases.count;
    }
#undef TAKE
#undef TAKE_OPTIONAL
}

static void expand_to_place (installer_lease_t *lease)
{
    probe_t *step = lease->step;
    job_expand_ask_t ask;
    yard_wire_init (job_expand_ask_type (), &ask);
    ask.job = lease->job.id;
    ask.token = lease->token;
    ask.step = yard_string ("place");
    ask.local_path = yard_string (lease->staging);
    ask.total_bytes = step->bytes;
    ask.has_config_out = true;
    ask.config_out = step->config;
    installer_lease_expand (lease, &ask);
}

static void on_hashed (void *pointer, void *argument, const yard_outcome_t *outcome)
{
    (void) pointer;
    installer_lease_t *lease = argument;
    probe_t *step = lease->step;
    if (outcome->code) {
        installer_lease_fail (lease, outcome->code,
                              outcome->code == YARD_GONE || outcome->code == YARD_NOT_SERVED, outcome->text);
        return;
    }
    const probe_hash_answer_t *answer = outcome->answer;
    step->config.hash = yard_arena_copy (lease->arena, answer->hash);
    expand_to_place (lease);
}

static void take_verdict (installer_lease_t *lease, const probe_path_answer_t *verdict)
{
    probe_t *step = lease->step;
    model_config_t *config = &step->config;
    yard_wire_init (model_config_type (), config);
    config->key = lease->job.key;
    config->name = yard_arena_copy (lease->arena, verdict->name);
    config->type = verdict->type;
    config->base = verdict->base;
    config->format = verdict->format;
    config->description = yard_arena_copy (lease->arena, verdict->description);
    config->source = lease->job.install.source;
    config->path = yard_string (step->path);
    config->total_bytes = step->bytes;
    config->has_variant = verdict->has_variant;
    config->variant = verdict->variant;
    config->has_prediction_type = verdict->has_prediction_type;
    config->prediction_type = verdict->prediction_type;
    config->has_upcast_attention = verdict->has_upcast_attention;
    config->upcast_attention = verdict->upcast_attention;
    if (lease->job.install.has_config)
        override (config, &lease->job.install.config);
}

static void on_probed (void *pointer, void *argument, const yard_outcome_t *outcome)
{
    installer_t *self = pointer;
    installer_lease_t *lease = argument;
    probe_t *step = lease->step;
    if (outcome->code == YARD_GONE && !step->crashed_once) {
        step->crashed_once = true;
        ask_probe (lease);
        return;
    }
    if (outcome->code == YARD_GONE) {
        installer_lease_fail (lease, YARD_PROBE_CRASHED, false,
                              "the prober ended twice while it looked at this file; do not trust the file");
        return;
    }
    if (outcome->code) {
        installer_lease_fail (lease, outcome->code,
                              outcome->code == YARD_NOT_SERVED || outcome->code == YARD_BUSY ||
                                  outcome->code == YARD_HELLO_FIRST,
                              outcome->text);
        return;
    }
    const probe_path_answer_t *verdict = outcome->answer;
    take_verdict (lease, verdict);
    if (step->config.type <= model_type_unknown || step->config.base <= base_model_unknown ||
        step->config.format <= model_format_unknown) {
        installer_lease_fail (
            lease, YARD_UNKNOWN_TYPE, false,
            yard_arena_printf (lease->arena,
                               "%.*s; the bytes are kept: install the same source again with "
                               "config {type, base, format}",
                               YARD_VIEW (verdict->evidence)));
        return;
    }
    probe_hash_ask_t ask;
    yard_wire_init (probe_hash_ask_type (), &ask);
    ask.path = yard_string (step->path);
    yard_ask (self->actor, &probe_hash_method, &ask, NULL, on_hashed, lease);
}

static void ask_probe (installer_lease_t *lease)
{
    probe_t *step = lease->step;
    probe_path_ask_t ask;
    yard_wire_init (probe_path_ask_type (), &ask);
    ask.path = yard_string (step->path);
    yard_ask (lease->owner->actor, &probe_path_method, &ask, NULL, on_probed, lease);
}

static void after_find (void *pointer, void *argument)
{
    (void) pointer;
    installer_lease_t *lease = argument;
    probe_t *step = lease->step;
    if (step->error.code) {
        installer_lease_fail (lease, step->error.code, false, step->error.text);
        return;
    }
    atomic_store (&lease->bytes, step->bytes); /* a copy may have been over before it could be told of */
    atomic_store (&lease->total_bytes, step->bytes);
    ask_probe (lease);
}

void installer_step_probe (installer_lease_t *lease)
{
    lease->step = yard_arena_alloc (lease->arena, sizeof (probe_t));
    yard_offload (lease->owner->actor, work_find, after_find, lease);
}
