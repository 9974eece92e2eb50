/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A split virtqueue as the driver sees it (virtio 1.2, section 2.7). One descriptor a buffer. */
#ifndef VIRTQUEUE_H
#define VIRTQUEUE_H

#include "cpu.h"

#define VIRTQ_MAX 256u
#define VIRTQ_DESC_NEXT 1
#define VIRTQ_DESC_WRITE 2
#define VIRTQ_AVAIL_NO_INTERRUPT 1
#define VIRTQ_USED_NO_NOTIFY 1

struct virtq_desc {
    uint64_t address;
    uint32_t length;
    uint16_t flags;
    uint16_t next;
};

struct virtq_avail {
    uint16_t flags;
    uint16_t index;
    uint16_t ring[];            /* then used_event */
};

struct virtq_used_entry {
    uint32_t id;
    uint32_t length;
};

struct virtq_used {
    uint16_t flags;
    uint16_t index;
    struct virtq_used_entry ring[];     /* then avail_event */
};

struct virtqueue {
    struct virtq_desc *desc;
    struct virtq_avail *avail;
    struct virtq_used *used;
    volatile uint16_t *doorbell;
    uint16_t number;
    uint16_t size;              /* a power of two */
    uint16_t avail_index;       /* ours; the device sees it after virtqueue_publish() */
    uint16_t published;
    uint16_t used_index;        /* of the next entry to take */
    bool event_index;
};

bool virtqueue_alloc(struct virtqueue *queue, uint16_t number, uint16_t size, bool event_index);

static inline void virtqueue_fill(struct virtqueue *queue, uint16_t id, uint64_t address, uint32_t length,
                                  uint16_t flags)
{
    queue->desc[id] = (struct virtq_desc){ address, length, flags, 0 };
}

/* The chain that starts at `id` is next for the device. */
static inline void virtqueue_offer(struct virtqueue *queue, uint16_t id)
{
    queue->avail->ring[queue->avail_index++ & (queue->size - 1)] = id;
}

static inline bool virtqueue_has_used(const struct virtqueue *queue)
{
    return __atomic_load_n(&queue->used->index, __ATOMIC_ACQUIRE) != queue->used_index;
}

static inline struct virtq_used_entry virtqueue_take_used(struct virtqueue *queue)
{
    return queue->used->ring[queue->used_index++ & (queue->size - 1)];
}

/* Shows the device what was offered, and rings the doorbell if it asked for that. */
void virtqueue_publish(struct virtqueue *queue);

/* Asks for an interrupt at the next used buffer. False: there is one already, go on polling. */
bool virtqueue_interrupt_on(struct virtqueue *queue);
void virtqueue_interrupt_off(struct virtqueue *queue);

#endif
