/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A socket's received packets. Softirqs add to one queue, under its lock; readers take from another, under theirs, and move all of the first over when it
 * is empty: so readers and softirqs meet once a batch.
 */
#include "defs.h"
#include "net.h"
#include "task.h"

void udp_queue_init(struct sock *sk)
{
    list_init(&sk->queue);
    list_init(&sk->reader_queue);
}

/* Onto the socket's receive queue, and somebody is told. At its return the packet waits for a reader. */
probed void udp_queue_rcv_skb(struct sock *sk, struct skb *skb)
{
    u32 size = skb->truesize, held = atomic_add(&sk->rmem, size);
    u32 error = UDP_RCVBUF_ERRORS;
    bool room = held <= sk->rcvbuf || held == size; /* one packet always may */
    if (room) {
        spin_lock(&sk->lock);
        room = sock_rmem_charge(sk, size);
        error = UDP_MEM_ERRORS;
        if (room)
            list_add_tail(&skb->node, &sk->queue);
        spin_unlock(&sk->lock);
    }
    if (!room) {
        atomic_sub(&sk->rmem, size);
        atomic_add(&sk->drops, 1);
        stat_count(error);
        stat_count(UDP_IN_ERRORS);
        skb_free(skb);
        return;
    }
    stat_count(UDP_IN_DATAGRAMS);
    if (wait_active(&sk->wq))
        wake_up_events(&sk->wq, 1, POLLIN);
}

/* What readers took goes back to the socket's account a quarter of its limit at a time, or when nothing is left to read. reader_lock held. */
static void udp_release_rmem(struct sock *sk, u32 size)
{
    sk->deficit += size;
    if (sk->deficit < sk->rcvbuf / 4 && !list_empty(&sk->queue))
        return;
    spin_lock(&sk->lock);
    sock_rmem_uncharge(sk, sk->deficit, true);
    spin_unlock(&sk->lock);
    sk->deficit = 0;
}

/* The first packet, or NULL. */
struct skb *udp_dequeue(struct sock *sk)
{
    struct skb *s = NULL;
    spin_lock_bh(&sk->reader_lock);
    if (list_empty(&sk->reader_queue) && !list_empty(&sk->queue)) {
        spin_lock(&sk->lock);
        list_splice_tail(&sk->queue, &sk->reader_queue);
        spin_unlock(&sk->lock);
    }
    if (!list_empty(&sk->reader_queue)) {
        s = list_first(&sk->reader_queue, struct skb, node);
        list_del(&s->node);
        udp_release_rmem(sk, s->truesize);
    }
    spin_unlock_bh(&sk->reader_lock);
    return s;
}

/* The first packet with a reference, still queued; or NULL. */
struct skb *udp_peek(struct sock *sk)
{
    struct skb *s = NULL;
    spin_lock_bh(&sk->reader_lock);
    struct list *q = list_empty(&sk->reader_queue) ? &sk->queue : &sk->reader_queue;
    spin_lock(&sk->lock);
    if (!list_empty(q)) {
        s = list_first(q, struct skb, node);
        skb_get(s);
    }
    spin_unlock(&sk->lock);
    spin_unlock_bh(&sk->reader_lock);
    return s;
}

/* Nobody else knows the socket any more. */
void udp_queue_purge(struct sock *sk)
{
    struct skb *s;
    while ((s = udp_dequeue(sk)))
        skb_free(s);
    spin_lock_bh(&sk->lock);
    sock_rmem_uncharge(sk, sk->deficit, false);
    sk->deficit = 0;
    spin_unlock_bh(&sk->lock);
}
