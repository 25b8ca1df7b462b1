// SPDX-License-Identifier: Apache-2.0
/*  screen.h - the terminal as a picture that is drawn again and again
 *
 *  Keys come one by one and are not shown; what stood on the terminal before is there again after screen_leave,
 *  which is to be called on every way out.
 */
#ifndef MODELYARD_SCREEN_H
#define MODELYARD_SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <termios.h>

typedef struct {
    bool entered;
    bool has_keys; /* stdin is a terminal too */
    struct termios before;
} screen_t;

void screen_enter (screen_t *self);
void screen_leave (screen_t *self); /* also twice */
void screen_size (size_t *ret_width, size_t *ret_height);
/*  In place of what was drawn before; lines end with a newline. */
void screen_draw (const char *lines);
/*  The next key, 0 = none was pressed, -1 = there will be none any more. Never waits. */
int screen_key (const screen_t *self);

#endif
