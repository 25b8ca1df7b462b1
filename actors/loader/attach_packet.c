// SPDX-License-Identifier: Apache-2.0
/*  attach_packet.c - packets and descriptors, on a SEQPACKET socket
 *
 *  A descriptor that is passed on shares its position and locks with the one it was made from; so each
 *  receiver gets one of its own, opened by way of /proc/self/fd. That opens the very file we hold, whatever
 *  its name leads to now.
 */
#include "actors/loader/attach_packet.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include "actors/ground/digest.h"

#define OWN_PATH_SIZE 40 /* "/proc/self/fd/2147483647" */
#define FAILURE_BYTES_MAX 8192 /* a sentence has 512 */
#define ANSWER_BYTES_MAX (64 * 1024) /* 64 regions of at most 340 bytes; a socket's buffer takes 200 KiB */

int loader_packet_read_hello (int fd, yard_arena_t *arena, attach_hello_t *ret, yard_error_t *error)
{
    char bytes [LOADER_HELLO_BYTES_MAX];
    /*  No room for control data: descriptors that a peer sends are dropped by the kernel. */
    ssize_t size = recv (fd, bytes, sizeof bytes, MSG_DONTWAIT | MSG_TRUNC);
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return YARD_BUSY;
    if (size <= 0)
        return yard_error (error, YARD_GONE, "the other end is closed");
    if ((size_t) size > sizeof bytes)
        return yard_error (error, YARD_BAD_FRAME, "a hello of %zd bytes; at most %d are taken", size,
                           LOADER_HELLO_BYTES_MAX);
    yard_string_t copy = yard_arena_copy (arena, (yard_string_t){ bytes, (size_t) size });
    if (!copy.data)
        return yard_error (error, YARD_TOO_LARGE, "no room for a hello of %zd bytes", size);
    return yard_wire_unpack (attach_hello_type (), copy.data, copy.size, YARD_WIRE_ASK, arena, ret, error);
}

