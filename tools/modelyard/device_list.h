// SPDX-License-Identifier: Apache-2.0
/*  device_list.h - which GPUs this machine has, told by a short-lived child
 *
 *  Who has initialized CUDA must not fork any more, and a driver may hang or take its process with it: so nobody
 *  but the child touches it. Call it before the process has threads (before the first ask).
 */
#ifndef MODELYARD_DEVICE_LIST_H
#define MODELYARD_DEVICE_LIST_H

#include <stdbool.h>
#include "actors/loader/device.h"

#define DEVICE_LIST_MAX 64 /* no machine has more than 16; instances of split devices count */

typedef struct {
    loader_device_about_t about;
    yard_error_t error; /* code 0: it was looked at, and opened if that was asked for */
} device_row_t;

typedef struct {
    device_row_t *rows; /* cuda:0 … */
    size_t count;
} device_list_t;

/*  open: also open each (takes a second and some of its memory), which proves more and fills in bytes_free,
 *  granularity and exports. Fails with the plug-in's or the driver's sentence; with timeout when the driver does
 *  not answer; with device_lost when it killed the child. */
int device_list_read (bool open, device_list_t *ret, yard_error_t *error);
void device_list_clear (device_list_t *self);

#endif
