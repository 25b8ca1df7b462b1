// SPDX-License-Identifier: Apache-2.0
/*  loader_fitting.h - the loader for what is in no record: looks at the path, and opens it as the loader that fits
 */
#ifndef LOADER_LOADER_FITTING_H
#define LOADER_LOADER_FITTING_H

#include "actors/loader/registry.h"

extern const loader_kind_t loader_fitting; /* serves no triple, so it is in no registry */

#endif
