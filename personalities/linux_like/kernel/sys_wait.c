/* SPDX-License-Identifier: GPL-2.0-or-later */
/* wait4 and waitid: what became of children. */
#include "defs.h"
#include "task.h"

struct found { s32 pid, code, status; struct usage usage; }; /* code: CLD_*; status: as waitid has it */
struct wanted { u32 kind; s32 id; u32 options; struct found *out; };
enum { P_ALL, P_PID, P_PGID };

static bool wait_matches(const struct process *c, const struct wanted *w)
{
    return w->kind == P_ALL || (w->kind == P_PID ? c->pid == w->id : c->pgid == w->id);
}

/* Has c anything to tell? */
static bool wait_news(struct process *c, const struct wanted *w, struct found *out)
{
    s32 sig = c->status & 0x7f;
    if (c->zombie && w->options & WEXITED)
        *out = (struct found){ c->pid, sig ? CLD_KILLED : CLD_EXITED, sig ? sig : c->status >> 8 & 0xff, c->ended };
    else if (c->stop_news && w->options & WUNTRACED)
        *out = (struct found){ c->pid, CLD_STOPPED, c->stop_signal, c->ended };
    else if (c->cont_news && w->options & WCONTINUED)
        *out = (struct found){ c->pid, CLD_CONTINUED, SIGCONT, c->ended };
    else
        return false;
    if (w->options & WNOWAIT)
        return true;
    if (out->code == CLD_STOPPED)
        c->stop_news = false;
    if (out->code == CLD_CONTINUED)
        c->cont_news = false;
    return true;
}

/* 1: *w->out says what; 0: nothing yet; -ECHILD: no such child. */
static long wait_look(const struct wanted *w)
{
    struct process *me = current->proc, *c, *gone = NULL;
    long r = -ECHILD;
    u64 f = spin_lock_irqsave(&tasklist_lock);
    list_for_each(c, &me->children, sibling) {
        if (!wait_matches(c, w))
            continue;
        r = wait_news(c, w, w->out);
        if (!r)
            continue;
        usage_add(&w->out->usage, &c->reaped);
        if (c->zombie && !(w->options & WNOWAIT)) {
            process_forget(c);
            usage_add(&me->reaped, &w->out->usage);
            gone = c;
        }
        break;
    }
    spin_unlock_irqrestore(&tasklist_lock, f);
    if (gone)
        process_put(gone);
    return r;
}

static long wait_run(const struct wanted *w)
{
    long r = 0;
    if (w->options & WNOHANG)
        return wait_look(w);
    if (wait_event_interruptible(&current->proc->child_wait, (r = wait_look(w)) != 0))
        return -ERESTARTSYS;
    return r;
}

static s32 wait_status(const struct found *d)
{
    return d->code == CLD_EXITED ? d->status << 8 : d->code == CLD_KILLED ? d->status : d->code == CLD_STOPPED ? d->status << 8 | 0x7f : 0xffff;
}

static long wait_put_usage(u64 urusage, const struct usage *u)
{
    u64 ru[18] = { u->exec_ns / 1000000000ul, u->exec_ns % 1000000000ul / 1000 };
    ru[8] = u->minflt;
    ru[16] = u->nvcsw;
    ru[17] = u->nivcsw;
    return urusage && copy_to_user(urusage, ru, sizeof ru) ? -EFAULT : 0;
}

#define WAIT_KNOWN (WNOHANG | WUNTRACED | WEXITED | WCONTINUED | WNOWAIT | 0xe0000000u) /* the last: __WNOTHREAD, __WALL, __WCLONE */

long sys_wait4(s32 pid, u64 ustatus, u32 options, u64 urusage)
{
    struct found d;
    if (options & ~WAIT_KNOWN || options & (WEXITED | WNOWAIT))
        return -EINVAL;
    if (pid == INT32_MIN)
        return -ESRCH;
    struct wanted w = { pid == -1 ? P_ALL : pid > 0 ? P_PID : P_PGID, pid > 0 ? pid : pid ? -pid : current->proc->pgid, options | WEXITED, &d };
    long r = wait_run(&w);
    if (r <= 0)
        return r;
    if (ustatus && put_user32(ustatus, (u32)wait_status(&d)))
        return -EFAULT;
    return wait_put_usage(urusage, &d.usage) ? -EFAULT : d.pid;
}

long sys_waitid(u32 kind, s32 id, u64 uinfo, u32 options, u64 urusage)
{
    struct found d = { 0 };
    if (options & ~WAIT_KNOWN || !(options & (WEXITED | WUNTRACED | WCONTINUED)) || kind > P_PGID || (kind == P_PID && id <= 0) || id < 0)
        return -EINVAL;
    struct wanted w = { kind, kind == P_PGID && !id ? current->proc->pgid : id, options, &d };
    long r = wait_run(&w);
    if (r < 0)
        return r;
    struct siginfo info = { 0 };
    if (r)
        siginfo_fill(&info, SIGCHLD, &(struct sig_source){ d.code, d.pid, d.status, 0 });
    if (uinfo && copy_to_user(uinfo, &info, sizeof info))
        return -EFAULT;
    return r ? wait_put_usage(urusage, &d.usage) : 0;
}
