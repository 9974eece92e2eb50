/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Signals: sending, and what happens to a program that has one. Each is pending or not: they do not queue. */
#include "defs.h"
#include "task.h"

#define IGNORED_BY_DEFAULT (SIG_BIT(SIGCHLD) | SIG_BIT(SIGURG) | SIG_BIT(SIGWINCH) | SIG_BIT(SIGCONT))

void signal_recalc(struct task *t)
{
    if ((t->pending | t->proc->shared_pending) & ~t->sigmask)
        atomic_or(&t->tif, TIF_SIGPENDING);
    else
        atomic_and(&t->tif, ~TIF_SIGPENDING);
}

static bool signal_ignored(struct process *p, int sig)
{
    u64 h = p->actions[sig].handler;
    return h == SIG_IGN || (h == SIG_DFL && IGNORED_BY_DEFAULT & SIG_BIT(sig));
}

/* Makes t look: wakes it, or interrupts the vCPU it runs on. */
void signal_kick(struct task *t, int states)
{
    atomic_or(&t->tif, TIF_SIGPENDING);
    if (!try_to_wake_up(t, states) && t->on_cpu && t->cpu != cpu_id())
        smp_send_resched(t->cpu);
}

/* siglock held: stop signals and SIGCONT undo each other, before anybody asks whether they are ignored. */
static bool signal_prepare(struct process *p, int sig)
{
    u64 undo = sig == SIGCONT ? SIG_STOPS : SIG_STOPS & SIG_BIT(sig) ? SIG_BIT(SIGCONT) : 0;
    struct task *t;
    if (undo) {
        p->shared_pending &= ~undo;
        list_for_each(t, &p->threads, thread_node)
            t->pending &= ~undo;
    }
    return sig == SIGCONT || sig == SIGKILL ? job_continue(p) && sig == SIGCONT : false;
}

/* Is there a point in marking it, and may t take it? */
static bool signal_wanted(const struct task *t, int sig) { return !(t->sigmask & SIG_BIT(sig)) || SIG_BIT(sig) & SIG_UNBLOCKABLE; }
static int signal_wakes(int sig) { return sig == SIGKILL ? TASK_INTERRUPTIBLE | TASK_STOPPED : TASK_INTERRUPTIBLE; }

void signal_send_task(struct task *t, int sig, const struct sig_source *from)
{
    struct process *p = t->proc;
    u64 f = spin_lock_irqsave(&p->siglock);
    signal_prepare(p, sig);
    if (!signal_ignored(p, sig) || t->sigmask & SIG_BIT(sig)) {
        t->pending |= SIG_BIT(sig);
        t->source = from ? *from : (struct sig_source){ .code = SI_KERNEL };
        t->source_of = sig;
        if (signal_wanted(t, sig))
            signal_kick(t, signal_wakes(sig));
    }
    spin_unlock_irqrestore(&p->siglock, f);
}

/* Any thread that does not block it will do. */
void signal_send_process(struct process *p, int sig, const struct sig_source *from)
{
    struct task *t;
    u64 f = spin_lock_irqsave(&p->siglock);
    bool goes_on = p->nr_threads && signal_prepare(p, sig);
    bool blocked = p->nr_threads && list_first(&p->threads, struct task, thread_node)->sigmask & SIG_BIT(sig);
    if (p->nr_threads && (!signal_ignored(p, sig) || blocked)) {
        if (sig < NR_SOURCES && !(p->shared_pending & SIG_BIT(sig)))
            p->source[sig] = from ? *from : (struct sig_source){ .code = SI_KERNEL };
        p->shared_pending |= SIG_BIT(sig);
        list_for_each(t, &p->threads, thread_node)
            if (signal_wanted(t, sig)) {
                signal_kick(t, signal_wakes(sig));
                break;
            }
    }
    spin_unlock_irqrestore(&p->siglock, f);
    if (goes_on)
        job_tell_parent(p, CLD_CONTINUED, SIGCONT);
}

void signal_send_group(s32 pgid, int sig)
{
    struct process *p;
    list_for_each(p, &all_processes, all_node)
        if (p->pgid == pgid && !p->zombie)
            signal_send_process(p, sig, NULL);
}

void signal_force(int sig, const struct fault *fault)
{
    struct task *t = current;
    struct process *p = t->proc;
    u64 f = spin_lock_irqsave(&p->siglock);
    if (t->sigmask & SIG_BIT(sig) || p->actions[sig].handler == SIG_IGN)
        p->actions[sig].handler = SIG_DFL;
    t->sigmask &= ~SIG_BIT(sig);
    t->fault = *fault;
    t->source = (struct sig_source){ .code = (s32)fault->code, .value = fault->addr };
    t->source_of = sig;
    t->pending |= SIG_BIT(sig);
    atomic_or(&t->tif, TIF_SIGPENDING);
    spin_unlock_irqrestore(&p->siglock, f);
}

