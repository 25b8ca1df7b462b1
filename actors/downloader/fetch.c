// SPDX-License-Identifier: Apache-2.0
/*  fetch.c - libcurl's sockets and timeouts as watches and timers of the loop
 *
 *  libcurl must not be called from inside its own callbacks: these only note, arm or ask the listener. All of libcurl's work happens in
 *  drive (), after which ended calls are collected.
 */
#include "fetch.h"

#include <assert.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "actors/ground/buffer.h"
#include "address.h"

#define RECEIVE_BYTES \
    262144L /* CURLOPT_BUFFERSIZE: measured as fast as larger ones (3 GB/s on loopback), and kind to the mailbox */
#define CONNECTIONS_MAX 64L /* idle ones kept: as many as downloads at once */
#define HEADER_BYTES_MAX \
    16384 /* of one request's own header line: a credential of 4 KiB, a validator of 256 bytes */
#define AGENT "modelyard/0.1.0"

struct downloader_fetch_t {
    yard_actor_t *actor;
    CURLM *multi;
    yard_timer_t *timer;
    downloader_call_t *calls; /* all that run */
    bool allow_private;
    char ca_file [4097];
    long connect_ms;
};

struct downloader_call_t {
    downloader_fetch_t *fetch;
    downloader_call_t *next, *previous;
    CURL *easy;
    struct curl_slist *headers;
    const downloader_listener_t *listener;
    void *argument;
    downloader_reply_t reply;
    bool head_done; /* lines after it are trailers */
    bool refused; /* a handler said no */
    const char *forbidden; /* why an address was refused */
    char text [CURL_ERROR_SIZE];
};

/*  --- libcurl -> loop */
static void drive (downloader_fetch_t *self, curl_socket_t socket, int mask);

static void on_ready (void *actor_self, void *argument, int fd, short events)
{
    (void) actor_self;
    int mask = (events & (POLLIN | POLLHUP) ? CURL_CSELECT_IN : 0) |
               (events & POLLOUT ? CURL_CSELECT_OUT : 0) | (events & POLLERR ? CURL_CSELECT_ERR : 0);
    drive (argument, fd, mask);
}

static void on_timer (void *actor_self, void *argument)
{
    (void) actor_self;
    drive (argument, CURL_SOCKET_TIMEOUT, 0);
}

static int on_socket (CURL *easy, curl_socket_t socket, int what, void *context, void *socket_context)
{
    (void) easy;
    downloader_fetch_t *self = context;
    yard_watch_t *watch = socket_context;
    short events = (short) ((what & CURL_POLL_IN ? POLLIN : 0) | (what & CURL_POLL_OUT ? POLLOUT : 0));
    if (what == CURL_POLL_REMOVE)
        yard_watch_destroy (&watch);
    else if (watch)
        yard_watch_set (watch, events);
    else
        watch = yard_watch_new (self->actor, socket, events, on_ready, self);
    curl_multi_assign (self->multi, socket, watch);
    return 0;
}

static int on_timeout (CURLM *multi, long timeout_ms, void *context)
{
    (void) multi;
    downloader_fetch_t *self = context;
    yard_timer_set (self->timer, timeout_ms);
    return 0;
}

/*  --- one call's callbacks */
static size_t on_header (char *data, size_t size, size_t count, void *context)
{
    downloader_call_t *call = context;
    size_t bytes = size * count;
    if (call->head_done)
        return bytes;
    bool blank = bytes == 0 || data [0] == '\r' || data [0] == '\n';
    if (!blank)
        downloader_reply_line (&call->reply, data, bytes);
    else if (call->reply.status >= 200) {
        call->head_done = true;
        if (call->listener->head (call->argument, &call->reply)) {
            call->refused = true;
            return 0;
        }
    }
    return bytes;
}

static size_t on_body (char *data, size_t size, size_t count, void *context)
{
    downloader_call_t *call = context;
    switch (call->listener->body (call->argument, data, size * count)) {
    case DOWNLOADER_BODY_TAKEN:
        return size * count;
    case DOWNLOADER_BODY_WAIT:
        return CURL_WRITEFUNC_PAUSE;
    default:
        call->refused = true;
        return 0;
    }
}

