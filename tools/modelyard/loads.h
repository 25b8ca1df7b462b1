// SPDX-License-Identifier: Apache-2.0
/*  loads.h - what is loaded, on every device of the yard
 */
#ifndef MODELYARD_LOADS_H
#define MODELYARD_LOADS_H

#include "invocation.h"

typedef void (load_each_fn) (void *argument, const char *place, const load_row_t *row);
int load_each (invocation_t *self, load_each_fn *each, void *argument);

#endif
