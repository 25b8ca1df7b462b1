// SPDX-License-Identifier: Apache-2.0
/*  step_place.c - last step: prove the bytes, write the manifest, one rename, one record
 *
 *  The folder appears under its final name only whole and proven. record.add ends the job in the transaction
 *  that stores the record; what happens before it can be cancelled, what happens after it is too late.
 */
#include "installer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include "actors/ground/durable.h"
#include "actors/ground/fault.h"
#include "source.h"

typedef struct {
    model_config_t config; /* path becomes relative to the models directory */
    yard_string_t sha256; /* that the download computed; empty for local sources */
    const char *folder; /* final */
    bool placed; /* by us or by one of us that was killed */
    yard_error_t error;
} place_t;

/*  true: folder holds our own model already. */
static bool is_ours (const char *folder, yard_string_t key)
{
    yard_arena_t *arena = yard_arena_new (64u * 1024 * 1024);
    manifest_t manifest;
    bool ours = installer_manifest_read (folder, arena, &manifest, NULL) == 0 &&
                yard_string_equal (manifest.config.key, key);
    yard_arena_destroy (&arena);
    return ours;
}

/*  <models>/<base>/<type>/<name>, or <name>-<key8> where that is taken. placed says that our model is there: it may
 *  have the second name though the first one is free by now. */
static int choose_folder (installer_lease_t *lease, place_t *step)
{
    const char *parent = yard_arena_printf (lease->arena, "%s/%s/%s", lease->owner->models,
                                            yard_wire_word (base_model_type (), (int) step->config.base),
                                            yard_wire_word (model_type_type (), (int) step->config.type));
    const char *name = installer_folder_name (step->config.name, lease->arena);
    const char *choices [] = {
        yard_arena_printf (lease->arena, "%s/%s", parent, name),
        yard_arena_printf (lease->arena, "%s/%s-%.8s", parent, name, step->config.key.data),
    };
    int code = yard_durable_mkdir (parent, 0755, &step->error);
    if (code)
        return code;
    for (size_t i = 0; i < sizeof choices / sizeof choices [0]; i++) {
        step->folder = choices [i];
        if ((step->placed = is_ours (choices [i], step->config.key)))
            return 0;
    }
    for (size_t i = 0; i < sizeof choices / sizeof choices [0]; i++) {
        struct stat state;
        step->folder = choices [i];
        if (lstat (choices [i], &state))
            return errno == ENOENT ? 0 : yard_error_errno (&step->error, errno, "stat %s", choices [i]);
    }
    return yard_error (&step->error, YARD_CONFLICT, "%s is taken by another model; move it away",
                       step->folder);
}

/*  Only what the manifest names goes along: parts, journals and copies of before are removed. Files become
 *  read-only. */
static int tidy (const char *staging, yard_error_t *error)
{
    DIR *directory = opendir (staging);
    if (!directory)
        return yard_error_errno (error, errno, "open %s", staging);
    int code = 0;
    for (struct dirent *entry; code == 0 && (entry = readdir (directory));) {
        if (strcmp (entry->d_name, ".") == 0 || strcmp (entry->d_name, "..") == 0)
            continue;
        if (installer_staging_is_leftover (entry->d_name)
                ? unlinkat (dirfd (directory), entry->d_name, 0)
                : fchmodat (dirfd (directory), entry->d_name, 0444, 0))
            code = yard_error_errno (error, errno, "tidy %s/%s", staging, entry->d_name);
    }
    closedir (directory);
    return code;
}

/*  Renamed, but not synced: whether that outlives a power cut nobody knows, so the job fails, and a failed
 *  job's folder must not be seen. One that another installer has placed meanwhile (conflict, not_found) is
 *  its own. */
static void take_back (installer_lease_t *lease, const place_t *step)
{
    if (step->error.code == YARD_CONFLICT || step->error.code == YARD_NOT_FOUND ||
        !is_ours (step->folder, step->config.key))
        return;
    if (rename (step->folder, lease->staging))
        yard_log_warning ("place.not_removed", "job=%lu folder=%s errno=%d", (unsigned long) lease->job.id,
                          step->folder, errno);
}

