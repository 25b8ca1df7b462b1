// SPDX-License-Identifier: Apache-2.0
/*  fault.h - places where a test may kill or break the process
 *
 *  FAULT ("recorder.commit") is false, unless MODELYARD_FAULT=recorder.commit:n armed it: then the n-th time
 *  it is true (the code behind it fails as the world would), and with :n:kill the process is killed there.
 *  Points are listed in faults.def; an unlisted name aborts. Compiled to `false` in a release.
 */
#ifndef YARD_GROUND_FAULT_H
#define YARD_GROUND_FAULT_H

#include <stdbool.h>

#ifdef YARD_FAULTS
bool yard_fault (const char *name);
#    define FAULT(name) yard_fault (name)
#else
#    define FAULT(name) false
#endif

#endif