/*  Before the connection: the address that the name resolved to just now. */
static curl_socket_t on_open_socket (void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void) purpose;
    downloader_call_t *call = context;
    const char *why = downloader_address_private (&address->addr);
    if (why && !call->fetch->allow_private) {
        call->forbidden = why;
        return CURL_SOCKET_BAD;
    }
    return socket (address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/*  Before the request: the address that is connected, also of a connection that is used again. */
static int on_before_request (void *context, char *peer, char *local, int peer_port, int local_port)
{
    (void) local;
    (void) peer_port;
    (void) local_port;
    downloader_call_t *call = context;
    const char *why = downloader_address_private_text (peer);
    if (!why || call->fetch->allow_private)
        return CURL_PREREQFUNC_OK;
    call->forbidden = why;
    return CURL_PREREQFUNC_ABORT;
}

/*  --- the end of a call */
static void call_destroy (downloader_call_t *call)
{
    if (call->previous)
        call->previous->next = call->next;
    else
        call->fetch->calls = call->next;
    if (call->next)
        call->next->previous = call->previous;
    curl_multi_remove_handle (call->fetch->multi, call->easy);
    curl_easy_cleanup (call->easy);
    for (struct curl_slist *line = call->headers; line; line = line->next)
        explicit_bzero (line->data, strlen (line->data)); /* one of them may be a credential */
    curl_slist_free_all (call->headers);
    free (call);
}

static const struct {
    CURLcode curl;
    int code;
    bool again;
    const char *advice;
} ends [] = {
    { CURLE_COULDNT_RESOLVE_HOST, YARD_NETWORK_FAILED, true,
      "the host's name does not resolve; check the URL and the network" },
    { CURLE_PEER_FAILED_VERIFICATION, YARD_NETWORK_FAILED, false,
      "the server's certificate is not trusted; if it is yours, set download.ca_file" },
    { CURLE_SSL_CACERT_BADFILE, YARD_INVALID_CONFIG, false, "download.ca_file cannot be read" },
    { CURLE_URL_MALFORMAT, YARD_INVALID_SOURCE, false, "this is no URL" },
    { CURLE_UNSUPPORTED_PROTOCOL, YARD_INVALID_SOURCE, false, "only http and https are fetched" },
    { CURLE_OPERATION_TIMEDOUT, YARD_NETWORK_FAILED, true, "the server does not answer" },
    { CURLE_COULDNT_CONNECT, YARD_NETWORK_FAILED, true, "the server cannot be reached" },
};

static void finish (downloader_call_t *call, CURLcode curl)
{
    char sentence [YARD_ERROR_TEXT_MAX];
    downloader_end_t end = { .code = YARD_NETWORK_FAILED, .again = true, .text = sentence };
    const char *advice = "the connection broke";
    for (size_t i = 0; i < sizeof ends / sizeof ends [0]; i++)
        if (ends [i].curl == curl) {
            end.code = ends [i].code;
            end.again = ends [i].again;
            advice = ends [i].advice;
        }
    snprintf (sentence, sizeof sentence, "%s (%s)", advice,
              call->text [0] ? call->text : curl_easy_strerror (curl));
    if (curl == CURLE_OK) {
        end.code = 0;
    } else if (call->refused) {
        end.code = YARD_CANCELLED;
    } else if (call->forbidden) {
        end.code = YARD_FORBIDDEN_ADDRESS;
        end.again = false;
        snprintf (
            sentence, sizeof sentence,
            "the server's address is private (%s); set download.allow_private to fetch from such addresses",
            call->forbidden);
    }
    const downloader_listener_t *listener = call->listener;
    void *argument = call->argument;
    call_destroy (call);
    listener->ended (argument, &end);
}

static void drive (downloader_fetch_t *self, curl_socket_t socket, int mask)
{
    int running, queued;
    curl_multi_socket_action (self->multi, socket, mask, &running);
    for (CURLMsg *message; (message = curl_multi_info_read (self->multi, &queued));) {
        downloader_call_t *call = NULL;
        CURLcode code = message->data.result; /* the message goes with its handle */
        if (message->msg == CURLMSG_DONE &&
            !curl_easy_getinfo (message->easy_handle, CURLINFO_PRIVATE, (char **) &call))
            finish (call, code);
    }
}

/*  --- calls */
static void add_header (downloader_call_t *call, const char *name, const char *value)
{
    yard_buffer_t line;
    yard_buffer_init (&line, HEADER_BYTES_MAX);
    yard_buffer_printf (&line, "%s: %s", name, value);
    assert (!line.overflow);
    call->headers = curl_slist_append (call->headers, line.data);
    assert (call->headers);
    explicit_bzero (line.data, line.size);
    yard_buffer_clear (&line);
}

static void add_headers (downloader_call_t *call, const downloader_get_t *get)
{
    add_header (call, "Accept", "*/*");
    add_header (call, "Accept-Encoding", "identity");
    if (get->ranged) {
        char range [48];
        snprintf (range, sizeof range, "bytes=%llu-", (unsigned long long) get->from);
        add_header (call, "Range", range);
        if (get->validator && get->validator [0] && get->from)
            add_header (call, "If-Range", get->validator);
    }
    if (get->credential) {
        char value [HEADER_BYTES_MAX / 2];
        snprintf (value, sizeof value, "Bearer %s", get->credential);
        add_header (call, "Authorization", value);
        explicit_bzero (value, sizeof value);
    }
}

static void set_options (downloader_call_t *call, const char *url)
{
    CURL *easy = call->easy;
    downloader_fetch_t *self = call->fetch;
    curl_easy_setopt (easy, CURLOPT_URL, url);
    curl_easy_setopt (easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt (easy, CURLOPT_HTTP_VERSION,
                      (long) CURL_HTTP_VERSION_1_1); /* a connection for each file */
    curl_easy_setopt (easy, CURLOPT_BUFFERSIZE, RECEIVE_BYTES);
    curl_easy_setopt (easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt (easy, CURLOPT_PROXY, ""); /* no ambient proxies */
    curl_easy_setopt (easy, CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
    curl_easy_setopt (easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt (easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt (easy, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt (easy, CURLOPT_CONNECTTIMEOUT_MS, self->connect_ms);
    curl_easy_setopt (easy, CURLOPT_USERAGENT, AGENT);
    if (self->ca_file [0])
        curl_easy_setopt (easy, CURLOPT_CAINFO, self->ca_file);
    curl_easy_setopt (easy, CURLOPT_HTTPHEADER, call->headers);
    curl_easy_setopt (easy, CURLOPT_ERRORBUFFER, call->text);
    curl_easy_setopt (easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt (easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt (easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt (easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt (easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt (easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt (easy, CURLOPT_OPENSOCKETDATA, call);
    curl_easy_setopt (easy, CURLOPT_PREREQFUNCTION, on_before_request);
    curl_easy_setopt (easy, CURLOPT_PREREQDATA, call);
}

downloader_call_t *downloader_fetch_get (downloader_fetch_t *self, const downloader_get_t *get,
                                         const downloader_listener_t *listener, void *argument)
{
    downloader_call_t *call = calloc (1, sizeof *call);
    assert (call);
    call->fetch = self;
    call->listener = listener;
    call->argument = argument;
    downloader_reply_init (&call->reply);
    call->easy = curl_easy_init ();
    assert (call->easy);
    add_headers (call, get);
    set_options (call, get->url);
    call->next = self->calls;
    if (call->next)
        call->next->previous = call;
    self->calls = call;
    CURLMcode code =
        curl_multi_add_handle (self->multi, call->easy); /* arms the timer: libcurl begins in the next turn */
    assert (code == CURLM_OK);
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
    /* libcurl hands over what it kept from inside this call; a handler's refusal of it comes back here, and nowhere else. */
    CURLcode code = curl_easy_pause (call->easy, CURLPAUSE_CONT);
    if (code)
        finish (call, code);
}

int downloader_fetch_new (yard_actor_t *actor, downloader_fetch_t **ret, yard_error_t *error)
{
    const download_config_t *config = &yard_actor_configuration (actor)->download;
    if (curl_global_init (CURL_GLOBAL_DEFAULT))
        return yard_error (error, YARD_INTERNAL, "libcurl does not start; is its library whole?");
    downloader_fetch_t *self = calloc (1, sizeof *self);
    assert (self);
    self->actor = actor;
    self->allow_private = config->allow_private;
    self->connect_ms = (long) config->stall_ms;
    if (config->ca_file.size)
        memcpy (self->ca_file, config->ca_file.data,
                config->ca_file.size); /* at most 4096 by its definition */
    self->timer = yard_timer_new (actor, on_timer, self);
    self->multi = curl_multi_init ();
    assert (self->multi);
    curl_multi_setopt (self->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt (self->multi, CURLMOPT_SOCKETDATA, self);
    curl_multi_setopt (self->multi, CURLMOPT_TIMERFUNCTION, on_timeout);
    curl_multi_setopt (self->multi, CURLMOPT_TIMERDATA, self);
    curl_multi_setopt (self->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_MAX);
    *ret = self;
    return 0;
}

void downloader_fetch_destroy (downloader_fetch_t **self_p)
{
    downloader_fetch_t *self = *self_p;
    if (!self)
        return;
    for (downloader_call_t *call = self->calls, *next; call; call = next) {
        next = call->next;
        call_destroy (call);
    }
    curl_multi_cleanup (self->multi); /* idle connections give up their watches here */
    yard_timer_destroy (&self->timer);
    free (self);
    curl_global_cleanup ();
    *self_p = NULL;
}
