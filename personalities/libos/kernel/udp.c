/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * UDP. The ports' manager is an Ebb: its root holds all bindings, each vCPU's representative a copy to look them up in
 * without sharing a line with other vCPUs.
 */
#include "udp.h"
#include "byteorder.h"
#include "ebb.h"

#define UDP_PORTS 64u           /* a power of two; open addressing */

struct udp_header {
    uint16_t from;
    uint16_t to;
    uint16_t length;
    uint16_t checksum;
} __attribute__((packed));

struct udp_binding {
    udp_handler handler;        /* NULL: free */
    void *ctx;
    uint16_t port;              /* network byte order */
};

struct udp_table {
    struct udp_binding bindings[UDP_PORTS];
};

static struct udp_table udp_root;
static unsigned udp_bound;
static struct spinlock udp_lock;

static struct udp_binding *udp_find(struct udp_table *table, uint16_t port)
{
    unsigned slot = (unsigned)(port ^ port >> 8) % UDP_PORTS;

    /* Never full, so an empty slot ends the search. */
    while (table->bindings[slot].handler && table->bindings[slot].port != port)
        slot = (slot + 1) % UDP_PORTS;
    return &table->bindings[slot];
}

static void *udp_miss(ebb_id id, void *root)
{
    struct udp_table *rep = ebb_rep_memory(sizeof(*rep));

    (void)id;
    spin_lock(&udp_lock);
    memcpy(rep, root, sizeof(*rep));
    spin_unlock(&udp_lock);
    return rep;
}

void udp_init(void)
{
    ebb_install(EBB_UDP, udp_miss, &udp_root);
}

static void udp_refresh(void *arg)
{
    struct udp_table *rep = ebb_rep(EBB_UDP);

    (void)arg;
    spin_lock(&udp_lock);
    memcpy(rep, &udp_root, sizeof(*rep));
    spin_unlock(&udp_lock);
}

bool udp_bind(uint16_t port, udp_handler handler, void *ctx)
{
    spin_lock(&udp_lock);

    struct udp_binding *binding = udp_find(&udp_root, swap16(port));
    bool ok = binding->handler == NULL && udp_bound < UDP_PORTS - 1 && port != 0;

    if (ok) {
        *binding = (struct udp_binding){ handler, ctx, swap16(port) };
        udp_bound++;
    }
    spin_unlock(&udp_lock);
    if (!ok)
        return false;

    /* Representatives that exist already copy the root again; the others will when they are made. */
    udp_refresh(NULL);
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++)
        if (cpu != cpu_id() && ebb_peek(EBB_UDP, cpu) && !event_spawn(cpu, udp_refresh, NULL))
            panic("udp: no memory to tell vCPU %u of port %u", cpu, port);
    return true;
}

void udp_input(struct iobuf *segment, const struct ip_header *ip, const struct eth_header *eth)
{
    const struct udp_header *udp = (const struct udp_header *)segment->data;
    struct udp_peer peer;

    if (unlikely(segment->len < sizeof(*udp)))
        goto drop;

    uint32_t length = swap16(udp->length);

    if (unlikely(length < sizeof(*udp) || length > segment->len))
        goto drop;
    segment->len = length;
    /* A checksum of 0 was not computed. */
    if (!(segment->flags & IOBUF_CSUM_OK) && udp->checksum != 0 &&
        ip_fold(ip_sum(udp, length, ip_pseudo_sum(ip->from, ip->to, IP_PROTOCOL_UDP, (uint16_t)length))) != 0xFFFF)
        goto drop;

    struct udp_binding *binding = udp_find(ebb_rep(EBB_UDP), udp->to);

    if (unlikely(binding->handler == NULL))
        goto drop;
    peer.ip = ip->from;
    peer.port = udp->from;
    memcpy(peer.mac, eth->from, 6);
    iobuf_pull(segment, sizeof(*udp));
    binding->handler(binding->ctx, &peer, segment);
    return;
drop:
    iobuf_free(segment);
}

bool udp_send(uint16_t port, const struct udp_peer *to, struct iobuf *payload)
{
    if (payload->len > UDP_MAX_PAYLOAD) {
        iobuf_free(payload);
        return false;
    }

    struct udp_header *udp = (struct udp_header *)iobuf_push(payload, sizeof(*udp));
    uint16_t length = (uint16_t)payload->len;

    udp->from = swap16(port);
    udp->to = to->port;
    udp->length = swap16(length);
    udp->checksum = 0;

    uint64_t sum = ip_pseudo_sum(net_address(), to->ip, IP_PROTOCOL_UDP, length);

    if (eth_offload()) {
        /* The device adds the sum from here to the frame's end to what stands in the field. */
        udp->checksum = ip_fold(sum);
        payload->flags = IOBUF_CSUM_NEEDED;
        payload->csum_start = (uint8_t *)udp;
        payload->csum_offset = offsetof(struct udp_header, checksum);
    } else {
        uint16_t checksum = (uint16_t)~ip_fold(ip_sum(udp, length, sum));

        udp->checksum = checksum ? checksum : 0xFFFF;
        payload->flags = 0;
    }
    ip_output(payload, IP_PROTOCOL_UDP, to->ip, to->mac);
    return true;
}
