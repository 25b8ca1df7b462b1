// SPDX-License-Identifier: Apache-2.0
/*  load_path.c - models that are in no record: a file or folder by its path (REQUIREMENTS R6.8)
 *
 *  The loader that fits is found by the name's ending, or is a folder's, unless the caller names one. The path may lead through
 *  symlinks: it is the caller's own, resolved on the pool thread before anything is opened.
 */
#include "actors/ground/digest.h"
#include "actors/loader/loader.h"
#include "actors/loader/loader_files.h"
#include "actors/loader/loader_folder.h"
#include "actors/loader/loader_gguf.h"
#include "actors/loader/loader_safetensors.h"

#include <errno.h>
#include <sys/stat.h>

/*  The first row whose ending fits; an empty ending is a folder. */
static const struct {
    const char *ending;
    const loader_kind_t *kind;
    model_type_t type; /* what a path load of this kind counts as */
} fits [] = {
    { ".safetensors", &loader_safetensors, model_type_unknown },
    { ".gguf", &loader_gguf, model_type_unknown },
    { ".onnx", &loader_files, model_type_onnx },
    { ".bin", &loader_files, model_type_embedding },
    { ".pt", &loader_files, model_type_embedding },
    { ".pth", &loader_files, model_type_embedding },
    { ".ckpt", &loader_files, model_type_embedding },
    { "", &loader_folder, model_type_unknown },
};

static bool ends_with (const char *path, const char *ending)
{
    size_t size = strlen (path), ending_size = strlen (ending);
    return size > ending_size && strcmp (path + size - ending_size, ending) == 0;
}

/*  path is made real; which row of fits it is. */
static int look_at (loader_opening_t *opening, size_t *ret_row)
{
    yard_error_t *error = &opening->error;
    char resolved [PATH_MAX];
    struct stat state;
    if (!realpath (opening->path, resolved) || stat (resolved, &state) < 0)
        return errno == ENOENT ? yard_error (error, YARD_MODEL_NOT_FOUND,
                                             "%s is not there; give the path of a file or folder "
                                             "on the loader's machine",
                                             opening->path)
                               : yard_error_errno (error, errno, "cannot look at %s", opening->path);
    snprintf (opening->path, sizeof opening->path, "%s", resolved);
    for (size_t at = 0; at < sizeof fits / sizeof fits [0]; at++)
        if (S_ISDIR (state.st_mode) ? fits [at].ending [0] == 0
                                    : fits [at].ending [0] && ends_with (resolved, fits [at].ending)) {
            *ret_row = at;
            return 0;
        }
    return yard_error (error, YARD_NOT_IMPLEMENTED,
                       "no loader fits %s by its name; files end in .safetensors, .gguf, .onnx, .bin, .pt, "
                       ".pth or .ckpt; or name a loader",
                       resolved);
}

static int open_fitting (loader_opening_t *opening)
{
    size_t row = 0;
    int rc = look_at (opening, &row);
    if (rc)
        return rc;
    if (opening->type == model_type_unknown)
        opening->type = fits [row].type;
    return fits [row].kind->open (opening);
}

static const loader_kind_t fitting = { .name = "fitting", .open = open_fitting };

static int kind_of (yard_string_t name, const loader_kind_t **ret, yard_error_t *error)
{
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
static void make_config (const load_path_ask_t *ask, char *key, model_config_t *ret)
{
    char hex [YARD_SHA256_HEX_SIZE];
    yard_sha256_t *sha256 = yard_sha256_new ();
    yard_sha256_update (sha256, ask->path.data, ask->path.size);
    yard_sha256_hex (sha256, hex);
    yard_sha256_destroy (&sha256);
    memcpy (key, hex, LOADER_KEY_SIZE - 1);
    key [LOADER_KEY_SIZE - 1] = 0;
    yard_wire_init (model_config_type (), ret);
    ret->key = yard_string (key);
    ret->path = ask->path;
    size_t from = ask->path.size;
    while (from > 0 && ask->path.data [from - 1] != '/')
        from--;
    ret->name = (yard_string_t){ ask->path.data + from, ask->path.size - from };
    if (ret->name.size == 0 || ret->name.size > 255)
        ret->name = yard_string (key);
    ret->type = ask->as.has_type ? ask->as.type : ask->as.has_submodel ? model_type_main : model_type_unknown;
    ret->base = ask->as.has_base ? ask->as.base : base_model_any;
    ret->format = model_format_unknown;
    ret->source = ask->path;
    ret->hash = yard_string ("");
}

int loader_on_load_path (loader_t *self, yard_request_t *request, const load_path_ask_t *ask)
{
    yard_error_t *error = yard_request_error (request);
    const loader_kind_t *kind = &fitting;
    char key [LOADER_KEY_SIZE];
    model_config_t config;
    if (ask->path.data [0] != '/')
        return yard_error (error, YARD_INVALID_MESSAGE, "%.*s is a relative path; give it from the root on",
                           YARD_VIEW (ask->path));
    if (memchr (ask->path.data, 0, ask->path.size))
        return yard_error (error, YARD_INVALID_MESSAGE, "a path has no byte 0 in it");
    int rc = ask->has_loader ? kind_of (ask->loader, &kind, error) : 0;
    if (rc)
        return rc;
    make_config (ask, key, &config);
    return loader_load_begin (self, request, &ask->as, &config, kind, "/");
}
