/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-net over modern PCI (virtio 1.2, sections 4.1 and 5.1): one queue pair a vCPU where the device has as many, each
 * queue with its own MSI-X vector. Receive: interrupt, then NAPI until the ring is empty. Transmit: an interrupt when most of what is in the ring has
 * been sent, then NAPI frees it, so that senders get their socket's memory back; a sender tidies the ring in passing.
 */
#include "defs.h"
#include "net.h"
#include "virtio_ring.h"

#define VIRTIO_VENDOR 0x1af4
#define VIRTIO_NET_MODERN 0x1041
#define CAP_VENDOR 9
enum { CFG_COMMON = 1, CFG_NOTIFY = 2, CFG_DEVICE = 4 };
enum { F_CSUM = 0, F_GUEST_CSUM = 1, F_MAC = 5, F_STATUS = 16, F_CTRL_VQ = 17, F_MQ = 22, F_EVENT_IDX = 29, F_VERSION_1 = 32 };
enum { S_ACKNOWLEDGE = 1, S_DRIVER = 2, S_DRIVER_OK = 4, S_FEATURES_OK = 8 };
#define NO_VECTOR 0xffff
#define HDR_NEEDS_CSUM 1
#define HDR_DATA_VALID 2
#define CTRL_MQ 4

struct common_cfg {
    u32 device_feature_select, device_feature, driver_feature_select, driver_feature;
    u16 msix_config, num_queues;
    u8 device_status, config_generation;
    u16 queue_select, queue_size, queue_msix_vector, queue_enable, queue_notify_off;
    u32 queue_desc[2], queue_driver[2], queue_device[2];
};
struct net_cfg { u8 mac[6]; u16 status, max_pairs; };
struct net_hdr { u8 flags, gso_type; u16 hdr_len, gso_size, csum_start, csum_offset, num_buffers; } __attribute__((packed));
_Static_assert(sizeof(struct net_hdr) == VNET_HDR_LEN, "virtio 5.1.6");

struct pair {
    struct virtqueue rx cacheline_aligned;
    struct napi rx_napi;
    struct virtqueue tx cacheline_aligned;
    struct napi tx_napi;
    struct qdisc queue;          /* before the transmit ring */
};

static struct net_device vnet_dev;
static volatile struct common_cfg *common;
static volatile struct net_cfg *config;
static volatile u8 *notify_base;
static u32 notify_multiplier;
static volatile u32 *msix_table;
static u32 msix_entries;
static struct pair *pairs[MAX_CPUS];
static u32 npairs, max_pairs;
static u64 features;

static bool has(u32 bit) { return features >> bit & 1; }

/* Receive buffers until the ring is full. */
static void virtio_net_refill(struct pair *p)
{
    bool added = false;
    for (void *buf; p->rx.num_free && (buf = skb_buffer_alloc()); added = true)
        virtio_ring_add(&p->rx, buf, RX_BUFFER_SIZE, true, buf);
    if (added)
        virtio_ring_kick(&p->rx);
}

/* One filled buffer: the header the device wrote, then the frame. */
probed static void virtio_net_receive(struct pair *p, void *buf, u32 len)
{
    struct net_hdr *h = buf;
    struct skb *s = len > VNET_HDR_LEN && len <= RX_BUFFER_SIZE ? skb_build(buf, VNET_HDR_LEN, len - VNET_HDR_LEN) : NULL;
    if (!s) {
        skb_buffer_free(buf);
        return;
    }
    /* A partial checksum means the sender shares this host: there is nothing on the way to go wrong. */
    s->csum_mode = h->flags & (HDR_DATA_VALID | HDR_NEEDS_CSUM) ? CSUM_UNNECESSARY : CSUM_NONE;
    s->dev = &vnet_dev;
    netif_receive_skb(s);
}

