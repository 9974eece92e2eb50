/* SPDX-License-Identifier: GPL-2.0-or-later */
/* UDP, RFC 768: ports to sockets, packets to receive queues and back to programs. */
#include "defs.h"
#include "net.h"
#include "task.h"

#define UDP_BUCKETS 256
#define EPHEMERAL_FIRST 32768
#define EPHEMERAL_COUNT 28232
#define UDP_HEADERS (sizeof(struct udp_hdr) + sizeof(struct ip_hdr))

/* Lookups take no lock; a socket's memory is given back only after sched_quiesce(). */
static struct { struct sock *first; struct spinlock lock; } buckets[UDP_BUCKETS];
static struct kmem_cache *sock_cache;
static u32 ephemeral_next;

static u32 udp_bucket(u16 port) { return ntohs(port) % UDP_BUCKETS; }

void udp_init(void) { sock_cache = kmem_cache_create("udp_sock", sizeof(struct sock), SLAB_TYPESAFE); }

struct sock *udp_sock_new(void)
{
    struct sock *sk = kmem_cache_alloc(sock_cache);
    if (!sk)
        return NULL;
    memset(sk, 0, sizeof *sk);
    sk->rcvbuf = sk->sndbuf = SOCK_RCVBUF;
    sk->wmem = 1; /* the descriptor's; packets on their way out add theirs */
    sk->incoming_cpu = MAX_CPUS;
    udp_queue_init(sk);
    wait_queue_init(&sk->wq);
    return sk;
}

void udp_sock_release(struct sock *sk)
{
    if (sk->lport) {
        u32 b = udp_bucket(sk->lport);
        spin_lock(&buckets[b].lock);
        struct sock **at = &buckets[b].first;
        while (*at != sk)
            at = &(*at)->next;
        WRITE_ONCE(*at, sk->next);
        spin_unlock(&buckets[b].lock);
        sched_quiesce(); /* no softirq can still have found it */
    }
    udp_queue_purge(sk);
    if (!atomic_sub(&sk->wmem, 1))
        udp_sock_free(sk);
}

void udp_sock_free(struct sock *sk) { kmem_cache_free(sock_cache, sk); }

static bool udp_conflict(struct sock *a, u32 addr, u16 port, struct sock *b)
{
    return a->lport == port && (!a->laddr || !addr || a->laddr == addr) && !(a->reuseport && b->reuseport);
}

/* port 0: any free one. */
long udp_bind(struct sock *sk, u32 addr, u16 port)
{
    if (sk->lport)
        return -EINVAL;
    if (addr && !ip_is_local(addr) && addr != 0xffffffff)
        return -EADDRNOTAVAIL;
    bool any = !port;
    for (u32 tries = 0; tries < (any ? EPHEMERAL_COUNT : 1u); tries++) {
        if (any)
            port = htons((u16)(EPHEMERAL_FIRST + atomic_add(&ephemeral_next, 1) % EPHEMERAL_COUNT));
        u32 b = udp_bucket(port);
        bool taken = false;
        spin_lock(&buckets[b].lock);
        for (struct sock *o = buckets[b].first; o && !taken; o = o->next)
            taken = udp_conflict(o, addr, port, sk);
        if (!taken) {
            sk->laddr = addr;
            sk->lport = port;
            sk->next = buckets[b].first;
            __atomic_store_n(&buckets[b].first, sk, __ATOMIC_RELEASE);
        }
        spin_unlock(&buckets[b].lock);
        if (!taken)
            return 0;
    }
    return -EADDRINUSE;
}

long udp_connect(struct sock *sk, u32 addr, u16 port)
{
    if (!sk->lport) {
        long r = udp_bind(sk, 0, 0);
        if (r)
            return r;
    }
    struct route *r = fib_lookup_get(addr);
    if (!r)
        return -ENETUNREACH;
    if (!sk->laddr)
        sk->laddr = r->type == ROUTE_LOCAL ? addr : r->source;
    route_put(r);
    sk->raddr = addr;
    sk->rport = port;
    return 0;
}

/* The best match: connected over address over any, and there the one for this vCPU. Several equal ones (SO_REUSEPORT): by the
 * sender's hash. */
static struct sock *udp_lookup(u32 saddr, u16 sport, u32 daddr, u16 dport)
{
    struct sock *best = NULL;
    int best_score = 0;
    u32 here = cpu_id(), same = 0, hash = (saddr ^ (u32)sport << 16 ^ dport) * 0x9e3779b1u >> 8;
    for (struct sock *sk = READ_ONCE(buckets[udp_bucket(dport)].first); sk; sk = READ_ONCE(sk->next)) {
        if (sk->lport != dport || (sk->laddr && sk->laddr != daddr) ||
            (sk->rport && (sk->rport != sport || sk->raddr != saddr)))
            continue;
        int score = 2 + 2 * (sk->laddr != 0) + 4 * (sk->rport != 0) + (sk->incoming_cpu == here);
        if (score > best_score) {
            best = sk;
            best_score = score;
            same = 1;
        } else if (score == best_score && sk->reuseport && hash % ++same == 0) {
            best = sk;
        }
    }
    return best;
}

