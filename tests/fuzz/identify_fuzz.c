// SPDX-License-Identifier: Apache-2.0
/*  identify_fuzz.c - any header of a safetensors file through the parser and all rules: a verdict in which nothing
 *  had to be made harmless
 *
 *  The first four bytes say how many bytes of tensors follow the header, the rest is its JSON. Its first bytes
 *  are also the file's name.
 */
#include <assert.h>
#include "actors/formats/safetensors.h"
#include "actors/prober/identify.h"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

#define NAME_SIZE 64
#define PREFIX 8 /* the length in front of the header */

static void check_verdict (const prober_verdict_t *verdict)
{
    prober_verdict_t disarmed = *verdict;
    prober_verdict_disarm (&disarmed);
    assert (verdict->code == 0 && verdict->score <= 100);
    assert (verdict->score == disarmed.score && verdict->upcast_attention == disarmed.upcast_attention);
    assert (strcmp (verdict->type, disarmed.type) == 0 && strcmp (verdict->base, disarmed.base) == 0);
    assert (strcmp (verdict->format, disarmed.format) == 0 && strcmp (verdict->rule, disarmed.rule) == 0);
    assert (strcmp (verdict->evidence, disarmed.evidence) == 0);
    assert (strcmp (verdict->description, disarmed.description) == 0);
    assert (strcmp (verdict->name, disarmed.name) == 0);
    assert (verdict->type [0] && verdict->evidence [0]);
    assert (verdict->name [0] && verdict->name [0] != '.' && verdict->name [0] != '-' &&
            !strchr (verdict->name, '/'));
    assert ((verdict->score == 0) == (strcmp (verdict->type, "unknown") == 0));
}

static void identify (const yard_tensors_t *tensors, const uint8_t *json, size_t size)
{
    char name [NAME_SIZE] = "";
    memcpy (name, json, size < NAME_SIZE - 1 ? size : NAME_SIZE - 1);
    static const char *const usual = "model.safetensors";
    prober_verdict_t first, second;
    prober_identify (&(prober_subject_t){ tensors, name }, &first);
    check_verdict (&first);
    prober_identify (&(prober_subject_t){ tensors, usual }, &first);
    check_verdict (&first);
    prober_identify (&(prober_subject_t){ tensors, usual }, &second);
    assert (strcmp (first.type, second.type) == 0 && first.score == second.score);
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    if (size < 4)
        return 0;
    uint64_t rest =
        data [0] | (uint64_t) data [1] << 8 | (uint64_t) data [2] << 16 | (uint64_t) data [3] << 24;
    size_t json_size = size - 4;
    char *header = malloc (PREFIX + json_size);
    assert (header);
    for (int at = 0; at < PREFIX; at++)
        header [at] = (char) ((uint64_t) json_size >> (8 * at));
    memcpy (header + PREFIX, data + 4, json_size);
    yard_tensors_t tensors;
    uint64_t file_size = PREFIX + json_size + rest, needed;
    if (yard_safetensors_header_size (header, file_size, &needed, NULL) == 0 &&
        needed <= PREFIX + json_size &&
        yard_safetensors_parse (header, needed, file_size, &tensors, NULL) == 0) {
        identify (&tensors, data + 4, json_size);
        yard_tensors_clear (&tensors);
    }
    free (header);
    return 0;
}
