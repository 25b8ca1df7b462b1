// SPDX-License-Identifier: Apache-2.0
/*  broker.c - the program modelyard-broker: everybody's one address
 *
 *  Promises: never two on one run directory; a dead one's sockets are taken over; ready means that asks are answered. Ends with 0 on SIGTERM or
 *  SIGINT, with 2 and a sentence when it cannot start.
 *
 *  Reading order of the folder: router.h (what it promises), inside.h (its parts), server.h (its sockets), then this.
 */
#ifndef YARD_SIMULATION

#    include <argp.h>
#    include <errno.h>
#    include <signal.h>
#    include <sys/resource.h>
#    include <sys/signalfd.h>
#    include "actors/ground/log.h"
#    include "actors/ground/notify.h"
#    include "lock.h"
#    include "server.h"

#    define SETTINGS_MAX 64 /* --set flags; the configuration has 30 keys */

enum {
    EXIT_STOPPED = 0,
    EXIT_CANNOT_START = 2
};

typedef struct {
    const char *settings [SETTINGS_MAX];
    size_t setting_count;
    const char *log; /* NULL = as configured */
} flags_t;

typedef struct {
    yard_paths_t paths;
    yard_configuration_t *configuration;
    yard_random_t random;
    yard_bus_t *bus;
    broker_server_t *server;
    yard_notify_t *notify;
    int signals, locks [3]; /* file descriptors, -1 = not open: of the run directory, command, event */
} program_t;

