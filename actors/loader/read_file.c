// SPDX-License-Identifier: Apache-2.0
/*  read_file.c - a second way into an open file, past the page cache, and whether the file stayed the same
 *
 *  The second descriptor comes from /proc/self/fd: the same inode, whatever its name leads to by now. Everything that stands in the way of
 *  O_DIRECT (no /proc, a file system without it, an alignment beyond ours) is answered by reading buffered.
 */
#include "actors/loader/read_inside.h"

#include <fcntl.h>
#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>

#define ALIGN_FALLBACK 4096 /* kernels before 6.1 do not say; no disk's logical block is larger */
#define FD_PATH_SIZE 32 /* "/proc/self/fd/" and ten digits */

/*  What offset, length and address must be multiples of; 0: this file is not read directly. */
static uint32_t ask_align (int fd)
{
    struct statx state;
    if (statx (fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &state) || !(state.stx_mask & STATX_DIOALIGN))
        return ALIGN_FALLBACK;
    uint32_t align = state.stx_dio_offset_align;
    if (align > 0 && state.stx_dio_mem_align > align)
        align = state.stx_dio_mem_align;
    return align <= LOADER_READ_ALIGN_MAX && (align & (align - 1)) == 0 ? align : 0;
}

int loader_read_file_open (loader_read_file_t *self, const loader_source_t *source, bool no_direct,
                           yard_error_t *error)
{
    struct stat state;
    if (fstat (source->fd, &state))
        return yard_error_errno (error, errno, "cannot look at %s", source->name);
    self->changed = state.st_mtim;
    self->direct_fd = -1;
    self->align = 1;
    if (no_direct)
        return 0;
    char path [FD_PATH_SIZE];
    snprintf (path, sizeof path, "/proc/self/fd/%d", source->fd);
    int fd = open (path, O_RDONLY | O_DIRECT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    uint32_t align = ask_align (fd);
    if (align == 0) {
        close (fd);
        return 0;
    }
    self->direct_fd = fd;
    self->align = align;
    return 0;
}

void loader_read_file_close (loader_read_file_t *self)
{
    if (self->align > 1)
        close (self->direct_fd);
    *self = (loader_read_file_t){ .direct_fd = -1 };
}

int loader_read_file_compare (const loader_read_file_t *self, const loader_source_t *source,
                              yard_error_t *error)
{
    struct stat state;
    if (fstat (source->fd, &state))
        return yard_error_errno (error, errno, "cannot look at %s", source->name);
    if ((uint64_t) state.st_size != source->bytes)
        return yard_error (error, YARD_INVALID_FILE,
                           "%s changed while it was read: it had %" PRIu64 " bytes and has %" PRIu64
                           "; load it again when nobody writes it",
                           source->name, source->bytes, (uint64_t) state.st_size);
    if (state.st_mtim.tv_sec != self->changed.tv_sec || state.st_mtim.tv_nsec != self->changed.tv_nsec)
        return yard_error (error, YARD_INVALID_FILE,
                           "%s was written while it was read; load it again when nobody writes it",
                           source->name);
    return 0;
}
