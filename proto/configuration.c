// SPDX-License-Identifier: Apache-2.0
/*  configuration.c - modelyard.yaml, the environment and the command line become one record
 *
 *  Promises: a failure leaves nothing behind, and says which file, variable or setting it stands in.
 */
#include "configuration.h"

#include <assert.h>
#include <errno.h>
#include <sys/stat.h>
#include "actors/ground/durable.h"
#include "source.h"

#define FILE_NAME "modelyard.yaml"
#define ENVIRONMENT_NAME "MODELYARD_SET"
#define ARENA_BYTES_MAX (4 * 1024 * 1024) /* a file of 256 KiB with all its texts copied, and room */

struct yard_configuration_t {
    yard_arena_t *arena;
    configuration_t values;
};

/*  Sentences begin with where the mistake stands. */
static int blame (yard_error_t *error, const char *where, int failed)
{
    if (failed && error) {
        yard_error_t cause = *error;
        yard_error (error, failed, "%s: %s", where, cause.text);
    }
    return failed;
}

static int read_file (yard_configuration_t *self, const yard_paths_t *paths, yard_error_t *error)
{
    char path [PATH_MAX], *text = NULL;
    size_t size = 0;
    struct stat status;
    int failed = yard_path_join (path, paths->home, FILE_NAME, error);
    if (failed)
        return failed;
    if (stat (path, &status) != 0 && errno == ENOENT) {
        yard_wire_init (configuration_type (), &self->values);
        return 0;
    }
    failed = yard_file_read (path, YARD_CONFIGURATION_BYTES_MAX, &text, &size, error);
    if (failed)
        return failed;
    failed = yard_wire_from_yaml (configuration_type (), text, size, YARD_WIRE_CONFIG, self->arena,
                                  &self->values, error);
    free (text);
    return blame (error, path, failed);
}

static int apply (yard_configuration_t *self, const char *where, yard_string_t setting, yard_error_t *error)
{
    const char *sign = memchr (setting.data, '=', setting.size);
    if (!sign)
        return yard_error (error, YARD_INVALID_CONFIG, "%s: \"%.*s\" must be key=value", where,
                           YARD_VIEW (setting));
    yard_string_t key = { setting.data, (size_t) (sign - setting.data) };
    yard_string_t word = { sign + 1, setting.size - key.size - 1 };
    return blame (error, where,
                  yard_wire_set (configuration_type (), key, word, self->arena, &self->values, error));
}

/*  key=value,key=value: no value of ours has a comma. */
static int apply_environment (yard_configuration_t *self, yard_error_t *error)
{
    const char *rest = getenv (ENVIRONMENT_NAME);
    int failed = 0;
    while (!failed && rest && *rest) {
        size_t size = strcspn (rest, ",");
        if (size)
            failed = apply (self, ENVIRONMENT_NAME, (yard_string_t){ rest, size }, error);
        rest += size + (rest [size] == ',');
    }
    return failed;
}

static int fill_endpoint (yard_configuration_t *self, yard_string_t *endpoint, const char *run,
                          const char *name, yard_error_t *error)
{
    char path [PATH_MAX];
    if (endpoint->size)
        return 0;
    int failed = yard_path_join (path, run, name, error);
    if (failed)
        return failed;
    if (strlen (path) > YARD_SOCKET_PATH_MAX)
        return yard_error (
            error, YARD_TOO_LARGE,
            "the socket's path %s has %zu bytes, it may have %d; set MODELYARD_RUN to a shorter directory",
            path, strlen (path), YARD_SOCKET_PATH_MAX);
    char *text = yard_arena_printf (self->arena, "ipc://%s", path);
    assert (text); /* the arena has room for far more than the settings may be long */
    *endpoint = yard_string (text);
    return 0;
}

/*  What depends on this machine: endpoints, the models directory, the node. */
static int fill (yard_configuration_t *self, const yard_paths_t *paths, yard_error_t *error)
{
    configuration_t *values = &self->values;
    char models [PATH_MAX], *relative = yard_arena_text (self->arena, values->models_dir);
    assert (relative);
    int failed = yard_path_join (models, paths->home, relative, error);
    if (failed)
        return blame (error, "models_dir", failed);
    values->models_dir = yard_arena_copy (self->arena, yard_string (models));
    if (values->node.size == 0) {
        char name [HOST_NAME_MAX + 1] = "";
        gethostname (name, sizeof name - 1);
        size_t size = strlen (name) < 64 ? strlen (name) : 64; /* of the row `node` */
        values->node =
            yard_arena_copy (self->arena, (yard_string_t){ size ? name : "localhost", size ? size : 9 });
    }
    failed = fill_endpoint (self, &values->bus.command, paths->run, "command.ipc", error);
    return failed ? failed : fill_endpoint (self, &values->bus.event, paths->run, "event.ipc", error);
}

int yard_configuration_read (const yard_paths_t *paths, const char *const *settings, size_t count,
                             yard_configuration_t **ret, yard_error_t *error)
{
    yard_configuration_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->arena = yard_arena_new (ARENA_BYTES_MAX);
    int failed = read_file (self, paths, error);
    if (!failed)
        failed = apply_environment (self, error);
    for (size_t i = 0; !failed && i < count; i++)
        failed = apply (self, "--set", yard_string (settings [i]), error);
    if (!failed)
        failed = fill (self, paths, error);
    /* Defaults are views into the rows, settings into the caller's words: the copy has a 0 byte behind each. */
    if (!failed && yard_wire_copy (configuration_type (), &self->values, self->arena, &self->values))
        failed =
            yard_error (error, YARD_TOO_LARGE, "the configuration is larger than %d bytes", ARENA_BYTES_MAX);
    if (failed)
        yard_configuration_destroy (&self);
    else
        *ret = self;
    return failed;
}

void yard_configuration_destroy (yard_configuration_t **self_p)
{
    assert (self_p);
    if (!*self_p)
        return;
    yard_arena_destroy (&(*self_p)->arena);
    free (*self_p);
    *self_p = NULL;
}

const configuration_t *yard_configuration_values (const yard_configuration_t *self)
{
    return &self->values;
}