/*  Sends bytes with descriptors [count]. */
static int send_packet (int fd, const yard_buffer_t *bytes, const int *descriptors, size_t count)
{
    struct iovec part = { .iov_base = bytes->data, .iov_len = bytes->size };
    union {
        char room [CMSG_SPACE (LOADER_PACKET_FDS * sizeof (int))];
        struct cmsghdr align;
    } control;
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
    if (count > 0) {
        memset (&control, 0, sizeof control);
        message.msg_control = control.room;
        message.msg_controllen = CMSG_SPACE (count * sizeof (int));
        struct cmsghdr *header = CMSG_FIRSTHDR (&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN (count * sizeof (int));
        memcpy (CMSG_DATA (header), descriptors, count * sizeof (int));
    }
    ssize_t sent;
    do
        sent = sendmsg (fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return 0;
    /*  ETOOMANYREFS: too many descriptors are under way to slow receivers of this user; it passes. */
    return errno == EAGAIN || errno == EWOULDBLOCK ? YARD_BUSY : YARD_GONE;
}

static int open_anew (int fd, int *ret, yard_error_t *error)
{
    char path [OWN_PATH_SIZE];
    snprintf (path, sizeof path, "/proc/self/fd/%d", fd);
    *ret = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*ret < 0)
        return yard_error_errno (error, errno, "cannot open the model's file once more");
    return 0;
}

/*  A region's descriptor, for the receiver alone; -1 when it has none. What the driver exported cannot be opened anew, and has no
 *  position that could be shared. */
static int open_region (const loader_model_t *model, size_t region, int *ret, yard_error_t *error)
{
    if (model->form != load_form_device)
        return open_anew (model->files [region].fd, ret, error);
    *ret = model->handle.fd < 0 ? -1 : fcntl (model->handle.fd, F_DUPFD_CLOEXEC, 0);
    if (*ret < 0 && model->handle.fd >= 0)
        return yard_error_errno (error, errno, "cannot hand out the device's memory");
    return 0;
}

/*  Which descriptors the next packet takes, opened; *ret_regions of its regions, behind the directory if that has not left yet. */
static int next_descriptors (const loader_model_t *model, const loader_answer_place_t *place, int *ret_fds,
                             size_t *ret_count, size_t *ret_regions, yard_error_t *error)
{
    size_t count = 0;
    int rc = 0;
    *ret_regions = 0;
    if (!place->begun && (rc = open_anew (model->directory_fd, &ret_fds [count], error)) == 0)
        count++;
    for (size_t at = place->regions;
         rc == 0 && at < loader_model_regions (model) && count < LOADER_PACKET_FDS; at++) {
        if ((rc = open_region (model, at, &ret_fds [count], error)))
            break;
        count += ret_fds [count] >= 0;
        ++*ret_regions;
    }
    *ret_count = count;
    return rc;
}

static attach_region_t region_row (const loader_model_t *model, size_t region)
{
    if (model->form == load_form_device)
        return (attach_region_t){ .name = yard_string (model->device_name),
                                  .form = model->handle.form == LOADER_EXPORT_IPC ? attach_form_ipc
                                                                                  : attach_form_vmm,
                                  .bytes = model->handle.size,
                                  .device_uuid = yard_string (model->device_uuid) };
    const loader_file_t *file = &model->files [region];
    return (attach_region_t){ .name = yard_string (file->name),
                              .form = attach_form_file,
                              .bytes = file->given.bytes,
                              .device = file->given.device,
                              .inode = file->given.inode };
}

static int pack_answer (const loader_model_t *model, const loader_answer_place_t *place, size_t regions,
                        yard_buffer_t *ret, yard_error_t *error)
{
    attach_region_t rows [LOADER_PACKET_FDS];
    attach_answer_t answer;
    char handle [2 * LOADER_HANDLE_SIZE + 1];
    yard_wire_init (attach_answer_type (), &answer);
    for (size_t at = 0; at < regions; at++) {
        rows [at] = region_row (model, place->regions + at);
        if (rows [at].form != attach_form_ipc)
            continue;
        yard_hex (model->handle.bytes, LOADER_HANDLE_SIZE, handle);
        rows [at].handle = yard_string (handle);
    }
    answer.regions.items = rows;
    answer.regions.count = regions;
    answer.more = place->regions + regions < loader_model_regions (model);
    if (!place->begun) {
        answer.directory_bytes = model->directory_bytes;
        answer.tensors = model->tensors;
    }
    return yard_wire_pack (attach_answer_type (), &answer, ret, error);
}

int loader_packet_send_answer (int fd, const loader_model_t *model, loader_answer_place_t *place,
                               yard_error_t *error)
{
    int rc = 0;
    while (rc == 0 && (!place->begun || place->regions < loader_model_regions (model))) {
        int descriptors [LOADER_PACKET_FDS];
        size_t count, regions;
        yard_buffer_t bytes;
        yard_buffer_init (&bytes, ANSWER_BYTES_MAX);
        rc = next_descriptors (model, place, descriptors, &count, &regions, error);
        if (rc == 0)
            rc = pack_answer (model, place, regions, &bytes, error);
        if (rc == 0 && (rc = send_packet (fd, &bytes, descriptors, count)) == 0) {
            place->begun = true;
            place->regions += regions;
        }
        for (size_t at = 0; at < count; at++)
            close (descriptors [at]);
        yard_buffer_clear (&bytes);
    }
    return rc;
}

void loader_packet_send_failure (int fd, const yard_error_t *cause)
{
    attach_answer_t answer;
    yard_buffer_t bytes;
    yard_wire_init (attach_answer_type (), &answer);
    answer.has_failure = true;
    yard_wire_init (failure_type (), &answer.failure);
    answer.failure.code = yard_string (yard_error_row (cause->code)->word);
    answer.failure.text = yard_string (cause->text);
    yard_buffer_init (&bytes, FAILURE_BYTES_MAX);
    if (yard_wire_pack (attach_answer_type (), &answer, &bytes, NULL) == 0)
        send_packet (fd, &bytes, NULL, 0);
    yard_buffer_clear (&bytes);
}