void signal_exec_reset(struct process *p)
{
    for (int s = 1; s <= NSIG; s++)
        if (p->actions[s].handler != SIG_IGN)
            p->actions[s] = (struct k_sigaction){ 0 };
    current->altstack = (struct sigaltstack){ .flags = SS_DISABLE };
}

/* Faults come first, as they belong to what ran just now; then by number. */
static int signal_choose(u64 ready)
{
    u64 first = ready & (SIG_BIT(SIGSEGV) | SIG_BIT(SIGBUS) | SIG_BIT(SIGILL) | SIG_BIT(SIGTRAP) | SIG_BIT(SIGFPE));
    if (ready & SIG_BIT(SIGKILL))
        return SIGKILL;
    return ready ? __builtin_ctzl(first ? first : ready) + 1 : 0;
}

int signal_dequeue(struct task *t, u64 blocked, struct k_sigaction *sa, struct sig_source *from)
{
    struct process *p = t->proc;
    u64 f = spin_lock_irqsave(&p->siglock);
    int sig = signal_choose((t->pending | p->shared_pending) & ~blocked);
    if (sig) {
        *from = (struct sig_source){ .code = SI_USER };
        if (t->pending & SIG_BIT(sig)) {
            t->pending &= ~SIG_BIT(sig);
            if (t->source_of == sig)
                *from = t->source;
        } else {
            p->shared_pending &= ~SIG_BIT(sig);
            if (sig < NR_SOURCES)
                *from = p->source[sig];
        }
        *sa = p->actions[sig];
        if (sa->handler > SIG_IGN && sa->flags & SA_RESETHAND)
            p->actions[sig].handler = SIG_DFL;
    }
    signal_recalc(t);
    spin_unlock_irqrestore(&p->siglock, f);
    return sig;
}

/* A call was broken off. handler: one runs now, and does it ask for the call again? */
static void signal_restart(struct pt_regs *regs, const struct k_sigaction *handler)
{
    enum { NR_RESTART_SYSCALL = 219 };
    s64 r = (s64)regs->ax;
    if ((s64)regs->orig_ax < 0 || (r != -ERESTARTSYS && r != -ERESTARTNOHAND && r != -ERESTART_RESTARTBLOCK))
        return;
    if (handler && (r != -ERESTARTSYS || !(handler->flags & SA_RESTART))) {
        regs->ax = (u64)-EINTR;
        return;
    }
    regs->ax = r == -ERESTART_RESTARTBLOCK ? NR_RESTART_SYSCALL : regs->orig_ax;
    regs->ip -= 2;
}

static void signal_handle(struct pt_regs *regs, int sig, const struct k_sigaction *sa, const struct sig_source *from)
{
    struct task *t = current;
    signal_restart(regs, sa);
    if (!signal_setup_frame(regs, sig, sa, from))
        exit_group(SIGSEGV);
    t->restore_sigmask = false;
    u64 f = spin_lock_irqsave(&t->proc->siglock);
    t->sigmask |= sa->mask | (sa->flags & SA_NODEFER ? 0 : SIG_BIT(sig));
    t->sigmask &= ~SIG_UNBLOCKABLE;
    signal_recalc(t);
    spin_unlock_irqrestore(&t->proc->siglock, f);
    regs->orig_ax = ~0ul;
}

/* On the way to ring 3, interrupts on. */
void signal_deliver(struct pt_regs *regs)
{
    struct task *t = current;
    struct k_sigaction sa;
    struct sig_source from;
    if ((t->proc->exiting || t->proc->execed) && t->pending & SIG_BIT(SIGKILL))
        exit_thread();
    job_wait();
    for (int sig; (sig = signal_dequeue(t, t->sigmask, &sa, &from));) {
        if (sig != SIGKILL && sa.handler == SIG_IGN)
            continue;
        if (sig != SIGKILL && sa.handler != SIG_DFL) {
            signal_handle(regs, sig, &sa, &from);
            return;
        }
        if (IGNORED_BY_DEFAULT & SIG_BIT(sig) || (t->proc == init_process && from.code == SI_USER && from.pid > 1))
            continue; /* nobody else ends process 1 */
        if (SIG_STOPS & SIG_BIT(sig)) {
            job_stop(sig);
            continue;
        }
        if (t->proc->exiting)
            exit_thread();
        exit_group(sig);
    }
    signal_restart(regs, NULL);
    if (t->restore_sigmask) {
        t->restore_sigmask = false;
        t->sigmask = t->saved_sigmask;
        signal_recalc(t);
    }
}
