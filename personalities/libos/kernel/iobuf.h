/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef IOBUF_H
#define IOBUF_H

#include "libos.h"

/*
 * Where things lie in the 2 KiB of a buffer, which starts with its struct iobuf: the device's header is placed so that
 * the IP header behind the 14 bytes of Ethernet is aligned. The device's header opens the descriptor.
 */
#define IOBUF_VNET_AT 134u
#define IOBUF_FRAME_AT (IOBUF_VNET_AT + 12)
#define IOBUF_PAYLOAD_AT (IOBUF_FRAME_AT + 14 + 20 + 8)

_Static_assert(sizeof(struct iobuf) <= IOBUF_VNET_AT, "the header must fit in front");
_Static_assert((IOBUF_FRAME_AT + 14) % 16 == 0, "IP header alignment");
_Static_assert(IOBUF_PAYLOAD_AT + UDP_MAX_PAYLOAD <= IOBUF_SIZE, "a full frame must fit");

void iobuf_init(void);

static inline struct iobuf *iobuf_of(const void *inside)
{
    return (struct iobuf *)((uint64_t)inside & ~(uint64_t)(IOBUF_SIZE - 1));
}

#endif
