// SPDX-License-Identifier: Apache-2.0
/*  hash_test.c - content hashes of files (R4.2, R1.1) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include "actors/ground/durable.h"
#include "actors/prober/hash.h"

/*  The bytes of imohash's published vectors: md5 of "A", "AA", "AAA" …, one after the other. */
static void fill (uint8_t *bytes, size_t size)
{
    EVP_MD_CTX *running = EVP_MD_CTX_new (), *one = EVP_MD_CTX_new ();
    EVP_DigestInit_ex (running, EVP_md5 (), NULL);
    for (size_t at = 0; at < size; at += 16) {
        uint8_t digest [16];
        EVP_DigestUpdate (running, "A", 1);
        EVP_MD_CTX_copy_ex (one, running);
        EVP_DigestFinal_ex (one, digest, NULL);
        memcpy (bytes + at, digest, size - at < 16 ? size - at : 16);
    }
    EVP_MD_CTX_free (running);
    EVP_MD_CTX_free (one);
}

static void hash_of (size_t size, hash_algorithm_t algorithm, char *ret_text)
{
    char path [] = "/tmp/hash_XXXXXX";
    int file = mkstemp (path);
    assert_true (file >= 0);
    close (file);
    uint8_t *bytes = malloc (size + 1);
    fill (bytes, size);
    assert_int_equal (yard_durable_write (path, bytes, size, 0600, NULL), 0);
    uint64_t measured;
    yard_error_t error = { 0 };
    if (prober_hash_file (path, algorithm, ret_text, &measured, &error))
        fail_msg ("%s", error.text);
    assert_int_equal (measured, size);
    unlink (path);
    free (bytes);
}

/* R4.2; the vectors are those of imohash's own tests, and of its Python port */
static void imohash_gives_the_published_values (void **state)
{
    (void) state;
    static const struct {
        size_t size;
        const char *hash;
    } vectors [] = {
        { 0, "imohash:00000000000000000000000000000000" },
        { 1, "imohash:01659e2ec0f3c75bf39e43a41adb5d4f" },
        { 127, "imohash:7f47671cc79d4374404b807249f3166e" },
        { 128, "imohash:800183e5dbea2e5199ef7c8ea963a463" },
        { 4095, "imohash:ff1f770d90d3773949d89880efa17e60" },
        { 4096, "imohash:802048c26d66de432dbfc71afca6705d" },
        { 131071, "imohash:ffff0780ee421291ef1a884e67043b3f" },
        { 131072, "imohash:8080085a3d3af2cb4b3a957811cdf370" },
        { 500000, "imohash:a0c21e44a0ba3bddee802a9d1c5332ca" },
    };
    for (size_t i = 0; i < sizeof vectors / sizeof vectors [0]; i++) {
        char text [PROBER_HASH_TEXT_SIZE];
        hash_of (vectors [i].size, hash_algorithm_imohash, text);
        assert_string_equal (text, vectors [i].hash);
    }
}

/* R4.2 */
static void sha256_covers_the_whole_file (void **state)
{
    (void) state;
    char text [PROBER_HASH_TEXT_SIZE];
    hash_of (0, hash_algorithm_sha256, text);
    assert_string_equal (text, "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void folders_devices_and_missing_files_are_refused (void **state)
{
    (void) state;
    char text [PROBER_HASH_TEXT_SIZE];
    uint64_t bytes;
    assert_int_equal (prober_hash_file ("/tmp", hash_algorithm_imohash, text, &bytes, NULL),
                      YARD_INVALID_SOURCE);
    assert_int_equal (prober_hash_file ("/dev/zero", hash_algorithm_sha256, text, &bytes, NULL),
                      YARD_INVALID_SOURCE);
    assert_int_equal (prober_hash_file ("/nonexistent", hash_algorithm_imohash, text, &bytes, NULL),
                      YARD_NOT_FOUND);
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (imohash_gives_the_published_values),
        cmocka_unit_test (sha256_covers_the_whole_file),
        cmocka_unit_test (folders_devices_and_missing_files_are_refused),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
