/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The end of threads and processes. */
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
    s32 sig = p->status & 0x7f;
    struct sig_source from = { sig ? CLD_KILLED : CLD_EXITED, p->pid, sig ? sig : p->status >> 8 & 0xff, 0 };
    p->zombie = true;
    if (p->exit_signal > 0 && p->exit_signal <= NSIG)
        signal_send_process(parent, p->exit_signal, &from);
    if (ignored && p->exit_signal == SIGCHLD) { /* nobody will ask */
        process_forget(p);
        process_put(p);
    }
    wake_up_all(&parent->child_wait);
}

/* tasklist_lock held: the last thread of p is going. */
static void exit_process(struct process *p)
{
    struct process *c, *tmp;
    if (p == init_process)
        machine_exit(p->status & 0x7f ? 128 + (p->status & 0x7f) : p->status >> 8 & 0xff);
    list_for_each_safe(c, tmp, &p->children, sibling) {
        if (c->pdeath_signal && !c->zombie)
            signal_send_process(c, c->pdeath_signal, &(struct sig_source){ .code = SI_USER, .pid = p->pid });
        list_del(&c->sibling);
        c->parent = init_process;
        list_add_tail(&c->sibling, &init_process->children);
        if (c->zombie)
            wake_up_all(&init_process->child_wait);
    }
    if (p->sid == p->pid)
        tty_leave(p->sid);
    if (p->parent)
        exit_notify_parent(p);
}

noreturn void exit_thread(void)
{
    struct task *t = current;
    struct process *p = t->proc;
    exit_release_mm(t);
    struct files *fs = t->files;
    struct mm *mm = t->mm;
    u64 f = spin_lock_irqsave(&tasklist_lock); /* /proc looks at both */
    fpu_save(t);
    t->files = NULL;
    t->mm = NULL; /* a kernel thread from here, on borrowed tables */
    spin_unlock_irqrestore(&tasklist_lock, f);
    files_put(fs);
    mm_leave(mm);

    irq_disable();
    spin_lock(&tasklist_lock);
    usage_add(&p->ended, &(struct usage){ task_exec_ns(t), t->minflt, t->nvcsw, t->nivcsw });
    memcpy(p->comm, t->comm, sizeof p->comm);
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
                signal_send_task(t, SIGKILL, NULL);
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
                signal_send_task(t, SIGKILL, NULL);
    }
    spin_unlock_irqrestore(&tasklist_lock, f);
    if (!ok)
        return false;
    wait_event(&p->child_wait, READ_ONCE(p->nr_threads) == 1);
    p->execed = false;
    current->tid = p->pid;
    return true;
}
