// SPDX-License-Identifier: Apache-2.0
/*  device_old_plugin.c - a plug-in of another version of the yard, for device_test.c
 */
#include "actors/loader/device.h"

loader_device_plugin_fn loader_device_plugin;

const loader_device_class_t *loader_device_plugin (void)
{
    static const loader_device_class_t other = { .version = 999 };
    return &other;
}
