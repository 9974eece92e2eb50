/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which address space each vCPU has loaded, and telling the others when entries must go. */
#include "defs.h"
#include "mm.h"

#define FLUSH_ONE_BY_ONE 32

static struct spinlock flush_lock;
static struct mm *volatile flush_mm;
static volatile u32 flush_pending; /* vCPUs that have not answered */

/* Interrupts off. Kernel threads do not come here: they keep what is loaded, which saves the CR3 write. */
void mm_switch(struct cpu *c, struct mm *next)
{
    struct mm *old = c->loaded_mm;
    if (old == next)
        return;
    atomic_add(&next->refs, 1);
    atomic_or(&next->cpu_mask, 1u << c->id);
    c->loaded_mm = next;
    write_cr3(pa(next->pml4));
    if (old) {
        atomic_and(&old->cpu_mask, ~(1u << c->id));
        mm_put(old);
    }
}

static void flush_local(u64 start, u64 end)
{
    if ((end - start) >> PAGE_SHIFT > FLUSH_ONE_BY_ONE) {
        write_cr3(read_cr3());
        return;
    }
    for (; start < end; start += PAGE_SIZE)
        invlpg(start);
}

void mm_flush_ipi(void)
{
    struct cpu *c = this_cpu();
    if (!(flush_pending & 1u << c->id))
        return;
    if (c->loaded_mm == flush_mm)
        write_cr3(read_cr3());
    atomic_and(&flush_pending, ~(1u << c->id));
}

noinline static void flush_wait(void)
{
    while (flush_pending)
        cpu_pause();
}

/* Process context, interrupts on. On return no vCPU translates the range by old entries. */
void mm_flush_range(struct mm *mm, u64 start, u64 end)
{
    u64 f = irq_save();
    u32 me = cpu_id();
    if (this_cpu()->loaded_mm == mm)
        flush_local(start, end);
    irq_restore(f);
    smp_mb();
    if (!(READ_ONCE(mm->cpu_mask) & ~(1u << me)))
        return;
    spin_lock(&flush_lock); /* waiting for it, we still answer others' requests */
    u32 others = READ_ONCE(mm->cpu_mask) & ~(1u << me);
    flush_mm = mm;
    atomic_xchg(&flush_pending, others);
    for (u32 i = 0; i < ncpus; i++)
        if (others & 1u << i)
            apic_send_ipi(cpus[i].apic_id, VEC_TLB);
    flush_wait();
    spin_unlock(&flush_lock);
}
