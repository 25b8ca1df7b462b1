// SPDX-License-Identifier: Apache-2.0
/*  weights_test.c - which of a folder's weights a variant means
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "actors/loader/listing.h"
#include "actors/loader/loader_files.h"
#include "actors/loader/loader_folder.h"
#include "tests/unit/opening_bed.h"

static int make_folder_bed (void **state)
{
    make_bed (state);
    bed_t *bed = *state;
    bed->kind = &loader_folder;
    bed->type = model_type_vae;
    return 0;
}

static int run_variant (bed_t *bed, const char *path, const char *variant)
{
    bed->variant = variant;
    return run (bed, path, "");
}

static void names_are_taken_apart_as_their_writers_put_them_together (void **state)
{
    (void) state;
    static const struct {
        const char *name, *stem, *label;
        bool index, shard;
    } names [] = {
        { "model.safetensors", "model", "", false, false },
        { "model.fp16.safetensors", "model", "fp16", false, false },
        { "diffusion_pytorch_model.non_ema.safetensors", "diffusion_pytorch_model", "non_ema", false, false },
        { "v1.5-pruned.safetensors", "v1.5-pruned", "", false, false },
        { "v1.5.safetensors", "v1.5", "", false, false },
        { "model-00001-of-00002.safetensors", "model", "", false, true },
        { "model.fp16-00001-of-00002.safetensors", "model", "fp16", false, true },
        { "model-00001-of-00002.fp16.safetensors", "model", "fp16", false, true },
        { "model.safetensors.index.json", "model", "", true, false },
        { "model.safetensors.index.fp16.json", "model", "fp16", true, false },
        { "model.fp16.safetensors.index.json", "model", "fp16", true, false },
    };
    static const char *const others [] = { ".safetensors",       "model.bin",
                                           "config.json",        "safetensors",
                                           "model.json",         "model.safetensors.index.FP16.json",
                                           "model.safetensors.x" };
    loader_weights_t weights;
    for (size_t at = 0; at < sizeof names / sizeof names [0]; at++) {
        assert_true (loader_weights_read (names [at].name, &weights));
        assert_true (yard_string_is (weights.stem, names [at].stem));
        assert_true (yard_string_is (weights.label, names [at].label));
        assert_int_equal (weights.index, names [at].index);
        assert_int_equal (weights.shard, names [at].shard);
    }
    for (size_t at = 0; at < sizeof others / sizeof others [0]; at++)
        assert_false (loader_weights_read (others [at], &weights));
}

/* R6.12 */
static void a_variant_is_its_file_and_without_one_it_is_the_plain_file (void **state)
{
    bed_t *bed = *state;
    put_tensor (bed, "m/model.safetensors", "plain");
    put_tensor (bed, "m/model.fp16.safetensors", "half");
    assert_int_equal (run_variant (bed, "m", ""), 0);
    assert_string_equal (regions (bed), "model.safetensors");
    assert_int_equal (run_variant (bed, "m", "fp16"), 0);
    assert_string_equal (regions (bed), "model.fp16.safetensors");
    assert_string_equal (tensors (bed), "half");
    assert_int_equal (run_variant (bed, "m", "fp32"), 0); /* what publishers mean by it */
    assert_string_equal (tensors (bed), "plain");
    put_tensor (bed, "m/model.fp32.safetensors", "whole");
    assert_int_equal (run_variant (bed, "m", "fp32"), 0);
    assert_string_equal (tensors (bed), "whole");
}

/* R6.12 */
static void a_variant_that_is_not_there_is_an_error_that_lists_what_is (void **state)
{
    bed_t *bed = *state;
    put_tensor (bed, "m/model.safetensors", "plain");
    put_tensor (bed, "m/model.non_ema.safetensors", "other");
    assert_int_equal (run_variant (bed, "m", "fp16"), YARD_NOT_FOUND);
    assert_said (bed, "fp16");
    assert_said (bed, "non_ema, plain");
}

/* R6.12 */
static void without_a_plain_file_the_only_variant_is_taken_and_several_are_not (void **state)
{
    bed_t *bed = *state;
    put_tensor (bed, "m/model.fp16.safetensors", "half");
    assert_int_equal (run_variant (bed, "m", ""), 0);
    assert_string_equal (tensors (bed), "half");
    put_tensor (bed, "m/model.bf16.safetensors", "brain");
    assert_int_equal (run_variant (bed, "m", ""), YARD_NOT_FOUND);
    assert_said (bed, "bf16, fp16");
}

static void put_index (const bed_t *bed, const char *name, const char *tensor, const char *shard)
{
    char json [512];
    snprintf (json, sizeof json, "{\"weight_map\":{\"%s\":\"%s\"}}", tensor, shard);
    put_word (bed, name, json);
}

