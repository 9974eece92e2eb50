/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pools of frame buffers, one per vCPU (an Ebb). The last buffer freed is the first used again, while it is still in
 * the cache. A buffer freed by another vCPU returns to its owner's list of remote frees.
 */
#include "iobuf.h"
#include "ebb.h"
#include "page.h"

struct iobuf_pool {
    struct iobuf *free;
    struct iobuf *remote cacheline_aligned;
};

static void *iobuf_miss(ebb_id id, void *root)
{
    (void)id;
    (void)root;
    return ebb_rep_memory(sizeof(struct iobuf_pool));
}

void iobuf_init(void)
{
    ebb_install(EBB_IOBUF, iobuf_miss, NULL);
}

static noinline bool iobuf_refill(struct iobuf_pool *pool)
{
    pool->free = __atomic_exchange_n(&pool->remote, NULL, __ATOMIC_ACQUIRE);
    if (pool->free)
        return true;

    uint8_t *chunk = page_alloc(1);

    if (chunk == NULL)
        return false;
    for (size_t at = 0; at < PAGE_CHUNK; at += IOBUF_SIZE) {
        struct iobuf *buf = (struct iobuf *)(chunk + at);

        buf->pool = pool;
        buf->next = pool->free;
        pool->free = buf;
    }
    return true;
}

struct iobuf *iobuf_alloc_tx(void)
{
    struct iobuf_pool *pool = ebb_rep(EBB_IOBUF);

    if (unlikely(pool->free == NULL) && !iobuf_refill(pool))
        return NULL;

    struct iobuf *buf = pool->free;

    pool->free = buf->next;
    buf->data = (uint8_t *)buf + IOBUF_PAYLOAD_AT;
    buf->len = 0;
    buf->flags = 0;
    return buf;
}

static noinline void iobuf_free_remote(struct iobuf *buf)
{
    struct iobuf **head = &buf->pool->remote;

    buf->next = __atomic_load_n(head, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(head, &buf->next, buf, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        ;
}

void iobuf_free(struct iobuf *buf)
{
    struct iobuf_pool *pool = ebb_rep(EBB_IOBUF);

    if (unlikely(buf->pool != pool)) {
        iobuf_free_remote(buf);
        return;
    }
    buf->next = pool->free;
    pool->free = buf;
}

/* Probe point (manifest.toml): the request waits for the other vCPU's event loop. `header`: see IOBUF_VNET_AT. */
static noinline void iobuf_depart(struct iobuf *buf, void *header, unsigned cpu, event_fn arrive)
{
    (void)header;
    event_post(cpu, &buf->event, arrive, buf);
}

/* Probe point. */
static noinline void iobuf_land(struct iobuf *buf, void *header)
{
    (void)header;
    buf->moved(buf, buf->moved_arg);
}

static void *iobuf_header(struct iobuf *buf)
{
    return (uint8_t *)buf + IOBUF_VNET_AT;
}

static void iobuf_arrive(void *arg)
{
    iobuf_land(arg, iobuf_header(arg));
}

void iobuf_move(unsigned cpu, struct iobuf *buf, iobuf_fn fn, void *arg)
{
    buf->moved = fn;
    buf->moved_arg = arg;
    iobuf_depart(buf, iobuf_header(buf), cpu, iobuf_arrive);
}
