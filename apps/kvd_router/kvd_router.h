/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kvd_router: a front end for several kvd, without an operating system. It takes memcached's requests over UDP, forwards each to the
 * back end that its key is hashed to, and the answer to whoever asked.
 *
 * Datagrams are forwarded as they are, but for the request id in their frame header: ours on the way there, the client's on the way
 * back. A back end has ids of its own; an answer finds its client by them. Nothing waits here, and nothing is sent twice: a
 * request that a back end does not answer is never answered. Any number of workers may call kvd_router_route at once; no locks.
 */
#ifndef KVD_ROUTER_H
#define KVD_ROUTER_H

#include <stddef.h>
#include <stdint.h>

#define KVD_ROUTER_BACKENDS 32
#define KVD_ROUTER_SLOTS 4096    /* requests under way to a back end; the oldest are forgotten */
#define KVD_ROUTER_REFUSAL 64    /* room for a refusal, header included */

struct kvd_router_peer {
    uint32_t address; /* both in network byte order */
    uint16_t port;
};

/* A request under way: who asked, and by which id. It is valid while `id` is 1 + ours. */
struct kvd_router_slot {
    uint64_t asked; /* address, port, id */
    uint32_t id;
};

struct kvd_router_backend {
    struct kvd_router_peer peer;
    uint32_t next; /* counts up; our id is its lower half */
    struct kvd_router_slot slot[KVD_ROUTER_SLOTS];
} __attribute__((aligned(64)));

struct kvd_router { /* all zero but for the back ends */
    uint32_t backends;
    struct kvd_router_backend backend[KVD_ROUTER_BACKENDS];
};

/* `A.B.C.D,A.B.C.D,...`: adds a back end for each, at that port. 0, or where in the text what cannot be read begins, counted from 1. */
size_t kvd_router_backends(struct kvd_router *router, const char *text, uint16_t port);

enum kvd_router_verdict { KVD_ROUTER_DROP, KVD_ROUTER_SEND /* to *to */, KVD_ROUTER_REFUSE /* say so to the sender */ };

/* What to do with a datagram; its frame header is rewritten where it is to be sent. */
enum kvd_router_verdict kvd_router_route(struct kvd_router *router, struct kvd_router_peer from, uint8_t *datagram, size_t length,
                                         struct kvd_router_peer *to);

/* Makes the refusal of a request. Returns its length. */
size_t kvd_router_refusal(const uint8_t *datagram, uint8_t refusal[KVD_ROUTER_REFUSAL]);

#endif
