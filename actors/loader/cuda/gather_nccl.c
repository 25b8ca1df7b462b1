// SPDX-License-Identifier: Apache-2.0
/*  gather_nccl.c - one end of a group of devices that give each other what they have read
 *
 *  A communicator that never blocks (config.blocking = 0): after each call it may be "in progress", and until ncclCommGetAsyncError says
 *  otherwise nothing more may be asked of it. So what is asked waits in a short queue; loader_nccl_state takes it further, one step at a
 *  time. Only when the last of it is in the stream is the mark recorded that says that it is over (reference: NCCL user guide, "Fault
 *  Tolerance" and "Non-blocking communicators").
 *
 *  Promises: nothing here waits for another rank, but for leaving in peace, FINALIZE_TRIES long.
 */
#include "cuda_device.h"
#include <assert.h>
#include <nccl.h>

#define ASKS_MAX \
    32 /* one per chunk that can be in flight: 128 MiB in chunks of 8 MiB (read.h), and as many again */
#define FINALIZE_TRIES \
    1000 /* of a millisecond each; all ranks leave at once, so one that takes longer is not coming */

_Static_assert(sizeof (ncclUniqueId) == LOADER_GATHER_ID_SIZE, "an id is as large as device.h says");

typedef struct {
    char *at; /* on the device */
    size_t size; /* of a share, or of the whole */
    bool whole; /* a broadcast */
    unsigned root;
} ask_t;

struct loader_gather_t {
    loader_device_t *device;
    ncclComm_t group;
    unsigned rank, ranks;
    ask_t asks [ASKS_MAX]; /* a ring: first of count not yet given to NCCL */
    unsigned first, count;
    cudaEvent_t mark; /* behind all that NCCL was given */
    bool joined, marked, failed;
};

/*  --- NCCL's errors in the yard's words */
typedef struct {
    ncclResult_t result;
    int code;
    const char *next;
} row_t;

static const row_t rows [] = {
    { ncclUnhandledCudaError, YARD_NOT_SERVED,
      "often no memory is left on the device; run with NCCL_DEBUG=WARN" },
    { ncclSystemError, YARD_NOT_SERVED, "look at NCCL_SOCKET_IFNAME, and run with NCCL_DEBUG=WARN" },
    { ncclRemoteError, YARD_GONE, "another device's loader has ended; every rank gives the group up" },
    { ncclInvalidUsage, YARD_NOT_SERVED, "two ranks may not use the same device" },
};

/*  NCCL keeps to itself which of CUDA's errors it met. One that stays shows itself again at any call. */
static int check_cuda_below (loader_device_t *device, const char *doing, yard_error_t *error)
{
    size_t bytes_free = 0, bytes_total = 0;
    return loader_cuda_check (device, cudaMemGetInfo (&bytes_free, &bytes_total), doing, error);
}

static int check (loader_device_t *device, ncclComm_t group, ncclResult_t result, const char *doing,
                  yard_error_t *error)
{
    static const row_t bug = { ncclSuccess, YARD_INTERNAL, "please report it" };
    const row_t *row = &bug;
    int rc = 0;
    if (result == ncclSuccess || result == ncclInProgress)
        return 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows [0]; i++)
        if (rows [i].result == result)
            row = &rows [i];
    if (result == ncclUnhandledCudaError)
        rc = check_cuda_below (device, doing, error);
    if (rc)
        return rc;
    return yard_error (error, row->code, "%s: %s (NCCL error %d: %s); %s", doing, ncclGetErrorString (result),
                       (int) result, ncclGetLastError (group), row->next);
}

int loader_nccl_version (void)
{
    int version = 0;
    return ncclGetVersion (&version) == ncclSuccess ? version : 0;
}

int loader_nccl_id (loader_device_t *self, uint8_t ret_id [LOADER_GATHER_ID_SIZE], yard_error_t *error)
{
    ncclUniqueId id;
    int rc = loader_cuda_enter (self, error);
    if (!rc)
        rc = check (self, NULL, ncclGetUniqueId (&id), "drawing an id for a group of devices", error);
    if (!rc)
        memcpy (ret_id, &id, sizeof id);
    return rc;
}

int loader_nccl_join (loader_device_t *self, const uint8_t id [LOADER_GATHER_ID_SIZE], unsigned rank,
                      unsigned ranks, loader_gather_t **ret, yard_error_t *error)
{
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    ncclUniqueId own;
    assert (rank < ranks && ranks <= LOADER_DEVICES_MAX);
    int rc = loader_cuda_enter (self, error);
    if (rc)
        return rc;
    loader_gather_t *gather = calloc (1, sizeof *gather);
    if (!gather)
        return yard_error (error, YARD_OUT_OF_MEMORY, "no host memory to join a group of devices");
    *gather = (loader_gather_t){ .device = self, .rank = rank, .ranks = ranks };
    memcpy (&own, id, sizeof own);
    config.blocking = 0;
    rc = loader_cuda_check (self, cudaEventCreateWithFlags (&gather->mark, cudaEventDisableTiming),
                            "making an event", error);
    if (!rc)
        rc =
            check (self, NULL, ncclCommInitRankConfig (&gather->group, (int) ranks, own, (int) rank, &config),
                   "joining a group of devices", error);
    if (rc)
        loader_nccl_leave (&gather, 1);
    else
        *ret = gather;
    return rc;
}

