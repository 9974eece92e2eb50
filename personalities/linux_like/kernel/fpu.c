/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x87 and SSE state. Saved when a program's thread is switched away; loaded on the way back to ring 3, and only if another
 * thread's state is in the registers. The kernel itself does not use them.
 */
#include "defs.h"
#include "task.h"

#define FXSAVE_SIZE 512
#define NO_CPU (~0u)

static void fpu_clear(u8 *state)
{
    memset(state, 0, FXSAVE_SIZE);
    *(u16 *)state = 0x37f;         /* FCW: all exceptions masked */
    *(u32 *)(state + 24) = 0x1f80; /* MXCSR: likewise */
}

void fpu_init_task(struct task *t)
{
    t->fpu = kmalloc(FXSAVE_SIZE);
    t->fpu_cpu = NO_CPU;
    t->tif |= TIF_FPU_RELOAD;
    if (t->fpu)
        fpu_clear(t->fpu);
}

noinline void fpu_save(struct task *t)
{
    if (t->tif & TIF_FPU_RELOAD)
        return;
    __asm__ volatile("fxsaveq (%0)" ::"r"(t->fpu) : "memory");
    t->fpu_cpu = cpu_id();
    this_cpu()->fpu_owner = t;
    atomic_or(&t->tif, TIF_FPU_RELOAD);
}

noinline void fpu_restore_current(void)
{
    struct task *t = current;
    struct cpu *c = this_cpu();
    if (c->fpu_owner != t || t->fpu_cpu != c->id)
        __asm__ volatile("fxrstorq (%0)" ::"r"(t->fpu) : "memory");
    c->fpu_owner = t;
    t->fpu_cpu = c->id;
    atomic_and(&t->tif, ~TIF_FPU_RELOAD);
}

/* child's state = current's. Interrupts may come, switches not. */
void fpu_fork(struct task *child)
{
    u64 f = irq_save();
    fpu_save(current);
    memcpy(child->fpu, current->fpu, FXSAVE_SIZE);
    irq_restore(f);
}

void fpu_reset_current(void)
{
    u64 f = irq_save();
    fpu_clear(current->fpu);
    current->fpu_cpu = NO_CPU;
    atomic_or(&current->tif, TIF_FPU_RELOAD);
    irq_restore(f);
}
