/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Locks, wait queues, and what sleeps on them. */
#pragma once
#include "list.h"
#include "x86.h"

/* Ticket lock: FIFO, so under contention each vCPU gets its turn. */
struct spinlock { volatile u16 owner, next; };

/* lock.c. The plain forms are for locks no interrupt or softirq takes. */
void spin_lock(struct spinlock *l);
bool spin_trylock(struct spinlock *l);
void spin_unlock(struct spinlock *l);
u64 spin_lock_irqsave(struct spinlock *l);
void spin_unlock_irqrestore(struct spinlock *l, u64 flags);
void spin_lock_bh(struct spinlock *l);   /* for locks softirqs take too */
void spin_unlock_bh(struct spinlock *l);

/* wait.c */
struct task;
#define WAIT_EXCLUSIVE 1
struct wait_entry {
    struct list node;
    u32 flags;
    struct task *task;
    /* Returns true if it woke somebody; events = EPOLL bits, or 0. */
    bool (*wake)(struct wait_entry *e, u32 events);
};
struct wait_queue { struct spinlock lock; struct list head; };
#define WAIT_QUEUE_INIT(q) { { 0, 0 }, LIST_INIT((q).head) }
void wait_queue_init(struct wait_queue *q);
void wait_entry_init(struct wait_entry *e);
void wait_prepare(struct wait_queue *q, struct wait_entry *e, int state);
void wait_prepare_exclusive(struct wait_queue *q, struct wait_entry *e, int state);
void wait_finish(struct wait_queue *q, struct wait_entry *e);
void wait_add(struct wait_queue *q, struct wait_entry *e);
void wait_add_exclusive(struct wait_queue *q, struct wait_entry *e);
void wait_remove(struct wait_queue *q, struct wait_entry *e);
void wake_up_events(struct wait_queue *q, int nr_exclusive, u32 events);
#define wake_up(q) wake_up_events(q, 1, 0)
#define wake_up_all(q) wake_up_events(q, 0, 0)
static inline bool wait_active(struct wait_queue *q) { smp_mb(); return !list_empty(&q->head); }

/* Sleep until cond; 0, or -EINTR (-4) if a signal came first. */
#define wait_event_interruptible(q, cond) ({                    \
    long _ret = 0;                                              \
    if (!(cond)) {                                              \
        struct wait_entry _e;                                   \
        wait_entry_init(&_e);                                   \
        for (;;) {                                              \
            wait_prepare(q, &_e, TASK_INTERRUPTIBLE);           \
            if (cond)                                           \
                break;                                          \
            if (signal_pending(current)) {                      \
                _ret = -4;                                      \
                break;                                          \
            }                                                   \
            schedule();                                         \
        }                                                       \
        wait_finish(q, &_e);                                    \
    }                                                           \
    _ret;                                                       \
})
#define wait_event(q, cond) do {                                \
    if (!(cond)) {                                              \
        struct wait_entry _e;                                   \
        wait_entry_init(&_e);                                   \
        for (;;) {                                              \
            wait_prepare(q, &_e, TASK_UNINTERRUPTIBLE);         \
            if (cond)                                           \
                break;                                          \
            schedule();                                         \
        }                                                       \
        wait_finish(q, &_e);                                    \
    }                                                           \
} while (0)

/* rwsem.c: sleeping reader-writer lock; a mutex is one that is only taken for writing. */
struct rwsem {
    s32 count;           /* readers inside, or -1 for a writer */
    u32 waiters;
    struct wait_queue wq;
};
void rwsem_init(struct rwsem *s);
void down_read(struct rwsem *s);
void up_read(struct rwsem *s);
void down_write(struct rwsem *s);
void up_write(struct rwsem *s);
