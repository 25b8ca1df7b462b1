// SPDX-License-Identifier: Apache-2.0
/*  broken_loaders_test.c - the simulation catches every planted mistake, and has nothing to say of the same loader without it */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include "tests/simcuda/broken_loaders.h"
#include "tests/simcuda/play.h"

/*  32 ms for a chunk: a mistake is made long before its copy is over. */
#define SETTINGS "SIMCUDA_DEVICES=2 SIMCUDA_MEMORY=8388608 SIMCUDA_LINK_MB=8"

typedef struct {
    const char *name, *line;
    int exit_status, signal;
} mistake_t;

static const mistake_t mistakes [] = {
    { "reuse_slot", "simcuda.source_reused", WRONG_BYTES, 0 },
    { "free_under_copy", "simcuda.freed_under_copy", 0, 0 },
    { "forget_device", "simcuda.device_not_set", 0, 0 },
    { "dereference", NULL, -1, SIGSEGV },
    { "trust_pageable", "simcuda.pageable_source", WRONG_BYTES, 0 },
    { "ignore_full", "simcuda.use_after_free", 0, 0 },
    { "free_twice", "simcuda.double_free", 0, 0 },
    { "leak", "simcuda.leak bytes=2097152 device=0", 0, 0 },
    { "free_before_importers", "simcuda.freed_with_importers importers=1", 0, 0 },
    { "use_others_event", "simcuda.wrong_device call=cudaEventRecord", WRONG_BYTES, 0 },
    { "forget_wait", "simcuda.missing_wait", WRONG_BYTES, 0 },
};

static play_t run (const mistake_t *mistake, const char *how)
{
    char *const arguments [] = { (char *) (uintptr_t) BROKEN_LOADERS, (char *) (uintptr_t) mistake->name,
                                 (char *) (uintptr_t) how, NULL };
    return play_program (SETTINGS, arguments);
}

static void every_mistake_is_caught (void **unused)
{
    (void) unused;
    for (size_t i = 0; i < sizeof mistakes / sizeof mistakes [0]; i++) {
        play_t got = run (&mistakes [i], "broken");
        if (got.exit_status != mistakes [i].exit_status || got.signal != mistakes [i].signal ||
            (mistakes [i].line && !strstr (got.log, mistakes [i].line)))
            fail_msg ("%s: exit %d, signal %d, log: %s", mistakes [i].name, got.exit_status, got.signal,
                      got.log);
    }
}

static void the_right_loaders_are_silent (void **unused)
{
    (void) unused;
    for (size_t i = 0; i < sizeof mistakes / sizeof mistakes [0]; i++) {
        play_t got = run (&mistakes [i], "right");
        if (got.exit_status || got.signal || *got.log)
            fail_msg ("%s: exit %d, signal %d, log: %s", mistakes [i].name, got.exit_status, got.signal,
                      got.log);
    }
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (every_mistake_is_caught),
        cmocka_unit_test (the_right_loaders_are_silent),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
