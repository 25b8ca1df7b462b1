// SPDX-License-Identifier: Apache-2.0
/*  recorder.c - models and jobs: the only process that opens the database
 *
 *  Promises: what it has acknowledged survives kill -9 and a power cut; every change is told, in order; no two members hold one job.
 *  Refuses: to write into a store that is damaged, foreign, of a later version, or on a network file system.
 *
 *  One turn is one transaction: handlers in savepoints, then grants, waits, COMMIT (the one call that blocks), then events, then
 *  answers. The tour: schema.def, book.h, jobs.h with states.c, records.h, events.h; then the on_*.c files, which are the bus side.
 */
#include "recorder.h"
#include "actors/ground/fault.h"
#include "home_lock.h"
#include "once.h"

#define STORE_NAME "yard.db"
#define SECRETS_NAME "secrets"
#define RETRY_MS \
    500 /* after a commit that failed: a delay that is over must not turn the loop on a full disk */

void recorder_set_time (recorder_t *self)
{
    self->book.now_ms = yard_now_ms (self->actor);
    self->book.wall_ms = yard_wall_ms (self->actor);
}

static recorder_once_t once_key (yard_request_t *request)
{
    return (recorder_once_t){ yard_request_from (request)->user,
                              yard_string (yard_request_method (request)->id),
                              yard_request_meta (request)->once, yard_request_body (request) };
}

/*  The first answer, packed then, goes out again. */
static int answer_again (recorder_t *self, yard_request_t *request, yard_string_t packed, yard_error_t *error)
{
    const yard_wire_type_t *type = yard_request_method (request)->answer ();
    void *answer = yard_arena_alloc (self->book.arena, type->size);
    int code =
        yard_wire_unpack (type, packed.data, packed.size, YARD_WIRE_ANSWER, self->book.arena, answer, error);
    if (code)
        return code;
    yard_reply (request, answer);
    return 1;
}

int recorder_enter (recorder_t *self, yard_request_t *request)
{
    recorder_set_time (self);
    self->handled++;
    yard_error_t *error = yard_request_error (request);
    if (yard_request_meta (request)->has_once) {
        recorder_once_t key = once_key (request);
        yard_string_t packed;
        int code = recorder_once_find (&self->book, &key, &packed, error);
        if (code)
            return code < 0 ? code : answer_again (self, request, packed, error);
    }
    return recorder_book_enter (&self->book, error);
}

int recorder_leave (recorder_t *self, yard_request_t *request, int code, const void *answer)
{
    yard_error_t *error = yard_request_error (request);
    if (code == 0 && yard_request_meta (request)->has_once) {
        recorder_once_t key = once_key (request);
        yard_string_t packed;
        code = recorder_book_pack (&self->book, yard_request_method (request)->answer (), answer, &packed,
                                   error);
        if (code == 0)
            code = recorder_once_keep (&self->book, &key, packed, error);
    }
    code = recorder_book_leave (&self->book, code, error);
    return code ? code : yard_reply (request, answer);
}

/*  --- the turn */
static int commit (recorder_t *self, yard_error_t *error)
{
    int code = 0;
    recorder_grant_all (self);
    recorder_end_waits (self);
    if (FAULT ("planted.publish_before_commit"))
        recorder_publish (self);
    if (recorder_store_busy (self->book.store) && FAULT ("recorder.before_commit"))
        code = yard_error (error, YARD_STORE_FAILED, "the commit failed because a test asked for it");
    if (code == 0)
        return recorder_book_commit (&self->book, error);
    recorder_book_revert (&self->book);
    return code;
}

static int recorder_settle (void *argument, yard_error_t *error)
{
    recorder_t *self = argument;
    recorder_set_time (self);
    bool wrote = recorder_store_busy (self->book.store);
    if (commit (self, error)) {
        recorder_count_waits (self);
        recorder_book_turn_over (&self->book);
        self->judge_after_ms = self->book.now_ms + RETRY_MS;
        recorder_arm_tick (self);
        return YARD_STORE_FAILED;
    }
    if (wrote && FAULT ("recorder.after_commit"))
        yard_actor_stop (self->actor, YARD_EXIT_BROKEN);
    recorder_remove_secrets (self);
    recorder_publish (self);
    recorder_book_turn_over (&self->book);
    recorder_arm_tick (self);
    if (wrote && FAULT ("recorder.before_answer"))
        yard_actor_stop (self->actor, YARD_EXIT_BROKEN);
    return 0;
}

