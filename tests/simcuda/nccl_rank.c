// SPDX-License-Identifier: Apache-2.0
/*  nccl_rank.c - simnccl_rank: one process with ranks of the simulated NCCL, told by lines what to do
 *
 *  A test writes a command line to its stdin and reads one answer line from its stdout: numbers, as the called function returned them.
 *  It has a few seats, each with a communicator, a device buffer, a stream and an event; `seat N` changes between them. The buffers are
 *  filled and looked at through the simulation's own mapping, behind the back of all streams.
 */
#include <assert.h>
#include <cuda_runtime.h>
#include <nccl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "tests/simcuda/simcuda.h"

#define SEATS 8
#define WORDS_MAX 8
#define LINE_SIZE 512

typedef struct {
    ncclComm_t comm;
    unsigned char *buffer;
    size_t size;
    cudaStream_t stream;
    cudaEvent_t event;
    _Atomic int gate; /* 1: the stream waits */
} seat_t;

static seat_t seats [SEATS], *seat = &seats [0];

static size_t number (const char *text)
{
    return (size_t) strtoll (text, NULL, 10);
}

static unsigned char *inside (size_t offset, size_t size)
{
    int device;
    return simcuda_memory (seat->buffer + offset, size, &device);
}

static int say (long long value)
{
    printf ("%lld\n", value);
    return fflush (stdout);
}

