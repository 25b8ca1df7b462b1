// SPDX-License-Identifier: Apache-2.0
/*  address_test.c - public or not, in every spelling
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>
#include "actors/downloader/address.h"

static void private_addresses_are_told_by_name (void **state)
{
    (void) state;
    static const struct {
        const char *text, *name;
    } cases [] = {
        { "0.0.0.0", "unspecified" },
        { "0.1.2.3", "unspecified" },
        { "10.0.0.1", "private" },
        { "10.255.255.255", "private" },
        { "100.64.0.1", "carrier-grade NAT" },
        { "100.127.255.255", "carrier-grade NAT" },
        { "127.0.0.1", "loopback" },
        { "127.255.0.1", "loopback" },
        { "169.254.169.254", "link-local" },
        { "172.16.0.1", "private" },
        { "172.31.255.255", "private" },
        { "192.0.0.8", "reserved" },
        { "192.168.0.1", "private" },
        { "198.18.0.1", "benchmarking" },
        { "198.19.255.255", "benchmarking" },
        { "224.0.0.1", "multicast" },
        { "239.255.255.250", "multicast" },
        { "240.0.0.1", "reserved" },
        { "255.255.255.255", "reserved" },
        { "::", "unspecified" },
        { "::1", "loopback" },
        { "0:0:0:0:0:0:0:1", "loopback" },
        { "fe80::1", "link-local" },
        { "febf::1", "link-local" },
        { "fec0::1", "site-local" },
        { "fc00::1", "unique local" },
        { "fd12:3456::1", "unique local" },
        { "ff02::1", "multicast" },
        { "2001:db8::1", "documentation" },
        { "::127.0.0.1", "loopback" },
        { "::ffff:127.0.0.1", "loopback" },
        { "::ffff:7f00:1", "loopback" },
        { "::ffff:10.1.2.3", "private" },
        { "::ffff:169.254.169.254", "link-local" },
        { "::ffff:0:127.0.0.1", "loopback" },
        { "64:ff9b::127.0.0.1", "loopback" },
        { "64:ff9b::a00:1", "private" },
        { "64:ff9b:1::1", "local NAT64" },
        { "2002:7f00:1::", "loopback" },
        { "2002:c0a8:101::1", "private" },
        { "2002:a9fe:a9fe::", "link-local" },
        { "2001:0:7f00:1::1", "loopback" },
        { "2001:0:5db8:d822:0:0:80ff:fffe", "loopback" },
        { "2a00:1450::5efe:10.0.0.1", "private" },
        { "2a00:1450::200:5efe:127.0.0.1", "loopback" },
        { "127.0.0.1 ", "unreadable" },
        { "localhost", "unreadable" },
        { "", "unreadable" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases [0]; i++) {
        const char *name = downloader_address_private_text (cases [i].text);
        if (!name)
            fail_msg ("%s is called public", cases [i].text);
        assert_string_equal (name, cases [i].name);
    }
    assert_string_equal (downloader_address_private_text (NULL), "unreadable");
}

static void public_addresses_are_public (void **state)
{
    (void) state;
    static const char *const cases [] = {
        "1.1.1.1",          "8.8.8.8",         "9.255.255.255",           "11.0.0.0",
        "100.63.255.255",   "100.128.0.0",     "126.255.255.255",         "128.0.0.1",
        "169.253.255.255",  "169.255.0.0",     "172.15.255.255",          "172.32.0.0",
        "192.167.255.255",  "192.169.0.0",     "198.17.255.255",          "198.20.0.0",
        "223.255.255.255",  "2606:4700::1111", "2a00:1450:4001::1",       "::ffff:8.8.8.8",
        "64:ff9b::808:808", "2002:808:808::1", "2a00:1450::5efe:8.8.8.8",
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases [0]; i++)
        if (downloader_address_private_text (cases [i]))
            fail_msg ("%s is called %s", cases [i], downloader_address_private_text (cases [i]));
}

static void the_socket_s_own_address_is_judged_alike (void **state)
{
    (void) state;
    struct sockaddr_in four = { .sin_family = AF_INET };
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    struct sockaddr_un local = { .sun_family = AF_UNIX };
    four.sin_addr.s_addr = htonl (INADDR_LOOPBACK);
    assert_string_equal (downloader_address_private ((struct sockaddr *) &four), "loopback");
    four.sin_addr.s_addr = htonl (0x08080808);
    assert_null (downloader_address_private ((struct sockaddr *) &four));
    assert_string_equal (downloader_address_private ((struct sockaddr *) &six), "loopback");
    assert_non_null (downloader_address_private ((struct sockaddr *) &local));
}

int main (void)
{
    const struct CMUnitTest tests [] = {
        cmocka_unit_test (private_addresses_are_told_by_name),
        cmocka_unit_test (public_addresses_are_public),
        cmocka_unit_test (the_socket_s_own_address_is_judged_alike),
    };
    return cmocka_run_group_tests (tests, NULL, NULL);
}
