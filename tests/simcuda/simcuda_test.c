// SPDX-License-Identifier: Apache-2.0
/*  simcuda_test.c - what a copy, a stream and an event do, each rule with the line it is from
 *
 *  Lines are those of the headers of CUDA 13.0; "Guide" is NVIDIA's CUDA C++ Programming Guide; `assumed` has no source and is what we
 *  would rather have checked for us.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <time.h>
#include "tests/simcuda/play.h"
#include "tests/simcuda/simcuda.h"

#define SIZE ((size_t) 256 << 10)

/*  What most cases need: a device with memory, a stream, pinned memory full of 0x11. */
typedef struct {
    uint8_t *device, *host;
    cudaStream_t stream;
    cudaEvent_t event;
} bench_t;

static bench_t bench_open (void)
{
    bench_t bench;
    must_do (cudaSetDevice (0));
    must_do (cudaMalloc ((void **) &bench.device, SIZE));
    must_do (cudaStreamCreateWithFlags (&bench.stream, cudaStreamNonBlocking));
    must_do (cudaEventCreateWithFlags (&bench.event, cudaEventDisableTiming));
    bench.host = play_host (SIZE, 0x11, 1);
    return bench;
}

static void bench_close (bench_t *bench)
{
    must_do (cudaStreamSynchronize (bench->stream));
    must_do (cudaEventDestroy (bench->event));
    must_do (cudaStreamDestroy (bench->stream));
    must_do (cudaFree (bench->device));
    play_host_free (bench->host, SIZE, 1);
}

static void reuse_pinned (void)
{
    bench_t bench = bench_open ();
    play_gate_t gate = 0;
    must (simcuda_enqueue (bench.stream, play_gate_work, &gate) == 0);
    must_do (cudaMemcpyAsync (bench.device, bench.host, SIZE, cudaMemcpyHostToDevice, bench.stream));
    memset (bench.host, 0x22, SIZE);
    gate = 1;
    must_do (cudaStreamSynchronize (bench.stream));
    must (play_device_all (bench.device, SIZE, 0x22));
    bench_close (&bench);
}

/*  cuda_runtime_api.h:105 "For all other transfers, the function should be fully asynchronous": so the source may be read at any time
 *  until the copy is over; here it is at the end. */
static void a_pinned_source_is_read_at_the_end (void **unused)
{
    (void) unused;
    play_well (play ("", reuse_pinned), "simcuda.source_reused bytes=262144");
}

static void reuse_pageable (void)
{
    bench_t bench = bench_open ();
    play_gate_t gate = 0;
    uint8_t *pageable = play_host (SIZE, 0x33, 0);
    must (simcuda_enqueue (bench.stream, play_gate_work, &gate) == 0);
    must_do (cudaMemcpyAsync (bench.device, pageable, SIZE, cudaMemcpyHostToDevice, bench.stream));
    memset (pageable, 0x44, SIZE);
    gate = 1;
    must_do (cudaStreamSynchronize (bench.stream));
    must (play_device_all (bench.device, SIZE, 0x33));
    play_host_free (pageable, SIZE, 0);
    bench_close (&bench);
}

/*  cuda_runtime_api.h:102 "If pageable memory must first be staged to pinned memory, the driver may [...] stage the copy". */
static void a_pageable_source_is_staged_at_the_call (void **unused)
{
    (void) unused;
    play_well (play ("", reuse_pageable), "simcuda.pageable_source bytes=262144");
}

static void hang_second (void)
{
    bench_t bench = bench_open ();
    int device = -1;
    must_do (cudaMemcpyAsync (bench.device, bench.host, SIZE, cudaMemcpyHostToDevice, bench.stream));
    must_do (cudaStreamSynchronize (bench.stream));
    must (play_device_all (bench.device, SIZE, 0x11));
    must_do (cudaMemcpyAsync (bench.device, bench.host, SIZE, cudaMemcpyHostToDevice, bench.stream));
    must (play_all (simcuda_memory (bench.device, SIZE, &device), SIZE, 0xDB));
    must_do (cudaMemcpyAsync (bench.device, bench.host, SIZE, cudaMemcpyHostToDevice, bench.stream));
    must_be (cudaErrorNotReady, cudaStreamQuery (bench.stream));
    must (device == 0);
    _exit (0); /* the stream hangs: nothing here can be given back */
}

