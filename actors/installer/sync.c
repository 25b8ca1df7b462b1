// SPDX-License-Identifier: Apache-2.0
/*  sync.c - store and disk are made to agree: at start, on install.sync, and (staging only) every minute
 *
 *  Staging of a job that has ended goes, unless it is undecided or a dead letter (its bytes are kept for
 *  another try). A delete that was cut in two is finished or undone, as the record says. A folder with a
 *  manifest but without a record, whose files are what the manifest says, is recorded again; if a live install
 *  has its key, that install will do it; if its install was cancelled, the folder goes.
 *
 *  One item at a time, each by asks and offloaded work, so that the start is not held up: leasing begins when
 *  staging is done, before the models are looked for. Which of them have a record is read off the store's
 *  pages: a question for each of 100,000 costs 20 s of CPU at every start, the pages half a second. Only a
 *  folder whose key was on no page (it moved between two of them, or really has no record) is asked about.
 */
#include "installer.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include "actors/ground/durable.h"
#include "actors/ground/table.h"

#define ITEMS_MAX 1000000 /* folders looked at in one sync; ten times the largest yard we test */
#define SYNC_ARENA_MAX (512u * 1024 * 1024) /* their paths and keys */
#define AGAIN_MS 1000 /* the recorder was not there */
#define PAGE_ROWS 256 /* the most that record.search gives */

typedef enum {
    ITEM_STAGING,
    ITEM_DELETED,
    ITEM_MODEL
} item_kind_t;

typedef struct item_t {
    struct item_t *next;
    item_kind_t kind;
    const char *path; /* the folder */
    uint64_t job; /* staging */
    const char *key; /* deleted, model */
    struct item_t *same; /* another folder with this key */
    bool recorded; /* its key was on a page */
} item_t;

struct installer_sync_t {
    installer_t *owner;
    yard_arena_t *arena;
    bool whole; /* manifests too */
    atomic_bool stop; /* the walk: the actor is to end */
    yard_request_t *request; /* of install.sync, or NULL */
    item_t *items, **last;
    size_t count;
    yard_table_t *models; /* of this turn's items, by key; NULL while it is staging's turn */
    item_t *at; /* the item being decided */
    manifest_t manifest; /* of it */
    yard_arena_t *item_arena;
    const char *restored; /* where a cut delete goes back to */
    install_sync_answer_t found;
    yard_error_t error;
};
typedef struct installer_sync_t sync_t;

static void next_item (sync_t *sync);

/*  --- collecting, on a pool thread */
static item_t *collect (sync_t *sync, item_kind_t kind, const char *path, uint64_t job, const char *key)
{
    item_t *item = sync->count < ITEMS_MAX ? yard_arena_alloc (sync->arena, sizeof *item) : NULL;
    if (!item)
        return NULL;
    *item = (item_t){ .kind = kind,
                      .path = yard_arena_text (sync->arena, yard_string (path)),
                      .job = job,
                      .key = key ? yard_arena_text (sync->arena, yard_string (key)) : NULL };
    *sync->last = item;
    sync->last = &item->next;
    sync->count++;
    return item;
}

/*  Calls visit for each entry of a directory but . and ..; a directory that is not there has none. */
static void each_entry (sync_t *sync, const char *path,
                        void (*visit) (sync_t *sync, const char *path, const char *name))
{
    DIR *directory = opendir (path);
    if (!directory)
        return;
    for (struct dirent *entry; !atomic_load (&sync->stop) && (entry = readdir (directory));)
        if (strcmp (entry->d_name, ".") && strcmp (entry->d_name, "..")) {
            char whole [PATH_MAX];
            if (yard_path_join (whole, path, entry->d_name, NULL) == 0)
                visit (sync, whole, entry->d_name);
        }
    closedir (directory);
}

static void visit_staging (sync_t *sync, const char *path, const char *name)
{
    char *end;
    unsigned long long job = strtoull (name, &end, 10);
    if (isdigit ((unsigned char) name [0]) && *end == 0)
        collect (sync, ITEM_STAGING, path, job, NULL);
    else if (sync->whole && strncmp (name, "delete-", 7) == 0)
        collect (sync, ITEM_DELETED, path, 0, name + 7);
}

