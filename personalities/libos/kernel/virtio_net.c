/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The network driver: a queue pair per vCPU as far as the device has them, each served by its vCPU only, so without
 * locks. An interrupt starts an event that polls the pair until it is empty; only then are interrupts asked for again.
 * A frame is handled to its end, answers included, before the next one is looked at. The pair of a vCPU is the
 * representative of an Ebb.
 *
 * With poll_us=N on the command line a vCPU goes on polling for N microseconds after its last frame.
 *
 * virtio_net_take, _queue, _hold, _sent, _silent, _forward and _forwarded are probe points (manifest.toml): functions
 * of their own, with the address of the buffer's virtio header as second argument.
 */
#include "virtio_net.h"
#include "clock.h"
#include "ebb.h"
#include "eth.h"
#include "event.h"
#include "iobuf.h"
#include "irq.h"
#include "virtio_pci.h"

#define VIRTIO_NET_PCI_ID 0x1041
#define POLL_BUDGET 32u         /* frames in a row, before other events get their turn */
#define WATCH_LOOKS 16u         /* at an empty ring in a row, likewise */
#define POLL_US_MAX 1000000u

#define FEATURE(n) (1ull << (n))
#define F_CSUM 0
#define F_GUEST_CSUM 1
#define F_MAC 5
#define F_CTRL_VQ 17
#define F_MQ 22
#define F_EVENT_IDX 29
#define F_VERSION_1 32
#define WANTED (FEATURE(F_CSUM) | FEATURE(F_GUEST_CSUM) | FEATURE(F_MAC) | FEATURE(F_CTRL_VQ) | FEATURE(F_MQ) | \
                FEATURE(F_EVENT_IDX) | FEATURE(F_VERSION_1))

#define CONFIG_MAC 0
#define CONFIG_MAX_PAIRS 8
#define CTRL_CLASS_MQ 4
#define CTRL_MQ_PAIRS_SET 0

#define VNET_NEEDS_CSUM 1
#define VNET_DATA_VALID 2

struct vnet_header {
    uint8_t flags;
    uint8_t gso_type;
    uint16_t header_length;
    uint16_t gso_size;
    uint16_t csum_start;
    uint16_t csum_offset;
    uint16_t buffers;
} __attribute__((packed));

#define VNET_HEADER 12u
#define RX_ROOM (IOBUF_SIZE - IOBUF_VNET_AT)

_Static_assert(sizeof(struct vnet_header) == VNET_HEADER, "as VERSION_1 has it");

struct pair {
    struct virtqueue rx;
    struct virtqueue tx;
    struct iobuf *rx_bufs[VIRTQ_MAX];   /* by descriptor */
    struct iobuf *tx_bufs[VIRTQ_MAX];
    uint16_t tx_free[VIRTQ_MAX];        /* descriptors, a stack */
    unsigned tx_free_count;
    struct iobuf *backlog;              /* frames that wait for a descriptor */
    struct iobuf **backlog_last;
    bool polling;                       /* inside the poll: it will publish */
    uint64_t last_frame;                /* when, if virtio_net_linger */
    struct event poll;
    uint64_t received, sent, silent, dropped, queued;
};

uint8_t virtio_net_mac[6];

static struct virtio_pci virtio_net_device;
static unsigned virtio_net_pairs;
static struct pair *virtio_net_pair_of[LIBOS_MAX_CPUS];
static unsigned virtio_net_started;
static uint64_t virtio_net_linger;      /* TSC cycles; 0: sleep when the ring is empty */

static struct vnet_header *virtio_net_header(struct iobuf *frame)
{
    return (struct vnet_header *)(frame->data - VNET_HEADER);
}

/* ---- receive ---- */

static struct vnet_header *virtio_net_rx_header(struct iobuf *buf)
{
    return (struct vnet_header *)((uint8_t *)buf + IOBUF_VNET_AT);
}

static void virtio_net_offer_rx(struct pair *pair, uint16_t id, struct iobuf *buf)
{
    pair->rx_bufs[id] = buf;
    virtqueue_fill(&pair->rx, id, (uint64_t)virtio_net_rx_header(buf), RX_ROOM, VIRTQ_DESC_WRITE);
    virtqueue_offer(&pair->rx, id);
}

/* Probe point: a frame becomes the one this vCPU works for. NULL: the device claims an impossible length. */
static noinline struct iobuf *virtio_net_take(struct pair *pair, struct vnet_header *header, uint32_t length)
{
    struct iobuf *buf = iobuf_of(header);

    if (unlikely(length < VNET_HEADER || length > RX_ROOM))
        return NULL;
    pair->received++;
    buf->data = (uint8_t *)(header + 1);
    buf->len = length - VNET_HEADER;
    /* NEEDS_CSUM: from a neighbour on the same host, never on a wire. */
    buf->flags = header->flags & (VNET_DATA_VALID | VNET_NEEDS_CSUM) ? IOBUF_CSUM_OK : 0;
    return buf;
}

