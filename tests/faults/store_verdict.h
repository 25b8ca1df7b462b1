// SPDX-License-Identifier: Apache-2.0
/*  store_verdict.h - judges a store that was hurt, by the script's acknowledged effects replayed on a whole
 *  disk
 */
#ifndef YARD_FAULTS_STORE_VERDICT_H
#define YARD_FAULTS_STORE_VERDICT_H

#include "store_workload.h"

typedef struct store_verdict_t store_verdict_t;

store_verdict_t *store_verdict_new (const char *path);
void store_verdict_destroy (store_verdict_t **self_p);

/*  The workload is over and its store open again, unhurt. NULL: the store hangs together and holds just what
 *  was acknowledged, or that and one whole turn of each life whose commit failed (an answer store_failed is
 *  no promise that nothing was done). Otherwise what is wrong, until the next call.
 */
const char *store_verdict (store_verdict_t *self, workload_t *workload);

#endif
