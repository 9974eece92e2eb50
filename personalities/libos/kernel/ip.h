/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef IP_H
#define IP_H

#include "libos.h"
#include "eth.h"

#define IP_PROTOCOL_ICMP 1
#define IP_PROTOCOL_UDP 17

struct ip_header {
    uint8_t version_length;
    uint8_t service;
    uint16_t total_length;
    uint16_t id;
    uint16_t fragment;
    uint8_t time_to_live;
    uint8_t protocol;
    uint16_t checksum;
    uint32_t from;
    uint32_t to;
} __attribute__((packed));

void ip_init(void);
void ip_input(struct iobuf *packet, const struct eth_header *eth);      /* takes it over */

/* Puts the header in front and sends, to `mac` if that is not all zero, else by route and ARP. Takes it over. */
void ip_output(struct iobuf *segment, uint8_t protocol, uint32_t to, const uint8_t mac[6]);

/* Ones' complement sum (RFC 1071) of `size` bytes, added to `sum`; not folded. */
uint64_t ip_sum(const void *bytes, uint32_t size, uint64_t sum);
uint16_t ip_fold(uint64_t sum);         /* to 16 bits; complement it to get the checksum */
uint64_t ip_pseudo_sum(uint32_t from, uint32_t to, uint8_t protocol, uint16_t length);

#endif
