// SPDX-License-Identifier: Apache-2.0
/*  loaders.c - all loaders of this build: a new one is its file and its row here
 */
#include "actors/loader/loader_files.h"
#include "actors/loader/loader_folder.h"
#include "actors/loader/loader_gguf.h"
#include "actors/loader/loader_safetensors.h"

const loader_kind_t *const loader_kinds [] = {
    &loader_safetensors, &loader_folder, &loader_gguf, &loader_files, NULL,
};
