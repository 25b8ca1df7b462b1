// SPDX-License-Identifier: Apache-2.0
/*  stream.h - a TCP connection read by lines and sizes, for the peers' text protocols
 *
 *  What is written leaves when somebody flushes, or when a read would block: so many asks under way share a
 *  system call, as they do in libzmq.
 */
#ifndef YARD_BENCH_STREAM_H
#define YARD_BENCH_STREAM_H

#include "actors/ground/view.h"

typedef struct bench_stream_t bench_stream_t;

bench_stream_t *bench_stream_open (const char *port); /* on 127.0.0.1 */
void bench_stream_close (bench_stream_t *self);
void bench_stream_write (bench_stream_t *self, yard_string_t bytes);
void bench_stream_printf (bench_stream_t *self, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));
void bench_stream_flush (bench_stream_t *self);
/*  Without its \r\n, and NUL-terminated; valid until the next read. */
yard_string_t bench_stream_line (bench_stream_t *self);
/*  So many bytes and the \r\n behind them. */
yard_string_t bench_stream_bytes (bench_stream_t *self, size_t size);
/*  Drops what has come, without waiting: answers that say nothing. */
void bench_stream_forget (bench_stream_t *self);

#endif
