// SPDX-License-Identifier: Apache-2.0
/*  identify.h - what model is this? from tensor names, shapes, metadata and the file's name
 *
 *  Every family of rules is one file, rules_<family>.c, with a table of its own; adding a family is adding
 *  such a file and its line in identify.c. Families are asked in that order, each answers a score, the
 *  highest wins, the earlier of equals: so the same file gets the same verdict always. Nothing is read but
 *  the list; nothing is executed.
 *
 *  The facts behind the rules (which key tells which base) are those of InvokeAI's configs/ and of the
 *  published models' own headers; where ours differ the rule says so.
 */
#ifndef YARD_PROBER_IDENTIFY_H
#define YARD_PROBER_IDENTIFY_H

#include "actors/formats/tensor.h"
#include "actors/prober/verdict.h"

/*  What a family looks at. */
typedef struct {
    const yard_tensors_t *tensors;
    const char *file_name; /* without folders */
} prober_subject_t;

/*  A family that claims the file fills verdict and returns its score. One that nearly would have writes why
 *  it does not to verdict->evidence and returns 0; one that has nothing to do with it writes nothing. verdict
 *  comes initialised, one to each family. */
typedef struct {
    const char *word;
    uint32_t (*claim) (const prober_subject_t *subject, prober_verdict_t *verdict);
} prober_family_t;

extern const prober_family_t prober_family_main, prober_family_lora, prober_family_vae;

/*  Fills verdict with the winner's, or with `unknown` and why; then name and description. */
void prober_identify (const prober_subject_t *subject, prober_verdict_t *verdict);

/*  The default name of a record: the file's name without a model file's ending, bytes outside [A-Za-z0-9._-]
 *  as `_`, without leading dots and dashes, at most 100 bytes, never empty. ret_name [PROBER_NAME_SIZE]. */
void prober_default_name (const char *file_name, char *ret_name);

/*  For the rules. */
bool prober_contains (yard_string_t text, const char *part);
bool prober_ends (yard_string_t text, const char *ending);
bool prober_name_has (const char *file_name, const char *part); /* without regard to case */

/*  "key" has shape [2, 3]: into ret_text, for evidence. */
#define PROBER_SHOWN_SIZE (YARD_NAME_TEXT_SIZE + 160)
void prober_show (const yard_tensor_t *tensor, char *ret_text);

#endif
