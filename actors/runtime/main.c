// SPDX-License-Identifier: Apache-2.0
/*  main.c - an actor as a process
 *
 *  Reads the command line and the configuration, keeps manners with the supervisor (READY at the first welcome, a watchdog fed from
 *  the loop, exit codes), turns signals into a drain: the first SIGTERM or SIGINT drains, the second ends at once.
 */
#include "actor_inside.h"

#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include "actors/ground/notify.h"

#define SETTINGS_MAX 64 /* --set: more belong into modelyard.yaml */

typedef struct {
    const yard_actor_class_t *class;
    const char *settings [SETTINGS_MAX];
    size_t setting_count;
    const char *device, *log;

    void *prepared;
    yard_paths_t paths;
    yard_configuration_t *configuration;
    yard_random_t random;
    yard_bus_t *bus;
    yard_actor_t *actor;
    yard_notify_t *notify;
    yard_timer_t *feed;
    int signals;
    yard_watch_t *signals_watch;
    bool ready;
} process_t;

enum {
    KEY_HOME = 256,
    KEY_RUN,
    KEY_SET,
    KEY_DEVICE,
    KEY_LOG,
    KEY_VERSION
};

static const struct argp_option flags [] = {
    { "home", KEY_HOME, "DIR", 0, "the yard's directory (MODELYARD_HOME)", 0 },
    { "run", KEY_RUN, "DIR", 0, "where its sockets are (MODELYARD_RUN)", 0 },
    { "set", KEY_SET, "KEY=VALUE", 0, "a setting, over modelyard.yaml; may be repeated", 0 },
    { "device", KEY_DEVICE, "NAME", 0, "the device of a loader: host, cuda:0 or a UUID", 0 },
    { "log", KEY_LOG, "LEVEL", 0, "error, warning, info or debug, over log.level", 0 },
    { "version", KEY_VERSION, NULL, 0, "says the version and ends", 0 },
    { 0 },
};

