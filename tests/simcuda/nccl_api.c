// SPDX-License-Identifier: Apache-2.0
/*  nccl_api.c - the simulated NCCL: libnccl.so.2 for tests on machines without a GPU
 *
 *  Built from the real nccl.h (2.28.9), so a wrong signature does not compile, and with only the functions that the yard's CUDA plug-in
 *  calls. It works across processes, one rank per process as the yard's loaders are, or several ranks in one.
 *
 *  Promises to be no kinder than the real one: with blocking=0 nothing is in its stream before ncclCommGetAsyncError has said so; what
 *  does not match, or whose peer is dead, hangs until ncclCommAbort (the real one may report it, or not); an argument that the real one
 *  would crash on is refused. Where neither nccl.h nor the user guide says what happens, "assumed" stands beside it.
 *
 *  Every such hang and refusal is a line in the simulation's log; a program without mistakes leaves none: nccl.mismatch,
 *  meeting_mismatch, duplicate_device, peer_gone, root_gone, waits, refused, destroy_pending, use_after_end, leak (at exit).
 *
 *  Not simulated: the device memory that the real one takes for itself (ncclMemAlloc, channels, staging: some hundred MB), topology,
 *  reductions, send and receive, virtual time, speed. Nothing measured on it says anything about hardware.
 *
 *  Environment: SIMNCCL_LINK_MB (nccl_collective.c); SIMNCCL_PATIENCE_MS (10000), after which a wait is a line in the log;
 *  SIMCUDA_FAULTS and SIMCUDA_LOG, as everywhere in the simulation. A fault is a number (returned instead), "hang" (never over), or
 *  "async" and a number: the call goes well, moves nothing, and ncclCommGetAsyncError says the number a little later.
 */
#include "tests/simcuda/nccl_inside.h"

#define CONFIG_MAGIC 0xcafebeef /* nccl.h, NCCL_CONFIG_INITIALIZER */

/*  "hang" of a call that has no background. */
static void hang_here (void)
{
    for (;;)
        pause ();
}

static bool scripted (const char *name, ncclResult_t *ret)
{
    simnccl_fault_t fault = simnccl_fault (name);
    if (fault.kind == SIMNCCL_FAULT_HANG)
        hang_here ();
    *ret = fault.code;
    return fault.kind == SIMNCCL_FAULT_RETURN;
}

ncclResult_t ncclGetVersion (int *version)
{
    ncclResult_t result;
    if (scripted ("ncclGetVersion", &result))
        return result;
    if (!version)
        return ncclInvalidArgument;
    *version = NCCL_VERSION_CODE;
    return ncclSuccess;
}

ncclResult_t ncclGetUniqueId (ncclUniqueId *uniqueId)
{
    ncclResult_t result;
    if (scripted ("ncclGetUniqueId", &result))
        return result;
    if (!uniqueId)
        return simnccl_wrong (ncclInvalidArgument, "ncclGetUniqueId: no place for the id");
    return simnccl_root_start (uniqueId) == 0 ? ncclSuccess
                                              : simnccl_wrong (ncclSystemError, "ncclGetUniqueId: no socket");
}

/*  --- beginning */

/*  "Not initialized config will result in NCCL error" (nccl.h:100). The values' ranges are the user guide's (ncclConfig_t). */
static ncclResult_t check_config (const ncclConfig_t *config)
{
    const int undefined = NCCL_CONFIG_UNDEF_INT;
    if (!config)
        return ncclSuccess;
    if (config->magic != CONFIG_MAGIC || config->size < offsetof (ncclConfig_t, cgaClusterSize))
        return simnccl_wrong (ncclInvalidArgument,
                              "the configuration is not made by NCCL_CONFIG_INITIALIZER");
    if (config->blocking != undefined && config->blocking != 0 && config->blocking != 1)
        return simnccl_wrong (ncclInvalidArgument, "blocking=%d: 0 or 1", config->blocking);
    if ((config->minCTAs != undefined && config->minCTAs <= 0) ||
        (config->maxCTAs != undefined && config->maxCTAs <= 0) ||
        (config->minCTAs != undefined && config->maxCTAs != undefined && config->minCTAs > config->maxCTAs))
        return simnccl_wrong (ncclInvalidArgument, "minCTAs=%d maxCTAs=%d", config->minCTAs, config->maxCTAs);
    return ncclSuccess;
}