static int virtio_net_poll_rx(struct napi *n, int budget)
{
    struct pair *p = container_of(n, struct pair, rx_napi);
    int done = 0;
    u32 len;
    for (void *buf; done < budget && (buf = virtio_ring_get(&p->rx, &len)); done++)
        virtio_net_receive(p, buf, len);
    if (p->rx.num_free > p->rx.num / 2u || done < budget)
        virtio_net_refill(p);
    if (unlikely(p->rx.num_free == p->rx.num))
        return budget; /* no memory for a single buffer: stay, as no interrupt would call us again */
    if (done < budget) {
        napi_complete(n);
        if (!knobs.polling && !virtio_ring_enable_irq(&p->rx)) {
            virtio_ring_disable_irq(&p->rx);
            napi_schedule(n);
        }
    }
    return done;
}

static bool virtio_net_rx_interrupt(void *arg)
{
    struct pair *p = arg;
    if (!virtio_ring_pending(&p->rx))
        return false;
    virtio_ring_disable_irq(&p->rx);
    napi_schedule(&p->rx_napi);
    return true;
}

static struct pair *virtio_net_own_pair(void) { return cpu_id() < npairs ? pairs[cpu_id()] : NULL; }

static bool virtio_net_rx_pending(void)
{
    struct pair *p = virtio_net_own_pair();
    return p && virtio_ring_pending(&p->rx);
}

static void virtio_net_rx_poll(void)
{
    struct pair *p = virtio_net_own_pair();
    if (p)
        napi_schedule(&p->rx_napi);
}

static bool virtio_net_tx_interrupt(void *arg)
{
    struct pair *p = arg;
    if (!virtio_ring_pending(&p->tx))
        return true; /* a sender has tidied up meanwhile */
    virtio_ring_disable_irq(&p->tx);
    napi_schedule(&p->tx_napi);
    return true;
}

static void virtio_net_reclaim(struct pair *p)
{
    u32 len;
    for (struct skb *s; (s = virtio_ring_get(&p->tx, &len));)
        skb_free(s);
}

/* The packet goes into the ring: hdr is what its descriptor will point to. */
probed static void virtio_net_post(void *hdr, struct pair *p, struct skb *skb)
{
    virtio_ring_add(&p->tx, hdr, skb->len, false, skb);
}

/* Asks for an interrupt when most of the ring's packets are sent, or any if it is full; at once if they are already. With poll=1 only if it is full. */
static void virtio_net_want_tx_irq(struct pair *p)
{
    bool some = p->tx.num_free < p->tx.num;
    if (p->queue.stopped ? !virtio_ring_enable_irq(&p->tx) : some && !knobs.polling && !virtio_ring_enable_irq_late(&p->tx)) {
        virtio_ring_disable_irq(&p->tx);
        napi_schedule(&p->tx_napi);
    }
}

/* poll=1: nobody will tell. */
static void virtio_net_tx_poll(void)
{
    for (u32 i = 0; i < npairs; i++) {
        spin_lock_bh(&pairs[i]->queue.xmit_lock);
        virtio_net_reclaim(pairs[i]);
        spin_unlock_bh(&pairs[i]->queue.xmit_lock);
    }
}

static int virtio_net_poll_tx(struct napi *n, int budget)
{
    struct pair *p = container_of(n, struct pair, tx_napi);
    spin_lock(&p->queue.xmit_lock);
    napi_complete(n);
    virtio_net_reclaim(p);
    bool wake = p->queue.stopped && p->tx.num_free;
    if (!wake)
        virtio_net_want_tx_irq(p);
    spin_unlock(&p->queue.xmit_lock);
    if (wake)
        qdisc_wake(&p->queue);
    return 0;
}

static void virtio_net_push_header(struct skb *skb)
{
    struct net_hdr h = { 0 };
    if (skb->csum_mode == CSUM_PARTIAL) {
        h.flags = HDR_NEEDS_CSUM;
        h.csum_start = skb->csum_start;
        h.csum_offset = skb->csum_offset;
    }
    memcpy(skb_push(skb, VNET_HDR_LEN), &h, sizeof h);
}

