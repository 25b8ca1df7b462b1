// SPDX-License-Identifier: Apache-2.0
/*  digest_test.c - sha256 by FIPS 180-4's examples, crc32c by RFC 3720's
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "actors/ground/digest.h"

static void sha256_of_known_texts (void **state)
{
    (void) state;
    const struct {
        const char *text, *hex;
    } rows [] = {
        { "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
        { "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char hex [YARD_SHA256_HEX_SIZE];
        yard_sha256_t *sha256 = yard_sha256_new ();
        yard_sha256_update (sha256, rows [i].text, strlen (rows [i].text));
        yard_sha256_hex (sha256, hex);
        assert_string_equal (hex, rows [i].hex);
        yard_sha256_destroy (&sha256);
        assert_null (sha256);
        yard_sha256_destroy (&sha256);
    }
}

static void sha256_in_pieces_is_the_sha256_of_the_whole (void **state)
{
    (void) state;
    /* FIPS 180-4: a million times "a". */
    char piece [1000], hex [YARD_SHA256_HEX_SIZE];
    memset (piece, 'a', sizeof piece);
    yard_sha256_t *sha256 = yard_sha256_new ();
    for (int i = 0; i < 1000; i++) {
        yard_sha256_update (sha256, piece, 1);
        yard_sha256_update (sha256, piece, 0);
        yard_sha256_update (sha256, piece, sizeof piece - 1);
    }
    yard_sha256_hex (sha256, hex);
    assert_string_equal (hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    yard_sha256_destroy (&sha256);
}

static void crc32c_of_known_bytes (void **state)
{
    (void) state;
    unsigned char bytes [32];
    assert_int_equal (yard_crc32c (0, "123456789", 9), 0xe3069283);
    assert_int_equal (yard_crc32c (0, "", 0), 0);
    /* RFC 3720 B.4: 32 bytes of 0, of 1 bits, counting up, counting down. */
    memset (bytes, 0, sizeof bytes);
    assert_int_equal (yard_crc32c (0, bytes, sizeof bytes), 0x8a9136aa);
    memset (bytes, 0xff, sizeof bytes);
    assert_int_equal (yard_crc32c (0, bytes, sizeof bytes), 0x62a8ab43);
    for (unsigned char i = 0; i < 32; i++)
        bytes [i] = i;
    assert_int_equal (yard_crc32c (0, bytes, sizeof bytes), 0x46dd794e);
    for (unsigned char i = 0; i < 32; i++)
        bytes [i] = (unsigned char) (31 - i);
    assert_int_equal (yard_crc32c (0, bytes, sizeof bytes), 0x113fdb5c);
}

static void crc32c_chains_at_every_cut (void **state)
{
    (void) state;
    char text [200];
    for (size_t i = 0; i < sizeof text; i++)
        text [i] = (char) (i * 7);
    uint32_t whole = yard_crc32c (0, text, sizeof text);
    for (size_t cut = 0; cut <= sizeof text; cut++) {
        uint32_t first = yard_crc32c (0, text, cut);
        assert_int_equal (yard_crc32c (first, text + cut, sizeof text - cut), whole);
    }
}

static void hex_writes_two_digits_a_byte (void **state)
{
    (void) state;
    char text [9];
    yard_hex ("\x00\x7f\xff\x0a", 4, text);
    assert_string_equal (text, "007fff0a");
    yard_hex (text, 0, text);
    assert_string_equal (text, "");
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (sha256_of_known_texts),
        cmocka_unit_test (sha256_in_pieces_is_the_sha256_of_the_whole),
        cmocka_unit_test (crc32c_of_known_bytes),
        cmocka_unit_test (crc32c_chains_at_every_cut),
        cmocka_unit_test (hex_writes_two_digits_a_byte),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
