/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IPv4: one interface, one gateway. Fragments are neither made nor put together: they are counted and dropped. */
#include "defs.h"
#include "net.h"

#define IP_DF 0x4000
#define IP_TTL 64

struct net_device *lo_dev(void);
static u64 ip_bad, ip_fragments;
static u16 ip_id;

static u32 ip_parse(const char *s, const char **end)
{
    u32 a = 0;
    for (int i = 0; i < 4; i++) {
        a = a << 8 | (u32)(strtou64(s, &s) & 255);
        if (i < 3 && *s++ != '.')
            panic("ip: an address on the command line is not of the form a.b.c.d");
    }
    if (end)
        *end = s;
    return htonl(a);
}

/* ip=ADDRESS/BITS gw=ADDRESS, for the Ethernet interface. */
void ip_init(void)
{
    char v[32] = "10.0.2.15/24";
    const char *end;
    if (!eth_dev)
        return;
    cmdline_get("ip", v, sizeof v);
    eth_dev->addr = ip_parse(v, &end);
    u64 bits = *end == '/' ? strtou64(end + 1, NULL) : 24;
    eth_dev->mask = bits ? htonl(0xffffffffu << (32 - MIN(bits, 32ul))) : 0;
    strlcpy(v, "10.0.2.2", sizeof v);
    cmdline_get("gw", v, sizeof v);
    eth_dev->gateway = ip_parse(v, NULL);
}

bool ip_is_local(u32 a) { return (a & 0xff) == 127 || (eth_dev && a == eth_dev->addr); }

/* NULL: no route. */
struct net_device *ip_route(u32 daddr, u32 *saddr, u32 *next_hop)
{
    struct net_device *dev = ip_is_local(daddr) ? lo_dev() : eth_dev;
    if (!dev)
        return NULL;
    *saddr = dev == eth_dev ? dev->addr : daddr;
    *next_hop = dev != eth_dev || daddr == 0xffffffff || !((daddr ^ dev->addr) & dev->mask) ? daddr : dev->gateway;
    return dev;
}

/* data at the IP header. */
void ip_rcv(struct skb *skb)
{
    struct ip_hdr *ip = (struct ip_hdr *)skb->data;
    u32 hlen = (u32)(ip->vihl & 15) * 4;
    if (skb->len < sizeof *ip || ip->vihl >> 4 != 4 || hlen < sizeof *ip || hlen > skb->len || ntohs(ip->len) < hlen ||
        ntohs(ip->len) > skb->len || csum_fold(csum_partial(ip, hlen, 0)))
        goto bad;
    u32 saddr = ip->src, daddr = ip->dst;
    if (ip->frag & htons(0x3fff)) {
        ip_fragments++;
        goto drop;
    }
    if (!ip_is_local(daddr) && daddr != 0xffffffff && daddr != (skb->dev->addr | ~skb->dev->mask))
        goto drop;
    skb->len = ntohs(ip->len); /* Ethernet pads short frames */
    u8 proto = ip->proto;
    skb_pull(skb, hlen);
    if (proto == IPPROTO_UDP)
        udp_rcv(skb, saddr, daddr);
    else if (proto == IPPROTO_ICMP)
        icmp_rcv(skb, saddr, daddr);
    else
        goto drop;
    return;
bad:
    ip_bad++;
drop:
    skb_free(skb);
}

/* data at the transport header. */
void ip_output(struct skb *skb, struct net_device *dev, u32 saddr, u32 daddr, u32 next_hop, u8 proto)
{
    struct ip_hdr *ip = skb_push(skb, sizeof *ip);
    *ip = (struct ip_hdr){ 0x45, 0, htons((u16)skb->len), htons(atomic_add(&ip_id, 1)), htons(IP_DF), IP_TTL, proto, 0, saddr, daddr };
    ip->csum = csum_fold(csum_partial(ip, sizeof *ip, 0));
    skb->dev = dev;
    skb->next_hop = next_hop;
    if (skb->csum_mode == CSUM_PARTIAL)
        skb->csum_start = sizeof(struct eth_hdr) + sizeof *ip;
    if (dev == eth_dev) {
        arp_output(skb);
        return;
    }
    struct eth_hdr *eth = skb_push(skb, sizeof *eth);
    memset(eth, 0, sizeof *eth);
    eth->type = htons(ETH_P_IP);
    dev_queue_xmit(skb);
}
