// SPDX-License-Identifier: Apache-2.0
/*  opening_files_test.c - models that are handed out as files, and GGUF: from a tree of files to regions and a
 *  directory
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/gguf_bed.h"
#include "tests/unit/opening_bed.h"

#define KIND(base, type, format) \
    (loader_triple_t) \
    { \
        base_model_##base, model_type_##type, model_format_##format \
    }

static loader_registry_t *registry;

static int open_registry (void **state)
{
    (void) state;
    return loader_registry_new (loader_kinds, &registry, NULL);
}

static int close_registry (void **state)
{
    (void) state;
    loader_registry_destroy (&registry);
    return 0;
}

/*  --- files */

/* R6.11 */
static void an_onnx_pipeline_is_its_tree_of_files_and_a_part_is_its_folder (void **state)
{
    bed_t *bed = *state;
    put_word (bed, "m/model_index.json", "{}");
    put_word (bed, "m/unet/model.onnx", "o");
    put_word (bed, "m/unet/weights.pb", "wwww");
    put_word (bed, "m/vae_decoder/model.onnx", "oo");
    put_word (bed, "m/.modelyard.json", "{}");
    assert_int_equal (run_kind (bed, registry, KIND (sd_1, main, onnx), "m", ""), 0);
    assert_string_equal (regions (bed),
                         "model_index.json unet/model.onnx unet/weights.pb vae_decoder/model.onnx");
    assert_int_equal (bed->directory.count, 0);
    assert_int_equal (bed->opening->model->files [2].identity.bytes, 4);
    assert_string_equal (bed->opening->model->precision, "");
    assert_int_equal (run_kind (bed, registry, KIND (sd_1, main, onnx), "m", "unet"), 0);
    assert_string_equal (regions (bed), "model.onnx weights.pb");
    assert_int_equal (run_kind (bed, registry, KIND (sd_1, main, onnx), "m", "tail"), YARD_NO_SUBMODEL);
    assert_int_equal (run_kind (bed, registry, KIND (sd_1, main, onnx), "m", "../m"), YARD_NO_SUBMODEL);
}

/* R6.11 */
static void an_onnx_file_is_one_region_without_parts (void **state)
{
    bed_t *bed = *state;
    put_word (bed, "m.onnx", "o");
    assert_int_equal (run_kind (bed, registry, KIND (any, onnx, onnx), "m.onnx", ""), 0);
    assert_string_equal (regions (bed), "m.onnx");
    assert_int_equal (run_kind (bed, registry, KIND (any, onnx, onnx), "m.onnx", "unet"), YARD_NO_SUBMODEL);
    assert_int_equal (run_kind (bed, registry, KIND (any, onnx, onnx), "n.onnx", ""), YARD_MODEL_NOT_FOUND);
}

/* R6.11 */
static void an_ip_adapter_folder_gives_the_tensors_of_its_safetensors_and_its_words (void **state)
{
    bed_t *bed = *state;
    put_tensor (bed, "m/ip_adapter.safetensors", "ip_adapter.1.to_k_ip.weight");
    put_word (bed, "m/image_encoder.txt", "InvokeAI/ip_adapter_sd_image_encoder");
    assert_int_equal (run_kind (bed, registry, KIND (sd_1, ip_adapter, invokeai), "m", ""), 0);
    assert_string_equal (regions (bed), "image_encoder.txt ip_adapter.safetensors");
    assert_string_equal (tensors (bed), "ip_adapter.1.to_k_ip.weight");
    assert_int_equal (yard_directory_get (&bed->directory, 0).region, 1);
    assert_string_equal (bed->opening->model->precision, "float16");
}

/* R6.11 */
static void a_pickle_is_handed_out_and_never_opened (void **state)
{
    bed_t *bed = *state;
    put_word (bed, "m/ip_adapter.bin", "no pickle at all");
    put_word (bed, "m/image_encoder.txt", "x");
    assert_int_equal (run_kind (bed, registry, KIND (sdxl, ip_adapter, invokeai), "m", ""), 0);
    assert_string_equal (regions (bed), "image_encoder.txt ip_adapter.bin");
    assert_int_equal (bed->directory.count, 0);
    put_word (bed, "e.pt", "x");
    assert_int_equal (run_kind (bed, registry, KIND (sd_1, embedding, embedding_file), "e.pt", ""), 0);
    assert_int_equal (bed->directory.count, 0);
    assert_int_equal (run_kind (bed, registry, KIND (sd_1, ip_adapter, checkpoint), "m/ip_adapter.bin", ""),
                      0);
    assert_string_equal (regions (bed), "ip_adapter.bin");
}

