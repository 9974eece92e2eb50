/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * External interrupts. A device's has a descriptor: edge-triggered (MSI), so it is acknowledged before it is handled, and one that arrives on another vCPU
 * meanwhile is remembered and handled by whoever is at it. Handlers say whether it was theirs; one that never is is switched off.
 * The kernel's own vectors (timer, IPIs) go straight to their functions. Then pending softirqs, then perhaps another thread.
 */
#include "defs.h"
#include "task.h"

#define UNHANDLED_WINDOW 100000u   /* interrupts over which unhandled ones are counted, and how many are too many: Linux's */
#define UNHANDLED_MAX 99900u

enum { IRQ_INPROGRESS = 1, IRQ_PENDING = 2, IRQ_DISABLED = 4 };

struct irq_desc {
    struct spinlock lock;
    u32 state;
    irq_handler fn;
    void *arg;
    u32 seen, unhandled;            /* in this window */
    u64 count[MAX_CPUS];
} cacheline_aligned;

static struct irq_desc irq_descs[VEC_TIMER - FIRST_DEVICE_VECTOR];
static struct { void (*fn)(void *arg); void *arg; } irq_system[256];
static u8 irq_next = FIRST_DEVICE_VECTOR;

void irq_set(u8 vector, void (*fn)(void *arg), void *arg)
{
    irq_system[vector].arg = arg;
    irq_system[vector].fn = fn;
}

/* While booting only. */
u8 irq_alloc(irq_handler fn, void *arg)
{
    if (irq_next >= VEC_TIMER)
        panic("irq: out of vectors");
    struct irq_desc *d = &irq_descs[irq_next - FIRST_DEVICE_VECTOR];
    d->arg = arg;
    d->fn = fn;
    return irq_next++;
}

u64 irq_count_on(u8 vector, u32 cpu) { return READ_ONCE(irq_descs[vector - FIRST_DEVICE_VECTOR].count[cpu]); }

u32 irq_end_vector(void) { return irq_next; }

u64 irq_count(u8 vector)
{
    u64 n = 0;
    for (u32 i = 0; i < ncpus; i++)
        n += irq_count_on(vector, i);
    return n;
}

/* d's lock held. */
static void irq_note(struct irq_desc *d, bool handled)
{
    d->unhandled += !handled;
    if (likely(++d->seen < UNHANDLED_WINDOW))
        return;
    if (d->unhandled > UNHANDLED_MAX) {
        printk("irq: nobody cared for vector %lu: off\n", (u64)(d - irq_descs) + FIRST_DEVICE_VECTOR);
        d->state |= IRQ_DISABLED;
    }
    d->seen = d->unhandled = 0;
}

static void irq_handle_edge(struct irq_desc *d)
{
    spin_lock(&d->lock);
    d->count[cpu_id()]++;
    apic_eoi();
    if (unlikely(d->state & (IRQ_INPROGRESS | IRQ_DISABLED) || !d->fn)) {
        d->state |= IRQ_PENDING;
        spin_unlock(&d->lock);
        return;
    }
    do {
        d->state = (d->state & ~IRQ_PENDING) | IRQ_INPROGRESS;
        spin_unlock(&d->lock);
        bool handled = d->fn(d->arg);
        spin_lock(&d->lock);
        d->state &= ~IRQ_INPROGRESS;
        irq_note(d, handled);
    } while (unlikely((d->state & (IRQ_PENDING | IRQ_DISABLED)) == IRQ_PENDING));
    spin_unlock(&d->lock);
}

void irq_handle(struct pt_regs *regs, u64 vector)
{
    struct cpu *c = this_cpu();
    if (vector != VEC_SPURIOUS) {
        c->hardirq_depth++;
        if (vector >= FIRST_DEVICE_VECTOR && vector < VEC_TIMER) {
            irq_handle_edge(&irq_descs[vector - FIRST_DEVICE_VECTOR]);
        } else {
            if (irq_system[vector].fn)
                irq_system[vector].fn(irq_system[vector].arg);
            apic_eoi();
        }
        c->hardirq_depth--;
        softirq_irq_exit();
    }
    if (user_mode(regs)) {
        regs->orig_ax = ~0ul; /* no call to restart */
        syscall_exit_to_user(regs);
    }
}
