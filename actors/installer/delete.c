// SPDX-License-Identifier: Apache-2.0
/*  delete.c - install.delete: the record goes, and the files with it if they are the yard's
 *
 *  Order: the folder is renamed to .staging/delete-<key> (out of sight, undone by one rename), the record is
 *  deleted and committed, the bytes are removed. A kill between the first two is mended by the next sync:
 *  record there -> renamed back, record gone -> removed.
 */
#include "installer.h"

#include <errno.h>
#include <sys/stat.h>
#include "actors/ground/durable.h"

typedef struct {
    installer_t *owner;
    yard_request_t *request; /* NULL: the asker has gone; the work goes on */
    yard_arena_t *arena;
    model_config_t config;
    bool unconditional;
    bool inside; /* the models directory */
    const char
        *folder; /* of the model, or the file itself outside the models directory; NULL: nothing to remove */
    const char *trash; /* where it waits */
    bool moved; /* folder -> trash is done */
    yard_error_t error;
} delete_t;

#define AGAIN_MS 1000 /* a recorder that was lost is back by then, or the sync tries again by itself */

static void end_delete (delete_t *delete)
{
    delete->owner->deleting--;
    yard_arena_t *arena = delete->arena; /* the delete lives in it */
    yard_arena_destroy (&arena);
}

static void on_ended (void *self, yard_request_t *request, void *argument, int code)
{
    (void) self, (void) request, (void) code;
    ((delete_t *) argument)->request = NULL;
}

static void refuse (delete_t *delete, int code, const char *text)
{
    if (delete->request)
        yard_refuse (delete->request, code, "%s", text);
    end_delete (delete);
}

const char *installer_model_folder (const installer_t *self, yard_string_t path, bool *ret_inside,
                                    yard_arena_t *arena)
{
    const char *text = yard_arena_text (arena, path);
    size_t models_size = strlen (self->models), size = 0;
    if (strncmp (text, self->models, models_size) == 0 && text [models_size] == '/')
        text += models_size + 1;
    *ret_inside = text [0] != '/';
    if (!*ret_inside)
        return NULL;
    /* Three names, none of them hidden or a way out. */
    for (size_t depth = 0; depth < 3; depth++) {
        const char *name = text + size;
        size_t length = strcspn (name, "/");
        if (length == 0 || name [0] == '.')
            return NULL;
        size += length + (depth < 2);
        if (depth < 2 && !name [length])
            return NULL;
    }
    return yard_arena_printf (arena, "%s/%.*s", self->models, (int) size, text);
}

/*  What may be removed: <models>/<base>/<type>/<name>, or with unconditional the path itself. */
static void find_files (delete_t *delete)
{
    delete->folder =
        installer_model_folder (delete->owner, delete->config.path, &delete->inside, delete->arena);
    if (!delete->inside && delete->unconditional)
        delete->folder = yard_arena_text (delete->arena, delete->config.path);
}

/*  A folder whose manifest names another key is another model's, whatever path this record was given. */
static bool is_anothers (const delete_t *delete)
{
    yard_arena_t *arena = yard_arena_new (64u * 1024 * 1024);
    manifest_t manifest;
    bool anothers = delete->inside && installer_manifest_read (delete->folder, arena, &manifest, NULL) == 0 &&
                    !yard_string_equal (manifest.config.key, delete->config.key);
    yard_arena_destroy (&arena);
    return anothers;
}

static void work_hide (void *argument)
{
    delete_t *delete = argument;
    find_files (delete);
    if (delete->folder && is_anothers (delete))
        delete->folder = NULL;
    if (!delete->folder)
        return;
    delete->trash = yard_arena_printf (delete->arena, "%s/.staging/delete-%.*s", delete->owner->models,
                                       YARD_VIEW (delete->config.key));
    struct stat state;
    if (lstat (delete->folder, &state) && errno == ENOENT)
        return;
    /* A file outside the models directory may be on another disk: it is removed where it is, after the commit. */
    if (!delete->inside)
        return;
    delete->moved = yard_durable_rename (delete->folder, delete->trash, &delete->error) == 0;
}

static void work_undo (void *argument)
{
    delete_t *delete = argument;
    if (delete->moved)
        yard_durable_rename (delete->trash, delete->folder, &delete->error);
}

/*  What is neither deleted nor back where it was is decided by a sync, now and not at the next start. */
static void decide_later (delete_t *delete)
{
    if (delete->moved)
        yard_timer_set (delete->owner->again, AGAIN_MS);
    end_delete (delete);
}

static void after_undo (void *self, void *argument)
{
    (void) self;
    delete_t *delete = argument;
    if (delete->error.code)
        decide_later (delete);
    else
        end_delete (delete);
}

static void work_remove (void *argument)
{
    delete_t *delete = argument;
    if (delete->folder)
        yard_durable_remove (delete->moved ? delete->trash : delete->folder, &delete->error);
}

static void after_remove (void *self, void *argument)
{
    (void) self;
    delete_t *delete = argument;
    if (delete->error.code)
        yard_log_warning ("delete.files_stay", "key=%.*s error=%s", YARD_VIEW (delete->config.key),
                          delete->error.text);
    install_delete_answer_t answer = { .config = delete->config,
                                       .files_removed = delete->folder && !delete->error.code };
    if (delete->request)
        yard_reply (delete->request, &answer);
    end_delete (delete);
}

static void on_deleted (void *pointer, void *argument, const yard_outcome_t *outcome)
{
    installer_t *self = pointer;
    delete_t *delete = argument;
    if (outcome->code == 0) {
        yard_offload (self->actor, work_remove, after_remove, delete);
        return;
    }
    if (delete->request)
        yard_refuse (delete->request, outcome->code, "%s", outcome->text);
    delete->request = NULL;
    /* Unknown outcome (gone, timeout): a sync decides by the record. */
    if (outcome->code == YARD_GONE || outcome->code == YARD_TIMEOUT)
        decide_later (delete);
    else
        yard_offload (self->actor, work_undo, after_undo, delete);
}

static void after_hide (void *pointer, void *argument)
{
    installer_t *self = pointer;
    delete_t *delete = argument;
    if (delete->error.code) {
        refuse (delete, delete->error.code, delete->error.text);
        return;
    }
    record_delete_ask_t ask = { .key = delete->config.key };
    yard_ask (self->actor, &record_delete_method, &ask, NULL, on_deleted, delete);
}

static void on_found (void *pointer, void *argument, const yard_outcome_t *outcome)
{
    installer_t *self = pointer;
    delete_t *delete = argument;
    if (outcome->code) {
        refuse (delete, outcome->code, outcome->text);
        return;
    }
    const record_get_answer_t *record = outcome->answer;
    yard_wire_copy (model_config_type (), &record->config, delete->arena, &delete->config);
    yard_offload (self->actor, work_hide, after_hide, delete);
}

int installer_on_delete (installer_t *self, yard_request_t *request, const install_delete_ask_t *ask)
{
    yard_arena_t *arena = yard_arena_new (2 * YARD_MESSAGE_MAX);
    delete_t *delete = yard_arena_alloc (arena, sizeof *delete);
    delete->owner = self;
    self->deleting++;
    delete->arena = arena;
    delete->request = request;
    delete->unconditional = ask->unconditional;
    yard_request_keep (request, on_ended, delete);
    record_get_ask_t get = { .key = ask->key };
    yard_ask (self->actor, &record_get_method, &get, NULL, on_found, delete);
    return 0;
}
