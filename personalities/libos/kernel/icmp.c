/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ICMP echo: the request's buffer becomes the answer. */
#include "icmp.h"
#include "byteorder.h"

#define ICMP_ECHO_REPLY 0
#define ICMP_ECHO 8

struct icmp_header {
    uint8_t type;
    uint8_t code;
    uint16_t checksum;
} __attribute__((packed));

void icmp_input(struct iobuf *message, const struct ip_header *ip, const struct eth_header *eth)
{
    struct icmp_header *icmp = (struct icmp_header *)message->data;
    uint32_t to = ip->from;
    uint8_t mac[6];

    if (message->len < sizeof(*icmp) || icmp->type != ICMP_ECHO || icmp->code != 0 ||
        ip_fold(ip_sum(icmp, message->len, 0)) != 0xFFFF) {
        iobuf_free(message);
        return;
    }
    memcpy(mac, eth->from, 6);          /* the headers are about to be written over */
    icmp->type = ICMP_ECHO_REPLY;
    icmp->checksum = 0;
    icmp->checksum = (uint16_t)~ip_fold(ip_sum(icmp, message->len, 0));
    message->flags = 0;
    ip_output(message, IP_PROTOCOL_ICMP, to, mac);
}
