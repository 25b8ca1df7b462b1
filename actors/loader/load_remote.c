// SPDX-License-Identifier: Apache-2.0
/*  load_remote.c - models that are in no record and not here yet: downloaded into the cache, then loaded by their path (REQUIREMENTS R6.8)
 *
 *      looking -> (loading)                  the file is there
 *         ^ \
 *         |  +-> submitting -> waiting -> (loading)
 *         |          ^            |
 *         +----------+------------+          the job is unknown, or another loader cancelled it
 *
 *  The file is <home>/cache/downloads/<sha256 of the source>/<name>. The downloader gives it that name when it is whole, and nobody else
 *  writes there: the name is the proof, and a source that is there is not fetched again, however old it is. Equal asks share the job, also
 *  those of other loaders of this machine. The last asker's end cancels the job where this loader made it; another loader that waited
 *  for it too submits it anew.
 */
#include "actors/loader/loader.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>
#include "actors/ground/digest.h"
#include "proto/model_source/model_source.h"

#define ROUNDS_MAX 5 /* submissions for one ask: others may cancel what it waits for, but not for ever */
#define REPEAT_MS 500 /* a recorder that restarts is back in well under a second */
#define REPEATS_MAX 120 /* a minute without one; then something is broken, and the asker should hear it */

typedef struct loader_remote_t remote_t;
struct loader_remote_t {
    loader_t *loader;
    remote_t *next; /* of the loader's */
    loader_load_t *load; /* its request is NULL once nobody wants it any more */
    char path [PATH_MAX], key [LOADER_KEY_SIZE];
    char *source; /* canonical */
    bool there; /* what the look found, and why it found nothing */
    yard_error_t error;
    uint64_t job; /* 0: none yet */
    bool made; /* the job is ours to cancel */
    unsigned rounds, repeats;
    void (*again) (remote_t *self); /* what the timer repeats */
    yard_timer_t *timer;
};

/*  --- ends */

static remote_t *find_sharer (const remote_t *self)
{
    remote_t *other = self->loader->remotes;
    while (other && (other == self || other->job != self->job || !other->load->request))
        other = other->next;
    return other;
}

static void free_remote (remote_t *self)
{
    remote_t **link = &self->loader->remotes;
    while (*link != self)
        link = &(*link)->next;
    *link = self->next;
    yard_timer_destroy (&self->timer);
    free (self->source);
    free (self);
}

/*  Nobody wants it any more: so ends its job, unless another load here waits for it. */
static void leave (remote_t *self)
{
    loader_load_t *load = self->load;
    if (self->job && self->made) {
        remote_t *sharer = find_sharer (self);
        const job_id_t job = { .id = self->job };
        if (sharer)
            sharer->made = true;
        else
            yard_ask (self->loader->actor, &job_cancel_method, &job, NULL, NULL, NULL);
    }
    free_remote (self);
    free (load);
}

/*  In the next turn: where all requests ended because the broker is another, loader_remotes_welcomed comes between. */
static void leave_soon (remote_t *self)
{
    yard_timer_set (self->timer, 0);
}

static void refuse (remote_t *self, int code, const char *text)
{
    loader_load_refuse (self->load, code, text); /* frees the load; text may be ours */
    free_remote (self);
}

static void go_on (remote_t *self)
{
    model_config_t config;
    loader_path_config (yard_string (self->path), yard_string (self->source), self->load->ask, self->key,
                        &config);
    loader_load_go_on (self->load, &config); /* copies, and may free the load */
    free_remote (self);
}

/*  --- steps */

static void look (remote_t *self);
static void submit (remote_t *self);
static void wait_for_job (remote_t *self);

/*  Of these the outcome is unknown, or it was certainly not done: said again. The same job is found again by its digest. */
static bool is_repeatable (int code)
{
    static const int codes [] = {
        YARD_GONE, YARD_TIMEOUT,     YARD_HELLO_FIRST,  YARD_NOT_SERVED,
        YARD_BUSY, YARD_UNREACHABLE, YARD_STORE_FAILED,
    };
    for (size_t at = 0; at < sizeof codes / sizeof codes [0]; at++)
        if (code == codes [at])
            return true;
    return false;
}

static void on_timer (void *actor_self, void *argument)
{
    (void) actor_self;
    remote_t *self = argument;
    if (self->load->request)
        self->again (self);
    else
        leave (self);
}

