// SPDX-License-Identifier: Apache-2.0
/*  handler_watch.h - a second pair of eyes on the loop: says which handler does not come back
 *
 *  One thread looks at a slot that the loop writes around each handler. A handler that has run for 500 ms is named in the log, again at each
 *  doubling. It measures real time, and only tells: who kills is the supervisor, whose watchdog is fed from the loop.
 */
#ifndef YARD_RUNTIME_HANDLER_WATCH_H
#define YARD_RUNTIME_HANDLER_WATCH_H

typedef struct yard_handler_watch_t yard_handler_watch_t;

yard_handler_watch_t *yard_handler_watch_new (void);
void yard_handler_watch_destroy (yard_handler_watch_t **self_p);

/*  Both texts are constants: they are read later, by the thread. self may be NULL. Begin and end do not nest. */
void yard_handler_watch_begin (yard_handler_watch_t *self, const char *handler, const char *message);
void yard_handler_watch_end (yard_handler_watch_t *self);

#endif
