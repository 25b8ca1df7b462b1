// SPDX-License-Identifier: Apache-2.0
/*  attach_test.c - the attach socket and its packets, over real sockets with real descriptors
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include "actors/ground/durable.h"
#include "actors/loader/attach_packet.h"
#include "actors/loader/attach_socket.h"

#define MANY_FILES 150 /* needs three packets of 64 descriptors */

typedef struct {
    char folder [64];
    int ours, theirs; /* a pair of connected sockets */
    yard_arena_t *arena;
    loader_model_t *model;
} bed_t;

static int memory_file (const char *text)
{
    int fd = memfd_create ("test", MFD_CLOEXEC);
    assert_true (fd >= 0);
    assert_int_equal (write (fd, text, strlen (text)), strlen (text));
    return fd;
}

static loader_model_t *make_model (size_t files)
{
    loader_model_t *model = loader_model_new (files);
    model->directory_fd = memory_file ("directory");
    model->directory_bytes = strlen ("directory");
    model->tensors = 3;
    for (size_t at = 0; at < files; at++) {
        struct stat state;
        loader_file_t *file = &model->files [at];
        snprintf (file->name, sizeof file->name, "file-%zu", at);
        file->fd = memory_file (file->name);
        assert_int_equal (fstat (file->fd, &state), 0);
        file->identity = (loader_identity_t){ .device = state.st_dev,
                                              .inode = state.st_ino,
                                              .bytes = (uint64_t) state.st_size };
        file->given = file->identity;
    }
    return model;
}

static int make_bed (void **state)
{
    bed_t *bed = calloc (1, sizeof *bed);
    int pair [2];
    assert_non_null (bed);
    snprintf (bed->folder, sizeof bed->folder, "/tmp/attach_XXXXXX");
    assert_non_null (mkdtemp (bed->folder));
    assert_int_equal (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    bed->ours = pair [0];
    bed->theirs = pair [1];
    bed->arena = yard_arena_new (1 << 20);
    *state = bed;
    return 0;
}

static int clear_bed (void **state)
{
    bed_t *bed = *state;
    loader_model_drop (&bed->model);
    yard_arena_destroy (&bed->arena);
    close (bed->ours);
    if (bed->theirs >= 0)
        close (bed->theirs);
    assert_int_equal (yard_durable_remove (bed->folder, NULL), 0);
    free (bed);
    return 0;
}

/*  One packet as a client sees it: its answer, and how many descriptors came. */
static size_t receive (bed_t *bed, attach_answer_t *ret, int *ret_fds, size_t room)
{
    static char bytes [65536];
    union {
        char room [CMSG_SPACE (253 * sizeof (int))];
        struct cmsghdr align;
    } control;
    struct iovec part = { bytes, sizeof bytes };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room
    };
    ssize_t size = recvmsg (bed->theirs, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    assert_true (size > 0);
    assert_false (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC));
    yard_string_t copy = yard_arena_copy (bed->arena, (yard_string_t){ bytes, (size_t) size });
    assert_int_equal (yard_wire_unpack (attach_answer_type (), copy.data, copy.size, YARD_WIRE_ANSWER,
                                        bed->arena, ret, NULL),
                      0);
    struct cmsghdr *header = CMSG_FIRSTHDR (&message);
    if (!header)
        return 0;
    size_t count = (header->cmsg_len - CMSG_LEN (0)) / sizeof (int);
    assert_true (count <= room);
    memcpy (ret_fds, CMSG_DATA (header), count * sizeof (int));
    return count;
}

static void close_all (const int *fds, size_t count)
{
    for (size_t at = 0; at < count; at++)
        close (fds [at]);
}

static void a_model_of_one_file_comes_in_one_packet_with_its_directory_first (void **state)
{
    bed_t *bed = *state;
    loader_answer_place_t place = { 0 };
    attach_answer_t answer;
    int fds [LOADER_PACKET_FDS];
    char text [16] = { 0 };
    bed->model = make_model (1);
    assert_int_equal (loader_packet_send_answer (bed->ours, bed->model, &place, NULL), 0);
    assert_int_equal (receive (bed, &answer, fds, LOADER_PACKET_FDS), 2);
    assert_false (answer.has_failure);
    assert_false (answer.more);
    assert_int_equal (answer.directory_bytes, strlen ("directory"));
    assert_int_equal (answer.tensors, 3);
    assert_int_equal (answer.regions.count, 1);
    assert_true (yard_string_is (answer.regions.items [0].name, "file-0"));
    assert_int_equal (answer.regions.items [0].inode, bed->model->files [0].identity.inode);
    /*  A position of its own, though ours stands at the end. */
    assert_int_equal (read (fds [0], text, sizeof text), strlen ("directory"));
    assert_string_equal (text, "directory");
    close_all (fds, 2);
}