static ncclResult_t give (loader_gather_t *self, const ask_t *ask)
{
    cudaStream_t stream = self->device->gathers;
    if (ask->whole)
        return ncclBroadcast (ask->at, ask->at, ask->size, ncclUint8, (int) ask->root, self->group, stream);
    return ncclAllGather (ask->at + self->rank * ask->size, ask->at, ask->size, ncclUint8, self->group,
                          stream);
}

/*  Gives NCCL the asks until it is busy with one, or none is left and the mark is behind them. *ret_quiet: the latter. */
static int advance (loader_gather_t *self, bool *ret_quiet, yard_error_t *error)
{
    for (;;) {
        ncclResult_t state = ncclSuccess;
        int rc = check (self->device, self->group, ncclCommGetAsyncError (self->group, &state),
                        "asking how a group of devices is", error);
        if (!rc)
            rc = check (self->device, self->group, state, "working in a group of devices", error);
        if (rc || state == ncclInProgress)
            return rc;
        self->joined = true;
        if (self->count == 0)
            break;
        rc = check (self->device, self->group, give (self, &self->asks [self->first]), "starting a gather",
                    error);
        if (rc)
            return rc;
        self->first = (self->first + 1) % ASKS_MAX;
        self->count--;
        self->marked = false;
    }
    *ret_quiet = true;
    if (self->marked)
        return 0;
    self->marked = true;
    return loader_cuda_check (self->device, cudaEventRecord (self->mark, self->device->gathers),
                              "marking a gather", error);
}

/*  The same, for callers to whom a group that has failed once has failed for good. */
static int advance_or_fail (loader_gather_t *self, bool *ret_quiet, yard_error_t *error)
{
    int rc = loader_cuda_enter (self->device, error);
    if (!rc && self->failed)
        rc = yard_error (error, YARD_GONE,
                         "this group of devices has failed before; leave it and make another");
    if (!rc)
        rc = advance (self, ret_quiet, error);
    self->failed |= rc != 0;
    return rc;
}

static int add (loader_gather_t *self, const ask_t *ask, loader_event_t *after, yard_error_t *error)
{
    bool quiet = false;
    int rc = loader_cuda_enter (self->device, error);
    if (rc)
        return rc;
    if (self->count == ASKS_MAX)
        return yard_error (error, YARD_BUSY,
                           "%d gathers wait already; ask again when gather_state has taken some", ASKS_MAX);
    /*  The event may be recorded anew before NCCL takes this ask: the stream must wait for what it marks now. */
    if (after)
        rc = loader_cuda_check (self->device,
                                cudaStreamWaitEvent (self->device->gathers, loader_event_cuda (after), 0),
                                "making a gather wait for its copy", error);
    if (rc)
        return rc;
    self->asks [(self->first + self->count++) % ASKS_MAX] = *ask;
    return advance_or_fail (self, &quiet, error);
}

int loader_nccl_gather (loader_gather_t *self, loader_memory_t *memory, uint64_t offset, uint64_t share,
                        loader_event_t *after, yard_error_t *error)
{
    assert (loader_memory_holds (memory, offset, share * self->ranks) && share <= memory->bytes);
    return add (self, &(ask_t){ .at = memory->data + offset, .size = share }, after, error);
}

int loader_nccl_broadcast (loader_gather_t *self, loader_memory_t *memory, uint64_t offset, uint64_t bytes,
                           unsigned root, loader_event_t *after, yard_error_t *error)
{
    assert (loader_memory_holds (memory, offset, bytes) && root < self->ranks);
    return add (self, &(ask_t){ .at = memory->data + offset, .size = bytes, .whole = true, .root = root },
                after, error);
}

int loader_nccl_state (loader_gather_t *self, int *ret_done, yard_error_t *error)
{
    bool quiet = false;
    int done = 0, rc = advance_or_fail (self, &quiet, error);
    if (!rc && quiet)
        rc = loader_copy_done (self->device, (loader_event_t *) self->mark, &done, error);
    if (!rc && done) /* the work is over; was it good to the end? */
        rc = advance (self, &quiet, error);
    self->failed |= rc != 0;
    if (!rc)
        *ret_done = done;
    return rc;
}

/*  Whether the group has come to rest: all ranks leave, and nothing of theirs is under way. */
static bool finalize (loader_gather_t *self)
{
    const struct timespec pause = { .tv_nsec = 1000000 };
    ncclResult_t state = ncclCommFinalize (self->group);
    for (int i = 0; state == ncclInProgress && i < FINALIZE_TRIES; i++) {
        if (ncclCommGetAsyncError (self->group, &state) != ncclSuccess)
            return false;
        if (state == ncclInProgress)
            nanosleep (&pause, NULL);
    }
    return state == ncclSuccess;
}

void loader_nccl_leave (loader_gather_t **self_p, int abort)
{
    loader_gather_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    cudaSetDevice (self->device->ordinal);
    if (self->group) {
        bool peace = !abort && !self->failed && !self->device->lost && self->joined && finalize (self);
        if (peace)
            ncclCommDestroy (self->group);
        else
            ncclCommAbort (self->group);
    }
    if (self->mark)
        cudaEventDestroy (self->mark);
    cudaGetLastError ();
    free (self);
}
