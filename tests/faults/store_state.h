// SPDX-License-Identifier: Apache-2.0
/*  store_state.h - what a store holds, as text, and whether it hangs together
 */
#ifndef YARD_FAULTS_STORE_STATE_H
#define YARD_FAULTS_STORE_STATE_H

#include <sqlite3.h>
#include "actors/ground/buffer.h"

#define STORE_STATE_BYTES_MAX (4u << 20) /* of a scripted store: some hundred rows */

/*  Every row of every table, in the order of its key. 0, or SQLite's code. */
int store_state_read (sqlite3 *database, yard_buffer_t *ret);
/*  NULL, or the first rule that is broken: pages whole, references whole, outbox dense up to last_change,
 *  rows no newer than it, one live job per equal key, ended jobs hold no lease, parents count their live
 *  children. */
const char *store_state_broken (sqlite3 *database);

#endif
