// SPDX-License-Identifier: Apache-2.0
/*  sim_client.c - people: they install, wait, change their minds, load, delete, and repeat what they do not
 *  know the outcome of
 *
 *  A client does one thing after the other and remembers nothing over its death: what was acknowledged, the
 *  checker remembers. The third client is also a liar: it answers asks that were never put to it, and speaks
 *  with tokens that have passed.
 */
#include "sim_checker.h"
#include "sim_remote.h"

#define PAUSE_MS_MAX 900 /* between two deeds */
#define REPEATS_MAX 6 /* of one deed whose outcome is unknown */
#define REPEAT_MS 700
#define JOBS_ENOUGH 24 /* acknowledged ones: more would only take longer */

typedef struct {
    yard_actor_t *actor;
    sim_slot_t slot;
    unsigned life;
    yard_timer_t *timer;
    unsigned deeds;
    bool busy; /* a deed is under way */
    unsigned repeats;
    char once [40], url [512], key [SIM_KEY_SIZE], lease [33];
    bool local;
    uint64_t job, value;
    void (*deed) (void *self);
} client_t;

static uint64_t below (client_t *self, uint64_t bound)
{
    return yard_random_below (yard_actor_random (self->actor), bound);
}

/*  What may be repeated: unknown, or certainly not done and worth another try. */
static bool is_unsure (int code)
{
    static const int codes [] = { YARD_GONE, YARD_TIMEOUT,     YARD_UNREACHABLE, YARD_NOT_SERVED,
                                  YARD_BUSY, YARD_HELLO_FIRST, YARD_STORE_FAILED };
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (codes [i] == code)
            return true;
    return false;
}

/*  The deed is over, or is done again in a while. */
static void over (client_t *self, const yard_outcome_t *outcome)
{
    sim_trace (sim_world_now (), "client-%u answered %s", self->slot - SIM_CLIENT + 1,
               outcome->code ? yard_error_row (outcome->code)->word : "ok");
    bool again = self->once [0] && is_unsure (outcome->code) && self->repeats++ < REPEATS_MAX;
    if (!again)
        self->deed = NULL;
    yard_timer_set (self->timer, again ? REPEAT_MS : (int64_t) below (self, PAUSE_MS_MAX));
}

static void on_done (void *self, void *argument, const yard_outcome_t *outcome)
{
    (void) argument;
    over (self, outcome);
}

/*  --- install */
static void on_imported (void *pointer, void *argument, const yard_outcome_t *outcome)
{
    (void) argument;
    client_t *self = pointer;
    if (outcome->code == 0) {
        const install_import_answer_t *answer = outcome->answer;
        sim_ack_job (sim_world_now (), answer->job.id, answer->job.key, yard_string (self->once));
    }
    over (self, outcome);
}

static void import (void *pointer)
{
    client_t *self = pointer;
    install_import_ask_t ask;
    yard_wire_init (install_import_ask_type (), &ask);
    if (self->local) {
        ask.has_local = true;
        yard_wire_init (local_source_type (), &ask.local);
        ask.local.path = yard_string (self->url);
    } else {
        ask.has_url = true;
        yard_wire_init (url_source_type (), &ask.url);
        ask.url.url = yard_string (self->url);
        ask.has_access_token = self->url [strlen ("http://files.test/")] == 'a';
        ask.access_token = yard_string ("sesame");
    }
    yard_ask_options_t options = { .once = self->once [0] ? self->once : NULL };
    yard_ask (self->actor, &install_import_method, &ask, &options, on_imported, NULL);
}

static bool choose_import (client_t *self)
{
    if (sim_jobs_count (sim_world_now ()) >= JOBS_ENOUGH)
        return false;
    size_t file = (size_t) below (self, SIM_FILES + 1); /* one more than there are: not found */
    self->local = below (self, 5) == 0 && file < SIM_FILES;
    if (self->local)
        snprintf (self->url, sizeof self->url, "%s/sources/%zu.safetensors", sim_world_now ()->directory,
                  file);
    else
        snprintf (self->url, sizeof self->url, "%s",
                  file < SIM_FILES ? sim_remote_url (file) : "http://files.test/nothing.safetensors");
    if (below (self, 3))
        snprintf (self->once, sizeof self->once, "%u-%u-%u", self->slot, self->life, self->deeds);
    self->deed = import;
    return true;
}

