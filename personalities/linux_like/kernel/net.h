/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packets and the layers they pass: driver, netdev, ARP, IP, UDP, socket. Addresses are in network order. */
#pragma once
#include "fib.h"
#include "fs.h"
#include "lock.h"
#include "percpu.h"
#include "qdisc.h"

#define ETH_P_IP 0x0800
#define ETH_P_ARP 0x0806
#define IPPROTO_ICMP 1
#define IPPROTO_UDP 17
#define VNET_HDR_LEN 12
#define TX_HEADROOM 64  /* virtio-net, Ethernet, IP and UDP headers, with room to align */

struct eth_hdr { u8 dst[6], src[6]; u16 type; } __attribute__((packed));
struct ip_hdr { u8 vihl, tos; u16 len, id, frag; u8 ttl, proto; u16 csum; u32 src, dst; } __attribute__((packed));
struct udp_hdr { u16 src, dst, len, csum; } __attribute__((packed));

struct net_device;
struct sock;

/* skbuff.c: a packet: this head, and one data buffer. head is what the NIC's descriptor points to. */
enum { CSUM_NONE, CSUM_UNNECESSARY, CSUM_PARTIAL };
struct skb {
    struct list node;
    u8 *head;            /* offset 16: manifest.toml's probes load it */
    u8 *data;            /* first byte of the layer at work */
    u32 len;             /* bytes from data */
    u32 truesize;        /* bytes a socket is charged */
    u32 csum_mode;
    u16 csum_start, csum_offset; /* CSUM_PARTIAL: from data at the Ethernet header */
    struct net_device *dev;
    u32 saddr, daddr;
    u16 sport, dport;
    u32 next_hop;
    struct route *dst;   /* by which it goes out, with a reference; or NULL */
    u64 queued_at;       /* time_ns() when it began to wait for the device */
    u32 users;           /* references; a peeking reader has one */
    struct sock *sk;     /* whose memory it counts as, until destructor */
    void (*destructor)(struct skb *skb);
};
_Static_assert(offsetof(struct skb, head) == 16, "manifest.toml");

void skb_init(void);
struct skb *skb_alloc(u32 size, u32 headroom);
struct skb *skb_build(void *buffer, u32 offset, u32 len);
void *skb_buffer_alloc(void);                    /* RX_BUFFER_SIZE bytes for a receive ring */
void skb_buffer_free(void *buffer);
void skb_free(struct skb *skb);
void skb_orphan(struct skb *skb);
#define RX_BUFFER_SIZE 2048
static inline void skb_get(struct skb *s) { atomic_add(&s->users, 1); }
static inline void *skb_push(struct skb *s, u32 n) { s->data -= n; s->len += n; return s->data; }
static inline void *skb_pull(struct skb *s, u32 n) { s->data += n; s->len -= n; return s->data; }

/* pool.c: packet buffers shared with programs; none without pool= */
void pool_init(void);
bool pool_holds(const void *p);
void *pool_alloc(void);                          /* RX_BUFFER_SIZE bytes, or NULL */
void pool_free(void *p);
long pool_map(u32 prot);
void pool_reclaim(struct mm *mm);
u64 pool_lend(struct mm *mm, void *p);
bool pool_take(struct mm *mm, u64 at, void **p, bool free);
struct skb *skb_take(void *data, u32 len);       /* a packet in a pool buffer, as a program wrote it; NULL: no memory */
void skb_give_up(struct skb *skb);               /* frees the head alone: the buffer is somebody's */

/* checksum.c: ones' complement sums, 32-bit accumulators */
u32 csum_partial(const void *p, u32 n, u32 sum);
u16 csum_fold(u32 sum);
u32 csum_pseudo(u32 saddr, u32 daddr, u32 len, u8 proto);

/* netdev.c */
struct napi {
    struct list node;
    bool scheduled;
    int (*poll)(struct napi *n, int budget);
};
struct net_device {
    const char *name;
    u8 mac[6];
    u32 mtu;
    u32 addr, mask, gateway;
    bool tx_csum;
    bool (*rx_pending)(void);    /* whether this vCPU's receive ring has a packet */
    void (*tx_poll)(void);       /* frees what was sent */
    void (*rx_poll)(void);       /* schedules this vCPU's instance, as its interrupt would */
    u32 nqueues;                 /* 0: xmit takes whatever comes, with no queue */
    struct qdisc *queues[MAX_CPUS];
    int (*xmit)(struct net_device *dev, struct qdisc *q, struct skb *skb); /* 0, or -EBUSY: the queue is stopped, the skb the caller's */
};
extern struct net_device *eth_dev;
void netdev_init(void);
void napi_schedule(struct napi *n);
void napi_complete(struct napi *n);
void net_rx_action(void);
void netif_receive_skb(struct skb *skb);
void dev_queue_xmit(struct skb *skb);
/* poll=1: without receive interrupts these look. False / nothing where there is no device. */
bool netdev_poll(void);              /* takes what this vCPU's ring holds; true: there was something */
void netdev_poll_tick(void);         /* the same from a timer, for a vCPU whose program neither waits nor idles */
void netdev_tx_poll(void);           /* frees what the device has sent */
void busy_wait(struct sock *sk, u64 until); /* until the ring or the socket (NULL: none) has a packet, current has a flag to
                                      * look at, or time_ns() is beyond `until` (0: never) */
