/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The end of threads and processes, and wait4. */
#include "defs.h"
#include "fs.h"
#include "task.h"

/* Leaves the address space; also execve's way out of the old one. */
void exit_release_mm(struct task *t)
{
    struct mm *mm = t->mm;
    if (!mm)
        return;
    futex_exit_robust(t);
    if (t->clear_child_tid) {
        u64 ctid = t->clear_child_tid;
        t->clear_child_tid = 0;
        if (READ_ONCE(mm->users) > 1 && !put_user32(ctid, 0))
            futex_wake(ctid, 1, ~0u, false);
    }
    if (t->vfork_parent) {
        t->vfork_parent = NULL;
        t->vfork_done = true;
        wake_up_all(&t->vfork_wait);
    }
}

static void exit_notify_parent(struct process *p)
{
    struct process *parent = p->parent;
    u64 handler = parent->actions[SIGCHLD].handler;
    bool ignored = handler == SIG_IGN || parent->actions[SIGCHLD].flags & SA_NOCLDWAIT;
    if (p->exit_signal)
        signal_send_process(parent, p->exit_signal);
    if (ignored && p->exit_signal == SIGCHLD) { /* nobody will ask */
        list_del_init(&p->sibling);
        process_put(p);
        wake_up_all(&parent->child_wait);
        return;
    }
    p->zombie = true;
    wake_up_all(&parent->child_wait);
}

/* tasklist_lock held: the last thread of p is going. */
static void exit_process(struct process *p)
{
    struct process *c, *tmp;
    if (p == init_process)
        machine_exit(p->status & 0x7f ? 128 + (p->status & 0x7f) : p->status >> 8 & 0xff);
    list_for_each_safe(c, tmp, &p->children, sibling) {
        list_del(&c->sibling);
        c->parent = init_process;
        list_add_tail(&c->sibling, &init_process->children);
        if (c->zombie)
            wake_up_all(&init_process->child_wait);
    }
    if (p->parent)
        exit_notify_parent(p);
}

noreturn void exit_thread(void)
{
    struct task *t = current;
    struct process *p = t->proc;
    exit_release_mm(t);
    struct files *fs = t->files;
    t->files = NULL;
    files_put(fs);
    struct mm *mm = t->mm;
    u64 f = irq_save();
    fpu_save(t);
    t->mm = NULL; /* a kernel thread from here, on borrowed tables */
    irq_restore(f);
    mm_leave(mm);

    irq_disable();
    spin_lock(&tasklist_lock);
    list_del_init(&t->thread_node);
    list_del_init(&t->all_node);
    u32 left = --p->nr_threads;
    if (left == 0)
        exit_process(p);
    else
        wake_up_all(&p->child_wait); /* an execve may be waiting to be alone */
    spin_unlock(&tasklist_lock);
    t->state = TASK_DEAD;
    schedule();
    panic("exit: a dead thread ran");
}

noreturn void exit_group(s32 status)
{
    struct process *p = current->proc;
    struct task *t;
    u64 f = spin_lock_irqsave(&tasklist_lock);
    if (!p->exiting) {
        p->exiting = true;
        p->status = status;
        list_for_each(t, &p->threads, thread_node)
            if (t != current)
                signal_send_task(t, SIGKILL);
    }
    spin_unlock_irqrestore(&tasklist_lock, f);
    exit_thread();
}

/* execve: end the process's other threads. False if another thread is ending the process already. */
bool exec_kill_siblings(void)
{
    struct process *p = current->proc;
    struct task *t;
    u64 f = spin_lock_irqsave(&tasklist_lock);
    bool ok = !p->exiting && !p->execed;
    if (ok && p->nr_threads > 1) {
        p->execed = true;
        list_for_each(t, &p->threads, thread_node)
            if (t != current)
                signal_send_task(t, SIGKILL);
    }
    spin_unlock_irqrestore(&tasklist_lock, f);
    if (!ok)
        return false;
    wait_event(&p->child_wait, READ_ONCE(p->nr_threads) == 1);
    p->execed = false;
    current->tid = p->pid;
    return true;
}

static bool wait_matches(struct process *me, struct process *c, s32 pid)
{
    return pid == -1 || (pid > 0 && c->pid == pid) || (pid == 0 && c->pgid == me->pgid) || (pid < -1 && c->pgid == -pid);
}

/* 1: *out is a reaped child; 0: none ended yet; -ECHILD: no such child. */
static long wait_reap(struct process *me, s32 pid, struct process **out)
{
    long r = -ECHILD;
    struct process *c;
    u64 f = spin_lock_irqsave(&tasklist_lock);
    list_for_each(c, &me->children, sibling) {
        if (!wait_matches(me, c, pid))
            continue;
        r = 0;
        if (c->zombie) {
            list_del_init(&c->sibling);
            *out = c;
            r = 1;
            break;
        }
    }
    spin_unlock_irqrestore(&tasklist_lock, f);
    return r;
}

long sys_wait4(s32 pid, u64 status, u32 options, u64 rusage)
{
    struct process *me = current->proc, *c = NULL;
    long r = 0;
    if (!(options & WNOHANG)) {
        if (wait_event_interruptible(&me->child_wait, (r = wait_reap(me, pid, &c)) != 0))
            return -ERESTARTSYS;
    } else {
        r = wait_reap(me, pid, &c);
    }
    if (r <= 0)
        return r;
    s32 cpid = c->pid;
    bool fault = status && put_user32(status, (u32)c->status);
    if (rusage)
        copy_clear_user(rusage, 144);
    process_put(c);
    return fault ? -EFAULT : cpid;
}
