// SPDX-License-Identifier: Apache-2.0
/*  up.c - `modelyard up` and `modelyard down`: a whole yard on this machine, from the configuration
 *
 *  Promises: one yard per run directory; `up --detach` returns when every actor is ready, or says why none
 *  is; `down` returns when all have ended. Speaks to nobody over ZeroMQ: what it supervises may be broken in
 *  any way.
 */
#include "commands.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <unistd.h>
#include "actors/ground/log.h"
#include "proto/configuration.h"
#include "supervisor.h"
#include "up_devices.h"
#include "up_lock.h"

#define SETTINGS_MAX 30 /* --set words; more belongs into modelyard.yaml */
#define PROGRAMS_ELSEWHERE "/usr/libexec/modelyard"
#define PROGRAMS_BESIDE_BIN "../libexec/modelyard" /* where an installation below any other prefix has them */
#define DOWN_MS 120000 /* three stages of 10 s each, killed after that, and a disk that syncs slowly */
#define REPORT_MAX 1024 /* what the detached process tells the one that waits */

#define LOADER_STAGE 2

/*  What `up` runs. One stage starts when those before it are ready. */
static const struct {
    const char *actor;
    unsigned stage;
    bool pool; /* as many as download.workers */
} actors [] = {
    { "broker", 0, false },    { "recorder", 1, false },          { "prober", 2, false },
    { "installer", 2, false }, { "loader", LOADER_STAGE, false }, { "downloader", 2, true },
};

typedef struct {
    bool detach;
    const char *only;
    const char *settings [SETTINGS_MAX];
    size_t setting_count;
    const configuration_t *values;
    int report; /* pipe to the waiting process; -1 in the foreground */
} up_t;

enum {
    OPTION_SET = 0x200,
    OPTION_ONLY
};

