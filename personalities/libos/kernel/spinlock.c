/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ticket locks: first come, first served. The wait is a function of its own, so that contention and the cost of a free
 * lock can be told apart.
 */
#include "cpu.h"

static noinline void spin_lock_wait(struct spinlock *lock, uint16_t ticket)
{
    this_cpu()->lock_waits++;
    while (__atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE) != ticket)
        cpu_relax();
}

uint64_t spin_waits(void)
{
    return this_cpu()->lock_waits;
}

void spin_lock(struct spinlock *lock)
{
    uint16_t ticket = __atomic_fetch_add(&lock->next, 1, __ATOMIC_ACQUIRE);

    if (unlikely(__atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE) != ticket))
        spin_lock_wait(lock, ticket);
}

bool spin_trylock(struct spinlock *lock)
{
    uint16_t serving = __atomic_load_n(&lock->serving, __ATOMIC_RELAXED);
    uint16_t expected = serving;

    return __atomic_compare_exchange_n(&lock->next, &expected, (uint16_t)(serving + 1), false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

void spin_unlock(struct spinlock *lock)
{
    __atomic_store_n(&lock->serving, (uint16_t)(lock->serving + 1), __ATOMIC_RELEASE);
}
