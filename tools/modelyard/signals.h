// SPDX-License-Identifier: Apache-2.0
/*  signals.h - signals as something to wait for, for commands that go on until they are told to end
 */
#ifndef MODELYARD_SIGNALS_H
#define MODELYARD_SIGNALS_H

#include "actors/ground/error.h"

/*  SIGINT and SIGTERM, and those of `also` (ends with 0; may be NULL), come as readable bytes of *ret_fd from
 *  now on, in the whole process. */
int signals_catch (const int *also, int *ret_fd, yard_error_t *error);

int signals_take (int fd); /* the number of one that came; 0 = none */

#endif
