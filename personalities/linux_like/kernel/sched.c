/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The scheduler: one run queue a vCPU, ordered by virtual run time. A woken thread goes to an idle vCPU if there is one, which takes it in itself, so
 * that nobody touches another's queue; a vCPU about to idle pulls a waiting thread from the busiest. The kernel itself is not preempted: threads change on the
 * way back to ring 3, and where they sleep.
 */
#include "defs.h"
#include "net.h"
#include "sched.h"

#define SLICE_NS 3000000ul           /* run at least this long while others wait */
#define SLEEPER_CREDIT_NS 3000000ul  /* how far behind a sleeper may wake */
#define WAKEUP_GRANULARITY_NS 1000000ul
#define BALANCE_TICKS 16

static struct rq rqs[MAX_CPUS];

struct rq *sched_rq(u32 cpu) { return &rqs[cpu]; }

static bool sched_allowed(struct task *t, u32 cpu) { return t->cpus_allowed >> cpu & 1; }
static bool sched_cpu_idle(u32 cpu) { return READ_ONCE(rqs[cpu].nr) == 0 && !READ_ONCE(rqs[cpu].expecting); }
static struct task *sched_first(struct rq *rq) { return rq->queue.first ? container_of(rq->queue.first, struct task, rq_node) : NULL; }

/* The lock, and the time that the whole operation goes by. */
static void sched_lock(struct rq *rq)
{
    spin_lock(&rq->lock);
    rq->clock = MAX(rq->clock, time_ns()); /* another vCPU may have been here, by a clock a little ahead */
}

static void sched_resched(u32 cpu)
{
    struct task *curr = rqs[cpu].curr;
    if (READ_ONCE(curr->tif) & TIF_NEED_RESCHED)
        return;
    atomic_or(&curr->tif, TIF_NEED_RESCHED);
    if (cpu != cpu_id() && !(knobs.polling && curr->is_idle)) /* one that polls looks by itself */
        smp_send_resched(cpu);
}

noinline static void sched_update_curr(struct rq *rq)
{
    struct task *t = rq->curr, *first = sched_first(rq);
    if (t->is_idle)
        return;
    u64 delta = rq->clock - t->exec_start;
    t->exec_start = rq->clock;
    t->sum_exec += delta;
    rq->busy_ns += delta;
    t->vruntime += delta;
    u64 v = first ? MIN(t->vruntime, first->vruntime) : t->vruntime;
    rq->min_vruntime = MAX(rq->min_vruntime, v);
}

/* Before the number of the queue's threads changes, or who runs. t: the one that it is about. */
static void sched_account(struct rq *rq, struct task *t, bool runnable, bool running)
{
    load_update(&t->load, rq->clock, runnable, running);
    load_update(&rq->load, rq->clock, rq->nr, !rq->curr->is_idle);
}

noinline static void sched_insert(struct rq *rq, struct task *t)
{
    struct rb_node **link = &rq->queue.root, *parent = NULL;
    bool first = true;
    while (*link) {
        parent = *link;
        if ((s64)(t->vruntime - container_of(parent, struct task, rq_node)->vruntime) < 0) {
            link = &parent->left;
        } else {
            link = &parent->right;
            first = false;
        }
    }
    rb_insert(&rq->queue, &t->rq_node, parent, link, first);
}

/* Takes a queued thread, that does not run, from its queue. */
static void sched_dequeue(struct rq *rq, struct task *t)
{
    sched_account(rq, t, true, false);
    rb_erase(&rq->queue, &t->rq_node);
    rq->nr--;
    psi_change(rq, rq->nr, !rq->curr->is_idle);
}

/* Places t, not on any queue, on cpu's; that queue's lock is held. */
static void sched_enqueue(struct task *t, u32 cpu, bool wakeup)
{
    struct rq *rq = &rqs[cpu];
    sched_update_curr(rq);
    sched_account(rq, t, false, false);
    if (t->cpu != cpu)
        t->vruntime = t->vruntime - MIN(t->vruntime, READ_ONCE(rqs[t->cpu].min_vruntime)) + rq->min_vruntime;
    if (wakeup)
        t->vruntime = MAX(t->vruntime, rq->min_vruntime - MIN(rq->min_vruntime, SLEEPER_CREDIT_NS));
    t->cpu = cpu;
    t->on_rq = true;
    rq->nr++;
    sched_insert(rq, t);
    psi_change(rq, rq->nr, !rq->curr->is_idle);
    if (rq->curr->is_idle || rq->curr->vruntime > t->vruntime + WAKEUP_GRANULARITY_NS)
        sched_resched(cpu);
}