static void place (installer_lease_t *lease)
{
    place_t *step = lease->step;
    const char *staged;
    uint64_t bytes;
    if (choose_folder (lease, step))
        return;
    const char *at = step->placed ? step->folder : lease->staging;
    if (installer_staging_file (at, lease->arena, &staged, &bytes, &step->error))
        return;
    const char *file = strrchr (staged, '/') + 1;
    step->config.path = yard_string (
        yard_arena_printf (lease->arena, "%s/%s", step->folder + strlen (lease->owner->models) + 1, file));
    step->config.total_bytes = bytes;
    if (step->placed)
        return;
    manifest_t manifest;
    if (tidy (lease->staging, &step->error) ||
        installer_manifest_make (lease->staging, lease->job.id, &step->config, &lease->stop, lease->arena,
                                 &manifest, &step->error))
        return;
    if (manifest.files.count != 1) {
        yard_error (&step->error, YARD_INTEGRITY, "%s holds %zu files where one is due; install it again",
                    lease->staging, manifest.files.count);
        return;
    }
    if (step->sha256.size && !yard_string_equal (step->sha256, manifest.files.items [0].sha256)) {
        yard_error (&step->error, YARD_INTEGRITY,
                    "%s changed between download and installation; install it again", staged);
        return;
    }
    if (installer_manifest_write (lease->staging, &manifest, &step->error) ||
        yard_durable_sync_tree (lease->staging, &step->error))
        return;
    if (FAULT ("installer.before_place")) {
        yard_error (&step->error, YARD_DISK_FAILED, "fault installer.before_place");
        return;
    }
    step->placed = yard_durable_rename (lease->staging, step->folder, &step->error) == 0;
    if (!step->placed)
        take_back (lease, step);
}

/*  An installer that was only thought dead may place the folder under our hands: then the staging is gone,
 *  or the name is taken, and a second look finds our own model there. */
static void work_place (void *argument)
{
    installer_lease_t *lease = argument;
    place_t *step = lease->step;
    place (lease);
    if (step->error.code != YARD_NOT_FOUND && step->error.code != YARD_CONFLICT)
        return;
    step->error = (yard_error_t){ 0 };
    place (lease);
}

/*  Cancelled between rename and record: what was placed goes. */
static void work_unplace (void *argument)
{
    installer_lease_t *lease = argument;
    place_t *step = lease->step;
    if (!step->placed)
        return;
    if (yard_durable_rename (step->folder, lease->staging, &step->error) ||
        yard_durable_remove (lease->staging, &step->error))
        yard_log_warning ("place.not_removed", "job=%lu folder=%s error=%s", (unsigned long) lease->job.id,
                          step->folder, step->error.text);
}

static void after_unplace (void *pointer, void *argument)
{
    (void) pointer;
    installer_lease_done (argument);
}

/*  Is what lies at the source still what was installed? Its bytes are read back unless it is the placed
 *  file itself. */
static int prove_source (installer_lease_t *lease, const char *source, const char *folder,
                         yard_error_t *error)
{
    place_t *step = lease->step;
    struct stat there, placed;
    const char *file =
        yard_arena_printf (lease->arena, "%s/%.*s", lease->owner->models, YARD_VIEW (step->config.path));
    if (lstat (source, &there) == 0 && lstat (file, &placed) == 0 && there.st_dev == placed.st_dev &&
        there.st_ino == placed.st_ino)
        return 0;
    manifest_t manifest;
    int code = installer_manifest_read (step->folder, lease->arena, &manifest, error);
    if (code == 0 && manifest.files.count != 1)
        code = yard_error (error, YARD_INTEGRITY, "the manifest of %s names several files", step->folder);
    if (code)
        return code;
    manifest.files.items [0].path = yard_string (strrchr (source, '/') + 1);
    return installer_manifest_prove (folder, &manifest, lease->arena, error);
}

/*  move: the source goes only now, when the record is committed, and only if nobody has put something else
 *  there meanwhile. */
static void work_take_source (void *argument)
{
    installer_lease_t *lease = argument;
    const char *source = yard_arena_text (lease->arena, lease->job.install.source);
    const char *folder =
        yard_arena_printf (lease->arena, "%.*s", (int) (strrchr (source, '/') - source), source);
    yard_error_t error = { 0 };
    folder = folder [0] ? folder : "/";
    int code = prove_source (lease, source, folder, &error);
    if (code == 0 && unlink (source) && errno != ENOENT)
        code = yard_error_errno (&error, errno, "remove %s", source);
    if (code == 0)
        code = yard_durable_sync (folder, &error);
    if (code && code != YARD_NOT_FOUND)
        yard_log_warning ("move.source_stays", "job=%lu text=%s", (unsigned long) lease->job.id,
                          YARD_QUOTED (error.text));
}

