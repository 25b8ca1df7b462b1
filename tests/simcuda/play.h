// SPDX-License-Identifier: Apache-2.0
/*  play.h - a few lines of a CUDA program in a process of their own, with the settings and the log of their own
 *
 *  The simulation reads its settings at the first call and reports at exit, so every case is a process: the test's own never calls CUDA.
 */
#ifndef SIMCUDA_PLAY_H
#define SIMCUDA_PLAY_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cuda_runtime_api.h>

#define PLAY_FAILED 9 /* the exit status of a process whose `must` did not hold */
#define PLAY_MIB ((size_t) 1 << 20)

typedef struct {
    int exit_status; /* of the process (or the first of a pair); -1: killed */
    int signal; /* that killed it; 0 = none */
    int other_exit_status, other_signal; /* of a pair's second */
    char log [8192]; /* all lines of the simulation */
} play_t;

/*  Both ended well, without a signal, and this line is in the log; NULL: nothing is. */
void play_well (play_t got, const char *line);
/*  What is left on the current device. */
size_t play_bytes_free (void);

/*  Inside a play: what has to hold, or the process ends with PLAY_FAILED and says where. */
#define must(condition) \
    do { \
        if (!(condition)) { \
            (void) fprintf (stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            _exit (PLAY_FAILED); \
        } \
    } while (0)
#define must_be(code, call) \
    do { \
        int got_ = (int) (call); \
        if (got_ != (int) (code)) { \
            (void) fprintf (stderr, "%s:%d: %d, not %s: %s\n", __FILE__, __LINE__, got_, #code, #call); \
            _exit (PLAY_FAILED); \
        } \
    } while (0)
#define must_do(call) must_be (cudaSuccess, call)

/*  settings: "SIMCUDA_DEVICES=2 SIMCUDA_MEMORY=4194304". */
play_t play (const char *settings, void (*act) (void));
/*  Two processes with one state file, and a socket between them. */
play_t play_pair (const char *settings, void (*one) (int socket), void (*other) (int socket));
/*  The same for a program: its arguments, NULL at the end. */
play_t play_program (const char *settings, char *const arguments []);

/*  A gate in a stream: what comes behind it waits until it is opened. */
typedef atomic_int play_gate_t;
int play_gate_work (void *gate); /* for simcuda_enqueue */

/*  Host memory in whole pages, filled; pinned where asked. */
uint8_t *play_host (size_t size, int fill, int pinned);
void play_host_free (uint8_t *data, size_t size, int pinned);
int play_all (const uint8_t *data, size_t size, int value); /* whether all bytes are */
/*  Device memory, read back by cudaMemcpy: whether all bytes are. */
int play_device_all (const void *data, size_t size, int value);

void play_send (int socket, const void *data, size_t size, int fd); /* fd: -1 = none */
void play_receive (int socket, void *data, size_t size, int *ret_fd); /* ret_fd: may be NULL */

#endif
