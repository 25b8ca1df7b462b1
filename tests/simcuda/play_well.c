// SPDX-License-Identifier: Apache-2.0
/*  play_well.c - how a play must have ended, for cmocka's cases; the rest of play.h is for any program
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/simcuda/play.h"

void play_well (play_t got, const char *line)
{
    assert_int_equal (got.signal, 0);
    assert_int_equal (got.exit_status, 0);
    assert_int_equal (got.other_signal, 0);
    assert_int_equal (got.other_exit_status, 0);
    if (line && !strstr (got.log, line))
        fail_msg ("no %s in: %s", line, got.log);
    if (!line)
        assert_string_equal (got.log, "");
}

size_t play_bytes_free (void)
{
    size_t left = 0, total = 0;
    must_do (cudaMemGetInfo (&left, &total));
    return left;
}