static error_t parse_flag (int key, char *value, struct argp_state *state)
{
    flags_t *flags = state->input;
    switch (key) {
    case 'h':
        setenv ("MODELYARD_HOME", value, 1);
        return 0;
    case 'r':
        setenv ("MODELYARD_RUN", value, 1);
        return 0;
    case 's':
        if (flags->setting_count == SETTINGS_MAX)
            argp_error (state, "more than %d --set: write them into modelyard.yaml", SETTINGS_MAX);
        flags->settings [flags->setting_count++] = value;
        return 0;
    case 'l':
        if (yard_log_level_from (value) < 0)
            argp_error (state, "--log %s: must be error, warning, info or debug", value);
        flags->log = value;
        return 0;
    case 'V':
        printf ("modelyard-broker %s\n", YARD_VERSION);
        exit (EXIT_STOPPED);
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options [] = {
    { "home", 'h', "DIR", 0, "the yard's directory (MODELYARD_HOME)", 0 },
    { "run", 'r', "DIR", 0, "directory of the sockets (MODELYARD_RUN)", 0 },
    { "set", 's', "KEY=VALUE", 0, "a setting of modelyard.yaml; may be repeated", 0 },
    { "log", 'l', "LEVEL", 0, "error, warning, info or debug", 0 },
    { "version", 'V', NULL, 0, "print the version and end", 0 },
    { 0 },
};

static const struct argp parser = { .options = options,
                                    .parser = parse_flag,
                                    .doc = "The broker of a yard of models." };

/*  Before any thread: threads inherit the mask, and a signal that nobody blocks ends the process. */
static int open_signals (program_t *self, yard_error_t *error)
{
    sigset_t set;
    sigemptyset (&set);
    sigaddset (&set, SIGTERM);
    sigaddset (&set, SIGINT);
    sigprocmask (SIG_BLOCK, &set, NULL);
    signal (SIGPIPE, SIG_IGN);
    self->signals = signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return self->signals < 0 ? yard_error_errno (error, errno, "cannot make a signalfd") : 0;
}

/*  No core: frames in memory hold what people said. As many connections as this user may have. */
static void set_limits (void)
{
    struct rlimit core = { 0, 0 }, files;
    setrlimit (RLIMIT_CORE, &core);
    if (getrlimit (RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit (RLIMIT_NOFILE, &files);
    }
}

/*  The run directory's lock covers the sockets in it; one elsewhere has a lock of its own beside it. */
static int lock_endpoint (program_t *self, const char *endpoint, int *ret_fd, yard_error_t *error)
{
    static const char scheme [] = "ipc://";
    yard_string_t text = yard_string (endpoint);
    if (!yard_string_starts (text, scheme) || text.data [sizeof scheme - 1] == '@')
        return 0;
    const char *path = endpoint + sizeof scheme - 1;
    size_t run_size = strlen (self->paths.run);
    if (!strncmp (path, self->paths.run, run_size) && path [run_size] == '/' &&
        !strchr (path + run_size + 1, '/'))
        return broker_lock_clear (endpoint, error);
    char lock [PATH_MAX];
    snprintf (lock, sizeof lock, "%s.lock", path);
    int rc = broker_lock (lock, ret_fd, error);
    return rc ? rc : broker_lock_clear (endpoint, error);
}

static int take_locks (program_t *self, yard_error_t *error)
{
    char path [PATH_MAX];
    const configuration_t *values = yard_configuration_values (self->configuration);
    int rc = yard_paths_make_private (self->paths.run, error);
    if (!rc)
        rc = yard_path_join (path, self->paths.run, "broker.lock", error);
    if (!rc)
        rc = broker_lock (path, &self->locks [0], error);
    if (!rc)
        rc = lock_endpoint (self, values->bus.command.data, &self->locks [1], error);
    if (!rc)
        rc = lock_endpoint (self, values->bus.event.data, &self->locks [2], error);
    return rc;
}

static int start (program_t *self, const flags_t *flags, yard_error_t *error)
{
    int rc = yard_paths_find (&self->paths, error);
    if (!rc)
        rc = yard_configuration_read (&self->paths, flags->settings, flags->setting_count,
                                      &self->configuration, error);
    if (rc)
        return rc;
    const configuration_t *values = yard_configuration_values (self->configuration);
    const char *level = flags->log ? flags->log : yard_wire_word (log_level_type (), (int) values->log.level);
    yard_log_open ("broker", (yard_log_level_t) yard_log_level_from (level));
    rc = take_locks (self, error);
    if (!rc)
        rc = open_signals (self, error);
    if (rc)
        return rc;
    yard_random_init (&self->random);
    self->bus = yard_bus_zmq_new ();
    self->notify = yard_notify_new ();
    broker_server_options_t inside = { self->bus, yard_clock_system (), &self->random, self->configuration,
                                       &self->paths };
    return broker_server_new (&inside, &self->server, error);
}

static void stop (program_t *self)
{
    broker_server_destroy (&self->server);
    yard_bus_destroy (&self->bus);
    yard_notify_destroy (&self->notify);
    yard_configuration_destroy (&self->configuration);
    if (self->signals >= 0)
        close (self->signals);
    /* Last: until here nobody else may bind. */
    for (size_t i = 0; i < sizeof self->locks / sizeof self->locks [0]; i++)
        if (self->locks [i] >= 0)
            close (self->locks [i]);
}

/*  Until a signal. The watchdog is fed from here and nowhere else, so that a stuck loop starves it. */
static void serve (program_t *self)
{
    const yard_clock_t *clock = yard_clock_system ();
    int64_t feed_ms = yard_notify_watchdog_ms (self->notify) / 2, fed_ms = yard_clock_ms (clock);
    yard_notify_send (self->notify, "READY=1\nSTATUS=routing");
    while (!broker_server_turn (self->server, feed_ms ? (int) feed_ms : -1, self->signals)) {
        if (!feed_ms || yard_clock_ms (clock) - fed_ms < feed_ms / 2)
            continue;
        fed_ms = yard_clock_ms (clock);
        yard_notify_send (self->notify, "WATCHDOG=1");
    }
    yard_notify_send (self->notify, "STOPPING=1");
}

int main (int argc, char **argv)
{
    flags_t flags = { 0 };
    yard_error_t error = { 0 };
    program_t program = { .signals = -1, .locks = { -1, -1, -1 } };
    set_limits ();
    argp_err_exit_status = EXIT_CANNOT_START;
    yard_log_open ("broker", YARD_LOG_INFO);
    argp_parse (&parser, argc, argv, 0, NULL, &flags);
    int rc = start (&program, &flags, &error);
    if (rc)
        yard_log_error ("broker.cannot_start", "code=%s text=%s", yard_error_row (rc)->word,
                        YARD_QUOTED (error.text));
    else {
        serve (&program);
        yard_log_info ("broker.stopped", "by=signal");
    }
    stop (&program);
    return rc ? EXIT_CANNOT_START : EXIT_STOPPED;
}

#endif