/* Probe points: the frame is done, with and without answers on their way to the device. */
static noinline void virtio_net_sent(struct pair *pair)
{
    pair->sent++;
}

static noinline void virtio_net_silent(struct pair *pair)
{
    pair->silent++;
}

static void virtio_net_receive(struct pair *pair)
{
    struct virtq_used_entry used = virtqueue_take_used(&pair->rx);
    uint64_t queued = pair->queued;

    if (used.id >= pair->rx.size || pair->rx_bufs[used.id] == NULL)
        panic("virtio_net: the device used descriptor %u, which it does not have", used.id);

    struct iobuf *buf = virtio_net_take(pair, virtio_net_rx_header(pair->rx_bufs[used.id]), used.length);
    struct iobuf *fresh = buf ? iobuf_alloc_tx() : NULL;

    if (likely(fresh != NULL)) {
        virtio_net_offer_rx(pair, (uint16_t)used.id, fresh);
        eth_input(buf);
    } else {
        /* Nonsense, or no memory for another buffer: this one goes straight back. */
        pair->dropped++;
        virtio_net_offer_rx(pair, (uint16_t)used.id, pair->rx_bufs[used.id]);
    }
    if (pair->queued != queued)
        virtio_net_sent(pair);
    else
        virtio_net_silent(pair);
}

/* ---- transmit ---- */

static void virtio_net_reclaim(struct pair *pair)
{
    while (virtqueue_has_used(&pair->tx)) {
        struct virtq_used_entry used = virtqueue_take_used(&pair->tx);

        if (used.id >= pair->tx.size || pair->tx_bufs[used.id] == NULL)
            panic("virtio_net: the device sent descriptor %u, which it does not have", used.id);
        iobuf_free(pair->tx_bufs[used.id]);
        pair->tx_bufs[used.id] = NULL;
        pair->tx_free[pair->tx_free_count++] = (uint16_t)used.id;
    }
}

/* Probe point: the frame belongs to the request being worked for. The device sees it after virtqueue_publish(). */
static noinline void virtio_net_queue(struct pair *pair, struct vnet_header *header, struct iobuf *frame)
{
    uint16_t id = pair->tx_free[--pair->tx_free_count];

    pair->tx_bufs[id] = frame;
    pair->queued++;
    virtqueue_fill(&pair->tx, id, (uint64_t)header, VNET_HEADER + frame->len, 0);
    virtqueue_offer(&pair->tx, id);
}

/* The ring is full. Probe point: the request goes with the frame. */
static noinline void virtio_net_hold(struct pair *pair, struct vnet_header *header, struct iobuf *frame)
{
    (void)header;
    pair->queued++;
    frame->next = NULL;
    *pair->backlog_last = frame;
    pair->backlog_last = &frame->next;
}

static void virtio_net_send(struct pair *pair, struct iobuf *frame)
{
    if (pair->tx_free_count == 0 || pair->backlog)
        virtio_net_hold(pair, virtio_net_header(frame), frame);
    else
        virtio_net_queue(pair, virtio_net_header(frame), frame);
}

static void virtio_net_send_backlog(struct pair *pair)
{
    while (pair->backlog && pair->tx_free_count) {
        struct iobuf *frame = pair->backlog;

        pair->backlog = frame->next;
        if (pair->backlog == NULL)
            pair->backlog_last = &pair->backlog;
        virtio_net_queue(pair, virtio_net_header(frame), frame);
    }
}

/* Another vCPU's frame, here at the vCPU that has the queue. Probe point. */
static noinline void virtio_net_forwarded(struct pair *pair, struct vnet_header *header)
{
    struct iobuf *frame = iobuf_of(header);

    virtio_net_send(pair, frame);
    virtio_net_sent(pair);
    virtqueue_publish(&pair->tx);
}

static void virtio_net_accept(void *arg)
{
    struct iobuf *frame = arg;
    struct pair *pair = ebb_rep(EBB_NETDEV);

    virtio_net_reclaim(pair);
    virtio_net_forwarded(pair, virtio_net_header(frame));
    if (pair->backlog)
        event_raise(&pair->poll);
}

/* This vCPU has no queue. Probe point: the request goes with the frame. */
static noinline void virtio_net_forward(unsigned owner, struct vnet_header *header, struct iobuf *frame)
{
    (void)header;
    event_post(owner, &frame->event, virtio_net_accept, frame);
}

