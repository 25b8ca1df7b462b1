// SPDX-License-Identifier: Apache-2.0
/*  nccl_collective.c - all-gather and broadcast, in their stream's order
 *
 *  An operation moves on its stream's thread, when all that was before it in the stream is over; until then nothing is read, and what it
 *  will write holds POISON from the moment it is enqueued. (So a buffer that is written by one collective, read by earlier work of
 *  the same stream and written by a second one, all enqueued at once, reads poison here. The yard writes every byte once.)
 *
 *  First all ranks must have begun their n-th operation (assumed: a real rank may begin to send earlier), and alike: else they hang,
 *  with a line in the log. Then each source lays its chunks out in the arena, every other rank takes them.
 *
 *  The link: SIMNCCL_LINK_MB (10^6 bytes per second, 0 or unset: unlimited) per direction and rank. A rank pays for each byte that it
 *  takes, and for each byte that it gives once, as in a ring, where the neighbour passes it on: an all-gather of S bytes over n ranks
 *  takes S (n - 1) / n / link, a broadcast S / link.
 */
#include <errno.h>
#include "tests/simcuda/nccl_inside.h"

#define POISON 0xdb
#define NS_PER_MS 1000000ULL
#define STEP_MS 4 /* how long it may hold the stream's thread before it answers "not yet" */
#define WAIT_MS 2 /* for the bell, within a step */
#define CATCH_UP_MS 10 /* what a late thread may make good of its link's idle time */

struct simnccl_operation {
    ncclComm_t comm;
    simnccl_call_t call;
    const void *send;
    void *receive;
    cudaStream_t stream;
    uint64_t number; /* among the communicator's operations */
    bool stuck; /* a fault: it never begins */
    bool posted, matched, mismatch,
        said; /* begun; all others have, alike; not alike; its waiting is in the log */
    uint64_t since; /* ns: when it began */
    uint64_t given; /* chunks laid out */
    uint64_t taken [SIMNCCL_RANKS_MAX]; /* chunks taken of each source */
};

static const char *name_of (const simnccl_call_t *call)
{
    return call->kind == SIMNCCL_GATHER ? "ncclAllGather" : "ncclBroadcast";
}

static bool is_source (const simnccl_operation_t *self, unsigned rank)
{
    return self->call.kind == SIMNCCL_GATHER || (unsigned) self->call.root == rank;
}

static uint64_t receive_bytes (const simnccl_operation_t *self)
{
    return self->call.kind == SIMNCCL_GATHER ? self->call.bytes * self->comm->ranks : self->call.bytes;
}

/*  Where in the receive buffer a source's bytes go. */
static uint64_t place_of (const simnccl_operation_t *self, unsigned source)
{
    return self->call.kind == SIMNCCL_GATHER ? source * self->call.bytes : 0;
}

/*  The simulation's mapping of a buffer, or NULL with a sentence: the real library checks so with NCCL_CHECK_POINTERS=1 (user guide,
 *  environment variables), and crashes without; a reach over the allocation's end is ours to see. */
static void *memory_of (const simnccl_operation_t *self, const char *which, const void *pointer,
                        uint64_t bytes)
{
    int device = -1;
    void *memory = simcuda_memory (pointer, bytes, &device);
    if (memory && device == self->comm->device)
        return memory;
    simnccl_wrong (ncclInvalidArgument, "%s rank %u: %s %p of %llu bytes %s", name_of (&self->call),
                   self->comm->rank, which, pointer, (unsigned long long) bytes,
                   memory ? "is another device's memory" : "is no device memory, or reaches over its end");
    return NULL;
}

/*  send is looked at on sources only: "sendbuff" of a broadcast is the root's (nccl.h:395). */
static bool find_buffers (const simnccl_operation_t *self, unsigned char **ret_send,
                          unsigned char **ret_receive)
{
    *ret_send = NULL;
    *ret_receive = memory_of (self, "recvbuff", self->receive, receive_bytes (self));
    if (!*ret_receive)
        return false;
    if (is_source (self, self->comm->rank))
        *ret_send = memory_of (self, "sendbuff", self->send, self->call.bytes);
    return *ret_send || !is_source (self, self->comm->rank);
}

