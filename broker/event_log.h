// SPDX-License-Identifier: Apache-2.0
/*  event_log.h - the last events of this epoch, for those who follow
 *
 *  Invariants: numbers are dense and begin at 1; the oldest leave when the log has too many events or too many bytes; the newest always
 *  stays. Events are immutable; a pointer to one is good until the next append.
 */
#ifndef YARD_BROKER_EVENT_LOG_H
#define YARD_BROKER_EVENT_LOG_H

#include <stddef.h>
#include <stdint.h>
#include "actors/ground/view.h"

typedef struct broker_event_log_t broker_event_log_t;

typedef struct {
    uint64_t number;
    yard_string_t name, subject, topic, body, stamp;
} broker_event_t;

broker_event_log_t *broker_event_log_new (size_t events_max, size_t bytes_max);
void broker_event_log_destroy (broker_event_log_t **self_p);

/*  Copies. number must be the last one plus one. */
const broker_event_t *broker_event_log_append (broker_event_log_t *self, const broker_event_t *event);
/*  NULL: not there yet, or no longer. */
const broker_event_t *broker_event_log_get (const broker_event_log_t *self, uint64_t number);
uint64_t
broker_event_log_first (const broker_event_log_t *self); /* the oldest kept; last + 1 when there is none */
uint64_t broker_event_log_last (const broker_event_log_t *self); /* 0 = none yet */
size_t broker_event_log_bytes (const broker_event_log_t *self);

#endif