static error_t parse_up (int key, char *word, struct argp_state *state)
{
    up_t *self = state->input;
    switch (key) {
    case 'd':
        self->detach = true;
        return 0;
    case OPTION_ONLY:
        self->only = word;
        return 0;
    case OPTION_SET:
        if (self->setting_count == SETTINGS_MAX)
            argp_error (state, "more than %d settings; put them into modelyard.yaml", SETTINGS_MAX);
        self->settings [self->setting_count++] = word;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp up_argp = {
    .options =
        (const struct argp_option []){
            { .name = "detach",
              .key = 'd',
              .doc = "Return when the yard is ready; logs go to HOME/log/ACTOR.log" },
            { .name = "set",
              .key = OPTION_SET,
              .arg = "KEY=VALUE",
              .doc = "A setting over modelyard.yaml; may be repeated" },
            { .name = "only",
              .key = OPTION_ONLY,
              .arg = "ACTOR,…",
              .doc = "Start only these; the others run elsewhere" },
            { 0 } },
    .parser = parse_up,
    .doc = "Starts a yard and keeps it running until SIGTERM, Ctrl-C or `modelyard down`."
};

/*  Is actor one of the words of a comma-separated list? */
static bool is_listed (const char *list, const char *actor)
{
    size_t size = strlen (actor);
    for (const char *at = list; at && *at;) {
        size_t word = strcspn (at, ",");
        if (word == size && memcmp (at, actor, size) == 0)
            return true;
        at += word + (at [word] == ',');
    }
    return false;
}

static int check_only (const char *only, yard_error_t *error)
{
    for (const char *at = only; at && *at;) {
        size_t word = strcspn (at, ","), known = 0;
        for (size_t i = 0; i < sizeof actors / sizeof actors [0]; i++)
            known += strlen (actors [i].actor) == word && memcmp (at, actors [i].actor, word) == 0;
        if (!known)
            return yard_error (error, YARD_INVALID_CONFIG,
                               "--only: `up` knows no actor \"%.*s\"; broker, recorder, prober, installer, "
                               "loader, downloader",
                               (int) word, at);
        at += word + (at [word] == ',');
    }
    return 0;
}

/*  Beside this program, then where its own installation put it, then where packages do. */
static int find_program (const char *actor, char *ret_path, yard_error_t *error)
{
    char own [PATH_MAX], installed [PATH_MAX], name [64], path [PATH_MAX];
    ssize_t size = readlink ("/proc/self/exe", own, sizeof own - 1);
    own [size > 0 ? size : 0] = 0;
    char *slash = strrchr (own, '/');
    if (slash)
        *slash = 0;
    snprintf (name, sizeof name, "modelyard-%s", actor);
    bool has_own = slash && yard_path_join (installed, own, PROGRAMS_BESIDE_BIN, NULL) == 0;
    const char *const folders [] = { has_own ? own : PROGRAMS_ELSEWHERE,
                                     has_own ? installed : PROGRAMS_ELSEWHERE, PROGRAMS_ELSEWHERE };
    for (size_t i = 0; i < sizeof folders / sizeof folders [0]; i++) {
        if (yard_path_join (path, folders [i], name, NULL) || access (path, X_OK))
            continue;
        snprintf (ret_path, PATH_MAX, "%s", path);
        return 0;
    }
    return yard_error (error, YARD_NOT_FOUND,
                       "the program %s is neither in %s nor in %s; build or install it, or use --only", name,
                       folders [0], PROGRAMS_ELSEWHERE);
}

/*  device: of a loader; NULL = the host. */
static int add_actor (const up_t *self, supervisor_t *supervisor, const char *actor, const char *name,
                      const char *device, unsigned stage, yard_error_t *error)
{
    char path [PATH_MAX];
    const char *words [4 + 2 * SETTINGS_MAX] = { path };
    size_t count = 1;
    int rc = find_program (actor, path, error);
    if (device) {
        words [count++] = "--device";
        words [count++] = device;
    }
    for (size_t i = 0; i < self->setting_count; i++) {
        words [count++] = "--set";
        words [count++] = self->settings [i];
    }
    return rc ? rc : supervisor_add (supervisor, name, stage, words, error);
}

static int add_actors (const up_t *self, supervisor_t *supervisor, yard_error_t *error)
{
    int rc = 0;
    for (size_t i = 0; i < sizeof actors / sizeof actors [0]; i++) {
        uint64_t count = actors [i].pool ? self->values->download.workers : 1;
        if (self->only && !is_listed (self->only, actors [i].actor))
            count = 0;
        for (uint64_t n = 1; n <= count && rc == 0; n++) {
            char name [64];
            snprintf (name, sizeof name, count > 1 ? "%s-%llu" : "%s", actors [i].actor,
                      (unsigned long long) n);
            rc = add_actor (self, supervisor, actors [i].actor, name, NULL, actors [i].stage, error);
        }
    }
    return rc;
}

/*  --- GPUs */
static void on_refused (void *argument, const char *word, const char *why)
{
    (void) argument;
    yard_log_warning ("device.left_out", "device=%s text=%s", YARD_QUOTED (word), YARD_QUOTED (why));
}

/*  One loader a GPU of loader.devices. What is not there, or cannot be opened, is left out: the yard runs on the
 *  host and on the others. */
static int add_gpu_loaders (const up_t *self, supervisor_t *supervisor, yard_error_t *error)
{
    up_devices_t devices;
    device_list_t list = { 0 };
    yard_error_t why;
    int rc = 0;
    if (self->values->loader.devices.size == 0 || (self->only && !is_listed (self->only, "loader")))
        return 0;
    if (device_list_read (true, &list, &why))
        yard_log_warning ("devices.unknown", "text=%s", YARD_QUOTED (why.text));
    up_devices_choose (self->values->loader.devices.data, &list, &devices, on_refused, NULL);
    for (size_t i = 0; i < list.count && rc == 0; i++) {
        char device [32], name [64];
        snprintf (device, sizeof device, "cuda:%zu", i);
        snprintf (name, sizeof name, "loader-cuda-%zu", i); /* a file's name too: of its log */
        if (devices.chosen [i])
            rc = add_actor (self, supervisor, "loader", name, device, LOADER_STAGE, error);
    }
    device_list_clear (&list);
    return rc;
}

/*  --- detached */
/*  "0", or a code and its sentence, to the process that waits for us. */
static void report (up_t *self, int code, const char *text)
{
    if (self->report < 0)
        return;
    char line [REPORT_MAX];
    int size = snprintf (line, sizeof line, "%d %s", code, text);
    ssize_t written = write (self->report, line, size < (int) sizeof line ? (size_t) size : sizeof line - 1);
    (void) written; /* nobody waits any more: then nobody needs it */
    close (self->report);
    self->report = -1;
}

/*  The waiting process: what the yard says of its start is our own outcome. */
static int await_report (invocation_t *invocation, int fd)
{
    char line [REPORT_MAX] = "", *text;
    size_t used = 0;
    ssize_t size;
    while ((size = read (fd, line + used, sizeof line - 1 - used)) > 0 || (size < 0 && errno == EINTR))
        used += size > 0 ? (size_t) size : 0;
    line [used] = 0;
    if (used == 0)
        return yard_error (&invocation->error, YARD_INTERNAL,
                           "the yard ended while it started; see %s/log/up.log", invocation->paths.home);
    int code = (int) strtol (line, &text, 10);
    return code ? yard_error (&invocation->error, code, "%s", *text ? text + 1 : "") : 0;
}

static int open_own_log (const char *directory, yard_error_t *error)
{
    char path [PATH_MAX];
    int rc = yard_path_join (path, directory, "up.log", error);
    if (rc)
        return rc;
    int log = open (path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int nothing = open ("/dev/null", O_RDONLY | O_CLOEXEC);
    if (log < 0 || nothing < 0)
        rc = yard_error_errno (error, errno, "cannot open the log %s", path);
    else if (dup2 (nothing, STDIN_FILENO) < 0 || dup2 (log, STDOUT_FILENO) < 0 ||
             dup2 (log, STDERR_FILENO) < 0)
        rc = yard_error_errno (error, errno, "cannot write to the log %s", path);
    if (log >= 0)
        close (log);
    if (nothing >= 0)
        close (nothing);
    return rc;
}

/*  1: the caller is the yard; 0 and below: it is the one that waited, and this is the outcome. */
static int detach (up_t *self, invocation_t *invocation)
{
    int ends [2];
    if (pipe2 (ends, O_CLOEXEC))
        return yard_error_errno (&invocation->error, errno, "cannot make a pipe");
    pid_t pid = fork ();
    if (pid < 0)
        return yard_error_errno (&invocation->error, errno, "cannot leave the foreground");
    if (pid > 0) {
        close (ends [1]);
        int rc = await_report (invocation, ends [0]);
        close (ends [0]);
        return rc;
    }
    close (ends [0]);
    setsid ();
    self->report = ends [1];
    return 1;
}

/*  --- up */
static void on_ready (void *argument)
{
    up_t *self = argument;
    yard_log_info ("up.ready", "node=%.*s", YARD_VIEW (self->values->node));
    report (self, 0, "");
}

static int run_yard (up_t *self, invocation_t *invocation, int lock)
{
    char log [PATH_MAX], notify [PATH_MAX];
    yard_error_t *error = &invocation->error;
    supervisor_t *supervisor = NULL;
    int rc = yard_path_join (log, invocation->paths.home, "log", error);
    if (rc == 0)
        rc = yard_path_join (notify, invocation->paths.run, "notify.sock", error);
    if (rc == 0 && self->detach && (rc = yard_paths_make_private (log, error)) == 0)
        rc = open_own_log (log, error);
    if (rc == 0)
        rc = up_lock_write (lock, error);
    if (rc == 0)
        rc = supervisor_new (notify, self->detach ? log : NULL, &supervisor, error);
    if (rc == 0)
        rc = add_actors (self, supervisor, error);
    if (rc == 0)
        rc = add_gpu_loaders (self, supervisor, error);
    if (rc == 0)
        rc = supervisor_run (supervisor, on_ready, self, error);
    supervisor_destroy (&supervisor);
    if (self->detach && rc)
        yard_log_error ("up.failed", "text=%s", YARD_QUOTED (error->text));
    report (self, rc, error->text);
    return rc;
}

static int prepare (up_t *self, invocation_t *invocation, yard_configuration_t **ret_configuration,
                    int *ret_lock)
{
    yard_error_t *error = &invocation->error;
    int rc = check_only (self->only, error);
    if (rc == 0)
        rc = yard_paths_make_private (invocation->paths.home, error);
    if (rc == 0)
        rc = yard_paths_make_private (invocation->paths.run, error);
    if (rc == 0)
        rc = yard_configuration_read (&invocation->paths, self->settings, self->setting_count,
                                      ret_configuration, error);
    if (rc == 0)
        rc = up_lock_take (invocation->paths.run, ret_lock, error);
    return rc;
}

int command_up (invocation_t *invocation, int argc, char **argv)
{
    up_t self = { .report = -1 };
    yard_configuration_t *configuration = NULL;
    int lock = -1, rc = invocation_parse (invocation, &up_argp, argc, argv, &self);
    if (rc == 0)
        rc = prepare (&self, invocation, &configuration, &lock);
    bool is_yard = rc == 0;
    if (rc == 0) {
        self.values = yard_configuration_values (configuration);
        yard_log_open ("up", (yard_log_level_t) (self.values->log.level - log_level_error));
        setenv ("MODELYARD_HOME", invocation->paths.home, 1);
        setenv ("MODELYARD_RUN", invocation->paths.run, 1);
        if (self.detach) {
            rc = detach (&self, invocation);
            is_yard = rc == 1;
        }
    }
    if (is_yard)
        rc = run_yard (&self, invocation, lock);
    if (lock >= 0)
        close (lock);
    yard_configuration_destroy (&configuration);
    if (rc == 0 && self.detach && !is_yard && !invocation->json)
        fprintf (stderr, "the yard is up in %s; `modelyard down` stops it\n", invocation->paths.home);
    return rc ? invocation_failed (invocation) : EXIT_DONE;
}

/*  --- down */
int command_down (invocation_t *self, int argc, char **argv)
{
    static const struct argp argp = {
        .doc = "Stops the yard of this run directory and waits until all its actors have ended."
    };
    pid_t pid;
    int pidfd = -1, rc = invocation_parse (self, &argp, argc, argv, NULL);
    if (rc == 0)
        rc = up_lock_holder (self->paths.run, &pid, &pidfd, &self->error);
    if (rc)
        return invocation_failed (self);
    struct pollfd item = { .fd = pidfd, .events = POLLIN };
    if (pidfd_send_signal (pidfd, SIGTERM, NULL, 0) && errno != ESRCH)
        rc = yard_error_errno (&self->error, errno, "cannot signal the yard's process %d", (int) pid);
    else if (poll (&item, 1, DOWN_MS) <= 0)
        rc = yard_error (&self->error, YARD_TIMEOUT,
                         "the yard's process %d has not ended in %d s; look at its log", (int) pid,
                         DOWN_MS / 1000);
    close (pidfd);
    if (rc)
        return invocation_failed (self);
    if (!self->json)
        fprintf (stderr, "the yard is down\n");
    return EXIT_DONE;
}
