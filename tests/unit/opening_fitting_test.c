// SPDX-License-Identifier: Apache-2.0
/*  opening_fitting_test.c - what is in no record: which loader opens it; and a variant that is only a preference
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "actors/loader/loader_fitting.h"
#include "actors/loader/loader_folder.h"
#include "tests/unit/gguf_bed.h"
#include "tests/unit/opening_bed.h"

static int make_fitting (void **state)
{
    int rc = make_bed (state);
    bed_t *bed = *state;
    bed->kind = &loader_fitting;
    return rc;
}

static void put_gguf (const bed_t *bed, const char *name)
{
    static const uint64_t dimensions [] = { 2 };
    static gguf_file_t file;
    put_start (&file, 3, 1, 0);
    put_info (&file, "g", 1, dimensions, GGML_F16, 0);
    put_padding (&file, 32);
    put_data (&file, 4);
    put_file (bed, name, file.bytes, file.size);
}

/*  Opens the path without a part: the regions are these, the tensors those. */
static void assert_opens (bed_t *bed, const char *path, const char *files, const char *names)
{
    bed->type = model_type_unknown;
    if (run (bed, path, ""))
        fail_msg ("%s: %s", path, bed->opening->error.text);
    assert_string_equal (regions (bed), files);
    assert_string_equal (tensors (bed), names);
}

/* R6.8 */
static void a_file_is_told_by_its_ending (void **state)
{
    bed_t *bed = *state;
    static const char *const pickles [] = { "a.ckpt", "a.bin", "a.pt", "a.pth", "a.onnx" };
    put_tensor (bed, "a.safetensors", "s");
    put_gguf (bed, "a.gguf");
    assert_opens (bed, "a.safetensors", "a.safetensors", "s");
    assert_opens (bed, "a.gguf", "a.gguf", "g");
    for (size_t at = 0; at < sizeof pickles / sizeof pickles [0]; at++) {
        put_word (bed, pickles [at], "not looked into");
        assert_opens (bed, pickles [at], pickles [at], "");
    }
    put_word (bed, "a.txt", "words");
    put_word (bed, "safetensors", "no ending");
    assert_int_equal (run (bed, "a.txt", ""), YARD_NOT_IMPLEMENTED);
    assert_said (bed, "name a loader");
    assert_int_equal (run (bed, "safetensors", ""), YARD_NOT_IMPLEMENTED);
}

/* R6.8 */
static void a_folder_is_told_by_the_names_in_it (void **state)
{
    bed_t *bed = *state;
    put_gguf (bed, "gguf/a.gguf");
    put_word (bed, "gguf/config.json", "{}");
    assert_opens (bed, "gguf", "a.gguf", "g");
    put_tensor (bed, "weights/model.safetensors", "s");
    put_gguf (bed, "weights/also.gguf");
    assert_opens (bed, "weights", "model.safetensors", "s");
    put_word (bed, "onnx/model.onnx", "o");
    put_word (bed, "onnx/data", "d");
    assert_opens (bed, "onnx", "data model.onnx", "");
    put_tensor (bed, "adapter/ip_adapter.safetensors", "s");
    put_word (bed, "adapter/image_encoder.txt", "e");
    assert_opens (bed, "adapter", "image_encoder.txt ip_adapter.safetensors", "s");
    put_word (bed, "pickle/pytorch_model.bin", "p");
    put_word (bed, "pickle/config.json", "{}");
    assert_opens (bed, "pickle", "config.json pytorch_model.bin", "");
    put_gguf (bed, "named/model.safetensors/a.gguf"); /* a folder's name tells nothing */
    put_gguf (bed, "named/b.gguf");
    assert_opens (bed, "named", "b.gguf", "g");
}

