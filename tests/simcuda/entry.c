// SPDX-License-Identifier: Apache-2.0
/*  entry.c - the driver's functions, which programs get by name from cudaGetDriverEntryPointByVersion and never link */
#include "tests/simcuda/inside.h"

CUresult cuInit (unsigned int Flags)
{
    cudaError_t answer = simcuda_enter ("cuInit", false);
    if (!answer && Flags)
        answer = cudaErrorInvalidValue; /* "must be 0" */
    return simcuda_leave_driver ((CUresult) answer);
}

CUresult cuGetErrorName (CUresult error, const char **pStr)
{
    const simcuda_error_row_t *row = simcuda_error_row ((cudaError_t) error);
    *pStr = row ? row->driver_name : NULL;
    return *pStr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorString (CUresult error, const char **pStr)
{
    const simcuda_error_row_t *row = simcuda_error_row ((cudaError_t) error);
    *pStr = row && row->driver_name ? row->text : NULL;
    return *pStr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

typedef void (function_t) (void);

/*  since: as the typedefs in cudaTypedefs.h are numbered. */
static const struct {
    const char *name;
    unsigned since;
    function_t *function;
} entries [] = {
    { "cuInit", 2000, (function_t *) cuInit },
    { "cuDeviceGetAttribute", 2000, (function_t *) cuDeviceGetAttribute },
    { "cuGetErrorString", 6000, (function_t *) cuGetErrorString },
    { "cuGetErrorName", 6000, (function_t *) cuGetErrorName },
    { "cuMemAddressReserve", 10020, (function_t *) cuMemAddressReserve },
    { "cuMemAddressFree", 10020, (function_t *) cuMemAddressFree },
    { "cuMemCreate", 10020, (function_t *) cuMemCreate },
    { "cuMemRelease", 10020, (function_t *) cuMemRelease },
    { "cuMemMap", 10020, (function_t *) cuMemMap },
    { "cuMemUnmap", 10020, (function_t *) cuMemUnmap },
    { "cuMemSetAccess", 10020, (function_t *) cuMemSetAccess },
    { "cuMemExportToShareableHandle", 10020, (function_t *) cuMemExportToShareableHandle },
    { "cuMemImportFromShareableHandle", 10020, (function_t *) cuMemImportFromShareableHandle },
    { "cuMemGetAllocationGranularity", 10020, (function_t *) cuMemGetAllocationGranularity },
};

static function_t *find (const char *name, unsigned version, enum cudaDriverEntryPointQueryResult *ret_status)
{
    *ret_status = cudaDriverEntryPointSymbolNotFound;
    for (size_t i = 0; i < sizeof entries / sizeof entries [0]; i++) {
        if (strcmp (entries [i].name, name) == 0) {
            bool enough = version >= entries [i].since;
            *ret_status = enough ? cudaDriverEntryPointSuccess : cudaDriverEntryPointVersionNotSufficent;
            return enough ? entries [i].function : NULL;
        }
    }
    simcuda_log ("simcuda.unknown_entry name=%s", name);
    return NULL;
}

/*  A name that isn't there is no error, but NULL (cuda_runtime_api.h, cudaGetDriverEntryPointByVersion). */
static cudaError_t look_up (const char *name, void **ret, unsigned version,
                            enum cudaDriverEntryPointQueryResult *status)
{
    enum cudaDriverEntryPointQueryResult found;
    if (!name || !ret || version > CUDART_VERSION)
        return cudaErrorInvalidValue;
    function_t *function = find (name, version, &found);
    memcpy (ret, &function, sizeof function); /* C has no cast from a function to void * */
    if (status)
        *status = found;
    return cudaSuccess;
}

cudaError_t cudaGetDriverEntryPointByVersion (const char *symbol, void **funcPtr, unsigned int cudaVersion,
                                              unsigned long long flags,
                                              enum cudaDriverEntryPointQueryResult *driverStatus)
{
    cudaError_t answer = simcuda_enter ("cudaGetDriverEntryPointByVersion", false);
    if (!answer && flags > cudaEnablePerThreadDefaultStream)
        answer = cudaErrorInvalidValue;
    return simcuda_leave (answer ? answer : look_up (symbol, funcPtr, cudaVersion, driverStatus));
}
