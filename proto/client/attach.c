// SPDX-License-Identifier: Apache-2.0
/*  attach.c - a loaded model in our own address space
 *
 *  Promises: a file is mapped only if it is what the loader said (device, inode, size); no tensor
 *  points outside of its region. The connection stays open as long as the attachment: its end is how the
 *  loader learns of ours.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include "actors/ground/table.h"
#include "cuda_import.h"
#include "modelyard.h"
#include "proto/directory.h"

#define ANSWER_S 10 /* the loader answers from memory; its loop is never away so long */
#define PACKET_BYTES_MAX (256 * 1024) /* attach_answer with 64 names at their limits has under 32 KiB */
#define PACKET_FDS_MAX 128 /* attach_answer carries 64, and the directory */
#define REGIONS_MAX 65536 /* files of one model; the largest we know has some 200 */
#define ATTACH_PROTOCOL 1

typedef struct {
    yard_string_t name;
    void *data;
    size_t bytes;
    client_cuda_memory_t *cuda; /* NULL on the host */
} region_t;

struct yard_attachment_t {
    int connection;
    yard_arena_t *arena; /* names of regions */
    region_t *regions;
    uint64_t *region_bytes; /* the same sizes, for yard_directory_fits */
    size_t count;
    void *rows; /* the directory, mapped */
    size_t row_bytes;
    yard_directory_t directory;
    yard_table_t *names; /* name -> index + 1; made at the first find */
};

/*  --- one packet */
typedef struct {
    char bytes [PACKET_BYTES_MAX];
    size_t size;
    int fds [PACKET_FDS_MAX];
    size_t fd_count, taken;
    attach_answer_t answer;
} packet_t;

static void close_rest (packet_t *self)
{
    for (; self->taken < self->fd_count; self->taken++)
        close (self->fds [self->taken]);
}

static int take_fd (packet_t *self)
{
    return self->taken < self->fd_count ? self->fds [self->taken++] : -1;
}

static void collect_fds (packet_t *self, struct msghdr *message)
{
    for (struct cmsghdr *row = CMSG_FIRSTHDR (message); row; row = CMSG_NXTHDR (message, row))
        if (row->cmsg_level == SOL_SOCKET && row->cmsg_type == SCM_RIGHTS)
            for (size_t at = CMSG_LEN (0); at + sizeof (int) <= row->cmsg_len; at += sizeof (int)) {
                int fd;
                memcpy (&fd, (const char *) row + at, sizeof fd);
                if (self->fd_count < PACKET_FDS_MAX)
                    self->fds [self->fd_count++] = fd;
                else
                    close (fd);
            }
}

static int receive (int connection, packet_t *self, yard_error_t *error)
{
    _Alignas(struct cmsghdr) char control [CMSG_SPACE (sizeof (int) * PACKET_FDS_MAX)];
    struct iovec part = { self->bytes, sizeof self->bytes };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
    };
    ssize_t size;
    do
        size = recvmsg (connection, &message, MSG_CMSG_CLOEXEC);
    while (size < 0 && errno == EINTR);
    self->fd_count = self->taken = 0;
    if (size < 0)
        return errno == EAGAIN
                   ? yard_error (error, YARD_TIMEOUT,
                                 "the loader has not answered in %d s; is it alive? `modelyard actors`",
                                 ANSWER_S)
                   : yard_error_errno (error, errno, "cannot read from the loader");
    collect_fds (self, &message);
    self->size = (size_t) size;
    if (size == 0)
        return yard_error (error, YARD_GONE, "the loader ended the connection; load the model again");
    if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
        return yard_error (error, YARD_BAD_FRAME,
                           "the loader's answer is larger than this library takes, or this process "
                           "has no descriptors left (ulimit -n)");
    return 0;
}

/*  Its failure, if it is one, with the code that it names. */
static int read_answer (packet_t *self, yard_arena_t *arena, yard_error_t *error)
{
    int rc = yard_wire_unpack (attach_answer_type (), self->bytes, self->size, YARD_WIRE_ANSWER, arena,
                               &self->answer, error);
    if (rc)
        return rc;
    if (self->answer.has_failure) {
        const failure_t *failure = &self->answer.failure;
        return yard_error (error, yard_error_code (failure->code.data, failure->code.size), "%.*s",
                           YARD_VIEW (failure->text));
    }
    return 0;
}

/*  --- mapping */
/*  Maps what fd is and closes it; bytes must be its size. An empty file maps to NULL. */
static int map (int fd, uint64_t bytes, void **ret, yard_error_t *error)
{
    struct stat status;
    void *data = NULL;
    int rc = 0;
    if (fd < 0)
        return yard_error (error, YARD_BAD_FRAME, "the loader sent fewer descriptors than it named");
    if (fstat (fd, &status) || (uint64_t) status.st_size != bytes)
        rc = yard_error (error, YARD_INTEGRITY,
                         "a file of the model changed its size since it was loaded; install it again");
    else if (bytes)
        data = mmap (NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED)
        rc = yard_error_errno (error, errno, "cannot map %llu bytes", (unsigned long long) bytes);
    close (fd);
    if (rc == 0)
        *ret = data;
    return rc;
}

