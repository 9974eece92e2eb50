/* SPDX-License-Identifier: GPL-2.0-or-later */
/* alarm, setitimer and getitimer, for real time: a timer a process that sends SIGALRM. */
#include "defs.h"
#include "task.h"

#define ITIMER_REAL 0
#define NS 1000000000ul

struct itimerval { struct timeval interval, value; };

/* tasklist_lock held. An armed timer keeps its process's memory. */
static void itimer_arm(struct process *p, u64 expires)
{
    p->itimer_armed = true;
    atomic_add(&p->refs, 1);
    timer_arm(&p->itimer, expires);
}

/* From the timer interrupt. */
static void itimer_fire(struct timer *t)
{
    struct process *p = t->arg;
    spin_lock(&tasklist_lock);
    p->itimer_armed = false;
    if (p->nr_threads) {
        signal_send_process(p, SIGALRM, NULL);
        if (p->itimer_interval)
            itimer_arm(p, t->expires + p->itimer_interval);
    }
    spin_unlock(&tasklist_lock);
    process_put(p);
}

/* value 0 disarms. Returns what was left, ns. */
static u64 itimer_set(u64 value, u64 interval)
{
    struct process *p = current->proc;
    u64 left = 0, f = spin_lock_irqsave(&tasklist_lock);
    while (p->itimer_armed && !timer_try_cancel(&p->itimer)) { /* it fires at this moment, on another vCPU */
        spin_unlock_irqrestore(&tasklist_lock, f);
        cpu_pause();
        f = spin_lock_irqsave(&tasklist_lock);
    }
    if (p->itimer_armed) {
        u64 now = time_ns();
        left = p->itimer.expires > now ? p->itimer.expires - now : 1;
        p->itimer_armed = false;
        process_put(p);
    }
    p->itimer_interval = interval;
    if (value) {
        timer_setup(&p->itimer, itimer_fire, p);
        itimer_arm(p, time_ns() + value);
    }
    spin_unlock_irqrestore(&tasklist_lock, f);
    return left;
}

static struct timeval itimer_timeval(u64 ns) { return (struct timeval){ (s64)(ns / NS), (s64)(ns % NS / 1000) }; }

long sys_setitimer(u32 which, u64 unew, u64 uold)
{
    struct itimerval v = { 0 };
    u64 interval = current->proc->itimer_interval;
    if (which != ITIMER_REAL)
        return -EINVAL;
    if (unew && copy_from_user(&v, unew, sizeof v))
        return -EFAULT;
    if (v.value.sec < 0 || v.interval.sec < 0 || (u64)v.value.usec >= 1000000 || (u64)v.interval.usec >= 1000000)
        return -EINVAL;
    u64 left = itimer_set((u64)v.value.sec * NS + (u64)v.value.usec * 1000, (u64)v.interval.sec * NS + (u64)v.interval.usec * 1000);
    v = (struct itimerval){ itimer_timeval(interval), itimer_timeval(left) };
    return uold && copy_to_user(uold, &v, sizeof v) ? -EFAULT : 0;
}

long sys_getitimer(u32 which, u64 uval)
{
    struct process *p = current->proc;
    u64 now = time_ns(), left = p->itimer_armed && p->itimer.expires > now ? p->itimer.expires - now : 0;
    struct itimerval v = { itimer_timeval(p->itimer_interval), itimer_timeval(left) };
    if (which != ITIMER_REAL)
        return -EINVAL;
    return copy_to_user(uval, &v, sizeof v) ? -EFAULT : 0;
}

long sys_alarm(u32 seconds) { return (long)((itimer_set(seconds * NS, 0) + NS - 1) / NS); }

long sys_pause(void)
{
    while (!signal_pending(current)) {
        atomic_xchg(&current->state, TASK_INTERRUPTIBLE);
        schedule();
    }
    return -ERESTARTNOHAND;
}
