// SPDX-License-Identifier: Apache-2.0
/*  sim_fetch.c - the downloader's door to HTTP, with the remote of the simulation behind it
 *
 *  Takes the place of fetch.c at link time. A call runs on a timer of the actor, a chunk at a time. The bad
 *  manners are the world's: no connection, 404, 500, 429 with Retry-After, silence, a body that breaks off,
 *  a server that does not know ranges, a file that becomes another one between two requests.
 */
#include "actors/downloader/fetch.h"

#include "sim_remote.h"

#define CHUNK_MAX 4096 /* some calls per file, so that there is something to interrupt */
#define DELAY_MS_MAX 500 /* between two chunks: a file takes some seconds, in which things happen */

struct downloader_fetch_t {
    yard_actor_t *actor;
    downloader_call_t *calls;
};

typedef enum {
    MANNER_GOOD,
    MANNER_UNREACHABLE,
    MANNER_BROKEN, /* 500 */
    MANNER_BUSY, /* 429 */
    MANNER_SILENT,
    MANNER_SHORT, /* breaks off */
    MANNER_RANGELESS
} manner_t;

struct downloader_call_t {
    downloader_fetch_t *fetch;
    downloader_call_t *next, **place_p;
    yard_timer_t *timer;
    const downloader_listener_t *listener;
    void *argument;
    manner_t manner;
    char *url, validator [DOWNLOADER_VALIDATOR_SIZE];
    bool ranged, begun, waiting;
    uint64_t from;
    yard_string_t body; /* what is still to come */
    size_t breaks_at; /* SHORT: so many bytes before its end */
};

static uint64_t below (uint64_t bound)
{
    return yard_random_below (&sim_world_now ()->random, bound);
}

static manner_t choose_manner (void)
{
    if (!sim_world_now ()->faults)
        return MANNER_GOOD;
    static const struct {
        manner_t manner;
        unsigned percent;
    } rows [] = {
        { MANNER_UNREACHABLE, 5 }, { MANNER_BROKEN, 4 }, { MANNER_BUSY, 3 },
        { MANNER_SILENT, 3 },      { MANNER_SHORT, 25 }, { MANNER_RANGELESS, 5 },
    };
    uint64_t roll = below (100);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (roll < rows [i].percent)
            return rows [i].manner;
        roll -= rows [i].percent;
    }
    return MANNER_GOOD;
}

static void call_destroy (downloader_call_t *call)
{
    *call->place_p = call->next;
    if (call->next)
        call->next->place_p = call->place_p;
    yard_timer_destroy (&call->timer);
    free (call->url);
    free (call);
}

static void finish (downloader_call_t *call, int code, bool again, const char *text)
{
    const downloader_listener_t *listener = call->listener;
    void *argument = call->argument;
    call_destroy (call);
    listener->ended (argument, &(downloader_end_t){ code, again, text });
}

static void line (downloader_reply_t *reply, const char *format, ...) __attribute__ ((format (printf, 2, 3)));
static void line (downloader_reply_t *reply, const char *format, ...)
{
    char text [256];
    va_list arguments;
    va_start (arguments, format);
    int size = vsnprintf (text, sizeof text, format, arguments);
    va_end (arguments);
    downloader_reply_line (reply, text, (size_t) size);
}

/*  The head of a file's answer, and what of it is to come. */
static void answer (downloader_call_t *call, size_t file, downloader_reply_t *reply)
{
    sim_world_t *world = sim_world_now ();
    if (world->faults && below (30) == 0)
        sim_remote_change (world->remote, file);
    yard_string_t whole = sim_remote_bytes (world->remote, file, -1);
    char etag [64];
    snprintf (etag, sizeof etag, "\"file-%zu-version-%d\"", file, sim_remote_version (world->remote, file));
    bool same = !call->validator [0] || strcmp (call->validator, etag) == 0;
    bool ranged = call->ranged && same && call->manner != MANNER_RANGELESS;
    if (ranged && call->from >= whole.size) {
        line (reply, "HTTP/1.1 416 Range Not Satisfiable");
        line (reply, "Content-Range: bytes */%zu", whole.size);
        line (reply, "Content-Length: 0");
        return;
    }
    uint64_t from = ranged ? call->from : 0;
    line (reply, ranged ? "HTTP/1.1 206 Partial Content" : "HTTP/1.1 200 OK");
    line (reply, "Content-Length: %llu", (unsigned long long) (whole.size - from));
    if (ranged)
        line (reply, "Content-Range: bytes %llu-%zu/%zu", (unsigned long long) from, whole.size - 1,
              whole.size);
    line (reply, "ETag: %s", etag);
    call->body = (yard_string_t){ whole.data + from, whole.size - from };
    if (call->manner == MANNER_SHORT)
        call->breaks_at = (size_t) below (call->body.size);
}

