// SPDX-License-Identifier: Apache-2.0
/*  sim_disk.c - what the checker reads off the disk
 *
 *  A model's bytes are compared with what the remote has served: the product's own proof is looked at, and
 *  not believed.
 */
#include "sim_checker.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include "actors/ground/durable.h"
#include "actors/installer/installer.h"
#include "sim_remote.h"

#define ARENA_MAX ((size_t) 16 << 20)
#define FILE_MAX ((size_t) 1 << 20)

typedef void (visit_fn) (sim_world_t *world, const char *path, const char *name);

static void each_entry (sim_world_t *world, const char *path, visit_fn *visit)
{
    DIR *directory = opendir (path);
    if (!directory)
        return;
    for (struct dirent *entry; (entry = readdir (directory));)
        if (strcmp (entry->d_name, ".") != 0 && strcmp (entry->d_name, "..") != 0) {
            char whole [PATH_MAX];
            if (yard_path_join (whole, path, entry->d_name, NULL) == 0)
                visit (world, whole, entry->d_name);
        }
    closedir (directory);
}

/*  --- folders with a final name ------------------------------------------------------------------------- */
static void check_file (sim_world_t *world, const char *folder, yard_string_t name)
{
    char path [PATH_MAX], *data;
    size_t size;
    yard_error_t error;
    snprintf (path, sizeof path, "%s/%.*s", folder, YARD_VIEW (name));
    if (yard_file_read (path, FILE_MAX, &data, &size, &error))
        sim_failed ("%s: %s", path, error.text);
    if (sim_remote_recognise (world->remote, (yard_string_t){ data, size }) < 0)
        sim_failed ("%s holds no whole version of any file", path);
    free (data);
}

static void check_folder (sim_world_t *world, const char *path, const char *name)
{
    (void) name;
    yard_arena_t *arena = yard_arena_new (ARENA_MAX);
    manifest_t manifest;
    yard_error_t error;
    world->checker->folders_seen++;
    if (installer_manifest_read (path, arena, &manifest, &error) ||
        installer_manifest_prove (path, &manifest, arena, &error))
        sim_failed ("%s has its final name, and no manifest that proves it: %s", path, error.text);
    for (size_t i = 0; i < manifest.files.count; i++)
        check_file (world, path, manifest.files.items [i].path);
    sim_findings_t *findings = sim_findings (world);
    bool recorded = !findings->done;
    for (size_t i = 0; i < findings->record_count; i++)
        recorded = recorded || yard_string_equal (findings->records [i].config.key, manifest.config.key);
    if (!recorded)
        sim_failed ("%s has its final name, and no record", path);
    yard_arena_destroy (&arena);
}

static void check_type (sim_world_t *world, const char *path, const char *name)
{
    (void) name;
    each_entry (world, path, check_folder);
}

static void check_base (sim_world_t *world, const char *path, const char *name)
{
    if (name [0] != '.')
        each_entry (world, path, check_type);
}

void sim_check_folders (sim_world_t *world)
{
    each_entry (world, yard_configuration_values (world->configuration)->models_dir.data, check_base);
}

/*  --- part files ---------------------------------------------------------------------------------------- */
static bool is_written (int fd, struct stat *ret)
{
    int flags = fcntl (fd, F_GETFL);
    return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY && fstat (fd, ret) == 0 && S_ISREG (ret->st_mode);
}

/*  Nobody's turn is on, so whoever has a file open for writing means to go on with it. */
void sim_check_part_files (sim_world_t *world)
{
    struct stat one, two;
    for (int a = 3; a < SIM_FDS_MAX; a++) {
        if (world->fd_owner [a] != SIM_DOWNLOADER || !is_written (a, &one))
            continue;
        for (int b = 3; b < SIM_FDS_MAX; b++)
            if (world->fd_owner [b] == SIM_DOWNLOADER_TWO && is_written (b, &two) &&
                one.st_dev == two.st_dev && one.st_ino == two.st_ino)
                sim_failed ("two downloaders write inode %lu", (unsigned long) one.st_ino);
    }
}

/*  --- the end ------------------------------------------------------------------------------------------- */
static void check_staging (sim_world_t *world, const char *path, const char *name)
{
    const sim_findings_t *findings = sim_findings (world);
    uint64_t id = strtoull (name, NULL, 10);
    for (size_t i = 0; id && i < findings->job_count; i++)
        if (findings->jobs [i].id == id &&
            yard_string_is (findings->jobs [i].error_type, yard_error_row (YARD_UNKNOWN_TYPE)->word))
            return;
    sim_failed ("%s is in staging, and no live or undecided job needs it", path);
}

static void refuse_entry (sim_world_t *world, const char *path, const char *name)
{
    (void) world, (void) name;
    sim_failed ("%s is left over", path);
}

static void check_record (sim_world_t *world, const model_record_t *record)
{
    char path [PATH_MAX];
    struct stat state;
    snprintf (path, sizeof path, "%s/%.*s", yard_configuration_values (world->configuration)->models_dir.data,
              YARD_VIEW (record->config.path));
    if (stat (path, &state))
        sim_failed ("the record %.*s names %s, which is not there", YARD_VIEW (record->config.key), path);
}

void sim_check_disk (sim_world_t *world)
{
    char path [PATH_MAX];
    sim_check_folders (world);
    const sim_findings_t *findings = sim_findings (world);
    for (size_t i = 0; i < findings->record_count; i++)
        check_record (world, &findings->records [i]);
    snprintf (path, sizeof path, "%s/.staging",
              yard_configuration_values (world->configuration)->models_dir.data);
    each_entry (world, path, check_staging);
    if (yard_path_join (path, world->paths.home, "secrets", NULL) == 0)
        each_entry (world, path, refuse_entry);
    if (yard_path_join (path, world->paths.run, "views", NULL) == 0)
        each_entry (world, path, refuse_entry);
}