/* R6.8 R6.11 */
static void a_checkpoint_that_is_a_pickle_is_whole_or_nothing (void **state)
{
    bed_t *bed = *state;
    put_word (bed, "m.ckpt", "x");
    assert_int_equal (run_kind (bed, registry, KIND (sd_1, main, checkpoint), "m.ckpt", ""), 0);
    assert_int_equal (bed->directory.count, 0);
    assert_int_equal (run_kind (bed, registry, KIND (sd_1, main, checkpoint), "m.ckpt", "unet"),
                      YARD_NOT_IMPLEMENTED);
    assert_said (bed, "convert");
}

/* R6.11 */
static void a_lora_is_a_folder_or_a_file (void **state)
{
    bed_t *bed = *state;
    put_tensor (bed, "l/pytorch_lora_weights.safetensors", "unet.lora_A");
    put_tensor (bed, "l.safetensors", "te.lora_A");
    assert_int_equal (run_kind (bed, registry, KIND (sdxl, lora, diffusers), "l", ""), 0);
    assert_string_equal (regions (bed), "pytorch_lora_weights.safetensors");
    assert_string_equal (tensors (bed), "unet.lora_A");
    assert_int_equal (run_kind (bed, registry, KIND (sdxl, lora, diffusers), "l.safetensors", ""), 0);
    assert_string_equal (tensors (bed), "te.lora_A");
}

/* R6.11 */
static void a_textual_inversion_is_a_file_or_a_folder (void **state)
{
    bed_t *bed = *state;
    put_tensor (bed, "e.safetensors", "emb_params");
    put_tensor (bed, "e/learned_embeds.safetensors", "<cat>");
    put_word (bed, "e/learned_embeds.bin", "x");
    put_word (bed, "e/token_identifier.txt", "<cat>");
    assert_int_equal (run_kind (bed, registry, KIND (sd_1, embedding, embedding_file), "e.safetensors", ""),
                      0);
    assert_string_equal (tensors (bed), "emb_params");
    assert_int_equal (run_kind (bed, registry, KIND (sd_1, embedding, embedding_folder), "e", ""), 0);
    assert_string_equal (regions (bed), "learned_embeds.bin learned_embeds.safetensors token_identifier.txt");
    assert_string_equal (tensors (bed), "<cat>");
}

/* R6.1 R6.11 */
static void the_tokenizer_and_scheduler_of_a_pipeline_are_files (void **state)
{
    bed_t *bed = *state;
    put_word (bed, "m/tokenizer/vocab.json", "{}");
    put_word (bed, "m/tokenizer/merges.txt", "a b");
    put_word (bed, "m/scheduler/scheduler_config.json", "{}");
    put_tensor (bed, "m/unet/diffusion_pytorch_model.safetensors", "w");
    put_word (bed, "m/unet/config.json", "{}");
    put_word (bed, "m/text_encoder/pytorch_model.bin", "x");
    const loader_triple_t main_folder = KIND (sd_1, main, diffusers);
    bed->variant = "fp16"; /* words are of every variant */
    assert_int_equal (run_kind (bed, registry, main_folder, "m", "tokenizer"), 0);
    assert_string_equal (regions (bed), "merges.txt vocab.json");
    assert_int_equal (run_kind (bed, registry, main_folder, "m", "scheduler"), 0);
    assert_string_equal (regions (bed), "scheduler_config.json");
    bed->variant = "";
    assert_int_equal (run_kind (bed, registry, main_folder, "m", "unet"), 0);
    assert_string_equal (regions (bed), "diffusion_pytorch_model.safetensors");
    assert_int_equal (run_kind (bed, registry, main_folder, "m", "text_encoder"), 0);
    assert_string_equal (regions (bed), "pytorch_model.bin");
    assert_int_equal (bed->directory.count, 0);
    assert_int_equal (run_kind (bed, registry, main_folder, "m", ""), YARD_SUBMODEL_NEEDED);
    put_word (bed, "m/model_index.json", "{}"); /* then it is a pipeline, whatever the record says */
    assert_int_equal (run_kind (bed, registry, KIND (any, vae, diffusers), "m", ""), YARD_SUBMODEL_NEEDED);
}

