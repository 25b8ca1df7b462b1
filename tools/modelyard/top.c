// SPDX-License-Identifier: Apache-2.0
/*  top.c - `modelyard top`: devices, caches and loads, live
 *
 *  On a terminal a picture that is drawn over itself until q or Ctrl-C; elsewhere, and with --json, one picture
 *  after the other. A yard that goes away is said in the picture, and it goes on when the yard is back.
 */
#include "commands.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include "actors/ground/clock.h"
#include "screen.h"
#include "signals.h"
#include "top_frame.h"

#define INTERVAL_MS 1000
#define INTERVAL_MS_MIN 100 /* each picture asks every loader twice */
#define INTERVAL_MS_MAX 3600000
#define ANSWERS_BYTES_MAX ((size_t) 256 * YARD_MESSAGE_MAX) /* of one picture: two answers of 256 loaders */

typedef struct {
    invocation_t *invocation;
    bool once, live; /* live: drawn over itself */
    int64_t interval_ms;
    int signals;
    screen_t screen;
    yard_arena_t *arenas [2]; /* the last picture stays while the next one is asked for */
    loaders_t loaders;
    top_rates_t rates;
    bool over;
} top_t;

enum {
    OPTION_ONCE = 0x200,
    OPTION_INTERVAL
};

static error_t parse_top (int key, char *word, struct argp_state *state)
{
    top_t *self = state->input;
    char *end;
    double seconds;
    switch (key) {
    case OPTION_ONCE:
        self->once = true;
        return 0;
    case OPTION_INTERVAL:
        seconds = strtod (word, &end);
        if (*end || end == word || !(seconds * 1000 >= INTERVAL_MS_MIN && seconds * 1000 <= INTERVAL_MS_MAX))
            argp_error (state, "--interval must be a number of seconds from 0.1 to 3600");
        self->interval_ms = (int64_t) (seconds * 1000);
        return 0;
    case ARGP_KEY_ARG:
        argp_usage (state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp top_argp = {
    .options =
        (const struct argp_option []){
            { .name = "once", .key = OPTION_ONCE, .doc = "One picture, then end" },
            { .name = "interval", .key = OPTION_INTERVAL, .arg = "S", .doc = "Seconds between pictures (1)" },
            { 0 } },
    .parser = parse_top,
    .doc = "Shows devices, caches and loads, live. In the bars: # held by leases, = idle, + reserved by "
           "loads under "
           "way, ~ draining, . free. q or Ctrl-C ends it."
};

static int64_t now_ms (void)
{
    return yard_clock_ms (yard_clock_system ());
}

/*  On failure the last answers stay. */
static int look (top_t *self)
{
    loaders_t seen = { 0 };
    yard_arena_reset (self->arenas [1]);
    int rc = loaders_look (self->invocation, self->arenas [1], LOADERS_LIST | LOADERS_DEVICE, NULL, &seen);
    if (rc)
        return rc;
    yard_arena_t *last = self->arenas [0];
    self->arenas [0] = self->arenas [1];
    self->arenas [1] = last;
    self->loaders = seen;
    top_rates_told (&self->rates, &self->loaders, now_ms ());
    return 0;
}

static void show_json (top_t *self)
{
    yard_buffer_t line;
    yard_buffer_init (&line, (size_t) 2 * INVOCATION_JSON_MAX);
    top_frame_json (&self->loaders, &self->rates, (double) yard_clock_wall_ms (yard_clock_system ()) / 1000.0,
                    &line);
    invocation_json_line (&line);
    fflush (stdout);
    yard_buffer_clear (&line);
}

static void show (top_t *self, const char *failure)
{
    char when [16], *text = NULL;
    size_t size = 0;
    struct tm now;
    time_t seconds = (time_t) (yard_clock_wall_ms (yard_clock_system ()) / 1000);
    strftime (when, sizeof when, "%H:%M:%S", localtime_r (&seconds, &now));
    top_view_t view = { .when = when, .failure = failure };
    if (self->live)
        screen_size (&view.width, &view.height);
    FILE *frame = open_memstream (&text, &size);
    if (!frame)
        abort ();
    top_frame_draw (&self->loaders, &self->rates, &view, frame);
    fclose (frame);
    if (self->live)
        screen_draw (text);
    else
        printf ("%s%s", text, self->once ? "" : "\n");
    fflush (stdout);
    free (text);
}

/*  Ctrl-Z: the shell gets its terminal back as it was, and we ours when we are brought back. */
static void suspend (top_t *self)
{
    screen_leave (&self->screen);
    raise (SIGSTOP);
    if (self->live)
        screen_enter (&self->screen);
}

static bool handle_signal (top_t *self)
{
    int number = signals_take (self->signals);
    if (number == SIGTSTP)
        suspend (self);
    else if (number && number != SIGWINCH)
        self->over = true;
    return number != 0;
}

/*  Until the next picture is due, or something asks for one at once. The client is served meanwhile: it answers
 *  pings. */
static void rest (top_t *self, int64_t until_ms)
{
    while (!self->over && now_ms () < until_ms) {
        yard_client_t *client = self->invocation->client;
        int64_t left = until_ms - now_ms (), timeout = client ? yard_client_timeout_ms (client) : left;
        struct pollfd fds [] = { { .fd = self->signals, .events = POLLIN },
                                 { .fd = client ? yard_client_fd (client) : -1, .events = POLLIN },
                                 { .fd = self->screen.has_keys ? STDIN_FILENO : -1, .events = POLLIN } };
        poll (fds, 3, (int) (timeout < left ? timeout : left));
        bool redraw = handle_signal (self);
        int key = screen_key (&self->screen);
        self->over = self->over || key == 'q' || key == 'Q' || key < 0;
        if (client)
            yard_client_dispatch (client);
        if (redraw || key == ' ')
            return;
    }
}

/*  The first picture must come about; after it the yard may go and come. */
static int run (top_t *self)
{
    int rc = look (self);
    if (rc)
        return rc;
    if (self->live)
        screen_enter (&self->screen);
    while (!self->over) {
        int64_t due_ms = now_ms () + self->interval_ms;
        if (self->invocation->json && rc == 0)
            show_json (self);
        else if (!self->invocation->json)
            show (self, rc ? self->invocation->error.text : NULL);
        if (self->once)
            break;
        rest (self, due_ms);
        if (!self->over)
            rc = look (self);
    }
    screen_leave (&self->screen);
    return 0;
}

int command_top (invocation_t *invocation, int argc, char **argv)
{
    static const int also [] = { SIGHUP, SIGWINCH, SIGTSTP, 0 };
    top_t *self = calloc (1, sizeof *self); /* rates are too large for a stack */
    if (!self)
        abort ();
    *self = (top_t){ .invocation = invocation, .interval_ms = INTERVAL_MS, .signals = -1 };
    int rc = invocation_parse (invocation, &top_argp, argc, argv, self);
    self->live = invocation->out_tty && !invocation->json && !self->once;
    for (size_t i = 0; i < 2; i++)
        self->arenas [i] = yard_arena_new (ANSWERS_BYTES_MAX);
    if (rc == 0)
        rc = invocation_connect (invocation);
    if (rc == 0)
        rc = signals_catch (also, &self->signals, &invocation->error);
    if (rc == 0)
        rc = run (self);
    if (self->signals >= 0)
        close (self->signals);
    for (size_t i = 0; i < 2; i++)
        yard_arena_destroy (&self->arenas [i]);
    free (self);
    return rc ? invocation_failed (invocation) : EXIT_DONE;
}
