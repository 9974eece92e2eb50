/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The routing table. Addresses are in network order, as everywhere. */
#pragma once
#include "types.h"

struct net_device;
enum { ROUTE_UNICAST, ROUTE_LOCAL, ROUTE_BROADCAST };

struct route {
    u32 prefix, bits;            /* of the destinations it is for */
    u32 type;                    /* ROUTE_* */
    u32 gateway;                 /* 0: on the link */
    u32 source;                  /* the address to send from */
    struct net_device *dev;
    u32 refs;                    /* the table's, and one for each packet on its way by it */
};

long fib_add(u32 prefix, u32 bits, u32 type, u32 gateway, u32 source, struct net_device *dev); /* 0, -EEXIST, -ENOMEM, -EINVAL */
long fib_delete(u32 prefix, u32 bits, u32 gateway);  /* a unicast route; gateway 0: whichever. 0, or -ESRCH */
struct route *fib_lookup(u32 addr);                  /* the longest prefix; without a reference, for a softirq or with bottom halves off */
struct route *fib_lookup_get(u32 addr);              /* with one */
void route_put(struct route *r);
void fib_init(void);