/*  --- jobs */
static void on_cancelled (void *pointer, void *argument, const yard_outcome_t *outcome)
{
    (void) argument;
    client_t *self = pointer;
    if (outcome->code == 0)
        sim_ack_cancel (sim_world_now (), self->job, ((const install_job_t *) outcome->answer)->status);
    over (self, outcome);
}

static void cancel (void *pointer)
{
    client_t *self = pointer;
    yard_ask (self->actor, &install_cancel_method, &(job_id_t){ .id = self->job }, NULL, on_cancelled, NULL);
}

static void pause_job (void *pointer)
{
    client_t *self = pointer;
    yard_ask (self->actor, &job_pause_method, &(job_id_t){ .id = self->job }, NULL, on_done, NULL);
}

static void start_job (void *pointer)
{
    client_t *self = pointer;
    yard_ask (self->actor, &job_start_method, &(job_id_t){ .id = self->job }, NULL, on_done, NULL);
}

static void wait_job (void *pointer)
{
    client_t *self = pointer;
    install_wait_ask_t ask;
    yard_wire_init (install_wait_ask_type (), &ask);
    yard_uint_t id = self->job;
    ask.ids.items = &id;
    ask.ids.count = 1;
    ask.timeout_ms = 4000;
    yard_ask (self->actor, &install_wait_method, &ask, &(yard_ask_options_t){ .deadline_ms = 20000 }, on_done,
              NULL);
}

static void list_jobs (void *pointer)
{
    client_t *self = pointer;
    install_list_ask_t ask;
    yard_wire_init (install_list_ask_type (), &ask);
    yard_ask (self->actor, &install_list_method, &ask, NULL, on_done, NULL);
}

/*  --- models */
static void on_deleted (void *pointer, void *argument, const yard_outcome_t *outcome)
{
    (void) argument;
    client_t *self = pointer;
    if (outcome->code == 0)
        sim_ack_delete (sim_world_now (), yard_string (self->key));
    over (self, outcome);
}

static void delete_model (void *pointer)
{
    client_t *self = pointer;
    install_delete_ask_t ask;
    yard_wire_init (install_delete_ask_type (), &ask);
    ask.key = yard_string (self->key);
    yard_ask (self->actor, &install_delete_method, &ask, NULL, on_deleted, NULL);
}

static void on_updated (void *pointer, void *argument, const yard_outcome_t *outcome)
{
    (void) argument;
    client_t *self = pointer;
    if (outcome->code == 0)
        sim_ack_update (sim_world_now (), yard_string (self->key), self->value);
    over (self, outcome);
}

static void update_model (void *pointer)
{
    client_t *self = pointer;
    char text [24];
    self->value = sim_try_update (sim_world_now ());
    snprintf (text, sizeof text, "%llu", (unsigned long long) self->value);
    record_update_ask_t ask;
    yard_wire_init (record_update_ask_type (), &ask);
    ask.key = yard_string (self->key);
    yard_wire_init (model_changes_type (), &ask.changes);
    ask.changes.has_description = true;
    ask.changes.description = yard_string (text);
    yard_ask (self->actor, &record_update_method, &ask, NULL, on_updated, NULL);
}

static void on_loaded (void *pointer, void *argument, const yard_outcome_t *outcome)
{
    (void) argument;
    client_t *self = pointer;
    if (outcome->code == 0)
        snprintf (self->lease, sizeof self->lease, "%.*s",
                  YARD_VIEW (((const load_model_answer_t *) outcome->answer)->lease));
    over (self, outcome);
}

static void load_model (void *pointer)
{
    client_t *self = pointer;
    load_model_ask_t ask;
    yard_wire_init (load_model_ask_type (), &ask);
    ask.has_key = true;
    ask.key = yard_string (self->key);
    yard_ask (self->actor, &load_model_method, &ask, &(yard_ask_options_t){ .deadline_ms = 10000 }, on_loaded,
              NULL);
}

static void release_model (void *pointer)
{
    client_t *self = pointer;
    load_release_ask_t ask = { .lease = yard_string (self->lease) };
    yard_ask (self->actor, &load_release_method, &ask, NULL, on_done, NULL);
    self->lease [0] = 0;
}