/*  false: the call has ended. */
static bool begin (downloader_call_t *call)
{
    downloader_reply_t reply;
    downloader_reply_init (&reply);
    int file = sim_remote_find (call->url);
    switch (call->manner) {
    case MANNER_UNREACHABLE:
        finish (call, YARD_NETWORK_FAILED, true, "the server cannot be reached (simulated)");
        return false;
    case MANNER_SILENT:
        return true;
    case MANNER_BROKEN:
        line (&reply, "HTTP/1.1 500 Internal Server Error");
        break;
    case MANNER_BUSY:
        line (&reply, "HTTP/1.1 429 Too Many Requests");
        line (&reply, "Retry-After: %d", 1 + (int) below (3));
        break;
    default:
        if (file >= 0)
            answer (call, (size_t) file, &reply);
        else
            line (&reply, "HTTP/1.1 404 Not Found");
    }
    call->begun = true;
    if (call->listener->head (call->argument, &reply) == 0)
        return true;
    finish (call, YARD_CANCELLED, false, "refused");
    return false;
}

static void again (downloader_call_t *call)
{
    yard_timer_set (call->timer, (int64_t) below (DELAY_MS_MAX));
}

static void on_timer (void *actor_self, void *argument)
{
    (void) actor_self;
    downloader_call_t *call = argument;
    if (!call->begun) {
        if (begin (call) && call->begun)
            again (call);
        return;
    }
    if (call->body.size <= call->breaks_at) {
        if (call->manner == MANNER_SHORT)
            finish (call, YARD_NETWORK_FAILED, true, "the connection broke (simulated)");
        else
            finish (call, 0, false, "");
        return;
    }
    size_t size = 1 + (size_t) below (CHUNK_MAX);
    if (size > call->body.size - call->breaks_at)
        size = call->body.size - call->breaks_at;
    switch (call->listener->body (call->argument, call->body.data, size)) {
    case DOWNLOADER_BODY_TAKEN:
        call->body.data += size;
        call->body.size -= size;
        again (call);
        return;
    case DOWNLOADER_BODY_WAIT:
        return;
    default:
        finish (call, YARD_CANCELLED, false, "refused");
    }
}

int downloader_fetch_new (yard_actor_t *actor, downloader_fetch_t **ret, yard_error_t *error)
{
    (void) error;
    *ret = yard_zeroed (sizeof **ret);
    (*ret)->actor = actor;
    return 0;
}

void downloader_fetch_destroy (downloader_fetch_t **self_p)
{
    while (*self_p && (*self_p)->calls)
        call_destroy ((*self_p)->calls);
    free (*self_p);
    *self_p = NULL;
}

downloader_call_t *downloader_fetch_get (downloader_fetch_t *self, const downloader_get_t *get,
                                         const downloader_listener_t *listener, void *argument)
{
    downloader_call_t *call = yard_zeroed (sizeof *call);
    *call = (downloader_call_t){ .fetch = self,
                                 .listener = listener,
                                 .argument = argument,
                                 .manner = choose_manner (),
                                 .url = strdup (get->url),
                                 .ranged = get->ranged,
                                 .from = get->from,
                                 .next = self->calls,
                                 .place_p = &self->calls };
    if (get->ranged && get->validator)
        snprintf (call->validator, sizeof call->validator, "%s", get->from ? get->validator : "");
    if (call->next)
        call->next->place_p = &call->next;
    self->calls = call;
    call->timer = yard_timer_new (self->actor, on_timer, call);
    again (call);
    return call;
}

void downloader_fetch_stop (downloader_call_t **call_p)
{
    if (*call_p)
        call_destroy (*call_p);
    *call_p = NULL;
}

void downloader_fetch_go_on (downloader_call_t *call)
{
    yard_timer_set (call->timer, 0);
}
