/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Wait queues. Exclusive entries stand behind the others and are woken one at a time. */
#include "defs.h"
#include "task.h"

static bool wait_wake_task(struct wait_entry *e, u32 events) { return wake_task(e->task); }

/* A sleeping thread's entry leaves the queue as it is woken, so that the next wake-up goes to another. */
static bool wait_wake_and_remove(struct wait_entry *e, u32 events)
{
    bool woken = wait_wake_task(e, events);
    if (woken)
        list_del_init(&e->node);
    return woken;
}

void wait_queue_init(struct wait_queue *q)
{
    q->lock = (struct spinlock){ 0, 0 };
    list_init(&q->head);
}

void wait_entry_init(struct wait_entry *e)
{
    list_init(&e->node);
    e->flags = 0;
    e->task = current;
    e->wake = wait_wake_and_remove;
}

static void wait_enqueue(struct wait_queue *q, struct wait_entry *e, bool exclusive)
{
    if (!list_empty(&e->node))
        return;
    e->flags = exclusive ? WAIT_EXCLUSIVE : 0;
    if (exclusive)
        list_add_tail(&e->node, &q->head);
    else
        list_add(&e->node, &q->head);
}

static void wait_prepare_flags(struct wait_queue *q, struct wait_entry *e, int state, bool exclusive)
{
    u64 f = spin_lock_irqsave(&q->lock);
    wait_enqueue(q, e, exclusive);
    atomic_xchg(&current->state, state); /* before the caller looks at its condition */
    spin_unlock_irqrestore(&q->lock, f);
}

void wait_prepare(struct wait_queue *q, struct wait_entry *e, int state) { wait_prepare_flags(q, e, state, false); }
void wait_prepare_exclusive(struct wait_queue *q, struct wait_entry *e, int state) { wait_prepare_flags(q, e, state, true); }

void wait_finish(struct wait_queue *q, struct wait_entry *e)
{
    current->state = TASK_RUNNING;
    u64 f = spin_lock_irqsave(&q->lock); /* always: the waker may still be at this entry */
    list_del_init(&e->node);
    spin_unlock_irqrestore(&q->lock, f);
}

static void wait_add_flags(struct wait_queue *q, struct wait_entry *e, bool exclusive)
{
    u64 f = spin_lock_irqsave(&q->lock);
    wait_enqueue(q, e, exclusive);
    spin_unlock_irqrestore(&q->lock, f);
}

void wait_add(struct wait_queue *q, struct wait_entry *e) { wait_add_flags(q, e, false); }
void wait_add_exclusive(struct wait_queue *q, struct wait_entry *e) { wait_add_flags(q, e, true); }

void wait_remove(struct wait_queue *q, struct wait_entry *e)
{
    u64 f = spin_lock_irqsave(&q->lock);
    list_del_init(&e->node);
    spin_unlock_irqrestore(&q->lock, f);
}

/* Wakes all plain entries and nr_exclusive exclusive ones (0 = all). */
void wake_up_events(struct wait_queue *q, int nr_exclusive, u32 events)
{
    struct wait_entry *e, *tmp;
    u64 f = spin_lock_irqsave(&q->lock);
    list_for_each_safe(e, tmp, &q->head, node) {
        bool exclusive = e->flags & WAIT_EXCLUSIVE;
        if (e->wake(e, events) && exclusive && !--nr_exclusive)
            break;
    }
    spin_unlock_irqrestore(&q->lock, f);
}