/*  --- the life */
static int recorder_open (void *argument, yard_actor_t *actor, yard_error_t *error)
{
    recorder_t *self = argument;
    self->actor = actor;
    self->lock = -1;
    self->tick = yard_timer_new (actor, recorder_on_tick, NULL);
    const jobs_config_t *jobs = &yard_actor_configuration (actor)->jobs;
    recorder_limits_t limits = { (int64_t) jobs->lease_ms, jobs->attempts_max, jobs->history };
    const char *home = yard_actor_paths (actor)->home;
    char path [PATH_MAX], secrets [PATH_MAX];
    int code = yard_paths_make_private (home, error);
    /*  Before the database is opened and unnamed tokens are removed: to another recorder both would be
     *  damage. */
    if (code == 0)
        code = recorder_home_lock (home, &self->lock, error);
    if (code == 0)
        code = yard_path_join (path, home, STORE_NAME, error);
    if (code == 0)
        code = yard_path_join (secrets, home, SECRETS_NAME, error);
    if (code == 0)
        code = recorder_book_open (&self->book, path, yard_actor_random (actor), &limits, yard_now_ms (actor),
                                   yard_wall_ms (actor), error);
    if (code == 0)
        code = recorder_secrets_open (&self->book, secrets, &self->secrets, error);
    if (code == 0)
        yard_log_info ("store.opened", "path=%s store=%s change=%llu leases=%zu", YARD_QUOTED (path),
                       recorder_store_id (self->book.store), (unsigned long long) self->book.change,
                       recorder_leases_count (self->book.leases));
    return code;
}

/*  Nobody could extend while there was no broker, and what it had not taken it gets again. */
static void recorder_welcomed (void *argument, bool new_epoch)
{
    recorder_t *self = argument;
    recorder_set_time (self);
    recorder_leases_extend_all (self->book.leases, self->book.now_ms);
    self->suspect = false;
    self->publish_after_ms = 0;
    if (!self->checked)
        recorder_check (self);
    (void) new_epoch;
}

static void recorder_close (void *argument)
{
    recorder_t *self = argument;
    recorder_forget_askers (self);
    recorder_forget_waits (self);
    yard_error_t error;
    if (self->book.store && self->book.published != self->book.kept_published && !self->read_only &&
        (recorder_store_begin (self->book.store, &error) || recorder_book_commit (&self->book, &error)))
        yard_log_warning ("store.watermark_lost", "text=%s",
                          YARD_QUOTED (error.text)); /* told twice; the broker drops that */
    recorder_secrets_close (&self->secrets);
    recorder_book_close (&self->book);
    if (self->lock >= 0)
        close (self->lock); /* last: the database is closed */
    yard_timer_destroy (&self->tick);
}

static const yard_route_t routes [] = {
    HANDLE (recorder_t, record_add, recorder_on_record_add),
    HANDLE (recorder_t, record_get, recorder_on_record_get),
    HANDLE (recorder_t, record_exists, recorder_on_record_exists),
    HANDLE (recorder_t, record_search, recorder_on_record_search),
    HANDLE (recorder_t, record_update, recorder_on_record_update),
    HANDLE (recorder_t, record_delete, recorder_on_record_delete),
    HANDLE (recorder_t, job_submit, recorder_on_job_submit),
    HANDLE (recorder_t, job_lease, recorder_on_job_lease),
    HANDLE (recorder_t, job_extend, recorder_on_job_extend),
    HANDLE (recorder_t, job_expand, recorder_on_job_expand),
    HANDLE (recorder_t, job_finish, recorder_on_job_finish),
    HANDLE (recorder_t, job_fail, recorder_on_job_fail),
    HANDLE (recorder_t, job_release, recorder_on_job_release),
    HANDLE (recorder_t, job_get, recorder_on_job_get),
    HANDLE (recorder_t, job_list, recorder_on_job_list),
    HANDLE (recorder_t, job_wait, recorder_on_job_wait),
    HANDLE (recorder_t, job_cancel, recorder_on_job_cancel),
    HANDLE (recorder_t, job_pause, recorder_on_job_pause),
    HANDLE (recorder_t, job_start, recorder_on_job_start),
    HANDLE (recorder_t, job_prune, recorder_on_job_prune),
    HANDLE (recorder_t, event_history, recorder_on_event_history),
    { 0 },
};

extern const yard_actor_class_t recorder_class; /* the simulation links it by this name */
const yard_actor_class_t recorder_class = {
    .name = "recorder",
    .size = sizeof (recorder_t),
    .routes = routes,
    .open = recorder_open,
    .welcomed = recorder_welcomed,
    .settle = recorder_settle,
    .close = recorder_close,
};

YARD_ACTOR_MAIN (recorder_class)
