// SPDX-License-Identifier: Apache-2.0
/*  submodel.h - which tensors of a whole checkpoint are the part that was asked for
 *
 *  A single file of a main model holds all its parts, told apart by how their names begin. The names stay as
 *  they are in the file: who wants them without the prefix knows it from here.
 */
#ifndef LOADER_SUBMODEL_H
#define LOADER_SUBMODEL_H

#include "actors/ground/view.h"
#include "proto/messages.h"

/*  How the names of this part begin in a single file of this base, or NULL: such a file has no part of this
 *  name. */
const char *loader_submodel_prefix (base_model_t base, yard_string_t submodel);

/*  The part that is also published alone, in a file whose names have no prefix at all (FLUX, Wan, every GGUF). */
bool loader_submodel_is_denoiser (yard_string_t submodel);

/*  Does a tensor's name say that the file is a whole checkpoint of this base: does it begin as any part's do? */
bool loader_submodel_has_prefix (base_model_t base, yard_string_t name);

/*  The parts that a base has, as "unet, vae, …" for a sentence. */
void loader_submodel_list (base_model_t base, char *ret_text, size_t size);

#endif
