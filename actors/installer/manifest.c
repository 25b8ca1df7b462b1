// SPDX-License-Identifier: Apache-2.0
/*  manifest.c - writes, reads and proves .modelyard.json (proto/manifest.def)
 *
 *  All of it blocks on the disk and runs in the offload pool.
 */
#include "installer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include "actors/ground/digest.h"
#include "actors/ground/durable.h"

#define CHUNK_BYTES (8u * 1024 * 1024) /* of one checksum: what a loader reads at once (ARCHITECTURE 7) */
#define MANIFEST_BYTES_MAX (16u * 1024 * 1024) /* 1,024 files of a few TiB in all */
#define FILES_MAX 1024

/*  sha256 of a file and, where crc is not NULL, the checksum of each chunk as hex digits. */
static int digest_file (const char *path, atomic_bool *stop, char *ret_sha256, yard_buffer_t *crc,
                        uint64_t *ret_bytes, yard_error_t *error)
{
    int file = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (file < 0)
        return yard_error_errno (error, errno, "open %s", path);
    char *chunk = malloc (CHUNK_BYTES);
    yard_sha256_t *sha256 = yard_sha256_new ();
    uint64_t bytes = 0;
    int code = 0;
    while (code == 0) {
        size_t filled = 0;
        while (filled < CHUNK_BYTES && code == 0) {
            ssize_t got = read (file, chunk + filled, CHUNK_BYTES - filled);
            if (got == 0)
                break;
            if (got > 0)
                filled += (size_t) got;
            else if (errno != EINTR)
                code = yard_error_errno (error, errno, "read %s", path);
        }
        if (code || filled == 0)
            break;
        if (stop && atomic_load (stop))
            code = yard_error (error, YARD_CANCELLED, "stopped");
        yard_sha256_update (sha256, chunk, filled);
        if (crc)
            yard_buffer_printf (crc, "%08x", yard_crc32c (0, chunk, filled));
        bytes += filled;
    }
    yard_sha256_hex (sha256, ret_sha256);
    yard_sha256_destroy (&sha256);
    free (chunk);
    close (file);
    if (code == 0)
        *ret_bytes = bytes;
    return code;
}

/*  Describes one finished file of the folder. */
static int describe (const char *folder, const char *name, atomic_bool *stop, yard_arena_t *arena,
                     manifest_file_t *ret, yard_error_t *error)
{
    char sha256 [YARD_SHA256_HEX_SIZE];
    yard_buffer_t crc;
    yard_buffer_init (&crc, MANIFEST_BYTES_MAX);
    int code = digest_file (yard_arena_printf (arena, "%s/%s", folder, name), stop, sha256, &crc, &ret->bytes,
                            error);
    if (code == 0) {
        ret->path = yard_arena_copy (arena, yard_string (name));
        ret->sha256 = yard_arena_copy (arena, yard_string (sha256));
        ret->crc32c = yard_arena_copy (arena, yard_buffer_view (&crc));
        ret->chunk_bytes = CHUNK_BYTES;
    }
    yard_buffer_clear (&crc);
    return code;
}

int installer_manifest_make (const char *folder, uint64_t job, const model_config_t *config,
                             atomic_bool *stop, yard_arena_t *arena, manifest_t *ret, yard_error_t *error)
{
    DIR *directory = opendir (folder);
    if (!directory)
        return yard_error_errno (error, errno, "open %s", folder);
    *ret = (manifest_t){ .version = 1, .job = job, .config = *config };
    ret->files.items = yard_arena_alloc (arena, FILES_MAX * sizeof *ret->files.items);
    int code = 0;
    for (struct dirent *entry; code == 0 && (entry = readdir (directory));) {
        if (entry->d_name [0] == '.')
            continue;
        if (ret->files.count == FILES_MAX)
            code = yard_error (error, YARD_TOO_LARGE, "%s holds more than %d files", folder, FILES_MAX);
        else
            code =
                describe (folder, entry->d_name, stop, arena, &ret->files.items [ret->files.count++], error);
    }
    closedir (directory);
    return code;
}

int installer_manifest_write (const char *folder, const manifest_t *manifest, yard_error_t *error)
{
    yard_buffer_t text;
    yard_buffer_init (&text, MANIFEST_BYTES_MAX);
    char path [PATH_MAX];
    int code = yard_wire_json (manifest_type (), manifest, &text, error);
    if (code == 0)
        code = yard_path_join (path, folder, INSTALLER_MANIFEST_NAME, error);
    if (code == 0)
        code = yard_durable_write (path, text.data, text.size, 0444, error);
    yard_buffer_clear (&text);
    return code;
}

int installer_manifest_read (const char *folder, yard_arena_t *arena, manifest_t *ret, yard_error_t *error)
{
    char path [PATH_MAX], *text = NULL;
    size_t size;
    int code = yard_path_join (path, folder, INSTALLER_MANIFEST_NAME, error);
    if (code == 0)
        code = yard_file_read (path, MANIFEST_BYTES_MAX, &text, &size, error);
    if (code == 0)
        code = yard_wire_from_json (manifest_type (), text, size, YARD_WIRE_ASK, arena, ret, error);
    free (text);
    return code;
}

int installer_manifest_prove (const char *folder, const manifest_t *manifest, yard_arena_t *arena,
                              yard_error_t *error)
{
    for (size_t i = 0; i < manifest->files.count; i++) {
        const manifest_file_t *file = &manifest->files.items [i];
        char sha256 [YARD_SHA256_HEX_SIZE];
        uint64_t bytes = 0;
        if (memchr (file->path.data, '/', file->path.size) || yard_string_starts (file->path, "."))
            return yard_error (error, YARD_INTEGRITY, "%s: \"%.*s\" is no plain file name", folder,
                               YARD_VIEW (file->path));
        int code = digest_file (yard_arena_printf (arena, "%s/%.*s", folder, YARD_VIEW (file->path)), NULL,
                                sha256, NULL, &bytes, error);
        if (code)
            return code;
        if (bytes != file->bytes || !yard_string_is (file->sha256, sha256))
            return yard_error (
                error, YARD_INTEGRITY,
                "%s/%.*s is not what the manifest says (%lu bytes, sha256 %.12s…); install the model again",
                folder, YARD_VIEW (file->path), (unsigned long) bytes, sha256);
    }
    return 0;
}
