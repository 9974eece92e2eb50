/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Job control: processes that stop and go on, process groups, sessions. */
#include "defs.h"
#include "task.h"

void job_tell_parent(struct process *p, s32 code, s32 status)
{
    struct process *parent = p->parent;
    if (!parent)
        return;
    struct sig_source from = { code, p->pid, status, 0 };
    if (!(parent->actions[SIGCHLD].flags & SA_NOCLDSTOP))
        signal_send_process(parent, SIGCHLD, &from);
    wake_up_all(&parent->child_wait);
}

/* A group is orphaned where nobody of its session outside it could set it going again. tasklist_lock held. */
static bool job_orphaned(s32 pgid)
{
    struct process *p;
    list_for_each(p, &all_processes, all_node)
        if (p->pgid == pgid && !p->zombie && p->parent && p->parent->pgid != pgid && p->parent->sid == p->sid)
            return false;
    return true;
}

bool job_continue(struct process *p)
{
    struct task *t;
    if (!p->stopped)
        return false;
    p->stopped = p->stop_news = false;
    p->cont_news = true;
    list_for_each(t, &p->threads, thread_node)
        signal_kick(t, TASK_STOPPED);
    return true;
}

/* While its process is stopped, current is; SIGKILL ends that, too. */
void job_wait(void)
{
    struct task *t = current;
    while (READ_ONCE(t->proc->stopped)) {
        atomic_xchg(&t->state, TASK_STOPPED);
        if (!READ_ONCE(t->proc->stopped) || t->pending & SIG_BIT(SIGKILL)) {
            t->state = TASK_RUNNING;
            break;
        }
        schedule();
    }
}

void job_stop(int sig)
{
    struct process *p = current->proc;
    struct task *t;
    u64 f = spin_lock_irqsave(&tasklist_lock);
    if (p->exiting || (sig != SIGSTOP && job_orphaned(p->pgid))) {
        spin_unlock_irqrestore(&tasklist_lock, f);
        return;
    }
    spin_lock(&p->siglock);
    bool first = !p->stopped && !(p->shared_pending & (SIG_BIT(SIGCONT) | SIG_BIT(SIGKILL)));
    if (first) {
        p->stopped = p->stop_news = true;
        p->cont_news = false;
        p->stop_signal = sig;
        list_for_each(t, &p->threads, thread_node)
            if (t != current)
                signal_kick(t, TASK_INTERRUPTIBLE);
    }
    spin_unlock(&p->siglock);
    if (first)
        job_tell_parent(p, CLD_STOPPED, sig);
    spin_unlock_irqrestore(&tasklist_lock, f);
    job_wait();
}

/* ---- calls */

static long job_of(s32 pid, bool group)
{
    if (!pid)
        return group ? current->proc->pgid : current->proc->sid;
    struct process *p = process_find(pid, false);
    if (!p)
        return -ESRCH;
    long r = group ? p->pgid : p->sid;
    process_put(p);
    return r;
}

long sys_getpgid(s32 pid) { return job_of(pid, true); }
long sys_getpgrp(void) { return current->proc->pgid; }
long sys_getsid(s32 pid) { return job_of(pid, false); }

long sys_setpgid(s32 pid, s32 pgid)
{
    struct process *me = current->proc, *p = process_find(pid ? pid : me->pid, false), *o;
    if (!p || pgid < 0) {
        if (p)
            process_put(p);
        return p ? -EINVAL : -ESRCH;
    }
    pgid = pgid ? pgid : p->pid;
    u64 f = spin_lock_irqsave(&tasklist_lock);
    bool known = pgid == p->pid;
    list_for_each(o, &all_processes, all_node)
        known |= o->pgid == pgid && o->sid == me->sid;
    long r = p != me && p->parent != me ? -ESRCH : p->sid != me->sid || p->sid == p->pid || !known ? -EPERM : 0;
    if (!r)
        p->pgid = pgid;
    spin_unlock_irqrestore(&tasklist_lock, f);
    process_put(p);
    return r;
}

long sys_setsid(void)
{
    struct process *p = current->proc;
    if (p->pgid == p->pid)
        return -EPERM;
    return p->sid = p->pgid = p->pid;
}