static void descriptors_are_read_only (void **state)
{
    bed_t *bed = *state;
    loader_answer_place_t place = { 0 };
    attach_answer_t answer;
    int fds [LOADER_PACKET_FDS];
    bed->model = make_model (1);
    assert_int_equal (loader_packet_send_answer (bed->ours, bed->model, &place, NULL), 0);
    size_t count = receive (bed, &answer, fds, LOADER_PACKET_FDS);
    for (size_t at = 0; at < count; at++) {
        assert_int_equal (fcntl (fds [at], F_GETFL) & O_ACCMODE, O_RDONLY);
        assert_true (mmap (NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fds [at], 0) == MAP_FAILED);
    }
    close_all (fds, count);
}

static void many_files_come_in_packets_of_at_most_64_descriptors (void **state)
{
    bed_t *bed = *state;
    loader_answer_place_t place = { 0 };
    size_t regions = 0, packets = 0;
    bool more = true;
    bed->model = make_model (MANY_FILES);
    assert_int_equal (loader_packet_send_answer (bed->ours, bed->model, &place, NULL), 0);
    for (; more; packets++) {
        attach_answer_t answer;
        int fds [LOADER_PACKET_FDS];
        size_t count = receive (bed, &answer, fds, LOADER_PACKET_FDS);
        assert_int_equal (count, answer.regions.count + (packets == 0));
        char name [32];
        snprintf (name, sizeof name, "file-%zu", regions);
        assert_true (yard_string_is (answer.regions.items [0].name, name));
        regions += answer.regions.count;
        more = answer.more;
        close_all (fds, count);
    }
    assert_int_equal (regions, MANY_FILES);
    assert_int_equal (packets, 3);
}

static void a_full_socket_is_gone_on_with_where_it_stopped (void **state)
{
    bed_t *bed = *state;
    loader_answer_place_t place = { 0 };
    attach_answer_t answer;
    int fds [LOADER_PACKET_FDS], room = 8192, rc; /* the kernel doubles it: two packets */
    size_t regions = 0, stops = 0;
    bed->model = make_model (MANY_FILES);
    assert_int_equal (setsockopt (bed->ours, SOL_SOCKET, SO_SNDBUF, &room, sizeof room), 0);
    while ((rc = loader_packet_send_answer (bed->ours, bed->model, &place, NULL)) == YARD_BUSY) {
        size_t count = receive (bed, &answer, fds, LOADER_PACKET_FDS);
        close_all (fds, count);
        regions += answer.regions.count;
        stops++;
    }
    assert_true (stops > 0);
    assert_int_equal (rc, 0);
    while (regions < MANY_FILES) {
        size_t count = receive (bed, &answer, fds, LOADER_PACKET_FDS);
        close_all (fds, count);
        regions += answer.regions.count;
    }
    assert_int_equal (regions, MANY_FILES);
    assert_false (answer.more);
}

static void a_peer_that_has_closed_is_gone (void **state)
{
    bed_t *bed = *state;
    loader_answer_place_t place = { 0 };
    attach_hello_t hello;
    bed->model = make_model (1);
    close (bed->theirs);
    bed->theirs = -1;
    assert_int_equal (loader_packet_send_answer (bed->ours, bed->model, &place, NULL), YARD_GONE);
    assert_int_equal (loader_packet_read_hello (bed->ours, bed->arena, &hello, NULL), YARD_GONE);
}

