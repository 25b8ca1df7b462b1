// SPDX-License-Identifier: Apache-2.0
/*  prober.c - answers "what is this model?" from its header alone
 *
 *  Promises: executes nothing it reads; parses only in the sandbox; says which key and shape decided, or why
 *  none did. Refuses: what is no regular file, files that change while it looks.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include "actors/ground/table.h"
#include "actors/runtime/actor.h"
#include "hash.h"
#include "sandbox.h"

typedef struct {
    yard_actor_t *actor;
    prober_sandbox_t *sandbox; /* where hostile bytes are parsed */
    yard_watch_t *watch;
    yard_table_t *open; /* ticket -> probe_t */
    uint64_t tickets; /* given so far */
} prober_t;

/*  One probe.path under way. */
typedef struct {
    yard_request_t *request; /* NULL: the asker has gone */
    uint64_t ticket;
    const char *path, *name; /* in the request's arena; used only before the submit */
    int file;
    uint64_t bytes;
    yard_error_t error;
} probe_t;

static void on_ended (void *self, yard_request_t *request, void *argument, int code)
{
    (void) self, (void) request, (void) code;
    ((probe_t *) argument)->request = NULL;
}

/*  Opening may block on a network file system, so it is offloaded. */
static void work_open (void *argument)
{
    probe_t *probe = argument;
    struct stat state;
    probe->file = open (probe->path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (probe->file < 0)
        yard_error_errno (&probe->error, errno, "open %s", probe->path);
    else if (fstat (probe->file, &state) || !S_ISREG (state.st_mode))
        yard_error (&probe->error, YARD_INVALID_SOURCE, "%s is no regular file; folders are not probed yet",
                    probe->path);
    else
        probe->bytes = (uint64_t) state.st_size;
}

static void end_probe (prober_t *self, probe_t *probe)
{
    yard_table_take_u64 (self->open, probe->ticket);
    if (probe->file >= 0)
        close (probe->file);
    free ((char *) probe->path);
    free ((char *) probe->name);
    free (probe);
}

static void after_open (void *pointer, void *argument)
{
    prober_t *self = pointer;
    probe_t *probe = argument;
    if (probe->request && !probe->error.code &&
        prober_sandbox_submit (self->sandbox, probe->file, probe->name, probe->ticket, &probe->error) == 0) {
        probe->file = -1;
        return;
    }
    if (probe->request)
        yard_refuse_error (probe->request, &probe->error);
    end_probe (self, probe);
}

static int on_probe_path (prober_t *self, yard_request_t *request, const probe_path_ask_t *ask)
{
    if (ask->path.data [0] != '/')
        return yard_error (yard_request_error (request), YARD_INVALID_SOURCE,
                           "\"%.*s\" is not an absolute path", YARD_VIEW (ask->path));
    probe_t *probe = calloc (1, sizeof *probe);
    probe->request = request;
    probe->ticket = ++self->tickets;
    probe->file = -1;
    probe->path = strndup (ask->path.data, ask->path.size);
    const char *slash = strrchr (probe->path, '/');
    probe->name = ask->name.size ? strndup (ask->name.data, ask->name.size) : strdup (slash + 1);
    yard_table_put_u64 (self->open, probe->ticket, probe);
    yard_request_keep (request, on_ended, probe);
    yard_offload (self->actor, work_open, after_open, probe);
    return 0;
}

/*  The verdict's words as the message's enums; a word that the tables do not have reads as unknown. */
static void tell (const probe_t *probe, const prober_verdict_t *verdict)
{
    probe_path_answer_t answer;
    yard_wire_init (probe_path_answer_type (), &answer);
    int type = yard_wire_value (model_type_type (), yard_string (verdict->type));
    int base = yard_wire_value (base_model_type (), yard_string (verdict->base));
    int format = yard_wire_value (model_format_type (), yard_string (verdict->format));
    answer.type = type ? (model_type_t) type : model_type_unknown;
    answer.base = base ? (base_model_t) base : base_model_unknown;
    answer.format = format ? (model_format_t) format : model_format_unknown;
    answer.variant =
        (model_variant_t) yard_wire_value (model_variant_type (), yard_string (verdict->variant));
    answer.has_variant = answer.variant != 0;
    answer.prediction_type =
        (prediction_type_t) yard_wire_value (prediction_type_type (), yard_string (verdict->prediction_type));
    answer.has_prediction_type = answer.prediction_type != 0;
    answer.has_upcast_attention = verdict->upcast_attention >= 0;
    answer.upcast_attention = verdict->upcast_attention == 1;
    answer.name = yard_string (verdict->name);
    answer.description = yard_string (verdict->description);
    answer.score = verdict->score;
    answer.rule = yard_string (verdict->rule);
    answer.evidence = yard_string (verdict->evidence);
    answer.bytes = probe->bytes;
    yard_reply (probe->request, &answer);
}

static void on_verdict (void *pointer, void *argument, int fd, short events)
{
    (void) argument, (void) fd, (void) events;
    prober_t *self = pointer;
    prober_verdict_t verdict;
    yard_error_t error = { 0 };
    uint64_t ticket;
    int code;
    while ((code = prober_sandbox_receive (self->sandbox, &ticket, &verdict, &error)) == 1) {
        probe_t *probe = yard_table_get_u64 (self->open, ticket);
        if (!probe)
            continue;
        if (probe->request && verdict.code)
            yard_refuse (probe->request, verdict.code, "%s", verdict.evidence);
        else if (probe->request)
            tell (probe, &verdict);
        end_probe (self, probe);
    }
    if (code < 0) {
        yard_log_error ("sandbox.gone", "text=%s", error.text);
        yard_actor_stop (self->actor, YARD_EXIT_BROKEN);
    }
}

/*  One probe.hash under way. */
typedef struct {
    yard_request_t *request; /* NULL: the asker has gone */
    char *path;
    hash_algorithm_t algorithm;
    char text [PROBER_HASH_TEXT_SIZE];
    uint64_t bytes;
    yard_error_t error;
} hash_t;

static void on_hash_ended (void *self, yard_request_t *request, void *argument, int code)
{
    (void) self, (void) request, (void) code;
    ((hash_t *) argument)->request = NULL;
}

static void work_hash (void *argument)
{
    hash_t *hash = argument;
    prober_hash_file (hash->path, hash->algorithm, hash->text, &hash->bytes, &hash->error);
}

static void after_hash (void *self, void *argument)
{
    (void) self;
    hash_t *hash = argument;
    if (hash->request && hash->error.code)
        yard_refuse_error (hash->request, &hash->error);
    else if (hash->request) {
        probe_hash_answer_t answer = { .hash = yard_string (hash->text), .bytes = hash->bytes };
        yard_reply (hash->request, &answer);
    }
    free (hash->path);
    free (hash);
}

static int on_probe_hash (prober_t *self, yard_request_t *request, const probe_hash_ask_t *ask)
{
    if (ask->path.data [0] != '/')
        return yard_error (yard_request_error (request), YARD_INVALID_SOURCE,
                           "\"%.*s\" is not an absolute path", YARD_VIEW (ask->path));
    hash_t *hash = calloc (1, sizeof *hash);
    hash->request = request;
    hash->path = strndup (ask->path.data, ask->path.size);
    hash->algorithm = ask->algorithm;
    yard_request_keep (request, on_hash_ended, hash);
    yard_offload (self->actor, work_hash, after_hash, hash);
    return 0;
}

/*  Before any thread or context exists: the server that forks the sandboxed children. */
static int prober_prepare (void **ret_prepared, yard_error_t *error)
{
    prober_sandbox_t *sandbox = prober_sandbox_new (&prober_limits_default, error);
    if (!sandbox)
        return error->code;
    *ret_prepared = sandbox;
    return 0;
}

static int prober_open (void *pointer, yard_actor_t *actor, yard_error_t *error)
{
    (void) error;
    prober_t *self = pointer;
    self->actor = actor;
    self->sandbox = yard_actor_prepared (actor);
    self->open = yard_table_new ();
    if (prober_landlock_version () < 1)
        yard_log_warning ("sandbox.without_landlock", "what=%s",
                          "the_kernel_has_none;_seccomp_and_limits_hold");
    self->watch = yard_watch_new (actor, prober_sandbox_fd (self->sandbox), POLLIN, on_verdict, NULL);
    return 0;
}

static void prober_close (void *pointer)
{
    prober_t *self = pointer;
    probe_t *probe;
    for (size_t at = 0; self->open && yard_table_next (self->open, &at, (void **) &probe);)
        end_probe (self, probe);
    yard_table_destroy (&self->open);
    yard_watch_destroy (&self->watch);
    prober_sandbox_destroy (&self->sandbox);
}

static const yard_route_t routes [] = {
    HANDLE (prober_t, probe_path, on_probe_path),
    HANDLE (prober_t, probe_hash, on_probe_hash),
    { 0 },
};

const yard_actor_class_t prober_class = {
    .name = "prober",
    .size = sizeof (prober_t),
    .prepare = prober_prepare, /* before any thread or context exists */
    .open = prober_open,
    .close = prober_close,
    .routes = routes,
};

YARD_ACTOR_MAIN (prober_class)
