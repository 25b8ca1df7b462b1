// SPDX-License-Identifier: Apache-2.0
/*  nccl_answers.c - what libnccl.so.2 answers on a machine without a device, one line each
 *
 *  nccl_real_test.c runs it with the real library and with the simulated one, and compares the lines. Only what needs no device.
 */
#include <nccl.h>
#include <stdint.h>

#define ANSWER(call) printf ("%s = %d\n", #call, (int) (call))

static void without_communicator (void)
{
    char buffer [64] = { 0 };
    int number = 0;
    ncclResult_t state = ncclSuccess;
    ANSWER (ncclCommCount (NULL, &number));
    ANSWER (ncclCommUserRank (NULL, &number));
    ANSWER (ncclCommCuDevice (NULL, &number));
    ANSWER (ncclCommGetAsyncError (NULL, &state));
    ANSWER (ncclCommGetAsyncError (NULL, NULL));
    ANSWER (ncclAllGather (buffer, buffer, 1, ncclUint8, NULL, NULL));
    ANSWER (ncclBroadcast (buffer, buffer, 1, ncclUint8, 0, NULL, NULL));
    ANSWER (ncclCommFinalize (NULL));
    ANSWER (ncclCommDestroy (NULL));
    ANSWER (ncclCommAbort (NULL));
}

static void in_groups (void)
{
    char buffer [64] = { 0 };
    ANSWER (ncclGroupEnd ());
    ANSWER (ncclGroupStart ());
    ANSWER (ncclGroupStart ());
    ANSWER (ncclGroupEnd ());
    ANSWER (ncclGroupEnd ());
    ANSWER (ncclGroupEnd ());
    ANSWER (ncclGroupStart ());
    ANSWER (ncclAllGather (buffer, buffer, 1, ncclUint8, NULL, NULL));
    ANSWER (ncclGroupEnd ());
}

/*  The device comes first: without one, an argument is not looked at. */
static void joining (void)
{
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    ncclUniqueId id = { 0 };
    ncclComm_t comm = NULL;
    config.blocking = 0;
    ANSWER (ncclGetUniqueId (NULL));
    ANSWER (ncclGetUniqueId (&id));
    ANSWER (ncclCommInitRankConfig (NULL, 1, id, 0, &config));
    ANSWER (ncclCommInitRankConfig (&comm, 0, id, 0, &config));
    ANSWER (ncclCommInitRankConfig (&comm, 2, id, 2, &config));
    ANSWER (ncclCommInitRankConfig (&comm, 2, id, -1, &config));
    ANSWER (ncclCommInitRankConfig (&comm, 1, id, 0, &config));
    ANSWER (ncclCommInitRankConfig (&comm, 1, id, 0, NULL));
    config.magic = 1;
    ANSWER (ncclCommInitRankConfig (&comm, 1, id, 0, &config));
    printf ("communicator %s\n", comm ? "made" : "not made");
}

int main (void)
{
    int version = 0;
    ANSWER (ncclGetVersion (&version));
    printf ("version %d\n", version);
    ANSWER (ncclGetVersion (NULL));
    for (int code = -1; code <= ncclNumResults + 1; code++)
        printf ("%d: %s\n", code, ncclGetErrorString ((ncclResult_t) code));
    printf ("last error: \"%s\"\n", ncclGetLastError (NULL));
    without_communicator ();
    in_groups ();
    joining ();
    printf ("last error %s\n", ncclGetLastError (NULL) [0] ? "told" : "not told");
    return 0;
}
