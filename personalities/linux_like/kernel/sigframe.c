/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The frame of a signal handler on the user's stack, as Linux lays it out, and the way back from it. */
#include "defs.h"
#include "task.h"

struct sigcontext {
    u64 r8, r9, r10, r11, r12, r13, r14, r15, di, si, bp, bx, dx, ax, cx, sp, ip, flags;
    u16 cs, gs, fs, ss;
    u64 err, trapno, oldmask, cr2, fpstate, reserved[8];
};
struct ucontext { u64 flags, link; struct sigaltstack stack; struct sigcontext mc; u64 mask; };
struct sigframe { u64 ret; struct ucontext uc; struct siginfo info; };
_Static_assert(sizeof(struct sigcontext) == 256 && sizeof(struct siginfo) == 128, "ABI");

void siginfo_fill(struct siginfo *i, int sig, const struct sig_source *from)
{
    *i = (struct siginfo){ .signo = sig, .code = from->code };
    bool fault = from->code > 0 && from->code != SI_KERNEL && sig != SIGCHLD;
    if (fault) {
        i->addr = from->value;
        return;
    }
    i->pid = from->pid;
    if (sig == SIGCHLD)
        i->status = from->status;
    else
        i->value = from->value;
}

static bool sigframe_on_altstack(const struct task *t, u64 sp) { return sp - t->altstack.sp - 1 < t->altstack.size; }

/* Puts the interrupted state on the user stack and aims the registers at the handler. */
bool signal_setup_frame(struct pt_regs *r, int sig, const struct k_sigaction *sa, const struct sig_source *from)
{
    struct task *t = current;
    u64 sp = r->sp - 128; /* the red zone */
    struct sigaltstack alt = t->altstack;
    if (!(alt.flags & SS_DISABLE) && sigframe_on_altstack(t, r->sp))
        alt.flags |= SS_ONSTACK;
    else if (sa->flags & SA_ONSTACK && !(alt.flags & SS_DISABLE))
        sp = alt.sp + alt.size;
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
        .uc = { .stack = alt, .mask = t->restore_sigmask ? t->saved_sigmask : t->sigmask,
                .mc = { r->r8, r->r9, r->r10, r->r11, r->r12, r->r13, r->r14, r->r15, r->di, r->si, r->bp, r->bx, r->dx,
                        r->ax, r->cx, r->sp, r->ip, r->flags, program_cs, 0, 0, program_ds, t->fault.err, t->fault.trap, t->sigmask, t->fault.addr, fp, { 0 } } },
    };
    siginfo_fill(&fr.info, sig, from);
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
    u64 f = spin_lock_irqsave(&t->proc->siglock);
    t->sigmask = uc.mask & ~SIG_UNBLOCKABLE;
    signal_recalc(t);
    spin_unlock_irqrestore(&t->proc->siglock, f);
    return (long)r->ax;
}

long sys_sigaltstack(u64 new, u64 old)
{
    struct task *t = current;
    struct sigaltstack prev = t->altstack, s;
    bool on = !(prev.flags & SS_DISABLE) && sigframe_on_altstack(t, task_regs(t)->sp);
    prev.flags |= on ? SS_ONSTACK : 0;
    if (new) {
        if (copy_from_user(&s, new, sizeof s))
            return -EFAULT;
        if (on)
            return -EPERM;
        if (s.flags & ~(SS_DISABLE | SS_ONSTACK))
            return -EINVAL;
        if (!(s.flags & SS_DISABLE) && s.size < 2048)
            return -ENOMEM;
        s.flags &= SS_DISABLE;
        t->altstack = s;
    }
    return old && copy_to_user(old, &prev, sizeof prev) ? -EFAULT : 0;
}
