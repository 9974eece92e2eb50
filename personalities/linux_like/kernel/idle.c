/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a vCPU runs when nothing is runnable. */
#include "defs.h"
#include "task.h"

/* Interrupts are off; STI takes effect after HLT began, so no wake-up falls between. */
noinline static void idle_halt(void) { __asm__ volatile("sti; hlt; cli" ::: "memory"); }

void idle_loop(void)
{
    irq_disable();
    for (;;) {
        while (!(READ_ONCE(current->tif) & TIF_NEED_RESCHED))
            idle_halt();
        schedule();
    }
}