static void the_same_files_are_recognised_before_anything_is_read (void **state)
{
    bed_t *bed = *state;
    put_word (bed, "m/a/x", "1");
    put_word (bed, "m/b/x", "2");
    assert_int_equal (run_kind (bed, registry, KIND (any, onnx, onnx), "m", ""), 0);
    loader_opening_t *first = bed->opening, *second = loader_opening_new ();
    *second = *first;
    second->model = NULL;
    second->phase_count = 0;
    second->known_count = first->model->file_count;
    second->known = calloc (second->known_count, sizeof *second->known);
    assert_non_null (second->known);
    memcpy (second->known, first->model->files, second->known_count * sizeof *second->known);
    loader_opening_run (second);
    assert_int_equal (second->error.code, 0);
    assert_true (second->same);
    assert_null (second->model);
    loader_opening_destroy (&second);
}

/*  --- what is refused */

static void a_tensor_in_two_files_is_refused_by_name (void **state)
{
    bed_t *bed = *state;
    put_tensor (bed, "e/learned_embeds.safetensors", "<cat>");
    put_tensor (bed, "e/steps/learned_embeds.safetensors", "<cat>");
    assert_int_equal (run_kind (bed, registry, KIND (sd_1, embedding, embedding_folder), "e", ""),
                      YARD_INVALID_FILE);
    assert_said (bed, "<cat>");
    assert_said (bed, "steps/learned_embeds.safetensors");
}

static void symlinks_broken_headers_and_names_that_are_no_text_are_refused (void **state)
{
    bed_t *bed = *state;
    char path [PATH_MAX];
    const loader_triple_t kind = KIND (any, onnx, onnx);
    put_word (bed, "l/model.onnx", "x");
    snprintf (path, sizeof path, "%s/l/weights.pb", bed->folder);
    assert_int_equal (symlink ("/etc/passwd", path), 0);
    assert_int_equal (run_kind (bed, registry, kind, "l", ""), YARD_FORBIDDEN);
    put_word (bed, "b/x.safetensors", "x");
    assert_int_equal (run_kind (bed, registry, kind, "b", ""), YARD_INVALID_FILE);
    put_word (bed, "n/\xff.onnx", "x");
    assert_int_equal (run_kind (bed, registry, kind, "n", ""), YARD_INVALID_FILE);
    snprintf (path, sizeof path, "%s/none", bed->folder);
    assert_int_equal (mkdir (path, 0700), 0);
    assert_int_equal (run_kind (bed, registry, kind, "none", ""), YARD_MODEL_NOT_FOUND);
}

static void trees_beyond_the_limits_are_too_large (void **state)
{
    bed_t *bed = *state;
    char name [512];
    const loader_triple_t kind = KIND (any, onnx, onnx);
    put_word (bed, "deep/1/2/3/4/5/6/7/8/x", "x");
    assert_int_equal (run_kind (bed, registry, kind, "deep", ""), 0);
    put_word (bed, "deep/1/2/3/4/5/6/7/8/9/x", "x");
    assert_int_equal (run_kind (bed, registry, kind, "deep", ""), YARD_TOO_LARGE);
    for (int at = 0; at < LOADER_FILES_MAX; at++) {
        snprintf (name, sizeof name, "many/%d", at);
        put_word (bed, name, "x");
    }
    assert_int_equal (run_kind (bed, registry, kind, "many", ""), 0);
    put_word (bed, "many/more", "x");
    assert_int_equal (run_kind (bed, registry, kind, "many", ""), YARD_TOO_LARGE);
    snprintf (name, sizeof name, "long/%0120d/%0140d", 1, 2);
    put_word (bed, name, "x");
    assert_int_equal (run_kind (bed, registry, kind, "long", ""), YARD_TOO_LARGE);
}

/*  --- GGUF */

static void put_gguf (const bed_t *bed, const char *name, const char *tensor, unsigned split, unsigned count)
{
    static const uint64_t dimensions [] = { 256, 2 };
    static gguf_file_t file;
    put_start (&file, 3, 1, count ? 3 : 1);
    put_words (&file, "general.architecture", "flux");
    if (count) {
        put_pair (&file, "split.no", GGUF_U16, split, 2);
        put_pair (&file, "split.count", GGUF_U16, count, 2);
    }
    put_info (&file, tensor, 2, dimensions, GGML_Q4_K, 0);
    put_padding (&file, 32);
    put_data (&file, 288);
    put_file (bed, name, file.bytes, file.size);
}

