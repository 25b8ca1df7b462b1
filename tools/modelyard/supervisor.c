// SPDX-License-Identifier: Apache-2.0
/*  supervisor.c - the loop over signals, notifications and process ends
 *
 *  Everything that happens becomes an event of one child (child_state.h); this file only turns file
 *  descriptors and clocks into events and actions into system calls.
 */
#include "supervisor.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include "actors/ground/clock.h"
#include "actors/ground/log.h"
#include "child.h"
#include "notify_socket.h"

#define CHILDREN_MAX 96 /* download.workers is at most 64, a machine has at most 16 GPUs, and a few singles */
#define STAGES_MAX 8
#define FIRST_START_MS 120000 /* all stages together, each of which may take child_state's STARTING */
#define CANNOT_START 2 /* YARD_EXIT_CANNOT_START of the runtime: its open failed, again would fail again */

struct supervisor_t {
    child_t children [CHILDREN_MAX];
    size_t count;
    notify_socket_t *notify;
    int signals;
    yard_random_t random;
    char *notify_path, *log_directory;
    unsigned stage; /* the highest that may run; while stopping: the one that stops now */
    bool up; /* all have been ready */
    bool stopping;
    int64_t give_up_ms;
    int code; /* of a failed first start */
    yard_error_t *error;
};

static int64_t now_ms (void)
{
    return yard_clock_ms (yard_clock_system ());
}

static char *copy_of (const char *text)
{
    char *copy = text ? strdup (text) : NULL;
    if (text && !copy)
        abort ();
    return copy;
}

int supervisor_new (const char *notify_path, const char *log_directory, supervisor_t **ret,
                    yard_error_t *error)
{
    supervisor_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->signals = -1;
    self->notify_path = copy_of (notify_path);
    self->log_directory = copy_of (log_directory);
    yard_random_init (&self->random);
    sigset_t caught;
    sigemptyset (&caught);
    sigaddset (&caught, SIGTERM);
    sigaddset (&caught, SIGINT);
    sigaddset (&caught, SIGHUP);
    sigprocmask (SIG_BLOCK, &caught, NULL);
    self->signals = signalfd (-1, &caught, SFD_CLOEXEC | SFD_NONBLOCK);
    int rc = self->signals < 0 ? yard_error_errno (error, errno, "cannot wait for signals") : 0;
    if (rc == 0)
        rc = notify_socket_new (notify_path, &self->notify, error);
    if (rc) {
        supervisor_destroy (&self);
        return rc;
    }
    *ret = self;
    return 0;
}

void supervisor_destroy (supervisor_t **self_p)
{
    assert (self_p);
    supervisor_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->count; i++)
        child_clear (&self->children [i]);
    notify_socket_destroy (&self->notify);
    if (self->signals >= 0)
        close (self->signals);
    free (self->notify_path);
    free (self->log_directory);
    free (self);
    *self_p = NULL;
}

int supervisor_add (supervisor_t *self, const char *name, unsigned stage, const char *const *words,
                    yard_error_t *error)
{
    assert (stage < STAGES_MAX);
    if (self->count == CHILDREN_MAX)
        return yard_error (error, YARD_TOO_LARGE, "more than %d actors; lower download.workers",
                           CHILDREN_MAX);
    child_t *child = &self->children [self->count++];
    child_init (child, name, stage);
    int rc = 0;
    for (const char *const *word = words; *word && rc == 0; word++)
        rc = child_word (child, *word, error);
    return rc;
}

static void happen (supervisor_t *self, child_t *child, child_event_t event);

static void set_due (child_t *child, int64_t delay_ms)
{
    child->due_ms = delay_ms < 0 ? -1 : now_ms () + delay_ms;
}

