/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IPv4 on one interface, routed by fib.c. Nothing is forwarded. Fragments are neither made nor put together: they are counted and dropped. */
#include "defs.h"
#include "net.h"

#define IP_DF 0x4000
#define IP_TTL 64

struct net_device *lo_dev(void);
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
    u32 addr = eth_dev->addr, mask = eth_dev->mask, gateway = ip_parse(v, NULL);
    fib_add(addr, 32, ROUTE_LOCAL, 0, addr, lo_dev());
    fib_add(addr | ~mask, 32, ROUTE_BROADCAST, 0, addr, eth_dev);
    fib_add(0xffffffff, 32, ROUTE_BROADCAST, 0, addr, eth_dev);
    fib_add(addr & mask, (u32)MIN(bits, 32ul), ROUTE_UNICAST, 0, addr, eth_dev);
    if (gateway && bits)
        fib_add(0, 0, ROUTE_UNICAST, gateway, addr, eth_dev);
}

bool ip_is_local(u32 addr)
{
    struct route *r = fib_lookup_get(addr);
    if (!r)
        return false;
    bool local = r->type == ROUTE_LOCAL;
    route_put(r);
    return local;
}

/* struct rtentry of Linux, as far as it matters: a destination, a gateway, a netmask. */
struct ip_rtentry { u64 pad1; struct sockaddr_in dst, gateway, mask; u16 flags; u8 rest[62]; };

long ip_route_ioctl(u32 cmd, u64 arg)
{
    enum { SIOCADDRT = 0x890b, SIOCDELRT = 0x890c, RTF_GATEWAY = 2, RTF_HOST = 4 };
    struct ip_rtentry e;
    if (cmd != SIOCADDRT && cmd != SIOCDELRT)
        return -ENOTTY;
    if (copy_from_user(&e, arg, sizeof e))
        return -EFAULT;
    if (!eth_dev)
        return -ENODEV;
    u32 mask = e.flags & RTF_HOST ? ~0u : ntohl(e.mask.addr), bits = 0, gateway = e.flags & RTF_GATEWAY ? e.gateway.addr : 0;
    while (bits < 32 && mask >> (31 - bits) & 1)
        bits++;
    if (mask != (bits ? ~0u << (32 - bits) : 0))
        return -EINVAL;
    if (cmd == SIOCDELRT)
        return fib_delete(e.dst.addr, bits, gateway);
    struct route *to = gateway ? fib_lookup_get(gateway) : NULL;
    bool reachable = !gateway || (to && to->type == ROUTE_UNICAST && !to->gateway);
    if (to)
        route_put(to);
    return reachable ? fib_add(e.dst.addr, bits, ROUTE_UNICAST, gateway, eth_dev->addr, eth_dev) : -ENETUNREACH;
}

/*
 * Whether a packet from the wire is for us and comes from where answers to its sender would go (RFC 3704's strict reverse path; a sender without an
 * address may broadcast).
 */
static bool ip_route_input(const struct skb *skb, u32 saddr, u32 daddr)
{
    const struct route *to = fib_lookup(daddr);
    if (!to || to->type == ROUTE_UNICAST)
        return false;
    if (skb->dev != eth_dev)
        return true;
    if ((daddr & 0xff) == 127)
        return false;
    if (!saddr)
        return to->type == ROUTE_BROADCAST;
    const struct route *back = fib_lookup(saddr);
    return back && back->type == ROUTE_UNICAST && back->dev == skb->dev;
}

/* data at the IP header. */
void ip_rcv(struct skb *skb)
{
    struct ip_hdr *ip = (struct ip_hdr *)skb->data;
    u32 hlen = (u32)(ip->vihl & 15) * 4;
    stat_count(IP_IN_RECEIVES);
    if (skb->len < sizeof *ip || ip->vihl >> 4 != 4 || hlen < sizeof *ip || hlen > skb->len || ntohs(ip->len) < hlen ||
        ntohs(ip->len) > skb->len || csum_fold(csum_partial(ip, hlen, 0)))
        goto bad;
    u32 saddr = ip->src, daddr = ip->dst;
    if (ip->frag & htons(0x3fff)) {
        stat_count(IP_IN_DISCARDS);
        goto drop;
    }
    if (!ip_route_input(skb, saddr, daddr)) {
        stat_count(IP_IN_ADDR_ERRORS);
        goto drop;
    }
    skb->len = ntohs(ip->len); /* Ethernet pads short frames */
    u8 proto = ip->proto;
    skb_pull(skb, hlen);
    stat_count(IP_IN_DELIVERS);
    if (proto == IPPROTO_UDP)
        udp_rcv(skb, saddr, daddr);
    else if (proto == IPPROTO_ICMP)
        icmp_rcv(skb, saddr, daddr);
    else
        goto drop;
    return;
bad:
    stat_count(IP_IN_HDR_ERRORS);
drop:
    skb_free(skb);
}

/* data at the transport header. */
void ip_output(struct skb *skb, struct route *r, u32 saddr, u32 daddr, u8 proto)
{
    struct net_device *dev = r->dev;
    stat_count(IP_OUT_REQUESTS);
    struct ip_hdr *ip = skb_push(skb, sizeof *ip);
    *ip = (struct ip_hdr){ 0x45, 0, htons((u16)skb->len), htons(atomic_add(&ip_id, 1)), htons(IP_DF), IP_TTL, proto, 0, saddr, daddr };
    ip->csum = csum_fold(csum_partial(ip, sizeof *ip, 0));
    skb->dev = dev;
    skb->dst = r;
    skb->next_hop = r->gateway ? r->gateway : daddr;
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