/* R6.11 */
static void a_gguf_file_is_a_region_with_blocks_in_its_directory (void **state)
{
    bed_t *bed = *state;
    put_gguf (bed, "m.gguf", "double_blocks.0.img_attn.qkv.weight", 0, 0);
    assert_int_equal (run_kind (bed, registry, KIND (any, text_llm, gguf_quantized), "m.gguf", ""), 0);
    assert_string_equal (regions (bed), "m.gguf");
    yard_tensor_row_t row = yard_directory_get (&bed->directory, 0);
    assert_true (yard_string_is (row.dtype, "ggml:Q4_K"));
    assert_int_equal (row.rank, 2);
    assert_int_equal (row.shape [0], 2);
    assert_int_equal (row.shape [1], 256);
    assert_int_equal (row.bytes, 288);
    assert_int_equal (row.offset + row.bytes, bed->opening->model->bytes);
}

/* R6.1 */
static void a_gguf_main_model_is_its_denoiser_or_has_prefixes (void **state)
{
    bed_t *bed = *state;
    const loader_triple_t kind = KIND (flux, main, gguf_quantized);
    put_gguf (bed, "alone.gguf", "double_blocks.0.img_attn.qkv.weight", 0, 0);
    put_gguf (bed, "whole.gguf", "first_stage_model.decoder.conv_in.weight", 0, 0);
    assert_int_equal (run_kind (bed, registry, kind, "alone.gguf", "transformer"), 0);
    assert_int_equal (bed->directory.count, 1);
    assert_int_equal (run_kind (bed, registry, kind, "alone.gguf", "vae"), YARD_NO_SUBMODEL);
    assert_int_equal (run_kind (bed, registry, kind, "alone.gguf", "unet"), YARD_NO_SUBMODEL);
    assert_int_equal (run_kind (bed, registry, kind, "whole.gguf", "vae"), 0);
    assert_int_equal (bed->directory.count, 1);
    assert_int_equal (run_kind (bed, registry, kind, "whole.gguf", "transformer"), YARD_NO_SUBMODEL);
}

/* R6.1 */
static void a_transformer_in_safetensors_is_the_whole_file_or_has_its_prefix (void **state)
{
    bed_t *bed = *state;
    put_tensor (bed, "alone.safetensors", "double_blocks.0.img_attn.qkv.weight");
    put_tensor (bed, "whole.safetensors", "model.diffusion_model.double_blocks.0.img_attn.qkv.weight");
    put_tensor (bed, "vae.safetensors", "first_stage_model.decoder.conv_in.weight");
    const loader_triple_t kind = KIND (flux, main, checkpoint);
    assert_int_equal (run_kind (bed, registry, kind, "alone.safetensors", "transformer"), 0);
    assert_int_equal (bed->directory.count, 1);
    assert_int_equal (run_kind (bed, registry, kind, "whole.safetensors", "transformer"), 0);
    assert_int_equal (run_kind (bed, registry, kind, "vae.safetensors", "transformer"), YARD_NO_SUBMODEL);
    assert_int_equal (run_kind (bed, registry, KIND (sd_1, main, checkpoint), "alone.safetensors", "unet"),
                      YARD_NO_SUBMODEL);
}

static void the_files_of_a_split_gguf_are_regions_of_one_model (void **state)
{
    bed_t *bed = *state;
    const loader_triple_t kind = KIND (any, text_llm, gguf_quantized);
    put_gguf (bed, "m/x-00001-of-00002.gguf", "a", 0, 2);
    put_gguf (bed, "m/x-00002-of-00002.gguf", "b", 1, 2);
    assert_int_equal (run_kind (bed, registry, kind, "m", ""), 0);
    assert_string_equal (regions (bed), "x-00001-of-00002.gguf x-00002-of-00002.gguf");
    assert_string_equal (tensors (bed), "a b");
    assert_int_equal (yard_directory_get (&bed->directory, 1).region, 1);
    assert_int_equal (run_kind (bed, registry, kind, "m/x-00002-of-00002.gguf", ""), 0);
    assert_int_equal (bed->directory.count, 2);
}

