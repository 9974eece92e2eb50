/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Split virtqueues, virtio 1.2 section 2.7, as the driver uses them. */
#pragma once
#include "types.h"

#define VRING_MAX 256

struct vring_desc { u64 addr; u32 len; u16 flags, next; };
struct vring_avail { u16 flags, idx, ring[]; };
struct vring_used_elem { u32 id, len; };
struct vring_used { u16 flags, idx; struct vring_used_elem ring[]; };

struct virtqueue {
    u16 index, num;              /* entries, a power of two */
    u16 free_head, num_free;
    u16 avail_idx, kicked_idx, last_used;
    bool event_idx;
    struct vring_desc *desc;
    struct vring_avail *avail;
    volatile struct vring_used *used;
    volatile u16 *notify;
    void *token[VRING_MAX];      /* by head descriptor */
};

bool virtio_ring_init(struct virtqueue *vq, u16 index, u16 num, bool event_idx);
void virtio_ring_add(struct virtqueue *vq, const void *buf, u32 len, bool device_writes, void *token);
void virtio_ring_add_pair(struct virtqueue *vq, const void *out, u32 out_len, void *in, u32 in_len, void *token);
void virtio_ring_kick(struct virtqueue *vq);
void *virtio_ring_get(struct virtqueue *vq, u32 *len);   /* NULL: nothing used */
void virtio_ring_disable_irq(struct virtqueue *vq);
bool virtio_ring_enable_irq(struct virtqueue *vq);       /* false: something was used meanwhile */
/* Likewise, but not before three quarters of what is in the ring now have been used. */
bool virtio_ring_enable_irq_late(struct virtqueue *vq);
static inline bool virtio_ring_pending(const struct virtqueue *vq) { return vq->last_used != READ_ONCE(vq->used->idx); }
