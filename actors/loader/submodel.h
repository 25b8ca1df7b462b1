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

/*  The parts that a base has, as "unet, vae, …" for a sentence. */
void loader_submodel_list (base_model_t base, char *ret_text, size_t size);

#endif
