// SPDX-License-Identifier: Apache-2.0
/*  lock.c - going on with a lease; and with it the model's state dict in host memory (REQUIREMENTS R6.2)
 *
 *  A lease is the lock: while it lasts, the model stays on its device. To lock is to say that it goes on, with a new time if one is
 *  given. The state dict is a resident lease of the host's loader on the same machine. It is this loader's, and ends with the lease that
 *  it was asked for, with this process, or when the owner releases it; a later one takes its place.
 */
#include "actors/loader/loader.h"

#define HOST_PLACE_SIZE 80 /* "loader/", a node of at most 64, "/host" */

typedef struct {
    loader_t *self;
    yard_request_t *request; /* NULL once it has ended */
    uint64_t asked;
    char lease [LOADER_LEASE_SIZE];
} lock_t;

static void write_place (const loader_t *self, char *ret)
{
    snprintf (ret, HOST_PLACE_SIZE, "loader/%s/host", yard_actor_node (self->actor));
}

/*  Whether it is there still is the host's to know. */
static void release_state (const loader_t *self, yard_string_t state)
{
    char place [HOST_PLACE_SIZE];
    write_place (self, place);
    const yard_ask_options_t options = { .at = place };
    const load_release_ask_t ask = { .lease = state };
    yard_ask (self->actor, &load_release_method, &ask, &options, NULL, NULL);
}

void loader_lock_over (loader_t *self, const loader_lease_t *lease)
{
    if (lease->state [0])
        release_state (self, yard_string (lease->state));
}

/*  The lease may be over by now: then the state has come too late. */
static int keep_state (const lock_t *lock, yard_string_t state, yard_error_t *error)
{
    loader_t *self = lock->self;
    loader_lease_t *lease;
    int rc = loader_leases_find (self->leases, yard_string (lock->lease), &lease, error);
    if (rc == 0 && state.size != LOADER_LEASE_SIZE - 1)
        rc =
            yard_error (error, YARD_BAD_FRAME, "the host's loader granted a lease of %zu digits", state.size);
    if (rc) {
        release_state (self, state);
        return rc;
    }
    loader_lock_over (self, lease);
    memcpy (lease->state, state.data, state.size);
    lease->state [state.size] = 0;
    return 0;
}

static void answer_state (const lock_t *lock, const load_model_answer_t *state)
{
    load_lock_answer_t answer;
    yard_error_t error = { 0 };
    error.code = keep_state (lock, state->lease, &error);
    if (error.code) {
        yard_refuse_error (lock->request, &error);
        return;
    }
    yard_wire_init (load_lock_answer_type (), &answer);
    answer.has_state = true;
    answer.state = *state;
    yard_reply (lock->request, &answer);
}

static void on_state (void *actor_self, void *argument, const yard_outcome_t *outcome)
{
    (void) actor_self;
    lock_t *lock = argument;
    if (lock->request && outcome->code)
        yard_refuse (lock->request, outcome->code, "%s",
                     outcome->text ? outcome->text : "the host's loader did not answer");
    else if (lock->request)
        answer_state (lock, outcome->answer);
    free (lock);
}

static void on_request_ended (void *actor_self, yard_request_t *request, void *argument, int code)
{
    (void) actor_self;
    (void) request;
    (void) code;
    lock_t *lock = argument;
    lock->request = NULL;
    yard_withdraw (lock->self->actor, lock->asked); /* its handler frees */
}

/*  The same model and part from the host's loader. */
static int ask_for_state (loader_t *self, yard_request_t *request, const loader_lease_t *lease)
{
    char place [HOST_PLACE_SIZE];
    write_place (self, place);
    int64_t left = lease->ends_ms == LOADER_FOREVER ? 0 : lease->ends_ms - yard_now_ms (self->actor);
    int64_t deadline_ms = yard_request_left_ms (request);
    const yard_ask_options_t options = { .at = place,
                                         .deadline_ms = deadline_ms == INT64_MAX ? 0 : deadline_ms,
                                         .ttl_s = left > 0 ? (uint64_t) left / 1000 + 1 : 0 };
    load_model_ask_t ask;
    yard_wire_init (load_model_ask_type (), &ask);
    ask.has_key = true;
    ask.key = yard_string (lease->key);
    ask.has_submodel = lease->submodel [0] != 0;
    ask.submodel = yard_string (lease->submodel);
    ask.whole = !ask.has_submodel;
    ask.has_form = true;
    ask.form = load_form_resident;
    lock_t *lock = calloc (1, sizeof *lock);
    if (!lock)
        abort ();
    *lock = (lock_t){ .self = self, .request = request };
    memcpy (lock->lease, lease->id, sizeof lock->lease);
    yard_request_keep (request, on_request_ended, lock);
    lock->asked = yard_ask (self->actor, &load_model_method, &ask, &options, on_state, lock);
    return 0;
}

int loader_on_load_lock (loader_t *self, yard_request_t *request, const load_lock_ask_t *ask)
{
    loader_lease_t *lease;
    int rc = loader_leases_find (self->leases, ask->lease, &lease, yard_request_error (request));
    if (rc)
        return rc;
    if (ask->has_ttl_s)
        lease->ends_ms = yard_now_ms (self->actor) + (int64_t) ask->ttl_s * 1000;
    loader_leases_changed (self);
    if (ask->state && lease->model->tensors > 0)
        return ask_for_state (self, request, lease);
    load_lock_answer_t answer;
    yard_wire_init (load_lock_answer_type (), &answer);
    return yard_reply (request, &answer);
}
