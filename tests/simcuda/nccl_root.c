// SPDX-License-Identifier: Apache-2.0
/*  nccl_root.c - how the ranks of a communicator meet
 *
 *  ncclGetUniqueId opens a listening socket, served by a thread of this process: it lives as long as the process that drew the id, or
 *  until all ranks are there. Its name is abstract (no file is left behind by a killed process) and lies in the 128 bytes. Each rank
 *  says who it is and waits; when all are there the root gives each the communicator's arena.
 *
 *  Refuses, as nccl.h's "rank must be between 0 and nranks-1 and unique" and the user guide's "Using the same CUDA device multiple
 *  times ... is not supported and may lead to hangs" leave open: a rank twice or another count hangs (assumed; logged); two ranks on
 *  one device get ncclInvalidUsage, the others hang (assumed; logged). A rank that is killed here hangs the others (logged).
 */
#include <errno.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "tests/simcuda/nccl_inside.h"

#define MAGIC 0x6c63636e6d6973ULL /* "simnccl" */
#define BACKLOG SIMNCCL_RANKS_MAX

/*  The 128 bytes. */
typedef struct {
    uint64_t magic;
    char name [96]; /* after the leading zero of an abstract socket's */
} identity_t;

_Static_assert(sizeof (identity_t) <= NCCL_UNIQUE_ID_BYTES, "an id holds the root's name");

typedef struct {
    uint64_t magic;
    uint32_t rank, ranks;
    char bus [SIMNCCL_BUS_SIZE];
} hello_t;

typedef struct {
    int fd; /* poll passes over -1 */
    bool taken, lost; /* this rank came; it ended before all were there */
    bool shared; /* its device is another rank's too */
    pid_t process;
    char bus [SIMNCCL_BUS_SIZE];
} guest_t;

typedef struct {
    int listener;
    unsigned ranks, present;
    guest_t guests [SIMNCCL_RANKS_MAX];
} root_t;

static socklen_t address_of (const identity_t *identity, struct sockaddr_un *ret)
{
    size_t length = strnlen (identity->name, sizeof identity->name);
    *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
    memcpy (ret->sun_path + 1, identity->name, length);
    return (socklen_t) (offsetof (struct sockaddr_un, sun_path) + 1 + length);
}

/*  Takes fd. A rank that does not fit is left without an answer, its socket open: it hangs. */
static void welcome (root_t *self, int fd)
{
    struct ucred who;
    socklen_t size = sizeof who;
    hello_t hello;
    guest_t *guest;
    if (recv (fd, &hello, sizeof hello, 0) != sizeof hello || hello.magic != MAGIC ||
        hello.ranks > SIMNCCL_RANKS_MAX || getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0 ||
        who.uid != geteuid ()) {
        close (fd);
        return;
    }
    if (self->ranks == 0)
        self->ranks = hello.ranks;
    guest = &self->guests [hello.rank % SIMNCCL_RANKS_MAX];
    if (hello.ranks != self->ranks || hello.rank >= self->ranks || guest->taken) {
        simcuda_log ("nccl.meeting_mismatch rank=%u of=%u, expected others of=%u, process=%d: hangs until "
                     "ncclCommAbort",
                     hello.rank, hello.ranks, self->ranks, (int) who.pid);
        return;
    }
    *guest = (guest_t){ .fd = fd, .taken = true, .process = who.pid };
    memcpy (guest->bus, hello.bus, sizeof guest->bus);
    self->present++;
}

/*  A guest says nothing more, so what is heard of it is its end. It keeps its place: the others wait in vain. */
static void mourn (root_t *self, const struct pollfd *entries)
{
    for (unsigned rank = 0; rank < self->ranks; rank++) {
        guest_t *guest = &self->guests [rank];
        if (guest->fd < 0 || !entries [rank].revents)
            continue;
        simcuda_log (
            "nccl.peer_gone rank=%u process=%d, while the ranks meet: the others hang until ncclCommAbort",
            rank, (int) guest->process);
        close (guest->fd);
        guest->fd = -1;
        guest->lost = true;
    }
}