/* q's xmit_lock is held. */
static int virtio_net_xmit(struct net_device *dev, struct qdisc *q, struct skb *skb)
{
    struct pair *p = container_of(q, struct pair, queue);
    virtio_net_reclaim(p);
    if (unlikely(!p->tx.num_free)) {
        q->stopped = true;
        virtio_net_want_tx_irq(p);
        return -EBUSY;
    }
    stat_count(DEV_TX_PACKETS);
    stat_add(DEV_TX_BYTES, skb->len);
    virtio_net_push_header(skb);
    virtio_net_post(skb->data, p, skb);
    virtio_ring_kick(&p->tx);
    virtio_net_want_tx_irq(p);
    return 0;
}

static volatile void *virtio_net_map_cfg(const struct pci_dev *d, u8 type)
{
    for (u8 cap = 0; (cap = pci_find_cap(d, CAP_VENDOR, cap));) {
        if (pci_read8(d, cap + 3u) != type)
            continue;
        if (type == CFG_NOTIFY)
            notify_multiplier = pci_read32(d, cap + 16u);
        u64 bar = pci_bar(d, pci_read8(d, cap + 4u));
        return mm_map_device(bar + pci_read32(d, cap + 8u), pci_read32(d, cap + 12u));
    }
    panic("virtio_net: the device has no configuration structure of type %u", type);
}

static void virtio_net_negotiate(void)
{
    const u64 wanted = 1ul << F_CSUM | 1ul << F_GUEST_CSUM | 1ul << F_MAC | 1ul << F_STATUS | 1ul << F_CTRL_VQ | 1ul << F_MQ |
                       1ul << F_EVENT_IDX | 1ul << F_VERSION_1;
    u64 offered = 0;
    common->device_status = 0;
    while (common->device_status)
        cpu_pause();
    common->device_status = S_ACKNOWLEDGE;
    common->device_status = S_ACKNOWLEDGE | S_DRIVER;
    for (u32 i = 0; i < 2; i++) {
        common->device_feature_select = i;
        offered |= (u64)common->device_feature << 32 * i;
    }
    features = offered & wanted;
    if (!has(F_VERSION_1))
        panic("virtio_net: the device is not virtio 1");
    if (!has(F_CTRL_VQ))
        features &= ~(1ul << F_MQ);
    for (u32 i = 0; i < 2; i++) {
        common->driver_feature_select = i;
        common->driver_feature = (u32)(features >> 32 * i);
    }
    common->device_status = S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK;
    if (!(common->device_status & S_FEATURES_OK))
        panic("virtio_net: the device refused the features");
}

static void virtio_net_setup_queue(struct virtqueue *vq, u16 index, u16 vector)
{
    common->queue_select = index;
    u16 num = MIN(common->queue_size, (u16)VRING_MAX);
    if (!num || !virtio_ring_init(vq, index, num, has(F_EVENT_IDX)))
        panic("virtio_net: queue %u cannot be set up", index);
    common->queue_size = num;
    u64 addr[3] = { pa(vq->desc), pa(vq->avail), pa((void *)vq->used) };
    common->queue_desc[0] = (u32)addr[0], common->queue_desc[1] = (u32)(addr[0] >> 32);
    common->queue_driver[0] = (u32)addr[1], common->queue_driver[1] = (u32)(addr[1] >> 32);
    common->queue_device[0] = (u32)addr[2], common->queue_device[1] = (u32)(addr[2] >> 32);
    common->queue_msix_vector = vector;
    if (common->queue_msix_vector != vector)
        panic("virtio_net: no MSI-X vector for queue %u", index);
    vq->notify = (volatile u16 *)(notify_base + common->queue_notify_off * notify_multiplier);
    common->queue_enable = 1;
}

