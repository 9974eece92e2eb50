/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * High-resolution timers and the scheduler tick, one sorted list and one LAPIC timer (one-shot) a vCPU. An idle vCPU has
 * no tick: one already armed is let run out and not renewed; leaving idle starts it again.
 */
#include "defs.h"
#include "task.h"

#define TICK_NS (1000000000ul / HZ)
#define NEVER (~0ul)

struct timer_base {
    struct spinlock lock;
    struct list timers;      /* by expires */
    struct timer *running;
    u64 next_tick;           /* NEVER: stopped */
    u64 armed_for;           /* what the LAPIC will fire for */
} cacheline_aligned;

static struct timer_base bases[MAX_CPUS];
static u64 lapic_hz, lapic_mult; /* counts = ns * mult >> 32 */

/* The owner vCPU, lock held. */
static void timer_program(struct timer_base *b)
{
    u64 next = b->next_tick;
    if (!list_empty(&b->timers))
        next = MIN(next, list_first(&b->timers, struct timer, node)->expires);
    if (next == b->armed_for)
        return;
    b->armed_for = next;
    if (next == NEVER) {
        apic_timer_arm(0);
        return;
    }
    u64 now = time_ns(), delta = next > now ? next - now : 0;
    u64 count = (u64)((unsigned __int128)delta * lapic_mult >> 32) + 1; /* never early: that would be an interrupt for nothing */
    apic_timer_arm((u32)MIN(count, 0xfffffffful));
}

static void timer_interrupt(void *arg)
{
    struct timer_base *b = &bases[cpu_id()];
    spin_lock(&b->lock);
    b->armed_for = 0;
    u64 now = time_ns();
    while (!list_empty(&b->timers)) {
        struct timer *t = list_first(&b->timers, struct timer, node);
        if (t->expires > now)
            break;
        list_del(&t->node);
        t->armed = false;
        b->running = t;
        spin_unlock(&b->lock);
        t->fn(t);
        spin_lock(&b->lock);
        b->running = NULL;
    }
    if (b->next_tick <= now) {
        if (current->is_idle) {
            b->next_tick = NEVER;
        } else {
            b->next_tick = now + TICK_NS;
            spin_unlock(&b->lock);
            sched_tick();
            spin_lock(&b->lock);
        }
    }
    timer_program(b);
    spin_unlock(&b->lock);
}

/* Called by the scheduler, interrupts off, when this vCPU has something to run. */
void timer_tick_start(void)
{
    struct timer_base *b = &bases[cpu_id()];
    if (b->next_tick != NEVER)
        return;
    spin_lock(&b->lock);
    b->next_tick = time_ns() + TICK_NS;
    timer_program(b);
    spin_unlock(&b->lock);
}

void timer_setup(struct timer *t, void (*fn)(struct timer *), void *arg)
{
    t->fn = fn;
    t->arg = arg;
    t->armed = false;
    t->cpu = 0;
}

/* On this vCPU. t must not be armed. */
void timer_arm(struct timer *t, u64 expires)
{
    u64 f = irq_save();
    struct timer_base *b = &bases[cpu_id()];
    spin_lock(&b->lock);
    t->expires = expires;
    t->cpu = cpu_id();
    t->armed = true;
    struct list *at = &b->timers;
    while (at->prev != &b->timers && list_entry(at->prev, struct timer, node)->expires > expires)
        at = at->prev;
    list_add_tail(&t->node, at);
    timer_program(b);
    spin_unlock(&b->lock);
    irq_restore(f);
}

bool timer_try_cancel(struct timer *t)
{
    struct timer_base *b = &bases[t->cpu];
    u64 f = spin_lock_irqsave(&b->lock);
    bool was = t->armed;
    if (was) {
        list_del(&t->node);
        t->armed = false;
        if (b == &bases[cpu_id()])
            timer_program(b);
    }
    spin_unlock_irqrestore(&b->lock, f);
    return was;
}

void timer_cancel(struct timer *t)
{
    if (timer_try_cancel(t))
        return;
    while (READ_ONCE(bases[t->cpu].running) == t) /* let its function end on the other vCPU */
        cpu_pause();
}

static void timer_wake(struct timer *t) { wake_task(t->arg); }

/* The state is set, as for schedule(). Returns 0 if the time passed, 1 if something else woke us. */
long timer_schedule_until(u64 expires)
{
    if (!expires) {
        schedule();
        return 1;
    }
    if (time_ns() >= expires) {
        current->state = TASK_RUNNING;
        return 0;
    }
    struct timer t;
    timer_setup(&t, timer_wake, current);
    timer_arm(&t, expires);
    schedule();
    timer_cancel(&t);
    return time_ns() < expires;
}

static u64 timer_measure(void)
{
    u64 ticks = time_tsc_hz() / 1000;
    apic_timer_arm(0xffffffff);
    u64 start = rdtsc();
    while (rdtsc() - start < ticks)
        cpu_pause();
    u32 left = apic_timer_count();
    u64 end = rdtsc();
    apic_timer_arm(0);
    return (u64)(0xffffffff - left) * time_tsc_hz() / (end - start);
}

/*
 * The best of three: a host that is busy elsewhere between the two readings spoils a sample downwards. The crystal's exact frequency, if it
 * is what was measured: a millisecond is a few counts short of a whole one.
 */
static void timer_calibrate(void)
{
    for (int i = 0; i < 3; i++)
        lapic_hz = MAX(lapic_hz, timer_measure());
    u64 told = time_crystal_hz() / APIC_TIMER_DIVISOR;
    if (told && MAX(told, lapic_hz) - MIN(told, lapic_hz) < told / 100)
        lapic_hz = told;
    lapic_mult = (lapic_hz << 32) / 1000000000ul;
    if (!lapic_mult)
        panic("timer: the LAPIC timer does not count");
}

void timer_init_cpu(void)
{
    struct timer_base *b = &bases[cpu_id()];
    list_init(&b->timers);
    b->next_tick = b->armed_for = NEVER;
    if (!lapic_hz) {
        irq_set(VEC_TIMER, timer_interrupt, NULL);
        timer_calibrate();
    }
}