static double seconds (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

static void pause_briefly (void)
{
    const struct timespec brief = { .tv_nsec = 200000 };
    nanosleep (&brief, NULL);
}

/*  --- the device */

static int do_seat (char **words)
{
    seat = &seats [number (words [1]) % SEATS];
    return say (0);
}

static int do_device (char **words)
{
    return say (cudaSetDevice ((int) number (words [1])));
}

static int do_allocate (char **words)
{
    void *made = NULL;
    int rc;
    seat->size = number (words [1]);
    rc = (int) cudaMalloc (&made, seat->size);
    seat->buffer = made;
    if (rc == 0)
        rc = (int) cudaStreamCreateWithFlags (&seat->stream, cudaStreamNonBlocking);
    if (rc == 0)
        rc = (int) cudaEventCreateWithFlags (&seat->event, cudaEventDisableTiming);
    return say (rc);
}

static int do_free (char **words)
{
    (void) words;
    return say (cudaFree (seat->buffer));
}

static unsigned char pattern (size_t at, size_t seed)
{
    uint64_t mixed = (at + 1) * 0x9e3779b97f4a7c15ULL + seed * 0xc2b2ae3d27d4eb4fULL;
    return (unsigned char) (mixed >> 56);
}

/*  fill OFFSET SIZE SEED */
static int do_fill (char **words)
{
    size_t size = number (words [2]);
    unsigned char *memory = inside (number (words [1]), size);
    for (size_t at = 0; memory && at < size; at++)
        memory [at] = pattern (at, number (words [3]));
    return say (memory ? 0 : -1);
}

/*  check OFFSET SIZE SEED: 1, or 0 */
static int do_check (char **words)
{
    size_t size = number (words [2]), seed = number (words [3]), at = 0;
    const unsigned char *memory = inside (number (words [1]), size);
    while (memory && at < size && memory [at] == pattern (at, seed))
        at++;
    return say (memory && at == size);
}

/*  poisoned OFFSET SIZE: 1, or 0 */
static int do_poisoned (char **words)
{
    size_t size = number (words [2]), at = 0;
    const unsigned char *memory = inside (number (words [1]), size);
    while (memory && at < size && memory [at] == 0xdb)
        at++;
    return say (memory && at == size);
}

static int wait_gate (void *argument)
{
    return atomic_load (&((seat_t *) argument)->gate);
}

/*  hold, open: the stream's earlier work, as long as the test wants it to be */
static int do_hold (char **words)
{
    (void) words;
    atomic_store (&seat->gate, 1);
    return say (simcuda_enqueue (seat->stream, wait_gate, seat));
}

static int do_open (char **words)
{
    (void) words;
    atomic_store (&seat->gate, 0);
    return say (0);
}

/*  after SEAT: the stream waits for what is in that seat's now */
static int do_after (char **words)
{
    const seat_t *other = &seats [number (words [1]) % SEATS];
    cudaError_t rc = cudaEventRecord (other->event, other->stream);
    return say (rc != cudaSuccess ? rc : cudaStreamWaitEvent (seat->stream, other->event, 0));
}

static int do_mark (char **words)
{
    (void) words;
    return say (cudaEventRecord (seat->event, seat->stream));
}

/*  wait MS: the event's answer, by then */
static int do_wait (char **words)
{
    double until = seconds () + (double) number (words [1]) / 1000;
    cudaError_t rc;
    while ((rc = cudaEventQuery (seat->event)) == cudaErrorNotReady && seconds () < until)
        pause_briefly ();
    return say (rc);
}

/*  --- NCCL */

static int do_version (char **words)
{
    int version = 0;
    (void) words;
    return say (ncclGetVersion (&version) ? -1 : version);
}

static int do_id (char **words)
{
    ncclUniqueId id;
    int rc = (int) ncclGetUniqueId (&id);
    (void) words;
    if (rc != 0)
        return say (rc);
    for (size_t at = 0; at < sizeof id; at++)
        printf ("%02x", (unsigned char) id.internal [at]);
    printf ("\n");
    return fflush (stdout);
}

/*  join RANK RANKS BLOCKING ID */
static int do_join (char **words)
{
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    ncclUniqueId id = { 0 };
    for (size_t at = 0; at < sizeof id && strlen (words [4]) >= 2 * at + 2; at++) {
        char pair [3] = { words [4][2 * at], words [4][2 * at + 1], 0 };
        id.internal [at] = (char) strtol (pair, NULL, 16);
    }
    config.blocking = (int) number (words [3]);
    return say (ncclCommInitRankConfig (&seat->comm, (int) number (words [2]), id, (int) number (words [1]),
                                        &config));
}

static int do_state (char **words)
{
    ncclResult_t state = ncclNumResults;
    int rc = (int) ncclCommGetAsyncError (seat->comm, &state);
    (void) words;
    return say (rc ? -rc : (int) state);
}

/*  ready MS: the state, when it is no longer ncclInProgress, or by then */
static int do_ready (char **words)
{
    double until = seconds () + (double) number (words [1]) / 1000;
    ncclResult_t state = ncclNumResults;
    int rc;
    while ((rc = (int) ncclCommGetAsyncError (seat->comm, &state)) == 0 && state == ncclInProgress &&
           seconds () < until)
        pause_briefly ();
    return say (rc ? -rc : (int) state);
}

/*  error CODE MS: 1 when the state is that, by then */
static int do_error (char **words)
{
    double until = seconds () + (double) number (words [2]) / 1000;
    ncclResult_t state = ncclSuccess;
    while (ncclCommGetAsyncError (seat->comm, &state) == 0 && (size_t) state != number (words [1]) &&
           seconds () < until)
        pause_briefly ();
    return say ((size_t) state == number (words [1]));
}

/*  gather SEND RECEIVE COUNT TYPE: offsets in the buffer */
static int do_gather (char **words)
{
    return say (ncclAllGather (seat->buffer + number (words [1]), seat->buffer + number (words [2]),
                               number (words [3]), (ncclDataType_t) number (words [4]), seat->comm,
                               seat->stream));
}

/*  host: an all-gather of host memory */
static int do_host (char **words)
{
    static unsigned char host [64];
    (void) words;
    return say (ncclAllGather (host, host, 8, ncclUint8, seat->comm, seat->stream));
}

/*  broadcast SEND RECEIVE COUNT TYPE ROOT */
static int do_broadcast (char **words)
{
    return say (ncclBroadcast (seat->buffer + number (words [1]), seat->buffer + number (words [2]),
                               number (words [3]), (ncclDataType_t) number (words [4]),
                               (int) number (words [5]), seat->comm, seat->stream));
}

static int do_group_start (char **words)
{
    (void) words;
    return say (ncclGroupStart ());
}

static int do_group_end (char **words)
{
    (void) words;
    return say (ncclGroupEnd ());
}

/*  about: ranks, rank and device as one number, or the negative code */
static int do_about (char **words)
{
    int ranks = 0, rank = 0, device = 0, rc = (int) ncclCommCount (seat->comm, &ranks);
    (void) words;
    if (rc == 0)
        rc = (int) ncclCommUserRank (seat->comm, &rank);
    if (rc == 0)
        rc = (int) ncclCommCuDevice (seat->comm, &device);
    return say (rc ? -rc : ranks * 10000 + rank * 100 + device);
}

static int do_finalize (char **words)
{
    (void) words;
    return say (ncclCommFinalize (seat->comm));
}

static int do_destroy (char **words)
{
    (void) words;
    return say (ncclCommDestroy (seat->comm));
}

static int do_abort (char **words)
{
    (void) words;
    return say (ncclCommAbort (seat->comm));
}

static const struct {
    const char *name;
    int (*run) (char **words);
    int words; /* with the name */
} commands [] = {
    { "seat", do_seat, 2 },           { "device", do_device, 2 },
    { "allocate", do_allocate, 2 },   { "free", do_free, 1 },
    { "fill", do_fill, 4 },           { "check", do_check, 4 },
    { "poisoned", do_poisoned, 3 },   { "hold", do_hold, 1 },
    { "open", do_open, 1 },           { "after", do_after, 2 },
    { "mark", do_mark, 1 },           { "wait", do_wait, 2 },
    { "version", do_version, 1 },     { "id", do_id, 1 },
    { "join", do_join, 5 },           { "state", do_state, 1 },
    { "ready", do_ready, 2 },         { "error", do_error, 3 },
    { "gather", do_gather, 5 },       { "host", do_host, 1 },
    { "broadcast", do_broadcast, 6 }, { "group_start", do_group_start, 1 },
    { "group_end", do_group_end, 1 }, { "about", do_about, 1 },
    { "finalize", do_finalize, 1 },   { "destroy", do_destroy, 1 },
    { "abort", do_abort, 1 },
};

static void obey (char *line)
{
    char *words [WORDS_MAX] = { NULL }, *rest = NULL;
    int count = 0;
    for (char *word = strtok_r (line, " \n", &rest); word && count < WORDS_MAX;
         word = strtok_r (NULL, " \n", &rest))
        words [count++] = word;
    for (size_t at = 0; count > 0 && at < sizeof commands / sizeof commands [0]; at++)
        if (strcmp (words [0], commands [at].name) == 0 && count == commands [at].words) {
            commands [at].run (words);
            return;
        }
    assert (false); /* the test means a command that is not in the table, or its words are too few */
}

int main (void)
{
    char line [LINE_SIZE];
    while (fgets (line, sizeof line, stdin))
        obey (line);
    return 0;
}
