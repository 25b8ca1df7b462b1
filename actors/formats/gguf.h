// SPDX-License-Identifier: Apache-2.0
/*  gguf.h - reads the header of a GGUF file, and refuses what any other reader might read differently
 *
 *      "GGUF" | u32 version | i64 tensors | i64 pairs | the pairs | the tensors' infos | padding | the tensors'
 *      bytes, each padded to the alignment; the last one's padding may be missing
 *
 *  Source: ggml's docs/gguf.md, and the reference reader (ggml, src/gguf.cpp). Promises: takes versions 2 and
 *  3, little-endian; needs memory for what it has read, never for what a length claims; linear but for two
 *  sorts. Refuses beyond the reference: names and keys that are no UTF-8 or hold a 0, an alignment above 1
 *  MiB, more than 2^20 tensors or 65,536 pairs, a header above 100 MB.
 *
 *  The header does not say how long it is, so parse is given what is there and may ask for more.
 *
 *  Failures are YARD_INVALID_FILE, YARD_TOO_LARGE over a limit, or YARD_NOT_IMPLEMENTED for big-endian files
 *  and other versions; the sentence begins with the name of the broken rule: BadMagic, BigEndian, BadVersion,
 *  Truncated (a length beyond the file's end), HeaderTooLarge, BadKey, BadValue, DuplicateKey, BadAlignment,
 *  BadSplit, BadName, DuplicateName, BadShape, BadTensorType, BadOffset (not the padded sum of the tensors
 *  before), NotEnoughData, TooManyTensors, TooManyPairs.
 */
#ifndef YARD_FORMATS_GGUF_H
#define YARD_FORMATS_GGUF_H

#include <stddef.h>
#include <stdint.h>
#include "actors/formats/tensor.h"
#include "actors/ground/error.h"

/*  The safetensors limit; the largest vocabularies (256k tokens with their merges) take 16 MB. */
#define YARD_GGUF_HEADER_MAX 100000000u
#define YARD_GGUF_TENSORS_MAX (1u << 20) /* as for safetensors */
#define YARD_GGUF_PAIRS_MAX 65536u /* as for safetensors; writers write about fifty */
#define YARD_GGUF_RANK_MAX 4u /* GGML_MAX_DIMS */
#define YARD_GGUF_NAME_MAX 63u /* GGML_MAX_NAME with its 0 */
#define YARD_GGUF_ALIGNMENT 32u /* without general.alignment */
#define YARD_GGUF_ALIGNMENT_MAX (1u << 20) /* above any page in use; bounds the padding (ggml issue 1516) */

typedef struct {
    /*  Shapes outermost first; metadata are the pairs: general.architecture, general.name … by
     *  yard_tensors_metadata. */
    yard_tensors_t tensors;
    uint32_t version, alignment;
    bool has_file_type;
    uint32_t file_type; /* general.file_type: most tensors are of, in llama.cpp's counting */
    /*  One file of a split model: number split_no (from 0) of split_count, which have split_tensors tensors in
     *  all. split_count 0: the file is whole. */
    uint32_t split_no, split_count, split_tensors;
} yard_gguf_t;

/*  bytes: the file's first `size` (all of them where size == file_size); must outlive *ret, which is to be
 *  cleared. Where they do not hold the whole header, *ret_more says how many of the file's first bytes to come
 *  back with: more than size, at most file_size and YARD_GGUF_HEADER_MAX; *ret is untouched then. 0 = read. */
int yard_gguf_parse (const void *bytes, size_t size, uint64_t file_size, yard_gguf_t *ret, uint64_t *ret_more,
                     yard_error_t *error);
void yard_gguf_clear (yard_gguf_t *self);

#endif
