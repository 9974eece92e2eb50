/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Work an interrupt leaves behind: run with interrupts on when the last handler ends, or by a thread under load. */
#include "defs.h"
#include "net.h"
#include "task.h"

#define SOFTIRQ_RESTARTS 10
#define SOFTIRQ_MAX_NS 2000000ul

static void (*const actions[NR_SOFTIRQS])(void) = { [SOFTIRQ_NET_RX] = net_rx_action };
static struct { struct task *thread; struct wait_queue wq; } cacheline_aligned daemons[MAX_CPUS];

/* Interrupts off, or on this vCPU's own behalf with bottom halves off. */
void softirq_raise(u32 nr)
{
    u64 f = irq_save();
    this_cpu()->softirq_pending |= 1u << nr;
    irq_restore(f);
}

probed void softirq_run(void)
{
    struct cpu *c = this_cpu();
    u64 start = time_ns();
    c->bh_depth++;
    for (int i = 0; c->softirq_pending; i++) {
        if (i == SOFTIRQ_RESTARTS || time_ns() - start > SOFTIRQ_MAX_NS) {
            if (daemons[c->id].thread)
                wake_up(&daemons[c->id].wq); /* the rest in a thread, so that programs run too */
            break;
        }
        u32 pending = c->softirq_pending;
        c->softirq_pending = 0;
        irq_enable();
        for (u32 nr = 0; nr < NR_SOFTIRQS; nr++)
            if (pending & 1u << nr)
                actions[nr]();
        irq_disable();
    }
    c->bh_depth--;
}

/* At the end of an interrupt, with interrupts off. */
void softirq_irq_exit(void)
{
    struct cpu *c = this_cpu();
    if (!c->hardirq_depth && !c->bh_depth && c->softirq_pending)
        softirq_run();
}

void local_bh_disable(void)
{
    this_cpu()->bh_depth++;
    barrier();
}

void local_bh_enable(void)
{
    struct cpu *c = this_cpu();
    barrier();
    if (!--c->bh_depth && unlikely(c->softirq_pending) && !c->hardirq_depth) {
        u64 f = irq_save();
        softirq_run();
        irq_restore(f);
    }
}

static void softirq_daemon(void *arg)
{
    struct cpu *c = arg;
    for (;;) {
        wait_event(&daemons[c->id].wq, READ_ONCE(c->softirq_pending));
        irq_disable();
        if (c->softirq_pending)
            softirq_run();
        irq_enable();
        schedule();
    }
}

void softirq_init(void)
{
    for (u32 i = 0; i < ncpus; i++) {
        wait_queue_init(&daemons[i].wq);
        daemons[i].thread = fork_kthread(softirq_daemon, &cpus[i], "ksoftirqd", 1ul << i);
    }
}
