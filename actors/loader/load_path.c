// SPDX-License-Identifier: Apache-2.0
/*  load_path.c - models that are in no record: a file or folder by its path (REQUIREMENTS R6.8)
 *
 *  The loader that fits is found by looking (loader_fitting.c), unless the caller names one. The path may lead
 *  through symlinks: it is the caller's own.
 */
#include "actors/ground/digest.h"
#include "actors/loader/loader.h"
#include "actors/loader/loader_fitting.h"

/*  The loader of this name; without one the fitting. */
int loader_path_kind (bool named, yard_string_t name, const loader_kind_t **ret, yard_error_t *error)
{
    *ret = &loader_fitting;
    if (!named)
        return 0;
    for (size_t at = 0; loader_kinds [at]; at++)
        if (yard_string_is (name, loader_kinds [at]->name)) {
            *ret = loader_kinds [at];
            return 0;
        }
    char names [YARD_ERROR_TEXT_MAX / 2];
    size_t used = 0;
    names [0] = 0;
    for (size_t at = 0; loader_kinds [at] && used < sizeof names; at++)
        used += (size_t) snprintf (names + used, sizeof names - used, "%s%s", used ? ", " : "",
                                   loader_kinds [at]->name);
    return yard_error (error, YARD_NOT_IMPLEMENTED, "no loader is called %.*s; there are %s",
                       YARD_VIEW (name), names);
}

/*  A record for what has none: the key is of the path, so equal paths share a load. */
void loader_path_config (yard_string_t path, yard_string_t source, const load_model_ask_t *as, char *key,
                         model_config_t *ret)
{
    char hex [YARD_SHA256_HEX_SIZE];
    yard_sha256_t *sha256 = yard_sha256_new ();
    yard_sha256_update (sha256, path.data, path.size);
    yard_sha256_hex (sha256, hex);
    yard_sha256_destroy (&sha256);
    memcpy (key, hex, LOADER_KEY_SIZE - 1);
    key [LOADER_KEY_SIZE - 1] = 0;
    yard_wire_init (model_config_type (), ret);
    ret->key = yard_string (key);
    ret->path = path;
    size_t from = path.size;
    while (from > 0 && path.data [from - 1] != '/')
        from--;
    ret->name = (yard_string_t){ path.data + from, path.size - from };
    if (ret->name.size == 0 || ret->name.size > 255)
        ret->name = yard_string (key);
    ret->type = as->has_type ? as->type : as->has_submodel ? model_type_main : model_type_unknown;
    ret->base = as->has_base ? as->base : base_model_any;
    ret->format = model_format_unknown;
    ret->source = source;
    ret->hash = yard_string ("");
}

int loader_on_load_path (loader_t *self, yard_request_t *request, const load_path_ask_t *ask)
{
    yard_error_t *error = yard_request_error (request);
    const loader_kind_t *kind;
    char key [LOADER_KEY_SIZE];
    model_config_t config;
    if (ask->path.data [0] != '/')
        return yard_error (error, YARD_INVALID_MESSAGE, "%.*s is a relative path; give it from the root on",
                           YARD_VIEW (ask->path));
    int rc = loader_path_kind (ask->has_loader, ask->loader, &kind, error);
    if (rc)
        return rc;
    loader_path_config (ask->path, ask->path, &ask->as, key, &config);
    return loader_load_begin (self, request, &ask->as, &config, kind, LOADER_ANYWHERE);
}