/*  Returns when all ranks are there; with one of them lost, never. */
static void gather_guests (root_t *self)
{
    struct pollfd entries [SIMNCCL_RANKS_MAX + 1];
    bool lost = false;
    while (lost || self->ranks == 0 || self->present < self->ranks) {
        for (unsigned rank = 0; rank < self->ranks; rank++)
            entries [rank] = (struct pollfd){ .fd = self->guests [rank].fd, .events = POLLRDHUP };
        entries [self->ranks] = (struct pollfd){ .fd = self->listener, .events = POLLIN };
        if (poll (entries, self->ranks + 1, -1) < 0)
            continue;
        bool called = (entries [self->ranks].revents & POLLIN) != 0;
        mourn (self, entries);
        if (called) {
            int fd = accept4 (self->listener, NULL, NULL, SOCK_CLOEXEC);
            if (fd >= 0)
                welcome (self, fd);
        }
        for (unsigned rank = 0; rank < self->ranks; rank++)
            lost = lost || self->guests [rank].lost;
    }
}

static void answer (const guest_t *guest, ncclResult_t result, int arena)
{
    int32_t code = (int32_t) result;
    struct iovec part = { .iov_base = &code, .iov_len = sizeof code };
    union {
        struct cmsghdr head;
        char bytes [CMSG_SPACE (sizeof (int))];
    } control = { 0 };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
    if (arena >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        control.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
                                         .cmsg_type = SCM_RIGHTS,
                                         .cmsg_len = CMSG_LEN (sizeof (int)) };
        memcpy (CMSG_DATA (&control.head), &arena, sizeof arena);
    }
    if (sendmsg (guest->fd, &message, MSG_NOSIGNAL) < 0)
        simcuda_log ("nccl.peer_gone process=%d, before it had its answer", (int) guest->process);
    close (guest->fd);
}

static bool find_shared (root_t *self)
{
    bool any = false;
    for (unsigned a = 0; a < self->ranks; a++)
        for (unsigned b = 0; b < self->ranks; b++)
            if (a != b && strncmp (self->guests [a].bus, self->guests [b].bus, SIMNCCL_BUS_SIZE) == 0) {
                self->guests [a].shared = any = true;
                simcuda_log ("nccl.duplicate_device rank=%u and rank=%u on %s", a, b, self->guests [a].bus);
            }
    return any;
}

static void give_arena (root_t *self)
{
    int fd = simnccl_arena_make (self->ranks);
    simnccl_arena_t *arena = fd >= 0 ? simnccl_arena_map (fd) : NULL;
    for (unsigned rank = 0; rank < self->ranks; rank++) {
        if (arena)
            arena->lines [rank].process = self->guests [rank].process;
    }
    for (unsigned rank = 0; rank < self->ranks; rank++)
        answer (&self->guests [rank], arena ? ncclSuccess : ncclSystemError, arena ? fd : -1);
    simnccl_arena_unmap (&arena);
    if (fd >= 0)
        close (fd);
}

static void *serve (void *argument)
{
    root_t *self = argument;
    gather_guests (self);
    close (self->listener); /* an id makes one communicator */
    if (find_shared (self)) {
        /* who shares is told; the others' sockets stay open without an answer: they hang */
        for (unsigned rank = 0; rank < self->ranks; rank++)
            if (self->guests [rank].shared)
                answer (&self->guests [rank], ncclInvalidUsage, -1);
    } else {
        give_arena (self);
    }
    free (self);
    return NULL;
}

