/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sleeping reader-writer lock. Waiting writers keep new readers out only by being woken first; holders are short. */
#include "defs.h"
#include "task.h"

void rwsem_init(struct rwsem *s)
{
    s->count = 0;
    s->waiters = 0;
    wait_queue_init(&s->wq);
}

static bool rwsem_try_read(struct rwsem *s)
{
    s32 c = READ_ONCE(s->count);
    while (c >= 0)
        if (__atomic_compare_exchange_n(&s->count, &c, c + 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            return true;
    return false;
}

static bool rwsem_try_write(struct rwsem *s)
{
    s32 c = 0;
    return __atomic_compare_exchange_n(&s->count, &c, -1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

probed static void rwsem_wait(struct rwsem *s, bool (*attempt)(struct rwsem *))
{
    atomic_add(&s->waiters, 1);
    wait_event(&s->wq, attempt(s));
    atomic_sub(&s->waiters, 1);
}

void down_read(struct rwsem *s)
{
    if (!rwsem_try_read(s))
        rwsem_wait(s, rwsem_try_read);
}

void down_write(struct rwsem *s)
{
    if (!rwsem_try_write(s))
        rwsem_wait(s, rwsem_try_write);
}

void up_read(struct rwsem *s)
{
    if (atomic_sub(&s->count, 1) == 0 && READ_ONCE(s->waiters))
        wake_up_all(&s->wq);
}

void up_write(struct rwsem *s)
{
    atomic_xchg(&s->count, 0);
    if (READ_ONCE(s->waiters))
        wake_up_all(&s->wq);
}
