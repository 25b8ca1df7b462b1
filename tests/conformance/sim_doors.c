// SPDX-License-Identifier: Apache-2.0
/*  sim_doors.c - the ground's doors, as the simulation opens them: faults, the log, the offload pool
 *
 *  Linked before the product's libraries, these take the place of fault.c, log.c and offload.c. Each fault
 *  point is a place to die, and the planted bugs are armed by name. Offloaded work runs on the loop's
 *  thread, but not at once, and not in order: a pool of threads promises neither.
 */
#include "sim_world.h"

#include "actors/ground/fault.h"

/*  --- fault.h */
#ifdef YARD_FAULTS
bool yard_fault (const char *name)
{
    const sim_world_t *world = sim_world_now ();
    if (yard_string_starts (yard_string (name), "planted."))
        return world && world->plant && strcmp (name, world->plant) == 0;
    sim_point (name);
    return false;
}
#endif

/*  --- log.h */
void yard_log_open (const char *actor, yard_log_level_t level)
{
    (void) actor, (void) level;
}

int yard_log_level_from (const char *word)
{
    (void) word;
    return YARD_LOG_INFO;
}

void yard_log (yard_log_level_t level, const char *event, const char *format, ...)
{
    const sim_world_t *world = sim_world_now ();
    if (!world || !world->verbose || level == YARD_LOG_DEBUG)
        return;
    printf ("           | %s %s ",
            world->active < SIM_PROCESSES ? world->processes [world->active].name : "-", event);
    va_list arguments;
    va_start (arguments, format);
    vprintf (format, arguments);
    va_end (arguments);
    putchar ('\n');
}

const char *yard_log_quoted (char *buffer, const char *text)
{
    snprintf (buffer, YARD_LOG_QUOTED_SIZE, "\"%s\"", text);
    return buffer;
}

/*  --- offload.h */
typedef struct task_t {
    struct task_t *next;
    yard_work_fn *work; /* NULL: it has run */
    yard_done_fn *done;
    void *argument;
} task_t;

struct yard_offload_pool_t {
    task_t *tasks;
    size_t count;
};

yard_offload_pool_t *yard_offload_pool_new (size_t threads)
{
    (void) threads;
    return yard_zeroed (sizeof (yard_offload_pool_t));
}

void yard_offload_pool_destroy (yard_offload_pool_t **self_p)
{
    if (!*self_p)
        return;
    for (task_t *task; (task = (*self_p)->tasks);) {
        (*self_p)->tasks = task->next;
        free (task);
    }
    free (*self_p);
    *self_p = NULL;
}

void yard_offload_pool_submit (yard_offload_pool_t *self, yard_work_fn *work, yard_done_fn *done,
                               void *argument)
{
    task_t *task = yard_zeroed (sizeof *task);
    *task = (task_t){ .work = work, .done = done, .argument = argument };
    task_t **last_p = &self->tasks;
    while (*last_p)
        last_p = &(*last_p)->next;
    *last_p = task;
    self->count++;
}

int yard_offload_pool_fd (const yard_offload_pool_t *self)
{
    (void) self;
    return -1;
}

/*  Takes one of them a step further: first it runs, some turn later it is reaped. */
size_t yard_offload_pool_reap (yard_offload_pool_t *self, void *actor)
{
    sim_world_t *world = sim_world_now ();
    if (self->count == 0 || yard_random_below (&world->random, 4) == 0)
        return 0;
    task_t **at_p = &self->tasks;
    for (uint64_t which = yard_random_below (&world->random, self->count); which > 0; which--)
        at_p = &(*at_p)->next;
    task_t *task = *at_p;
    if (task->work) {
        sim_point ("before offloaded work");
        yard_work_fn *work = task->work;
        task->work = NULL;
        work (task->argument);
        sim_point ("after offloaded work");
        return 0;
    }
    *at_p = task->next;
    self->count--;
    task_t ended = *task;
    free (task);
    ended.done (actor, ended.argument);
    return 1;
}

size_t yard_offload_pool_pending (const yard_offload_pool_t *self)
{
    return self->count;
}
