/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IPv4 without fragments: what would need them is dropped, what we send says "don't". */
#include "ip.h"
#include "arp.h"
#include "byteorder.h"
#include "cpu.h"
#include "icmp.h"
#include "udp.h"

#define IP_DONT_FRAGMENT 0x4000
#define IP_MORE_OR_OFFSET 0x3FFF
#define IP_TTL 64

static uint32_t ip_address;
static uint32_t ip_mask;
static uint32_t ip_gateway;

static const char *ip_parse(const char *text, uint32_t *address)
{
    uint32_t value = 0;

    for (unsigned part = 0; part < 4; part++) {
        unsigned number = 0, digits = 0;

        while (*text >= '0' && *text <= '9' && digits < 4) {
            number = number * 10 + (unsigned)(*text++ - '0');
            digits++;
        }
        if (digits == 0 || number > 255 || (part < 3 && *text++ != '.'))
            return NULL;
        value |= number << part * 8;
    }
    *address = value;
    return text;
}

void ip_init(void)
{
    const char *ip = cmdline_get("ip", "10.0.2.15/24"), *gateway = cmdline_get("gw", "10.0.2.2");
    const char *rest = ip_parse(ip, &ip_address);
    unsigned bits = 24;

    if (rest && *rest == '/') {
        bits = 0;
        for (rest++; *rest >= '0' && *rest <= '9' && bits <= 32; rest++)
            bits = bits * 10 + (unsigned)(*rest - '0');
    }
    if (rest == NULL || (*rest != '\0' && *rest != ' ') || bits > 32)
        panic("ip: ip=%.40s is not ADDRESS/BITS", ip);
    ip_mask = bits ? __builtin_bswap32(~0u << (32 - bits)) : 0;
    rest = ip_parse(gateway, &ip_gateway);
    if (rest == NULL || (*rest != '\0' && *rest != ' '))
        panic("ip: gw=%.40s is not an address", gateway);
}

uint32_t net_address(void)
{
    return ip_address;
}

uint64_t ip_sum(const void *bytes, uint32_t size, uint64_t sum)
{
    typedef uint32_t word4 __attribute__((aligned(1), may_alias));
    typedef uint16_t word2 __attribute__((aligned(1), may_alias));
    const uint8_t *at = bytes;

    for (; size >= 16; size -= 16, at += 16)
        sum += (uint64_t)((const word4 *)at)[0] + ((const word4 *)at)[1] + ((const word4 *)at)[2] +
               ((const word4 *)at)[3];
    for (; size >= 4; size -= 4, at += 4)
        sum += *(const word4 *)at;
    if (size >= 2) {
        sum += *(const word2 *)at;
        at += 2;
        size -= 2;
    }
    if (size)
        sum += *at;
    return sum;
}

uint16_t ip_fold(uint64_t sum)
{
    sum = (sum & 0xFFFFFFFF) + (sum >> 32);
    sum = (sum & 0xFFFFFFFF) + (sum >> 32);
    sum = (sum & 0xFFFF) + (sum >> 16);
    sum = (sum & 0xFFFF) + (sum >> 16);
    return (uint16_t)sum;
}

uint64_t ip_pseudo_sum(uint32_t from, uint32_t to, uint8_t protocol, uint16_t length)
{
    return (uint64_t)from + to + swap16(protocol) + swap16(length);
}

void ip_input(struct iobuf *packet, const struct eth_header *eth)
{
    const struct ip_header *ip = (const struct ip_header *)packet->data;

    if (unlikely(packet->len < sizeof(*ip) || ip->version_length >> 4 != 4))
        goto drop;

    uint32_t header = (ip->version_length & 15u) * 4;
    uint32_t total = swap16(ip->total_length);

    if (unlikely(header < sizeof(*ip) || total < header || total > packet->len ||
                 ip_fold(ip_sum(ip, header, 0)) != 0xFFFF || ip->fragment & swap16(IP_MORE_OR_OFFSET)))
        goto drop;
    /* Unicast to us only: there is no service for broadcasts. */
    if (unlikely(ip->to != ip_address || (ip->from & 0xF0) >= 0xE0))
        goto drop;

    packet->len = total;        /* without the padding of short frames */
    iobuf_pull(packet, header);
    if (likely(ip->protocol == IP_PROTOCOL_UDP)) {
        udp_input(packet, ip, eth);
        return;
    }
    if (ip->protocol == IP_PROTOCOL_ICMP) {
        icmp_input(packet, ip, eth);
        return;
    }
drop:
    iobuf_free(packet);
}

void ip_output(struct iobuf *segment, uint8_t protocol, uint32_t to, const uint8_t mac[6])
{
    struct ip_header *ip = (struct ip_header *)iobuf_push(segment, sizeof(*ip));
    static const uint8_t unknown[6];

    *ip = (struct ip_header){
        .version_length = 0x45,
        .total_length = swap16((uint16_t)segment->len),
        .fragment = swap16(IP_DONT_FRAGMENT),       /* so the id may stay 0 (RFC 6864) */
        .time_to_live = IP_TTL,
        .protocol = protocol,
        .from = ip_address,
        .to = to,
    };
    ip->checksum = (uint16_t)~ip_fold(ip_sum(ip, sizeof(*ip), 0));
    if (memcmp(mac, unknown, 6) != 0)
        eth_output(segment, mac, ETH_TYPE_IP);
    else
        arp_output(segment, ((to ^ ip_address) & ip_mask) == 0 ? to : ip_gateway);
}