/*  stale_token: another lease has the job, and finds the folder by our key; or the job was cancelled
 *  before the record came, and then what was placed goes. The row knows. */
static void on_looked (void *pointer, void *argument, const yard_outcome_t *outcome)
{
    installer_t *self = pointer;
    installer_lease_t *lease = argument;
    const job_t *job = outcome->answer;
    bool cancelled =
        outcome->code == YARD_UNKNOWN_JOB || (outcome->code == 0 && job->status == job_status_cancelled);
    if (cancelled) {
        lease->clean = true;
        yard_offload (self->actor, work_unplace, after_unplace, lease);
    } else
        installer_lease_done (lease);
}

static void on_recorded (void *pointer, void *argument, const yard_outcome_t *outcome)
{
    installer_t *self = pointer;
    installer_lease_t *lease = argument;
    place_t *step = lease->step;
    switch (outcome->code) {
    case 0:
        yard_log_info ("install.completed", "job=%lu folder=%s", (unsigned long) lease->job.id, step->folder);
        if (lease->job.install.move)
            yard_offload (self->actor, work_take_source, after_unplace, lease);
        else
            installer_lease_done (lease);
        return;
    case YARD_CANCELLED:
    case YARD_TOO_LATE:
    case YARD_UNKNOWN_JOB:
        yard_offload (self->actor, work_unplace, after_unplace, lease);
        return;
    case YARD_STALE_TOKEN: {
        job_id_t ask = { .id = lease->job.id };
        yard_ask (self->actor, &job_get_method, &ask, NULL, on_looked, lease);
        return;
    }
    case YARD_GONE:
    case YARD_TIMEOUT:
        /* Another lease will have it: the folder with our key stays and is found by that one. */
        installer_lease_unheard (lease);
        return;
    default:
        installer_lease_fail (lease, outcome->code, true, outcome->text);
    }
}

static void after_place (void *pointer, void *argument)
{
    installer_t *self = pointer;
    installer_lease_t *lease = argument;
    place_t *step = lease->step;
    if (step->error.code) {
        installer_lease_fail (lease, step->error.code, step->error.code == YARD_DISK_FULL, step->error.text);
        return;
    }
    if (lease->revoked) {
        if (lease->clean)
            yard_offload (self->actor, work_unplace, after_unplace, lease);
        else
            installer_lease_done (lease);
        return;
    }
    if (FAULT ("installer.after_place")) {
        installer_lease_fail (lease, YARD_DISK_FAILED, true, "fault installer.after_place");
        return;
    }
    record_add_ask_t ask = { .config = step->config,
                             .has_job = true,
                             .job = lease->job.id,
                             .has_token = true,
                             .token = lease->token };
    yard_ask (self->actor, &record_add_method, &ask, NULL, on_recorded, lease);
}

/*  The download's own hash, so that nothing between it and the manifest can change a byte unseen. */
static void on_children (void *pointer, void *argument, const yard_outcome_t *outcome)
{
    installer_t *self = pointer;
    installer_lease_t *lease = argument;
    place_t *step = lease->step;
    if (outcome->code) {
        installer_lease_fail (lease, outcome->code, true, outcome->text);
        return;
    }
    const job_list_answer_t *answer = outcome->answer;
    for (size_t i = 0; i < answer->jobs.count; i++)
        if (answer->jobs.items [i].has_download_result)
            step->sha256 = yard_arena_copy (lease->arena, answer->jobs.items [i].download_result.sha256);
    yard_offload (self->actor, work_place, after_place, lease);
}

void installer_step_place (installer_lease_t *lease)
{
    place_t *step = yard_arena_alloc (lease->arena, sizeof *step);
    lease->step = step;
    if (!lease->job.has_config_out) {
        installer_lease_fail (lease, YARD_INTERNAL, false, "the job has no probed fields; install it again");
        return;
    }
    step->config = lease->job.config_out;
    job_list_ask_t ask;
    yard_wire_init (job_list_ask_type (), &ask);
    ask.has_parent = true;
    ask.parent = lease->job.id;
    yard_ask (lease->owner->actor, &job_list_method, &ask, NULL, on_children, lease);
}