void virtio_net_transmit(struct iobuf *frame)
{
    unsigned cpu = this_cpu()->id;
    struct vnet_header *header = virtio_net_header(frame);

    if (virtio_net_pairs == 0) {
        iobuf_free(frame);
        return;
    }
    *header = (struct vnet_header){ 0 };
    if (frame->flags & IOBUF_CSUM_NEEDED) {
        header->flags = VNET_NEEDS_CSUM;
        header->csum_start = (uint16_t)(frame->csum_start - frame->data);
        header->csum_offset = frame->csum_offset;
    }
    if (cpu >= virtio_net_pairs) {
        virtio_net_forward(cpu % virtio_net_pairs, header, frame);
        return;
    }

    struct pair *pair = ebb_rep(EBB_NETDEV);

    if (pair->polling) {
        virtio_net_send(pair, frame);
        return;
    }
    virtio_net_reclaim(pair);
    virtio_net_send(pair, frame);
    virtio_net_sent(pair);
    virtqueue_publish(&pair->tx);
    if (pair->backlog)
        event_raise(&pair->poll);
}

/* ---- interrupt, poll ---- */

/* An empty ring is looked at for a while. Its time is polling, not work (manifest.toml). */
static noinline void virtio_net_watch(struct pair *pair)
{
    for (unsigned looks = WATCH_LOOKS; looks && !virtqueue_has_used(&pair->rx); looks--)
        cpu_relax();
}

/* Nothing to do. True: do not sleep yet. */
static bool virtio_net_keep_polling(struct pair *pair, bool idle)
{
    if (virtio_net_linger == 0)
        return false;
    if (!idle) {
        pair->last_frame = rdtsc();
        return true;
    }
    if (rdtsc() - pair->last_frame >= virtio_net_linger)
        return false;
    virtio_net_watch(pair);
    return true;
}

static void virtio_net_poll(void *arg)
{
    struct pair *pair = arg;
    unsigned budget = POLL_BUDGET;
    uint64_t received = pair->received;

    pair->polling = true;
    virtio_net_reclaim(pair);
    virtio_net_send_backlog(pair);
    virtqueue_publish(&pair->tx);
    while (budget-- && virtqueue_has_used(&pair->rx)) {
        virtio_net_receive(pair);
        virtqueue_publish(&pair->tx);
    }
    virtqueue_publish(&pair->rx);
    pair->polling = false;

    /* With frames held back, the next free transmit descriptor is worth an interrupt too. */
    if (pair->backlog == NULL)
        virtqueue_interrupt_off(&pair->tx);
    else if (!virtqueue_interrupt_on(&pair->tx))
        event_raise(&pair->poll);
    if (virtio_net_keep_polling(pair, pair->received == received)) {
        event_raise(&pair->poll);
    } else if (!virtqueue_interrupt_on(&pair->rx)) {
        virtqueue_interrupt_off(&pair->rx);
        event_raise(&pair->poll);
    }
}

static void virtio_net_interrupt(void)
{
    struct pair *pair = ebb_rep(EBB_NETDEV);

    virtqueue_interrupt_off(&pair->rx);
    event_raise(&pair->poll);
}

/* ---- start ---- */

static void *virtio_net_miss(ebb_id id, void *root)
{
    (void)id;
    (void)root;
    if (cpu_id() >= virtio_net_pairs)
        panic("virtio_net: vCPU %u has no queue pair", cpu_id());
    return virtio_net_pair_of[cpu_id()];
}

static void virtio_net_start_pair(void *arg)
{
    struct pair *pair = arg;

    for (uint16_t id = 0; id < pair->rx.size; id++) {
        struct iobuf *buf = iobuf_alloc_tx();

        if (buf == NULL)
            panic("virtio_net: no memory for receive buffers");
        virtio_net_offer_rx(pair, id, buf);
    }
    virtqueue_interrupt_off(&pair->tx);
    virtqueue_interrupt_on(&pair->rx);
    virtqueue_publish(&pair->rx);
    __atomic_fetch_add(&virtio_net_started, 1, __ATOMIC_RELEASE);
}

static void virtio_net_make_pair(unsigned cpu)
{
    struct pair *pair = ebb_rep_memory(sizeof(*pair));

    virtio_pci_msix(&virtio_net_device, cpu, cpu_table[cpu]->apic_id, IRQ_NIC);
    virtio_pci_queue(&virtio_net_device, &pair->rx, (uint16_t)(2 * cpu), (uint16_t)cpu);
    virtio_pci_queue(&virtio_net_device, &pair->tx, (uint16_t)(2 * cpu + 1), (uint16_t)cpu);
    for (uint16_t id = pair->tx.size; id-- > 0;)
        pair->tx_free[pair->tx_free_count++] = id;
    pair->backlog_last = &pair->backlog;
    pair->poll.fn = virtio_net_poll;
    pair->poll.arg = pair;
    virtio_net_pair_of[cpu] = pair;
}

