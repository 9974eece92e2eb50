/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which address space each vCPU has loaded, and telling the others when entries must go. */
#include "defs.h"
#include "mm.h"

#define FLUSH_ONE_BY_ONE 32

static struct spinlock flush_lock;
static struct mm *volatile flush_mm;
static volatile u32 flush_pending; /* vCPUs that have not answered */

/*
 * Each flush raises the address space's generation; a vCPU records the one its TLB is clean for. A vCPU that runs only kernel
 * threads on borrowed tables is not disturbed: it compares generations when it returns to the address space.
 */

static void tlb_flush_all(struct cpu *c)
{
    u64 gen = READ_ONCE(c->loaded_mm->tlb_gen); /* read first: a flush asked for meanwhile is not covered */
    write_cr3(pa(c->loaded_mm->pml4));
    c->tlb_gen = gen;
}

/* Interrupts off. Kernel threads do not come here: they keep what is loaded, which saves the CR3 write. */
void mm_switch(struct cpu *c, struct mm *next)
{
    struct mm *old = c->loaded_mm;
    if (old == next) {
        if (c->tlb_lazy) {
            c->tlb_lazy = false;
            smp_mb(); /* pairs with mm_flush: it sees us, or we see its generation */
            if (c->tlb_gen != READ_ONCE(next->tlb_gen))
                tlb_flush_all(c);
        }
        return;
    }
    atomic_add(&next->refs, 1);
    atomic_or(&next->cpu_mask, 1u << c->id);
    c->loaded_mm = next;
    c->tlb_lazy = false;
    smp_mb();
    tlb_flush_all(c);
    if (old) {
        atomic_and(&old->cpu_mask, ~(1u << c->id));
        mm_put(old);
    }
}

void mm_enter_lazy(struct cpu *c) { c->tlb_lazy = true; }

/* Interrupts off. gen: the generation this flush brings about. */
static void tlb_flush_local(struct cpu *c, u64 start, u64 end, u64 gen)
{
    if (c->tlb_gen != gen - 1 || (end - start) >> PAGE_SHIFT > FLUSH_ONE_BY_ONE) {
        tlb_flush_all(c);
        return;
    }
    for (; start < end; start += PAGE_SIZE)
        invlpg(start);
    c->tlb_gen = gen;
}

void mm_flush_ipi(void)
{
    struct cpu *c = this_cpu();
    if (!(flush_pending & 1u << c->id))
        return;
    if (c->loaded_mm == flush_mm)
        tlb_flush_all(c);
    atomic_and(&flush_pending, ~(1u << c->id));
}

noinline static void flush_wait(void)
{
    while (flush_pending)
        cpu_pause();
}

static u32 flush_others(struct mm *mm, u32 me, bool lazy_too)
{
    u32 mask = READ_ONCE(mm->cpu_mask) & ~(1u << me);
    for (u32 i = 0; i < ncpus && !lazy_too; i++)
        if (mask & 1u << i && READ_ONCE(cpus[i].tlb_lazy))
            mask &= ~(1u << i);
    return mask;
}

static void mm_flush(struct mm *mm, u64 start, u64 end, bool lazy_too)
{
    u64 gen = atomic_add(&mm->tlb_gen, 1);
    u64 f = irq_save();
    u32 me = cpu_id();
    if (this_cpu()->loaded_mm == mm)
        tlb_flush_local(this_cpu(), start, end, gen);
    irq_restore(f);
    if (!flush_others(mm, me, lazy_too))
        return;
    spin_lock(&flush_lock); /* waiting for it, we still answer others' requests */
    u32 others = flush_others(mm, me, lazy_too);
    flush_mm = mm;
    atomic_xchg(&flush_pending, others);
    for (u32 i = 0; i < ncpus; i++)
        if (others & 1u << i)
            apic_send_ipi(cpus[i].apic_id, VEC_TLB);
    flush_wait();
    spin_unlock(&flush_lock);
}

/* Process context, interrupts on. On return no vCPU uses old entries of the range. */
void mm_flush_range(struct mm *mm, u64 start, u64 end) { mm_flush(mm, start, end, false); }

/* Likewise for all of it, and no vCPU remembers where its page tables lie. */
void mm_flush_tables(struct mm *mm) { mm_flush(mm, 0, USER_TOP, true); }
