// SPDX-License-Identifier: Apache-2.0
/*  simcuda_answers.c - prints what a CUDA runtime answers where there is no device: run on the real library and on ours, and compared
 *
 *  Linked against the real library, so that it also shows that ours fits: its name, its version node, its signatures.
 */
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <cuda_runtime_api.h>

#define CODES 1000 /* cudaErrorUnknown is 999 */

static union {
    int number;
    size_t size;
    void *pointer;
    char text [64];
    struct cudaDeviceProp properties;
    struct cudaPointerAttributes attributes;
    cudaIpcMemHandle_t handle;
} out;
static _Alignas(4096) char host [8192];

static int untouched (void)
{
    const char *bytes = (const char *) &out;
    for (size_t i = 0; i < sizeof out; i++)
        if (bytes [i] != 0x77)
            return 0;
    return 1;
}

/*  A call's answer, the last error after it, and whether it wrote into its result all the same. */
#define ANSWER(call) \
    do { \
        memset (&out, 0x77, sizeof out); \
        int answer_ = (int) (call), untouched_ = untouched (); \
        (void) printf ("%s = %d untouched %d last %d\n", #call, answer_, untouched_, \
                       (int) cudaPeekAtLastError ()); \
    } while (0)

static void print_devices (void)
{
    ANSWER (cudaRuntimeGetVersion (&out.number));
    (void) printf ("version %d\n", out.number);
    ANSWER (cudaDriverGetVersion (&out.number));
    (void) printf ("version %d\n", out.number);
    ANSWER (cudaGetDeviceCount (&out.number));
    ANSWER (cudaGetLastError ());
    ANSWER (cudaGetLastError ());
    ANSWER (cudaSetDevice (0));
    ANSWER (cudaSetDevice (-1));
    ANSWER (cudaSetDevice (99));
    ANSWER (cudaGetDevice (&out.number));
    ANSWER (cudaDeviceGetAttribute (&out.number, cudaDevAttrHostRegisterSupported, 0));
    ANSWER (cudaDeviceGetPCIBusId (out.text, sizeof out.text, 0));
    ANSWER (cudaGetDeviceProperties (&out.properties, 0));
    ANSWER (cudaGetDeviceCount (NULL));
    ANSWER (cudaGetDevice (NULL));
    ANSWER (cudaRuntimeGetVersion (NULL));
    ANSWER (cudaDriverGetVersion (NULL));
}

static void print_memory (void)
{
    ANSWER (cudaMalloc (&out.pointer, 100));
    ANSWER (cudaMalloc (&out.pointer, 0));
    ANSWER (cudaMalloc (NULL, 0));
    ANSWER (cudaFree (NULL));
    ANSWER (cudaFree (host));
    ANSWER (cudaMemGetInfo (&out.size, &out.size));
    ANSWER (cudaHostRegister (host, 4096, cudaHostRegisterDefault));
    ANSWER (cudaHostUnregister (host));
    ANSWER (cudaPointerGetAttributes (&out.attributes, host));
    ANSWER (cudaMemcpy (host, host + 4096, 16, cudaMemcpyHostToHost));
    ANSWER (cudaMemcpyAsync (host, host + 4096, 16, cudaMemcpyHostToDevice, NULL));
    ANSWER (cudaIpcGetMemHandle (&out.handle, host));
    ANSWER (
        cudaIpcOpenMemHandle (&out.pointer, (cudaIpcMemHandle_t){ { 0 } }, cudaIpcMemLazyEnablePeerAccess));
    ANSWER (cudaIpcCloseMemHandle (host));
}

static void print_streams (void)
{
    ANSWER (cudaStreamCreateWithFlags ((cudaStream_t *) &out.pointer, cudaStreamNonBlocking));
    ANSWER (cudaStreamCreateWithFlags ((cudaStream_t *) &out.pointer, 77));
    ANSWER (cudaStreamSynchronize (NULL));
    ANSWER (cudaStreamQuery (NULL));
    ANSWER (cudaStreamDestroy (NULL));
    ANSWER (cudaStreamWaitEvent (NULL, NULL, 0));
    ANSWER (cudaEventCreateWithFlags ((cudaEvent_t *) &out.pointer, cudaEventDisableTiming));
    ANSWER (cudaEventCreateWithFlags ((cudaEvent_t *) &out.pointer, 77));
    ANSWER (cudaEventRecord (NULL, NULL));
    ANSWER (cudaEventQuery (NULL));
    ANSWER (cudaEventSynchronize (NULL));
    ANSWER (cudaEventDestroy (NULL));
    ANSWER (cudaGetDriverEntryPointByVersion ("cuMemCreate", &out.pointer, 12000, cudaEnableDefault, NULL));
    ANSWER (cudaGetDriverEntryPointByVersion ("cuNone", &out.pointer, 12000, cudaEnableDefault, NULL));
    ANSWER (cudaGetDriverEntryPointByVersion (NULL, NULL, 12000, cudaEnableDefault, NULL));
}

static void print_library (void)
{
    Dl_info about;
    struct link_map *map = NULL;
    void *place = dlvsym (RTLD_DEFAULT, "cudaMalloc", "libcudart.so.13");
    const char *name = "";
    if (place && dladdr1 (place, &about, (void **) &map, RTLD_DL_LINKMAP)) {
        const char *slash = strrchr (map->l_name, '/');
        name = slash ? slash + 1 : map->l_name;
    }
    (void) printf ("cudaMalloc@libcudart.so.13 is in %s\n", name);
}

int main (void)
{
    print_devices ();
    print_memory ();
    print_streams ();
    print_library ();
    for (int code = 0; code <= CODES; code++)
        (void) printf ("%d %s: %s\n", code, cudaGetErrorName ((cudaError_t) code),
                       cudaGetErrorString ((cudaError_t) code));
    return 0;
}
