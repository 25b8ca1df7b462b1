// SPDX-License-Identifier: Apache-2.0
/*  log.c - one event, one line, one write
 *
 *  Promises: a line has at most LINE_BYTES_MAX bytes with its newline, and no control byte but that
 *  one, whatever a value holds: a hostile file name can neither begin a line of its own nor steer a
 *  terminal. errno is left as it was.
 */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "clock.h"

#define LINE_BYTES_MAX 4096 /* PIPE_BUF: one write of it is never mixed with another process's in a pipe */
#define ACTOR_BYTES_MAX 32

static const char cut_mark [] = "...";

static const char *const level_words [] = {
    [YARD_LOG_ERROR] = "error",
    [YARD_LOG_WARNING] = "warning",
    [YARD_LOG_INFO] = "info",
    [YARD_LOG_DEBUG] = "debug",
};

static struct {
    yard_log_level_t level;
    char actor [ACTOR_BYTES_MAX];
} spoken = { YARD_LOG_INFO, "modelyard" };

void yard_log_open (const char *actor, yard_log_level_t level)
{
    spoken.level = level;
    snprintf (spoken.actor, sizeof spoken.actor, "%s", actor);
}

int yard_log_level_from (const char *word)
{
    for (int level = 0; level < (int) (sizeof level_words / sizeof *level_words); level++)
        if (strcmp (level_words [level], word) == 0)
            return level;
    return -1;
}

/*  How many bytes of text are a control character: C0 and DEL one, C1 as UTF-8 (c2 80 to c2 9f) two,
 *  else 0. */
static size_t control_size (const char *text)
{
    unsigned char byte = (unsigned char) text [0], next = byte ? (unsigned char) text [1] : 0;
    if (byte < 0x20 || byte == 0x7f)
        return 1;
    return byte == 0xc2 && next >= 0x80 && next < 0xa0 ? 2 : 0;
}

/*  Appends text to line [size_max], control characters as \xNN, the bytes in `marked` behind a
 *  backslash. False when it had to stop; what was written then ends at a character's border. */
static bool append_escaped (char *line, size_t *used, size_t size_max, const char *text, const char *marked)
{
    while (*text) {
        char piece [12];
        size_t taken = control_size (text), size = 0;
        if (taken) {
            for (size_t i = 0; i < taken; i++)
                size += (size_t) snprintf (piece + size, sizeof piece - size, "\\x%02x",
                                           (unsigned char) text [i]);
        } else {
            if (strchr (marked, *text))
                piece [size++] = '\\';
            /* A lead byte takes its following bytes along, so that a cut never splits a character. */
            do
                piece [size++] = text [taken++];
            while (((unsigned char) text [taken] & 0xc0) == 0x80 && taken < 4);
        }
        if (*used + size > size_max)
            return false;
        memcpy (line + *used, piece, size);
        *used += size;
        text += taken;
    }
    return true;
}

const char *yard_log_quoted (char *buffer, const char *text)
{
    size_t used = 0, size_max = YARD_LOG_QUOTED_SIZE - sizeof cut_mark - 1;
    bool quoted = *text == 0 || strpbrk (text, " \"=\\") != NULL;
    if (quoted)
        buffer [used++] = '"';
    bool whole = append_escaped (buffer, &used, size_max, text, quoted ? "\"\\" : "");
    snprintf (buffer + used, YARD_LOG_QUOTED_SIZE - used, "%s%s", whole ? "" : cut_mark, quoted ? "\"" : "");
    return buffer;
}

/*  The fields are formatted, then escaped into the line: escaping what is formatted catches the
 *  caller's mistakes too. */
void yard_log (yard_log_level_t level, const char *event, const char *format, ...)
{
    if (level > spoken.level)
        return;
    int saved_errno = errno;
    char fields [LINE_BYTES_MAX], head [YARD_TIME_TEXT_SIZE + ACTOR_BYTES_MAX + 32],
        time [YARD_TIME_TEXT_SIZE];
    va_list arguments;
    va_start (arguments, format);
    int size = vsnprintf (fields, sizeof fields, format, arguments);
    va_end (arguments);
    if (size < 0)
        fields [0] = 0;
    yard_time_text (yard_clock_wall_ms (yard_clock_system ()), time);
    snprintf (head, sizeof head, "%s %-5s %s[%d] ", time, level_words [level], spoken.actor, (int) getpid ());

    char line [LINE_BYTES_MAX];
    size_t used = 0,
           size_max = sizeof line - sizeof cut_mark; /* the mark, and the newline in place of its 0 */
    bool whole = append_escaped (line, &used, size_max, head, "") &&
                 append_escaped (line, &used, size_max, event, "") &&
                 (!fields [0] || (append_escaped (line, &used, size_max, " ", "") &&
                                  append_escaped (line, &used, size_max, fields, "")));
    if (!whole || size >= (int) sizeof fields) {
        memcpy (line + used, cut_mark, sizeof cut_mark - 1);
        used += sizeof cut_mark - 1;
    }
    line [used++] = '\n';
    /* Nobody is left to tell when stderr is gone. */
    ssize_t written = write (STDERR_FILENO, line, used);
    (void) written;
    errno = saved_errno;
}
