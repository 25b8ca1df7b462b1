// SPDX-License-Identifier: Apache-2.0
/*  doctor.h - one examination: findings, each a line with a state and the next step
 */
#ifndef MODELYARD_DOCTOR_H
#define MODELYARD_DOCTOR_H

#include "invocation.h"
#include "device_list.h"

typedef enum {
    FINDING_OK,
    FINDING_WARN, /* the yard runs, with less */
    FINDING_FAIL /* the yard, or what the configuration asks for, cannot run */
} finding_state_t;

typedef struct {
    invocation_t *invocation;
    const configuration_t *values; /* NULL: the configuration is wrong */
    const device_list_t *devices;
    const yard_error_t *devices_error; /* code 0: the list is true */
    size_t warnings, failures;
} doctor_t;

/*  Tells one finding. check: what was looked at, one word, the same in every version; next: what to do, "" when
 *  nothing is to be done. */
void doctor_tell (doctor_t *self, const char *check, finding_state_t state, const char *next,
                  const char *format, ...) __attribute__ ((format (printf, 5, 6)));

/*  doctor_machine.c: limits, kernel, disks. doctor_yard.c: directories, broker, loaders. doctor_devices.c: GPUs. */
void doctor_machine (doctor_t *self);
void doctor_yard (doctor_t *self);
void doctor_devices (doctor_t *self);

/*  doctor_devices.c: the proofs of one device; the exit code. */
int doctor_prove (invocation_t *self, const char *device);

#endif
