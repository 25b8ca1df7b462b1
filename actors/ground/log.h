// SPDX-License-Identifier: Apache-2.0
/*  log.h - one line per event: a stable name, then fields
 *
 *      2026-11-21T22:17:51.123Z info  recorder[412] lease.expired job=7 worker=w2
 *
 *  To stderr, in one write. Control bytes are escaped, a line is at most 4 KiB, and a value with spaces comes
 *  in quotes if the caller uses %s with YARD_QUOTED. Levels: error = somebody must act; warning = we coped,
 *  look at it; info = state changes an operator wants; debug = for us.
 */
#ifndef YARD_GROUND_LOG_H
#define YARD_GROUND_LOG_H

typedef enum {
    YARD_LOG_ERROR,
    YARD_LOG_WARNING,
    YARD_LOG_INFO,
    YARD_LOG_DEBUG
} yard_log_level_t;

/*  The one global of the process: how much is said, and who says it. */
void yard_log_open (const char *actor, yard_log_level_t level);
int yard_log_level_from (const char *word); /* error warning info debug; -1 for none of them */

void yard_log (yard_log_level_t level, const char *event, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));

/*  A value for %s, in quotes if it has spaces or is empty: yard_log_info ("job.failed", "text=%s",
 *  YARD_QUOTED (text)). The value lives as long as the block around the call, and is cut after about
 *  YARD_LOG_QUOTED_SIZE bytes. */
#define YARD_LOG_QUOTED_SIZE 1024
#define YARD_QUOTED(text) yard_log_quoted ((char [YARD_LOG_QUOTED_SIZE]){ 0 }, text)
const char *yard_log_quoted (char *buffer, const char *text);

#define yard_log_error(event, ...) yard_log (YARD_LOG_ERROR, event, __VA_ARGS__)
#define yard_log_warning(event, ...) yard_log (YARD_LOG_WARNING, event, __VA_ARGS__)
#define yard_log_info(event, ...) yard_log (YARD_LOG_INFO, event, __VA_ARGS__)
#define yard_log_debug(event, ...) yard_log (YARD_LOG_DEBUG, event, __VA_ARGS__)

#endif
