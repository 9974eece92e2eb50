/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ticket locks. The busy wait is a function of its own, so that contention shows apart from the cost of a free lock. */
#include "defs.h"

noinline static void spin_lock_wait(struct spinlock *l, u16 ticket)
{
    while (l->owner != ticket)
        cpu_pause();
}

noinline void spin_lock(struct spinlock *l)
{
    u16 ticket = __atomic_fetch_add(&l->next, 1, __ATOMIC_SEQ_CST);
    if (unlikely(l->owner != ticket))
        spin_lock_wait(l, ticket);
    barrier();
}

noinline bool spin_trylock(struct spinlock *l)
{
    u16 ticket = l->owner;
    return __atomic_compare_exchange_n(&l->next, &ticket, (u16)(ticket + 1), false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

noinline void spin_unlock(struct spinlock *l)
{
    barrier();
    l->owner = (u16)(l->owner + 1); /* a plain store releases on x86 */
}

u64 spin_lock_irqsave(struct spinlock *l)
{
    u64 f = irq_save();
    spin_lock(l);
    return f;
}

void spin_unlock_irqrestore(struct spinlock *l, u64 flags)
{
    spin_unlock(l);
    irq_restore(flags);
}

void spin_lock_bh(struct spinlock *l)
{
    local_bh_disable();
    spin_lock(l);
}

void spin_unlock_bh(struct spinlock *l)
{
    spin_unlock(l);
    local_bh_enable();
}