/*  cuda_runtime_api.h:6294 "the call may return before the copy is complete": what is there until then is nobody's to rely on. */
static void the_destination_is_poison_from_the_call_on (void **unused)
{
    (void) unused;
    play_well (play ("SIMCUDA_FAULTS=cudaMemcpyAsync:2=hang", hang_second),
               "simcuda.fault call=cudaMemcpyAsync what=hang");
}

static void read_then_overwrite (void)
{
    bench_t bench = bench_open ();
    uint8_t *back = play_host (SIZE, 0, 1);
    must_do (cudaMemcpyAsync (bench.device, bench.host, SIZE, cudaMemcpyHostToDevice, bench.stream));
    must_do (cudaStreamSynchronize (bench.stream));
    must_do (cudaMemcpyAsync (back, bench.device, SIZE, cudaMemcpyDeviceToHost, bench.stream));
    uint8_t *other = play_host (SIZE, 0x55, 1);
    must_do (cudaMemcpyAsync (bench.device, other, SIZE, cudaMemcpyHostToDevice, bench.stream));
    must_do (cudaStreamSynchronize (bench.stream));
    must (play_all (back, SIZE, 0x11));
    must (play_device_all (bench.device, SIZE, 0x55));
    play_host_free (back, SIZE, 1);
    play_host_free (other, SIZE, 1);
    bench_close (&bench);
}

/*  Guide, Streams: "a sequence of commands that execute in order". A correct program sees no poison: 4 MB/s are 65 ms here. */
static void poison_waits_for_reads_that_come_before (void **unused)
{
    (void) unused;
    play_well (play ("SIMCUDA_LINK_MB=4", read_then_overwrite), NULL);
}

static void many_to_one_place (void)
{
    bench_t bench = bench_open ();
    uint8_t *hosts [16];
    cudaEvent_t events [16];
    for (int i = 0; i < 16; i++) {
        hosts [i] = play_host (SIZE, i, 1);
        must_do (cudaEventCreateWithFlags (&events [i], cudaEventDisableTiming));
        must_do (cudaMemcpyAsync (bench.device, hosts [i], SIZE, cudaMemcpyHostToDevice, bench.stream));
        must_do (cudaEventRecord (events [i], bench.stream));
    }
    for (int i = 15; i >= 0; i--) {
        must_do (i == 15 ? cudaEventSynchronize (events [i])
                         : cudaEventQuery (events [i])); /* the last is over: so are all */
        must_do (cudaEventDestroy (events [i]));
        play_host_free (hosts [i], SIZE, 1);
    }
    must (play_device_all (bench.device, SIZE, 15));
    bench_close (&bench);
}

/*  Guide, Streams: "a sequence of commands that execute in order"; whatever the delays, which the seed draws. */
static void copies_of_a_stream_keep_their_order (void **unused)
{
    (void) unused;
    play_well (play ("SIMCUDA_SEED=1", many_to_one_place), NULL);
    play_well (play ("SIMCUDA_SEED=77", many_to_one_place), NULL);
}

static void watch_event (void)
{
    bench_t bench = bench_open ();
    play_gate_t gate = 0;
    must_do (cudaEventQuery (bench.event));
    must (simcuda_enqueue (bench.stream, play_gate_work, &gate) == 0);
    must_do (cudaMemcpyAsync (bench.device, bench.host, SIZE, cudaMemcpyHostToDevice, bench.stream));
    must_do (cudaEventRecord (bench.event, bench.stream));
    must_be (cudaErrorNotReady, cudaEventQuery (bench.event));
    must_be (cudaErrorNotReady, cudaStreamQuery (bench.stream));
    must_do (cudaGetLastError ());
    gate = 1;
    must_do (cudaEventSynchronize (bench.event));
    must_do (cudaEventQuery (bench.event));
    must (play_device_all (bench.device, SIZE, 0x11));
    bench_close (&bench);
}

/*  cuda_runtime_api.h:2896 (cudaErrorNotReady), :2814 (never recorded: cudaSuccess); Guide, Error Checking: cudaErrorNotReady "is not
 *  reported by cudaPeekAtLastError() or cudaGetLastError()". */
static void an_event_is_done_when_its_work_is (void **unused)
{
    (void) unused;
    play_well (play ("", watch_event), NULL);
}

