// SPDX-License-Identifier: Apache-2.0
/*  inspect.c - from a file descriptor to a verdict
 */
#include "actors/prober/inspect.h"

#include <errno.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include "actors/formats/safetensors.h"
#include "actors/ground/fault.h"
#include "actors/prober/identify.h"

#define FIRST_BYTES \
    512u /* enough for any magic below, and for the white space that writers put before a header's brace */

/*  Beginnings of files that we know and do not read. */
static const struct {
    const char *bytes;
    size_t size;
    bool alone; /* no safetensors file of a sane writer begins so: both readings at once are a trick */
    const char *what;
} magics [] = {
#define MAGIC(bytes, alone, what) \
    { \
        bytes, sizeof bytes - 1, alone, what \
    }
    MAGIC ("GGUF", true, "a GGUF file"),
    MAGIC ("PK\3\4", true, "a zip archive (a torch checkpoint is one)"),
    MAGIC ("\x80\2", false, "a pickle (old torch checkpoints are)"),
    MAGIC ("\x80\3", false, "a pickle"),
    MAGIC ("\x80\4", false, "a pickle"),
    MAGIC ("\x80\5", false, "a pickle"),
    MAGIC ("\x89HDF\r\n\x1a\n", true, "an HDF5 file"),
    MAGIC ("\x28\xb5\x2f\xfd", true, "zstd-compressed; unpack it first"),
    MAGIC ("\x1f\x8b", false, "gzip-compressed; unpack it first"),
    MAGIC ("version https://git-lfs", true,
           "a Git LFS pointer, not the file that it points to; fetch that one"),
    MAGIC ("<!DOCTYPE", true, "a web page; the link did not lead to a file"),
    MAGIC ("<html", true, "a web page; the link did not lead to a file"),
    MAGIC ("{", false, "JSON text"),
#undef MAGIC
};
#define MAGIC_COUNT (sizeof magics / sizeof magics [0])

/*  fstat itself: glibc's takes the way over newfstatat, which names files and so has no place in the
 *  sandbox's filter. */
static int status (int fd, struct stat *ret_status)
{
    return (int) syscall (SYS_fstat, fd, ret_status);
}

/*  Reads size bytes from the file's start. */
static int read_front (int fd, char *data, size_t size, yard_error_t *error)
{
    size_t have = 0;
    while (have < size) {
        ssize_t got = pread (fd, data + have, size - have, (off_t) have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return yard_error_errno (error, errno, "reading the file's header");
        if (got == 0)
            return yard_error (
                error, YARD_CONFLICT,
                "the file grew shorter while it was read; probe it again when its writer is done");
        have += (size_t) got;
    }
    return 0;
}

static size_t magic_of (const char *first, size_t size)
{
    size_t at = 0;
    while (at < MAGIC_COUNT &&
           (size < magics [at].size || memcmp (first, magics [at].bytes, magics [at].size) != 0))
        at++;
    return at;
}

/*  A length that fits into the file, and a brace after white space: enough to take its word that it is
 *  safetensors. */
static bool looks_like_safetensors (const char *first, size_t size, uint64_t file_size, uint64_t *ret_header)
{
    if (yard_safetensors_header_size (first, file_size, ret_header, NULL) != 0)
        return false;
    size_t end = *ret_header < size ? (size_t) *ret_header : size;
    for (size_t at = YARD_SAFETENSORS_LENGTH_SIZE; at < end; at++)
        if (!memchr (" \t\r\n", first [at], 4))
            return first [at] == '{';
    return size == FIRST_BYTES;
}

static int inspect_safetensors (int fd, const char *name, uint64_t header_size, uint64_t file_size,
                                prober_verdict_t *verdict, yard_error_t *error)
{
    char *header = malloc (header_size);
    if (!header)
        return yard_error (error, YARD_OUT_OF_MEMORY, "no memory for a header of %llu bytes",
                           (unsigned long long) header_size);
    yard_tensors_t tensors = { 0 };
    int rc = read_front (fd, header, header_size, error);
    if (rc == 0)
        rc = yard_safetensors_parse (header, header_size, file_size, &tensors, error);
    if (rc == 0)
        prober_identify (&(prober_subject_t){ &tensors, name }, verdict);
    yard_tensors_clear (&tensors);
    free (header);
    return rc;
}

/*  No safetensors header: known by its magic, or broken, or nothing. */
static int inspect_other (const char *name, const char *first, uint64_t file_size, size_t magic,
                          prober_verdict_t *verdict, yard_error_t *error)
{
    static const char ending [] = ".safetensors";
    size_t size = strlen (name);
    uint64_t header_size;
    if (magic < MAGIC_COUNT) {
        prober_verdict_unknown (verdict, "the file is %s; only safetensors files are looked into here",
                                magics [magic].what);
    } else if (size >= sizeof ending - 1 && strcasecmp (name + size - (sizeof ending - 1), ending) == 0) {
        int rc = yard_safetensors_header_size (first, file_size, &header_size, error);
        return rc ? rc
                  : yard_error (error, YARD_INVALID_FILE,
                                "InvalidHeaderDeserialization: no object at the header's start; fetch the "
                                "file again");
    } else {
        prober_verdict_unknown (
            verdict, "the file begins like no format known; only safetensors files are looked into here");
    }
    prober_default_name (name, verdict->name);
    return 0;
}

static int inspect_bytes (int fd, const char *name, uint64_t file_size, prober_verdict_t *verdict,
                          yard_error_t *error)
{
    char first [FIRST_BYTES] = { 0 };
    size_t size = file_size < FIRST_BYTES ? (size_t) file_size : FIRST_BYTES;
    uint64_t header_size;
    int rc = read_front (fd, first, size, error);
    if (rc)
        return rc;
    size_t magic = magic_of (first, size);
    if (!looks_like_safetensors (first, size, file_size, &header_size))
        return inspect_other (name, first, file_size, magic, verdict, error);
    if (magic < MAGIC_COUNT && magics [magic].alone)
        return yard_error (error, YARD_INVALID_FILE,
                           "the file can be read as safetensors and as %s: do not trust it",
                           magics [magic].what);
    return inspect_safetensors (fd, name, header_size, file_size, verdict, error);
}

static bool same (const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
           a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static int inspect (int fd, const char *name, prober_verdict_t *verdict, yard_error_t *error)
{
    struct stat before, after;
    if (status (fd, &before) != 0)
        return yard_error_errno (error, errno, "looking at the file");
    if (!S_ISREG (before.st_mode))
        return yard_error (error, YARD_INVALID_FILE,
                           "this is no regular file; give the path of a model file");
    int rc = inspect_bytes (fd, name, (uint64_t) before.st_size, verdict, error);
    if (rc)
        return rc;
    if (FAULT ("prober.while_looking"))
        futimens (fd, (const struct timespec []){ { .tv_nsec = UTIME_OMIT }, { 0 } });
    if (status (fd, &after) != 0)
        return yard_error_errno (error, errno, "looking at the file again");
    if (!same (&before, &after))
        return yard_error (error, YARD_CONFLICT,
                           "the file changed while it was looked at; probe it again when its writer is done");
    return 0;
}

void prober_inspect (int fd, const char *name, prober_verdict_t *verdict)
{
    yard_error_t error = { 0 };
    prober_verdict_init (verdict);
    if (inspect (fd, name, verdict, &error) != 0)
        prober_verdict_fail (verdict, &error);
}