static ncclResult_t check_init (ncclComm_t *comm, int ranks, const ncclUniqueId *id, int rank,
                                const ncclConfig_t *config)
{
    if (!comm)
        return simnccl_wrong (ncclInvalidArgument, "ncclCommInitRankConfig: no place for the communicator");
    if (ranks < 1 || rank < 0 || rank >= ranks)
        return simnccl_wrong (ncclInvalidArgument, "ncclCommInitRankConfig: rank %d of %d", rank, ranks);
    if (ranks > SIMNCCL_RANKS_MAX)
        return simnccl_wrong (ncclInvalidArgument,
                              "ncclCommInitRankConfig: the simulation has at most %d ranks",
                              SIMNCCL_RANKS_MAX);
    if (!simnccl_root_drew (id)) /* assumed: the real one fails later */
        return simnccl_wrong (ncclInvalidArgument,
                              "ncclCommInitRankConfig: this id was not drawn by ncclGetUniqueId");
    return check_config (config);
}

ncclResult_t ncclCommInitRankConfig (ncclComm_t *comm, int nranks, ncclUniqueId commId, int rank,
                                     ncclConfig_t *config)
{
    simnccl_fault_t fault = simnccl_fault ("ncclCommInitRankConfig");
    ncclResult_t result;
    ncclComm_t made;
    int device;
    if (fault.kind == SIMNCCL_FAULT_RETURN)
        return simnccl_group_failed (NULL, fault.code);
    if (cudaGetDevice (&device) !=
        cudaSuccess) /* the device comes first: without one, nothing else is looked at */
        return simnccl_group_failed (
            NULL, simnccl_wrong (ncclUnhandledCudaError, "ncclCommInitRankConfig: no device"));
    result = check_init (comm, nranks, &commId, rank, config);
    if (comm)
        *comm =
            NULL; /* what is refused leaves no communicator, as in the real one (nccl 2.28, ncclCommInitRankDev) */
    if (result != ncclSuccess)
        return simnccl_group_failed (NULL, result);
    made = simnccl_comm_new ();
    if (!made)
        return simnccl_group_failed (NULL, simnccl_wrong (ncclSystemError, "out of memory"));
    made->rank = (unsigned) rank;
    made->ranks = (unsigned) nranks;
    made->device = device;
    made->blocking = !config || config->blocking != 0;
    made->id = commId;
    if (cudaDeviceGetPCIBusId (made->bus, sizeof made->bus, device) != cudaSuccess)
        snprintf (made->bus, sizeof made->bus, "device-%d", device);
    *comm = made;
    return simnccl_group_ask (made, SIMNCCL_TASK_INIT, fault, NULL, comm);
}

/*  --- questions */

ncclResult_t ncclCommGetAsyncError (ncclComm_t comm, ncclResult_t *asyncError)
{
    ncclResult_t result;
    simnccl_fault_t fault = simnccl_fault ("ncclCommGetAsyncError");
    if (fault.kind == SIMNCCL_FAULT_RETURN)
        return fault.code;
    if (!comm || !asyncError)
        return simnccl_wrong (ncclInvalidArgument, "ncclCommGetAsyncError: a pointer is NULL");
    comm = simnccl_comm_find (comm);
    if (!comm)
        return ncclInvalidArgument;
    pthread_mutex_lock (&comm->lock);
    if (comm->late_at && simnccl_now () >= comm->late_at)
        atomic_store (&comm->state, (int) comm->late_error);
    pthread_mutex_unlock (&comm->lock);
    result = (ncclResult_t) atomic_load (&comm->state);
    if (fault.kind != SIMNCCL_FAULT_NONE)
        result = fault.kind == SIMNCCL_FAULT_HANG ? ncclInProgress : fault.code;
    *asyncError = result;
    return ncclSuccess;
}

