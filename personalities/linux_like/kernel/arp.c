/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Address resolution, RFC 826: a small table; a packet waits for the answer to its own question. */
#include "defs.h"
#include "net.h"

#define ARP_ENTRIES 256
#define ARP_QUEUE 64
#define ARP_RETRY_NS 1000000000ul

struct arp_hdr { u16 htype, ptype; u8 hlen, plen; u16 op; u8 sha[6]; u32 spa; u8 tha[6]; u32 tpa; } __attribute__((packed));

struct arp_entry {
    u32 ip;
    bool known;
    u8 mac[6];
    u64 asked;           /* time_ns() of the last request */
    struct list queue;
    u32 queued;
    struct arp_entry *next;
};

static struct spinlock arp_lock;
static struct arp_entry *arp_table[ARP_ENTRIES];

static struct arp_entry *arp_find(u32 ip)
{
    struct arp_entry *e = READ_ONCE(arp_table[(ip >> 24) % ARP_ENTRIES]);
    while (e && e->ip != ip)
        e = READ_ONCE(e->next);
    return e;
}

/* arp_lock held. Entries are never taken away. */
static struct arp_entry *arp_make(u32 ip)
{
    struct arp_entry *e = arp_find(ip), **head = &arp_table[(ip >> 24) % ARP_ENTRIES];
    if (e || !(e = kzalloc(sizeof *e)))
        return e;
    e->ip = ip;
    list_init(&e->queue);
    e->next = *head;
    __atomic_store_n(head, e, __ATOMIC_RELEASE);
    return e;
}

static void arp_send(struct net_device *dev, u16 op, const u8 *tha, u32 tpa)
{
    static const u8 broadcast[6] = { 255, 255, 255, 255, 255, 255 };
    struct skb *s = skb_alloc(64, TX_HEADROOM);
    if (!s)
        return;
    struct arp_hdr *a = (struct arp_hdr *)s->data;
    *a = (struct arp_hdr){ htons(1), htons(ETH_P_IP), 6, 4, htons(op), { 0 }, dev->addr, { 0 }, tpa };
    memcpy(a->sha, dev->mac, 6);
    if (tha)
        memcpy(a->tha, tha, 6);
    s->len = sizeof *a;
    struct eth_hdr *eth = skb_push(s, sizeof *eth);
    memcpy(eth->dst, tha ? tha : broadcast, 6);
    memcpy(eth->src, dev->mac, 6);
    eth->type = htons(ETH_P_ARP);
    s->dev = dev;
    dev_queue_xmit(s);
}

static void arp_transmit(struct skb *skb, const u8 *mac)
{
    struct eth_hdr *eth = skb_push(skb, sizeof *eth);
    memcpy(eth->dst, mac, 6);
    memcpy(eth->src, skb->dev->mac, 6);
    eth->type = htons(ETH_P_IP);
    dev_queue_xmit(skb);
}

/* A packet waits for the answer. head: its buffer. */
probed static void arp_hold(void *head, struct arp_entry *e, struct skb *skb)
{
    list_add_tail(&skb->node, &e->queue);
    e->queued++;
}

/* The answer came: the packet goes on. */
probed static void arp_resume(void *head, struct skb *skb, const u8 *mac) { arp_transmit(skb, mac); }

static void arp_learn(u32 ip, const u8 *mac, bool create)
{
    struct list ready = LIST_INIT(ready);
    spin_lock_bh(&arp_lock);
    struct arp_entry *e = create ? arp_make(ip) : arp_find(ip);
    if (e) {
        memcpy(e->mac, mac, 6);
        __atomic_store_n(&e->known, true, __ATOMIC_RELEASE);
        list_splice_tail(&e->queue, &ready);
        e->queued = 0;
    }
    spin_unlock_bh(&arp_lock);
    struct skb *s, *tmp;
    list_for_each_safe(s, tmp, &ready, node)
        arp_resume(s->head, s, mac);
}

void arp_rcv(struct skb *skb)
{
    struct arp_hdr *a = (struct arp_hdr *)skb->data;
    struct net_device *dev = skb->dev;
    if (skb->len >= sizeof *a && a->htype == htons(1) && a->ptype == htons(ETH_P_IP) && a->hlen == 6 && a->plen == 4) {
        bool for_us = a->tpa == dev->addr;
        arp_learn(a->spa, a->sha, for_us);
        if (for_us && a->op == htons(1))
            arp_send(dev, 2, a->sha, a->spa);
    }
    skb_free(skb);
}

void arp_output(struct skb *skb)
{
    static const u8 broadcast[6] = { 255, 255, 255, 255, 255, 255 };
    if (skb->dst->type == ROUTE_BROADCAST) {
        arp_transmit(skb, broadcast);
        return;
    }
    struct arp_entry *e = arp_find(skb->next_hop);
    if (likely(e && __atomic_load_n(&e->known, __ATOMIC_ACQUIRE))) {
        arp_transmit(skb, e->mac);
        return;
    }
    struct net_device *dev = skb->dev;
    u32 hop = skb->next_hop;
    bool ask = false, known = false;
    spin_lock_bh(&arp_lock);
    e = arp_make(hop);
    if (!e || e->queued == ARP_QUEUE) {
        skb_free(skb);
    } else if (e->known) {
        known = true; /* the answer came between */
    } else {
        arp_hold(skb->head, e, skb);
    }
    if (e && !e->known && (!e->asked || time_ns() - e->asked > ARP_RETRY_NS)) {
        e->asked = time_ns();
        ask = true;
    }
    spin_unlock_bh(&arp_lock);
    if (known)
        arp_transmit(skb, e->mac);
    if (ask)
        arp_send(dev, 1, NULL, hop);
}
