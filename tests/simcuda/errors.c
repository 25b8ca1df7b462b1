// SPDX-License-Identifier: Apache-2.0
/*  errors.c - the errors that the simulation gives or that a script may ask for, in the libraries' own names and words
 *
 *  A test compares each row with the real library. Sticky are those whose description in driver_types.h says that the process must be
 *  terminated and started anew.
 */
#include "tests/simcuda/inside.h"

#define ROW(Name, Driver, Text, Sticky) \
    { \
        .code = cudaError##Name, .name = "cudaError" #Name, .driver_name = Driver, .text = Text, \
        .sticky = Sticky \
    }

static const simcuda_error_row_t rows [] = {
    { .code = cudaSuccess, .name = "cudaSuccess", .driver_name = "CUDA_SUCCESS", .text = "no error" },
    ROW (InvalidValue, "CUDA_ERROR_INVALID_VALUE", "invalid argument", false),
    ROW (MemoryAllocation, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory", false),
    ROW (InitializationError, "CUDA_ERROR_NOT_INITIALIZED", "initialization error", false),
    ROW (InvalidMemcpyDirection, NULL, "invalid copy direction for memcpy", false),
    ROW (InsufficientDriver, NULL, "CUDA driver version is insufficient for CUDA runtime version", false),
    ROW (DevicesUnavailable, "CUDA_ERROR_DEVICE_UNAVAILABLE",
         "CUDA-capable device(s) is/are busy or unavailable", false),
    ROW (NoDevice, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected", false),
    ROW (InvalidDevice, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal", false),
    ROW (DeviceUninitialized, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context", false),
    ROW (MapBufferObjectFailed, "CUDA_ERROR_MAP_FAILED", "mapping of buffer object failed", false),
    ROW (ECCUncorrectable, "CUDA_ERROR_ECC_UNCORRECTABLE", "uncorrectable ECC error encountered", true),
    ROW (NvlinkUncorrectable, "CUDA_ERROR_NVLINK_UNCORRECTABLE",
         "uncorrectable NVLink error detected during the execution", true),
    ROW (OperatingSystem, "CUDA_ERROR_OPERATING_SYSTEM",
         "OS call failed or operation not supported on this OS", false),
    ROW (InvalidResourceHandle, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle", false),
    ROW (NotReady, "CUDA_ERROR_NOT_READY", "device not ready", false),
    ROW (IllegalAddress, "CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered", true),
    ROW (LaunchTimeout, "CUDA_ERROR_LAUNCH_TIMEOUT", "the launch timed out and was terminated", true),
    ROW (Assert, "CUDA_ERROR_ASSERT", "device-side assert triggered", true),
    ROW (HostMemoryAlreadyRegistered, "CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED",
         "part or all of the requested memory range is already mapped", false),
    ROW (HostMemoryNotRegistered, "CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED",
         "pointer does not correspond to a registered memory region", false),
    ROW (HardwareStackError, "CUDA_ERROR_HARDWARE_STACK_ERROR", "hardware stack error", true),
    ROW (IllegalInstruction, "CUDA_ERROR_ILLEGAL_INSTRUCTION", "an illegal instruction was encountered",
         true),
    ROW (MisalignedAddress, "CUDA_ERROR_MISALIGNED_ADDRESS", "misaligned address", true),
    ROW (InvalidAddressSpace, "CUDA_ERROR_INVALID_ADDRESS_SPACE",
         "operation not supported on global/shared address space", true),
    ROW (InvalidPc, "CUDA_ERROR_INVALID_PC", "invalid program counter", true),
    ROW (LaunchFailure, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure", true),
    ROW (NotPermitted, "CUDA_ERROR_NOT_PERMITTED", "operation not permitted", false),
    ROW (NotSupported, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported", false),
    ROW (SystemNotReady, "CUDA_ERROR_SYSTEM_NOT_READY", "system not yet initialized", false),
    ROW (Unknown, "CUDA_ERROR_UNKNOWN", "unknown error", false),
};

const simcuda_error_row_t *simcuda_error_row (cudaError_t code)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows [0]; i++)
        if (rows [i].code == code)
            return &rows [i];
    return NULL;
}

const char *cudaGetErrorName (cudaError_t error)
{
    const simcuda_error_row_t *row = simcuda_error_row (error);
    return row ? row->name : "unrecognized error code";
}

const char *cudaGetErrorString (cudaError_t error)
{
    const simcuda_error_row_t *row = simcuda_error_row (error);
    return row ? row->text : "unrecognized error code";
}

/*  A sticky error is not forgotten: it comes back until the process ends. Without a driver so does that (seen on the real library). */
cudaError_t cudaPeekAtLastError (void)
{
    cudaError_t now = simcuda_enter ("cudaPeekAtLastError", false);
    pthread_mutex_unlock (&simcuda_world.lock);
    return now ? now : simcuda_thread.last;
}

cudaError_t cudaGetLastError (void)
{
    cudaError_t now = simcuda_enter ("cudaGetLastError", false), last = simcuda_thread.last;
    simcuda_thread.last = cudaSuccess;
    pthread_mutex_unlock (&simcuda_world.lock);
    return now ? now : last;
}
