// SPDX-License-Identifier: Apache-2.0
/*  simcuda_memory_test.c - what memory, devices, errors and the driver's entry points do, each rule with the line it is from
 *
 *  Lines are those of the headers of CUDA 13.0; "Guide" is NVIDIA's CUDA C++ Programming Guide; `assumed` has no source.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <cuda.h>
#include "tests/simcuda/play.h"
#include "tests/simcuda/simcuda.h"

#define STEP (2 * PLAY_MIB)

static void fill_up (void)
{
    void *memory [4], *more = NULL;
    must_do (cudaSetDevice (0));
    for (int i = 0; i < 4; i++) {
        must (play_bytes_free () == (4 - (size_t) i) * STEP);
        must_do (cudaMalloc (&memory [i], i ? 1 : STEP));
    }
    must_be (cudaErrorMemoryAllocation, cudaMalloc (&more, 1));
    must (!more);
    must_be (cudaErrorMemoryAllocation, cudaPeekAtLastError ());
    must_be (cudaErrorMemoryAllocation, cudaGetLastError ());
    must_do (cudaGetLastError ());
    must_do (cudaFree (memory [2]));
    must_be (cudaErrorMemoryAllocation, cudaMalloc (&more, STEP + 1));
    must_be (cudaErrorMemoryAllocation, cudaMalloc (&more, SIZE_MAX));
    must_do (cudaMalloc (&memory [2], STEP));
    must (play_bytes_free () == 0);
    for (int i = 0; i < 4; i++)
        must_do (cudaFree (memory [i]));
    must_do (cudaFree (NULL));
    must_do (cudaMalloc (&more, 0));
    must_be (cudaErrorInvalidValue, cudaMalloc (NULL, 1));
    must (!more && play_bytes_free () == 4 * STEP);
}

/*  cuda_runtime_api.h:4559 (cudaErrorMemoryAllocation), :4731 ("If devPtr is 0, no operation is performed"), :1119 (last error). The
 *  steps of 2 MiB are assumed for cudaMalloc; no memory for no bytes is, too. */
static void memory_is_handed_out_in_steps_until_it_is_gone (void **unused)
{
    (void) unused;
    play_well (play ("SIMCUDA_MEMORY=8388608", fill_up), NULL);
}

static void look_at_new (void)
{
    uint8_t *memory;
    must_do (cudaSetDevice (0));
    must_do (cudaMalloc ((void **) &memory, STEP));
    must (play_device_all (memory, STEP, 0xDB));
    must_do (cudaFree (memory));
}

/*  cuda_runtime_api.h:4558 "The memory is not cleared." */
static void new_memory_is_not_zero (void **unused)
{
    (void) unused;
    play_well (play ("", look_at_new), NULL);
}

static void free_twice (void)
{
    uint8_t *memory;
    must_do (cudaSetDevice (0));
    must_do (cudaMalloc ((void **) &memory, STEP));
    must_be (cudaErrorInvalidValue, cudaFree (memory + 256));
    must_do (cudaFree (memory));
    must_be (cudaErrorInvalidValue, cudaFree (memory));
    must_be (cudaErrorInvalidValue, cudaMemcpy (memory, &memory, 8, cudaMemcpyHostToDevice));
}

/*  cuda_runtime_api.h:4730 "If cudaFree(devPtr) has already been called before, an error is returned", :4718 (the pointer returned). */
static void a_second_free_is_an_error (void **unused)
{
    (void) unused;
    play_t got = play ("", free_twice);
    play_well (got, "simcuda.double_free");
    play_well (got, "simcuda.free_unknown");
    play_well (got, "simcuda.use_after_free");
}

static void leave_all_behind (void)
{
    void *memory;
    cudaStream_t stream;
    cudaEvent_t event;
    must_do (cudaSetDevice (1));
    must_do (cudaMalloc (&memory, STEP + 1));
    must_do (cudaStreamCreateWithFlags (&stream, cudaStreamNonBlocking));
    must_do (cudaEventCreateWithFlags (&event, cudaEventDisableTiming));
    (void) play_host (8192, 0, 1);
}

/*  Ours: the driver takes all of it back and says nothing. */
static void what_is_left_at_exit_is_told (void **unused)
{
    (void) unused;
    play_t got = play ("SIMCUDA_DEVICES=2", leave_all_behind);
    play_well (got, "simcuda.leak bytes=4194304 device=1");
    play_well (got, "simcuda.leak_stream device=1");
    play_well (got, "simcuda.leak_event device=1");
    play_well (got, "simcuda.leak_pin bytes=8192");
}

static void *look_at_device (void *argument)
{
    int device = -1;
    must_do (cudaGetDevice (&device));
    must (device == 0);
    must_do (cudaMalloc (argument, STEP)); /* the mistake: on device 0, whatever the other thread has set */
    return NULL;
}

