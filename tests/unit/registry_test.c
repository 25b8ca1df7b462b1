// SPDX-License-Identifier: Apache-2.0
/*  registry_test.c - which loader serves which model
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "actors/loader/registry.h"

static int open_nothing (loader_opening_t *opening)
{
    (void) opening;
    return 0;
}

static const loader_triple_t for_any [] = { { base_model_any, model_type_vae, model_format_checkpoint },
                                            { base_model_any, model_type_lora, model_format_lycoris } };
static const loader_triple_t for_flux [] = { { base_model_flux, model_type_vae, model_format_checkpoint } };
static const loader_kind_t any = { "any", for_any, 2, open_nothing };
static const loader_kind_t flux = { "flux", for_flux, 1, open_nothing };
static const loader_kind_t again = { "again", for_any + 1, 1, open_nothing };

static const char *who (const loader_registry_t *registry, base_model_t base, model_type_t type,
                        model_format_t format)
{
    const loader_kind_t *found = NULL;
    return loader_registry_find (registry, base, type, format, &found, NULL) == 0 ? found->name : NULL;
}

/* R6.6 */
static void an_exact_base_goes_before_any (void **state)
{
    (void) state;
    const loader_kind_t *const kinds [] = { &any, &flux, NULL };
    loader_registry_t *registry;
    assert_int_equal (loader_registry_new (kinds, &registry, NULL), 0);
    assert_string_equal (who (registry, base_model_flux, model_type_vae, model_format_checkpoint), "flux");
    assert_string_equal (who (registry, base_model_sd_1, model_type_vae, model_format_checkpoint), "any");
    assert_string_equal (who (registry, base_model_flux, model_type_lora, model_format_lycoris), "any");
    loader_registry_destroy (&registry);
    assert_null (registry);
}

/* R6.3 */
static void a_triple_that_nobody_serves_is_not_implemented (void **state)
{
    (void) state;
    const loader_kind_t *const kinds [] = { &flux, NULL };
    const loader_kind_t *found = NULL;
    loader_registry_t *registry;
    yard_error_t error = { 0 };
    assert_int_equal (loader_registry_new (kinds, &registry, NULL), 0);
    assert_int_equal (loader_registry_find (registry, base_model_sd_1, model_type_vae,
                                            model_format_checkpoint, &found, &error),
                      YARD_NOT_IMPLEMENTED);
    assert_null (found);
    assert_non_null (strstr (error.text, "sd-1"));
    assert_non_null (strstr (error.text, "vae"));
    loader_registry_destroy (&registry);
}

/* R6.6 */
static void a_triple_registered_twice_is_an_error_that_names_both (void **state)
{
    (void) state;
    const loader_kind_t *const kinds [] = { &any, &again, NULL };
    loader_registry_t *registry = NULL;
    yard_error_t error = { 0 };
    assert_int_equal (loader_registry_new (kinds, &registry, &error), YARD_INTERNAL);
    assert_null (registry);
    assert_non_null (strstr (error.text, "any and again"));
    assert_non_null (strstr (error.text, "lycoris"));
}

/* R6.6 */
static void the_loaders_of_this_build_fit_together (void **state)
{
    (void) state;
    loader_registry_t *registry;
    assert_int_equal (loader_registry_new (loader_kinds, &registry, NULL), 0);
    assert_string_equal (who (registry, base_model_sd_1, model_type_lora, model_format_lycoris),
                         "safetensors");
    assert_string_equal (who (registry, base_model_sdxl, model_type_main, model_format_checkpoint),
                         "safetensors");
    assert_string_equal (who (registry, base_model_flux, model_type_main, model_format_gguf_quantized),
                         "gguf");
    assert_string_equal (who (registry, base_model_sdxl, model_type_main, model_format_diffusers), "folder");
    assert_string_equal (who (registry, base_model_sdxl, model_type_lora, model_format_diffusers), "files");
    assert_string_equal (who (registry, base_model_sd_1, model_type_ip_adapter, model_format_invokeai),
                         "files");
    assert_null (who (registry, base_model_sdxl, model_type_unknown, model_format_unknown));
    loader_registry_destroy (&registry);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (an_exact_base_goes_before_any),
        cmocka_unit_test (a_triple_that_nobody_serves_is_not_implemented),
        cmocka_unit_test (a_triple_registered_twice_is_an_error_that_names_both),
        cmocka_unit_test (the_loaders_of_this_build_fit_together),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