static void spawn (supervisor_t *self, child_t *child)
{
    const child_surroundings_t around = { self->notify_path, self->log_directory };
    yard_error_t error;
    child->started_ms = now_ms ();
    set_due (child, child_state_ms (child->state));
    if (child_spawn (child, &around, &error)) {
        yard_log_error ("actor.spawn_failed", "actor=%s text=%s", child->name, YARD_QUOTED (error.text));
        child->exit_code = CANNOT_START;
        happen (self, child, CHILD_ENDED);
        return;
    }
    yard_log_info ("actor.started", "actor=%s pid=%d", child->name, (int) child->pid);
}

/*  Who falls while the yard goes down stays down. */
static void back_off (supervisor_t *self, child_t *child)
{
    set_due (child, -1);
    if (self->stopping)
        return;
    int64_t life_ms = now_ms () - child->started_ms;
    child->failures = life_ms >= CHILD_GOOD_LIFE_MS ? 1 : child->failures + 1;
    int64_t wait_ms = child_back_off_ms (child->failures, &self->random);
    set_due (child, wait_ms);
    yard_log_warning ("actor.ended", "actor=%s exit=%d life_ms=%lld restart_in_ms=%lld", child->name,
                      child->exit_code, (long long) life_ms, (long long) wait_ms);
}

/*  One event of one child, through the table. */
static void happen (supervisor_t *self, child_t *child, child_event_t event)
{
    child_transition_t step = child_transition (child->state, event);
    bool moved = step.next != child->state;
    child->state = step.next;
    if (moved && step.next == CHILD_READY)
        yard_log_info ("actor.ready", "actor=%s after_ms=%lld", child->name,
                       (long long) (now_ms () - child->started_ms));
    child->was_ready = child->was_ready || step.next == CHILD_READY;
    switch (step.action) {
    case CHILD_DO_NOTHING:
        break;
    case CHILD_DO_CLOCK:
        set_due (child, child_state_ms (child->state));
        break;
    case CHILD_DO_SPAWN:
        spawn (self, child);
        break;
    case CHILD_DO_BACK_OFF:
        back_off (self, child);
        break;
    case CHILD_DO_ABORT:
        yard_log_error ("actor.silent", "actor=%s pid=%d", child->name, (int) child->pid);
        child_signal (child, SIGABRT);
        set_due (child, child_state_ms (child->state));
        break;
    case CHILD_DO_KILL:
        yard_log_warning ("actor.killed", "actor=%s pid=%d", child->name, (int) child->pid);
        child_signal (child, SIGKILL);
        set_due (child, child_state_ms (child->state));
        break;
    case CHILD_DO_TERMINATE:
        child_signal (child, SIGTERM);
        set_due (child, child_state_ms (child->state));
        break;
    }
}

/*  The first start failed, or we were asked to stop: from the last stage down. */
static void begin_stop (supervisor_t *self)
{
    if (!self->stopping)
        self->stage = STAGES_MAX;
    self->stopping = true;
}

static void fail_start (supervisor_t *self, int code, const child_t *child, const char *why)
{
    if (self->stopping)
        return;
    self->code = self->log_directory
                     ? yard_error (self->error, code, "%s %s; see why in %s/%s.log", child->name, why,
                                   self->log_directory, child->name)
                     : yard_error (self->error, code, "%s %s; what it said stands above", child->name, why);
    begin_stop (self);
}

static void reap (supervisor_t *self)
{
    for (size_t i = 0; i < self->count; i++) {
        child_t *child = &self->children [i];
        if (!child_reap (child))
            continue;
        if (!self->up && !child->was_ready && child->exit_code == CANNOT_START)
            fail_start (self, YARD_INVALID_CONFIG, child, "cannot start");
        happen (self, child, CHILD_ENDED);
    }
}

static void read_notifications (supervisor_t *self)
{
    notification_t notification;
    while (notify_socket_receive (self->notify, &notification))
        for (size_t i = 0; i < self->count; i++) {
            child_t *child = &self->children [i];
            if (child->pidfd < 0 || child->pid != notification.pid)
                continue;
            if (notification.ready)
                happen (self, child, CHILD_SAID_READY);
            if (notification.watchdog)
                happen (self, child, CHILD_FED);
        }
}

