/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ethernet II. */
#include "eth.h"
#include "arp.h"
#include "byteorder.h"
#include "cpu.h"
#include "ip.h"
#include "virtio_net.h"

static bool eth_has_offload;

void eth_set_offload(bool offload)
{
    eth_has_offload = offload;
}

bool eth_offload(void)
{
    return eth_has_offload;
}

void eth_input(struct iobuf *frame)
{
    struct eth_header *eth = (struct eth_header *)frame->data;

    if (likely(frame->len >= sizeof(*eth))) {
        /* Ours, or a group address (ARP): a promiscuous device shows others' too. */
        bool for_us = memcmp(eth->to, virtio_net_mac, 6) == 0 || eth->to[0] & 1;
        uint16_t type = swap16(eth->type);

        iobuf_pull(frame, sizeof(*eth));
        if (likely(for_us && type == ETH_TYPE_IP)) {
            ip_input(frame, eth);
            return;
        }
        if (for_us && type == ETH_TYPE_ARP)
            arp_input(frame);
    }
    iobuf_free(frame);
}

void eth_output(struct iobuf *packet, const uint8_t to[6], uint16_t type)
{
    struct eth_header *eth = (struct eth_header *)iobuf_push(packet, sizeof(*eth));

    memcpy(eth->to, to, 6);
    memcpy(eth->from, virtio_net_mac, 6);
    eth->type = swap16(type);
    virtio_net_transmit(packet);
}
