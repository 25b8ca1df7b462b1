// SPDX-License-Identifier: Apache-2.0
/*  loader_safetensors.h - models that are one safetensors file
 */
#ifndef LOADER_SAFETENSORS_H
#define LOADER_SAFETENSORS_H

#include "actors/loader/registry.h"

extern const loader_kind_t loader_safetensors;

#endif