static void record_again (void)
{
    bench_t bench = bench_open ();
    play_gate_t first = 0, second = 0;
    cudaStream_t other;
    must_do (cudaStreamCreateWithFlags (&other, cudaStreamNonBlocking));
    must (simcuda_enqueue (bench.stream, play_gate_work, &first) == 0);
    must_do (cudaEventRecord (bench.event, bench.stream));
    must_do (cudaStreamWaitEvent (other, bench.event, cudaEventWaitDefault));
    must (simcuda_enqueue (bench.stream, play_gate_work, &second) == 0);
    must_do (cudaEventRecord (bench.event, bench.stream));
    must_be (cudaErrorNotReady, cudaStreamQuery (other));
    first = 1;
    must_do (cudaStreamSynchronize (other));
    must_be (cudaErrorNotReady, cudaEventQuery (bench.event));
    second = 1;
    must_do (cudaEventSynchronize (bench.event));
    must_do (cudaStreamDestroy (other));
    bench_close (&bench);
}

/*  cuda_runtime_api.h:2810: cudaStreamWaitEvent uses "the most recently captured state at the time of the API call". */
static void a_stream_waits_for_the_mark_of_its_call (void **unused)
{
    (void) unused;
    play_well (play ("", record_again), NULL);
}

static void destroy_early (void)
{
    bench_t bench = bench_open ();
    play_gate_t gate = 0;
    cudaStream_t stream = bench.stream;
    must (simcuda_enqueue (stream, play_gate_work, &gate) == 0);
    must_do (cudaMemcpyAsync (bench.device, bench.host, SIZE, cudaMemcpyHostToDevice, stream));
    must_do (cudaEventRecord (bench.event, stream));
    must_do (cudaStreamDestroy (stream));
    must_do (cudaStreamCreateWithFlags (&bench.stream, cudaStreamNonBlocking));
    must_do (cudaStreamWaitEvent (bench.stream, bench.event, cudaEventWaitDefault));
    must_be (cudaErrorInvalidResourceHandle, cudaStreamQuery (stream));
    gate = 1;
    must_do (cudaStreamSynchronize (bench.stream));
    must (play_device_all (bench.device, SIZE, 0x11));
    bench_close (&bench);
}

/*  cuda_runtime_api.h:2165 "the function will return immediately and the resources [...] released automatically once the device has
 *  completed all work"; the stale handle: :2175. */
static void a_destroyed_stream_ends_its_work (void **unused)
{
    (void) unused;
    play_well (play ("", destroy_early), "simcuda.stale_handle kind=stream");
}

static void read_to_pageable (void)
{
    bench_t bench = bench_open ();
    uint8_t *pageable = play_host (SIZE, 0, 0);
    must_do (cudaMemcpyAsync (bench.device, bench.host, SIZE, cudaMemcpyHostToDevice, bench.stream));
    must_do (cudaMemcpyAsync (pageable, bench.device, SIZE, cudaMemcpyDeviceToHost, bench.stream));
    must (play_all (pageable, SIZE, 0x11));
    must_do (cudaMemcpyAsync (bench.host, pageable, SIZE / 2, cudaMemcpyDefault, bench.stream));
    must_do (cudaMemcpyAsync (pageable, bench.host, 0, cudaMemcpyDeviceToHost, bench.stream));
    play_host_free (pageable, SIZE, 0);
    bench_close (&bench);
}

/*  cuda_runtime_api.h:96 "between device memory and pageable host memory, the function might be synchronous"; :99 host to host. */
static void a_copy_to_pageable_memory_is_over_at_return (void **unused)
{
    (void) unused;
    play_well (play ("", read_to_pageable), NULL);
}

static int touch (void *memory)
{
    int device = -1;
    must (simcuda_memory (memory, SIZE, &device) && device == 0);
    return 0;
}

static void touch_under_copy (void)
{
    bench_t bench = bench_open ();
    cudaStream_t other;
    must_do (cudaStreamCreateWithFlags (&other, cudaStreamNonBlocking));
    must (simcuda_enqueue (other, touch, bench.device) == 0);
    must_do (cudaEventRecord (bench.event, other));
    must_do (cudaStreamWaitEvent (bench.stream, bench.event, cudaEventWaitDefault));
    must_do (
        cudaMemcpyAsync (bench.device, bench.host, SIZE, cudaMemcpyHostToDevice, bench.stream)); /* hangs */
    must_do (cudaStreamSynchronize (other));
    simcuda_log ("so far so good");
    must (simcuda_enqueue (other, touch, bench.device) == 0);
    must_do (cudaStreamSynchronize (other));
    _exit (0);
}

