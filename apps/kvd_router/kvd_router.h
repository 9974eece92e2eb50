/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * kvd_router: a front end for several kvd, without an operating system. It takes memcached's requests over UDP, forwards each to the
 * back end that its key is hashed to, and the answer to whoever asked.
 *
 * Datagrams are forwarded as they are, but for the request id in their frame header: ours on the way there, the client's on the way
 * back. A back end has ids of its own; an answer finds its client by them. Nothing waits here, and nothing is sent twice: a
 * request that a back end does not answer is never answered. Any number of workers may call kvd_router_route at once; no locks.
 *
 * A *managed* router also looks after its back ends, in kvd_router_tick, which one worker calls now and then: it asks the silent ones
 * whether they live, takes the dead and the freed off the table of keys, and, with a pool, asks the provisioner for more or fewer.
 * A request under way to a back end that dies is refused then.
 */
#ifndef KVD_ROUTER_H
#define KVD_ROUTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KVD_ROUTER_BACKENDS 64
#define KVD_ROUTER_LISTED 32     /* of them in a list */
#define KVD_ROUTER_SLOTS 4096    /* requests under way to a back end; the oldest are forgotten */
#define KVD_ROUTER_PLACES 1024   /* of the table of keys, where it is managed */
#define KVD_ROUTER_REFUSAL 64    /* room for a refusal, header included */
#define KVD_ROUTER_QUESTION 96   /* room for a question to the provisioner, or as much as is read of its answers */
#define KVD_ROUTER_HISTORY 64    /* ticks; a request older than half of them counts as lost */

struct kvd_router_peer {
    uint32_t address; /* both in network byte order */
    uint16_t port;
};

/* A request under way: who asked, and by which id. It is valid while `id` is 1 + ours, and answered whole when `done` is. */
struct kvd_router_slot {
    uint64_t asked; /* address, port, id; 0: ourselves */
    uint32_t id;
    uint32_t done;
};

enum kvd_router_state {
    KVD_ROUTER_NONE,     /* its place is free */
    KVD_ROUTER_ASKED,    /* the provisioner is asked for a machine */
    KVD_ROUTER_STARTING, /* it has been promised; it serves no keys yet */
    KVD_ROUTER_UP,
    KVD_ROUTER_DOWN,     /* of the list, and silent: it serves no keys until it answers again */
    KVD_ROUTER_DRAINING, /* serves no new requests; is given back when the others are over */
    KVD_ROUTER_LEAVING,  /* the provisioner is asked to take it */
};

struct kvd_router_backend {
    struct kvd_router_peer peer;
    uint32_t next; /* counts up; our id is its lower half */
    uint32_t answered, forgotten; /* where it is managed */
    /* the ticking worker's */
    uint8_t state;
    uint8_t probed;        /* it was asked whether it lives, and has not answered since */
    uint8_t pooled, ready; /* it is a machine of the pool; its program is said to be ready */
    uint32_t number;       /* the provisioner's for it */
    uint32_t tag;          /* of the question under way about it */
    uint32_t seen;         /* `answered` when last looked at */
    uint32_t settled;      /* requests before this one are answered, lost or forgotten */
    uint32_t lost;         /* of those */
    uint32_t sent[KVD_ROUTER_HISTORY]; /* `next` at each tick */
    uint64_t heard_ns, asked_ns, since_ns;
    struct kvd_router_slot slot[KVD_ROUTER_SLOTS];
} __attribute__((aligned(64)));

/* An answer of the provisioner's, on its way from the worker it came to. */
struct kvd_router_letter {
    uint32_t state; /* 0 empty, 1 being written, 2 full */
    char text[KVD_ROUTER_QUESTION];
};

struct kvd_router_plan {
    bool managed;
    const char *pool; /* kind of machine; NULL: none */
    struct kvd_router_peer provisioner;
    uint32_t least, most; /* back ends */
    uint32_t target;      /* requests under way to each */
    uint64_t tick_ns;     /* between calls of kvd_router_tick */
    uint64_t health_ns;   /* silent so long: asked; three times as long: dead */
    uint64_t calm_ns;     /* fewer have been enough for so long: one is given back */
};

struct kvd_router { /* all zero but for the back ends and the plan */
    uint32_t backends; /* places in use or once used */
    struct kvd_router_plan plan;
    uint8_t table[KVD_ROUTER_PLACES]; /* 1 + back end; 0: nobody */
    /* the ticking worker's */
    uint16_t port; /* that back ends listen on, network byte order */
    bool begun, served;
    uint32_t ticks, tags, turn;
    uint32_t load256;  /* requests under way to all, smoothed, in 256ths */
    uint32_t up;       /* back ends that serve */
    uint64_t calm_since_ns, refused_ns;
    struct kvd_router_letter letter[64];
    struct kvd_router_backend backend[KVD_ROUTER_BACKENDS];
};

/* `A.B.C.D,A.B.C.D,...`: adds a back end for each, at that port. 0, or where in the text what cannot be read begins, counted from 1. */
size_t kvd_router_backends(struct kvd_router *router, const char *text, uint16_t port);

/* The same for one address, to its end. */
bool kvd_router_address(const char *text, uint32_t *address);

enum kvd_router_verdict {
    KVD_ROUTER_DROP,
    KVD_ROUTER_SEND,   /* to *to */
    KVD_ROUTER_REFUSE, /* say so to the sender: it is none that can be forwarded */
    KVD_ROUTER_NOBODY, /* say so to the sender: there is no back end for it */
};

/* What to do with a datagram; its frame header is rewritten where it is to be sent. */
enum kvd_router_verdict kvd_router_route(struct kvd_router *router, struct kvd_router_peer from, uint8_t *datagram, size_t length,
                                         struct kvd_router_peer *to);

/* Makes the refusal of a request, of that verdict. Returns its length. */
size_t kvd_router_refusal(enum kvd_router_verdict why, const uint8_t *datagram, uint8_t refusal[KVD_ROUTER_REFUSAL]);

/* One option of the command line that says how back ends are managed: --pool KIND, --provisioner A.B.C.D, --min N, --max N, --target N, --tick US,
 * --health US, --calm US. 1: taken; 0: it is another; -1: the value does not fit. */
int kvd_router_option(struct kvd_router *router, const char *name, const char *value);
extern const char kvd_router_options[]; /* their help */

/* How a tick sends; `ctx` is its caller's. */
typedef void (*kvd_router_send)(void *ctx, struct kvd_router_peer to, const void *data, size_t length);

/* Looks after the back ends of a managed router: every plan.tick_ns, by one worker. */
void kvd_router_tick(struct kvd_router *router, uint64_t now_ns, kvd_router_send send, void *ctx);

/* Whether as many back ends serve as there have to be; always, where the router is not managed. */
bool kvd_router_serves(const struct kvd_router *router);

#endif
