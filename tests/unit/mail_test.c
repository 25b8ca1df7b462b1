// SPDX-License-Identifier: Apache-2.0
/*  mail_test.c - letters of several threads, read by one loop
 */
#include "actor_world.h"

#include <pthread.h>
#include "actors/loader/mail.h"

#define THREADS 4
#define LETTERS 2000 /* of each thread */

static const yard_route_t routes [] = { { 0 } };
static const yard_actor_class_t reader_class = { .name = "reader", .size = 1, .routes = routes };

typedef struct {
    world_t *world;
    loader_mail_t *mail;
    pthread_t loop;
    unsigned next [THREADS]; /* of each thread's letters, read in order */
    unsigned read;
} desk_t;

typedef struct {
    desk_t *desk;
    unsigned thread, number;
} note_t;

static int begin (void **state)
{
    desk_t *desk = calloc (1, sizeof *desk);
    desk->world = world_new (&reader_class, true);
    desk->mail = loader_mail_new (desk->world->actor);
    desk->loop = pthread_self ();
    *state = desk;
    return 0;
}

static int end (void **state)
{
    desk_t *desk = *state;
    loader_mail_destroy (&desk->mail);
    loader_mail_destroy (&desk->mail); /* takes NULL */
    world_destroy (&desk->world);
    free (desk);
    return 0;
}

static void read_note (void *argument)
{
    note_t *note = argument;
    desk_t *desk = note->desk;
    assert_true (pthread_equal (pthread_self (), desk->loop));
    assert_int_equal (note->number, desk->next [note->thread]);
    desk->next [note->thread]++;
    desk->read++;
    free (note);
}

static void post (desk_t *desk, unsigned thread, unsigned number)
{
    note_t *note = malloc (sizeof *note);
    assert_non_null (note);
    *note = (note_t){ .desk = desk, .thread = thread, .number = number };
    loader_mail_post (desk->mail, read_note, note);
}

typedef struct {
    desk_t *desk;
    unsigned thread;
    pthread_t handle;
} writer_t;

static void *write_notes (void *argument)
{
    const writer_t *writer = argument;
    for (unsigned number = 0; number < LETTERS; number++)
        post (writer->desk, writer->thread, number);
    return NULL;
}

static void start (desk_t *desk, writer_t *writers)
{
    for (unsigned thread = 0; thread < THREADS; thread++) {
        writers [thread] = (writer_t){ .desk = desk, .thread = thread };
        assert_int_equal (pthread_create (&writers [thread].handle, NULL, write_notes, &writers [thread]), 0);
    }
}

static void join (const writer_t *writers)
{
    for (unsigned thread = 0; thread < THREADS; thread++)
        pthread_join (writers [thread].handle, NULL);
}

static void each_threads_letters_are_read_once_and_in_order_on_the_loop (void **state)
{
    desk_t *desk = *state;
    writer_t writers [THREADS];
    start (desk, writers);
    while (desk->read < THREADS * LETTERS) /* a letter that woke nobody would end this in ten seconds */
        assert_true (yard_actor_turn (desk->world->actor, 10000, &desk->world->exit_code));
    join (writers);
    world_turn (desk->world);
    assert_int_equal (desk->read, THREADS * LETTERS);
}

static void who_waits_hears_what_comes_later (void **state)
{
    desk_t *desk = *state;
    writer_t writers [THREADS];
    start (desk, writers);
    while (desk->read < THREADS * LETTERS)
        loader_mail_wait (desk->mail);
    join (writers);
}

static void what_is_unread_at_the_end_is_read_then (void **state)
{
    desk_t *desk = *state;
    for (unsigned number = 0; number < 100; number++)
        post (desk, 0, number);
    loader_mail_destroy (&desk->mail);
    assert_int_equal (desk->read, 100);
    assert_null (desk->mail);
}

static void post_another (void *argument)
{
    desk_t *desk = argument;
    post (desk, 0, 0);
}

static void a_letter_that_posts_is_answered_by_a_later_turn (void **state)
{
    desk_t *desk = *state;
    loader_mail_post (desk->mail, post_another, desk);
    world_turn (desk->world);
    assert_int_equal (desk->read, 0);
    world_turn (desk->world);
    assert_int_equal (desk->read, 1);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test_setup_teardown (each_threads_letters_are_read_once_and_in_order_on_the_loop, begin,
                                         end),
        cmocka_unit_test_setup_teardown (who_waits_hears_what_comes_later, begin, end),
        cmocka_unit_test_setup_teardown (what_is_unread_at_the_end_is_read_then, begin, end),
        cmocka_unit_test_setup_teardown (a_letter_that_posts_is_answered_by_a_later_turn, begin, end),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
