// SPDX-License-Identifier: Apache-2.0
/*  submodel_test.c - which part of a checkpoint a name means
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "actors/loader/submodel.h"

static const char *prefix (base_model_t base, const char *part)
{
    return loader_submodel_prefix (base, yard_string (part));
}

/* R6.1 */
static void parts_of_every_stable_diffusion_have_their_prefix (void **state)
{
    (void) state;
    assert_string_equal (prefix (base_model_sd_1, "unet"), "model.diffusion_model.");
    assert_string_equal (prefix (base_model_sd_2, "vae"), "first_stage_model.");
    assert_string_equal (prefix (base_model_sd_1, "text_encoder"), "cond_stage_model.");
    assert_string_equal (prefix (base_model_wan, "transformer"), "model.diffusion_model.");
    assert_string_equal (prefix (base_model_sdxl, "text_encoder"), "conditioner.embedders.0.");
    assert_string_equal (prefix (base_model_sdxl, "text_encoder_2"), "conditioner.embedders.1.");
}

static void the_refiners_only_encoder_is_its_second (void **state)
{
    (void) state;
    assert_string_equal (prefix (base_model_sdxl_refiner, "text_encoder_2"), "conditioner.embedders.0.");
    assert_null (prefix (base_model_sdxl_refiner, "text_encoder"));
}

/* R6.3 */
static void a_part_that_the_base_does_not_have_has_no_prefix (void **state)
{
    (void) state;
    assert_null (prefix (base_model_sd_1, "text_encoder_2"));
    assert_null (prefix (base_model_flux, "unet"));
    assert_null (prefix (base_model_wan, "unet"));
    assert_null (prefix (base_model_sd_1, "transformer"));
    assert_null (prefix (base_model_sd_1, ""));
    assert_null (prefix (base_model_sd_1, "une"));
}

static void the_list_for_a_sentence_names_each_part_and_is_cut_to_its_room (void **state)
{
    (void) state;
    char text [64], little [6];
    loader_submodel_list (base_model_sd_1, text, sizeof text);
    assert_string_equal (text, "text_encoder, unet, vae");
    loader_submodel_list (base_model_sd_1, little, sizeof little);
    assert_string_equal (little, "text_");
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (parts_of_every_stable_diffusion_have_their_prefix),
        cmocka_unit_test (the_refiners_only_encoder_is_its_second),
        cmocka_unit_test (a_part_that_the_base_does_not_have_has_no_prefix),
        cmocka_unit_test (the_list_for_a_sentence_names_each_part_and_is_cut_to_its_room),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
