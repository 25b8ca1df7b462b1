// SPDX-License-Identifier: Apache-2.0
/*  sim_subscriber.c - a dashboard on the event end, that loses nothing and so may count
 *
 *  Within a broker's life the numbers of all events are dense, `previous` names the last event of the same
 *  name, and the beat repeats the last number.
 */
#include "sim_checker.h"

void sim_subscriber_open (sim_world_t *world)
{
    yard_error_t error;
    sim_subscriber_t *self = &world->checker->subscriber;
    if (yard_bus_open (world->bus, YARD_SOCKET_SUBSCRIBER, "event", &self->socket, &error))
        sim_failed ("%s", error.text);
    yard_message_init (&self->message);
    self->names = yard_table_new ();
    yard_socket_send (self->socket, &(yard_string_t){ "\1", 1 }, 1);
}

static void forget_names (sim_subscriber_t *self)
{
    void *number;
    for (size_t at = 0; yard_table_next (self->names, &at, &number);)
        free (number);
    yard_table_destroy (&self->names);
    self->names = yard_table_new ();
}

void sim_subscriber_close (sim_world_t *world)
{
    sim_subscriber_t *self = &world->checker->subscriber;
    if (!self->names)
        return;
    yard_socket_close (&self->socket);
    yard_message_clear (&self->message);
    forget_names (self);
    yard_table_destroy (&self->names);
}

static void check_number (sim_subscriber_t *self, yard_string_t name, const stamp_t *stamp)
{
    bool beat = yard_string_is (name, "yard_beat");
    if (stamp->number != self->number + (beat ? 0 : 1))
        sim_failed ("the subscriber got %.*s with number %llu behind number %llu", YARD_VIEW (name),
                    (unsigned long long) stamp->number, (unsigned long long) self->number);
    if (beat)
        return;
    self->number = stamp->number;
    uint64_t *last = yard_table_get (self->names, name.data, name.size);
    if (stamp->previous != (last ? *last : 0))
        sim_failed ("the subscriber got %.*s that names %llu as the one before, and had got %llu",
                    YARD_VIEW (name), (unsigned long long) stamp->previous,
                    (unsigned long long) (last ? *last : 0));
    if (!last)
        yard_table_put (self->names, name.data, name.size, last = yard_zeroed (sizeof *last));
    *last = stamp->number;
}

void sim_subscriber_read (sim_world_t *world)
{
    sim_subscriber_t *self = &world->checker->subscriber;
    while (yard_socket_receive (self->socket, &self->message)) {
        stamp_t stamp;
        yard_error_t error;
        yard_arena_reset (world->checker->arena);
        if (self->message.count < 3 ||
            yard_wire_unpack (stamp_type (), self->message.frames [1].data, self->message.frames [1].size,
                              YARD_WIRE_ANSWER, world->checker->arena, &stamp, &error))
            sim_failed ("the subscriber got what is no event");
        yard_string_t name = self->message.frames [0];
        const char *slash = memchr (name.data, '/', name.size);
        name.size = slash ? (size_t) (slash - name.data) : name.size;
        if (!yard_string_is (stamp.epoch, self->epoch)) {
            snprintf (self->epoch, sizeof self->epoch, "%.*s", YARD_VIEW (stamp.epoch));
            self->number = 0;
            forget_names (self);
        }
        check_number (self, name, &stamp);
    }
}