/*  What the recorder said, or NULL: then it has been dealt with. */
static const void *hear (remote_t *self, const yard_outcome_t *outcome, void (*again) (remote_t *self))
{
    self->load->asked = 0;
    if (!self->load->request) {
        leave_soon (self);
        return NULL;
    }
    if (outcome->code == 0) {
        self->repeats = 0;
        return outcome->answer;
    }
    if (is_repeatable (outcome->code) && self->repeats++ < REPEATS_MAX) {
        self->again = again;
        yard_timer_set (self->timer, REPEAT_MS);
    } else {
        refuse (self, outcome->code,
                outcome->text ? outcome->text : "the recorder did not answer; try again");
    }
    return NULL;
}

/*  Once more from the look, since what we waited for is no more; text says why if that has been done too often. */
static void begin_anew (remote_t *self, const char *text)
{
    self->job = 0;
    self->made = false;
    if (self->rounds >= ROUNDS_MAX)
        refuse (self, YARD_CANCELLED, text);
    else
        look (self);
}

static void on_ended_job (remote_t *self, const job_t *job)
{
    char text [YARD_ERROR_TEXT_MAX];
    if (job->status == job_status_completed) {
        go_on (self);
        return;
    }
    if (job->status != job_status_cancelled) {
        snprintf (text, sizeof text, "%.*s", YARD_VIEW (job->error));
        refuse (self, yard_error_code (job->error_type.data, job->error_type.size), text);
        return;
    }
    snprintf (text, sizeof text, "its download, job %" PRIu64 ", was cancelled; load it again", job->id);
    if (self->made)
        refuse (self, YARD_CANCELLED, text);
    else
        begin_anew (self, text);
}

static void on_waited (void *actor_self, void *argument, const yard_outcome_t *outcome)
{
    (void) actor_self;
    remote_t *self = argument;
    if (outcome->code == YARD_UNKNOWN_JOB && self->load->request) { /* ended, and forgotten */
        self->load->asked = 0;
        begin_anew (self, "its download was forgotten again and again; load it again");
        return;
    }
    const job_list_answer_t *answer = hear (self, outcome, wait_for_job);
    if (answer && answer->jobs.count == 0)
        begin_anew (self, "its download was forgotten again and again; load it again");
    else if (answer)
        on_ended_job (self, &answer->jobs.items [0]);
}

static void wait_for_job (remote_t *self)
{
    job_wait_ask_t ask;
    yard_wire_init (job_wait_ask_type (), &ask);
    ask.ids.items = &self->job;
    ask.ids.count = 1;
    self->load->asked = yard_ask (self->loader->actor, &job_wait_method, &ask, NULL, on_waited, self);
}

static void on_submitted (void *actor_self, void *argument, const yard_outcome_t *outcome)
{
    (void) actor_self;
    remote_t *self = argument;
    if (outcome->code == 0) { /* before it is known whether anybody still wants it */
        const job_submit_answer_t *submitted = outcome->answer;
        self->job = submitted->job.id;
        self->made = !submitted->existed;
    }
    if (hear (self, outcome, submit))
        wait_for_job (self);
}

static void submit (remote_t *self)
{
    yard_actor_t *actor = self->loader->actor;
    char hex [YARD_SHA256_HEX_SIZE], equal [16 + YARD_SHA256_HEX_SIZE];
    yard_sha256_t *sha256 = yard_sha256_new ();
    yard_sha256_update (sha256, yard_actor_node (actor), strlen (yard_actor_node (actor)) + 1);
    yard_sha256_update (sha256, self->path, strlen (self->path));
    yard_sha256_hex (sha256, hex);
    yard_sha256_destroy (&sha256);
    snprintf (equal, sizeof equal, "load.remote:%s", hex);
    job_submit_ask_t ask;
    yard_wire_init (job_submit_ask_type (), &ask);
    ask.kind = job_kind_download;
    ask.node = yard_string (yard_actor_node (actor)); /* the cache is on this machine's disk */
    ask.has_equal = true;
    ask.equal = yard_string (equal);
    ask.has_download = true;
    ask.download.source = yard_string (self->source);
    ask.download.path = yard_string (self->path);
    self->rounds++;
    /*  Not in load->asked: a submission that was withdrawn might have made a job that nobody knows of. */
    yard_ask (actor, &job_submit_method, &ask, NULL, on_submitted, self);
}