static void virtio_net_setup_pair(u32 i)
{
    struct pair *p = kzalloc(sizeof *p);
    if (!p)
        panic("virtio_net: no memory for queues");
    pairs[i] = p;
    if (!qdisc_init(&p->queue, &vnet_dev, i))
        panic("virtio_net: no memory for a queueing discipline");
    vnet_dev.queues[i] = &p->queue;
    p->rx_napi.poll = virtio_net_poll_rx;
    p->tx_napi.poll = virtio_net_poll_tx;
    u32 apic = cpus[i].apic_id;
    pci_msix_set(msix_table, 2 * i, irq_alloc(virtio_net_rx_interrupt, p), apic);
    pci_msix_set(msix_table, 2 * i + 1, irq_alloc(virtio_net_tx_interrupt, p), apic);
    virtio_net_setup_queue(&p->rx, (u16)(2 * i), (u16)(2 * i));
    virtio_net_setup_queue(&p->tx, (u16)(2 * i + 1), (u16)(2 * i + 1));
    virtio_ring_disable_irq(&p->tx);
    if (knobs.polling)
        virtio_ring_disable_irq(&p->rx);
}

/* Tells the device how many pairs to spread packets over. Once, while booting: so the answer is polled for. */
static void virtio_net_set_pairs(struct virtqueue *ctrl)
{
    struct { u8 class, cmd; u16 n; u8 ack; } *c = kmalloc(sizeof *c);
    u32 len;
    *c = (__typeof__(*c)){ CTRL_MQ, 0, (u16)npairs, 0xff };
    virtio_ring_disable_irq(ctrl);
    virtio_ring_add_pair(ctrl, c, 4, &c->ack, 1, c);
    virtio_ring_kick(ctrl);
    while (!virtio_ring_get(ctrl, &len))
        cpu_pause();
    if (READ_ONCE(c->ack))
        panic("virtio_net: the device refused %u queue pairs", npairs);
    kfree(c);
}

/* No such device: the machine has the loopback only. */
void virtio_net_init(void)
{
    struct pci_dev d;
    static struct virtqueue ctrl;
    if (!pci_find(VIRTIO_VENDOR, VIRTIO_NET_MODERN, &d))
        return;
    pci_enable(&d);
    common = virtio_net_map_cfg(&d, CFG_COMMON);
    notify_base = virtio_net_map_cfg(&d, CFG_NOTIFY);
    config = virtio_net_map_cfg(&d, CFG_DEVICE);
    virtio_net_negotiate();
    msix_entries = pci_msix_enable(&d, &msix_table);
    max_pairs = has(F_MQ) ? config->max_pairs : 1;
    npairs = MIN(MIN(max_pairs, ncpus), msix_entries / 2);
    if (!npairs)
        panic("virtio_net: the device has %u MSI-X vectors", msix_entries);
    vnet_dev = (struct net_device){ .name = "eth0", .mtu = 1500, .tx_csum = has(F_CSUM), .rx_pending = virtio_net_rx_pending,
        .rx_poll = virtio_net_rx_poll, .tx_poll = virtio_net_tx_poll, .xmit = virtio_net_xmit };
    for (int i = 0; i < 6; i++)
        vnet_dev.mac[i] = has(F_MAC) ? config->mac[i] : (u8)(0x52 + i);
    common->msix_config = NO_VECTOR;
    for (u32 i = 0; i < npairs; i++)
        virtio_net_setup_pair(i);
    if (has(F_MQ))
        virtio_net_setup_queue(&ctrl, (u16)(2 * max_pairs), NO_VECTOR);
    common->device_status = S_ACKNOWLEDGE | S_DRIVER | S_FEATURES_OK | S_DRIVER_OK;
    for (u32 i = 0; i < npairs; i++)
        virtio_net_refill(pairs[i]);
    if (has(F_MQ))
        virtio_net_set_pairs(&ctrl);
    vnet_dev.nqueues = npairs;
    eth_dev = &vnet_dev;
    ip_init();
}
