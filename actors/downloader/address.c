// SPDX-License-Identifier: Apache-2.0
/*  address.c - the prefixes that are not the public internet, and the IPv4 addresses that hide in IPv6
 *
 *  Source: the IANA special-purpose registries for IPv4 and IPv6 (RFC 6890 and what came after it). Global anycast such as
 *  192.88.99.0/24 is refused too: nobody serves models there.
 */
#include "address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint8_t bytes [16];
    unsigned bits;
    const char *name;
} prefix_t;

static const prefix_t prefixes_4 [] = {
    { { 0 }, 8, "unspecified" },
    { { 10 }, 8, "private" },
    { { 100, 64 }, 10, "carrier-grade NAT" },
    { { 127 }, 8, "loopback" },
    { { 169, 254 }, 16, "link-local" },
    { { 172, 16 }, 12, "private" },
    { { 192, 0, 0 }, 24, "reserved" },
    { { 192, 0, 2 }, 24, "documentation" },
    { { 192, 88, 99 }, 24, "6to4 relay" },
    { { 192, 168 }, 16, "private" },
    { { 198, 18 }, 15, "benchmarking" },
    { { 198, 51, 100 }, 24, "documentation" },
    { { 203, 0, 113 }, 24, "documentation" },
    { { 224 }, 4, "multicast" },
    { { 240 }, 4, "reserved" },
};

static const prefix_t prefixes_6 [] = {
    { { 0 }, 128, "unspecified" },
    { { [15] = 1 }, 128, "loopback" },
    { { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 }, 48, "local NAT64" },
    { { 0x01 }, 64, "discard" },
    { { 0x20, 0x01, 0x00, 0x02 }, 48, "benchmarking" },
    { { 0x20, 0x01, 0x0d, 0xb8 }, 32, "documentation" },
    { { 0x3f, 0xff }, 20, "documentation" },
    { { 0x5f }, 16, "segment routing" },
    { { 0xfc }, 7, "unique local" },
    { { 0xfe, 0x80 }, 10, "link-local" },
    { { 0xfe, 0xc0 }, 10, "site-local" },
    { { 0xff }, 8, "multicast" },
};

/*  Where IPv6 carries an IPv4 address that a gateway would send to. */
typedef struct {
    uint8_t bytes [16];
    unsigned bits;
    unsigned at; /* first byte of the IPv4 address */
    uint8_t inverted; /* Teredo keeps the client's address with all bits flipped */
} embedding_t;

static const embedding_t embeddings [] = {
    { { 0 }, 96, 12, 0 }, /* v4-compatible, ::a.b.c.d */
    { { [10] = 0xff, [11] = 0xff }, 96, 12, 0 }, /* v4-mapped, ::ffff:a.b.c.d */
    { { [8] = 0xff, [9] = 0xff }, 96, 12, 0 }, /* v4-translated, RFC 7915 */
    { { 0x00, 0x64, 0xff, 0x9b }, 96, 12, 0 }, /* NAT64, RFC 6052 */
    { { 0x20, 0x02 }, 16, 2, 0 }, /* 6to4, RFC 3056 */
    { { 0x20, 0x01, 0x00, 0x00 }, 32, 4, 0 }, /* Teredo's server, RFC 4380 */
    { { 0x20, 0x01, 0x00, 0x00 }, 32, 12, 0xff }, /* Teredo's client */
};

static bool within (const uint8_t *address, const uint8_t *prefix, unsigned bits)
{
    for (unsigned at = 0; at < bits; at += 8) {
        unsigned rest = bits - at;
        uint8_t mask = (uint8_t) (rest >= 8 ? 0xff : 0xff << (8 - rest));
        if ((address [at / 8] ^ prefix [at / 8]) & mask)
            return false;
    }
    return true;
}

static const char *find (const prefix_t *prefixes, size_t count, const uint8_t *address)
{
    for (size_t i = 0; i < count; i++)
        if (within (address, prefixes [i].bytes, prefixes [i].bits))
            return prefixes [i].name;
    return NULL;
}

static const char *private_4 (const uint8_t *address)
{
    return find (prefixes_4, sizeof prefixes_4 / sizeof prefixes_4 [0], address);
}

/*  ISATAP (RFC 5214) is told by its interface identifier, not by a prefix: 0000:5efe or 0200:5efe, then the IPv4 address. */
static bool is_isatap (const uint8_t *address)
{
    return (address [8] & 0xfd) == 0 && address [9] == 0 && address [10] == 0x5e && address [11] == 0xfe;
}

static const char *private_6 (const uint8_t *address)
{
    const char *name = find (prefixes_6, sizeof prefixes_6 / sizeof prefixes_6 [0], address);
    for (size_t i = 0; !name && i < sizeof embeddings / sizeof embeddings [0]; i++) {
        const embedding_t *row = &embeddings [i];
        if (!within (address, row->bytes, row->bits))
            continue;
        uint8_t inner [4];
        for (unsigned k = 0; k < 4; k++)
            inner [k] = address [row->at + k] ^ row->inverted;
        name = private_4 (inner);
    }
    if (!name && is_isatap (address))
        name = private_4 (address + 12);
    return name;
}

const char *downloader_address_private (const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return private_4 ((const uint8_t *) &((const struct sockaddr_in *) (const void *) address)->sin_addr);
    if (address->sa_family == AF_INET6)
        return private_6 (((const struct sockaddr_in6 *) (const void *) address)->sin6_addr.s6_addr);
    return "not of the internet";
}

const char *downloader_address_private_text (const char *text)
{
    uint8_t bytes [16];
    if (text && inet_pton (AF_INET, text, bytes) == 1)
        return private_4 (bytes);
    if (text && inet_pton (AF_INET6, text, bytes) == 1)
        return private_6 (bytes);
    return "unreadable";
}
