/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The loopback device: what is sent is received, on the same vCPU. */
#include "defs.h"
#include "net.h"

static struct net_device lo;

static int lo_xmit(struct net_device *dev, struct qdisc *q, struct skb *skb)
{
    skb_orphan(skb); /* it is the receiver's now */
    route_put(skb->dst);
    skb->dst = NULL;
    skb->csum_mode = CSUM_UNNECESSARY;
    netif_rx(skb);
    return 0;
}

struct net_device *lo_dev(void) { return &lo; }

void lo_init(void)
{
    lo = (struct net_device){ .name = "lo", .mtu = 65536 - 256, .addr = htonl(0x7f000001), .mask = htonl(0xff000000),
                              .tx_csum = true, .xmit = lo_xmit };
    fib_add(htonl(0x7f000000), 8, ROUTE_LOCAL, 0, 0, &lo);
}