/* Tells the device how many pairs to use: a header, the argument and the answer, in three descriptors. */
static void virtio_net_set_pairs(struct virtqueue *control)
{
    struct { uint8_t class, command; uint16_t pairs; uint8_t answer; } *message = mem_alloc(sizeof(*message));

    message->class = CTRL_CLASS_MQ;
    message->command = CTRL_MQ_PAIRS_SET;
    message->pairs = (uint16_t)virtio_net_pairs;
    message->answer = 0xFF;
    control->desc[0] = (struct virtq_desc){ (uint64_t)&message->class, 2, VIRTQ_DESC_NEXT, 1 };
    control->desc[1] = (struct virtq_desc){ (uint64_t)&message->pairs, 2, VIRTQ_DESC_NEXT, 2 };
    control->desc[2] = (struct virtq_desc){ (uint64_t)&message->answer, 1, VIRTQ_DESC_WRITE, 0 };
    virtqueue_offer(control, 0);
    virtqueue_publish(control);
    while (!virtqueue_has_used(control))
        cpu_relax();
    compiler_barrier();
    if (message->answer != 0)
        panic("virtio_net: the device refuses %u queue pairs", virtio_net_pairs);
    mem_free(message);
}

static uint64_t virtio_net_linger_option(void)
{
    const char *text = cmdline_get("poll_us", "0");
    uint64_t us = 0;

    for (; *text >= '0' && *text <= '9' && us <= POLL_US_MAX; text++)
        us = us * 10 + (uint64_t)(*text - '0');
    if (*text != '\0' || us > POLL_US_MAX)
        panic("virtio_net: poll_us is a number up to %u", POLL_US_MAX);
    return clock_from_ns(us * 1000);
}

void virtio_net_init(void)
{
    struct virtio_pci *device = &virtio_net_device;
    struct virtqueue control = { 0 };

    if (!virtio_pci_open(device, VIRTIO_NET_PCI_ID, WANTED)) {
        console_printf("virtio_net: no device\n");
        return;
    }
    if (!virtio_pci_has(device, F_VERSION_1) || !virtio_pci_has(device, F_MAC))
        panic("virtio_net: the device lacks VERSION_1 or MAC (features %lx)", device->features);
    for (unsigned i = 0; i < 6; i++)
        virtio_net_mac[i] = *(volatile uint8_t *)(device->config + CONFIG_MAC + i);

    bool several = virtio_pci_has(device, F_MQ) && virtio_pci_has(device, F_CTRL_VQ);
    unsigned offered = several ? *(volatile uint16_t *)(device->config + CONFIG_MAX_PAIRS) : 1;

    virtio_net_pairs = offered < cpu_count() ? offered : cpu_count();
    if (virtio_net_pairs > device->msix_count)
        virtio_net_pairs = device->msix_count;
    virtio_net_linger = virtio_net_linger_option();
    eth_set_offload(virtio_pci_has(device, F_CSUM));
    ebb_install(EBB_NETDEV, virtio_net_miss, NULL);
    irq_register(IRQ_NIC, virtio_net_interrupt);
    for (unsigned cpu = 0; cpu < virtio_net_pairs; cpu++)
        virtio_net_make_pair(cpu);
    if (several)
        virtio_pci_queue(device, &control, (uint16_t)(2 * offered), VIRTIO_NO_VECTOR);
    virtio_pci_ready(device);
    if (several)
        virtio_net_set_pairs(&control);

    /* Each vCPU fills its own ring from its own pool. */
    for (unsigned cpu = 1; cpu < virtio_net_pairs; cpu++)
        if (!event_spawn(cpu, virtio_net_start_pair, virtio_net_pair_of[cpu]))
            panic("virtio_net: no memory");
    virtio_net_start_pair(virtio_net_pair_of[0]);
    while (__atomic_load_n(&virtio_net_started, __ATOMIC_ACQUIRE) != virtio_net_pairs)
        cpu_relax();
    console_printf("virtio_net: %02x:%02x:%02x:%02x:%02x:%02x, %u queue pairs, checksums by the %s\n",
                   virtio_net_mac[0], virtio_net_mac[1], virtio_net_mac[2], virtio_net_mac[3], virtio_net_mac[4],
                   virtio_net_mac[5], virtio_net_pairs, virtio_pci_has(device, F_CSUM) ? "device" : "driver");
}
