// SPDX-License-Identifier: Apache-2.0
/*  nccl_group.c - calls between ncclGroupStart and ncclGroupEnd, kept per thread until the end
 *
 *  "Nothing will be started on the CUDA stream until ncclGroupEnd" (nccl.h:555).
 */
#include "tests/simcuda/nccl_inside.h"

/*  The calls between ncclGroupStart and ncclGroupEnd, of this thread. */
typedef struct {
    int depth;
    ncclResult_t error; /* the first; the group is dropped at its end */
    simnccl_task_t *tasks, **last;
} group_t;

static _Thread_local group_t group;

static ncclResult_t submit_group (void)
{
    simnccl_task_t *tasks = group.tasks;
    ncclResult_t error = group.error;
    group = (group_t){ 0 };
    if (error == ncclSuccess)
        return tasks ? simnccl_comm_submit (tasks) : ncclSuccess;
    while (tasks) {
        simnccl_task_t *task = tasks;
        tasks = task->next;
        simnccl_task_destroy (&task);
    }
    return error;
}

/*  "Both collective communication and ncclCommInitRank can be used in conjunction of ncclGroupStart/ncclGroupEnd, but not together"
 *  (nccl.h:543). Communicators that block and such that do not: neither (assumed). */
static bool fits_group (const simnccl_task_t *task)
{
    const simnccl_task_t *first = group.tasks;
    return !first || ((first->kind == SIMNCCL_TASK_INIT) == (task->kind == SIMNCCL_TASK_INIT) &&
                      first->comm->blocking == task->comm->blocking);
}

/*  A call outside a group is a group of one. */
ncclResult_t simnccl_group_ask (ncclComm_t comm, simnccl_task_kind_t kind, simnccl_fault_t fault,
                                simnccl_operation_t *operation, ncclComm_t *handle)
{
    simnccl_task_t *task = calloc (1, sizeof *task);
    if (!task)
        return simnccl_wrong (ncclSystemError, "out of memory");
    *task = (simnccl_task_t){
        .comm = comm, .kind = kind, .fault = fault, .operation = operation, .handle = handle
    };
    simnccl_comm_hold (comm);
    if (!fits_group (task)) {
        simnccl_task_destroy (&task);
        group.error = ncclInvalidUsage;
        return simnccl_wrong (ncclInvalidUsage, "one group has calls that do not go together");
    }
    if (!group.last)
        group.last = &group.tasks;
    *group.last = task;
    group.last = &task->next;
    return group.depth > 0 ? ncclSuccess : submit_group ();
}

/*  A call inside a group failed: so will the group. A communicator that does not block keeps the error (assumed for the arguments). */
ncclResult_t simnccl_group_failed (ncclComm_t comm, ncclResult_t code)
{
    if (group.depth > 0 && group.error == ncclSuccess)
        group.error = code;
    if (comm && !comm->blocking)
        atomic_store (&comm->state, (int) code);
    return code;
}

/*  nccl.h declares these two without a parameter list, which C does not take for a prototype. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

ncclResult_t ncclGroupStart (void)
{
    simnccl_fault_t fault = simnccl_fault ("ncclGroupStart");
    if (fault.kind == SIMNCCL_FAULT_RETURN)
        return fault.code;
    group.depth++;
    return ncclSuccess;
}

/*  A failed group starts nothing. */
ncclResult_t ncclGroupEnd (void)
{
    simnccl_fault_t fault = simnccl_fault ("ncclGroupEnd");
    if (group.depth == 0)
        return simnccl_wrong (ncclInvalidUsage, "ncclGroupEnd: without ncclGroupStart");
    if (fault.kind == SIMNCCL_FAULT_RETURN && group.error == ncclSuccess)
        group.error = fault.code;
    group.depth--;
    return group.depth > 0 ? ncclSuccess : submit_group ();
}
