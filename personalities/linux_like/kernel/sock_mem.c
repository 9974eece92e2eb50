/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Socket memory. Packets in a socket's queue count against its own limit (SO_RCVBUF) and, in pages, against all UDP sockets' together, so that no number
 * of sockets can take the machine's memory. A socket draws pages ahead of its packets and keeps them for the next ones. Packets on their way out
 * count against SO_SNDBUF until the device is done with them; the count holds the socket's memory, too.
 */
#include "defs.h"
#include "net.h"
#include "task.h"

static s64 sock_pages, sock_pages_max;

void sock_mem_init(void) { sock_pages_max = (s64)(page_count_total() / 16 * 3); }  /* Linux's udp_mem: 3/16 of memory */

/* sk->lock held. False: the system's limit. */
bool sock_rmem_charge(struct sock *sk, u32 size)
{
    if (sk->forward_bytes < size) {
        s64 pages = (size - sk->forward_bytes + PAGE_SIZE - 1) >> PAGE_SHIFT;
        if (atomic_add(&sock_pages, pages) > sock_pages_max) {
            atomic_sub(&sock_pages, pages);
            return false;
        }
        sk->forward_bytes += (u32)(pages << PAGE_SHIFT);
    }
    sk->forward_bytes -= size;
    return true;
}

/* sk->lock held. Whole pages go back, but for one with `keep`. */
void sock_rmem_uncharge(struct sock *sk, u32 size, bool keep)
{
    sk->forward_bytes += size;
    u32 bytes = sk->forward_bytes > keep * PAGE_SIZE ? ALIGN_DOWN(sk->forward_bytes - (u32)(keep * PAGE_SIZE), (u32)PAGE_SIZE) : 0;
    if (bytes) {
        sk->forward_bytes -= bytes;
        atomic_sub(&sock_pages, bytes >> PAGE_SHIFT);
    }
    atomic_sub(&sk->rmem, size);
}

/* A sent packet is done with. */
void sock_wfree(struct skb *skb)
{
    struct sock *sk = skb->sk;
    u32 left = atomic_sub(&sk->wmem, skb->truesize - 1); /* one byte keeps sk while its writers are told */
    if (READ_ONCE(sk->nospace) && left < sk->sndbuf / 2) {
        WRITE_ONCE(sk->nospace, false);
        wake_up_events(&sk->wq, 0, POLLOUT);
    }
    if (!atomic_sub(&sk->wmem, 1))
        udp_sock_free(sk);
}

void sock_own_sent(struct skb *skb, struct sock *sk)
{
    skb->sk = sk;
    skb->destructor = sock_wfree;
    atomic_add(&sk->wmem, skb->truesize);
}

/* Whether there is room for another packet; if not, whoever makes some will tell. */
bool sock_writable(struct sock *sk)
{
    if (likely(READ_ONCE(sk->wmem) < sk->sndbuf))
        return true;
    WRITE_ONCE(sk->nospace, true);
    smp_mb();
    return READ_ONCE(sk->wmem) < sk->sndbuf;
}

/* 0, -EAGAIN, or a signal's -ERESTARTSYS. */
long sock_wait_wmem(struct sock *sk, bool dontwait)
{
    while (!sock_writable(sk)) {
        if (knobs.polling)
            netdev_tx_poll(); /* no interrupt will say that packets have gone */
        if (knobs.polling && sock_writable(sk))
            break;
        if (dontwait)
            return -EAGAIN;
        if (signal_pending(current) || (!knobs.polling && wait_event_interruptible(&sk->wq, sock_writable(sk))))
            return -ERESTARTSYS;
        if (READ_ONCE(current->tif) & TIF_NEED_RESCHED)
            schedule();
    }
    return 0;
}