static u32 sched_least_loaded(struct task *t)
{
    u32 best = MAX_CPUS;
    for (u32 i = 0; i < ncpus; i++)
        if (sched_allowed(t, i) && cpus[i].online &&
            (best == MAX_CPUS || rqs[i].nr < rqs[best].nr || (rqs[i].nr == rqs[best].nr && READ_ONCE(rqs[i].load.runnable) < READ_ONCE(rqs[best].load.runnable))))
            best = i;
    return best == MAX_CPUS ? 0 : best;
}

/* Where a woken thread runs: where it ran, if idle; here, if idle; any idle vCPU; of where it ran and here, the less busy. */
static u32 sched_select_cpu(struct task *t)
{
    u32 prev = t->cpu, here = cpu_id();
    if (!sched_allowed(t, prev))
        return sched_least_loaded(t);
    if (sched_cpu_idle(prev))
        return prev;
    if (sched_allowed(t, here) && sched_cpu_idle(here))
        return here;
    for (u32 i = 1; i < ncpus; i++) {
        u32 cpu = prev + i < ncpus ? prev + i : prev + i - ncpus;
        if (sched_allowed(t, cpu) && sched_cpu_idle(cpu))
            return cpu;
    }
    return sched_allowed(t, here) && READ_ONCE(rqs[here].load.runnable) < READ_ONCE(rqs[prev].load.runnable) ? here : prev;
}

static struct rq *sched_task_rq_lock(struct task *t)
{
    for (;;) {
        u32 cpu = READ_ONCE(t->cpu);
        sched_lock(&rqs[cpu]);
        if (t->cpu == cpu)
            return &rqs[cpu];
        spin_unlock(&rqs[cpu].lock);
    }
}

/* The thread is off its queue but still on its old vCPU's stack, for a few instructions more. */
noinline static void sched_wait_off_cpu(struct task *t)
{
    while (t->on_cpu)
        cpu_pause();
}

