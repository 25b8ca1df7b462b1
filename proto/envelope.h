// SPDX-License-Identifier: Apache-2.0
/*  envelope.h - the frames around a body (ARCHITECTURE 2)
 *
 *      [up to 4 frames, echoed] | "YARD1" letter id | name | body [| meta] [| from]
 *
 *  A  ask      id from the asker    name = service.method[@place]   body   meta?   from? (only broker ->
 *  server) R  reply    id of the ask        name = the ask's                body F  fail     id of the ask
 *  name = the ask's                failure; no id, name "": answers a hello, a pong, frames unread E  event
 *  id of the follow     name = topic                    body   stamp (in the place of meta) H  hello    no id
 *  name = ""                       hello W  welcome  no id                name = ""
 *  welcome C  credit   id of the follow     name = ""                       credit P  ping     no id
 *  name = ""                       (empty map) O  pong     no id                name = ""
 *  pong B  bye      id of ask or follow, or none   name = ""             bye
 *
 *  Invariants: an envelope is views into frames that somebody else owns; a parsed envelope has every frame of
 *  its letter (a missing body, meta or from is an empty view), an id of at most 32 bytes and a name of at
 *  most 255.
 */
#ifndef YARD_PROTO_ENVELOPE_H
#define YARD_PROTO_ENVELOPE_H

#include <stddef.h>
#include "actors/ground/error.h"
#include "actors/ground/view.h"

#define YARD_PROTOCOL 1
#define YARD_PREFIX_MAX 4 /* frames before the head that are echoed: REQ's empty one, and proxies' */
#define YARD_FRAMES_MAX 10 /* a routing id, 4 echoed, head, name, body, meta, from */
#define YARD_ID_MAX 32 /* bytes of an ask's or follow's id */
#define YARD_HEAD_MAX (6 + YARD_ID_MAX)
#define YARD_NAME_MAX 255 /* service.method@place */

typedef struct {
    const yard_string_t *prefix; /* frames before the head */
    size_t prefix_count;
    char letter;
    yard_string_t id, name, body, meta, from;
} yard_envelope_t;

/*  bad_frame says what is wrong with the frames. Does not look into body, meta or from. */
int yard_envelope_parse (const yard_string_t *frames, size_t count, yard_envelope_t *ret,
                         yard_error_t *error);

/*  Lays the envelope out as frames [YARD_FRAMES_MAX] that lean on it and on head [YARD_HEAD_MAX]; how many.
 *  An empty meta is left out unless a from follows it. */
size_t yard_envelope_frames (const yard_envelope_t *self, char *head, yard_string_t *ret_frames);

#endif