static int listen_as (identity_t *ret)
{
    struct sockaddr_un address;
    socklen_t length;
    uint64_t nonce [2];
    int fd = socket (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (getrandom (nonce, sizeof nonce, 0) != sizeof nonce)
        goto fail;
    *ret = (identity_t){ .magic = MAGIC };
    snprintf (ret->name, sizeof ret->name, "simnccl-%d-%016llx%016llx", (int) getpid (),
              (unsigned long long) nonce [0], (unsigned long long) nonce [1]);
    length = address_of (ret, &address);
    if (bind (fd, (struct sockaddr *) &address, length) == 0 && listen (fd, BACKLOG) == 0)
        return fd;
fail:
    close (fd);
    return -1;
}

int simnccl_root_start (ncclUniqueId *ret)
{
    identity_t identity;
    pthread_t thread;
    root_t *self = calloc (1, sizeof *self);
    if (!self)
        return -1;
    for (unsigned rank = 0; rank < SIMNCCL_RANKS_MAX; rank++)
        self->guests [rank].fd = -1;
    self->listener = listen_as (&identity);
    if (self->listener < 0)
        goto fail;
    if (pthread_create (&thread, NULL, serve, self) != 0)
        goto fail;
    pthread_detach (thread);
    memset (ret, 0, sizeof *ret);
    memcpy (ret, &identity, sizeof identity);
    return 0;
fail:
    if (self->listener >= 0)
        close (self->listener);
    free (self);
    return -1;
}

/*  The root's answer, with the arena's descriptor; false: it has ended, or this rank is aborted. */
static bool hear (int fd, int32_t *ret_code, int *ret_arena)
{
    struct iovec part = { .iov_base = ret_code, .iov_len = sizeof *ret_code };
    union {
        struct cmsghdr head;
        char bytes [CMSG_SPACE (sizeof (int))];
    } control;
    struct msghdr message = { .msg_iov = &part,
                              .msg_iovlen = 1,
                              .msg_control = control.bytes,
                              .msg_controllen = sizeof control.bytes };
    struct cmsghdr *head;
    ssize_t got;
    do
        got = recvmsg (fd, &message, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got != sizeof *ret_code)
        return false;
    head = CMSG_FIRSTHDR (&message);
    *ret_arena = -1;
    if (head && head->cmsg_type == SCM_RIGHTS)
        memcpy (ret_arena, CMSG_DATA (head), sizeof *ret_arena);
    return true;
}

/*  Shares the socket with simnccl_comm_abort, which shuts it down. */
static int call_root (ncclComm_t comm)
{
    identity_t identity;
    struct sockaddr_un address;
    socklen_t length;
    hello_t hello = { .magic = MAGIC, .rank = comm->rank, .ranks = comm->ranks };
    int fd = socket (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    memcpy (&identity, &comm->id, sizeof identity);
    memcpy (hello.bus, comm->bus, sizeof hello.bus);
    length = address_of (&identity, &address);
    if (connect (fd, (struct sockaddr *) &address, length) != 0 ||
        send (fd, &hello, sizeof hello, MSG_NOSIGNAL) != sizeof hello) {
        close (fd);
        return -1;
    }
    pthread_mutex_lock (&comm->lock);
    comm->socket = fd;
    if (atomic_load (&comm->aborted))
        shutdown (fd, SHUT_RDWR);
    pthread_mutex_unlock (&comm->lock);
    return fd;
}

ncclResult_t simnccl_root_join (ncclComm_t comm, simnccl_arena_t **ret)
{
    int fd, arena = -1;
    int32_t code = ncclSuccess;
    bool heard;
    fd = call_root (comm);
    if (fd < 0)
        return simnccl_wrong (ncclRemoteError,
                              "the process that drew this id has ended, or its communicator is complete");
    heard = hear (fd, &code, &arena);
    pthread_mutex_lock (&comm->lock);
    comm->socket = -1;
    pthread_mutex_unlock (&comm->lock);
    close (fd);
    if (!heard) {
        if (!atomic_load (&comm->aborted))
            simcuda_log ("nccl.root_gone rank=%u: hangs until ncclCommAbort", comm->rank);
        simnccl_comm_hang (comm);
        return ncclSuccess; /* to nobody: it is aborted */
    }
    if (code != ncclSuccess)
        return simnccl_wrong ((ncclResult_t) code, "rank %u: the root refuses: %s", comm->rank,
                              code == ncclInvalidUsage ? "its device is another rank's too"
                                                       : "no memory to meet in");
    *ret = simnccl_arena_map (arena);
    close (arena);
    return *ret ? ncclSuccess : simnccl_wrong (ncclSystemError, "rank %u: no memory to meet in", comm->rank);
}

bool simnccl_root_drew (const ncclUniqueId *id)
{
    identity_t identity;
    memcpy (&identity, id, sizeof identity);
    return identity.magic == MAGIC;
}
