/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Between drivers and protocols: NAPI polling in softirq, delivery upwards, transmission downwards. */
#include "defs.h"
#include "net.h"
#include "task.h"

struct net_device *eth_dev;
static struct list poll_lists[MAX_CPUS];

/* Packets a vCPU sent to itself: the backlog is one more NAPI instance. */
static struct backlog { struct napi napi; struct spinlock lock; struct list queue; u32 len; } cacheline_aligned backlogs[MAX_CPUS];
#define BACKLOG_MAX 1000

static int backlog_poll(struct napi *n, int budget)
{
    struct backlog *b = container_of(n, struct backlog, napi);
    int done = 0;
    while (done < budget) {
        u64 f = spin_lock_irqsave(&b->lock);
        struct skb *s = NULL;
        if (b->len) {
            s = list_first(&b->queue, struct skb, node);
            list_del(&s->node);
            b->len--;
        } else {
            napi_complete(n);
        }
        spin_unlock_irqrestore(&b->lock, f);
        if (!s)
            break;
        netif_receive_skb(s);
        done++;
    }
    return done;
}

void netdev_init(void)
{
    for (u32 i = 0; i < MAX_CPUS; i++) {
        list_init(&poll_lists[i]);
        list_init(&backlogs[i].queue);
        backlogs[i].napi.poll = backlog_poll;
    }
}

/* This vCPU will poll n soon. Its interrupt stays off until napi_complete. */
void napi_schedule(struct napi *n)
{
    if (__atomic_exchange_n(&n->scheduled, true, __ATOMIC_SEQ_CST))
        return;
    u64 f = irq_save();
    list_add_tail(&n->node, &poll_lists[cpu_id()]);
    softirq_raise(SOFTIRQ_NET_RX);
    irq_restore(f);
}

void napi_complete(struct napi *n)
{
    u64 f = irq_save();
    list_del_init(&n->node);
    __atomic_store_n(&n->scheduled, false, __ATOMIC_SEQ_CST);
    irq_restore(f);
}

int netif_rx(struct skb *skb)
{
    u64 f = irq_save();
    struct backlog *b = &backlogs[cpu_id()];
    spin_lock(&b->lock);
    bool ok = b->len < BACKLOG_MAX;
    if (ok) {
        list_add_tail(&skb->node, &b->queue);
        b->len++;
        napi_schedule(&b->napi);
    }
    spin_unlock(&b->lock);
    irq_restore(f);
    if (!ok)
        skb_free(skb);
    return ok ? 0 : -ENOBUFS;
}

/* The receive softirq: each instance in turn up to its weight, all together up to the budget. */
void net_rx_action(void)
{
    struct list *list = &poll_lists[cpu_id()];
    int budget = NET_RX_BUDGET;
    for (;;) {
        irq_disable();
        if (list_empty(list)) {
            irq_enable();
            return;
        }
        struct napi *n = list_first(list, struct napi, node);
        irq_enable();
        int done = n->poll(n, MIN(budget, NAPI_WEIGHT));
        budget -= done;
        irq_disable();
        if (n->scheduled && done >= NAPI_WEIGHT) { /* more to do: behind the others */
            list_del(&n->node);
            list_add_tail(&n->node, list);
        }
        irq_enable();
        if (budget <= 0) {
            softirq_raise(SOFTIRQ_NET_RX);
            return;
        }
    }
}

/* ---- polling instead of interrupts ---- */

bool netdev_poll(void)
{
    if (!eth_dev || !eth_dev->rx_pending())
        return false;
    local_bh_disable();
    eth_dev->rx_poll();
    local_bh_enable(); /* runs the softirq */
    return true;
}

void netdev_poll_tick(void)
{
    if (eth_dev && eth_dev->rx_pending())
        eth_dev->rx_poll();
}

void netdev_tx_poll(void)
{
    if (eth_dev)
        eth_dev->tx_poll();
}

/* Time spent here is waiting, not work (manifest.toml). */
noinline void busy_wait(struct sock *sk, u64 until)
{
    while (!(READ_ONCE(current->tif) & (TIF_NEED_RESCHED | TIF_SIGPENDING)) && (!eth_dev || !eth_dev->rx_pending()) &&
           (!sk || !udp_has_data(sk)) && (!until || time_ns() < until))
        cpu_pause();
}

/* data at the Ethernet header. */
void netif_receive_skb(struct skb *skb)
{
    struct eth_hdr *eth = (struct eth_hdr *)skb->data;
    if (skb->len < sizeof *eth) {
        skb_free(skb);
        return;
    }
    u16 type = ntohs(eth->type);
    if (skb->dev == eth_dev) {
        stat_count(DEV_RX_PACKETS);
        stat_add(DEV_RX_BYTES, skb->len);
    }
    skb_pull(skb, sizeof *eth);
    if (type == ETH_P_IP)
        ip_rcv(skb);
    else if (type == ETH_P_ARP)
        arp_rcv(skb);
    else
        skb_free(skb);
}

/* data at the Ethernet header. Bottom halves are kept off, so that a vCPU's own sends and its softirq's do not mix. */
void dev_queue_xmit(struct skb *skb)
{
    struct net_device *dev = skb->dev;
    local_bh_disable();
    if (dev->nqueues)
        qdisc_xmit(dev->queues[cpu_id() % dev->nqueues], skb); /* each vCPU its own, where the device has as many */
    else if (dev->xmit(dev, NULL, skb))
        skb_free(skb);
    local_bh_enable();
}
