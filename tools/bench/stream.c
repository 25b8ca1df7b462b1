// SPDX-License-Identifier: Apache-2.0
/*  stream.c - two buffers and a socket
 */
#include "stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include "carrier.h"

#define BYTES_MAX ((size_t) 1 << 18) /* in each direction: a window of asks many times over */

struct bench_stream_t {
    int fd;
    size_t at, filled, written;
    char in [BYTES_MAX], out [BYTES_MAX];
};

bench_stream_t *bench_stream_open (const char *port)
{
    bench_stream_t *self = calloc (1, sizeof *self);
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_port = htons ((uint16_t) bench_number (port)),
                                   .sin_addr = { htonl (INADDR_LOOPBACK) } };
    if (!self || (self->fd = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0 ||
        connect (self->fd, (struct sockaddr *) &address, sizeof address))
        bench_die ("127.0.0.1:%s: %s", port, strerror (errno));
    setsockopt (self->fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof (int));
    return self;
}

void bench_stream_close (bench_stream_t *self)
{
    close (self->fd);
    free (self);
}

void bench_stream_flush (bench_stream_t *self)
{
    for (size_t sent = 0; sent < self->written;) {
        ssize_t size = send (self->fd, self->out + sent, self->written - sent, MSG_NOSIGNAL);
        if (size < 0 && errno != EINTR)
            bench_die ("the peer has gone: %s", strerror (errno));
        sent += size > 0 ? (size_t) size : 0;
    }
    self->written = 0;
}

void bench_stream_write (bench_stream_t *self, yard_string_t bytes)
{
    if (bytes.size > BYTES_MAX)
        bench_die ("a message of %zu bytes does not fit", bytes.size);
    if (bytes.size > BYTES_MAX - self->written)
        bench_stream_flush (self);
    memcpy (self->out + self->written, bytes.data, bytes.size);
    self->written += bytes.size;
}

void bench_stream_printf (bench_stream_t *self, const char *format, ...)
{
    char text [256];
    va_list arguments;
    va_start (arguments, format);
    int size = vsnprintf (text, sizeof text, format, arguments);
    va_end (arguments);
    bench_stream_write (self, (yard_string_t){ text, (size_t) size });
}

/*  false: nothing there, and dontwait. */
static bool fill (bench_stream_t *self, int flags)
{
    if (self->at) {
        memmove (self->in, self->in + self->at, self->filled - self->at);
        self->filled -= self->at;
        self->at = 0;
    }
    bench_stream_flush (self);
    ssize_t size = recv (self->fd, self->in + self->filled, BYTES_MAX - self->filled, flags);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (size <= 0)
        bench_die ("the peer has gone");
    self->filled += (size_t) size;
    return true;
}

yard_string_t bench_stream_line (bench_stream_t *self)
{
    char *end;
    while (!(end = memchr (self->in + self->at, '\n', self->filled - self->at)))
        fill (self, 0);
    char *line = self->in + self->at;
    self->at = (size_t) (end - self->in) + 1;
    end -= end > line && end [-1] == '\r';
    *end = 0;
    return (yard_string_t){ line, (size_t) (end - line) };
}

yard_string_t bench_stream_bytes (bench_stream_t *self, size_t size)
{
    while (self->filled - self->at < size + 2)
        fill (self, 0);
    yard_string_t bytes = { self->in + self->at, size };
    self->at += size + 2;
    return bytes;
}

void bench_stream_forget (bench_stream_t *self)
{
    do
        self->at = self->filled;
    while (fill (self, MSG_DONTWAIT));
}
