// SPDX-License-Identifier: Apache-2.0
/*  client_example.c - libmodelyard in use, as its header says: built against the shared library alone, run by test_client.py
 *
 *  client_example RUN version | demand | follow COUNT PREFIX | subscribe COUNT PREFIX | load KEY | many COUNT
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "modelyard.h"

static yard_error_t error;

static int fail (const char *what)
{
    printf ("FAILED %s %s: %s\n", what, yard_error_row (error.code)->word, error.text);
    return 1;
}

static int say_version (yard_client_t *client, yard_arena_t *arena)
{
    yard_version_answer_t answer;
    if (yard_client_ask (client, &yard_version_method, NULL, NULL, arena, &answer, &error))
        return fail ("version");
    printf ("version %s epoch %s same %d\n", answer.version.data, answer.epoch.data,
            strcmp (answer.epoch.data, yard_client_epoch (client)) == 0);
    record_key_t key = { .key = yard_string ("00000000000000000000000000000000") };
    model_record_t record;
    if (yard_client_ask (client, &record_get_method, &key, NULL, arena, &record, &error) == 0)
        return fail ("a model that cannot be there");
    printf ("refused %s\n", yard_error_row (error.code)->word);
    return 0;
}

/*  Asks once a line of stdin, whatever happened to the yard between. */
static int ask_on_demand (yard_client_t *client, yard_arena_t *arena)
{
    char line [16];
    setvbuf (stdout, NULL, _IOLBF, 0);
    puts ("ready");
    while (fgets (line, sizeof line, stdin)) {
        yard_ping_answer_t answer;
        if (yard_client_ask (client, &yard_ping_method, NULL, NULL, arena, &answer, &error))
            fail ("ping");
        else
            printf ("epoch %s\n", answer.epoch.data);
    }
    return 0;
}

static int follow (yard_client_t *client, int count, const char *prefix)
{
    const yard_follow_options_t options = { .prefixes = &prefix, .prefix_count = 1 };
    yard_follow_stream_t *stream = NULL;
    yard_event_seen_t seen;
    uint64_t last = 0;
    setvbuf (stdout, NULL, _IOLBF, 0);
    if (yard_client_follow (client, &options, &stream, &error))
        return fail ("follow");
    puts ("ready");
    for (int i = 0; i < count; i++) {
        if (yard_follow_stream_next (stream, 20000, &seen, &error)) {
            fail ("next");
            break;
        }
        printf ("event %.*s %.*s ordered %d body %d\n", YARD_VIEW (seen.name), YARD_VIEW (seen.subject),
                seen.stamp->number > last, seen.body != NULL);
        last = seen.stamp->number;
    }
    yard_follow_stream_destroy (&stream);
    return 0;
}

static int subscribe (yard_client_t *client, int count, const char *prefix)
{
    yard_subscription_t *subscription = NULL;
    yard_event_seen_t seen;
    bool lost;
    setvbuf (stdout, NULL, _IOLBF, 0);
    const char *const prefixes [] = { prefix, "yard_beat/" };
    if (yard_client_subscribe (client, prefixes, 2, &subscription, &error))
        return fail ("subscribe");
    while (count > 0) {
        if (yard_subscription_next (subscription, 20000, &seen, &lost, &error))
            return fail ("next");
        if (seen.event == &yard_beat_event) {
            puts (lost ? "beat lost" : "beat");
            continue;
        }
        printf ("event %.*s lost %d\n", YARD_VIEW (seen.name), lost);
        count--;
    }
    yard_subscription_destroy (&subscription);
    return 0;
}

