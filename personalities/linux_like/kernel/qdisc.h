/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What stands between the network layer and a device's transmit queue. */
#pragma once
#include "lock.h"

struct skb;
struct net_device;

struct fq_flow {
    struct list node;            /* among the new or the old flows; empty: it has no packets */
    struct list queue;
    s32 deficit;                 /* bytes it may still send in this round */
    bool dropping;               /* CoDel's state, RFC 8289 */
    u32 count, last_count;
    u64 first_above, drop_next;  /* ns */
};
#define FQ_FLOWS 256

struct qdisc {
    struct spinlock lock;        /* all but the last four */
    bool running;                /* somebody takes packets to the device */
    u32 len, drops;
    struct skb *requeued;        /* the device was full: it goes first */
    struct list new_flows, old_flows;
    struct fq_flow *flows;       /* FQ_FLOWS */
    struct spinlock xmit_lock cacheline_aligned; /* the device's queue: held when its driver is called to send */
    volatile bool stopped;       /* it has no room; its driver says when it has */
    u32 index;
    struct net_device *dev;
};

bool qdisc_init(struct qdisc *q, struct net_device *dev, u32 index);
void qdisc_xmit(struct qdisc *q, struct skb *skb);   /* bottom halves are off; sent, queued or dropped */
void qdisc_wake(struct qdisc *q);                    /* the driver: there is room again; it does not hold xmit_lock */

/* fq_codel.c; q->lock held */
bool fq_enqueue(struct qdisc *q, struct skb *skb);   /* false: full, and it is the caller's to free */
struct skb *fq_dequeue(struct qdisc *q);
