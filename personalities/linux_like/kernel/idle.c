/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a vCPU runs when nothing is runnable. */
#include "defs.h"
#include "net.h"
#include "task.h"

/* Interrupts are off; STI takes effect after HLT began, so no wake-up falls between. */
noinline static void idle_halt(void) { __asm__ volatile("sti; hlt; cli" ::: "memory"); }

/* poll=1: never halts. A wake-up is seen without an interrupt (sched_resched). */
static void poll_loop(void)
{
    irq_enable();
    for (;;) {
        busy_wait(NULL, 0);
        netdev_poll();
        if (READ_ONCE(current->tif) & TIF_NEED_RESCHED)
            schedule();
    }
}

void idle_loop(void)
{
    if (knobs.polling)
        poll_loop();
    irq_disable();
    for (;;) {
        for (sched_take_woken(); !(READ_ONCE(current->tif) & TIF_NEED_RESCHED); sched_take_woken())
            idle_halt();
        schedule();
    }
}
