/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef ETH_H
#define ETH_H

#include "libos.h"

#define ETH_TYPE_IP 0x0800
#define ETH_TYPE_ARP 0x0806

struct eth_header {
    uint8_t to[6];
    uint8_t from[6];
    uint16_t type;
} __attribute__((packed));

/* Takes a received frame over, whatever it holds. */
void eth_input(struct iobuf *frame);

/* Puts the header in front and sends. */
void eth_output(struct iobuf *packet, const uint8_t to[6], uint16_t type);

/* Whether the device completes transport checksums. */
void eth_set_offload(bool offload);
bool eth_offload(void);

#endif