/* R6.12 */
static void a_variant_has_its_index_in_either_spelling (void **state)
{
    bed_t *bed = *state;
    put_tensor (bed, "m/model-00001-of-00001.safetensors", "plain");
    put_tensor (bed, "m/model.fp16-00001-of-00001.safetensors", "half");
    put_tensor (bed, "m/model-00001-of-00001.bf16.safetensors", "brain");
    put_index (bed, "m/model.safetensors.index.json", "plain", "model-00001-of-00001.safetensors");
    put_index (bed, "m/model.safetensors.index.fp16.json", "half", "model.fp16-00001-of-00001.safetensors");
    put_index (bed, "m/model.bf16.safetensors.index.json", "brain", "model-00001-of-00001.bf16.safetensors");
    assert_int_equal (run_variant (bed, "m", ""), 0);
    assert_string_equal (tensors (bed), "plain");
    assert_int_equal (run_variant (bed, "m", "fp16"), 0);
    assert_string_equal (tensors (bed), "half");
    assert_int_equal (run_variant (bed, "m", "bf16"), 0);
    assert_string_equal (tensors (bed), "brain");
    put_index (bed, "m/model.fp16.safetensors.index.json", "half", "model.fp16-00001-of-00001.safetensors");
    assert_int_equal (run_variant (bed, "m", "fp16"), YARD_INVALID_FILE);
}

/* R6.12 */
static void a_folder_of_files_leaves_other_variants_out (void **state)
{
    bed_t *bed = *state;
    bed->kind = &loader_files;
    put_tensor (bed, "m/pytorch_lora_weights.safetensors", "w");
    put_tensor (bed, "m/pytorch_lora_weights.fp16.safetensors", "w");
    put_tensor (bed, "m/sub/other.safetensors", "o");
    put_word (bed, "m/readme.txt", "x");
    assert_int_equal (run_variant (bed, "m", ""), 0);
    assert_string_equal (regions (bed), "pytorch_lora_weights.safetensors readme.txt sub/other.safetensors");
    assert_int_equal (run_variant (bed, "m", "fp16"), YARD_NOT_FOUND);
    assert_said (bed, "sub has no weights of variant fp16");
}

/* R6.12 */
static void onnx_openvino_and_flax_are_variants_that_are_kinds_of_files (void **state)
{
    bed_t *bed = *state;
    put_tensor (bed, "m/model.safetensors", "w");
    put_word (bed, "m/model.onnx", "o");
    put_word (bed, "m/config.json", "{}");
    put_word (bed, "words/vocab.txt", "{}");
    assert_int_equal (run_variant (bed, "m", "onnx"), 0);
    assert_string_equal (regions (bed), "config.json model.onnx");
    assert_int_equal (bed->directory.count, 0);
    assert_int_equal (run_variant (bed, "m", "flax"), YARD_NOT_FOUND);
    assert_int_equal (run_variant (bed, "words", "onnx"), 0);
}

static void several_sets_of_weights_that_nothing_tells_apart_are_refused (void **state)
{
    bed_t *bed = *state;
    put_tensor (bed, "m/a.safetensors", "a");
    assert_int_equal (run_variant (bed, "m", ""), 0);
    put_tensor (bed, "m/b.safetensors", "b");
    assert_int_equal (run_variant (bed, "m", ""), YARD_INVALID_FILE);
    put_tensor (bed, "m/model.safetensors", "own");
    assert_int_equal (run_variant (bed, "m", ""), 0);
    assert_string_equal (tensors (bed), "own");
    put_tensor (bed, "m/diffusion_pytorch_model.safetensors", "own too");
    assert_int_equal (run_variant (bed, "m", ""), YARD_INVALID_FILE);
}

int main (void)
{
#define CASE(name) cmocka_unit_test_setup_teardown (name, make_folder_bed, clear_bed)
    const struct CMUnitTest cases [] = {
        cmocka_unit_test (names_are_taken_apart_as_their_writers_put_them_together),
        CASE (a_variant_is_its_file_and_without_one_it_is_the_plain_file),
        CASE (a_variant_that_is_not_there_is_an_error_that_lists_what_is),
        CASE (without_a_plain_file_the_only_variant_is_taken_and_several_are_not),
        CASE (a_variant_has_its_index_in_either_spelling),
        CASE (a_folder_of_files_leaves_other_variants_out),
        CASE (onnx_openvino_and_flax_are_variants_that_are_kinds_of_files),
        CASE (several_sets_of_weights_that_nothing_tells_apart_are_refused),
    };
    return cmocka_run_group_tests (cases, NULL, NULL);
}
