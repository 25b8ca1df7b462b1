// SPDX-License-Identifier: Apache-2.0
/*  commands.h - what `modelyard` can do: one row a command, one small file a group of them
 */
#ifndef MODELYARD_COMMANDS_H
#define MODELYARD_COMMANDS_H

#include "invocation.h"

typedef struct {
    const char *name;
    command_fn *function;
    const char *usage; /* its arguments */
    const char *doc;
} command_t;

extern const command_t commands []; /* ends with { 0 } */

/*  up.c */
int command_up (invocation_t *self, int argc, char **argv);
int command_down (invocation_t *self, int argc, char **argv);
/*  install.c */
int command_install (invocation_t *self, int argc, char **argv);
/*  models.c */
int command_ls (invocation_t *self, int argc, char **argv);
int command_show (invocation_t *self, int argc, char **argv);
int command_rm (invocation_t *self, int argc, char **argv);
/*  loads.c */
int command_load (invocation_t *self, int argc, char **argv);
int command_pin (invocation_t *self, int argc, char **argv);
/*  unload.c */
int command_unload (invocation_t *self, int argc, char **argv);
/*  ps.c */
int command_ps (invocation_t *self, int argc, char **argv);
/*  devices.c */
int command_devices (invocation_t *self, int argc, char **argv);
/*  top.c */
int command_top (invocation_t *self, int argc, char **argv);
/*  doctor.c */
int command_doctor (invocation_t *self, int argc, char **argv);
/*  jobs.c */
int command_jobs (invocation_t *self, int argc, char **argv);
int command_cancel (invocation_t *self, int argc, char **argv);
/*  events.c */
int command_events (invocation_t *self, int argc, char **argv);
/*  yard.c */
int command_status (invocation_t *self, int argc, char **argv);
int command_actors (invocation_t *self, int argc, char **argv);
int command_config (invocation_t *self, int argc, char **argv);
int command_version (invocation_t *self, int argc, char **argv);
int command_call (invocation_t *self, int argc, char **argv);
/*  completion.c */
int command_completion (invocation_t *self, int argc, char **argv);

#endif
