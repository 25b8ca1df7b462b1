// SPDX-License-Identifier: Apache-2.0
/*  nccl_comm.c - a communicator's life: meeting, background jobs, the end
 *
 *  What is asked of a communicator becomes tasks; its job, a thread in the background, does them in order. With blocking=0 the caller
 *  has ncclInProgress at once, and ncclCommGetAsyncError says how far the job is; with blocking=1 it waits for the job. One job at a
 *  time: a call meanwhile is refused (simnccl_comm_ready), as the user guide says of ncclCommGetAsyncError.
 *
 *  A communicator's memory stays until the handle, the job and every operation in a stream have let go of it.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include "tests/simcuda/nccl_inside.h"

#define NS_PER_MS 1000000ULL
#define LATE_MS 2 /* between ncclInProgress and the stream: who does not wait is far ahead by then */
#define LATE_ERROR_MS 20 /* a scripted asynchronous error comes after the call's own success was seen */
#define WATCH_MS 100 /* between two looks at the peers */

/*  The API gives handles that outlive nothing: who is alive is a matter of the process. */
static struct {
    pthread_mutex_t lock;
    ncclComm_t first;
} living = { .lock = PTHREAD_MUTEX_INITIALIZER };

ncclComm_t simnccl_comm_find (ncclComm_t handle)
{
    ncclComm_t at;
    pthread_mutex_lock (&living.lock);
    for (at = living.first; at && at != handle; at = at->next)
        ;
    pthread_mutex_unlock (&living.lock);
    if (!at)
        simcuda_log ("nccl.use_after_end communicator=%p", (void *) handle);
    return at;
}