static int load (yard_client_t **client_p, yard_arena_t *arena, const char *key)
{
    load_model_ask_t ask;
    load_model_answer_t answer;
    yard_attachment_t *attachment = NULL;
    yard_wire_init (load_model_ask_type (), &ask);
    ask.has_key = ask.whole = true;
    ask.key = yard_string (key);
    setvbuf (stdout, NULL, _IOLBF, 0);
    if (yard_client_ask (*client_p, &load_model_method, &ask, NULL, arena, &answer, &error))
        return fail ("load");
    if (yard_attach (answer.attach.data, answer.lease, &attachment, &error))
        return fail ("attach");
    for (size_t i = 0; i < yard_attachment_tensors (attachment); i++) {
        yard_attached_tensor_t tensor = yard_attachment_tensor (attachment, i), again;
        char name [256];
        snprintf (name, sizeof name, "%.*s", YARD_VIEW (tensor.name));
        uint64_t sum = 0;
        for (size_t byte = 0; byte < tensor.bytes; byte++)
            sum += tensor.data [byte];
        printf ("tensor %s %.*s rank %zu bytes %zu sum %llu found %d\n", name, YARD_VIEW (tensor.dtype),
                tensor.rank, tensor.bytes, (unsigned long long) sum,
                yard_attachment_find (attachment, name, &again) && again.data == tensor.data);
    }
    yard_attached_tensor_t none;
    printf ("none %d\n", yard_attachment_find (attachment, "no such tensor", &none));
    /* The client may go first. */
    yard_client_destroy (client_p);
    printf ("first byte %d\n",
            yard_attachment_regions (attachment) ? yard_attachment_region (attachment, 0).data [0] : -1);
    puts ("ready");
    int rest = getchar ();
    (void) rest;
    yard_attachment_destroy (&attachment);
    return 0;
}

/*  --- the poll-able form */
typedef struct {
    int answered, cancelled, other;
} tally_t;

static void on_answer (void *argument, const yard_call_result_t *result)
{
    tally_t *tally = argument;
    if (result->code == 0)
        tally->answered++;
    else if (result->code == YARD_CANCELLED)
        tally->cancelled++;
    else
        tally->other++;
}

/*  Every third is withdrawn before its answer can be here; the rest come through a poll of ours. */
static int many (yard_client_t *client, int count)
{
    tally_t tally = { 0 };
    for (int i = 0; i < count; i++) {
        yard_call_t *call = NULL;
        if (yard_client_call (client, &yard_ping_method, NULL, NULL, on_answer, &tally, &call, &error))
            return fail ("call");
        if (i % 3 == 0)
            yard_call_withdraw (&call);
    }
    while (tally.answered + tally.cancelled + tally.other < count) {
        struct pollfd item = { .fd = yard_client_fd (client), .events = POLLIN };
        if (poll (&item, 1, yard_client_timeout_ms (client)) < 0 && errno != EINTR)
            return 1;
        yard_client_dispatch (client);
    }
    printf ("answered %d cancelled %d other %d\n", tally.answered, tally.cancelled, tally.other);
    return 0;
}

int main (int argc, char **argv)
{
    yard_client_t *client = NULL;
    if (argc < 3)
        return 2;
    if (yard_client_connect (argv [1], &client, &error))
        return fail ("connect");
    yard_arena_t *arena = yard_arena_new (64 * 1024 * 1024);
    int code = 2;
    if (strcmp (argv [2], "version") == 0)
        code = say_version (client, arena);
    else if (strcmp (argv [2], "demand") == 0)
        code = ask_on_demand (client, arena);
    else if (strcmp (argv [2], "follow") == 0 && argc == 5)
        code = follow (client, (int) strtol (argv [3], NULL, 10), argv [4]);
    else if (strcmp (argv [2], "subscribe") == 0 && argc == 5)
        code = subscribe (client, (int) strtol (argv [3], NULL, 10), argv [4]);
    else if (strcmp (argv [2], "many") == 0 && argc == 4)
        code = many (client, (int) strtol (argv [3], NULL, 10));
    else if (strcmp (argv [2], "load") == 0 && argc == 4)
        code = load (&client, arena, argv [3]);
    yard_arena_destroy (&arena);
    yard_client_destroy (&client);
    return code;
}