static void visit_model (sync_t *sync, const char *path, const char *name)
{
    (void) name;
    yard_arena_t *arena = yard_arena_new (64u * 1024 * 1024);
    manifest_t manifest;
    item_t *item = NULL;
    if (installer_manifest_read (path, arena, &manifest, NULL) == 0)
        item = collect (sync, ITEM_MODEL, path, manifest.job, yard_arena_text (arena, manifest.config.key));
    if (item)
        item->same = yard_table_put (sync->models, item->key, strlen (item->key), item);
    yard_arena_destroy (&arena);
}

static void visit_type (sync_t *sync, const char *path, const char *name)
{
    (void) name;
    each_entry (sync, path, visit_model);
}

static void visit_base (sync_t *sync, const char *path, const char *name)
{
    if (name [0] != '.')
        each_entry (sync, path, visit_type);
}

static void work_collect_staging (void *argument)
{
    sync_t *sync = argument;
    char staging [PATH_MAX];
    if (yard_path_join (staging, sync->owner->models, ".staging", &sync->error) == 0)
        each_entry (sync, staging, visit_staging);
}

static void work_collect_models (void *argument)
{
    sync_t *sync = argument;
    each_entry (sync, sync->owner->models, visit_base);
}

/*  --- ending */
static void free_sync (sync_t *sync)
{
    yard_table_destroy (&sync->models);
    yard_arena_destroy (&sync->item_arena);
    yard_arena_t *arena = sync->arena; /* the sync lives in it */
    yard_arena_destroy (&arena);
}

static void end_sync (sync_t *sync, int code, const char *text)
{
    installer_t *self = sync->owner;
    self->sync = NULL;
    if (code)
        yard_log_warning ("sync.put_off", "code=%s text=%s", yard_error_row (code)->word, text);
    else if (sync->found.staging_removed + sync->found.recovered + sync->found.unproven > 0)
        yard_log_info ("sync.done", "staging_removed=%lu recovered=%lu unproven=%lu",
                       (unsigned long) sync->found.staging_removed, (unsigned long) sync->found.recovered,
                       (unsigned long) sync->found.unproven);
    if (sync->request && code)
        yard_refuse (sync->request, code, "%s", text);
    else if (sync->request)
        yard_reply (sync->request, &sync->found);
    if (code && sync->whole && !sync->request)
        yard_timer_set (self->again, AGAIN_MS);
    free_sync (sync);
}

/*  --- deciding, one item after the other */
static void work_remove (void *argument)
{
    sync_t *sync = argument;
    sync->error = (yard_error_t){ 0 };
    if (yard_durable_remove (sync->at->path, &sync->error))
        yard_log_warning ("sync.not_removed", "path=%s error=%s", sync->at->path, sync->error.text);
}

static void after_remove (void *self, void *argument)
{
    (void) self;
    sync_t *sync = argument;
    if (!sync->error.code)
        sync->found.staging_removed++;
    next_item (sync);
}

static void remove_item (sync_t *sync)
{
    yard_offload (sync->owner->actor, work_remove, after_remove, sync);
}

static void on_staging_job (void *self, void *argument, const yard_outcome_t *outcome)
{
    (void) self;
    sync_t *sync = argument;
    const job_t *job = outcome->answer;
    if (outcome->code == YARD_UNKNOWN_JOB)
        remove_item (sync);
    else if (outcome->code)
        end_sync (sync, outcome->code, outcome->text);
    else if (job->status == job_status_completed || job->status == job_status_cancelled ||
             (job->status == job_status_error && !job->dead &&
              !yard_string_is (job->error_type, yard_error_row (YARD_UNKNOWN_TYPE)->word)))
        remove_item (sync);
    else
        next_item (sync);
}

static void work_restore (void *argument)
{
    sync_t *sync = argument;
    if (yard_durable_rename (sync->at->path, sync->restored, &sync->error))
        yard_log_warning ("sync.not_restored", "path=%s error=%s", sync->at->path, sync->error.text);
}

static void after_restore (void *self, void *argument)
{
    (void) self;
    sync_t *sync = argument;
    if (!sync->error.code)
        sync->found.recovered++;
    next_item (sync);
}

static void on_deleted_record (void *pointer, void *argument, const yard_outcome_t *outcome)
{
    installer_t *self = pointer;
    sync_t *sync = argument;
    if (outcome->code == YARD_UNKNOWN_MODEL)
        remove_item (sync);
    else if (outcome->code)
        end_sync (sync, outcome->code, outcome->text);
    else {
        const record_get_answer_t *record = outcome->answer;
        bool inside;
        sync->error = (yard_error_t){ 0 };
        sync->restored = installer_model_folder (self, record->config.path, &inside, sync->item_arena);
        if (sync->restored)
            yard_offload (self->actor, work_restore, after_restore, sync);
        else
            next_item (sync); /* its path was changed meanwhile: nobody knows where it belongs */
    }
}