/*  Takes the descriptor. A file must be what the loader opened. */
static int map_file (int fd, const attach_region_t *row, region_t *region, yard_error_t *error)
{
    struct stat status;
    if (fd >= 0 && fstat (fd, &status) == 0 &&
        ((uint64_t) status.st_dev != row->device || status.st_ino != row->inode)) {
        close (fd);
        return yard_error (error, YARD_INTEGRITY,
                           "a file of the model was replaced since it was loaded; load it again");
    }
    return map (fd, row->bytes, &region->data, error);
}

static bool read_hex (yard_string_t text, uint8_t *ret, size_t size)
{
    bool good = text.size == 2 * size;
    for (size_t i = 0; i < size && good; i++) {
        const char pair [] = { text.data [2 * i], text.data [2 * i + 1], 0 };
        char *end;
        ret [i] = (uint8_t) strtoul (pair, &end, 16);
        good = end == pair + 2;
    }
    return good;
}

/*  Takes the descriptor, which only one of the two forms has. */
static int import_memory (int fd, const attach_region_t *row, region_t *region, yard_error_t *error)
{
    yard_cuda_handle_t handle = { .form = row->form == attach_form_ipc ? YARD_CUDA_IPC : YARD_CUDA_VMM,
                                  .fd = fd,
                                  .size = row->bytes };
    int rc = 0;
    snprintf (handle.uuid, sizeof handle.uuid, "%.*s", YARD_VIEW (row->device_uuid));
    if (handle.form == YARD_CUDA_IPC ? !read_hex (row->handle, handle.bytes, sizeof handle.bytes) : fd < 0)
        rc = yard_error (error, YARD_BAD_FRAME,
                         "the loader named a GPU's memory and did not say how to get at it");
    if (rc == 0)
        rc = client_cuda_open (&handle, &region->cuda, error);
    if (rc == 0)
        region->data = client_cuda_data (region->cuda);
    if (fd >= 0)
        close (fd);
    return rc;
}

static int map_region (yard_attachment_t *self, packet_t *packet, const attach_region_t *row,
                       yard_error_t *error)
{
    if (self->count == REGIONS_MAX)
        return yard_error (error, YARD_TOO_LARGE, "a model of more than %d files", REGIONS_MAX);
    self->regions = reallocarray (self->regions, self->count + 1, sizeof *self->regions);
    self->region_bytes = reallocarray (self->region_bytes, self->count + 1, sizeof *self->region_bytes);
    if (!self->regions || !self->region_bytes)
        abort ();
    region_t *region = &self->regions [self->count];
    *region = (region_t){ .name = yard_arena_copy (self->arena, row->name), .bytes = row->bytes };
    int fd = row->form == attach_form_ipc ? -1 : take_fd (packet);
    int rc = (row->form == attach_form_file ? map_file : import_memory) (fd, row, region, error);
    if (rc == 0)
        self->region_bytes [self->count++] = row->bytes;
    return rc;
}

static int check_rows (const yard_attachment_t *self, uint64_t tensors, yard_error_t *error)
{
    if (self->directory.count != tensors)
        return yard_error (error, YARD_INVALID_FILE, "the directory has %zu rows, the loader said %llu",
                           self->directory.count, (unsigned long long) tensors);
    for (size_t i = 0; i < self->directory.count; i++) {
        yard_tensor_row_t row = yard_directory_get (&self->directory, i);
        if (!yard_directory_fits (&row, self->region_bytes, self->count))
            return yard_error (error, YARD_INVALID_FILE, "tensor %.*s lies outside of its file",
                               YARD_VIEW (row.name));
    }
    return 0;
}

