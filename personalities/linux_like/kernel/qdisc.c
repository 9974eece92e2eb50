/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A transmit queue's discipline. Where it is empty and nobody is at it, a packet goes straight to the device; else it queues, and who runs the queue takes it there.
 * One runs it at a time; others add and leave. A device that is full stops its queue, keeps nothing itself, and wakes it when it has room.
 */
#include "qdisc.h"
#include "defs.h"
#include "net.h"

bool qdisc_init(struct qdisc *q, struct net_device *dev, u32 index)
{
    q->flows = kzalloc(FQ_FLOWS * sizeof *q->flows);
    if (!q->flows)
        return false;
    for (u32 i = 0; i < FQ_FLOWS; i++) {
        list_init(&q->flows[i].node);
        list_init(&q->flows[i].queue);
    }
    list_init(&q->new_flows);
    list_init(&q->old_flows);
    q->dev = dev;
    q->index = index;
    return true;
}

/* The packet waits. head: its buffer. */
probed static bool qdisc_hold(void *head, struct qdisc *q, struct skb *skb) { return fq_enqueue(q, skb); }

/* The device is full: the packet will be the first when it is not. */
probed static void qdisc_requeue(void *head, struct qdisc *q, struct skb *skb) { q->requeued = skb; }

/* A waiting packet's turn. */
probed static void qdisc_resume(void *head, struct qdisc *q) { }

/* True: the device has it. */
static bool qdisc_direct(struct qdisc *q, struct skb *skb)
{
    spin_lock(&q->xmit_lock);
    bool sent = !q->stopped && !q->dev->xmit(q->dev, q, skb);
    spin_unlock(&q->xmit_lock);
    return sent;
}

/* q->lock held, and q->running ours; lets go of both. */
static void qdisc_run(struct qdisc *q)
{
    for (;;) {
        struct skb *skb = q->requeued;
        if (q->stopped || !(skb || (skb = fq_dequeue(q))))
            break;
        q->requeued = NULL;
        qdisc_resume(skb->head, q);
        spin_unlock(&q->lock);
        bool sent = qdisc_direct(q, skb);
        spin_lock(&q->lock);
        if (!sent)
            qdisc_requeue(skb->head, q, skb); /* and look again: it may have been woken meanwhile */
    }
    q->running = false;
    spin_unlock(&q->lock);
}

void qdisc_xmit(struct qdisc *q, struct skb *skb)
{
    struct skb *refused = NULL;
    spin_lock(&q->lock);
    if (likely(!q->len && !q->requeued && !q->running && !q->stopped)) {
        q->running = true;
        spin_unlock(&q->lock);
        bool sent = qdisc_direct(q, skb);
        spin_lock(&q->lock);
        if (!sent)
            qdisc_requeue(skb->head, q, skb);
        qdisc_run(q);
        return;
    }
    if (!qdisc_hold(skb->head, q, skb)) {
        q->drops++;
        refused = skb;
    }
    if (q->running || q->stopped) {
        spin_unlock(&q->lock);
    } else {
        q->running = true;
        qdisc_run(q);
    }
    if (refused)
        skb_free(refused);
}

void qdisc_wake(struct qdisc *q)
{
    spin_lock(&q->lock);
    q->stopped = false;
    if (q->running) { /* it looks again */
        spin_unlock(&q->lock);
        return;
    }
    q->running = true;
    qdisc_run(q);
}
