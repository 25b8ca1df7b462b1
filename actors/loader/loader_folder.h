// SPDX-License-Identifier: Apache-2.0
/*  loader_folder.h - models that are a folder in the form of diffusers and transformers
 */
#ifndef LOADER_FOLDER_H
#define LOADER_FOLDER_H

#include "actors/loader/registry.h"

extern const loader_kind_t loader_folder;

#endif