/*  Overlapping in any other way than nccl.h allows ("in-place ... if") has no defined end: refused (assumed). */
static bool overlaps_wrongly (const simnccl_operation_t *self)
{
    uintptr_t send = (uintptr_t) self->send, receive = (uintptr_t) self->receive;
    uintptr_t own = receive + place_of (self, self->comm->rank);
    if (!is_source (self, self->comm->rank) || send == own)
        return false;
    return send < receive + receive_bytes (self) && receive < send + self->call.bytes;
}

ncclResult_t simnccl_operation_new (ncclComm_t comm, const simnccl_call_t *call, const void *send,
                                    void *receive, cudaStream_t stream, simnccl_operation_t **ret)
{
    unsigned char *from, *to;
    simnccl_operation_t *self = calloc (1, sizeof *self);
    if (!self)
        return simnccl_wrong (ncclSystemError, "out of memory");
    *self = (simnccl_operation_t){
        .comm = comm, .call = *call, .send = send, .receive = receive, .stream = stream
    };
    if (!find_buffers (self, &from, &to))
        goto fail;
    if (overlaps_wrongly (self)) {
        simnccl_wrong (ncclInvalidArgument, "%s rank %u: sendbuff and recvbuff overlap, but not in place",
                       name_of (call), comm->rank);
        goto fail;
    }
    *ret = self;
    return ncclSuccess;
fail:
    free (self);
    return ncclInvalidArgument;
}

void simnccl_operation_destroy (simnccl_operation_t **self_p)
{
    free (*self_p);
    *self_p = NULL;
}

/*  All that others' bytes will be written to; its own in place stays. */
static void poison (const simnccl_operation_t *self, unsigned char *receive)
{
    unsigned own = self->comm->rank;
    uint64_t all = receive_bytes (self), from = place_of (self, own);
    if (!is_source (self, own) || self->send != (const unsigned char *) self->receive + from) {
        memset (receive, POISON, all);
        return;
    }
    memset (receive, POISON, from);
    memset (receive + from + self->call.bytes, POISON, all - from - self->call.bytes);
}

/*  --- moving */

/*  The link is idle again at *free_at: pays for bytes, from then on or from now. */
static void pay (uint64_t *free_at, size_t bytes, uint64_t link, uint64_t now)
{
    uint64_t earliest = now > CATCH_UP_MS * NS_PER_MS ? now - CATCH_UP_MS * NS_PER_MS : 0;
    if (link == 0)
        return;
    if (*free_at < earliest)
        *free_at = earliest;
    *free_at += (uint64_t) bytes * 1000 / link; /* link is in bytes per microsecond, which is MB per second */
}

/*  One chunk of its own into the arena, and to its own place. */
static bool give (simnccl_operation_t *self, const unsigned char *send, unsigned char *receive, uint64_t link)
{
    ncclComm_t comm = self->comm;
    simnccl_line_t *line = &comm->arena->lines [comm->rank];
    uint64_t number = comm->published [comm->rank] + self->given, offset, now = simnccl_now ();
    unsigned char *own = receive + place_of (self, comm->rank);
    size_t size;
    if (!send || self->given == simnccl_arena_chunks (self->call.bytes) || (link && now < comm->out_free) ||
        !simnccl_arena_room (comm->arena, comm->rank))
        return false;
    size = simnccl_arena_chunk (self->call.bytes, self->given, &offset);
    if (comm->ranks > 1)
        memcpy (simnccl_arena_slot (comm->arena, comm->rank, number), send + offset, size);
    if (own != send)
        memcpy (own + offset, send + offset, size);
    self->given++;
    atomic_store (&line->published, number + 1);
    if (comm->ranks > 1)
        pay (&comm->out_free, size, link, now);
    return true;
}

