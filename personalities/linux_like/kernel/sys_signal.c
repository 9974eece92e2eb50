/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls about signals. */
#include "defs.h"
#include "task.h"

static void sigmask_set(u64 mask)
{
    struct task *t = current;
    u64 f = spin_lock_irqsave(&t->proc->siglock);
    t->sigmask = mask & ~SIG_UNBLOCKABLE;
    signal_recalc(t);
    spin_unlock_irqrestore(&t->proc->siglock, f);
}

long sys_rt_sigaction(int sig, u64 act, u64 old, u64 size)
{
    struct k_sigaction sa, prev;
    if (sig < 1 || sig > NSIG || size != 8 || (act && (sig == SIGKILL || sig == SIGSTOP)))
        return -EINVAL;
    struct process *p = current->proc;
    if (act && copy_from_user(&sa, act, sizeof sa))
        return -EFAULT;
    u64 f = spin_lock_irqsave(&p->siglock);
    prev = p->actions[sig];
    if (act)
        p->actions[sig] = sa;
    spin_unlock_irqrestore(&p->siglock, f);
    return old && copy_to_user(old, &prev, sizeof prev) ? -EFAULT : 0;
}

long sys_rt_sigprocmask(int how, u64 set, u64 old, u64 size)
{
    u64 prev = current->sigmask, mask = 0;
    if (size != 8)
        return -EINVAL;
    if (set) {
        if (get_user64(&mask, set))
            return -EFAULT;
        if (how < 0 || how > 2)
            return -EINVAL;
        sigmask_set(how == 0 ? prev | mask : how == 1 ? prev & ~mask : mask);
    }
    return old && put_user64(old, prev) ? -EFAULT : 0;
}

/* Waits with another mask; the old one is in force again after the handler. */
long sys_rt_sigsuspend(u64 set, u64 size)
{
    struct task *t = current;
    u64 mask;
    if (size != 8 || get_user64(&mask, set))
        return size != 8 ? -EINVAL : -EFAULT;
    t->saved_sigmask = t->sigmask;
    t->restore_sigmask = true;
    sigmask_set(mask);
    while (!signal_pending(t)) {
        atomic_xchg(&t->state, TASK_INTERRUPTIBLE);
        schedule();
    }
    return -ERESTARTNOHAND;
}

long sys_rt_sigpending(u64 set, u64 size)
{
    struct task *t = current;
    return size > 8 ? -EINVAL : put_user64(set, (t->pending | t->proc->shared_pending) & t->sigmask);
}

/* Takes a blocked signal of the set, without its handler. */
long sys_rt_sigtimedwait(u64 uset, u64 uinfo, u64 uts, u64 size)
{
    struct task *t = current;
    struct timespec ts;
    struct k_sigaction sa;
    struct sig_source from;
    struct siginfo info;
    u64 set, until = 0;
    if (size != 8)
        return -EINVAL;
    if (get_user64(&set, uset) || (uts && copy_from_user(&ts, uts, sizeof ts)))
        return -EFAULT;
    if (uts && (ts.sec < 0 || (u64)ts.nsec >= 1000000000ul))
        return -EINVAL;
    if (uts)
        until = time_ns() + MIN((u64)ts.sec, 1ul << 32) * 1000000000ul + (u64)ts.nsec + 1;
    u64 mask = t->sigmask;
    int sig;
    set &= ~SIG_UNBLOCKABLE;
    for (;;) {
        sig = (t->pending | t->proc->shared_pending) & set ? signal_dequeue(t, ~set, &sa, &from) : 0;
        if (sig)
            break;
        sigmask_set(mask & ~set); /* so that they wake us */
        atomic_xchg(&t->state, TASK_INTERRUPTIBLE);
        bool time = signal_pending(t) || timer_schedule_until(until);
        t->state = TASK_RUNNING;
        bool other = signal_pending(t) && !((t->pending | t->proc->shared_pending) & set);
        sigmask_set(mask);
        if (other || (!time && !((t->pending | t->proc->shared_pending) & set)))
            return other ? -EINTR : -EAGAIN;
    }
    siginfo_fill(&info, sig, &from);
    return uinfo && copy_to_user(uinfo, &info, sizeof info) ? -EFAULT : sig;
}

static long signal_check(int sig) { return sig < 0 || sig > NSIG ? -EINVAL : 0; }

static bool kill_matches(const struct process *p, s32 pid)
{
    return pid > 0 ? p->pid == pid : pid == 0 ? p->pgid == current->proc->pgid : pid == -1 ? p->pid != 1 && p != current->proc : p->pgid == -pid;
}

static long kill_all(s32 pid, int sig, const struct sig_source *from)
{
    struct process *p;
    long r = signal_check(sig);
    if (r || pid == INT32_MIN)
        return r ? r : -ESRCH;
    r = -ESRCH;
    u64 f = spin_lock_irqsave(&tasklist_lock);
    list_for_each(p, &all_processes, all_node) {
        if (!kill_matches(p, pid))
            continue;
        r = 0;
        if (sig)
            signal_send_process(p, sig, from);
    }
    spin_unlock_irqrestore(&tasklist_lock, f);
    return r;
}

long sys_kill(s32 pid, int sig) { return kill_all(pid, sig, &(struct sig_source){ .code = SI_USER, .pid = current->proc->pid }); }

static long kill_thread(s32 tgid, s32 tid, int sig, const struct sig_source *from)
{
    long r = signal_check(sig);
    if (r || tid <= 0)
        return -EINVAL;
    struct task *t = task_find(tid);
    if (!t)
        return -ESRCH;
    r = tgid > 0 && t->proc->pid != tgid ? -ESRCH : 0;
    if (!r && sig)
        signal_send_task(t, sig, from);
    task_put(t);
    return r;
}

long sys_tgkill(s32 tgid, s32 tid, int sig)
{
    return tgid <= 0 ? -EINVAL : kill_thread(tgid, tid, sig, &(struct sig_source){ .code = SI_TKILL, .pid = current->proc->pid });
}

long sys_tkill(s32 tid, int sig) { return kill_thread(0, tid, sig, &(struct sig_source){ .code = SI_TKILL, .pid = current->proc->pid }); }

/* sigqueue: with a word. */
static long signal_queue(s32 pid, s32 tid, int sig, u64 uinfo)
{
    struct siginfo i;
    if (copy_from_user(&i, uinfo, sizeof i))
        return -EFAULT;
    if (i.code >= 0 || i.code == SI_TKILL)
        return -EPERM; /* only the kernel speaks so */
    struct sig_source from = { i.code, current->proc->pid, 0, i.value };
    return tid ? kill_thread(pid, tid, sig, &from) : kill_all(pid, sig, &from);
}

long sys_rt_sigqueueinfo(s32 pid, int sig, u64 uinfo) { return pid <= 0 ? -ESRCH : signal_queue(pid, 0, sig, uinfo); }
long sys_rt_tgsigqueueinfo(s32 tgid, s32 tid, int sig, u64 uinfo) { return tgid <= 0 || tid <= 0 ? -EINVAL : signal_queue(tgid, tid, sig, uinfo); }