static void new_thread (void)
{
    pthread_t thread;
    struct cudaPointerAttributes about;
    void *memory = NULL;
    must_do (cudaSetDevice (1));
    must (pthread_create (&thread, NULL, look_at_device, &memory) == 0);
    must (pthread_join (thread, NULL) == 0);
    must_do (cudaPointerGetAttributes (&about, memory));
    must (about.type == cudaMemoryTypeDevice && about.device == 0 && about.devicePointer == memory &&
          !about.hostPointer);
    must_do (cudaFree (memory));
}

/*  cuda_runtime_api.h:1617 "Sets device as the current device for the calling host thread"; Guide, Device Selection: the current device
 *  is 0 until then. The line is ours. */
static void each_thread_has_its_own_device (void **unused)
{
    (void) unused;
    play_well (play ("SIMCUDA_DEVICES=2", new_thread), "simcuda.device_not_set call=cudaMalloc");
}

static void mix_devices (void)
{
    cudaStream_t stream;
    cudaEvent_t event;
    must_do (cudaSetDevice (0));
    must_do (cudaStreamCreateWithFlags (&stream, cudaStreamNonBlocking));
    must_do (cudaSetDevice (1));
    must_do (cudaEventCreateWithFlags (&event, cudaEventDisableTiming));
    must_be (cudaErrorInvalidResourceHandle, cudaEventRecord (event, stream));
    must_do (cudaStreamWaitEvent (stream, event, cudaEventWaitDefault));
    must_do (cudaEventQuery (event));
    must_do (cudaEventDestroy (event));
    must_do (cudaStreamDestroy (stream));
    must_be (cudaErrorInvalidDevice, cudaSetDevice (2));
    must_be (cudaErrorInvalidDevice, cudaSetDevice (-1));
}

/*  Guide, Stream and Event Behavior; cuda_runtime_api.h:2804 ("must be on the same CUDA context"), :2198 ("event may be from a different
 *  device than stream"). */
static void an_event_is_recorded_on_its_own_device (void **unused)
{
    (void) unused;
    play_well (play ("SIMCUDA_DEVICES=2", mix_devices),
               "simcuda.wrong_device call=cudaEventRecord event=1 stream=0");
}

static void copy_to_other_device (void)
{
    cudaStream_t stream;
    void *memory;
    uint8_t *host = play_host (4096, 7, 0);
    must_do (cudaSetDevice (1));
    must_do (cudaMalloc (&memory, 4096));
    must_do (cudaSetDevice (0));
    must_do (cudaStreamCreateWithFlags (&stream, cudaStreamNonBlocking));
    must_do (cudaMemcpyAsync (memory, host, 4096, cudaMemcpyHostToDevice, stream));
    must_do (cudaStreamSynchronize (stream));
    must_do (cudaStreamDestroy (stream));
    must_do (cudaFree (memory));
    play_host_free (host, 4096, 0);
}

/*  Guide, Stream and Event Behavior: "A memory copy will succeed even if it is issued to a stream that is not associated to the current
 *  device." The line is ours: a loader never means it. */
static void a_copy_to_another_device_is_told (void **unused)
{
    (void) unused;
    play_well (play ("SIMCUDA_DEVICES=2", copy_to_other_device),
               "simcuda.wrong_device call=cudaMemcpy current=0 stream=0 memory=1");
}