static void read_signals (supervisor_t *self)
{
    struct signalfd_siginfo info;
    while (read (self->signals, &info, sizeof info) == sizeof info) {
        yard_log_info ("up.stopping", "signal=%u", info.ssi_signo);
        begin_stop (self);
    }
}

static bool stage_is (const supervisor_t *self, unsigned stage, bool (*is) (const child_t *))
{
    for (size_t i = 0; i < self->count; i++)
        if (self->children [i].stage == stage && !is (&self->children [i]))
            return false;
    return true;
}

static bool has_been_ready (const child_t *child)
{
    return child->was_ready;
}

static bool is_down (const child_t *child)
{
    return child->state == CHILD_DOWN;
}

/*  What of the stages may start now, or must stop now. True: nothing is left to run. */
static bool turn_stages (supervisor_t *self)
{
    while (self->stopping && self->stage > 0) {
        for (size_t i = 0; i < self->count; i++)
            if (self->children [i].stage == self->stage - 1)
                happen (self, &self->children [i], CHILD_STOP);
        if (!stage_is (self, self->stage - 1, is_down))
            return false;
        self->stage--;
    }
    if (self->stopping)
        return true;
    while (self->stage < STAGES_MAX &&
           (self->stage == 0 || stage_is (self, self->stage - 1, has_been_ready))) {
        for (size_t i = 0; i < self->count; i++)
            if (self->children [i].stage == self->stage)
                self->children [i].due_ms = now_ms ();
        self->stage++;
    }
    return false;
}

static int64_t first_due_ms (const supervisor_t *self)
{
    int64_t first = self->up || self->stopping ? INT64_MAX : self->give_up_ms;
    for (size_t i = 0; i < self->count; i++)
        if (self->children [i].due_ms >= 0 && self->children [i].due_ms < first)
            first = self->children [i].due_ms;
    return first;
}

static void fire_due (supervisor_t *self)
{
    for (size_t i = 0; i < self->count; i++) {
        child_t *child = &self->children [i];
        if (child->due_ms < 0 || child->due_ms > now_ms ())
            continue;
        child->due_ms = -1;
        happen (self, child, CHILD_DUE);
    }
    for (size_t i = 0; i < self->count && !self->up && now_ms () >= self->give_up_ms; i++)
        if (!self->children [i].was_ready)
            fail_start (self, YARD_TIMEOUT, &self->children [i], "is not ready in time");
}

static void wait_for_something (const supervisor_t *self)
{
    struct pollfd fds [CHILDREN_MAX + 2] = { { .fd = self->signals, .events = POLLIN },
                                             { .fd = notify_socket_fd (self->notify), .events = POLLIN } };
    for (size_t i = 0; i < self->count; i++)
        fds [i + 2] = (struct pollfd){ .fd = self->children [i].pidfd, .events = POLLIN };
    int64_t due = first_due_ms (self), left = due == INT64_MAX ? -1 : due - now_ms ();
    int timeout = left > INT32_MAX ? INT32_MAX : due == INT64_MAX ? -1 : left < 0 ? 0 : (int) left;
    poll (fds, self->count + 2, timeout);
}

int supervisor_run (supervisor_t *self, supervisor_ready_fn *ready, void *argument, yard_error_t *error)
{
    self->error = error;
    self->give_up_ms = now_ms () + FIRST_START_MS;
    while (!turn_stages (self)) {
        if (!self->up && !self->stopping && self->stage == STAGES_MAX &&
            stage_is (self, STAGES_MAX - 1, has_been_ready)) {
            self->up = true;
            ready (argument);
        }
        wait_for_something (self);
        read_signals (self);
        /* READY before ENDED: a process that said it and fell was ready once. */
        read_notifications (self);
        reap (self);
        fire_due (self);
    }
    return self->code;
}
