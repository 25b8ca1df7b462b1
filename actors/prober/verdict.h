// SPDX-License-Identifier: Apache-2.0
/*  verdict.h - what the prober says of one file
 *
 *  Plain memory of one size, without a pointer: it crosses from the sandbox, whose word is not trusted, as
 *  one datagram. Words are those of the records (InvokeAI's taxonomy: `main`, `sd-1`, `checkpoint` …); an
 *  empty word means "not said".
 */
#ifndef YARD_PROBER_VERDICT_H
#define YARD_PROBER_VERDICT_H

#include <stddef.h>
#include <stdint.h>
#include "actors/ground/error.h"

#define PROBER_WORD_SIZE 32 /* the longest word of the taxonomy has 24 */
#define PROBER_NAME_SIZE 101 /* a record's name has at most 100 bytes (ARCHITECTURE 6) */
#define PROBER_DESCRIPTION_SIZE 160
#define PROBER_EVIDENCE_SIZE YARD_ERROR_TEXT_MAX

typedef struct {
    int32_t code; /* 0: looked at, the rest is set; else a code of errors.def, and evidence is its sentence */
    uint32_t score; /* 0..100: how sure; 0 with type `unknown` */
    int32_t upcast_attention; /* 1, 0, or -1: not said */
    char type [PROBER_WORD_SIZE]; /* `unknown` when no rule claims the file */
    char base [PROBER_WORD_SIZE];
    char format [PROBER_WORD_SIZE];
    char variant [PROBER_WORD_SIZE];
    char prediction_type [PROBER_WORD_SIZE];
    char rule [PROBER_WORD_SIZE]; /* the rule that decided, a stable word: `main.sd1.checkpoint` */
    char name [PROBER_NAME_SIZE]; /* for the record, from the file's name */
    char description [PROBER_DESCRIPTION_SIZE];
    char evidence
        [PROBER_EVIDENCE_SIZE]; /* the key and shape that decided; of an unknown file: why none did */
} prober_verdict_t;

void prober_verdict_init (prober_verdict_t *self);

/*  A verdict that is a failure: code and sentence. */
void prober_verdict_fail (prober_verdict_t *self, const yard_error_t *error);

/*  Type `unknown`, with why. The words a rule may have written are gone. */
void prober_verdict_unknown (prober_verdict_t *self, const char *format, ...)
    __attribute__ ((format (printf, 2, 3)));

/*  Copies into a fixed array, cutting what does not fit. */
void prober_verdict_write (char *field, size_t size, const char *format, ...)
    __attribute__ ((format (printf, 3, 4)));
#define PROBER_WRITE(field, ...) prober_verdict_write ((field), sizeof (field), __VA_ARGS__)

/*  Makes a verdict from an untrusted process harmless: codes and score in range, texts ended and of printable
 *  ASCII. */
void prober_verdict_disarm (prober_verdict_t *self);

#endif
