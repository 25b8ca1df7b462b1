// SPDX-License-Identifier: Apache-2.0
/*  device.c - how many devices there are, which one a thread means, and what they say of themselves */
#include "tests/simcuda/inside.h"

#define DRIVER_VERSION CUDART_VERSION /* a driver as old as its toolkit */

static bool exists (int device)
{
    return device >= 0 && device < simcuda_world.devices;
}

cudaError_t cudaGetDeviceCount (int *count)
{
    cudaError_t answer = simcuda_enter ("cudaGetDeviceCount", false);
    if (!answer && !count)
        answer = cudaErrorInvalidValue;
    if (!answer)
        *count = simcuda_world.devices;
    return simcuda_leave (answer);
}

cudaError_t cudaSetDevice (int device)
{
    cudaError_t answer = simcuda_enter ("cudaSetDevice", false);
    if (!answer && !exists (device))
        answer = cudaErrorInvalidDevice;
    if (!answer) {
        simcuda_thread.device = device;
        simcuda_thread.device_set = true;
    }
    return simcuda_leave (answer);
}

cudaError_t cudaGetDevice (int *device)
{
    cudaError_t answer = simcuda_enter ("cudaGetDevice", false);
    if (!answer && !device)
        answer = cudaErrorInvalidValue;
    if (!answer)
        *device = simcuda_thread.device;
    return simcuda_leave (answer);
}

/*  Answered without a driver, too (seen on the real library). */
cudaError_t cudaRuntimeGetVersion (int *runtimeVersion)
{
    if (!runtimeVersion)
        return cudaErrorInvalidValue;
    *runtimeVersion = CUDART_VERSION;
    return cudaSuccess;
}

/*  0 where there is no driver (cuda_runtime_api.h, cudaDriverGetVersion). */
cudaError_t cudaDriverGetVersion (int *driverVersion)
{
    cudaError_t answer = simcuda_enter ("cudaDriverGetVersion", false);
    if (answer == cudaErrorInsufficientDriver)
        answer = cudaSuccess;
    if (!answer && !driverVersion)
        answer = cudaErrorInvalidValue;
    if (!answer)
        *driverVersion = simcuda_world.devices ? DRIVER_VERSION : 0;
    return simcuda_leave (answer);
}

/*  Runtime and driver number attributes alike. */
static bool attribute (int *ret, int wanted, int device)
{
    const struct {
        int attribute, value;
    } known [] = {
        { cudaDevAttrPciDomainId, 0 },
        { cudaDevAttrPciBusId, device + 1 },
        { cudaDevAttrPciDeviceId, 0 },
        { cudaDevAttrComputeCapabilityMajor, 9 },
        { cudaDevAttrComputeCapabilityMinor, 0 },
        { cudaDevAttrAsyncEngineCount, 2 },
        { cudaDevAttrIntegrated, 0 },
        { cudaDevAttrUnifiedAddressing, 1 },
        { cudaDevAttrCanMapHostMemory, 1 },
        { cudaDevAttrHostRegisterSupported, 1 },
        { cudaDevAttrHostRegisterReadOnlySupported, 1 },
        { cudaDevAttrCanUseHostPointerForRegisteredMem, 1 },
        { cudaDevAttrPageableMemoryAccess, 0 },
        { cudaDevAttrPageableMemoryAccessUsesHostPageTables, 0 },
        { cudaDevAttrMemoryPoolsSupported, 0 },
        { cudaDevAttrIpcEventSupport, 1 },
        { cudaDevAttrComputeMode, cudaComputeModeDefault },
        { cudaDevAttrHostNumaId, -1 },
        { CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, simcuda_world.vmm },
        { CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED, simcuda_world.vmm },
    };
    for (size_t i = 0; i < sizeof known / sizeof known [0]; i++) {
        if (known [i].attribute == wanted) {
            *ret = known [i].value;
            return true;
        }
    }
    simcuda_log ("simcuda.unknown_attribute attribute=%d", wanted);
    return false;
}

static cudaError_t ask (int *value, int wanted, int device)
{
    if (!value)
        return cudaErrorInvalidValue;
    if (!exists (device))
        return cudaErrorInvalidDevice;
    return attribute (value, wanted, device) ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t cudaDeviceGetAttribute (int *value, enum cudaDeviceAttr attr, int device)
{
    cudaError_t answer = simcuda_enter ("cudaDeviceGetAttribute", false);
    return simcuda_leave (answer ? answer : ask (value, (int) attr, device));
}

CUresult cuDeviceGetAttribute (int *pi, CUdevice_attribute attrib, CUdevice dev)
{
    cudaError_t answer = simcuda_enter ("cuDeviceGetAttribute", false);
    return simcuda_leave_driver ((CUresult) (answer ? answer : ask (pi, (int) attrib, dev)));
}

static cudaError_t bus (char *ret, int size, int device)
{
    if (!ret || size < 13) /* "0000:01:00.0" and its end (cuda_runtime_api.h, cudaDeviceGetPCIBusId) */
        return cudaErrorInvalidValue;
    if (!exists (device))
        return cudaErrorInvalidDevice;
    (void) snprintf (ret, (size_t) size, "0000:%02x:00.0", (unsigned) device + 1);
    return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId (char *pciBusId, int len, int device)
{
    cudaError_t answer = simcuda_enter ("cudaDeviceGetPCIBusId", false);
    return simcuda_leave (answer ? answer : bus (pciBusId, len, device));
}

static cudaError_t describe (struct cudaDeviceProp *ret, int device)
{
    if (!ret)
        return cudaErrorInvalidValue;
    if (!exists (device))
        return cudaErrorInvalidDevice;
    memset (ret, 0, sizeof *ret);
    (void) snprintf (ret->name, sizeof ret->name, "Simulated Device %d", device);
    for (unsigned i = 0; i < sizeof ret->uuid.bytes; i++)
        ret->uuid.bytes [i] = (char) (0x50 + i); /* one of ours at sight, and not empty */
    ret->uuid.bytes [15] = (char) device;
    ret->totalGlobalMem = simcuda_world.memory;
    ret->major = 9;
    ret->pciBusID = device + 1;
    ret->asyncEngineCount = 2;
    ret->unifiedAddressing = ret->canMapHostMemory = ret->hostRegisterSupported = 1;
    ret->warpSize = 32;
    ret->multiProcessorCount = 1;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties (struct cudaDeviceProp *prop, int device)
{
    cudaError_t answer = simcuda_enter ("cudaGetDeviceProperties", false);
    return simcuda_leave (answer ? answer : describe (prop, device));
}