static void on_recorded_again (void *self, void *argument, const yard_outcome_t *outcome)
{
    (void) self;
    sync_t *sync = argument;
    if (outcome->code == 0) {
        sync->found.recovered++;
        yard_log_info ("sync.recovered", "key=%s folder=%s", sync->at->key, sync->at->path);
    } else
        yard_log_warning ("sync.not_recorded", "folder=%s text=%s", sync->at->path, outcome->text);
    next_item (sync);
}

static void work_prove (void *argument)
{
    sync_t *sync = argument;
    sync->error = (yard_error_t){ 0 };
    if (installer_manifest_read (sync->at->path, sync->item_arena, &sync->manifest, &sync->error) == 0)
        installer_manifest_prove (sync->at->path, &sync->manifest, sync->item_arena, &sync->error);
}

static void after_prove (void *pointer, void *argument)
{
    installer_t *self = pointer;
    sync_t *sync = argument;
    if (sync->error.code) {
        sync->found.unproven++;
        yard_log_warning ("sync.unproven", "folder=%s error=%s", sync->at->path, sync->error.text);
        next_item (sync);
        return;
    }
    record_add_ask_t ask = { .config = sync->manifest.config };
    ask.config.path = yard_string (yard_arena_printf (sync->item_arena, "%s/%.*s",
                                                      sync->at->path + strlen (self->models) + 1,
                                                      YARD_VIEW (sync->manifest.files.items [0].path)));
    yard_ask (self->actor, &record_add_method, &ask, NULL, on_recorded_again, sync);
}

/*  Out of sight by one rename first, so that a kill leaves a whole folder or none. */
static void work_drop (void *argument)
{
    sync_t *sync = argument;
    const char *trash =
        yard_arena_printf (sync->item_arena, "%s/.staging/delete-%s", sync->owner->models, sync->at->key);
    sync->error = (yard_error_t){ 0 };
    if (yard_durable_rename (sync->at->path, trash, &sync->error) ||
        yard_durable_remove (trash, &sync->error))
        yard_log_warning ("sync.not_removed", "path=%s error=%s", sync->at->path, sync->error.text);
}

/*  The jobs with the folder's key: a live one will record it; one that was cancelled between its rename
 *  and its record leaves nothing behind. */
static void on_installs (void *pointer, void *argument, const yard_outcome_t *outcome)
{
    installer_t *self = pointer;
    sync_t *sync = argument;
    if (outcome->code) {
        end_sync (sync, outcome->code, outcome->text);
        return;
    }
    const job_list_answer_t *answer = outcome->answer;
    bool live = false, cancelled = false;
    for (size_t i = 0; i < answer->jobs.count; i++) {
        live = live || !answer->jobs.items [i].has_ended_ms;
        cancelled = cancelled || answer->jobs.items [i].status == job_status_cancelled;
    }
    if (live)
        next_item (sync);
    else if (cancelled)
        yard_offload (self->actor, work_drop, after_remove, sync);
    else
        yard_offload (self->actor, work_prove, after_prove, sync);
}

static void on_model_exists (void *pointer, void *argument, const yard_outcome_t *outcome)
{
    installer_t *self = pointer;
    sync_t *sync = argument;
    if (outcome->code) {
        end_sync (sync, outcome->code, outcome->text);
        return;
    }
    if (((const record_exists_answer_t *) outcome->answer)->exists) {
        next_item (sync);
        return;
    }
    job_list_ask_t ask;
    yard_wire_init (job_list_ask_type (), &ask);
    ask.has_key = true;
    ask.key = yard_string (sync->at->key);
    yard_ask (self->actor, &job_list_method, &ask, NULL, on_installs, sync);
}

/*  --- the models' turn */
static void ask_page (sync_t *sync, const yard_string_t *cursor);

