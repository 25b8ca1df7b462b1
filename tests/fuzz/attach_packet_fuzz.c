// SPDX-License-Identifier: Apache-2.0
/*  attach_packet_fuzz.c - any packet on a loader's attach socket: a hello, or a refusal with a sentence
 *
 *  Over a real pair of sockets, since a packet's length is the kernel's word and not the reader's.
 */
#include <assert.h>
#include <sys/socket.h>
#include "actors/loader/attach_packet.h"

#define ARENA_MAX (64 * 1024)

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    int ends [2];
    int failed = socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends);
    assert (!failed);
    yard_arena_t *arena = yard_arena_new (ARENA_MAX);
    attach_hello_t hello;
    yard_error_t error = { 0 };
    ssize_t sent = send (ends [0], data, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    assert (sent == (ssize_t) size);
    failed = loader_packet_read_hello (ends [1], arena, &hello, &error);
    if (failed)
        assert (failed == YARD_BUSY || (error.code == failed && error.text [0]));
    else
        assert (hello.lease.size == strnlen (hello.lease.data, hello.lease.size) &&
                size <= LOADER_HELLO_BYTES_MAX);
    loader_packet_send_failure (ends [1], &error);
    yard_arena_destroy (&arena);
    close (ends [0]);
    close (ends [1]);
    return 0;
}
