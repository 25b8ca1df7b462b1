// SPDX-License-Identifier: Apache-2.0
/*  loader_end_test.c - the whole loader on a bus in memory, and how it ends with clients attached
 */
#include "actor_world.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "actors/ground/durable.h"

extern const yard_actor_class_t loader_class;

#define MODEL_BYTES 100000
#define HEADER_BYTES 128

typedef struct {
    world_t *world;
    char path [PATH_MAX];
    int asks;
    size_t id_size; /* of the actor's ask that was heard */
    load_model_answer_t loaded;
} bed_t;

static void put_file (const bed_t *bed)
{
    char *data = calloc (1, MODEL_BYTES);
    assert_non_null (data);
    const uint64_t size = HEADER_BYTES;
    const int tensor = MODEL_BYTES - HEADER_BYTES - (int) sizeof size;
    memcpy (data, &size, sizeof size); /* of a safetensors header, padded with blanks */
    memset (data + sizeof size, ' ', HEADER_BYTES);
    int used = snprintf (data + sizeof size, HEADER_BYTES,
                         "{\"t\":{\"dtype\":\"U8\",\"shape\":[%d],\"data_offsets\":[0,%d]}}", tensor, tensor);
    data [(int) sizeof size + used] = ' '; /* the 0 */
    unlink (bed->path); /* another inode each time */
    int fd = open (bed->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true (fd >= 0);
    assert_int_equal (write (fd, data, MODEL_BYTES), MODEL_BYTES);
    close (fd);
    free (data);
}

static int make_bed (void **state)
{
    bed_t *bed = calloc (1, sizeof *bed);
    bed->world = world_new (&loader_class, false);
    world_welcome (bed->world, EPOCH_ONE);
    bed->world->asker_said_hello = true;
    snprintf (bed->path, sizeof bed->path, "%s/a.safetensors", bed->world->directory);
    put_file (bed);
    *state = bed;
    return 0;
}

static int clear_bed (void **state)
{
    bed_t *bed = *state;
    char directory [sizeof bed->world->directory];
    memcpy (directory, bed->world->directory, sizeof directory);
    world_destroy (&bed->world);
    assert_int_equal (yard_durable_remove (directory, NULL), 0);
    free (bed);
    return 0;
}

static const void *ask (bed_t *bed, const char *name, const yard_wire_type_t *type, const void *body,
                        const yard_wire_type_t *answer)
{
    char id [9];
    yard_envelope_t envelope;
    snprintf (id, sizeof id, "%08d", ++bed->asks);
    world_ask (bed->world, id, name, type, body, "client", -1);
    for (;;) {
        yard_actor_turn (bed->world->actor, 100, &bed->world->exit_code);
        while (world_hear (bed->world, &envelope)) {
            if (envelope.letter == 'F') {
                const failure_t *failure = world_read (bed->world, failure_type (), envelope.body);
                fail_msg ("%s: %.*s", name, YARD_VIEW (failure->text));
            }
            if (envelope.letter == 'R' && yard_string_is (envelope.id, id))
                return world_read (bed->world, answer, envelope.body);
        }
    }
}

static void load (bed_t *bed)
{
    load_path_ask_t body;
    yard_wire_init (load_path_ask_type (), &body);
    body.path = yard_string (bed->path);
    body.as.has_form = true;
    body.as.form = load_form_resident;
    bed->loaded = *(const load_model_answer_t *) ask (bed, "load.path", load_path_ask_type (), &body,
                                                      load_model_answer_type ());
}

static void release (bed_t *bed)
{
    load_release_ask_t body = { .lease = bed->loaded.lease };
    ask (bed, "load.release", load_release_ask_type (), &body, nothing_type ());
}

static load_device_answer_t look (bed_t *bed)
{
    nothing_t body;
    yard_wire_init (nothing_type (), &body);
    return *(const load_device_answer_t *) ask (bed, "load.device", nothing_type (), &body,
                                                load_device_answer_type ());
}

/*  The connection is the attachment. */
static int attach (bed_t *bed)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    attach_hello_t hello = { .lease = bed->loaded.lease, .protocol = 1 };
    char bytes [65536];
    snprintf (address.sun_path, sizeof address.sun_path, "%.*s", YARD_VIEW (bed->loaded.attach));
    int fd = socket (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal (connect (fd, (const struct sockaddr *) &address, sizeof address), 0);
    yard_string_t packed = world_pack (bed->world, attach_hello_type (), &hello);
    assert_int_equal (send (fd, packed.data, packed.size, 0), packed.size);
    ssize_t got;
    while ((got = recv (fd, bytes, sizeof bytes, 0)) < 0) /* the descriptors in it are not taken */
        yard_actor_turn (bed->world->actor, 100, &bed->world->exit_code);
    const attach_answer_t *answer =
        world_read (bed->world, attach_answer_type (), (yard_string_t){ bytes, (size_t) got });
    assert_false (answer->has_failure);
    return fd;
}

static void it_ends_with_a_client_attached_whose_model_has_left_the_cache (void **state)
{
    bed_t *bed = *state;
    load (bed);
    int fd = attach (bed);
    release (bed); /* draining */
    put_file (bed);
    load (bed); /* the old one leaves the cache; the attachment alone has it now */
    load_device_answer_t device = look (bed);
    assert_int_equal (device.draining_bytes, MODEL_BYTES);
    assert_int_equal (device.held_bytes, MODEL_BYTES);
    clear_bed (state); /* the last use ends in the loader's end: ASan and LSan watch */
    close (fd);
    make_bed (state);
}

static void its_bytes_are_free_when_that_client_has_gone (void **state)
{
    bed_t *bed = *state;
    load (bed);
    int fd = attach (bed);
    release (bed);
    put_file (bed);
    load (bed);
    assert_int_equal (look (bed).draining_bytes, MODEL_BYTES);
    close (fd);
    while (look (bed).draining_bytes > 0)
        ;
    release (bed);
    assert_int_equal (look (bed).idle_bytes, MODEL_BYTES);
}

/*  Hears the actor's ask of this method, other letters aside; its body as its record. */
static const void *hear_ask (bed_t *bed, const char *name, const yard_wire_type_t *type, char *ret_id)
{
    yard_envelope_t envelope;
    for (;;) {
        yard_actor_turn (bed->world->actor, 100, &bed->world->exit_code);
        while (world_hear (bed->world, &envelope)) {
            assert_true (envelope.letter != 'F');
            if (envelope.letter != 'A' || !yard_string_is (envelope.name, name))
                continue;
            snprintf (ret_id, YARD_ID_MAX + 1, "%.*s", YARD_VIEW (envelope.id));
            memcpy (ret_id, envelope.id.data, envelope.id.size);
            bed->id_size = envelope.id.size;
            return world_read (bed->world, type, envelope.body);
        }
    }
}

/*  load.lock with state; the test answers as the host's loader, which is another lease of the same bytes. */
static void lock_state (bed_t *bed, const char *state)
{
    load_lock_ask_t body;
    char id [YARD_ID_MAX + 1];
    yard_envelope_t envelope;
    yard_wire_init (load_lock_ask_type (), &body);
    body.lease = bed->loaded.lease;
    body.state = true;
    world_ask (bed->world, "00000077", "load.lock", load_lock_ask_type (), &body, "client", -1);
    const load_model_ask_t *asked = hear_ask (bed, "load.model@loader/box7/host", load_model_ask_type (), id);
    assert_true (asked->form == load_form_resident && !asked->keep);
    load_model_answer_t answer = bed->loaded;
    answer.lease = yard_string (state);
    world_say (bed->world, 'R', (yard_string_t){ id, bed->id_size }, yard_string ("load.model"),
               load_model_answer_type (), &answer);
    for (bool answered = false; !answered;) {
        yard_actor_turn (bed->world->actor, 100, &bed->world->exit_code);
        while (!answered && world_hear (bed->world, &envelope)) {
            assert_true (envelope.letter != 'F');
            answered = envelope.letter == 'R' && yard_string_is (envelope.id, "00000077");
        }
    }
}

/*  R6.2 */
static void the_state_dict_goes_with_the_lease_it_was_asked_for (void **state)
{
    static const char one [] = "11111111111111111111111111111111",
                          two [] = "22222222222222222222222222222222";
    bed_t *bed = *state;
    char id [YARD_ID_MAX + 1];
    load (bed);
    lock_state (bed, one);
    lock_state (bed, two); /* takes the place of the first */
    load_release_ask_t body = { .lease = bed->loaded.lease };
    world_ask (bed->world, "00000088", "load.release", load_release_ask_type (), &body, "client", -1);
    const load_release_ask_t *over =
        hear_ask (bed, "load.release@loader/box7/host", load_release_ask_type (), id);
    assert_true (yard_string_is (over->lease, two));
    load (bed);
    lock_state (bed, one); /* and the loader may end with one */
}

/*  More than is idle: all of it, and no more. */
static void evicting_more_than_there_is_is_no_mistake (void **state)
{
    bed_t *bed = *state;
    load (bed);
    release (bed);
    load_evict_ask_t body;
    yard_wire_init (load_evict_ask_type (), &body);
    body.has_bytes = true;
    body.bytes = look (bed).free_bytes; /* free already */
    const load_evict_answer_t *answer =
        ask (bed, "load.evict", load_evict_ask_type (), &body, load_evict_answer_type ());
    assert_int_equal (answer->models, 0);
    body.bytes = YARD_SAFE_INTEGER;
    answer = ask (bed, "load.evict", load_evict_ask_type (), &body, load_evict_answer_type ());
    assert_int_equal (answer->models, 1);
    assert_int_equal (answer->bytes, MODEL_BYTES);
}

/*  A name that is no text cannot be told: then there is no lease either. */
static void what_cannot_be_answered_is_not_leased (void **state)
{
    bed_t *bed = *state;
    char odd [PATH_MAX];
    nothing_t nothing;
    yard_envelope_t envelope;
    load_path_ask_t body;
    snprintf (odd, sizeof odd, "%s/\xff.safetensors", bed->world->directory);
    assert_int_equal (rename (bed->path, odd), 0);
    assert_int_equal (symlink (odd, bed->path), 0);
    yard_wire_init (load_path_ask_type (), &body);
    body.path = yard_string (bed->path);
    body.as.keep = true; /* nobody's end would end it */
    world_ask (bed->world, "00000099", "load.path", load_path_ask_type (), &body, "client", -1);
    for (bool refused = false; !refused;) {
        yard_actor_turn (bed->world->actor, 100, &bed->world->exit_code);
        while (!refused && world_hear (bed->world, &envelope)) {
            assert_true (envelope.letter != 'R');
            refused = envelope.letter == 'F';
        }
    }
    yard_wire_init (nothing_type (), &nothing);
    const load_list_answer_t *list =
        ask (bed, "load.list", nothing_type (), &nothing, load_list_answer_type ());
    assert_int_equal (list->loads.count, 0);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test_setup_teardown (it_ends_with_a_client_attached_whose_model_has_left_the_cache,
                                         make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (its_bytes_are_free_when_that_client_has_gone, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (the_state_dict_goes_with_the_lease_it_was_asked_for, make_bed,
                                         clear_bed),
        cmocka_unit_test_setup_teardown (evicting_more_than_there_is_is_no_mistake, make_bed, clear_bed),
        cmocka_unit_test_setup_teardown (what_cannot_be_answered_is_not_leased, make_bed, clear_bed),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
