/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Packet buffers: a head from its own cache, and the data it points to. */
#include "defs.h"
#include "net.h"

static struct kmem_cache *skb_cache;

void skb_init(void) { skb_cache = kmem_cache_create("skb", sizeof(struct skb), 0); }

/* From the pool while it lasts; without pool=, it holds nothing. */
void *skb_buffer_alloc(void)
{
    void *p = knobs.pool_buffers ? pool_alloc() : NULL;
    return p ? p : kmalloc(RX_BUFFER_SIZE);
}

void skb_buffer_free(void *buffer)
{
    if (pool_holds(buffer))
        pool_free(buffer);
    else
        kfree(buffer);
}

static struct skb *skb_head(void *buffer, u32 buffer_size)
{
    struct skb *s = kmem_cache_alloc(skb_cache);
    if (!s)
        return NULL;
    memset(s, 0, sizeof *s);
    s->head = buffer;
    s->users = 1;
    s->truesize = buffer_size + sizeof *s;
    return s;
}

/* A packet around a buffer the NIC filled. NULL: the buffer stays the caller's. */
struct skb *skb_build(void *buffer, u32 offset, u32 len)
{
    struct skb *s = skb_head(buffer, RX_BUFFER_SIZE);
    if (s) {
        s->data = s->head + offset;
        s->len = len;
    }
    return s;
}

/* An empty packet; data stands headroom bytes into the buffer. */
struct skb *skb_alloc(u32 size, u32 headroom)
{
    void *buffer = kmalloc(headroom + size);
    if (!buffer)
        return NULL;
    struct skb *s = skb_head(buffer, headroom + size);
    if (!s) {
        kfree(buffer);
        return NULL;
    }
    s->data = s->head + headroom;
    return s;
}

/* Whoever accounted for the packet is told that it no longer is. */
void skb_orphan(struct skb *s)
{
    if (!s->destructor)
        return;
    s->destructor(s);
    s->destructor = NULL;
    s->sk = NULL;
}

/* One reference less; the last one's frees the packet. */
void skb_free(struct skb *s)
{
    if (READ_ONCE(s->users) != 1 && atomic_sub(&s->users, 1))
        return;
    skb_orphan(s);
    if (s->dst)
        route_put(s->dst);
    skb_buffer_free(s->head);
    kmem_cache_free(skb_cache, s);
}

void skb_give_up(struct skb *s) { kmem_cache_free(skb_cache, s); }

struct skb *skb_take(void *data, u32 len)
{
    struct skb *s = skb_head((u8 *)data - (u64)data % RX_BUFFER_SIZE, RX_BUFFER_SIZE); /* buffers are aligned to their size */
    if (s) {
        s->data = data;
        s->len = len;
    }
    return s;
}