int netif_rx(struct skb *skb);       /* loopback: to this vCPU's backlog */

/* arp.c */
void arp_rcv(struct skb *skb);
void arp_output(struct skb *skb);    /* resolves next_hop, adds the Ethernet header, transmits */

/* ip.c, icmp.c */
void ip_init(void);
void ip_rcv(struct skb *skb);
void ip_output(struct skb *skb, struct route *r, u32 saddr, u32 daddr, u8 proto); /* takes over the reference */
long ip_route_ioctl(u32 cmd, u64 arg);  /* SIOCADDRT, SIOCDELRT */
bool ip_is_local(u32 addr);
void icmp_rcv(struct skb *skb, u32 saddr, u32 daddr);

/* net_stats.c */
enum { IP_IN_RECEIVES, IP_IN_HDR_ERRORS, IP_IN_ADDR_ERRORS, IP_IN_DISCARDS, IP_IN_DELIVERS, IP_OUT_REQUESTS, IP_OUT_NO_ROUTES, UDP_IN_DATAGRAMS,
       UDP_NO_PORTS, UDP_IN_ERRORS, UDP_CSUM_ERRORS, UDP_OUT_DATAGRAMS, UDP_RCVBUF_ERRORS, UDP_MEM_ERRORS,
       DEV_RX_PACKETS, DEV_RX_BYTES, DEV_TX_PACKETS, DEV_TX_BYTES, NR_NET_STATS }; /* DEV_: of the Ethernet device */
extern struct net_stats { u64 n[NR_NET_STATS]; } cacheline_aligned net_stats[MAX_CPUS];
static inline void stat_add(u32 which, u64 n) { net_stats[cpu_id()].n[which] += n; }
static inline void stat_count(u32 which) { stat_add(which, 1); }
void stat_init(void);

/* udp.c, socket.c */
struct sock {
    u16 lport, rport;              /* network order; 0: unbound, unconnected */
    u32 laddr, raddr;
    struct sock *next;             /* in its hash bucket */
    struct spinlock lock cacheline_aligned; /* the receive queue */
    struct list queue;
    u32 rmem, rcvbuf;              /* truesize received and not given back, and its limit */
    u32 forward_bytes;             /* pages drawn from the system's account, not used yet */
    u32 drops;
    struct spinlock reader_lock cacheline_aligned;
    struct list reader_queue;
    u32 deficit;                   /* read, not given back to rmem yet */
    u32 wmem, sndbuf;              /* truesize on its way out (and 1), and its limit */
    bool nospace;                  /* a writer waits for wmem to fall */
    struct wait_queue wq cacheline_aligned;
    s32 err;
    u64 rcvtimeo;                  /* ns, 0: for ever */
    u32 incoming_cpu;              /* preferred for packets that arrive there; MAX_CPUS: none */
    bool reuseaddr, reuseport, nonblock, broadcast;
};
/* What MSG_ZEROCOPY passes instead of bytes: the program's addresses in its mapping of the pool. */
struct loan {
    u64 data;                      /* recv, in: the datagram that is done with, or 0; out: the datagram */
    u64 spare;                     /* recv, in: 0 asks for an empty buffer; out: where to write an answer */
};
struct msg {
    struct sockaddr_in *name;      /* kernel memory, or NULL */
    bool has_name;
    struct iovec *iov;
    u32 niov;
    u64 size;
    u32 flags;
    u32 out_flags;
    struct loan *loan;             /* MSG_ZEROCOPY on receive */
};
void socket_init(void);
void udp_init(void);
void udp_rcv(struct skb *skb, u32 saddr, u32 daddr);
struct sock *udp_sock_new(void);
void udp_for_each(void (*fn)(const struct sock *sk, u32 bucket, void *arg), void *arg); /* bound ones; their bucket locked */
void udp_sock_release(struct sock *sk);
long udp_bind(struct sock *sk, u32 addr, u16 port);
long udp_connect(struct sock *sk, u32 addr, u16 port);
probed ssize_t udp_recvmsg(struct sock *sk, struct msg *m);
ssize_t udp_sendmsg(struct sock *sk, struct msg *m);
u32 udp_poll(struct file *f, struct sock *sk, struct poll_table *pt);

/* udp_queue.c, sock_mem.c */
void udp_queue_init(struct sock *sk);
void udp_queue_purge(struct sock *sk);
void udp_queue_rcv_skb(struct sock *sk, struct skb *skb);
struct skb *udp_dequeue(struct sock *sk);
struct skb *udp_peek(struct sock *sk);
static inline bool udp_has_data(const struct sock *sk) { return !list_empty(&sk->reader_queue) || !list_empty(&sk->queue); }
void sock_mem_init(void);
bool sock_rmem_charge(struct sock *sk, u32 size);
void sock_rmem_uncharge(struct sock *sk, u32 size, bool keep);
void sock_own_sent(struct skb *skb, struct sock *sk);
bool sock_writable(struct sock *sk);
long sock_wait_wmem(struct sock *sk, bool dontwait);
void udp_sock_free(struct sock *sk);

void lo_init(void);                /* loopback.c */
void virtio_net_init(void);        /* virtio_net.c */
