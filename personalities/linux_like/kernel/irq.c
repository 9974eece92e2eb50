/* SPDX-License-Identifier: GPL-2.0-or-later */
/* External interrupts: vector -> handler, then pending softirqs, then perhaps another thread. */
#include "defs.h"
#include "task.h"

#define FIRST_DEVICE_VECTOR 0x30

static struct { irq_handler fn; void *arg; } irq_table[256];
static u8 irq_next = FIRST_DEVICE_VECTOR;

void irq_set(u8 vector, irq_handler fn, void *arg)
{
    irq_table[vector].arg = arg;
    irq_table[vector].fn = fn;
}

/* While booting only. */
u8 irq_alloc(irq_handler fn, void *arg)
{
    if (irq_next >= VEC_TIMER)
        panic("irq: out of vectors");
    irq_set(irq_next, fn, arg);
    return irq_next++;
}

void irq_handle(struct pt_regs *regs, u64 vector)
{
    struct cpu *c = this_cpu();
    if (vector != VEC_SPURIOUS) {
        c->hardirq_depth++;
        if (irq_table[vector].fn)
            irq_table[vector].fn(irq_table[vector].arg);
        apic_eoi();
        c->hardirq_depth--;
        softirq_irq_exit();
    }
    if (user_mode(regs)) {
        regs->orig_ax = ~0ul; /* no call to restart */
        syscall_exit_to_user(regs);
    }
}