static bool udp_checksum_ok(struct skb *skb, struct udp_hdr *h, u32 saddr, u32 daddr)
{
    if (!h->csum || skb->csum_mode == CSUM_UNNECESSARY)
        return true;
    return !csum_fold(csum_partial(h, skb->len, csum_pseudo(saddr, daddr, skb->len, IPPROTO_UDP)));
}

/* data at the UDP header. */
void udp_rcv(struct skb *skb, u32 saddr, u32 daddr)
{
    struct udp_hdr *h = (struct udp_hdr *)skb->data;
    if (skb->len < sizeof *h || ntohs(h->len) < sizeof *h || ntohs(h->len) > skb->len) {
        stat_count(UDP_IN_ERRORS);
        skb_free(skb);
        return;
    }
    skb->len = ntohs(h->len);
    if (!udp_checksum_ok(skb, h, saddr, daddr)) {
        stat_count(UDP_CSUM_ERRORS);
        stat_count(UDP_IN_ERRORS);
        skb_free(skb);
        return;
    }
    skb->saddr = saddr;
    skb->daddr = daddr;
    skb->sport = h->src;
    skb->dport = h->dst;
    struct sock *sk = udp_lookup(saddr, h->src, daddr, h->dst);
    if (!sk) {
        stat_count(UDP_NO_PORTS);
        skb_free(skb);
        return;
    }
    skb_pull(skb, sizeof *h);
    udp_queue_rcv_skb(sk, skb);
}

static struct skb *udp_take(struct sock *sk, u32 flags) { return flags & MSG_PEEK ? udp_peek(sk) : udp_dequeue(sk); }

noinline static struct skb *udp_wait(struct sock *sk, u32 flags, s64 *err)
{
    struct wait_entry e;
    struct skb *s = NULL;
    u64 until = sk->rcvtimeo ? time_ns() + sk->rcvtimeo : 0;
    wait_entry_init(&e);
    for (;;) {
        wait_prepare_exclusive(&sk->wq, &e, TASK_INTERRUPTIBLE);
        s = udp_take(sk, flags);
        if (s)
            break;
        if (signal_pending(current)) {
            *err = until ? -EINTR : -ERESTARTSYS;
            break;
        }
        if (!timer_schedule_until(until)) {
            *err = -EAGAIN;
            break;
        }
    }
    wait_finish(&sk->wq, &e);
    return s;
}

/* poll=1: the reader looks at its vCPU's ring instead of sleeping. NULL: it has a signal, or its time is up. */
noinline static struct skb *udp_poll_wait(struct sock *sk, u32 flags)
{
    u64 until = sk->rcvtimeo ? time_ns() + sk->rcvtimeo : 0;
    while (!signal_pending(current) && (!until || time_ns() < until)) {
        struct skb *s = udp_has_data(sk) ? udp_take(sk, flags) : NULL;
        if (s)
            return s;
        if (READ_ONCE(current->tif) & TIF_NEED_RESCHED)
            schedule();
        else if (!netdev_poll())
            busy_wait(sk, until);
    }
    return NULL;
}

/* The datagram's bytes into the caller's buffers; what does not fit is lost, as recvmsg says. */
probed ssize_t udp_copy_datagram(struct skb *skb, struct msg *m)
{
    u64 done = 0, n = MIN((u64)skb->len, m->size);
    for (u32 i = 0; i < m->niov && done < n; i++) {
        u64 k = MIN(m->iov[i].len, n - done);
        if (copy_to_user(m->iov[i].base, skb->data + done, k))
            return -EFAULT;
        done += k;
    }
    if (skb->len > m->size)
        m->out_flags |= MSG_TRUNC;
    if (m->name) {
        *m->name = (struct sockaddr_in){ AF_INET, skb->sport, skb->saddr, { 0 } };
        m->has_name = true;
    }
    return m->flags & MSG_TRUNC ? (ssize_t)skb->len : (ssize_t)n;
}

/* MSG_ZEROCOPY: the caller gets the datagram where it lies. One from the loopback, or that found the pool empty, moves into it. */
probed ssize_t udp_lend_datagram(struct skb *skb, struct msg *m)
{
    u8 *data = skb->data;
    if (!pool_holds(skb->head)) {
        u8 *buffer = skb->len <= RX_BUFFER_SIZE ? pool_alloc() : NULL;
        if (!buffer) {
            skb_free(skb);
            return -ENOBUFS;
        }
        data = memcpy(buffer, skb->data, skb->len);
        skb_buffer_free(skb->head);
    }
    m->loan->data = pool_lend(current->mm, data);
    if (m->name) {
        *m->name = (struct sockaddr_in){ AF_INET, skb->sport, skb->saddr, { 0 } };
        m->has_name = true;
    }
    ssize_t n = (ssize_t)skb->len;
    skb_give_up(skb);
    return n;
}

