// SPDX-License-Identifier: Apache-2.0
/*  banned.h - functions that have hurt others, refused at compile time
 *
 *  The compiler is told to include this before every file of the product. What to use instead stands beside
 *  each.
 */
#ifndef YARD_GROUND_BANNED_H
#define YARD_GROUND_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#pragma GCC poison strcpy strcat strncpy strncat /* yard_buffer, snprintf */
#pragma GCC poison sprintf vsprintf gets /* snprintf */
#pragma GCC poison strtok /* yard_string views, strtok_r */
#pragma GCC poison atoi atol atoll atof /* strtoll with its end pointer */
#pragma GCC poison tmpnam mktemp tempnam /* mkstemp, O_TMPFILE */
#pragma GCC poison usleep /* a timer of the loop */
#pragma GCC poison asctime ctime gmtime localtime /* the _r forms */

#endif
