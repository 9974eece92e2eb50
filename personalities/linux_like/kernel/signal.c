/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Signals: sending, default actions, and handlers with Linux's frame on the user stack. Job control is not modelled. */
#include "defs.h"
#include "task.h"

#define BIT(sig) (1ul << ((sig) - 1))
#define IGNORED_BY_DEFAULT (BIT(SIGCHLD) | BIT(SIGURG) | BIT(SIGWINCH) | BIT(SIGCONT) | BIT(SIGTSTP) | BIT(SIGTTIN) | BIT(SIGTTOU) | BIT(SIGSTOP))
#define UNBLOCKABLE (BIT(SIGKILL) | BIT(SIGSTOP))

struct sigcontext {
    u64 r8, r9, r10, r11, r12, r13, r14, r15, di, si, bp, bx, dx, ax, cx, sp, ip, flags;
    u16 cs, gs, fs, ss;
    u64 err, trapno, oldmask, cr2, fpstate, reserved[8];
};
struct ucontext { u64 flags, link; struct sigaltstack stack; struct sigcontext mc; u64 mask; };
struct siginfo { s32 signo, err, code, pad; u64 addr; u8 rest[104]; };
struct sigframe { u64 ret; struct ucontext uc; struct siginfo info; };
_Static_assert(sizeof(struct sigcontext) == 256 && sizeof(struct siginfo) == 128, "ABI");

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
    return h == SIG_IGN || (h == SIG_DFL && IGNORED_BY_DEFAULT & BIT(sig));
}

/* Makes t look: wakes it, or interrupts the vCPU it runs on. */
static void signal_kick(struct task *t)
{
    atomic_or(&t->tif, TIF_SIGPENDING);
    if (!try_to_wake_up(t, TASK_INTERRUPTIBLE) && t->on_cpu && t->cpu != cpu_id())
        smp_send_resched(t->cpu);
}

void signal_send_task(struct task *t, int sig)
{
    struct process *p = t->proc;
    u64 f = spin_lock_irqsave(&p->siglock);
    if (!signal_ignored(p, sig) || t->sigmask & BIT(sig)) {
        t->pending |= BIT(sig);
        if (!(t->sigmask & BIT(sig)) || sig == SIGKILL)
            signal_kick(t);
    }
    spin_unlock_irqrestore(&p->siglock, f);
}

/* tasklist_lock held: any thread that does not block it will do. */
void signal_send_process(struct process *p, int sig)
{
    struct task *t;
    u64 f = spin_lock_irqsave(&p->siglock);
    if (p->nr_threads && !signal_ignored(p, sig)) {
        p->shared_pending |= BIT(sig);
        list_for_each(t, &p->threads, thread_node)
            if (!(t->sigmask & BIT(sig)) || sig == SIGKILL) {
                signal_kick(t);
                break;
            }
    }
    spin_unlock_irqrestore(&p->siglock, f);
}

