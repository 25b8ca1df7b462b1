// SPDX-License-Identifier: Apache-2.0
/*  record_fields.c - which fields of a record fit together, and how a sparse change is laid over them
 */
#include "records.h"

static bool is_hex (yard_string_t text)
{
    for (size_t i = 0; i < text.size; i++)
        if (!strchr ("0123456789abcdef", text.data [i]) || text.data [i] == 0)
            return false;
    return true;
}

/*  A path that climbs out of the models directory is nobody's model. */
static bool climbs (yard_string_t path)
{
    for (size_t at = 0; at < path.size;) {
        const char *slash = memchr (path.data + at, '/', path.size - at);
        size_t end = slash ? (size_t) (slash - path.data) : path.size;
        if (end - at == 2 && memcmp (path.data + at, "..", 2) == 0)
            return true;
        at = end + 1;
    }
    return false;
}

static bool names_twice (const model_config_t *config)
{
    for (size_t i = 0; i < config->also_bases.count; i++) {
        if (config->also_bases.items [i] == config->base)
            return true;
        for (size_t j = 0; j < i; j++)
            if (config->also_bases.items [j] == config->also_bases.items [i])
                return true;
    }
    return false;
}

int recorder_record_check (const model_config_t *config, yard_error_t *error)
{
    bool main_fields = config->has_variant || config->has_prediction_type || config->has_upcast_attention;
    const struct {
        bool wrong;
        const char *text;
    } rules [] = {
        { config->key.size != 32 || !is_hex (config->key), "key: 32 digits 0-9 and a-f" },
        { config->name.size == 0, "name: at least one byte" },
        { config->type == model_type_unset, "type: a word of model_type" },
        { config->base == base_model_unset, "base: a word of base_model" },
        { config->format == model_format_unset, "format: a word of model_format" },
        { config->path.size == 0 || climbs (config->path), "path: a relative or absolute path without .." },
        { names_twice (config), "also_bases: further bases, each once" },
        { config->base == base_model_any && config->also_bases.count,
          "also_bases: none beside base any, which is all of them" },
        { main_fields && config->type != model_type_main,
          "variant, prediction_type and upcast_attention: only of a main model" },
    };
    for (size_t i = 0; i < sizeof rules / sizeof rules [0]; i++)
        if (rules [i].wrong)
            return yard_error (error, YARD_INVALID_MODEL_CONFIG,
                               "the record's fields do not fit together: %s", rules [i].text);
    return 0;
}

/*  Strings stay views of the change. A model that is no main model any more loses the fields that only main models have. */
void recorder_record_change (model_config_t *config, const model_changes_t *changes)
{
#define LAY(field) \
    if (changes->has_##field) \
    config->field = changes->field
    LAY (name);
    LAY (type);
    LAY (base);
    LAY (format);
    LAY (path);
    LAY (description);
    LAY (source);
    LAY (repo_variant);
    LAY (variant);
    LAY (prediction_type);
    LAY (upcast_attention);
#undef LAY
    if (changes->has_also_bases) {
        config->also_bases.items = changes->also_bases.items;
        config->also_bases.count = changes->also_bases.count;
    }
    bool keeps = config->type == model_type_main;
    config->has_variant = changes->has_variant || (config->has_variant && keeps);
    config->has_prediction_type = changes->has_prediction_type || (config->has_prediction_type && keeps);
    config->has_upcast_attention = changes->has_upcast_attention || (config->has_upcast_attention && keeps);
}
