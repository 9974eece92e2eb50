/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The C side of ring0.S: what a program at CPL 0 cannot do, and what a call of the gate finds to do on its way out. */
#include "defs.h"
#include "task.h"

_Static_assert(offsetof(struct task, tif) == 8, "ring0.S");

u16 program_cs = USER_CS, program_ds = USER_DS;

extern void ring0_syscall_entry(void);

void ring0_init(void)
{
    program_cs = KERNEL_CS;
    program_ds = KERNEL_DS;
    wrmsr(MSR_LSTAR, (u64)ring0_syscall_entry);
    trap_init();
}

noreturn void ring0_no_syscall(void)
{
    panic("ring0: %s made a system call by SYSCALL; with ring=0 a program must call where AT_SYSINFO points", current->comm);
}

/* Interrupts are off, and are off again at its return. r: what the call returns so far. */
long ring0_work(long r)
{
    struct task *t = current;
    irq_enable();
    if (READ_ONCE(t->tif) & TIF_NEED_RESCHED)
        schedule();
    if (signal_pending(t)) {
        struct pt_regs none = { .orig_ax = ~0ul };
        signal_deliver(&none); /* ends the thread, or there was nothing to do but to run a handler */
        if (none.ip)
            panic("ring0: %s has a signal handler; with ring=0 there are none", t->comm);
        if (r == -ERESTARTSYS)
            r = -EINTR;
    }
    irq_disable();
    if (t->tif & TIF_FPU_RELOAD)
        fpu_restore_current();
    return r;
}
