/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef VIRTIO_NET_H
#define VIRTIO_NET_H

#include "libos.h"

/* Finds the network device, if there is one, and starts its queues. */
void virtio_net_init(void);

/*
 * Sends a whole Ethernet frame, which it takes over. By the queue of this vCPU, or through the vCPU that has one. The
 * device hears of it when the frame or event being handled is done.
 */
void virtio_net_transmit(struct iobuf *frame);

extern uint8_t virtio_net_mac[6];

#endif
