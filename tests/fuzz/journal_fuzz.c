// SPDX-License-Identifier: Apache-2.0
/*  journal_fuzz.c - any bytes as a download's journal: no proof beyond the file, no suffix that leaves the folder
 *
 *  Checksums keep a fuzzer out, so the first byte says what is made right before it is read: bit 0 the head's,
 *  the other bits the checks of so many records. What stands before a torn tail must stay true: the bytes are
 *  read a second time, cut.
 */
#include <assert.h>
#include "actors/downloader/journal.h"
#include "actors/ground/digest.h"

#define HEAD DOWNLOADER_JOURNAL_HEAD_BYTES
#define RECORD DOWNLOADER_JOURNAL_RECORD_BYTES

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void put_check (uint8_t *at, uint32_t check)
{
    for (int i = 0; i < 4; i++)
        at [i] = (uint8_t) (check >> (8 * i));
}

static void make_right (uint8_t *bytes, size_t size, uint8_t choice)
{
    if (size < HEAD || choice % 2 == 0)
        return;
    uint32_t check = yard_crc32c (0, bytes, HEAD - 4);
    put_check (bytes + HEAD - 4, check);
    for (size_t at = HEAD, rest = choice / 2; rest && size - at >= RECORD; at += RECORD, rest--) {
        check = yard_crc32c (check, bytes + at, RECORD - 4);
        put_check (bytes + at + RECORD - 4, check);
    }
}

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    size_t count = size - 1;
    uint8_t *bytes = malloc (count + !count); /* of exactly their size, so that one byte more is an error */
    assert (bytes);
    memcpy (bytes, data + 1, count);
    make_right (bytes, count, data [0]);
    downloader_journal_head_t head;
    downloader_proof_t proof, earlier;
    if (downloader_journal_parse (bytes, count, &head, &proof)) {
        assert (proof.bytes <= head.size);
        assert (memchr (head.suffix, 0, sizeof head.suffix) &&
                memchr (head.validator, 0, sizeof head.validator));
        assert (strncmp (head.suffix, ".part", 5) == 0 && !strchr (head.suffix, '/'));
        bool cut = downloader_journal_parse (bytes, HEAD + (count - HEAD) / 2, &head, &earlier);
        assert (cut && earlier.bytes <= proof.bytes);
    } else {
        assert (proof.bytes == 0 && proof.crc == 0);
    }
    free (bytes);
    return 0;
}
