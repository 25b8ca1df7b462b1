// SPDX-License-Identifier: Apache-2.0
/*  cuda_errors.c - CUDA's errors in the yard's words
 *
 *  Promises: an error that CUDA will repeat for ever (driver_types.h: "the process must be terminated and relaunched") becomes
 *  device_lost, and every other one is forgotten by CUDA when it has been told. What is not in the table is a bug of ours.
 */
#include "cuda_device.h"

typedef struct {
    cudaError_t result;
    int code;
    const char *next;
} row_t;

#define DRIVER \
    "install the NVIDIA driver that this CUDA runtime asks for, and see that `nvidia-smi` lists the device"
#define LOST "the device's loader has to start anew"

static const row_t rows [] = {
    { cudaErrorMemoryAllocation, YARD_OUT_OF_MEMORY, "unload a model, or give the device fewer" },
    { cudaErrorInsufficientDriver, YARD_NOT_SERVED, DRIVER },
    { cudaErrorStubLibrary, YARD_NOT_SERVED, DRIVER },
    { cudaErrorCallRequiresNewerDriver, YARD_NOT_SERVED, DRIVER },
    { cudaErrorInitializationError, YARD_NOT_SERVED, DRIVER },
    { cudaErrorSystemDriverMismatch, YARD_NOT_SERVED, DRIVER },
    { cudaErrorCompatNotSupportedOnDevice, YARD_NOT_SERVED, DRIVER },
    { cudaErrorNoDevice, YARD_NOT_SERVED,
      "see that `nvidia-smi` lists a device and that CUDA_VISIBLE_DEVICES does not hide it" },
    { cudaErrorInvalidDevice, YARD_NOT_SERVED, "name one that `modelyard doctor` lists" },
    { cudaErrorDevicesUnavailable, YARD_NOT_SERVED,
      "another process has the device for itself (nvidia-smi -q -d COMPUTE)" },
    { cudaErrorSystemNotReady, YARD_NOT_SERVED, "start the fabric manager that this machine needs" },
    { cudaErrorMpsConnectionFailed, YARD_NOT_SERVED,
      "start the MPS daemon, or unset CUDA_MPS_PIPE_DIRECTORY" },
    { cudaErrorMpsServerNotReady, YARD_BUSY, "try again" },
    { cudaErrorMpsMaxClientsReached, YARD_BUSY, "end another client of MPS" },
    { cudaErrorMpsMaxConnectionsReached, YARD_BUSY, "end another client of MPS" },
    { cudaErrorNotPermitted, YARD_NOT_SERVED, "let this user, or this container, use the device" },
    { cudaErrorNotSupported, YARD_NOT_SERVED, "this device or driver cannot; try the other loader.export" },
    { cudaErrorOperatingSystem, YARD_NOT_SERVED,
      "the operating system refused: look at the limits of locked memory, descriptors and shared "
      "namespaces" },
    { cudaErrorECCUncorrectable, YARD_DEVICE_LOST, LOST },
    { cudaErrorNvlinkUncorrectable, YARD_DEVICE_LOST, LOST },
    { cudaErrorContained, YARD_DEVICE_LOST, LOST },
    { cudaErrorIllegalAddress, YARD_DEVICE_LOST, LOST },
    { cudaErrorLaunchTimeout, YARD_DEVICE_LOST, LOST },
    { cudaErrorContextIsDestroyed, YARD_DEVICE_LOST, LOST },
    { cudaErrorAssert, YARD_DEVICE_LOST, LOST },
    { cudaErrorHardwareStackError, YARD_DEVICE_LOST, LOST },
    { cudaErrorIllegalInstruction, YARD_DEVICE_LOST, LOST },
    { cudaErrorMisalignedAddress, YARD_DEVICE_LOST, LOST },
    { cudaErrorInvalidAddressSpace, YARD_DEVICE_LOST, LOST },
    { cudaErrorInvalidPc, YARD_DEVICE_LOST, LOST },
    { cudaErrorLaunchFailure, YARD_DEVICE_LOST, LOST },
    { cudaErrorTensorMemoryLeak, YARD_DEVICE_LOST, LOST },
    { cudaErrorMpsRpcFailure, YARD_DEVICE_LOST, LOST },
    { cudaErrorMpsClientTerminated, YARD_DEVICE_LOST, LOST },
    { cudaErrorExternalDevice, YARD_DEVICE_LOST, LOST },
    { cudaErrorCudartUnloading, YARD_DEVICE_LOST, LOST },
    { cudaErrorUnknown, YARD_DEVICE_LOST, LOST },
};

static const row_t *find_row (cudaError_t result)
{
    static const row_t bug = { cudaSuccess, YARD_INTERNAL, "please report it" };
    for (size_t i = 0; i < sizeof rows / sizeof rows [0]; i++)
        if (rows [i].result == result)
            return &rows [i];
    return &bug;
}

int loader_cuda_check (loader_device_t *self, cudaError_t result, const char *doing, yard_error_t *error)
{
    if (result == cudaSuccess)
        return 0;
    cudaGetLastError ();
    const row_t *row = find_row (result);
    if (self && row->code == YARD_DEVICE_LOST && !self->lost) {
        self->lost = true;
        snprintf (self->lost_why, sizeof self->lost_why, "%s: %s", doing, cudaGetErrorName (result));
    }
    return yard_error (error, row->code, "%s%s%s: %s (%s, CUDA error %d); %s", doing, self ? " on " : "",
                       self ? self->about.uuid : "", cudaGetErrorString (result), cudaGetErrorName (result),
                       (int) result, row->next);
}