static void on_page (void *self, void *argument, const yard_outcome_t *outcome)
{
    (void) self;
    sync_t *sync = argument;
    if (outcome->code) {
        end_sync (sync, outcome->code, outcome->text);
        return;
    }
    const record_search_answer_t *page = outcome->answer;
    for (size_t i = 0; i < page->records.count; i++) {
        yard_string_t key = page->records.items [i].config.key;
        for (item_t *item = yard_table_get (sync->models, key.data, key.size); item; item = item->same)
            item->recorded = true;
    }
    if (page->has_cursor)
        ask_page (sync, &page->cursor);
    else
        next_item (sync);
}

static void ask_page (sync_t *sync, const yard_string_t *cursor)
{
    record_search_ask_t ask;
    yard_wire_init (record_search_ask_type (), &ask);
    ask.limit = PAGE_ROWS;
    ask.has_cursor = cursor != NULL;
    if (cursor)
        ask.cursor = *cursor;
    yard_ask (sync->owner->actor, &record_search_method, &ask, NULL, on_page, sync);
}

static void after_collect_models (void *self, void *argument)
{
    (void) self;
    sync_t *sync = argument;
    if (sync->items)
        ask_page (sync, NULL);
    else
        end_sync (sync, 0, "");
}

/*  All items of a turn are decided. After staging's turn leasing begins, and a whole sync goes on. */
static void end_turn (sync_t *sync)
{
    installer_t *self = sync->owner;
    if (!self->synced) {
        self->synced = true;
        installer_lease_more (self);
    }
    if (!sync->whole || sync->models) {
        end_sync (sync, 0, "");
        return;
    }
    sync->items = NULL;
    sync->last = &sync->items;
    sync->models = yard_table_new ();
    yard_offload (self->actor, work_collect_models, after_collect_models, sync);
}

static void next_item (sync_t *sync)
{
    installer_t *self = sync->owner;
    sync->at = sync->at ? sync->at->next : sync->items;
    while (sync->at && sync->at->recorded)
        sync->at = sync->at->next;
    yard_arena_reset (sync->item_arena);
    if (!sync->at) {
        end_turn (sync);
        return;
    }
    record_key_t key = { .key = yard_string (sync->at->key) };
    job_id_t job = { .id = sync->at->job };
    switch (sync->at->kind) {
    case ITEM_STAGING:
        yard_ask (self->actor, &job_get_method, &job, NULL, on_staging_job, sync);
        return;
    case ITEM_DELETED:
        if (self->deleting > 0)
            next_item (sync);
        else
            yard_ask (self->actor, &record_get_method, &key, NULL, on_deleted_record, sync);
        return;
    case ITEM_MODEL:
        yard_ask (self->actor, &record_exists_method, &key, NULL, on_model_exists, sync);
        return;
    }
}

static void after_collect_staging (void *self, void *argument)
{
    (void) self;
    sync_t *sync = argument;
    if (sync->error.code)
        end_sync (sync, sync->error.code, sync->error.text);
    else
        next_item (sync);
}

static sync_t *begin_sync (installer_t *self, bool whole)
{
    yard_arena_t *arena = yard_arena_new (SYNC_ARENA_MAX);
    sync_t *sync = yard_arena_alloc (arena, sizeof *sync);
    sync->owner = self;
    sync->arena = arena;
    sync->item_arena = yard_arena_new (64u * 1024 * 1024);
    sync->whole = whole;
    sync->last = &sync->items;
    self->sync = sync;
    yard_offload (self->actor, work_collect_staging, after_collect_staging, sync);
    return sync;
}

void installer_sync_begin (installer_t *self)
{
    if (!self->sync)
        begin_sync (self, true);
}

void installer_sync_stop (installer_t *self)
{
    if (self->sync)
        atomic_store (&self->sync->stop, true);
}

void installer_sync_destroy (installer_t *self)
{
    if (self->sync)
        free_sync (self->sync);
    self->sync = NULL;
}

void installer_sweep_staging (installer_t *self)
{
    if (!self->sync && self->synced)
        begin_sync (self, false);
}

static void on_ended (void *pointer, yard_request_t *request, void *argument, int code)
{
    (void) request, (void) argument, (void) code;
    installer_t *self = pointer;
    if (self->sync)
        self->sync->request = NULL;
}

int installer_on_sync (installer_t *self, yard_request_t *request, const install_sync_ask_t *ask)
{
    (void) ask;
    if (self->sync)
        return yard_refuse (request, YARD_BUSY, "a sync is running; ask again when it has ended");
    begin_sync (self, true)->request = request;
    yard_request_keep (request, on_ended, NULL);
    return 0;
}
