// SPDX-License-Identifier: Apache-2.0
/*  cuda_device_scenarios.h - see cuda_device_scenarios.c
 */
#ifndef CUDA_DEVICE_SCENARIOS_H
#define CUDA_DEVICE_SCENARIOS_H

#define GRANULES 32 /* of a device of CAPACITY_TEXT bytes: 64 MiB in steps of 2 MiB */
#define CAPACITY_TEXT "67108864"

/*  0, or 1: no scenario has this name. */
int cuda_device_scenario (const char *name);

#endif
