// SPDX-License-Identifier: Apache-2.0
/*  safetensors.h - reads the header of a safetensors file, and refuses what any other reader might read
 *  differently
 *
 *      8 bytes: N, little-endian | N bytes: a JSON object | the tensors' bytes, to the end of the file
 *
 *  Promises: takes exactly the files that the reference reader takes (huggingface/safetensors, tensor.rs),
 *  but for those below; needs memory for the list alone: with the header itself at most 4 times the header;
 *  linear but for two sorts. Refuses beyond the reference, because there is no one reading or no sane writer:
 *  two tensors or two metadata keys of one name (compared unescaped), an entry written as an array, more than
 *  2^20 tensors, more than 32 dimensions, more than 65,536 metadata pairs.
 *
 *  Failures are YARD_INVALID_FILE, or YARD_TOO_LARGE over a limit; the sentence begins with the name of the
 *  broken rule, the reference's where it has one: HeaderTooSmall, HeaderTooLarge, InvalidHeaderLength,
 *  InvalidHeader (no UTF-8), InvalidHeaderDeserialization (no JSON, or not of this form), InvalidOffset
 *  (hole, overlap, end before begin), ValidationOverflow, MisalignedSlice (no whole bytes), TensorInvalidInfo
 *  (bytes are not shape times type), MetadataIncompleteBuffer (the file ends elsewhere than its tensors);
 *  ours: DuplicateName, TooManyTensors, TooManyDimensions, TooManyMetadata.
 */
#ifndef YARD_FORMATS_SAFETENSORS_H
#define YARD_FORMATS_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>
#include "actors/formats/tensor.h"
#include "actors/ground/error.h"

#define YARD_SAFETENSORS_LENGTH_SIZE 8u /* the bytes that hold N */
/*  Of N: the reference's limit, checked before anything is read. */
#define YARD_SAFETENSORS_HEADER_MAX 100000000u
/*  Ten times the largest mixture of experts seen; bounds the list to 50 MB. */
#define YARD_SAFETENSORS_TENSORS_MAX (1u << 20)
#define YARD_SAFETENSORS_RANK_MAX 32u /* numpy 1.x takes no more; bounds shapes to 2.3 times the header */
#define YARD_SAFETENSORS_METADATA_MAX 65536u /* pairs; trainers write about a hundred */

/*  From the first 8 bytes (fewer when the file is shorter) and the size of the file: how many bytes parse
 *  needs, the 8 included. Nobody need allocate before this has agreed. */
int yard_safetensors_header_size (const void *first, uint64_t file_size, uint64_t *ret_bytes,
                                  yard_error_t *error);

/*  header: the file's first `size` bytes, at least as many as header_size said; must outlive *ret, which is
 *  to be cleared. */
int yard_safetensors_parse (const char *header, size_t size, uint64_t file_size, yard_tensors_t *ret,
                            yard_error_t *error);

#endif
