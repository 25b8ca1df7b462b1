// SPDX-License-Identifier: Apache-2.0
/*  attach_socket.h - the attach socket's name in the run directory
 */
#ifndef LOADER_ATTACH_SOCKET_H
#define LOADER_ATTACH_SOCKET_H

#include "actors/ground/error.h"
#include "actors/ground/paths.h"
#include "actors/ground/view.h"

/*  Binds and listens at <run>/attach-<instance>.sock (SEQPACKET, nonblocking), written to ret_path
 *  [YARD_SOCKET_PATH_MAX + 1]; takes away the sockets that nobody listens on any more. */
int loader_attach_socket_open (const char *run, const char *instance, char *ret_path, int *ret_fd,
                               yard_error_t *error);

/*  0 when the peer's process is of our user and pid namespace, else YARD_NOT_LOCAL. */
int loader_attach_socket_check (int fd, yard_error_t *error);

#endif
