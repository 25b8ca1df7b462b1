// SPDX-License-Identifier: Apache-2.0
/*  load_words.h - the words of `modelyard load` and `modelyard pin`
 */
#ifndef MODELYARD_LOAD_WORDS_H
#define MODELYARD_LOAD_WORDS_H

#include "invocation.h"

typedef struct {
    const char *word, *path;
    load_model_ask_t ask;
    uint64_t ttl_s; /* 0: until it is released */
    bool estimate, prefetch, pin;
    char real_path [PATH_MAX];
} load_words_t;

/*  Their input is a load_words_t whose ask is initialized. What contradicts itself is a mistake of usage. */
extern const struct argp load_argp, pin_argp;

#endif