/*  One chunk of another rank's out of the arena. */
static bool take (simnccl_operation_t *self, unsigned source, unsigned char *receive, uint64_t link)
{
    ncclComm_t comm = self->comm;
    simnccl_line_t *line = &comm->arena->lines [comm->rank];
    uint64_t number = comm->published [source] + self->taken [source], offset, now;
    size_t size;
    if (source == comm->rank || !is_source (self, source) ||
        self->taken [source] == simnccl_arena_chunks (self->call.bytes) ||
        atomic_load (&comm->arena->lines [source].published) <= number)
        return false;
    now = simnccl_now ();
    if (link && now < comm->in_free)
        return false;
    size = simnccl_arena_chunk (self->call.bytes, self->taken [source], &offset);
    memcpy (receive + place_of (self, source) + offset, simnccl_arena_slot (comm->arena, source, number),
            size);
    self->taken [source]++;
    atomic_store (&line->taken [source], number + 1);
    pay (&comm->in_free, size, link, now);
    return true;
}

static bool is_moved (const simnccl_operation_t *self)
{
    uint64_t chunks = simnccl_arena_chunks (self->call.bytes);
    for (unsigned source = 0; source < self->comm->ranks; source++)
        if (is_source (self, source) &&
            (source == self->comm->rank ? self->given : self->taken [source]) < chunks)
            return false;
    return true;
}

static void post (simnccl_operation_t *self)
{
    simnccl_line_t *line = &self->comm->arena->lines [self->comm->rank];
    uint64_t now = simnccl_now ();
    line->calls [self->number % 2] = self->call;
    atomic_store (&line->posted, self->number + 1);
    self->posted = true;
    self->since = now;
    simnccl_arena_ring (self->comm->arena);
}

/*  Time in which there was nothing to move is nobody's credit. */
static void begin_link (ncclComm_t comm)
{
    uint64_t now = simnccl_now ();
    comm->in_free = comm->in_free > now ? comm->in_free : now;
    comm->out_free = comm->out_free > now ? comm->out_free : now;
}

/*  Whether all others have begun the same; a mismatch is found by whoever sees both. */
static bool match (simnccl_operation_t *self)
{
    ncclComm_t comm = self->comm;
    for (unsigned rank = 0; rank < comm->ranks; rank++) {
        simnccl_line_t *line = &comm->arena->lines [rank];
        const simnccl_call_t *theirs = &line->calls [self->number % 2];
        if (atomic_load (&line->posted) <= self->number)
            return false;
        if (theirs->kind == self->call.kind && theirs->root == self->call.root &&
            theirs->bytes == self->call.bytes)
            continue;
        self->mismatch = true;
        simcuda_log ("nccl.mismatch operation=%llu rank=%u %s bytes=%llu root=%d, rank=%u %s bytes=%llu "
                     "root=%d: hangs until ncclCommAbort",
                     (unsigned long long) self->number, comm->rank, name_of (&self->call),
                     (unsigned long long) self->call.bytes, self->call.root, rank, name_of (theirs),
                     (unsigned long long) theirs->bytes, theirs->root);
        return false;
    }
    self->matched = true;
    begin_link (comm);
    return true;
}

/*  A line for what hangs: the first rank that has not begun. */
static void tell_waiting (simnccl_operation_t *self)
{
    ncclComm_t comm = self->comm;
    simnccl_comm_watch (comm, name_of (&self->call));
    if (self->said || !simnccl_impatient (self->since))
        return;
    for (unsigned rank = 0; rank < comm->ranks && !self->said; rank++) {
        if (atomic_load (&comm->arena->lines [rank].posted) > self->number)
            continue;
        self->said = true;
        simcuda_log ("nccl.waits rank=%u operation=%llu %s bytes=%llu: not begun by rank=%u", comm->rank,
                     (unsigned long long) self->number, name_of (&self->call),
                     (unsigned long long) self->call.bytes, rank);
    }
}