ncclComm_t simnccl_comm_new (void)
{
    pthread_condattr_t monotonic;
    ncclComm_t self = calloc (1, sizeof *self);
    if (!self)
        return NULL;
    pthread_condattr_init (&monotonic);
    pthread_condattr_setclock (&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init (&self->lock, NULL);
    pthread_mutex_init (&self->running, NULL);
    pthread_cond_init (&self->changed, &monotonic);
    pthread_condattr_destroy (&monotonic);
    self->holders = 1;
    self->socket = -1;
    for (unsigned rank = 0; rank < SIMNCCL_RANKS_MAX; rank++)
        self->peers [rank] = -1;
    pthread_mutex_lock (&living.lock);
    self->next = living.first;
    living.first = self;
    pthread_mutex_unlock (&living.lock);
    return self;
}

void simnccl_comm_hold (ncclComm_t self)
{
    pthread_mutex_lock (&self->lock);
    self->holders++;
    pthread_mutex_unlock (&self->lock);
}

void simnccl_comm_release (ncclComm_t self)
{
    int left;
    pthread_mutex_lock (&self->lock);
    left = --self->holders;
    pthread_mutex_unlock (&self->lock);
    if (left > 0)
        return;
    for (unsigned rank = 0; rank < SIMNCCL_RANKS_MAX; rank++)
        if (self->peers [rank] >= 0)
            close (self->peers [rank]);
    simnccl_arena_unmap (&self->arena);
    pthread_cond_destroy (&self->changed);
    pthread_mutex_destroy (&self->running);
    pthread_mutex_destroy (&self->lock);
    free (self);
}

void simnccl_comm_forget (ncclComm_t self)
{
    ncclComm_t *at;
    pthread_mutex_lock (&living.lock);
    for (at = &living.first; *at && *at != self; at = &(*at)->next)
        ;
    if (*at)
        *at = self->next;
    pthread_mutex_unlock (&living.lock);
    simnccl_comm_release (self);
}

__attribute__ ((destructor)) static void report_leaks (void)
{
    for (ncclComm_t at = living.first; at; at = at->next)
        simcuda_log ("nccl.leak rank=%u of=%u: neither destroyed nor aborted", at->rank, at->ranks);
}

ncclResult_t simnccl_comm_ready (ncclComm_t self)
{
    ncclResult_t state = (ncclResult_t) atomic_load (&self->state);
    if (state == ncclInProgress)
        return simnccl_wrong (
            ncclInvalidArgument,
            "rank %u: asked before the last call was over: wait until ncclCommGetAsyncError says ncclSuccess",
            self->rank);
    return state; /* an error stays: only ncclCommAbort is left */
}

/*  Waits on `changed`, at most so long. Call with `lock` held. */
static void wait_changed (ncclComm_t self, uint64_t most_ms)
{
    uint64_t until = simnccl_now () + most_ms * NS_PER_MS;
    struct timespec when = { .tv_sec = (time_t) (until / 1000000000ULL),
                             .tv_nsec = (long) (until % 1000000000ULL) };
    pthread_cond_timedwait (&self->changed, &self->lock, &when);
}

static void wait_job (ncclComm_t self)
{
    pthread_mutex_lock (&self->lock);
    while (self->job)
        wait_changed (self, WATCH_MS);
    pthread_mutex_unlock (&self->lock);
}

/*  For so long, or until it is aborted. */
static void linger (ncclComm_t self, uint64_t ms)
{
    uint64_t until = simnccl_now () + ms * NS_PER_MS;
    pthread_mutex_lock (&self->lock);
    while (!atomic_load (&self->aborted) && simnccl_now () < until)
        wait_changed (self, (until - simnccl_now ()) / NS_PER_MS + 1);
    pthread_mutex_unlock (&self->lock);
}

void simnccl_comm_hang (ncclComm_t self)
{
    while (!atomic_load (&self->aborted))
        linger (self, WATCH_MS);
}

void simnccl_comm_watch (ncclComm_t self, const char *what)
{
    for (unsigned rank = 0; rank < self->ranks; rank++) {
        struct pollfd entry = { .fd = self->peers [rank], .events = POLLIN };
        if (self->gone [rank] || poll (&entry, 1, 0) != 1)
            continue;
        self->gone [rank] = true;
        simcuda_log (
            "nccl.peer_gone rank=%u process=%d: %s of rank=%u hangs until ncclCommAbort if it needs it", rank,
            (int) self->arena->lines [rank].process, what, self->rank);
    }
}

/*  --- the tasks */

static ncclResult_t meet (ncclComm_t self)
{
    simnccl_arena_t *arena = NULL;
    ncclResult_t result = simnccl_root_join (self, &arena);
    if (!arena)
        return result;
    pthread_mutex_lock (&self->running);
    self->arena = arena;
    for (unsigned rank = 0; rank < self->ranks; rank++)
        self->peers [rank] = (int) syscall (SYS_pidfd_open, arena->lines [rank].process, 0);
    pthread_mutex_unlock (&self->running);
    return ncclSuccess;
}

static void wait_pending (ncclComm_t self)
{
    uint64_t since = simnccl_now ();
    bool said = false;
    pthread_mutex_lock (&self->lock);
    while (self->pending && !atomic_load (&self->aborted)) {
        wait_changed (self, WATCH_MS);
        if (!said && simnccl_impatient (since)) {
            said = true;
            simcuda_log ("nccl.waits rank=%u finalizes, but %u of its operations are not over", self->rank,
                         self->pending);
        }
    }
    pthread_mutex_unlock (&self->lock);
}

/*  "globally quiescent" (nccl.h:185): every rank has come here. */
static void wait_everyone (ncclComm_t self)
{
    uint64_t since = simnccl_now ();
    unsigned rank = 0;
    bool said = false;
    atomic_store (&self->arena->lines [self->rank].left, 1);
    simnccl_arena_ring (self->arena);
    while (rank < self->ranks && !atomic_load (&self->aborted)) {
        uint32_t seen = atomic_load (&self->arena->bell);
        if (atomic_load (&self->arena->lines [rank].left)) {
            rank++;
            continue;
        }
        simnccl_arena_wait (self->arena, seen, WATCH_MS * NS_PER_MS);
        simnccl_comm_watch (self, "ncclCommFinalize");
        if (!said && simnccl_impatient (since)) {
            said = true;
            simcuda_log (
                "nccl.waits rank=%u finalizes, rank=%u does not: hangs until it does, or ncclCommAbort",
                self->rank, rank);
        }
    }
}

ncclResult_t simnccl_comm_finalize (ncclComm_t self)
{
    wait_pending (self);
    if (self->arena)
        wait_everyone (self);
    return ncclSuccess;
}

static ncclResult_t set_late (ncclComm_t self, simnccl_fault_t fault)
{
    if (fault.kind != SIMNCCL_FAULT_ASYNC)
        return ncclSuccess;
    pthread_mutex_lock (&self->lock);
    self->late_error = fault.code;
    self->late_at = simnccl_now () + LATE_ERROR_MS * NS_PER_MS;
    pthread_mutex_unlock (&self->lock);
    return ncclSuccess;
}

static ncclResult_t do_collective (ncclComm_t self, simnccl_task_t *task)
{
    simnccl_operation_t *operation = task->operation;
    bool stuck = task->fault.kind == SIMNCCL_FAULT_HANG || task->fault.kind == SIMNCCL_FAULT_ASYNC;
    ncclResult_t result;
    if (atomic_load (&self->aborted) || !operation)
        return ncclSuccess;
    task->operation = NULL;
    result = simnccl_operation_enqueue (operation, stuck);
    return result == ncclSuccess ? set_late (self, task->fault) : result;
}

static ncclResult_t do_task (ncclComm_t self, simnccl_task_t *task)
{
    if (task->kind == SIMNCCL_TASK_COLLECTIVE)
        return do_collective (self, task);
    if (task->fault.kind == SIMNCCL_FAULT_HANG)
        simnccl_comm_hang (self);
    if (task->fault.kind == SIMNCCL_FAULT_ASYNC) {
        linger (self, LATE_ERROR_MS);
        return task->fault.code;
    }
    if (atomic_load (&self->aborted))
        return ncclSuccess;
    return task->kind == SIMNCCL_TASK_INIT ? meet (self) : simnccl_comm_finalize (self);
}

void simnccl_task_destroy (simnccl_task_t **self_p)
{
    simnccl_operation_destroy (&(*self_p)->operation);
    simnccl_comm_release ((*self_p)->comm);
    free (*self_p);
    *self_p = NULL;
}

static void *work (void *argument)
{
    ncclComm_t self = argument;
    ncclResult_t result = ncclSuccess;
    int expected = self->blocking ? ncclSuccess : ncclInProgress;
    if (!self->blocking)
        linger (self, LATE_MS);
    while (self->tasks) {
        simnccl_task_t *task = self->tasks;
        self->tasks = task->next;
        if (result == ncclSuccess)
            result = do_task (self, task);
        simnccl_task_destroy (&task);
    }
    pthread_mutex_lock (&self->lock);
    self->job = false;
    self->job_result = result;
    atomic_compare_exchange_strong (&self->state, &expected, (int) result); /* an error meanwhile stays */
    pthread_cond_broadcast (&self->changed);
    pthread_mutex_unlock (&self->lock);
    simnccl_comm_release (self);
    return NULL;
}

static void start_job (ncclComm_t self)
{
    pthread_t thread;
    simnccl_comm_hold (self);
    pthread_mutex_lock (&self->lock);
    self->job = true;
    pthread_mutex_unlock (&self->lock);
    if (!self->blocking)
        atomic_store (&self->state, ncclInProgress);
    if (pthread_create (&thread, NULL, work, self) != 0)
        work (self); /* late no more, but right */
    else
        pthread_detach (thread);
}

/*  A blocking init that failed leaves nothing (assumed: *comm is NULL). */
static ncclResult_t await_job (ncclComm_t self, ncclComm_t *handle)
{
    ncclResult_t result;
    wait_job (self);
    pthread_mutex_lock (&self->lock);
    result = self->job_result;
    pthread_mutex_unlock (&self->lock);
    if (handle && result != ncclSuccess && !atomic_load (&self->aborted)) {
        *handle = NULL;
        simnccl_comm_forget (self);
    }
    return result;
}

/*  Takes the next communicator's tasks out of the list, in their order. */
static simnccl_task_t *take_tasks (simnccl_task_t **list, ncclComm_t comm)
{
    simnccl_task_t *first = NULL, **last = &first;
    while (*list) {
        simnccl_task_t *task = *list;
        if (task->comm != comm) {
            list = &task->next;
            continue;
        }
        *list = task->next;
        task->next = NULL;
        *last = task;
        last = &task->next;
    }
    return first;
}

ncclResult_t simnccl_comm_submit (simnccl_task_t *tasks)
{
    struct {
        ncclComm_t comm, *handle;
    } started [SIMNCCL_RANKS_MAX];
    size_t count = 0;
    ncclResult_t result = ncclSuccess;
    while (tasks && count < SIMNCCL_RANKS_MAX) {
        ncclComm_t comm = tasks->comm;
        started [count].comm = comm;
        started [count++].handle = tasks->kind == SIMNCCL_TASK_INIT ? tasks->handle : NULL;
        comm->tasks = take_tasks (&tasks, comm);
        simnccl_comm_hold (comm);
        start_job (comm);
    }
    assert (!tasks); /* a group of more communicators than a machine has devices */
    for (size_t at = 0; at < count; at++) {
        ncclResult_t one =
            started [at].comm->blocking ? await_job (started [at].comm, started [at].handle) : ncclInProgress;
        if (result == ncclSuccess)
            result = one;
        simnccl_comm_release (started [at].comm);
    }
    return result;
}

void simnccl_comm_abort (ncclComm_t self)
{
    atomic_store (&self->aborted, true);
    pthread_mutex_lock (&self->lock);
    if (self->socket >= 0)
        shutdown (self->socket, SHUT_RDWR);
    pthread_cond_broadcast (&self->changed);
    pthread_mutex_unlock (&self->lock);
    pthread_mutex_lock (&self->running); /* what moves lets go within milliseconds */
    if (self->arena)
        simnccl_arena_ring (self->arena);
    pthread_mutex_unlock (&self->running);
    wait_job (self);
}
