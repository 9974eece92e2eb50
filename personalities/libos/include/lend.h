/* SPDX-License-Identifier: GPL-2.0-or-later */
/* For Linux programs that are linked into a libos image: the network without Linux's calls, one call at a time. */
#ifndef LEND_H
#define LEND_H

#include "libos.h"

/*
 * The next datagram of a bound UDP socket, as recvfrom() would wait for it, but in the buffer that the device wrote. The buffer is the
 * caller's, to be freed or sent; udp_send() to `from` needs no address resolution. NULL: interrupted, or no such socket. For the
 * program's threads alone.
 */
struct iobuf *socket_lend(int fd, struct udp_peer *from);

#endif
