// SPDX-License-Identifier: Apache-2.0
/*  cuda_list.c - which devices there are, and which one a name means
 *
 *  Promises: cuda:N counts in the order of PCI addresses, whatever order CUDA was told to count in; nothing here opens a device (no
 *  memory is taken on it).
 */
#include "cuda_device.h"
#include <strings.h>

static void write_identity (const struct cudaDeviceProp *properties, loader_device_about_t *ret)
{
    const unsigned char *id = (const unsigned char *) properties->uuid.bytes;
    snprintf (ret->name, sizeof ret->name, "%.*s", (int) sizeof ret->name - 1, properties->name);
    snprintf (ret->pci, sizeof ret->pci, "%04x:%02x:%02x.0", (unsigned) properties->pciDomainID & 0xFFFF,
              (unsigned) properties->pciBusID & 0xFF, (unsigned) properties->pciDeviceID & 0xFF);
    snprintf (ret->uuid, sizeof ret->uuid,
              "GPU-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", id [0], id [1],
              id [2], id [3], id [4], id [5], id [6], id [7], id [8], id [9], id [10], id [11], id [12],
              id [13], id [14], id [15]);
    ret->bytes_total = properties->totalGlobalMem;
}

static int by_address (const void *a, const void *b)
{
    const loader_cuda_row_t *left = a, *right = b;
    int order = strcmp (left->about.pci, right->about.pci); /* written with leading zeros */
    return order ? order : left->ordinal - right->ordinal; /* instances of one device share its address */
}

static int look_at (int ordinal, loader_cuda_row_t *ret, yard_error_t *error)
{
    struct cudaDeviceProp properties;
    int numa_node = -1;
    int rc = loader_cuda_check (NULL, cudaGetDeviceProperties (&properties, ordinal), "looking at a device",
                                error);
    if (!rc)
        rc = loader_cuda_check (NULL, cudaDeviceGetAttribute (&numa_node, cudaDevAttrHostNumaId, ordinal),
                                "asking for a device's NUMA node", error);
    if (rc)
        return rc;
    *ret = (loader_cuda_row_t){ .ordinal = ordinal, .about.numa_node = numa_node };
    write_identity (&properties, &ret->about);
    return 0;
}

/*  CUDA has one error for a driver that is too old and for none at all. */
static int refuse_driver (int driver, int runtime, yard_error_t *error)
{
    cudaGetLastError ();
    if (!driver)
        return yard_error (
            error, YARD_NOT_SERVED,
            "no NVIDIA driver (libcuda.so.1) answers; install one for CUDA %d.%d or newer, or give this "
            "container its GPUs",
            runtime / 1000, runtime % 1000 / 10);
    return yard_error (
        error, YARD_NOT_SERVED,
        "the NVIDIA driver is for CUDA %d.%d, and this build needs %d.%d; install a newer driver",
        driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
}

int loader_cuda_list (loader_cuda_row_t *rows, int *ret_count, yard_error_t *error)
{
    int count = 0, driver = 0, runtime = 0, nccl = 0;
    cudaError_t result = cudaGetDeviceCount (&count);
    cudaDriverGetVersion (&driver);
    cudaRuntimeGetVersion (&runtime);
    if (result == cudaErrorInsufficientDriver)
        return refuse_driver (driver, runtime, error);
    int rc = loader_cuda_check (NULL, result, "counting the devices", error);
#ifdef LOADER_WITH_NCCL
    nccl = loader_nccl_version ();
#endif
    count = count > LOADER_DEVICES_MAX ? LOADER_DEVICES_MAX : count;
    for (int i = 0; i < count && !rc; i++) {
        rc = look_at (i, &rows [i], error);
        rows [i].about.driver_version = driver;
        rows [i].about.runtime_version = runtime;
        rows [i].about.nccl_version = nccl;
    }
    if (rc)
        return rc;
    qsort (rows, (size_t) count, sizeof *rows, by_address);
    *ret_count = count;
    return 0;
}

int loader_cuda_find (const char *device, loader_cuda_row_t *ret, yard_error_t *error)
{
    loader_cuda_row_t rows [LOADER_DEVICES_MAX];
    int count = 0, rc = loader_cuda_list (rows, &count, error);
    if (rc)
        return rc;
    for (int i = 0; i < count; i++) {
        char by_number [24];
        snprintf (by_number, sizeof by_number, "cuda:%d", i);
        if (strcmp (device, by_number) && strcasecmp (device, rows [i].about.uuid))
            continue;
        *ret = rows [i];
        return 0;
    }
    if (count == 0)
        return yard_error (
            error, YARD_NOT_SERVED,
            "there is no device %s: this machine shows none; see `nvidia-smi` and CUDA_VISIBLE_DEVICES",
            device);
    return yard_error (
        error, YARD_NOT_SERVED,
        "there is no device %s: this machine shows %d, cuda:0 (%s) to cuda:%d, in the order of "
        "their PCI addresses",
        device, count, rows [0].about.uuid, count - 1);
}