/* R6.8 */
static void a_pipeline_needs_its_part_unless_it_is_onnx (void **state)
{
    bed_t *bed = *state;
    put_word (bed, "m/model_index.json", "{\"unet\": [\"diffusers\", \"UNet2DConditionModel\"]}");
    put_tensor (bed, "m/unet/diffusion_pytorch_model.safetensors", "s");
    put_tensor (bed, "m/all.safetensors", "whole");
    assert_int_equal (run (bed, "m", ""), YARD_SUBMODEL_NEEDED);
    assert_int_equal (run (bed, "m", "unet"), 0);
    assert_string_equal (tensors (bed), "s");
    put_word (bed, "o/model_index.json", "{\"unet\": [\"diffusers\", \"OnnxRuntimeModel\"]}");
    put_word (bed, "o/unet/model.onnx", "o");
    assert_opens (bed, "o", "model_index.json unet/model.onnx", "");
    assert_int_equal (run (bed, "o", "unet"), 0);
    assert_string_equal (regions (bed), "model.onnx");
}

/* R6.8 */
static void the_word_of_a_long_index_is_not_looked_for_for_ever (void **state)
{
    bed_t *bed = *state;
    static char text [100000];
    memset (text, ' ', sizeof text);
    memcpy (text + sizeof text - 20, "OnnxRuntimeModel", 16);
    put_file (bed, "m/model_index.json", text, sizeof text);
    put_word (bed, "m/unet/model.onnx", "o");
    assert_int_equal (run (bed, "m", ""), YARD_SUBMODEL_NEEDED);
    char target [PATH_MAX];
    snprintf (target, sizeof target, "%s/m/model_index.json", bed->folder);
    assert_int_equal (unlink (target), 0);
    assert_int_equal (symlink ("/dev/zero", target), 0); /* a hostile one */
    assert_int_equal (run (bed, "m", ""), YARD_SUBMODEL_NEEDED);
}

/* R6.8 */
static void a_path_from_the_root_on_may_lead_through_symlinks (void **state)
{
    bed_t *bed = *state;
    char link [128], target [128];
    put_tensor (bed, "m/a.safetensors", "s");
    snprintf (target, sizeof target, "%s/m", bed->folder);
    snprintf (link, sizeof link, "%s/link", bed->folder);
    assert_int_equal (symlink (target, link), 0);
    assert_int_equal (run (bed, "link/a.safetensors", ""), YARD_FORBIDDEN);
    loader_opening_destroy (&bed->opening);
    loader_opening_t *opening = bed->opening = loader_opening_new ();
    snprintf (opening->models_dir, sizeof opening->models_dir, "%s", LOADER_ANYWHERE);
    snprintf (opening->path, sizeof opening->path, "%s/a.safetensors", link);
    opening->open = loader_fitting.open;
    loader_opening_run (opening);
    assert_int_equal (opening->error.code, 0);
    assert_string_equal (opening->model->files [0].name, "a.safetensors");
}

/* R6.12 */
static void a_preferred_variant_gives_way_to_the_plain_files_and_a_wanted_one_does_not (void **state)
{
    bed_t *bed = *state;
    bed->kind = &loader_folder;
    put_tensor (bed, "both/model.safetensors", "plain");
    put_tensor (bed, "both/model.fp16.safetensors", "half");
    put_tensor (bed, "one/model.safetensors", "plain");
    bed->variant = "fp16";
    assert_int_equal (run (bed, "one", ""), YARD_NOT_FOUND);
    bed->variant_soft = true;
    assert_int_equal (run (bed, "one", ""), 0);
    assert_string_equal (tensors (bed), "plain");
    assert_int_equal (run (bed, "both", ""), 0);
    assert_string_equal (tensors (bed), "half");
    bed->variant = "onnx";
    assert_int_equal (run (bed, "one", ""), 0);
    assert_string_equal (tensors (bed), "plain");
    assert_int_equal (run (bed, "none", ""), YARD_MODEL_NOT_FOUND);
}

#define CASE(name) cmocka_unit_test_setup_teardown (name, make_fitting, clear_bed)

int main (void)
{
    const struct CMUnitTest tests [] = {
        CASE (a_file_is_told_by_its_ending),
        CASE (a_folder_is_told_by_the_names_in_it),
        CASE (a_pipeline_needs_its_part_unless_it_is_onnx),
        CASE (the_word_of_a_long_index_is_not_looked_for_for_ever),
        CASE (a_path_from_the_root_on_may_lead_through_symlinks),
        CASE (a_preferred_variant_gives_way_to_the_plain_files_and_a_wanted_one_does_not),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
