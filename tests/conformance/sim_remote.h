// SPDX-License-Identifier: Apache-2.0
/*  sim_remote.h - the other end of the internet: a few model files behind URLs, whose versions change
 */
#ifndef YARD_TESTS_SIM_REMOTE_H
#define YARD_TESTS_SIM_REMOTE_H

#include "sim_world.h"

#define SIM_FILES 10 /* enough that two clients often want the same, and often not */
#define SIM_VERSIONS 3

sim_remote_t *sim_remote_new (uint64_t seed);
void sim_remote_destroy (sim_remote_t **self_p);

const char *sim_remote_url (size_t file);
/*  The file behind this URL or below this name; NULL: there is none. */
int sim_remote_find (const char *url);
/*  As it is now; version -1 for the present one. */
yard_string_t sim_remote_bytes (sim_remote_t *self, size_t file, int version);
void sim_remote_change (sim_remote_t *self, size_t file);
int sim_remote_version (const sim_remote_t *self, size_t file);
/*  These bytes are one whole version of one file: which file, or -1. */
int sim_remote_recognise (sim_remote_t *self, yard_string_t bytes);

#endif