/*  cuda_runtime_api.h:2195 (cudaStreamWaitEvent): without it, two streams have no order. So is work of NCCL's found that begins before the
 *  copies which it sends on are over; the line is ours. */
static void work_that_meets_a_copy_is_told (void **unused)
{
    (void) unused;
    play_t got = play ("SIMCUDA_FAULTS=cudaMemcpyAsync:1=hang", touch_under_copy);
    play_well (got, "simcuda.missing_wait bytes=262144");
    const char *before = strstr (got.log, "so far so good"), *told = strstr (got.log, "simcuda.missing_wait");
    assert_true (before && told && before < told);
}

static uint64_t now_ms (void)
{
    struct timespec now;
    clock_gettime (CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000;
}

static void two_streams_one_link (void)
{
    bench_t bench = bench_open ();
    cudaStream_t other;
    uint64_t start = now_ms ();
    must_do (cudaStreamCreateWithFlags (&other, cudaStreamNonBlocking));
    must_do (cudaMemcpyAsync (bench.device, bench.host, SIZE / 2, cudaMemcpyHostToDevice, bench.stream));
    must_do (cudaMemcpyAsync (bench.device + SIZE / 2, bench.host, SIZE / 2, cudaMemcpyHostToDevice, other));
    must_do (cudaStreamSynchronize (bench.stream));
    must_do (cudaStreamSynchronize (other));
    must (now_ms () - start >= 127); /* 256 KiB at 2 MB/s are 131 ms, whoever carries them */
    must_do (cudaStreamDestroy (other));
    bench_close (&bench);
}

/*  assumed: a link has its rate once per direction, however many streams there are (NVIDIA's engineers say so of PCIe). */
static void all_streams_of_a_device_share_its_link (void **unused)
{
    (void) unused;
    play_well (play ("SIMCUDA_LINK_MB=2", two_streams_one_link), NULL);
}

static void copy_when_told (int socket)
{
    bench_t bench = bench_open ();
    char word;
    play_send (socket, "r", 1, -1);
    play_receive (socket, &word, 1, NULL);
    uint64_t start = now_ms ();
    must_do (cudaMemcpyAsync (bench.device, bench.host, SIZE / 2, cudaMemcpyHostToDevice, bench.stream));
    must_do (cudaStreamSynchronize (bench.stream));
    uint64_t took = now_ms () - start, others = 0;
    play_send (socket, &took, sizeof took, -1);
    play_receive (socket, &others, sizeof others, NULL);
    must (took >= 127 || others >= 127); /* whoever came second has waited for the first */
    bench_close (&bench);
}

/*  assumed: the device has one link, whoever's process the copy is. */
static void all_processes_share_a_link (void **unused)
{
    (void) unused;
    play_t got = play_pair ("SIMCUDA_LINK_MB=2", copy_when_told, copy_when_told);
    play_well (got, NULL);
    assert_int_equal (got.other_exit_status, 0);
}

static void both_directions (void)
{
    bench_t bench = bench_open ();
    cudaStream_t other;
    cudaEvent_t event;
    uint8_t *back = play_host (SIZE / 2, 0, 1);
    must_do (cudaStreamCreateWithFlags (&other, cudaStreamNonBlocking));
    must_do (cudaEventCreateWithFlags (&event, cudaEventDisableTiming));
    must_do (cudaMemcpyAsync (bench.device, bench.host, SIZE / 2, cudaMemcpyHostToDevice, bench.stream));
    must_do (cudaMemcpyAsync (back, bench.device + SIZE / 2, 4096, cudaMemcpyDeviceToHost, other));
    must_do (cudaStreamSynchronize (other)); /* 2 ms; behind the first it would be 67 */
    must_be (cudaErrorNotReady, cudaStreamQuery (bench.stream));
    must_do (cudaEventDestroy (event));
    must_do (cudaStreamDestroy (other));
    play_host_free (back, SIZE / 2, 1);
    bench_close (&bench);
}

/*  cudaDevAttrAsyncEngineCount 2 (driver_types.h): one copy engine for each direction. */
static void the_directions_do_not_wait_for_each_other (void **unused)
{
    (void) unused;
    play_well (play ("SIMCUDA_LINK_MB=2", both_directions), NULL);
}

static void unpin_early (void)
{
    bench_t bench = bench_open ();
    must_do (cudaMemcpyAsync (bench.device, bench.host, SIZE, cudaMemcpyHostToDevice, bench.stream));
    must_do (cudaHostUnregister (bench.host));
    must_do (cudaStreamQuery (bench.stream));
    must (play_device_all (bench.device, SIZE, 0x11));
    must_do (cudaHostRegister (bench.host, SIZE, cudaHostRegisterDefault));
    must_do (cudaMemcpyAsync (bench.device, bench.host, SIZE, cudaMemcpyHostToDevice, bench.stream));
    must_do (cudaFree (bench.device));
    bench.device = NULL;
    bench_close (&bench);
}

/*  cuda_runtime_api.h:4728 cudaFree "may perform implicit synchronization": it does here, as cudaHostUnregister does (assumed), and both
 *  say that somebody relied on it. */
static void memory_is_not_taken_from_under_a_copy (void **unused)
{
    (void) unused;
    play_t got = play ("SIMCUDA_LINK_MB=8", unpin_early);
    play_well (got, "simcuda.unpinned_under_copy bytes=262144");
    play_well (got, "simcuda.freed_under_copy device=0 bytes=2097152");
}

static void use_default_stream (void)
{
    bench_t bench = bench_open ();
    (void) cudaMemcpyAsync (bench.device, bench.host, SIZE, cudaMemcpyHostToDevice, NULL);
}

/*  Ours: hardware has one, and waits there for everything. */
static void the_default_stream_aborts (void **unused)
{
    (void) unused;
    play_t got = play ("", use_default_stream);
    assert_int_equal (got.signal, SIGABRT);
    assert_non_null (strstr (got.log, "simcuda.default_stream"));
}

static void touch_device_memory (void)
{
    bench_t bench = bench_open ();
    *(volatile uint8_t *) bench.device = 1;
}

/*  Guide, Device Memory: device memory is not the host's to dereference. */
static void the_host_cannot_touch_device_memory (void **unused)
{
    (void) unused;
    assert_int_equal (play ("", touch_device_memory).signal, SIGSEGV);
}

static void copy_wrongly (void)
{
    bench_t bench = bench_open ();
    uint8_t *beyond = bench.device + 2 * PLAY_MIB - 16;
    must_be (cudaErrorInvalidValue, cudaMemcpy (beyond, bench.host, 32, cudaMemcpyHostToDevice));
    must_be (cudaErrorInvalidValue, cudaMemcpy (bench.host, bench.host, 32, cudaMemcpyHostToDevice));
    must_be (cudaErrorInvalidMemcpyDirection,
             cudaMemcpy (bench.device, bench.host, 32, (enum cudaMemcpyKind) 9));
    must_be (cudaErrorInvalidValue, cudaMemcpy (NULL, bench.host, 32, cudaMemcpyHostToDevice));
    bench_close (&bench);
}

/*  cuda_runtime_api.h:6311 lists both codes; that a range beyond its allocation is refused is assumed. */
static void a_copy_stays_within_its_memory (void **unused)
{
    (void) unused;
    play_well (play ("", copy_wrongly), "simcuda.out_of_bounds bytes=32 room=16");
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (a_pinned_source_is_read_at_the_end),
        cmocka_unit_test (a_pageable_source_is_staged_at_the_call),
        cmocka_unit_test (the_destination_is_poison_from_the_call_on),
        cmocka_unit_test (poison_waits_for_reads_that_come_before),
        cmocka_unit_test (copies_of_a_stream_keep_their_order),
        cmocka_unit_test (an_event_is_done_when_its_work_is),
        cmocka_unit_test (a_stream_waits_for_the_mark_of_its_call),
        cmocka_unit_test (a_destroyed_stream_ends_its_work),
        cmocka_unit_test (a_copy_to_pageable_memory_is_over_at_return),
        cmocka_unit_test (work_that_meets_a_copy_is_told),
        cmocka_unit_test (all_streams_of_a_device_share_its_link),
        cmocka_unit_test (all_processes_share_a_link),
        cmocka_unit_test (the_directions_do_not_wait_for_each_other),
        cmocka_unit_test (memory_is_not_taken_from_under_a_copy),
        cmocka_unit_test (the_default_stream_aborts),
        cmocka_unit_test (the_host_cannot_touch_device_memory),
        cmocka_unit_test (a_copy_stays_within_its_memory),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
