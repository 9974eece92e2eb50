/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Split virtqueues: memory, notifications either way, with and without the event index. */
#include "virtqueue.h"
#include "ebb.h"

static volatile uint16_t *virtqueue_used_event(struct virtqueue *queue)
{
    return &queue->avail->ring[queue->size];
}

static volatile uint16_t *virtqueue_avail_event(struct virtqueue *queue)
{
    return (volatile uint16_t *)&queue->used->ring[queue->size];
}

bool virtqueue_alloc(struct virtqueue *queue, uint16_t number, uint16_t size, bool event_index)
{
    if (size == 0 || size & (size - 1))
        return false;
    if (size > VIRTQ_MAX)
        size = VIRTQ_MAX;
    queue->number = number;
    queue->size = size;
    queue->event_index = event_index;
    queue->desc = ebb_rep_memory(size * sizeof(struct virtq_desc));
    queue->avail = ebb_rep_memory(sizeof(struct virtq_avail) + size * sizeof(uint16_t) + sizeof(uint16_t));
    queue->used = ebb_rep_memory(sizeof(struct virtq_used) + size * sizeof(struct virtq_used_entry) + sizeof(uint16_t));
    return true;
}

void virtqueue_publish(struct virtqueue *queue)
{
    uint16_t old = queue->published, new = queue->avail_index;
    bool notify;

    if (old == new)
        return;
    __atomic_store_n(&queue->avail->index, new, __ATOMIC_RELEASE);
    queue->published = new;
    full_barrier();             /* the device's wish is read after it can see the index */
    if (queue->event_index)     /* rung when the index went past avail_event */
        notify = (uint16_t)(new - *virtqueue_avail_event(queue) - 1) < (uint16_t)(new - old);
    else
        notify = !(__atomic_load_n(&queue->used->flags, __ATOMIC_RELAXED) & VIRTQ_USED_NO_NOTIFY);
    if (notify)
        *queue->doorbell = queue->number;
}

bool virtqueue_interrupt_on(struct virtqueue *queue)
{
    if (queue->event_index)
        *virtqueue_used_event(queue) = queue->used_index;
    else
        __atomic_store_n(&queue->avail->flags, 0, __ATOMIC_RELAXED);
    full_barrier();
    return !virtqueue_has_used(queue);
}

void virtqueue_interrupt_off(struct virtqueue *queue)
{
    if (queue->event_index)     /* half the number space away; flags must stay 0 with the event index */
        *virtqueue_used_event(queue) = (uint16_t)(queue->used_index + 0x8000);
    else
        __atomic_store_n(&queue->avail->flags, VIRTQ_AVAIL_NO_INTERRUPT, __ATOMIC_RELAXED);
}