static void a_hello_is_read_and_anything_else_is_refused (void **state)
{
    bed_t *bed = *state;
    static const char big [LOADER_HELLO_BYTES_MAX + 1];
    static const char bomb [] = "\xdf\xff\xff\xff\xff";
    attach_hello_t hello = { 0 };
    yard_buffer_t bytes;
    assert_int_equal (loader_packet_read_hello (bed->ours, bed->arena, &hello, NULL), YARD_BUSY);
    yard_wire_init (attach_hello_type (), &hello);
    hello.lease = yard_string ("0123456789abcdef0123456789abcdef");
    hello.protocol = 1;
    yard_buffer_init (&bytes, 4096);
    assert_int_equal (yard_wire_pack (attach_hello_type (), &hello, &bytes, NULL), 0);
    assert_int_equal (send (bed->theirs, bytes.data, bytes.size, 0), bytes.size);
    assert_int_equal (loader_packet_read_hello (bed->ours, bed->arena, &hello, NULL), 0);
    assert_true (yard_string_is (hello.lease, "0123456789abcdef0123456789abcdef"));
    for (size_t size = 1; size < bytes.size; size++) {
        assert_int_equal (send (bed->theirs, bytes.data, size, 0), size);
        assert_true (loader_packet_read_hello (bed->ours, bed->arena, &hello, NULL) < 0);
    }
    yard_buffer_clear (&bytes);
    assert_int_equal (send (bed->theirs, big, sizeof big, 0), sizeof big);
    assert_int_equal (loader_packet_read_hello (bed->ours, bed->arena, &hello, NULL), YARD_BAD_FRAME);
    assert_int_equal (send (bed->theirs, bomb, 5, 0), 5);
    assert_true (loader_packet_read_hello (bed->ours, bed->arena, &hello, NULL) < 0);
}

static void a_failure_is_a_packet_without_descriptors (void **state)
{
    bed_t *bed = *state;
    const yard_error_t cause = { YARD_UNKNOWN_LEASE, "no such lease; load again" };
    attach_answer_t answer;
    int fds [1];
    loader_packet_send_failure (bed->ours, &cause);
    assert_int_equal (receive (bed, &answer, fds, 1), 0);
    assert_true (answer.has_failure);
    assert_true (yard_string_is (answer.failure.code, "unknown_lease"));
    assert_true (yard_string_is (answer.failure.text, cause.text));
}

static void the_socket_is_ours_alone_and_dead_ones_are_taken_away (void **state)
{
    bed_t *bed = *state;
    char first [YARD_SOCKET_PATH_MAX + 1], second [YARD_SOCKET_PATH_MAX + 1];
    struct stat info;
    int first_fd, second_fd;
    assert_int_equal (loader_attach_socket_open (bed->folder, "dead", first, &first_fd, NULL), 0);
    assert_int_equal (stat (first, &info), 0);
    assert_int_equal (info.st_mode & 0777, 0600);
    assert_int_equal (loader_attach_socket_open (bed->folder, "alive", second, &second_fd, NULL), 0);
    assert_int_equal (access (first, F_OK), 0); /* it still listens */
    close (first_fd);
    close (second_fd);
    assert_int_equal (loader_attach_socket_open (bed->folder, "next", second, &second_fd, NULL), 0);
    assert_int_equal (access (first, F_OK), -1);
    assert_int_equal (loader_attach_socket_check (bed->ours, NULL), 0);
    close (second_fd);
}

static void a_run_directory_that_is_too_long_for_a_socket_says_so (void **state)
{
    (void) state;
    char path [YARD_SOCKET_PATH_MAX + 1], run [120];
    yard_error_t error = { 0 };
    int fd;
    memset (run, 'r', sizeof run - 1);
    run [0] = '/';
    run [sizeof run - 1] = 0;
    assert_int_equal (loader_attach_socket_open (run, "0123", path, &fd, &error), YARD_INVALID_CONFIG);
    assert_non_null (strstr (error.text, "MODELYARD_RUN"));
}

int main (void)
{
#define CASE(name) cmocka_unit_test_setup_teardown (name, make_bed, clear_bed)
    const struct CMUnitTest tests [] = {
        CASE (a_model_of_one_file_comes_in_one_packet_with_its_directory_first),
        CASE (descriptors_are_read_only),
        CASE (many_files_come_in_packets_of_at_most_64_descriptors),
        CASE (a_full_socket_is_gone_on_with_where_it_stopped),
        CASE (a_peer_that_has_closed_is_gone),
        CASE (a_hello_is_read_and_anything_else_is_refused),
        CASE (a_failure_is_a_packet_without_descriptors),
        CASE (the_socket_is_ours_alone_and_dead_ones_are_taken_away),
        CASE (a_run_directory_that_is_too_long_for_a_socket_says_so),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
