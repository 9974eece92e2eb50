/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finding processes, and what they have used. */
#include "defs.h"
#include "fs.h"
#include "task.h"

struct process *process_find(s32 pid, bool next)
{
    struct process *p, *found = NULL;
    u64 f = spin_lock_irqsave(&tasklist_lock);
    list_for_each(p, &all_processes, all_node) /* in the order of their numbers */
        if (p->pid == pid || (next && p->pid > pid)) {
            found = p;
            atomic_add(&p->refs, 1);
            break;
        }
    spin_unlock_irqrestore(&tasklist_lock, f);
    return found;
}

/* Its parent, if it asked, keeps what it and its children used. */
void process_forget(struct process *p)
{
    list_del_init(&p->sibling);
    list_del_init(&p->all_node);
}

/* With a reference: another thread may change it. */
struct inode *process_cwd(struct process *p)
{
    u64 f = spin_lock_irqsave(&tasklist_lock);
    struct inode *i = inode_get(p->cwd);
    spin_unlock_irqrestore(&tasklist_lock, f);
    return i;
}

void usage_add(struct usage *to, const struct usage *u)
{
    to->exec_ns += u->exec_ns;
    to->minflt += u->minflt;
    to->nvcsw += u->nvcsw;
    to->nivcsw += u->nivcsw;
}

u64 task_exec_ns(const struct task *t)
{
    u64 ns = READ_ONCE(t->sum_exec), since = READ_ONCE(t->exec_start), now = time_ns();
    return t->on_cpu && now > since ? ns + now - since : ns;
}

struct usage process_usage(struct process *p)
{
    struct task *t;
    u64 f = spin_lock_irqsave(&tasklist_lock);
    struct usage u = p->ended;
    list_for_each(t, &p->threads, thread_node) {
        struct usage one = { task_exec_ns(t), t->minflt, t->nvcsw, t->nivcsw };
        usage_add(&u, &one);
    }
    spin_unlock_irqrestore(&tasklist_lock, f);
    return u;
}
