/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packet buffers that programs can share, pool=N: one range of memory, from which the receive rings are filled and which a
 * program maps through its socket. With MSG_ZEROCOPY a datagram is lent where the NIC put it, and an answer is sent from where
 * the program wrote it. What that costs is protection: whoever maps the pool can write to packets that are not lent to it.
 * Who owns a buffer is kept apart from the buffers, so the kernel's own lists are out of reach.
 */
#include "defs.h"
#include "net.h"
#include "task.h"

#define MAGAZINE 64

struct magazine { u32 n; u16 at[MAGAZINE]; } cacheline_aligned;

static struct magazine magazines[MAX_CPUS];
static struct { struct spinlock lock; u32 n; u16 *at; } depot; /* the rest of the free ones */
static struct mm **lent_to; /* NULL: the kernel's, or free */
static u8 *pool_base;
static u64 pool_bytes;

bool pool_holds(const void *p) { return (u64)p - (u64)pool_base < pool_bytes; }
static u32 pool_index(const void *p) { return (u32)(((u64)p - (u64)pool_base) / RX_BUFFER_SIZE); }

/* While the boot page tables still show early memory; the linear map comes after. */
void pool_init(void)
{
    u32 n = knobs.pool_buffers;
    if (!n)
        return;
    n = ALIGN_UP(n, (u32)(PAGE_SIZE / RX_BUFFER_SIZE));
    u16 *at = page_early_alloc(n * sizeof *at);
    pool_base = va((u64)page_early_alloc(n * (u64)RX_BUFFER_SIZE) - KERNEL_BASE);
    depot.at = va((u64)at - KERNEL_BASE);
    lent_to = va((u64)page_early_alloc(n * sizeof *lent_to) - KERNEL_BASE);
    pool_bytes = n * (u64)RX_BUFFER_SIZE;
    while (n--)
        at[depot.n++] = (u16)n;
}

static void pool_move(struct magazine *m, u32 n, bool in)
{
    spin_lock(&depot.lock);
    for (; n && (in ? depot.n : m->n); n--) {
        if (in)
            m->at[m->n++] = depot.at[--depot.n];
        else
            depot.at[depot.n++] = m->at[--m->n];
    }
    spin_unlock(&depot.lock);
}

void *pool_alloc(void)
{
    u64 f = irq_save();
    struct magazine *m = &magazines[cpu_id()];
    if (!m->n)
        pool_move(m, MAGAZINE / 2, true);
    void *p = m->n ? pool_base + m->at[--m->n] * (u64)RX_BUFFER_SIZE : NULL;
    irq_restore(f);
    return p;
}

void pool_free(void *p)
{
    u64 f = irq_save();
    struct magazine *m = &magazines[cpu_id()];
    if (m->n == MAGAZINE)
        pool_move(m, MAGAZINE / 2, false);
    m->at[m->n++] = (u16)pool_index(p);
    irq_restore(f);
}

/* The whole pool into current's address space; its address or -errno. */
long pool_map(u32 prot)
{
    struct mm *mm = current->mm;
    if (!pool_bytes)
        return -ENODEV;
    if (mm->pool_at)
        return -EBUSY;
    long r = mm_map_pages(mm, pa_page(pa(pool_base)), pool_bytes >> PAGE_SHIFT, prot);
    if (r > 0)
        mm->pool_at = (u64)r;
    return r;
}

/* An address space is gone: so are the loans. */
void pool_reclaim(struct mm *mm)
{
    for (u32 i = 0; mm->pool_at && i < pool_bytes / RX_BUFFER_SIZE; i++)
        if (lent_to[i] == mm)
            pool_take(mm, mm->pool_at + i * (u64)RX_BUFFER_SIZE, NULL, true);
}

/* Lends a buffer of the kernel's: the program's address of p, which lies in it. */
u64 pool_lend(struct mm *mm, void *p)
{
    WRITE_ONCE(lent_to[pool_index(p)], mm);
    return mm->pool_at + ((u64)p - (u64)pool_base);
}

/* Takes back the buffer in which the program's address `at` lies, or frees it at once. False: it is not lent to that program. */
bool pool_take(struct mm *mm, u64 at, void **p, bool free)
{
    u64 offset = at - mm->pool_at;
    if (!mm->pool_at || offset >= pool_bytes)
        return false;
    u32 i = (u32)(offset / RX_BUFFER_SIZE);
    struct mm *owner = mm;
    if (!__atomic_compare_exchange_n(&lent_to[i], &owner, NULL, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        return false;
    if (free)
        pool_free(pool_base + i * (u64)RX_BUFFER_SIZE);
    else
        *p = pool_base + offset;
    return true;
}