static error_t flag (int key, char *value, struct argp_state *state)
{
    process_t *self = state->input;
    switch (key) {
    case KEY_HOME:
        return setenv ("MODELYARD_HOME", value, 1) ? errno : 0;
    case KEY_RUN:
        return setenv ("MODELYARD_RUN", value, 1) ? errno : 0;
    case KEY_SET:
        if (self->setting_count == SETTINGS_MAX)
            argp_error (state, "more than %d --set; write them into modelyard.yaml", SETTINGS_MAX);
        self->settings [self->setting_count++] = value;
        return 0;
    case KEY_DEVICE:
        self->device = value;
        return 0;
    case KEY_LOG:
        if (yard_log_level_from (value) < 0)
            argp_error (state, "--log %s is none of error, warning, info, debug", value);
        self->log = value;
        return 0;
    case KEY_VERSION:
        printf ("modelyard-%s %s\n", self->class->name, YARD_VERSION);
        exit (YARD_EXIT_DRAINED);
    case ARGP_KEY_ARG:
        argp_error (state, "%s is no flag; this program takes no other arguments", value);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int configure (process_t *self, yard_error_t *error)
{
    int code = yard_paths_find (&self->paths, error);
    if (code == 0)
        code = yard_configuration_read (&self->paths, self->settings, self->setting_count,
                                        &self->configuration, error);
    if (code)
        return code;
    const char *level = self->log;
    if (!level)
        level = yard_wire_word (log_level_type (),
                                (int) yard_configuration_values (self->configuration)->log.level);
    yard_log_open (self->class->name, (yard_log_level_t) yard_log_level_from (level));
    return 0;
}

static void signalled (void *actor_self, void *argument, int fd, short events)
{
    (void) actor_self;
    (void) events;
    process_t *self = argument;
    struct signalfd_siginfo what;
    if (read (fd, &what, sizeof what) != (ssize_t) sizeof what)
        return;
    bool again = yard_actor_draining (self->actor);
    yard_log_info (again ? "process.ends" : "process.drains", "signal=%u", what.ssi_signo);
    yard_notify_send (self->notify, "STOPPING=1\nSTATUS=handing back work");
    yard_actor_stop (self->actor, again ? YARD_EXIT_BROKEN : YARD_EXIT_DRAINED);
}

/*  Threads made later inherit the mask, so the signals wait for the loop. */
static int block_signals (process_t *self, yard_error_t *error)
{
    sigset_t ends;
    sigemptyset (&ends);
    sigaddset (&ends, SIGTERM);
    sigaddset (&ends, SIGINT);
    signal (SIGPIPE, SIG_IGN);
    if (sigprocmask (SIG_BLOCK, &ends, NULL) == 0)
        self->signals = signalfd (-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
    return self->signals >= 0 ? 0 : yard_error_errno (error, errno, "cannot listen for signals");
}

static void feed (void *actor_self, void *argument)
{
    (void) actor_self;
    process_t *self = argument;
    yard_notify_send (self->notify, "WATCHDOG=1");
    yard_timer_set (self->feed, yard_notify_watchdog_ms (self->notify) / 2);
}

static int start (process_t *self, yard_error_t *error)
{
    int code = configure (self, error);
    /* After what fails most often, before every thread, signal mask and context. */
    if (code == 0 && self->class->prepare)
        code = self->class->prepare (&self->prepared, error);
    if (code == 0)
        code = block_signals (self, error);
    if (code)
        return code;
    self->notify = yard_notify_new ();
    self->bus = yard_bus_zmq_new ();
    yard_random_init (&self->random);
    yard_actor_options_t options = {
        .bus = self->bus,
        .clock = yard_clock_system (),
        .random = &self->random,
        .configuration = self->configuration,
        .paths = &self->paths,
        .device = self->device,
        .prepared = self->prepared,
    };
    code = yard_actor_new (self->class, &options, &self->actor, error);
    if (code)
        return code;
    self->signals_watch = yard_watch_new (self->actor, self->signals, POLLIN, signalled, self);
    self->feed = yard_timer_new (self->actor, feed, self);
    if (yard_notify_watchdog_ms (self->notify) > 0)
        yard_timer_set (self->feed, 0);
    yard_notify_send (self->notify, "STATUS=waiting for the broker");
    return 0;
}

static int run (process_t *self)
{
    int exit_code = YARD_EXIT_BROKEN;
    while (yard_actor_turn (self->actor, -1, &exit_code)) {
        if (self->ready || !self->actor->ever_welcomed)
            continue;
        self->ready = true;
        yard_notify_send (self->notify, "READY=1\nSTATUS=serving");
    }
    return exit_code;
}

static void end (process_t *self)
{
    if (self->actor) {
        yard_watch_destroy (&self->signals_watch);
        yard_timer_destroy (&self->feed);
        yard_actor_destroy (&self->actor);
    }
    yard_bus_destroy (&self->bus);
    yard_configuration_destroy (&self->configuration);
    yard_notify_destroy (&self->notify);
    if (self->signals >= 0)
        close (self->signals);
}

int yard_actor_main (const yard_actor_class_t *class, int argc, char **argv)
{
    process_t self = { .class = class, .signals = -1 };
    /* A core would hold tokens and keys. */
    setrlimit (RLIMIT_CORE, &(struct rlimit){ 0, 0 });
    argp_err_exit_status = YARD_EXIT_CANNOT_START;
    static const struct argp parser = {
        flags, flag, NULL, "One actor of a modelyard; `modelyard up` starts all.", NULL, NULL, NULL
    };
    if (argp_parse (&parser, argc, argv, 0, NULL, &self))
        return YARD_EXIT_CANNOT_START;

    yard_error_t error = { 0 };
    yard_log_open (class->name, YARD_LOG_INFO);
    int code = start (&self, &error);
    int exit_code = YARD_EXIT_CANNOT_START;
    if (code == 0)
        exit_code = run (&self);
    else
        yard_log_error ("process.cannot_start", "code=%s text=%s", yard_error_row (code)->word,
                        YARD_QUOTED (error.text));
    end (&self);
    return exit_code;
}
