/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the messenger and its channels share. */
#ifndef CHANNEL_H
#define CHANNEL_H

#include "messenger.h"

#define SEGMENT_MAGIC 0x4D4Cu
#define SEGMENT_VERSION 1u
#define SEGMENT_BODY 1400u              /* bytes of a body in one datagram */

enum { SEGMENT_DATA = 1, SEGMENT_LAST = 2 };

/* A datagram; little-endian. */
struct segment {
    uint16_t magic;
    uint8_t version;
    uint8_t flags;
    uint16_t from;
    uint16_t to;
    uint32_t session;           /* of the sender's life */
    uint32_t your_session;      /* as it knows the receiver's; 0: it does not */
    uint32_t sequence;          /* with SEGMENT_DATA: counts segments from 0 */
    uint32_t expected;          /* all before this one have come */
    /* with SEGMENT_DATA */
    uint32_t ebb;
    uint32_t call;
    uint32_t total;             /* bytes of the message */
    uint16_t type;
    uint16_t length;            /* bytes that follow */
} __attribute__((packed));

#define SEGMENT_ACK_BYTES offsetof(struct segment, ebb)

/* A message on its way out: one after the other of its segments goes into the window. */
struct outgoing {
    struct outgoing *next;
    struct event event;
    struct future *delivered;
    uint32_t first;             /* number of its first segment, once it has one */
    uint32_t segments;
    uint32_t length;
    ebb_id ebb;
    uint32_t call;
    uint16_t type;
    uint16_t node;
    uint8_t body[];
};

extern messenger_stranger_fn channel_on_stranger;
void channel_start(uint16_t own, uint16_t port, uint32_t session);
bool channel_known(uint16_t node);
void channel_peer(uint16_t node, uint32_t ip, uint16_t port);
void channel_send(struct outgoing *message);                    /* takes it over; from any vCPU */
void channel_datagram(void *ctx, const struct udp_peer *from, struct iobuf *datagram);
struct messenger_counts *channel_counts(void);                  /* of the calling vCPU */
struct messenger_counts channel_total(void);

void messenger_deliver(const struct message *message);          /* messenger.c */

#endif
