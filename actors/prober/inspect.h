// SPDX-License-Identifier: Apache-2.0
/*  inspect.h - looks at one open file and writes the verdict: what runs inside the sandbox
 *
 *  Promises: reads by pread, from the front, the header and no tensor; asks the system for fstat, pread and
 *  memory alone; what a file is is decided by its bytes, its name's ending only says whether a file that is
 *  nothing we know is broken or merely unknown. Refuses: what is no regular file, a file that changes
 *  meanwhile, a file that can be read as two formats.
 */
#ifndef YARD_PROBER_INSPECT_H
#define YARD_PROBER_INSPECT_H

#include "actors/prober/verdict.h"

/*  fd: open for reading, stays the caller's. name: the file's, without folders. */
void prober_inspect (int fd, const char *name, prober_verdict_t *verdict);

#endif