/*  On a pool thread. */
static void run_look (void *argument)
{
    remote_t *self = argument;
    struct stat state;
    self->error.code = 0;
    self->there = lstat (self->path, &state) == 0;
    if (!self->there && errno != ENOENT)
        yard_error_errno (&self->error, errno, "cannot look for %s", self->path);
    else if (self->there && !S_ISREG (state.st_mode))
        yard_error (&self->error, YARD_CONFLICT, "%s is no regular file; remove it and load again",
                    self->path);
}

static void looked (void *actor_self, void *argument)
{
    (void) actor_self;
    remote_t *self = argument;
    if (!self->load->request)
        leave_soon (self);
    else if (self->error.code)
        refuse (self, self->error.code, self->error.text);
    else if (self->there)
        go_on (self);
    else
        submit (self);
}

static void look (remote_t *self)
{
    yard_offload (self->loader->actor, run_look, looked, self);
}

/*  --- the ask */

/*  Where the source's file is, or will be. */
static int make_path (const loader_t *self, yard_string_t source, yard_arena_t *arena, char *ret_path,
                      yard_error_t *error)
{
    char hex [YARD_SHA256_HEX_SIZE];
    yard_sha256_t *sha256 = yard_sha256_new ();
    yard_sha256_update (sha256, source.data, source.size);
    yard_sha256_hex (sha256, hex);
    yard_sha256_destroy (&sha256);
    const char *name = yard_source_file_name (source, false, arena);
    int size = snprintf (ret_path, PATH_MAX, "%s/cache/downloads/%s/%s", yard_actor_paths (self->actor)->home,
                         hex, name);
    if (size >= PATH_MAX)
        return yard_error (error, YARD_TOO_LARGE,
                           "the cache's path is longer than a path may be; choose a shorter home");
    return 0;
}

/*  A source that is a path is loaded where it lies. */
static int begin_local (loader_t *self, yard_request_t *request, const load_remote_ask_t *ask,
                        yard_string_t path, const loader_kind_t *kind)
{
    char key [LOADER_KEY_SIZE];
    model_config_t config;
    loader_path_config (path, path, &ask->as, key, &config);
    return loader_load_begin (self, request, &ask->as, &config, kind, LOADER_ANYWHERE);
}

int loader_on_load_remote (loader_t *self, yard_request_t *request, const load_remote_ask_t *ask)
{
    yard_error_t *error = yard_request_error (request);
    yard_arena_t *arena = yard_request_arena (request);
    const loader_kind_t *kind;
    char path [PATH_MAX];
    yard_string_t source;
    bool local;
    loader_load_t *load;
    int rc = loader_path_kind (ask->has_loader, ask->loader, &kind, error);
    if (rc == 0)
        rc = yard_source_parse (ask->source, arena, &source, &local, error);
    if (rc == 0 && local)
        return begin_local (self, request, ask, source, kind);
    if (rc == 0)
        rc = make_path (self, source, arena, path, error);
    if (rc == 0)
        rc = loader_load_open (self, request, &ask->as, kind, LOADER_ANYWHERE, &load);
    if (rc || !load)
        return rc;
    remote_t *remote = calloc (1, sizeof *remote);
    if (!remote || !(remote->source = strndup (source.data, source.size)))
        abort ();
    memcpy (remote->path, path, strlen (path) + 1);
    remote->loader = self;
    remote->load = load;
    remote->next = self->remotes;
    self->remotes = remote;
    remote->timer = yard_timer_new (self->actor, on_timer, remote);
    load->record.name = "download";
    look (remote);
    return 0;
}

/*  --- the broker is another, or the loader ends */

void loader_remotes_welcomed (loader_t *self)
{
    for (remote_t *remote = self->remotes; remote; remote = remote->next)
        remote->made = remote->made && remote->load->request;
}

void loader_remotes_drain (loader_t *self)
{
    for (remote_t *remote = self->remotes; remote; remote = remote->next) {
        loader_load_t *load = remote->load;
        if (!load->request)
            continue;
        yard_refuse (load->request, YARD_CANCELLED,
                     "the loader is ending; the download goes on, load the model again");
        load->request = NULL;
        self->open_loads--;
        remote->made = false; /* so the job stays */
        yard_withdraw (self->actor, load->asked); /* its handler frees; or the look's, or the end */
    }
}

/*  All handlers have run; what is left waited for its timer. */
void loader_remotes_close (loader_t *self)
{
    for (remote_t *remote = self->remotes, *next; remote; remote = next) {
        next = remote->next;
        free (remote->load);
        free_remote (remote);
    }
}
