/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The routing table: a path-compressed trie by prefix, each node below those whose prefix it continues, so a look-up goes down once and remembers the
 * last route it passed. One table for what is to be received (local addresses, broadcasts) and sent. Look-ups take no lock; what is taken out is
 * freed when no vCPU can still be at it.
 */
#include "fib.h"
#include "defs.h"
#include "net.h"
#include "task.h"

struct fib_node {
    u32 key, bits;               /* host order; bits beyond `bits` are 0 */
    struct fib_node *child[2];   /* by the next bit */
    struct route *route;         /* or NULL: it only branches */
};

static struct fib_node *fib_root;
static struct spinlock fib_lock;

static u32 fib_mask(u32 bits) { return bits ? ~0u << (32 - bits) : 0; }
static u32 fib_bit(u32 key, u32 n) { return key >> (31 - n) & 1; }

noinline struct route *fib_lookup(u32 addr)
{
    u32 key = ntohl(addr);
    struct route *best = NULL;
    for (struct fib_node *n = READ_ONCE(fib_root); n; n = READ_ONCE(n->child[fib_bit(key, n->bits)])) {
        if ((key ^ n->key) & fib_mask(n->bits))
            break;
        struct route *r = READ_ONCE(n->route);
        if (r)
            best = r;
        if (n->bits == 32)
            break;
    }
    return best;
}

/* Bottom halves stay off meanwhile: fib_delete waits for threads that switch, and none does here. */
struct route *fib_lookup_get(u32 addr)
{
    local_bh_disable();
    struct route *r = fib_lookup(addr);
    if (r)
        atomic_add(&r->refs, 1);
    local_bh_enable();
    return r;
}

void route_put(struct route *r)
{
    if (!atomic_sub(&r->refs, 1))
        kfree(r);
}

static struct fib_node *fib_node(u32 key, u32 bits)
{
    struct fib_node *n = kzalloc(sizeof *n);
    if (n) {
        n->key = key & fib_mask(bits);
        n->bits = bits;
    }
    return n;
}

/* The node of exactly this prefix, made if there is none; NULL: no memory. fib_lock held. */
static struct fib_node *fib_find(u32 key, u32 bits, bool make)
{
    struct fib_node **at = &fib_root, *n;
    while ((n = *at) && n->bits < bits && !((key ^ n->key) & fib_mask(n->bits)))
        at = &n->child[fib_bit(key, n->bits)];
    if (n && n->bits == bits && n->key == key)
        return n;
    struct fib_node *new = make ? fib_node(key, bits) : NULL, *top = new;
    if (!new)
        return NULL;
    if (n) {
        u32 common = 0;
        while (common < MIN(bits, n->bits) && fib_bit(key, common) == fib_bit(n->key, common))
            common++;
        if (common < bits && !(top = fib_node(key, common))) {
            kfree(new);
            return NULL;
        }
        top->child[fib_bit(n->key, common)] = n;
        if (top != new)
            top->child[fib_bit(key, common)] = new;
    }
    __atomic_store_n(at, top, __ATOMIC_RELEASE);
    return new;
}

long fib_add(u32 prefix, u32 bits, u32 type, u32 gateway, u32 source, struct net_device *dev)
{
    u32 key = ntohl(prefix);
    if (bits > 32 || key & ~fib_mask(bits))
        return -EINVAL;
    struct route *r = kzalloc(sizeof *r);
    if (!r)
        return -ENOMEM;
    *r = (struct route){ prefix, bits, type, gateway, source, dev, 1 };
    spin_lock(&fib_lock);
    struct fib_node *n = fib_find(key, bits, true);
    long result = !n ? -ENOMEM : n->route ? -EEXIST : 0;
    if (!result)
        __atomic_store_n(&n->route, r, __ATOMIC_RELEASE);
    spin_unlock(&fib_lock);
    if (result)
        kfree(r);
    return result;
}

/* Process context. Its node stays and only branches. */
long fib_delete(u32 prefix, u32 bits, u32 gateway)
{
    struct route *r = NULL;
    if (bits > 32)
        return -EINVAL;
    spin_lock(&fib_lock);
    struct fib_node *n = fib_find(ntohl(prefix), bits, false);
    if (n && n->route && n->route->type == ROUTE_UNICAST && (!gateway || n->route->gateway == gateway)) {
        r = n->route;
        WRITE_ONCE(n->route, NULL);
    }
    spin_unlock(&fib_lock);
    if (!r)
        return -ESRCH;
    sched_quiesce();
    route_put(r);
    return 0;
}

/* As Linux prints it: addresses as they lie in memory, in hexadecimal. */
static u32 fib_show_below(const struct fib_node *n, char *buf, u32 room)
{
    if (!n)
        return 0;
    const struct route *r = n->route;
    u32 used = 0;
    if (r && r->type == ROUTE_UNICAST)
        used = (u32)snprintk(buf, room, "%s\t%08x\t%08x\t%x\t0\t0\t0\t%08x\t0\t0\t0\n", r->dev->name, r->prefix, r->gateway,
                             r->gateway ? 3 : 1, htonl(fib_mask(r->bits)));
    used += fib_show_below(n->child[0], buf + used, room - used);
    return used + fib_show_below(n->child[1], buf + used, room - used);
}

static u32 fib_show(char *buf, u32 room)
{
    u32 used = (u32)snprintk(buf, room, "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n");
    spin_lock(&fib_lock);
    used += fib_show_below(fib_root, buf + used, room - used);
    spin_unlock(&fib_lock);
    return used;
}

void fib_init(void) { proc_make("/proc/net/route", fib_show); }
