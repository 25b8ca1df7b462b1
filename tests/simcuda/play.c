// SPDX-License-Identifier: Apache-2.0
/*  play.c - see play.h */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "tests/simcuda/play.h"

#define PAGE ((size_t) 4096)
#define SETTINGS_MAX 1024

typedef struct {
    char folder [32], log [48], state [48];
} place_t;

static void set (const place_t *place, const char *settings)
{
    char text [SETTINGS_MAX], *rest = text, *next;
    (void) snprintf (text, sizeof text, "%s", settings);
    (void) setenv ("SIMCUDA_LOG", place->log, 1);
    (void) setenv ("SIMCUDA_STATE", place->state, 1);
    while ((next = strsep (&rest, " "))) {
        char *value = strchr (next, '=');
        if (value) {
            *value++ = 0;
            (void) setenv (next, value, 1);
        }
    }
}

static void open_place (place_t *place)
{
    (void) snprintf (place->folder, sizeof place->folder, "/tmp/simcuda-XXXXXX");
    if (!mkdtemp (place->folder))
        abort ();
    (void) snprintf (place->log, sizeof place->log, "%s/log", place->folder);
    (void) snprintf (place->state, sizeof place->state, "%s/state", place->folder);
}

static void close_place (const place_t *place, play_t *ret)
{
    int fd = open (place->log, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? 0 : read (fd, ret->log, sizeof ret->log - 1);
    ret->log [size > 0 ? size : 0] = 0;
    if (fd >= 0)
        close (fd);
    (void) unlink (place->log);
    (void) unlink (place->state);
    (void) rmdir (place->folder);
}

static void reap (pid_t pid, int *ret_exit_status, int *ret_signal)
{
    int status = 0;
    if (waitpid (pid, &status, 0) != pid)
        abort ();
    *ret_exit_status = WIFEXITED (status) ? WEXITSTATUS (status) : -1;
    *ret_signal = WIFSIGNALED (status) ? WTERMSIG (status) : 0;
}

/*  A sanitizer would turn signals into an exit; here the signal is the finding. */
static void become (const place_t *place, const char *settings)
{
    set (place, settings);
    (void) signal (SIGSEGV, SIG_DFL);
    (void) signal (SIGBUS, SIG_DFL);
}

play_t play (const char *settings, void (*act) (void))
{
    play_t ret = { 0 };
    place_t place;
    open_place (&place);
    pid_t pid = fork ();
    if (pid == 0) {
        become (&place, settings);
        act ();
        exit (0);
    }
    reap (pid, &ret.exit_status, &ret.signal);
    close_place (&place, &ret);
    return ret;
}

play_t play_pair (const char *settings, void (*one) (int socket), void (*other) (int socket))
{
    play_t ret = { 0 };
    place_t place;
    int ends [2];
    pid_t pids [2];
    open_place (&place);
    if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        abort ();
    for (int i = 0; i < 2; i++) {
        pids [i] = fork ();
        if (pids [i] == 0) {
            close (ends [!i]);
            become (&place, settings);
            (i ? other : one) (ends [i]);
            exit (0);
        }
    }
    close (ends [0]);
    close (ends [1]);
    reap (pids [0], &ret.exit_status, &ret.signal);
    reap (pids [1], &ret.other_exit_status, &ret.other_signal);
    close_place (&place, &ret);
    return ret;
}

play_t play_program (const char *settings, char *const arguments [])
{
    play_t ret = { 0 };
    place_t place;
    open_place (&place);
    pid_t pid = fork ();
    if (pid == 0) {
        set (&place, settings);
        execv (arguments [0], arguments);
        _exit (127);
    }
    reap (pid, &ret.exit_status, &ret.signal);
    close_place (&place, &ret);
    return ret;
}

int play_gate_work (void *gate)
{
    return atomic_load ((play_gate_t *) gate) ? 0 : 1;
}

uint8_t *play_host (size_t size, int fill, int pinned)
{
    uint8_t *data = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must (data != MAP_FAILED);
    memset (data, fill, size);
    if (pinned)
        must_do (cudaHostRegister (data, size, cudaHostRegisterDefault));
    return data;
}

void play_host_free (uint8_t *data, size_t size, int pinned)
{
    if (pinned)
        must_do (cudaHostUnregister (data));
    munmap (data, size);
}

int play_all (const uint8_t *data, size_t size, int value)
{
    for (size_t i = 0; i < size; i++)
        if (data [i] != value)
            return 0;
    return 1;
}

int play_device_all (const void *data, size_t size, int value)
{
    uint8_t *copy = malloc (size);
    must (copy);
    must_do (cudaMemcpy (copy, data, size, cudaMemcpyDeviceToHost));
    int all = play_all (copy, size, value);
    free (copy);
    return all;
}

void play_send (int socket, const void *data, size_t size, int fd)
{
    struct iovec part = { (void *) (uintptr_t) data, size };
    union {
        struct cmsghdr header;
        char space [CMSG_SPACE (sizeof fd)];
    } control = { .header = {
                      .cmsg_len = CMSG_LEN (sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
    if (fd >= 0) {
        memcpy (CMSG_DATA (&control.header), &fd, sizeof fd);
        message.msg_control = &control;
        message.msg_controllen = sizeof control;
    }
    must (sendmsg (socket, &message, MSG_NOSIGNAL) == (ssize_t) size);
}

void play_receive (int socket, void *data, size_t size, int *ret_fd)
{
    struct iovec part = { data, size };
    union {
        struct cmsghdr header;
        char space [CMSG_SPACE (sizeof (int))];
    } control;
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
    };
    must (recvmsg (socket, &message, MSG_CMSG_CLOEXEC) == (ssize_t) size);
    if (ret_fd) {
        must (CMSG_FIRSTHDR (&message));
        memcpy (ret_fd, CMSG_DATA (&control.header), sizeof *ret_fd);
    }
}