/*  --- the conversation */
static int connect_to (const char *path, int *ret, yard_error_t *error)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const struct timeval patience = { .tv_sec = ANSWER_S };
    if (strlen (path) >= sizeof address.sun_path)
        return yard_error (error, YARD_TOO_LARGE, "the attach socket's path %.60s… is too long", path);
    memcpy (address.sun_path, path, strlen (path) + 1);
    int fd = socket (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return yard_error_errno (error, errno, "cannot make a socket");
    setsockopt (fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt (fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect (fd, (const struct sockaddr *) &address, sizeof address)) {
        int rc =
            errno == ECONNREFUSED || errno == ENOENT
                ? yard_error (error, YARD_NOT_LOCAL,
                              "no loader answers at %s; attach on its machine, or load the model again", path)
                : yard_error_errno (error, errno, "cannot connect to %s", path);
        close (fd);
        return rc;
    }
    *ret = fd;
    return 0;
}

static int say_hello (int connection, yard_string_t lease, yard_error_t *error)
{
    yard_buffer_t bytes;
    attach_hello_t hello;
    yard_wire_init (attach_hello_type (), &hello);
    hello.lease = lease;
    hello.protocol = ATTACH_PROTOCOL;
    yard_buffer_init (&bytes, PACKET_BYTES_MAX);
    int rc = yard_wire_pack (attach_hello_type (), &hello, &bytes, error);
    if (rc == 0 && send (connection, bytes.data, bytes.size, MSG_NOSIGNAL) < 0)
        rc = yard_error_errno (error, errno, "cannot write to the loader");
    yard_buffer_clear (&bytes);
    return rc;
}

/*  The first packet's first descriptor is the directory. */
static int take_packet (yard_attachment_t *self, packet_t *packet, bool first, yard_error_t *error)
{
    int rc = 0;
    if (first) {
        self->row_bytes = packet->answer.directory_bytes;
        rc = map (take_fd (packet), self->row_bytes, &self->rows, error);
        if (rc == 0)
            rc = yard_directory_open (&self->directory, self->rows, self->row_bytes, error);
    }
    for (size_t i = 0; i < packet->answer.regions.count && rc == 0; i++)
        rc = map_region (self, packet, &packet->answer.regions.items [i], error);
    return rc;
}

static int converse (yard_attachment_t *self, const char *path, yard_string_t lease, yard_error_t *error)
{
    uint64_t tensors = 0;
    bool more = true;
    packet_t *packet = calloc (1, sizeof *packet);
    if (!packet)
        abort ();
    int rc = connect_to (path, &self->connection, error);
    if (rc == 0)
        rc = say_hello (self->connection, lease, error);
    for (bool first = true; rc == 0 && more; first = false) {
        rc = receive (self->connection, packet, error);
        if (rc == 0)
            rc = read_answer (packet, self->arena, error);
        if (rc == 0)
            rc = take_packet (self, packet, first, error);
        tensors = first ? packet->answer.tensors : tensors;
        more = packet->answer.more;
        close_rest (packet);
    }
    free (packet);
    return rc ? rc : check_rows (self, tensors, error);
}

int yard_attach (const char *socket_path, yard_string_t lease, yard_attachment_t **ret, yard_error_t *error)
{
    yard_attachment_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->connection = -1;
    self->arena = yard_arena_new ((size_t) 64 * PACKET_BYTES_MAX * 4);
    int rc = converse (self, socket_path, lease, error);
    if (rc)
        yard_attachment_destroy (&self);
    else
        *ret = self;
    return rc;
}

void yard_attachment_destroy (yard_attachment_t **self_p)
{
    assert (self_p);
    yard_attachment_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->count; i++)
        if (self->regions [i].cuda)
            client_cuda_close (&self->regions [i].cuda);
        else if (self->regions [i].data)
            munmap (self->regions [i].data, self->regions [i].bytes);
    if (self->rows)
        munmap (self->rows, self->row_bytes);
    if (self->connection >= 0) /* last: now the loader may let go */
        close (self->connection);
    yard_table_destroy (&self->names);
    yard_arena_destroy (&self->arena);
    free (self->regions);
    free (self->region_bytes);
    free (self);
    *self_p = NULL;
}

/*  --- looking */
size_t yard_attachment_regions (const yard_attachment_t *self)
{
    return self->count;
}

yard_attached_region_t yard_attachment_region (const yard_attachment_t *self, size_t index)
{
    assert (index < self->count);
    const region_t *region = &self->regions [index];
    return (yard_attached_region_t){ .name = region->name,
                                     .data = region->data,
                                     .size = region->bytes,
                                     .device = region->cuda ? client_cuda_device (region->cuda) : -1 };
}

size_t yard_attachment_tensors (const yard_attachment_t *self)
{
    return self->directory.count;
}

yard_attached_tensor_t yard_attachment_tensor (const yard_attachment_t *self, size_t index)
{
    assert (index < self->directory.count);
    yard_tensor_row_t row = yard_directory_get (&self->directory, index);
    const uint8_t *start = self->count ? self->regions [row.region].data : NULL;
    return (yard_attached_tensor_t){ .name = row.name,
                                     .dtype = row.dtype,
                                     .shape = row.shape,
                                     .strides = row.strides,
                                     .rank = row.rank,
                                     .data = start ? start + row.offset : NULL,
                                     .bytes = row.bytes };
}

bool yard_attachment_find (yard_attachment_t *self, const char *name, yard_attached_tensor_t *ret)
{
    if (!self->names) {
        self->names = yard_table_new ();
        for (size_t i = 0; i < self->directory.count; i++) {
            yard_tensor_row_t row = yard_directory_get (&self->directory, i);
            yard_table_put (self->names, row.name.data, row.name.size, (void *) (uintptr_t) (i + 1));
        }
    }
    size_t index = (size_t) (uintptr_t) yard_table_get (self->names, name, strlen (name));
    if (index)
        *ret = yard_attachment_tensor (self, index - 1);
    return index != 0;
}
