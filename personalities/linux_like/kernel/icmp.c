/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ICMP: echo is answered, the rest is dropped. RFC 792. */
#include "defs.h"
#include "net.h"

struct icmp_hdr { u8 type, code; u16 csum; u32 rest; } __attribute__((packed));

/* data at the ICMP header. */
void icmp_rcv(struct skb *skb, u32 saddr, u32 daddr)
{
    struct icmp_hdr *h = (struct icmp_hdr *)skb->data;
    if (skb->len >= sizeof *h && h->type == 8 && !csum_fold(csum_partial(h, skb->len, 0)) && ip_is_local(daddr)) {
        struct route *to = fib_lookup_get(saddr);
        struct skb *r = to ? skb_alloc(skb->len, TX_HEADROOM) : NULL;
        if (to && !r)
            route_put(to);
        if (r) {
            memcpy(r->data, skb->data, skb->len);
            r->len = skb->len;
            struct icmp_hdr *out = (struct icmp_hdr *)r->data;
            out->type = 0;
            out->csum = 0;
            out->csum = csum_fold(csum_partial(out, r->len, 0));
            ip_output(r, to, daddr, saddr, IPPROTO_ICMP);
        }
    }
    skb_free(skb);
}
