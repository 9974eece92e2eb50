/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef ARP_H
#define ARP_H

#include "libos.h"

void arp_init(void);
void arp_input(struct iobuf *packet);       /* only looks at it */

/* Sends an IP packet to its next hop on the link, once that one's address is known. Takes the packet over. */
void arp_output(struct iobuf *packet, uint32_t next_hop);

#endif
