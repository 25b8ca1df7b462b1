// SPDX-License-Identifier: Apache-2.0
/*  loader_files.h - models that are handed out as files, with the tensors of those that have a header we trust
 */
#ifndef LOADER_FILES_H
#define LOADER_FILES_H

#include "actors/loader/registry.h"

extern const loader_kind_t loader_files;

/*  For other loaders, when what they find is files after all: opening->model from all files below the folder
 *  (borrowed), or from the one file of opening->path. */
int loader_files_open_folder (loader_opening_t *opening, int folder_fd);
int loader_files_open_single (loader_opening_t *opening);

/*  The model's folder, or its part's. YARD_NO_SUBMODEL when there is no such part. */
int loader_files_enter (loader_opening_t *opening, int *ret_fd);

/*  "onnx", "openvino" and "flax" are variants that are no label of a weights file, but a kind of files. */
bool loader_files_is_form (const char *variant);

#endif