/*  --- the day of a client */
static const struct {
    void (*deed) (void *self);
    unsigned weight;
    bool of_model; /* needs a key; else a job */
} deeds [] = {
    { cancel, 3, false },    { pause_job, 3, false },   { start_job, 5, false },   { wait_job, 4, false },
    { list_jobs, 3, false }, { delete_model, 2, true }, { update_model, 5, true }, { load_model, 5, true },
};

/*  A record is changed by one client alone, so that the order of its changes is known. */
static bool may_do (client_t *self, void (*deed) (void *self), uint64_t job)
{
    return deed != update_model || job % 3 == self->slot - SIM_CLIENT;
}

static void choose (client_t *self)
{
    const sim_world_t *world = sim_world_now ();
    self->repeats = 0;
    self->once [0] = 0;
    self->deeds++;
    if (self->lease [0] && below (self, 2)) {
        self->deed = release_model;
        return;
    }
    if ((sim_jobs_count (world) == 0 || below (self, 3) == 0) && choose_import (self))
        return;
    if (sim_jobs_count (world) == 0)
        return;
    uint64_t number = below (self, sim_jobs_count (world)), roll = below (self, 30);
    self->job = sim_job_at (world, number);
    snprintf (self->key, sizeof self->key, "%s", sim_key_at (world, number));
    for (size_t i = 0; i < sizeof deeds / sizeof *deeds; i++) {
        if (roll < deeds [i].weight) {
            if (may_do (self, deeds [i].deed, self->job))
                self->deed = deeds [i].deed;
            return;
        }
        roll -= deeds [i].weight;
    }
}

/*  "I speak for that job": with a token that was another's, before. */
static void speak_stale (client_t *self)
{
    const sim_world_t *world = sim_world_now ();
    if (sim_jobs_count (world) == 0)
        return;
    const sim_job_t *job = &world->checker->jobs [sim_job_at (world, below (self, sim_jobs_count (world)))];
    if (job->token < 2)
        return;
    job_fail_ask_t ask;
    yard_wire_init (job_fail_ask_type (), &ask);
    ask.job = job->id;
    ask.token = job->token - 1;
    ask.error_type = yard_string ("internal");
    ask.error = yard_string (SIM_LIE);
    yard_ask (self->actor, &job_fail_method, &ask, NULL, NULL, NULL);
}

/*  "I answer": with the number of an ask that another one was asked. */
static void lie (client_t *self)
{
    yard_string_t number = sim_open_number (sim_world_now ());
    if (!number.size || self->actor->link != YARD_LINK_WELCOMED)
        return;
    failure_t failure = { .code = yard_string ("wrong_place"), .text = yard_string (SIM_LIE) };
    yard_buffer_t body;
    yard_failure_pack (&failure, &body);
    yard_outbox_send (self->actor,
                      &(yard_envelope_t){ .letter = 'F', .id = number, .body = yard_buffer_view (&body) });
    yard_buffer_clear (&body);
}

static void on_timer (void *pointer, void *argument)
{
    (void) argument;
    client_t *self = pointer;
    if (self->slot == SIM_CLIENT_THREE) {
        lie (self);
        speak_stale (self);
    }
    if (!self->deed)
        choose (self);
    if (self->deed)
        self->deed (self);
    else
        yard_timer_set (self->timer, (int64_t) below (self, PAUSE_MS_MAX));
}

static int client_open (void *pointer, yard_actor_t *actor, yard_error_t *error)
{
    (void) error;
    client_t *self = pointer;
    self->actor = actor;
    self->slot = sim_world_now ()->active;
    self->life = sim_world_now ()->processes [self->slot].lives;
    self->timer = yard_timer_new (actor, on_timer, NULL);
    yard_timer_set (self->timer, (int64_t) below (self, PAUSE_MS_MAX));
    return 0;
}

static void client_close (void *pointer)
{
    client_t *self = pointer;
    yard_timer_destroy (&self->timer);
}

static const yard_route_t routes [] = { { 0 } };

const yard_actor_class_t sim_client_class = {
    .name = "client",
    .size = sizeof (client_t),
    .routes = routes,
    .pool = true,
    .open = client_open,
    .close = client_close,
};
