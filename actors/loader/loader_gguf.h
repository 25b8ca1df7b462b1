// SPDX-License-Identifier: Apache-2.0
/*  loader_gguf.h - models that are a GGUF file, or the files that one was split into
 */
#ifndef LOADER_GGUF_H
#define LOADER_GGUF_H

#include "actors/loader/registry.h"

extern const loader_kind_t loader_gguf;

#endif