/*  Whether a question may be answered now. */
static ncclResult_t question (const char *name, ncclComm_t *comm_p, const int *answer)
{
    ncclResult_t result;
    if (scripted (name, &result))
        return result;
    if (!*comm_p || !answer)
        return simnccl_wrong (ncclInvalidArgument, "%s: a pointer is NULL", name);
    *comm_p = simnccl_comm_find (*comm_p);
    return *comm_p ? simnccl_comm_ready (*comm_p) : ncclInvalidArgument;
}

ncclResult_t ncclCommCount (const ncclComm_t comm, int *count)
{
    ncclComm_t living = comm;
    ncclResult_t result = question ("ncclCommCount", &living, count);
    if (result == ncclSuccess)
        *count = (int) living->ranks;
    return result;
}

ncclResult_t ncclCommUserRank (const ncclComm_t comm, int *rank)
{
    ncclComm_t living = comm;
    ncclResult_t result = question ("ncclCommUserRank", &living, rank);
    if (result == ncclSuccess)
        *rank = (int) living->rank;
    return result;
}

ncclResult_t ncclCommCuDevice (const ncclComm_t comm, int *device)
{
    ncclComm_t living = comm;
    ncclResult_t result = question ("ncclCommCuDevice", &living, device);
    if (result == ncclSuccess)
        *device = living->device;
    return result;
}

/*  --- collectives */

static size_t size_of (ncclDataType_t type)
{
    static const unsigned char sizes [ncclNumTypes] = {
        1, 1, 4, 4, 8, 8, 2, 4, 8, 2, 1, 1
    }; /* nccl.h:300, in its order */
    return (unsigned) type < ncclNumTypes ? sizes [type] : 0;
}

static ncclResult_t check_collective (const char *name, ncclComm_t comm, size_t count, ncclDataType_t type,
                                      int root)
{
    ncclResult_t result = simnccl_comm_ready (comm);
    size_t size = size_of (type);
    if (result != ncclSuccess)
        return result;
    if (comm->finalized) /* assumed; the user guide wants only ncclCommDestroy from here on */
        return simnccl_wrong (ncclInvalidUsage, "%s rank %u: after ncclCommFinalize", name, comm->rank);
    if (root < 0 || (unsigned) root >= comm->ranks)
        return simnccl_wrong (ncclInvalidArgument, "%s rank %u: root %d of %u ranks", name, comm->rank, root,
                              comm->ranks);
    if (size == 0)
        return simnccl_wrong (ncclInvalidArgument, "%s rank %u: type %d", name, comm->rank, (int) type);
    if (count > SIZE_MAX / size / SIMNCCL_RANKS_MAX)
        return simnccl_wrong (ncclInvalidArgument, "%s rank %u: count %zu", name, comm->rank, count);
    return ncclSuccess;
}

static ncclResult_t collective (const char *name, const simnccl_call_t *call, ncclDataType_t type,
                                const void *send, void *receive, ncclComm_t handle, cudaStream_t stream)
{
    simnccl_fault_t fault = simnccl_fault (name);
    simnccl_operation_t *operation = NULL;
    simnccl_call_t bytes = *call;
    ncclResult_t result;
    ncclComm_t comm;
    if (!handle)
        return simnccl_group_failed (NULL, simnccl_wrong (ncclInvalidArgument, "%s: no communicator", name));
    comm = simnccl_comm_find (handle);
    if (!comm)
        return simnccl_group_failed (NULL, ncclInvalidArgument);
    if (fault.kind == SIMNCCL_FAULT_RETURN)
        return simnccl_group_failed (comm, fault.code);
    result = check_collective (name, comm, call->bytes, type, call->root);
    if (result != ncclSuccess)
        return simnccl_group_failed (comm, result);
    if (call->bytes == 0) /* nothing to move, nobody to wait for (assumed) */
        return ncclSuccess;
    if (!stream)
        return simnccl_group_failed (
            comm, simnccl_wrong (ncclInvalidArgument, "%s: the default stream is not simulated", name));
    bytes.bytes *= size_of (type);
    result = simnccl_operation_new (comm, &bytes, send, receive, stream, &operation);
    if (result != ncclSuccess)
        return simnccl_group_failed (comm, result);
    return simnccl_group_ask (comm, SIMNCCL_TASK_COLLECTIVE, fault, operation, NULL);
}

