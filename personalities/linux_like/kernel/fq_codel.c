/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * FlowQueue-CoDel (RFC 8290): packets queue by flow; flows take turns by bytes, new ones first, so a flow that sends little does not wait behind one that sends much.
 * Each flow's queue drops by CoDel (RFC 8289): when packets have stood in it for longer than TARGET during a whole INTERVAL, ever more often until it ends.
 */
#include "defs.h"
#include "net.h"
#include "qdisc.h"

#define TARGET_NS 5000000ul
#define INTERVAL_NS 100000000ul
#define QUANTUM 1514
#define LIMIT 10240

static u32 fq_hash(const struct skb *skb)
{
    const struct eth_hdr *eth = (const void *)skb->data;
    if (eth->type != htons(ETH_P_IP))
        return 0;
    const struct ip_hdr *ip = (const void *)(eth + 1);
    u64 h = (u64)ip->src << 32 | ip->dst;
    if (ip->proto == IPPROTO_UDP)
        h ^= (u64)*(const u32 *)(ip + 1) * 0x9e3779b1u;
    return (u32)(h * 0x9e3779b97f4a7c15ul >> 56) % FQ_FLOWS;
}

bool fq_enqueue(struct qdisc *q, struct skb *skb)
{
    struct fq_flow *f = &q->flows[fq_hash(skb)];
    if (q->len >= LIMIT)
        return false;
    skb->queued_at = time_ns();
    list_add_tail(&skb->node, &f->queue);
    q->len++;
    if (list_empty(&f->node)) {
        list_add_tail(&f->node, &q->new_flows);
        f->deficit = QUANTUM;
        f->dropping = false;
    }
    return true;
}

static struct skb *fq_take(struct qdisc *q, struct fq_flow *f)
{
    if (list_empty(&f->queue))
        return NULL;
    struct skb *skb = list_first(&f->queue, struct skb, node);
    list_del(&skb->node);
    q->len--;
    return skb;
}

static u64 codel_next(u64 at, u32 count)
{
    u32 root = 1;
    while ((root + 1) * (root + 1) <= count)
        root++;
    return at + INTERVAL_NS / root;
}

/* Whether the flow's packets have stood for too long for an interval by now. */
static bool codel_too_long(struct fq_flow *f, const struct skb *skb, u64 now)
{
    if (!skb || now - skb->queued_at < TARGET_NS) {
        f->first_above = 0;
        return false;
    }
    if (!f->first_above) {
        f->first_above = now + INTERVAL_NS;
        return false;
    }
    return now >= f->first_above;
}

static struct skb *codel_drop(struct qdisc *q, struct fq_flow *f, struct skb *skb)
{
    q->drops++;
    skb_free(skb);
    return fq_take(q, f);
}

static struct skb *codel_dequeue(struct qdisc *q, struct fq_flow *f)
{
    struct skb *skb = fq_take(q, f);
    if (!skb) {
        f->dropping = false;
        return NULL;
    }
    u64 now = time_ns();
    bool drop = codel_too_long(f, skb, now);
    if (f->dropping) {
        if (!drop)
            f->dropping = false;
        while (f->dropping && now >= f->drop_next) {
            f->count++;
            skb = codel_drop(q, f, skb);
            if (codel_too_long(f, skb, now))
                f->drop_next = codel_next(f->drop_next, f->count);
            else
                f->dropping = false;
        }
    } else if (drop) {
        skb = codel_drop(q, f, skb);
        codel_too_long(f, skb, now);
        f->dropping = true;
        u32 since = f->count - f->last_count;
        f->count = since > 1 && now - f->drop_next < 16 * INTERVAL_NS ? since : 1;
        f->last_count = f->count;
        f->drop_next = codel_next(now, f->count);
    }
    return skb;
}

struct skb *fq_dequeue(struct qdisc *q)
{
    for (;;) {
        struct list *from = list_empty(&q->new_flows) ? &q->old_flows : &q->new_flows;
        if (list_empty(from))
            return NULL;
        struct fq_flow *f = list_first(from, struct fq_flow, node);
        if (f->deficit <= 0) {
            f->deficit += QUANTUM;
            list_del(&f->node);
            list_add_tail(&f->node, &q->old_flows);
            continue;
        }
        struct skb *skb = codel_dequeue(q, f);
        if (skb) {
            f->deficit -= (s32)skb->len;
            return skb;
        }
        list_del_init(&f->node);
        if (from == &q->new_flows && !list_empty(&q->old_flows))
            list_add_tail(&f->node, &q->old_flows); /* once more round: or a flow could stay new for ever */
    }
}
