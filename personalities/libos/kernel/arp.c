/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ARP (RFC 826). Each vCPU has a cache of its own (an Ebb), read without locks. Answers arrive on one vCPU, which tells
 * the others by events.
 */
#include "arp.h"
#include "byteorder.h"
#include "ebb.h"
#include "eth.h"
#include "ip.h"
#include "virtio_net.h"

#define ARP_ENTRIES 64u         /* direct-mapped: a newcomer evicts */
#define ARP_PENDING_MAX 8u      /* packets that wait for one address */
#define ARP_RETRY_NS 20000000ull        /* our choice, shorter than hosts are to wait (RFC 1122): nodes boot together, and the last comer is looked for */
#define ARP_TRIES 4u
#define ARP_REQUEST 1
#define ARP_REPLY 2

struct arp_packet {
    uint16_t hardware, protocol;
    uint8_t hardware_length, protocol_length;
    uint16_t operation;
    uint8_t from_mac[6];
    uint32_t from_ip;
    uint8_t to_mac[6];
    uint32_t to_ip;
} __attribute__((packed));

struct arp_entry {
    uint32_t ip;
    uint8_t mac[6];
    bool known;
    uint8_t tries;
    uint8_t pending_count;
    struct iobuf *pending;      /* oldest first */
    struct timer retry;
};

struct arp_rep {
    struct arp_entry entries[ARP_ENTRIES];
};

/* What one vCPU tells another. */
struct arp_news {
    uint32_t ip;
    uint8_t mac[6];
};

static const uint8_t arp_broadcast[6] = { 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF };

static void *arp_miss(ebb_id id, void *root)
{
    (void)id;
    (void)root;
    return ebb_rep_memory(sizeof(struct arp_rep));
}

void arp_init(void)
{
    ebb_install(EBB_ARP, arp_miss, NULL);
}

static struct arp_entry *arp_slot(uint32_t ip)
{
    struct arp_rep *rep = ebb_rep(EBB_ARP);

    /* The last byte of an address in network order is the top one here; neighbours differ in it. */
    return &rep->entries[(ip >> 24 ^ ip >> 16) % ARP_ENTRIES];
}

static void arp_send(uint16_t operation, const uint8_t to_mac[6], uint32_t to_ip)
{
    struct iobuf *buf = iobuf_alloc_tx();

    if (buf == NULL)
        return;

    struct arp_packet *arp = (struct arp_packet *)buf->data;

    *arp = (struct arp_packet){
        .hardware = swap16(1),
        .protocol = swap16(ETH_TYPE_IP),
        .hardware_length = 6,
        .protocol_length = 4,
        .operation = swap16(operation),
        .from_ip = net_address(),
        .to_ip = to_ip,
    };
    memcpy(arp->from_mac, virtio_net_mac, 6);
    if (operation == ARP_REPLY)
        memcpy(arp->to_mac, to_mac, 6);
    buf->len = sizeof(*arp);
    eth_output(buf, to_mac, ETH_TYPE_ARP);
}

static void arp_drop_pending(struct arp_entry *entry)
{
    timer_cancel(&entry->retry);
    while (entry->pending) {
        struct iobuf *packet = entry->pending;

        entry->pending = packet->next;
        iobuf_free(packet);
    }
    entry->pending_count = 0;
}

static void arp_retry(void *arg)
{
    struct arp_entry *entry = arg;

    if (++entry->tries > ARP_TRIES) {
        arp_drop_pending(entry);
        entry->ip = 0;
        return;
    }
    arp_send(ARP_REQUEST, arp_broadcast, entry->ip);
    timer_start(&entry->retry, ARP_RETRY_NS, arp_retry, entry);
}

/* Probe point (manifest.toml): `header` is where the driver will put the frame's virtio header. */
static noinline void arp_wait(struct arp_entry *entry, void *header, struct iobuf *packet)
{
    struct iobuf **last = &entry->pending;

    (void)header;
    while (*last)
        last = &(*last)->next;
    packet->next = NULL;
    *last = packet;
    entry->pending_count++;
}

/* Probe point. */
static noinline void arp_resume(struct arp_entry *entry, void *header, struct iobuf *packet)
{
    (void)header;
    eth_output(packet, entry->mac, ETH_TYPE_IP);
}

static void *arp_future_header(struct iobuf *packet)
{
    return packet->data - sizeof(struct eth_header) - 12;
}

static struct arp_entry *arp_claim(uint32_t ip)
{
    struct arp_entry *entry = arp_slot(ip);

    if (entry->ip != ip) {
        arp_drop_pending(entry);
        entry->ip = ip;
        entry->known = false;
        entry->tries = 0;
    }
    return entry;
}

void arp_output(struct iobuf *packet, uint32_t next_hop)
{
    struct arp_entry *entry = arp_claim(next_hop);

    if (likely(entry->known)) {
        eth_output(packet, entry->mac, ETH_TYPE_IP);
        return;
    }
    if (entry->pending_count == ARP_PENDING_MAX) {
        iobuf_free(packet);
        return;
    }

    bool first = entry->pending == NULL;

    arp_wait(entry, arp_future_header(packet), packet);
    if (first) {
        entry->tries = 0;
        arp_retry(entry);
    }
}

static void arp_learn(uint32_t ip, const uint8_t mac[6])
{
    struct arp_entry *entry = arp_claim(ip);

    memcpy(entry->mac, mac, 6);
    entry->known = true;

    struct iobuf *packet = entry->pending;

    entry->pending = NULL;
    arp_drop_pending(entry);        /* the timer */
    while (packet) {
        struct iobuf *next = packet->next;

        arp_resume(entry, arp_future_header(packet), packet);
        packet = next;
    }
}

static void arp_hear(void *arg)
{
    struct arp_news *news = arg;

    arp_learn(news->ip, news->mac);
    mem_free(news);
}

static void arp_tell_others(uint32_t ip, const uint8_t mac[6])
{
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++) {
        if (cpu == cpu_id())
            continue;

        struct arp_news *news = mem_alloc(sizeof(*news));

        if (news == NULL)
            return;
        news->ip = ip;
        memcpy(news->mac, mac, 6);
        if (!event_spawn(cpu, arp_hear, news))
            mem_free(news);
    }
}

void arp_input(struct iobuf *packet)
{
    const struct arp_packet *arp = (const struct arp_packet *)packet->data;

    if (packet->len < sizeof(*arp) || arp->hardware != swap16(1) || arp->protocol != swap16(ETH_TYPE_IP) ||
        arp->hardware_length != 6 || arp->protocol_length != 4)
        return;
    /* A group address, or a claim to be us, is nobody's neighbour. */
    if (arp->to_ip != net_address() || arp->from_ip == 0 || arp->from_ip == net_address() || arp->from_mac[0] & 1)
        return;

    struct arp_entry *entry = arp_slot(arp->from_ip);

    if (entry->ip != arp->from_ip || !entry->known || memcmp(entry->mac, arp->from_mac, 6) != 0) {
        arp_learn(arp->from_ip, arp->from_mac);
        arp_tell_others(arp->from_ip, arp->from_mac);
    }
    if (arp->operation == swap16(ARP_REQUEST))
        arp_send(ARP_REPLY, arp->from_mac, arp->from_ip);
}