static void pin_things (void)
{
    uint8_t *host = play_host (16384, 0, 0), *fixed;
    must_do (cudaSetDevice (0));
    must_do (cudaHostRegister (host, 8192, cudaHostRegisterDefault));
    must_be (cudaErrorHostMemoryAlreadyRegistered,
             cudaHostRegister (host + 4096, 8192, cudaHostRegisterDefault));
    must_be (cudaErrorHostMemoryNotRegistered, cudaHostUnregister (host + 4096));
    must_be (cudaErrorInvalidValue, cudaHostRegister (host + 8192, 0, cudaHostRegisterDefault));
    must_be (cudaErrorInvalidValue, cudaHostRegister (host + 8192, 4096, 0x100));
    must_do (cudaHostUnregister (host));
    must_be (cudaErrorHostMemoryNotRegistered, cudaHostUnregister (host));
    fixed = mmap (NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must_be (cudaErrorInvalidValue, cudaHostRegister (fixed, 4096, cudaHostRegisterDefault));
    must_do (cudaHostRegister (fixed, 4096, cudaHostRegisterReadOnly));
    must_do (cudaHostUnregister (fixed));
    munmap (fixed, 4096);
    must_be (cudaErrorInvalidValue, cudaHostRegister (fixed, 4096, cudaHostRegisterDefault));
    play_host_free (host, 16384, 0);
}

/*  cuda_runtime_api.h:4975 (codes), :4992 ("must be the same one"), :4930 (read-only memory needs its flag; which code is assumed). */
static void host_memory_is_registered_once (void **unused)
{
    (void) unused;
    play_well (play ("", pin_things), NULL);
}

static void *see_sticky (void *unused)
{
    must_be (cudaErrorLaunchFailure, cudaSetDevice (0));
    return unused;
}

static void break_device (void)
{
    cudaStream_t stream;
    cudaEvent_t event;
    void *memory;
    pthread_t thread;
    uint8_t *host = play_host (4096, 7, 0);
    must_do (cudaSetDevice (0));
    must_do (cudaMalloc (&memory, 4096));
    must_do (cudaEventCreateWithFlags (&event, cudaEventDisableTiming));
    must_do (cudaStreamCreateWithFlags (&stream, cudaStreamNonBlocking));
    must_do (cudaMemcpyAsync (memory, host, 4096, cudaMemcpyHostToDevice, stream));
    (void) cudaEventRecord (event, stream);
    must_be (cudaErrorLaunchFailure, cudaEventSynchronize (event));
    must_be (cudaErrorLaunchFailure, cudaMalloc (&memory, 1));
    must_be (cudaErrorLaunchFailure, cudaGetLastError ());
    must_be (cudaErrorLaunchFailure, cudaGetLastError ());
    must (pthread_create (&thread, NULL, see_sticky, NULL) == 0 && pthread_join (thread, NULL) == 0);
    play_host_free (host, 4096, 0);
}

/*  driver_types.h:914 cudaErrorLaunchFailure: "any further CUDA work will return the same error. To continue using CUDA, the process must
 *  be terminated and relaunched." It comes late: cuda_runtime_api.h, cudaEventSynchronize lists it. */
static void a_sticky_error_stays (void **unused)
{
    (void) unused;
    play_well (play ("SIMCUDA_FAULTS=cudaMemcpyAsync:1=late719", break_device), "simcuda.sticky code=719");
}

static void meet_faults (void)
{
    void *first, *second;
    uint8_t host [4096], back [4096];
    memset (host, 9, sizeof host);
    must_do (cudaSetDevice (0));
    must_do (cudaMalloc (&first, 4096));
    must_be (cudaErrorMemoryAllocation, cudaMalloc (&second, 4096));
    must_do (cudaMalloc (&second, 4096));
    must_do (cudaMemcpy (first, host, 4096, cudaMemcpyHostToDevice));
    must_do (cudaMemcpy (back, first, 4096, cudaMemcpyDeviceToHost));
    must (back [2048] == 8);
    back [2048] = 9;
    must (play_all (back, sizeof back, 9));
    must_do (cudaFree (first));
    must_do (cudaFree (second));
}

/*  Ours. */
static void the_script_strikes_at_the_nth_call (void **unused)
{
    (void) unused;
    play_well (play ("SIMCUDA_FAULTS=cudaMalloc:2=2,cudaMemcpy:1=wrong", meet_faults),
               "simcuda.fault call=cudaMalloc what=2");
}

static void fork_late (void)
{
    int status = 0;
    must_do (cudaSetDevice (0));
    pid_t pid = fork ();
    if (pid == 0) {
        must_be (cudaErrorInitializationError, cudaSetDevice (0));
        _exit (0);
    }
    must (waitpid (pid, &status, 0) == pid && status == 0);
}

/*  assumed (it is what the driver does; driver_types.h has no word of fork). */
static void a_forked_child_has_no_devices (void **unused)
{
    (void) unused;
    play_well (play ("", fork_late), "simcuda.fork call=cudaSetDevice");
}

static void ask_devices (void)
{
    struct cudaDeviceProp one, other;
    char bus [16];
    int value = -1;
    must_do (cudaGetDeviceCount (&value));
    must (value == 8);
    must_do (cudaGetDeviceProperties (&one, 0));
    must_do (cudaGetDeviceProperties (&other, 7));
    must (memcmp (&one.uuid, &other.uuid, sizeof one.uuid) != 0 && one.totalGlobalMem == 4 * STEP);
    must_do (cudaDeviceGetPCIBusId (bus, sizeof bus, 7));
    must (strcmp (bus, "0000:08:00.0") == 0);
    must_do (cudaDeviceGetAttribute (&value, cudaDevAttrHostRegisterSupported, 7));
    must (value == 1);
    must_be (cudaErrorInvalidDevice, cudaDeviceGetAttribute (&value, cudaDevAttrHostRegisterSupported, 8));
    must_be (cudaErrorInvalidDevice, cudaGetDeviceProperties (&one, 8));
    must_do (cudaDriverGetVersion (&value));
    must (value == CUDART_VERSION);
}

/*  cuda_runtime_api.h:1618 ("0 to cudaGetDeviceCount() - 1"). */
static void devices_are_told_apart (void **unused)
{
    (void) unused;
    play_well (play ("SIMCUDA_DEVICES=8 SIMCUDA_MEMORY=8388608", ask_devices), NULL);
}

static void ask_entries (void)
{
    enum cudaDriverEntryPointQueryResult status = cudaDriverEntryPointSymbolNotFound;
    CUresult (*attribute) (int *, CUdevice_attribute, CUdevice) = NULL;
    CUresult (*name_of) (CUresult, const char **) = NULL;
    const char *name = "";
    void *found = NULL;
    int value = 0;
    must_do (
        cudaGetDriverEntryPointByVersion ("cuDeviceGetAttribute", &found, 12000, cudaEnableDefault, &status));
    must (status == cudaDriverEntryPointSuccess && found);
    memcpy (&attribute, &found, sizeof found);
    must_do (attribute (&value, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 0));
    must (value == 1);
    must_do (cudaGetDriverEntryPointByVersion ("cuGetErrorName", &found, 12000, cudaEnableDefault, NULL));
    memcpy (&name_of, &found, sizeof found);
    must (name_of (CUDA_ERROR_OUT_OF_MEMORY, &name) == CUDA_SUCCESS &&
          strcmp (name, "CUDA_ERROR_OUT_OF_MEMORY") == 0);
    must (name_of ((CUresult) 4711, &name) == CUDA_ERROR_INVALID_VALUE && !name);
    must_do (cudaGetDriverEntryPointByVersion ("cuMemCreate", &found, 10000, cudaEnableDefault, &status));
    must (status == cudaDriverEntryPointVersionNotSufficent && !found);
    must_do (cudaGetDriverEntryPointByVersion ("cuGone", &found, 12000, cudaEnableDefault, &status));
    must (status == cudaDriverEntryPointSymbolNotFound && !found);
    must_be (cudaErrorInvalidValue,
             cudaGetDriverEntryPointByVersion ("cuInit", &found, 99000, cudaEnableDefault, &status));
}

/*  cuda_runtime_api.h:13111-13143; cuda.h:5133 (cuGetErrorName: NULL and CUDA_ERROR_INVALID_VALUE). */
static void entry_points_have_versions (void **unused)
{
    (void) unused;
    play_well (play ("", ask_entries), "simcuda.unknown_entry name=cuGone");
}

static void take_and_die (int socket)
{
    void *memory;
    char word = 0;
    must_do (cudaSetDevice (0));
    must_do (cudaMalloc (&memory, 3 * STEP));
    play_send (socket, "t", 1, -1);
    play_receive (socket, &word, 1, NULL);
    (void) raise (SIGKILL);
}

static void see_it_go (int socket)
{
    void *memory;
    char word = 0;
    must_do (cudaSetDevice (0));
    play_receive (socket, &word, 1, NULL);
    must (play_bytes_free () == STEP);
    must_be (cudaErrorMemoryAllocation, cudaMalloc (&memory, 2 * STEP));
    play_send (socket, "d", 1, -1);
    must (read (socket, &word, 1) == 0); /* its end of the socket closes with it */
    while (play_bytes_free () != 4 * STEP)
        (void) sched_yield (); /* the socket goes a moment before the process does */
    must_do (cudaMalloc (&memory, 4 * STEP));
    must_do (cudaFree (memory));
}

/*  cuda_runtime_api.h:5724 "free according to the OS", :5726 "by a different process". */
static void free_memory_is_that_of_the_whole_device (void **unused)
{
    (void) unused;
    play_t got = play_pair ("SIMCUDA_MEMORY=8388608", take_and_die, see_it_go);
    assert_int_equal (got.signal, SIGKILL);
    assert_int_equal (got.other_exit_status, 0);
    assert_string_equal (got.log, "");
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (memory_is_handed_out_in_steps_until_it_is_gone),
        cmocka_unit_test (new_memory_is_not_zero),
        cmocka_unit_test (a_second_free_is_an_error),
        cmocka_unit_test (what_is_left_at_exit_is_told),
        cmocka_unit_test (each_thread_has_its_own_device),
        cmocka_unit_test (an_event_is_recorded_on_its_own_device),
        cmocka_unit_test (a_copy_to_another_device_is_told),
        cmocka_unit_test (host_memory_is_registered_once),
        cmocka_unit_test (a_sticky_error_stays),
        cmocka_unit_test (the_script_strikes_at_the_nth_call),
        cmocka_unit_test (a_forked_child_has_no_devices),
        cmocka_unit_test (devices_are_told_apart),
        cmocka_unit_test (entry_points_have_versions),
        cmocka_unit_test (free_memory_is_that_of_the_whole_device),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
