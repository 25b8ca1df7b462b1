// SPDX-License-Identifier: Apache-2.0
/*  up_devices.h - which GPUs `up` starts a loader for: pure, from the setting loader.devices and what there is
 */
#ifndef MODELYARD_UP_DEVICES_H
#define MODELYARD_UP_DEVICES_H

#include "device_list.h"

typedef struct {
    bool chosen [DEVICE_LIST_MAX]; /* cuda:0 … */
} up_devices_t;

/*  A word of the setting, or a device of `all`, that gets no loader, and why. */
typedef void (up_devices_refused_fn) (void *argument, const char *word, const char *why);

/*  setting: words with blanks or commas between: cuda:0, GPU-<uuid>, all; host is always there and needs no word.
 *  What cannot be used is refused one by one: the yard runs with the rest. */
void up_devices_choose (const char *setting, const device_list_t *list, up_devices_t *ret,
                        up_devices_refused_fn *refused, void *argument);

#endif