static void split_files_that_do_not_fit_together_are_refused (void **state)
{
    bed_t *bed = *state;
    const loader_triple_t kind = KIND (any, text_llm, gguf_quantized);
    put_gguf (bed, "missing/x-00001-of-00002.gguf", "a", 0, 2);
    assert_int_equal (run_kind (bed, registry, kind, "missing/x-00001-of-00002.gguf", ""),
                      YARD_MODEL_NOT_FOUND);
    assert_int_equal (run_kind (bed, registry, kind, "missing", ""), YARD_INVALID_FILE);
    put_gguf (bed, "swapped/x-00001-of-00002.gguf", "a", 1, 2);
    put_gguf (bed, "swapped/x-00002-of-00002.gguf", "b", 0, 2);
    assert_int_equal (run_kind (bed, registry, kind, "swapped", ""), YARD_INVALID_FILE);
    put_gguf (bed, "same/x-00001-of-00002.gguf", "a", 0, 2);
    put_gguf (bed, "same/x-00002-of-00002.gguf", "a", 1, 2);
    assert_int_equal (run_kind (bed, registry, kind, "same", ""), YARD_INVALID_FILE);
    put_gguf (bed, "renamed.gguf", "a", 0, 2);
    assert_int_equal (run_kind (bed, registry, kind, "renamed.gguf", ""), YARD_INVALID_FILE);
    put_gguf (bed, "two/a.gguf", "a", 0, 0);
    put_gguf (bed, "two/b.gguf", "b", 0, 0);
    assert_int_equal (run_kind (bed, registry, kind, "two", ""), YARD_INVALID_FILE);
    assert_int_equal (run_kind (bed, registry, kind, "two/b.gguf", ""), 0);
}

static void a_gguf_header_above_the_first_read_is_read_on (void **state)
{
    bed_t *bed = *state;
    static char bytes [3 << 20];
    static gguf_file_t file;
    put_start (&file, 3, 0, 1);
    put_pair (&file, "tokens", GGUF_ARRAY, GGUF_U8, 4);
    put_number (&file, sizeof bytes - file.size - 8, 8);
    memcpy (bytes, file.bytes, file.size);
    put_file (bed, "m.gguf", bytes, sizeof bytes);
    assert_int_equal (run_kind (bed, registry, KIND (any, text_llm, gguf_quantized), "m.gguf", ""), 0);
    assert_int_equal (bed->directory.count, 0);
    put_file (bed, "m.gguf", bytes, sizeof bytes - 1);
    assert_int_equal (run_kind (bed, registry, KIND (any, text_llm, gguf_quantized), "m.gguf", ""),
                      YARD_INVALID_FILE);
    put_word (bed, "m.gguf", "");
    assert_int_equal (run_kind (bed, registry, KIND (any, text_llm, gguf_quantized), "m.gguf", ""),
                      YARD_INVALID_FILE);
}

int main (void)
{
#define CASE(name) cmocka_unit_test_setup_teardown (name, make_bed, clear_bed)
    const struct CMUnitTest cases [] = {
        CASE (an_onnx_pipeline_is_its_tree_of_files_and_a_part_is_its_folder),
        CASE (an_onnx_file_is_one_region_without_parts),
        CASE (an_ip_adapter_folder_gives_the_tensors_of_its_safetensors_and_its_words),
        CASE (a_pickle_is_handed_out_and_never_opened),
        CASE (a_checkpoint_that_is_a_pickle_is_whole_or_nothing),
        CASE (a_lora_is_a_folder_or_a_file),
        CASE (a_textual_inversion_is_a_file_or_a_folder),
        CASE (the_tokenizer_and_scheduler_of_a_pipeline_are_files),
        CASE (the_same_files_are_recognised_before_anything_is_read),
        CASE (a_tensor_in_two_files_is_refused_by_name),
        CASE (symlinks_broken_headers_and_names_that_are_no_text_are_refused),
        CASE (trees_beyond_the_limits_are_too_large),
        CASE (a_gguf_file_is_a_region_with_blocks_in_its_directory),
        CASE (a_gguf_main_model_is_its_denoiser_or_has_prefixes),
        CASE (a_transformer_in_safetensors_is_the_whole_file_or_has_its_prefix),
        CASE (the_files_of_a_split_gguf_are_regions_of_one_model),
        CASE (split_files_that_do_not_fit_together_are_refused),
        CASE (a_gguf_header_above_the_first_read_is_read_on),
    };
    return cmocka_run_group_tests (cases, open_registry, close_registry);
}
