// SPDX-License-Identifier: Apache-2.0
/*  address.h - is this the address of a public machine?
 *
 *  A model's URL is hostile: it may point at this machine, at the cloud's metadata service or at a printer. What counts is the address that a
 *  socket is connected to, since a name may resolve to something else a second later. Everything that is not known to be
 *  private is public.
 */
#ifndef YARD_DOWNLOADER_ADDRESS_H
#define YARD_DOWNLOADER_ADDRESS_H

#include <sys/socket.h>

/*  What makes it private ("loopback", "link-local" …), a constant; NULL for a public address. Families other than IPv4 and IPv6 are private. */
const char *downloader_address_private (const struct sockaddr *address);

/*  The same of an address as text; what is no address is "unreadable". */
const char *downloader_address_private_text (const char *text);

#endif
