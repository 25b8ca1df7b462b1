// SPDX-License-Identifier: Apache-2.0
/*  sim_follower.c - hears all events of the store, and pages the snapshot when it is told that some are lost
 */
#include "sim_checker.h"

#define AGAIN_MS 400

typedef struct {
    yard_actor_t *actor;
    yard_follow_t *follow;
    yard_timer_t *again; /* until the snapshot is asked for again */
    sim_hearing_t hearing;
} follower_t;

static void on_heard (void *pointer, void *argument, const yard_heard_t *heard)
{
    (void) argument;
    follower_t *self = pointer;
    if (!heard->stamp->change)
        return;
    sim_trace (sim_world_now (), "heard %llu %.*s", (unsigned long long) heard->stamp->change,
               YARD_VIEW (heard->name));
    sim_heard (&self->hearing, heard->stamp->change);
}

static void on_page (void *pointer, void *argument, const yard_outcome_t *outcome)
{
    (void) argument;
    follower_t *self = pointer;
    if (outcome->code)
        yard_timer_set (self->again, AGAIN_MS);
    else
        sim_snapshot (&self->hearing, ((const job_list_answer_t *) outcome->answer)->change);
}

static void ask_snapshot (void *pointer, void *argument)
{
    (void) argument;
    follower_t *self = pointer;
    job_list_ask_t ask;
    yard_wire_init (job_list_ask_type (), &ask);
    yard_ask (self->actor, &job_list_method, &ask, NULL, on_page, NULL);
}

static void on_lost (void *pointer, void *argument)
{
    follower_t *self = pointer;
    sim_trace (sim_world_now (), "lost");
    sim_lost (&self->hearing);
    ask_snapshot (pointer, argument);
}

static int follower_open (void *pointer, yard_actor_t *actor, yard_error_t *error)
{
    (void) error;
    static const char *const all [] = { "" };
    follower_t *self = pointer;
    self->actor = actor;
    sim_world_now ()->checker->hearing = &self->hearing;
    self->again = yard_timer_new (actor, ask_snapshot, NULL);
    self->follow = yard_follow (actor, all, 1, NULL, on_heard, on_lost, NULL);
    return 0;
}

static void follower_close (void *pointer)
{
    follower_t *self = pointer;
    sim_world_now ()->checker->hearing = NULL;
    yard_unfollow (&self->follow);
    yard_timer_destroy (&self->again);
}

static const yard_route_t routes [] = { { 0 } };

const yard_actor_class_t sim_follower_class = {
    .name = "follower",
    .size = sizeof (follower_t),
    .routes = routes,
    .pool = true,
    .open = follower_open,
    .close = follower_close,
};