/* An idle vCPU queues t itself: its lock and its queue's lines stay where they are. */
static void sched_hand_over(struct task *t, u32 cpu)
{
    struct rq *rq = &rqs[cpu];
    WRITE_ONCE(rq->expecting, true);
    t->wake_next = READ_ONCE(rq->woken);
    while (!__atomic_compare_exchange_n(&rq->woken, &t->wake_next, t, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        ;
    if (!t->wake_next) /* who came first has told it */
        smp_send_resched(cpu);
}

void sched_take_woken(void)
{
    struct rq *rq = &rqs[cpu_id()];
    if (!READ_ONCE(rq->woken))
        return;
    struct task *t = atomic_xchg(&rq->woken, NULL), *first = NULL, *away = NULL;
    for (struct task *next; t; first = t, t = next) { /* in the order in which they came */
        next = t->wake_next;
        t->wake_next = first;
        if (!next) {
            first = t;
            break;
        }
    }
    sched_lock(rq);
    for (t = first; t; t = first) {
        first = t->wake_next;
        if (sched_allowed(t, cpu_id())) {
            sched_enqueue(t, cpu_id(), true);
        } else {
            t->wake_next = away;
            away = t;
        }
    }
    WRITE_ONCE(rq->expecting, false); /* now, not before: or others would take this vCPU for idle and send it theirs, too */
    spin_unlock(&rq->lock);
    for (t = away; t; t = away) { /* its affinity changed on the way */
        away = t->wake_next;
        u32 cpu = sched_least_loaded(t);
        sched_lock(&rqs[cpu]);
        sched_enqueue(t, cpu, true);
        spin_unlock(&rqs[cpu].lock);
    }
}

/* Makes t runnable if it sleeps in one of the states. */
probed bool try_to_wake_up(struct task *t, int states)
{
    u64 f = spin_lock_irqsave(&t->pi_lock);
    bool woken = false;
    if (!(t->state & states))
        goto out;
    woken = true;
    if (t->on_rq) {
        struct rq *rq = sched_task_rq_lock(t);
        bool queued = t->on_rq;
        if (queued)
            t->state = TASK_RUNNING; /* it had not gone yet */
        spin_unlock(&rq->lock);
        if (queued)
            goto out;
    }
    if (t->on_cpu)
        sched_wait_off_cpu(t);
    t->state = TASK_RUNNING;
    u32 cpu = sched_select_cpu(t);
    if (cpu != cpu_id() && READ_ONCE(rqs[cpu].nr) == 0 && !knobs.polling) {
        sched_hand_over(t, cpu);
    } else {
        sched_lock(&rqs[cpu]);
        sched_enqueue(t, cpu, true);
        spin_unlock(&rqs[cpu].lock);
    }
out:
    spin_unlock_irqrestore(&t->pi_lock, f);
    return woken;
}

void sched_start(struct task *t)
{
    u64 f = irq_save();
    u32 cpu = sched_least_loaded(t);
    sched_lock(&rqs[cpu]);
    t->cpu = cpu;
    t->load.at = rqs[cpu].clock;
    t->vruntime = rqs[cpu].min_vruntime;
    t->state = TASK_RUNNING;
    sched_enqueue(t, cpu, false);
    spin_unlock(&rqs[cpu].lock);
    irq_restore(f);
}

/* Takes one waiting thread from the busiest vCPU that has as many as min_nr, if its lock is free. Own lock held. */
static bool sched_pull(u32 here, u32 min_nr)
{
    struct rq *from = NULL;
    for (u32 i = 1; i < ncpus; i++) {
        struct rq *rq = &rqs[here + i < ncpus ? here + i : here + i - ncpus];
        if (READ_ONCE(rq->nr) >= min_nr && rq->queue.first && (!from || READ_ONCE(rq->load.runnable) > READ_ONCE(from->load.runnable)))
            from = rq;
    }
    if (!from || !spin_trylock(&from->lock))
        return false;
    from->clock = MAX(from->clock, time_ns());
    for (struct rb_node *n = from->queue.first; n; n = rb_next(n)) {
        struct task *t = container_of(n, struct task, rq_node);
        if (!sched_allowed(t, here) || t->on_cpu)
            continue;
        sched_dequeue(from, t);
        sched_enqueue(t, here, false);
        spin_unlock(&from->lock);
        return true;
    }
    spin_unlock(&from->lock);
    return false;
}

void sched_tick(void)
{
    u32 here = cpu_id();
    if (knobs.polling)
        netdev_poll_tick();
    struct rq *rq = &rqs[here];
    sched_lock(rq);
    sched_update_curr(rq);
    if (!rq->curr->is_idle)
        sched_account(rq, rq->curr, true, true);
    if (rq->queue.first) {
        if (rq->clock - rq->curr->slice_start >= SLICE_NS)
            sched_resched(here);
        for (u32 i = 0; i < ncpus; i++) /* somebody idles while a thread waits here: let it come and pull */
            if (sched_cpu_idle(i) && cpus[i].online) {
                sched_resched(i);
                break;
            }
    }
    if (++rq->ticks % BALANCE_TICKS == 0)
        sched_pull(here, rq->nr + 2);
    spin_unlock(&rq->lock);
}

static void sched_load_segments(struct task *t)
{
    wrmsr(MSR_FS_BASE, t->fsbase);
    if (rdmsr(MSR_KERNEL_GS_BASE) != t->gsbase)
        wrmsr(MSR_KERNEL_GS_BASE, t->gsbase);
}

/* Returns, once prev runs again, the thread that ran just before it. */
probed struct task *context_switch(struct task *prev, struct task *next)
{
    struct cpu *c = this_cpu();
    if (prev->mm)
        fpu_save(prev);
    if (next->mm) {
        mm_switch(c, next->mm);
        cpu_set_kstack(c, (u64)task_regs(next) + sizeof(struct pt_regs));
        sched_load_segments(next);
    } else {
        mm_enter_lazy(c);
    }
    c->curr = next;
    extern struct task *sched_switch_stack(struct task *, struct task *);
    return sched_switch_stack(prev, next);
}

/* On the new thread's stack: unlock, let go of the old one. Interrupts stay off. */
void sched_finish_switch(struct task *prev)
{
    bool displaced = !prev->is_idle && !prev->on_rq && prev->state == TASK_RUNNING; /* its affinity forbids this vCPU */
    bool dead = prev->state == TASK_DEAD;
    spin_unlock(&rqs[cpu_id()].lock);
    __atomic_store_n(&prev->on_cpu, false, __ATOMIC_RELEASE);
    if (displaced) {
        u32 cpu = sched_least_loaded(prev);
        sched_lock(&rqs[cpu]);
        sched_enqueue(prev, cpu, false);
        spin_unlock(&rqs[cpu].lock);
    }
    if (dead)
        task_put(prev);
}

/* The thread that ran stays queued, or goes. */
static void sched_put_prev(struct rq *rq, struct task *prev)
{
    if (prev->is_idle)
        return;
    sched_account(rq, prev, true, true);
    if (prev->state == TASK_INTERRUPTIBLE && signal_pending(prev))
        prev->state = TASK_RUNNING;
    if (prev->state != TASK_RUNNING || !sched_allowed(prev, prev->cpu)) {
        prev->on_rq = false;
        rq->nr--;
    } else {
        sched_insert(rq, prev);
    }
}

static struct task *sched_pick_next(struct rq *rq)
{
    struct task *next = sched_first(rq);
    if (!next)
        return this_cpu()->idle;
    sched_account(rq, next, true, false);
    rb_erase(&rq->queue, &next->rq_node);
    next->exec_start = next->slice_start = rq->clock;
    timer_tick_start();
    return next;
}

void schedule(void)
{
    u64 f = irq_save();
    u32 here = cpu_id();
    struct rq *rq = &rqs[here];
    sched_lock(rq);
    struct task *prev = rq->curr;
    atomic_and(&prev->tif, ~TIF_NEED_RESCHED);
    sched_update_curr(rq);
    sched_put_prev(rq, prev);
    if (!rq->queue.first)
        sched_pull(here, 2);
    struct task *next = sched_pick_next(rq);
    atomic_and(&prev->tif, ~TIF_NEED_RESCHED); /* sched_pull's own enqueue asks for what we are doing */
    if (next != prev) {
        if (prev->state == TASK_RUNNING)
            prev->nivcsw++;
        else
            prev->nvcsw++;
        rq->curr = next;
        psi_change(rq, rq->nr, !next->is_idle);
        next->on_cpu = true;
        prev = context_switch(prev, next);
        sched_finish_switch(prev);
    } else {
        spin_unlock(&rq->lock);
    }
    irq_restore(f);
}

void sched_yield_current(void)
{
    struct rq *rq = &rqs[cpu_id()];
    u64 f = irq_save();
    sched_lock(rq);
    sched_update_curr(rq);
    for (struct rb_node *n = rq->queue.root; n; n = n->right) /* behind everybody who waits now */
        current->vruntime = MAX(current->vruntime, container_of(n, struct task, rq_node)->vruntime + 1);
    spin_unlock(&rq->lock);
    irq_restore(f);
    schedule();
}

long sched_set_affinity(struct task *t, u64 mask)
{
    mask &= (1ul << ncpus) - 1;
    if (!mask)
        return -EINVAL;
    u64 f = spin_lock_irqsave(&t->pi_lock);
    struct rq *rq = sched_task_rq_lock(t);
    t->cpus_allowed = mask;
    bool away = t->on_rq && !sched_allowed(t, t->cpu), queued = away && rq->curr != t;
    if (queued) {
        sched_dequeue(rq, t);
        t->on_rq = false;
    } else if (away && t != current) {
        sched_resched(t->cpu);
    }
    spin_unlock(&rq->lock);
    if (queued) {
        u32 cpu = sched_least_loaded(t);
        sched_lock(&rqs[cpu]);
        sched_enqueue(t, cpu, false);
        spin_unlock(&rqs[cpu].lock);
    }
    spin_unlock_irqrestore(&t->pi_lock, f);
    if (away && t == current)
        schedule();
    return 0;
}

void sched_quiesce(void)
{
    u64 allowed = current->cpus_allowed;
    for (u32 i = 0; i < ncpus; i++)
        sched_set_affinity(current, 1ul << i);
    sched_set_affinity(current, allowed);
}

u32 sched_nr_running(void)
{
    u32 n = 0;
    for (u32 i = 0; i < ncpus; i++)
        n += READ_ONCE(rqs[i].nr);
    return n;
}

void sched_init_idle(u32 cpu)
{
    struct rq *rq = &rqs[cpu];
    rq->curr = cpus[cpu].idle;
    rq->curr->on_cpu = true;
    rq->curr->cpu = cpu;
}

void sched_init(void)
{
    struct cpu *c = this_cpu();
    load_init();
    c->idle = fork_idle(0);
    c->curr = c->idle;
    c->online = true;
    sched_init_idle(0);
}