void signal_force(int sig, u64 addr)
{
    struct task *t = current;
    struct process *p = t->proc;
    u64 f = spin_lock_irqsave(&p->siglock);
    if (t->sigmask & BIT(sig) || p->actions[sig].handler == SIG_IGN)
        p->actions[sig].handler = SIG_DFL;
    t->sigmask &= ~BIT(sig);
    t->fault_addr = addr;
    t->pending |= BIT(sig);
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

static int signal_dequeue(struct task *t, struct k_sigaction *out)
{
    struct process *p = t->proc;
    u64 f = spin_lock_irqsave(&p->siglock);
    u64 ready = (t->pending | p->shared_pending) & ~(t->sigmask & ~UNBLOCKABLE);
    int sig = ready & BIT(SIGKILL) ? SIGKILL : ready ? __builtin_ctzl(ready) + 1 : 0;
    if (sig) {
        if (t->pending & BIT(sig))
            t->pending &= ~BIT(sig);
        else
            p->shared_pending &= ~BIT(sig);
        *out = p->actions[sig];
        if (out->handler > SIG_IGN && out->flags & SA_RESETHAND)
            p->actions[sig].handler = SIG_DFL;
    }
    signal_recalc(t);
    spin_unlock_irqrestore(&p->siglock, f);
    return sig;
}

/* Puts the interrupted state on the user stack and aims the registers at the handler. */
static bool signal_setup_frame(struct pt_regs *r, int sig, const struct k_sigaction *sa)
{
    struct task *t = current;
    u64 sp = r->sp - 128; /* the red zone */
    bool on_alt = sp - t->altstack.sp < t->altstack.size;
    if (sa->flags & SA_ONSTACK && !(t->altstack.flags & SS_DISABLE) && !on_alt)
        sp = t->altstack.sp + t->altstack.size;
    u64 f = irq_save();
    fpu_save(t);
    irq_restore(f);
    sp = ALIGN_DOWN(sp - 512, 64);
    u64 fp = sp;
    if (copy_to_user(fp, t->fpu, 464) || copy_clear_user(fp + 464, 48))
        return false;
    sp = ALIGN_DOWN(sp - sizeof(struct sigframe), 16) - 8;
    struct sigframe fr = {
        .ret = sa->restorer,
        .uc = { .stack = t->altstack, .mask = t->restore_sigmask ? t->saved_sigmask : t->sigmask,
                .mc = { r->r8, r->r9, r->r10, r->r11, r->r12, r->r13, r->r14, r->r15, r->di, r->si, r->bp, r->bx, r->dx,
                        r->ax, r->cx, r->sp, r->ip, r->flags, program_cs, 0, 0, program_ds, 0, 0, t->sigmask, t->fault_addr, fp, { 0 } } },
        .info = { .signo = sig, .code = sig == SIGSEGV ? 1 : 0, .addr = t->fault_addr },
    };
    if (!(sa->flags & SA_RESTORER) || copy_to_user(sp, &fr, sizeof fr))
        return false;
    r->sp = sp;
    r->ip = sa->handler;
    r->di = (u64)sig;
    r->si = sp + offsetof(struct sigframe, info);
    r->dx = sp + offsetof(struct sigframe, uc);
    r->ax = 0;
    r->flags &= ~(FLAGS_DF | FLAGS_TF);
    return r->ip < USER_TOP;
}

/* On the way to ring 3, interrupts on. */
void signal_deliver(struct pt_regs *regs)
{
    struct task *t = current;
    struct k_sigaction sa;
    bool in_call = (s64)regs->orig_ax >= 0;
    if (t->proc->exiting || t->proc->execed) {
        if (t->pending & BIT(SIGKILL))
            exit_thread();
    }
    for (int sig; (sig = signal_dequeue(t, &sa));) {
        if (sig == SIGKILL || sa.handler == SIG_DFL) {
            if (sig != SIGKILL && IGNORED_BY_DEFAULT & BIT(sig))
                continue;
            if (t->proc->exiting)
                exit_thread();
            exit_group(sig);
        }
        if (sa.handler == SIG_IGN)
            continue;
        if (in_call && (s64)regs->ax == -ERESTARTSYS) {
            if (sa.flags & SA_RESTART) {
                regs->ax = regs->orig_ax;
                regs->ip -= 2;
            } else {
                regs->ax = (u64)-EINTR;
            }
        }
        if (!signal_setup_frame(regs, sig, &sa))
            exit_group(SIGSEGV);
        t->restore_sigmask = false;
        u64 f = spin_lock_irqsave(&t->proc->siglock);
        t->sigmask |= sa.mask | (sa.flags & SA_NODEFER ? 0 : BIT(sig));
        t->sigmask &= ~UNBLOCKABLE;
        signal_recalc(t);
        spin_unlock_irqrestore(&t->proc->siglock, f);
        regs->orig_ax = ~0ul;
        return;
    }
    if (in_call && (s64)regs->ax == -ERESTARTSYS) {
        regs->ax = regs->orig_ax;
        regs->ip -= 2;
    }
    if (t->restore_sigmask) {
        t->restore_sigmask = false;
        t->sigmask = t->saved_sigmask;
        signal_recalc(t);
    }
}

long sys_rt_sigreturn(struct pt_regs *r)
{
    struct task *t = current;
    struct ucontext uc;
    if (copy_from_user(&uc, r->sp, sizeof uc)) /* the handler's RET took the first word */
        exit_group(SIGSEGV);
    struct sigcontext *m = &uc.mc;
    if (m->fpstate) {
        fpu_reset_current();
        if (copy_from_user(t->fpu, m->fpstate, 464))
            exit_group(SIGSEGV);
        *(u32 *)(t->fpu + 24) &= 0xffff; /* reserved MXCSR bits would fault FXRSTOR */
    }
    if (m->ip >= USER_TOP)
        exit_group(SIGSEGV);
    *r = (struct pt_regs){ .r8 = m->r8, .r9 = m->r9, .r10 = m->r10, .r11 = m->r11, .r12 = m->r12, .r13 = m->r13, .r14 = m->r14,
        .r15 = m->r15, .di = m->di, .si = m->si, .bp = m->bp, .bx = m->bx, .dx = m->dx, .ax = m->ax, .cx = m->cx, .sp = m->sp,
        .ip = m->ip, .flags = (m->flags & FLAGS_USER) | FLAGS_IF | 2, .cs = program_cs, .ss = program_ds, .orig_ax = ~0ul };
    t->sigmask = uc.mask & ~UNBLOCKABLE;
    signal_recalc(t);
    return (long)r->ax;
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
    struct task *t = current;
    u64 prev = t->sigmask, mask = 0;
    if (size != 8)
        return -EINVAL;
    if (set) {
        if (get_user64(&mask, set))
            return -EFAULT;
        if (how < 0 || how > 2)
            return -EINVAL;
        u64 f = spin_lock_irqsave(&t->proc->siglock);
        t->sigmask = (how == 0 ? prev | mask : how == 1 ? prev & ~mask : mask) & ~UNBLOCKABLE;
        signal_recalc(t);
        spin_unlock_irqrestore(&t->proc->siglock, f);
    }
    return old && put_user64(old, prev) ? -EFAULT : 0;
}

/* Waits with another mask; the old one is in force again after the handler. */
long sys_rt_sigsuspend(u64 set, u64 size)
{
    struct task *t = current;
    u64 mask;
    if (size != 8 || get_user64(&mask, set))
        return -EINVAL;
    t->saved_sigmask = t->sigmask;
    t->restore_sigmask = true;
    t->sigmask = mask & ~UNBLOCKABLE;
    signal_recalc(t);
    while (!signal_pending(t)) {
        atomic_xchg(&t->state, TASK_INTERRUPTIBLE);
        schedule();
    }
    return -EINTR;
}

long sys_rt_sigpending(u64 set, u64 size)
{
    struct task *t = current;
    return put_user64(set, (t->pending | t->proc->shared_pending) & t->sigmask);
}

long sys_sigaltstack(u64 new, u64 old)
{
    struct task *t = current;
    struct sigaltstack prev = t->altstack, s;
    if (new) {
        if (copy_from_user(&s, new, sizeof s))
            return -EFAULT;
        if (!(s.flags & SS_DISABLE) && s.size < 2048)
            return -ENOMEM;
        t->altstack = s;
    }
    return old && copy_to_user(old, &prev, sizeof prev) ? -EFAULT : 0;
}

static long signal_check(int sig) { return sig < 0 || sig > NSIG ? -EINVAL : 0; }

long sys_kill(s32 pid, int sig)
{
    long r = signal_check(sig);
    if (r)
        return r;
    struct task *t;
    r = -ESRCH;
    u64 f = spin_lock_irqsave(&tasklist_lock);
    list_for_each(t, &all_tasks, all_node) {
        struct process *p = t->proc;
        if (list_first(&p->threads, struct task, thread_node) != t)
            continue; /* once a process */
        bool hit = pid > 0 ? p->pid == pid : pid == 0 ? p->pgid == current->proc->pgid
                 : pid == -1 ? p->pid != 1 && p != current->proc : p->pgid == -pid;
        if (!hit)
            continue;
        r = 0;
        if (sig)
            signal_send_process(p, sig);
    }
    spin_unlock_irqrestore(&tasklist_lock, f);
    return r;
}

long sys_tgkill(s32 tgid, s32 tid, int sig)
{
    long r = signal_check(sig);
    if (r)
        return r;
    struct task *t = task_find(tid);
    if (!t)
        return -ESRCH;
    r = tgid > 0 && t->proc->pid != tgid ? -ESRCH : 0;
    if (!r && sig)
        signal_send_task(t, sig);
    task_put(t);
    return r;
}

long sys_tkill(s32 tid, int sig) { return sys_tgkill(0, tid, sig); }
