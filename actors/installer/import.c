// SPDX-License-Identifier: Apache-2.0
/*  import.c - install.import: a source becomes a durable job
 *
 *  The answer comes after the row is committed. A local source is looked at first, off the loop, so that a
 *  wrong path fails here and not minutes later.
 */
#include "installer.h"

#include <errno.h>
#include <sys/stat.h>
#include "actors/ground/digest.h"
#include "source.h"

typedef struct {
    yard_request_t *request; /* NULL: the asker has gone */
    install_request_t source;
    const install_import_ask_t *ask;
    yard_arena_t *arena;
    yard_error_t error;
} import_t;

static void destroy_import (import_t *import)
{
    yard_arena_t *arena = import->arena; /* the import lives in it */
    yard_arena_destroy (&arena);
}

static void on_ended (void *self, yard_request_t *request, void *argument, int code)
{
    (void) self, (void) request, (void) code;
    ((import_t *) argument)->request = NULL;
}

static void on_submitted (void *self, void *argument, const yard_outcome_t *outcome)
{
    (void) self;
    import_t *import = argument;
    if (import->request && outcome->code)
        yard_refuse (import->request, outcome->code, "%s", outcome->text);
    else if (import->request) {
        const job_submit_answer_t *submitted = outcome->answer;
        install_import_answer_t answer = { .existed = submitted->existed };
        installer_describe (&submitted->job, &answer.job);
        yard_reply (import->request, &answer);
    }
    destroy_import (import);
}

/*  Equal installs have the same canonical source, inplace, move and overrides: the digest of exactly those. */
static int equal_digest (const install_request_t *source, char *ret_hex, yard_error_t *error)
{
    yard_buffer_t packed;
    yard_buffer_init (&packed, YARD_MESSAGE_MAX);
    int code = yard_wire_pack (install_request_type (), source, &packed, error);
    if (code == 0) {
        yard_sha256_t *sha256 = yard_sha256_new ();
        yard_sha256_update (sha256, packed.data, packed.size);
        yard_sha256_hex (sha256, ret_hex);
        yard_sha256_destroy (&sha256);
    }
    yard_buffer_clear (&packed);
    return code;
}

static void submit (installer_t *self, import_t *import)
{
    char equal [YARD_SHA256_HEX_SIZE];
    if (equal_digest (&import->source, equal, &import->error)) {
        yard_refuse_error (import->request, &import->error);
        destroy_import (import);
        return;
    }
    job_submit_ask_t ask;
    yard_wire_init (job_submit_ask_type (), &ask);
    ask.kind = job_kind_install;
    ask.priority = import->ask->priority;
    ask.node = yard_string (yard_actor_node (self->actor)); /* its staging is on this machine's disk */
    ask.step = yard_string ("resolve");
    ask.has_equal = true;
    ask.equal = yard_string (equal);
    ask.has_install = true;
    ask.install = import->source;
    ask.has_access_token = import->ask->has_access_token;
    ask.access_token = import->ask->access_token;
    const meta_t *meta = yard_request_meta (import->request);
    yard_ask_options_t options = { .once =
                                       meta->has_once ? yard_arena_text (import->arena, meta->once) : NULL };
    yard_ask (self->actor, &job_submit_method, &ask, &options, on_submitted, import);
}

static void work_look (void *argument)
{
    import_t *import = argument;
    struct stat state;
    const char *path = yard_arena_text (import->arena, import->source.source);
    if (stat (path, &state))
        yard_error (&import->error, YARD_INVALID_SOURCE,
                    "%s: %s; give the path of a file that the yard can read", path, strerror (errno));
    else if (S_ISDIR (state.st_mode))
        yard_error (&import->error, YARD_NOT_IMPLEMENTED,
                    "%s is a folder; installing folders is not built yet, give one file of it", path);
    else if (!S_ISREG (state.st_mode))
        yard_error (&import->error, YARD_INVALID_SOURCE, "%s is no regular file", path);
}

static void after_look (void *pointer, void *argument)
{
    import_t *import = argument;
    if (!import->request) {
        destroy_import (import);
        return;
    }
    if (import->error.code) {
        yard_refuse_error (import->request, &import->error);
        destroy_import (import);
        return;
    }
    submit (pointer, import);
}

int installer_on_import (installer_t *self, yard_request_t *request, const install_import_ask_t *ask)
{
    yard_arena_t *arena = yard_arena_new (2 * YARD_MESSAGE_MAX);
    import_t *import = yard_arena_alloc (arena, sizeof *import);
    import->arena = arena;
    import->request = request;
    install_import_ask_t *copy = yard_arena_alloc (arena, sizeof *copy);
    yard_wire_copy (install_import_ask_type (), ask, arena, copy);
    import->ask = copy;
    int code = installer_source_parse (copy, arena, &import->source, yard_request_error (request));
    if (code) {
        destroy_import (import);
        return code;
    }
    yard_request_keep (request, on_ended, import);
    if (import->source.local)
        yard_offload (self->actor, work_look, after_look, import);
    else
        submit (self, import);
    return 0;
}
