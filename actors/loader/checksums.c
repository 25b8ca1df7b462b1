// SPDX-License-Identifier: Apache-2.0
/*  checksums.c - the manifest beside a model's file, or in its folder
 */
#include "actors/loader/checksums.h"

#include <fcntl.h>

#define MANIFEST_NAME ".modelyard.json"
#define MANIFEST_BYTES_MAX (16u * 1024 * 1024) /* what the installer writes at most */
#define ARENA_BYTES_MAX (64u * 1024 * 1024) /* its lists, decoded */
#define CRC_DIGITS 8u

/*  The folder of the manifest: the model's, if it is one; else the one that its file lies in. */
static int open_manifest (const loader_opening_t *opening, loader_file_t *ret)
{
    int folder_fd = -1;
    char path [LOADER_MODEL_PATH_SIZE];
    snprintf (path, sizeof path, "%s", opening->path);
    int rc = loader_folder_open (opening->models_dir, path, &folder_fd, NULL);
    char *slash = strrchr (path, '/');
    if (rc && slash) {
        *slash = 0;
        rc = loader_folder_open (opening->models_dir, path, &folder_fd, NULL);
    }
    if (rc)
        return rc;
    rc = loader_file_open_in (folder_fd, MANIFEST_NAME, ret, NULL);
    close (folder_fd);
    return rc;
}

/*  Is this the manifest's word on a file of the model, of this name and part? */
static bool names (const manifest_file_t *row, const loader_opening_t *opening, const loader_file_t *file)
{
    if (row->bytes != file->identity.bytes)
        return false;
    if (yard_string_is (row->path, file->name))
        return true;
    char below [LOADER_SUBMODEL_SIZE + NAME_MAX + 2];
    snprintf (below, sizeof below, "%s/%s", opening->submodel, file->name);
    return yard_string_is (row->path, below);
}

static bool read_digits (const char *digits, uint32_t *ret)
{
    char text [CRC_DIGITS + 1] = { 0 };
    memcpy (text, digits, CRC_DIGITS);
    *ret = (uint32_t) strtoul (text, NULL, 16);
    return strspn (text, "0123456789abcdefABCDEF") == CRC_DIGITS; /* strtoul takes signs and blanks, too */
}

static int take (const manifest_file_t *row, loader_checksums_t *ret, yard_error_t *error)
{
    uint64_t chunks = (row->bytes + row->chunk_bytes - 1) / row->chunk_bytes;
    if (row->crc32c.size != chunks * CRC_DIGITS)
        return yard_error (error, YARD_INVALID_FILE,
                           "the manifest has not one checksum for each chunk of %.*s; install the "
                           "model again",
                           YARD_VIEW (row->path));
    ret->crc32c = calloc (chunks ? chunks : 1, sizeof *ret->crc32c);
    if (!ret->crc32c)
        abort ();
    ret->count = chunks;
    ret->chunk_bytes = row->chunk_bytes;
    for (size_t at = 0; at < chunks; at++)
        if (!read_digits (row->crc32c.data + at * CRC_DIGITS, &ret->crc32c [at]))
            return yard_error (error, YARD_INVALID_FILE,
                               "a checksum of %.*s in the manifest is no number; install the model "
                               "again",
                               YARD_VIEW (row->path));
    return 0;
}

static int match (loader_opening_t *opening, const manifest_t *manifest)
{
    loader_model_t *model = opening->model;
    model->checksums = calloc (model->file_count ? model->file_count : 1, sizeof *model->checksums);
    if (!model->checksums)
        abort ();
    for (size_t at = 0; at < model->file_count; at++)
        for (size_t row = 0; row < manifest->files.count; row++) {
            if (!names (&manifest->files.items [row], opening, &model->files [at]))
                continue;
            int rc = take (&manifest->files.items [row], &model->checksums [at], &opening->error);
            if (rc)
                return rc;
            break;
        }
    return 0;
}

/*  The parser speaks of messages; this is a file, and its reader has to know which. */
static int read_manifest (loader_opening_t *opening, const char *text, size_t size, yard_arena_t *arena,
                          manifest_t *ret)
{
    yard_error_t why = { 0 };
    if (yard_wire_from_json (manifest_type (), text, size, YARD_WIRE_ANSWER, arena, ret, &why) == 0)
        return 0;
    return yard_error (&opening->error, YARD_INVALID_FILE,
                       "the manifest of %.200s cannot be read (%.200s); install the model again",
                       opening->path, why.text);
}

static int parse (loader_opening_t *opening, const loader_file_t *file)
{
    yard_error_t *error = &opening->error;
    uint64_t size = file->identity.bytes;
    if (size > MANIFEST_BYTES_MAX)
        return yard_error (error, YARD_TOO_LARGE, "the manifest of %s has %llu bytes, the limit is %u",
                           opening->path, (unsigned long long) size, MANIFEST_BYTES_MAX);
    yard_arena_t *arena = yard_arena_new (ARENA_BYTES_MAX);
    char *text = malloc (size + 1);
    manifest_t manifest;
    if (!text)
        abort ();
    int rc = loader_file_read (file, 0, text, size, error);
    if (rc == 0)
        rc = read_manifest (opening, text, size, arena, &manifest);
    if (rc == 0)
        rc = match (opening, &manifest);
    free (text);
    yard_arena_destroy (&arena);
    return rc;
}

int loader_checksums_read (loader_opening_t *opening)
{
    loader_file_t file;
    if (open_manifest (opening, &file))
        return 0;
    int rc = parse (opening, &file);
    loader_file_close (&file);
    return rc;
}
