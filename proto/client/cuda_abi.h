// SPDX-License-Identifier: Apache-2.0
/*  cuda_abi.h - the few functions of CUDA that an importer calls, as they lie in libcudart.so.12 and .13
 *
 *  Written down here because a client is built on machines without the toolkit, and runs with whatever runtime its process has. Source:
 *  cuda_runtime_api.h, cuda.h and cudaTypedefs.h of CUDA 13.0 (the driver's functions at version 10.2, since which they have not
 *  changed); the unit test of cuda_import holds this file against them where they are installed.
 */
#ifndef YARD_CLIENT_CUDA_ABI_H
#define YARD_CLIENT_CUDA_ABI_H

#include <stddef.h>

#define CUDA_IPC_SIZE 64 /* sizeof (cudaIpcMemHandle_t) */
#define CUDA_UUID_SIZE 16
#define CUDA_UUID_AT \
    256 /* of struct cudaDeviceProp, behind the name; what follows differs from version to version */
#define CUDA_PROPERTIES_SIZE_MAX 4096 /* the struct has some 1,030 bytes in versions 12 and 13 */

enum {
    CUDA_OUT_OF_MEMORY = 2,
    CUDA_OLD_DRIVER = 35,
    CUDA_NO_DEVICE = 100
}; /* of cudaError, and the same of CUresult */
enum {
    CUDA_IPC_LAZY_PEER = 1,
    CUDA_ENTRY_DEFAULT = 0,
    CUDA_ENTRY_FOUND = 0
};
enum {
    CUDA_HANDLE_POSIX_FD = 1,
    CUDA_LOCATION_DEVICE = 1,
    CUDA_ACCESS_READ = 1
};
#define CUDA_VERSION_OF_VMM 10020

typedef unsigned long long cuda_address_t; /* CUdeviceptr */
typedef unsigned long long cuda_allocation_t; /* CUmemGenericAllocationHandle */

typedef struct {
    char bytes [CUDA_IPC_SIZE];
} cuda_ipc_t; /* by value */

typedef struct {
    struct {
        int type, number;
    } location;
    int access;
} cuda_access_t; /* CUmemAccessDesc */

typedef struct {
    /* the runtime's, by name */
    int (*count) (int *ret);
    int (*properties) (void *ret, int device);
    int (*set_device) (int device);
    int (*synchronize) (void);
    int (*ipc_open) (void **ret, cuda_ipc_t handle, unsigned flags);
    int (*ipc_close) (void *data);
    const char *(*words) (int error);
    int (*entry) (const char *name, void **ret, unsigned version, unsigned long long flags, int *ret_found);
    /* the driver's, through entry */
    int (*import) (cuda_allocation_t *ret, void *descriptor, int type);
    int (*release) (cuda_allocation_t allocation);
    int (*reserve) (cuda_address_t *ret, size_t size, size_t alignment, cuda_address_t wish,
                    unsigned long long flags);
    int (*unreserve) (cuda_address_t address, size_t size);
    int (*map) (cuda_address_t address, size_t size, size_t offset, cuda_allocation_t allocation,
                unsigned long long flags);
    int (*unmap) (cuda_address_t address, size_t size);
    int (*set_access) (cuda_address_t address, size_t size, const cuda_access_t *rows, size_t count);
} cuda_functions_t;

#endif
