// SPDX-License-Identifier: Apache-2.0
/*  screen.c - the terminal as a picture that is drawn again and again
 *
 *  Sequences: ECMA-48, and the alternate screen of xterm (private mode 1049), which all terminals of today have.
 */
#include "screen.h"

#include <poll.h>
#include <sys/ioctl.h>

#define WIDTH_USUAL 80 /* of a terminal that does not say */
#define HEIGHT_USUAL 24

static void put (const char *sequence)
{
    fputs (sequence, stdout);
    fflush (stdout);
}

void screen_enter (screen_t *self)
{
    self->has_keys = isatty (STDIN_FILENO) && tcgetattr (STDIN_FILENO, &self->before) == 0;
    if (self->has_keys) {
        struct termios now = self->before;
        now.c_lflag &= ~(tcflag_t) (ICANON | ECHO);
        now.c_cc [VMIN] = 0;
        now.c_cc [VTIME] = 0;
        tcsetattr (STDIN_FILENO, TCSANOW, &now);
    }
    self->entered = true;
    put ("\033[?1049h\033[?25l");
}

void screen_leave (screen_t *self)
{
    if (!self->entered)
        return;
    self->entered = false;
    put ("\033[?25h\033[?1049l");
    if (self->has_keys)
        tcsetattr (STDIN_FILENO, TCSANOW, &self->before);
}

void screen_size (size_t *ret_width, size_t *ret_height)
{
    struct winsize size = { 0 };
    bool known = ioctl (STDOUT_FILENO, TIOCGWINSZ, &size) == 0;
    *ret_width = known && size.ws_col > 0 ? size.ws_col : WIDTH_USUAL;
    *ret_height = known && size.ws_row > 0 ? size.ws_row : HEIGHT_USUAL;
}

/*  Each line clears the rest of its row, and the end the rows below, so nothing flickers. The last line ends
 *  without a newline: one in the last row would scroll. */
void screen_draw (const char *lines)
{
    fputs ("\033[H", stdout);
    for (const char *at = lines; *at;) {
        size_t size = strcspn (at, "\n");
        fprintf (stdout, "%.*s\033[K", (int) size, at);
        at += size + (at [size] == '\n');
        if (*at)
            fputc ('\n', stdout);
    }
    put ("\033[J");
}

int screen_key (const screen_t *self)
{
    unsigned char key;
    struct pollfd waiting = { .fd = STDIN_FILENO, .events = POLLIN };
    if (!self->has_keys || poll (&waiting, 1, 0) <= 0)
        return 0;
    return read (STDIN_FILENO, &key, 1) == 1 ? key : -1;
}