ncclResult_t ncclAllGather (const void *sendbuff, void *recvbuff, size_t sendcount, ncclDataType_t datatype,
                            ncclComm_t comm, cudaStream_t stream)
{
    simnccl_call_t call = { .kind = SIMNCCL_GATHER, .bytes = sendcount };
    return collective ("ncclAllGather", &call, datatype, sendbuff, recvbuff, comm, stream);
}

ncclResult_t ncclBroadcast (const void *sendbuff, void *recvbuff, size_t count, ncclDataType_t datatype,
                            int root, ncclComm_t comm, cudaStream_t stream)
{
    simnccl_call_t call = { .kind = SIMNCCL_BROADCAST, .root = root, .bytes = count };
    return collective ("ncclBroadcast", &call, datatype, sendbuff, recvbuff, comm, stream);
}

/*  --- the end */

ncclResult_t ncclCommFinalize (ncclComm_t comm)
{
    simnccl_fault_t fault = simnccl_fault ("ncclCommFinalize");
    ncclResult_t result;
    if (fault.kind == SIMNCCL_FAULT_RETURN)
        return simnccl_group_failed (NULL, fault.code);
    if (!comm) /* as the real one */
        return ncclSuccess;
    comm = simnccl_comm_find (comm);
    if (!comm)
        return simnccl_group_failed (NULL, ncclInvalidArgument);
    result = simnccl_comm_ready (comm);
    if (result == ncclSuccess && comm->finalized)
        result = simnccl_wrong (ncclInvalidArgument, "rank %u: finalized twice", comm->rank);
    if (result != ncclSuccess)
        return simnccl_group_failed (comm, result);
    comm->finalized = true;
    return simnccl_group_ask (comm, SIMNCCL_TASK_FINALIZE, fault, NULL, NULL);
}

/*  Blocks whatever the communicator is. Never finalized: does so first, "an intra-node collective call, which all ranks on the same node
 *  should call to avoid a hang" (user guide). At once, also within a group. */
ncclResult_t ncclCommDestroy (ncclComm_t comm)
{
    ncclResult_t result;
    unsigned pending;
    if (scripted ("ncclCommDestroy", &result))
        return result;
    if (!comm) /* as the real one */
        return ncclSuccess;
    comm = simnccl_comm_find (comm);
    if (!comm)
        return ncclInvalidArgument;
    result = simnccl_comm_ready (comm);
    if (result != ncclSuccess)
        return result;
    pthread_mutex_lock (&comm->lock);
    pending = comm->pending;
    pthread_mutex_unlock (&comm->lock);
    if (pending)
        simcuda_log (
            "nccl.destroy_pending rank=%u operations=%u: waits for them; better: ncclCommFinalize first",
            comm->rank, pending);
    if (!comm->finalized)
        result = simnccl_comm_finalize (comm);
    simnccl_comm_forget (comm);
    return result;
}

/*  Ends this rank's part only; "All active ranks are required to call this function" (user guide). */
ncclResult_t ncclCommAbort (ncclComm_t comm)
{
    ncclResult_t result;
    if (scripted ("ncclCommAbort", &result))
        return result;
    if (!comm) /* as the real one */
        return ncclSuccess;
    comm = simnccl_comm_find (comm);
    if (!comm)
        return ncclInvalidArgument;
    simnccl_comm_abort (comm);
    simnccl_comm_forget (comm);
    return ncclSuccess;
}