/*  As far as it goes for now; whether anything moved. */
static bool move (simnccl_operation_t *self, const unsigned char *send, unsigned char *receive, uint64_t link)
{
    ncclComm_t comm = self->comm;
    bool moved = false;
    if (!self->posted)
        post (self);
    if (!self->matched && (self->mismatch || !match (self)))
        return false;
    moved = give (self, send, receive, link);
    for (unsigned step = 1; step < comm->ranks; step++)
        moved |= take (self, (comm->rank + step) % comm->ranks, receive, link);
    if (moved)
        simnccl_arena_ring (comm->arena);
    return moved;
}

/*  How long to wait for others, or for the link. */
static uint64_t idle_ns (const ncclComm_t comm, uint64_t link)
{
    uint64_t now = simnccl_now (), most = WAIT_MS * NS_PER_MS;
    if (link && comm->in_free > now && comm->in_free - now < most)
        most = comm->in_free - now;
    if (link && comm->out_free > now && comm->out_free - now < most)
        most = comm->out_free - now;
    return most;
}

/*  The last byte is there, too. */
static bool link_is_idle (const ncclComm_t comm, uint64_t link)
{
    uint64_t now = simnccl_now ();
    return link == 0 || (now >= comm->in_free && now >= comm->out_free);
}

/*  Over: the others' counters go on from here. */
static void account (simnccl_operation_t *self)
{
    ncclComm_t comm = self->comm;
    for (unsigned source = 0; source < comm->ranks; source++)
        if (is_source (self, source))
            comm->published [source] += simnccl_arena_chunks (self->call.bytes);
    comm->turn++;
}

/*  0: over, 1: not yet, negative: its memory is gone. Call with `running` held. */
static int step (simnccl_operation_t *self)
{
    ncclComm_t comm = self->comm;
    uint64_t link = simnccl_setting ("SIMNCCL_LINK_MB", 0), until = simnccl_now () + STEP_MS * NS_PER_MS;
    unsigned char *send, *receive;
    if (self->stuck || comm->turn != self->number)
        return 1;
    if (!find_buffers (self, &send, &receive))
        return -1;
    while (!atomic_load (&comm->aborted) && simnccl_now () < until) {
        uint32_t seen = atomic_load (&comm->arena->bell);
        if (move (self, send, receive, link))
            continue;
        if (self->matched && is_moved (self) && link_is_idle (comm, link)) {
            account (self);
            return 0;
        }
        tell_waiting (self);
        simnccl_arena_wait (comm->arena, seen, idle_ns (comm, link));
    }
    return 1;
}

/*  On the stream's thread. Aborted: over at once, without an error, as a kernel that is told to leave. */
static int run (void *argument)
{
    simnccl_operation_t *self = argument;
    ncclComm_t comm = self->comm;
    int result;
    pthread_mutex_lock (&comm->running);
    result = atomic_load (&comm->aborted) ? 0 : step (self);
    pthread_mutex_unlock (&comm->running);
    if (result == 1)
        return 1;
    pthread_mutex_lock (&comm->lock);
    comm->pending--;
    pthread_cond_broadcast (&comm->changed);
    pthread_mutex_unlock (&comm->lock);
    simnccl_operation_destroy (&self);
    simnccl_comm_release (comm);
    return result;
}

ncclResult_t simnccl_operation_enqueue (simnccl_operation_t *self, bool stuck)
{
    ncclComm_t comm = self->comm;
    unsigned char *send, *receive;
    if (!find_buffers (self, &send, &receive)) {
        simnccl_operation_destroy (&self);
        return ncclInvalidArgument;
    }
    poison (self, receive);
    self->stuck = stuck;
    self->number = comm->enqueued++;
    pthread_mutex_lock (&comm->lock);
    comm->pending++;
    comm->holders++;
    pthread_mutex_unlock (&comm->lock);
    if (simcuda_enqueue (self->stream, run, self) == 0)
        return ncclSuccess;
    pthread_mutex_lock (&comm->lock);
    comm->pending--;
    pthread_mutex_unlock (&comm->lock);
    simnccl_comm_release (comm);
    simnccl_operation_destroy (&self);
    return simnccl_wrong (ncclUnhandledCudaError, "rank %u: the stream takes no work", comm->rank);
}