/* At its entry the calling thread is done with the datagram it had before. */
probed ssize_t udp_recvmsg(struct sock *sk, struct msg *m)
{
    s64 err = 0;
    m->has_name = false;
    m->out_flags = 0;
    if (!sk->lport && udp_bind(sk, 0, 0))
        return -EAGAIN;
    struct skb *s = udp_take(sk, m->flags);
    if (!s) {
        if (sk->nonblock || m->flags & MSG_DONTWAIT)
            return -EAGAIN;
        if (knobs.polling)
            s = udp_poll_wait(sk, m->flags);
        if (!s)
            s = udp_wait(sk, m->flags, &err);
        if (!s)
            return err;
    }
    if (m->loan)
        return udp_lend_datagram(s, m);
    ssize_t r = udp_copy_datagram(s, m);
    skb_free(s);
    return r;
}

static void udp_checksum_out(struct skb *skb, struct udp_hdr *h, struct net_device *dev, u32 saddr, u32 daddr)
{
    u32 sum = csum_pseudo(saddr, daddr, skb->len, IPPROTO_UDP);
    if (dev->tx_csum) {
        h->csum = (u16)~csum_fold(sum);
        skb->csum_mode = CSUM_PARTIAL;
        skb->csum_offset = offsetof(struct udp_hdr, csum);
        return;
    }
    u16 c = csum_fold(csum_partial(h, skb->len, sum));
    h->csum = c ? c : 0xffff;
}

/* MSG_ZEROCOPY: the bytes stay where the caller wrote them, in a buffer lent to it, behind room for the headers. It gives the
 * buffer away. NULL: it is not the caller's, or the bytes do not fit. */
static struct skb *udp_take_buffer(struct msg *m)
{
    struct mm *mm = current->mm;
    u64 at = m->iov[0].base, in = (at - mm->pool_at) % RX_BUFFER_SIZE;
    void *data;
    if (m->niov != 1 || in < TX_HEADROOM || in + m->size > RX_BUFFER_SIZE || !pool_take(mm, at, &data, false))
        return NULL;
    struct skb *skb = skb_take(data, (u32)m->size);
    if (!skb)
        pool_free(data);
    return skb;
}

/* A datagram by a route, whose reference it takes over if all is well. */
static ssize_t udp_send_by(struct route *r, struct sock *sk, struct msg *m, u32 daddr, u16 dport)
{
    u32 saddr = sk->laddr ? sk->laddr : r->type == ROUTE_LOCAL ? daddr : r->source;
    if (m->size + UDP_HEADERS > r->dev->mtu || m->size > 65507)
        return -EMSGSIZE;
    long wait = sock_wait_wmem(sk, sk->nonblock || m->flags & MSG_DONTWAIT);
    if (wait)
        return wait;
    struct skb *skb = m->flags & MSG_ZEROCOPY ? udp_take_buffer(m) : skb_alloc((u32)m->size, TX_HEADROOM);
    if (!skb)
        return m->flags & MSG_ZEROCOPY ? -EFAULT : -ENOBUFS;
    sock_own_sent(skb, sk);
    for (u32 i = 0; i < m->niov && !(m->flags & MSG_ZEROCOPY); i++) {
        if (copy_from_user(skb->data + skb->len, m->iov[i].base, m->iov[i].len)) {
            skb_free(skb);
            return -EFAULT;
        }
        skb->len += (u32)m->iov[i].len;
    }
    struct udp_hdr *h = skb_push(skb, sizeof *h);
    *h = (struct udp_hdr){ sk->lport, dport, htons((u16)skb->len), 0 };
    udp_checksum_out(skb, h, r->dev, saddr, daddr);
    stat_count(UDP_OUT_DATAGRAMS);
    ip_output(skb, r, saddr, daddr, IPPROTO_UDP);
    return (ssize_t)m->size;
}

ssize_t udp_sendmsg(struct sock *sk, struct msg *m)
{
    u32 daddr = m->name ? m->name->addr : sk->raddr;
    u16 dport = m->name ? m->name->port : sk->rport;
    if (m->name && m->name->family != AF_INET)
        return -EAFNOSUPPORT;
    if (!dport)
        return -EDESTADDRREQ;
    if (!daddr)
        daddr = htonl(0x7f000001);
    if (!sk->lport && udp_bind(sk, 0, 0))
        return -EAGAIN;
    struct route *r = fib_lookup_get(daddr);
    if (!r) {
        stat_count(IP_OUT_NO_ROUTES);
        return -ENETUNREACH;
    }
    ssize_t sent = udp_send_by(r, sk, m, daddr, dport);
    if (sent < 0)
        route_put(r);
    return sent;
}

u32 udp_poll(struct file *f, struct sock *sk, struct poll_table *pt)
{
    poll_wait(f, &sk->wq, pt);
    return (sock_writable(sk) ? POLLOUT : 0) | (udp_has_data(sk) ? POLLIN : 0);
}

void udp_for_each(void (*fn)(const struct sock *sk, u32 bucket, void *arg), void *arg)
{
    for (u32 b = 0; b < UDP_BUCKETS; b++) {
        if (!READ_ONCE(buckets[b].first))
            continue;
        spin_lock(&buckets[b].lock);
        for (const struct sock *sk = buckets[b].first; sk; sk = sk->next)
            fn(sk, b, arg);
        spin_unlock(&buckets[b].lock);
    }
}
