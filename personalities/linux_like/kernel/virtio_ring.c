/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The driver's half of a split virtqueue. The caller serialises. */
#include "virtio_ring.h"
#include "defs.h"
#include "mm.h"

#define DESC_NEXT 1
#define DESC_WRITE 2
#define AVAIL_NO_INTERRUPT 1
#define USED_NO_NOTIFY 1

static volatile u16 *used_event(struct virtqueue *vq) { return &vq->avail->ring[vq->num]; }
static u16 avail_event(struct virtqueue *vq) { return *(volatile u16 *)&vq->used->ring[vq->num]; }

bool virtio_ring_init(struct virtqueue *vq, u16 index, u16 num, bool event_idx)
{
    struct page *p = page_alloc(2); /* descriptors, then the two rings on pages of their own */
    if (!p)
        return false;
    u8 *mem = memset(page_va(p), 0, PAGE_SIZE << 2);
    *vq = (struct virtqueue){ .index = index, .num = num, .num_free = num, .event_idx = event_idx,
                              .desc = (void *)mem, .avail = (void *)(mem + PAGE_SIZE), .used = (void *)(mem + 2 * PAGE_SIZE) };
    for (u16 i = 0; i < num; i++)
        vq->desc[i].next = (u16)(i + 1);
    return true;
}

static u16 ring_take(struct virtqueue *vq, const void *buf, u32 len, u16 flags)
{
    u16 i = vq->free_head;
    vq->free_head = vq->desc[i].next;
    vq->num_free--;
    vq->desc[i].addr = pa(buf);
    vq->desc[i].len = len;
    vq->desc[i].flags = flags;
    return i;
}

static void ring_publish(struct virtqueue *vq, u16 head, void *token)
{
    vq->token[head] = token;
    vq->avail->ring[vq->avail_idx & (vq->num - 1)] = head;
    barrier(); /* x86 keeps stores in order */
    WRITE_ONCE(vq->avail->idx, ++vq->avail_idx);
}

void virtio_ring_add(struct virtqueue *vq, const void *buf, u32 len, bool device_writes, void *token)
{
    ring_publish(vq, ring_take(vq, buf, len, device_writes ? DESC_WRITE : 0), token);
}

void virtio_ring_add_pair(struct virtqueue *vq, const void *out, u32 out_len, void *in, u32 in_len, void *token)
{
    u16 a = ring_take(vq, out, out_len, DESC_NEXT), b = ring_take(vq, in, in_len, DESC_WRITE);
    vq->desc[a].next = b;
    ring_publish(vq, a, token);
}

void virtio_ring_kick(struct virtqueue *vq)
{
    smp_mb(); /* our index before its event index */
    u16 old = vq->kicked_idx, new = vq->avail_idx;
    bool wanted = vq->event_idx ? (u16)(new - avail_event(vq) - 1) < (u16)(new - old) : !(vq->used->flags & USED_NO_NOTIFY);
    vq->kicked_idx = new;
    if (wanted)
        *vq->notify = vq->index;
}

void *virtio_ring_get(struct virtqueue *vq, u32 *len)
{
    if (vq->last_used == vq->used->idx)
        return NULL;
    barrier();
    volatile struct vring_used_elem *e = &vq->used->ring[vq->last_used & (vq->num - 1)];
    u16 head = (u16)e->id, i = head;
    if (head >= vq->num || !vq->token[head])
        panic("virtio_ring: the device returned descriptor %u, which it does not have", head);
    void *token = vq->token[head];
    vq->token[head] = NULL;
    *len = e->len;
    for (vq->num_free++; vq->desc[i].flags & DESC_NEXT; vq->num_free++)
        i = vq->desc[i].next;
    vq->desc[i].next = vq->free_head;
    vq->free_head = head;
    vq->last_used++;
    return token;
}

void virtio_ring_disable_irq(struct virtqueue *vq)
{
    if (vq->event_idx)
        *used_event(vq) = (u16)(vq->last_used + 0x7fff); /* as far off as the index can say */
    else
        WRITE_ONCE(vq->avail->flags, AVAIL_NO_INTERRUPT);
}

bool virtio_ring_enable_irq(struct virtqueue *vq)
{
    if (vq->event_idx)
        *used_event(vq) = vq->last_used;
    else
        WRITE_ONCE(vq->avail->flags, 0);
    smp_mb();
    return vq->last_used == vq->used->idx;
}

bool virtio_ring_enable_irq_late(struct virtqueue *vq)
{
    if (!vq->event_idx)
        return virtio_ring_enable_irq(vq);
    u16 late = (u16)((u16)(vq->avail_idx - vq->last_used) * 3 / 4);
    *used_event(vq) = (u16)(vq->last_used + late);
    smp_mb();
    return (u16)(READ_ONCE(vq->used->idx) - vq->last_used) <= late;
}
