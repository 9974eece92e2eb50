/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Making threads and processes. */
#include "defs.h"
#include "fs.h"
#include "task.h"

struct spinlock tasklist_lock;
struct list all_tasks = LIST_INIT(all_tasks), all_processes = LIST_INIT(all_processes);
struct process *init_process;
static s32 next_tid = 1;
static struct kmem_cache *task_cache;

extern void fork_return(void);

static struct task *task_alloc(void)
{
    if (!task_cache)
        task_cache = kmem_cache_create("task", sizeof(struct task), 0);
    struct task *t = kmem_cache_alloc(task_cache);
    if (!t)
        return NULL;
    memset(t, 0, sizeof *t);
    struct page *stack = page_alloc(KSTACK_ORDER);
    if (!stack) {
        kmem_cache_free(task_cache, t);
        return NULL;
    }
    t->stack = page_va(stack);
    t->refs = 1;
    t->altstack.flags = SS_DISABLE;
    list_init(&t->thread_node);
    list_init(&t->all_node);
    wait_queue_init(&t->vfork_wait);
    return t;
}

static void task_free(struct task *t)
{
    if (t->proc)
        process_put(t->proc);
    page_free(va_page(t->stack), KSTACK_ORDER);
    kfree(t->fpu);
    kmem_cache_free(task_cache, t);
}

void task_put(struct task *t)
{
    if (atomic_sub(&t->refs, 1) == 0)
        task_free(t);
}

struct task *task_find(s32 tid)
{
    struct task *t, *found = NULL;
    u64 f = spin_lock_irqsave(&tasklist_lock);
    list_for_each(t, &all_tasks, all_node)
        if (t->tid == tid) {
            found = t;
            atomic_add(&t->refs, 1);
            break;
        }
    spin_unlock_irqrestore(&tasklist_lock, f);
    return found;
}

/* The first switch to t arrives in fork_return with these in R12 and R13. */
static void task_set_entry(struct task *t, void (*fn)(void *), void *arg)
{
    u64 *sp = (u64 *)task_regs(t);
    *--sp = (u64)fork_return;
    *--sp = 0;         /* rbp */
    *--sp = 0;         /* rbx */
    *--sp = (u64)fn;   /* r12 */
    *--sp = (u64)arg;  /* r13 */
    *--sp = 0;         /* r14 */
    *--sp = 0;         /* r15 */
    t->ksp = (u64)sp;
}

struct task *fork_idle(u32 cpu)
{
    struct task *t = task_alloc();
    if (!t)
        panic("fork: no memory for an idle thread");
    t->is_idle = true;
    t->cpus_allowed = 1ul << cpu;
    strlcpy(t->comm, "idle", sizeof t->comm);
    return t;
}

struct kthread { void (*fn)(void *); void *arg; };

static void fork_kthread_main(void *p)
{
    struct kthread k = *(struct kthread *)p;
    kfree(p);
    irq_enable();
    k.fn(k.arg); /* returns only in the thread that became process 1 */
}

struct task *fork_kthread(void (*fn)(void *), void *arg, const char *name, u64 cpus_allowed)
{
    struct task *t = task_alloc();
    struct kthread *k = kmalloc(sizeof *k);
    if (!t || !k)
        panic("fork: no memory for a kernel thread");
    *k = (struct kthread){ fn, arg };
    strlcpy(t->comm, name, sizeof t->comm);
    t->cpus_allowed = cpus_allowed;
    task_set_entry(t, fork_kthread_main, k);
    sched_start(t);
    return t;
}

static struct process *process_new(struct process *parent)
{
    struct process *p = kzalloc(sizeof *p);
    if (!p)
        return NULL;
    p->refs = 1;
    list_init(&p->children);
    list_init(&p->sibling);
    list_init(&p->threads);
    wait_queue_init(&p->child_wait);
    list_init(&p->all_node);
    p->parent = parent;
    p->umask = 022;
    p->start_ns = time_ns();
    return p;
}

void process_put(struct process *p)
{
    if (atomic_sub(&p->refs, 1))
        return;
    if (p->cwd)
        inode_put(p->cwd);
    kfree(p);
}

s32 fork_last_tid(void) { return READ_ONCE(next_tid) - 1; }

static void task_publish(struct task *t, struct process *p, bool new_process)
{
    u64 f = spin_lock_irqsave(&tasklist_lock);
    t->tid = next_tid++;
    t->proc = p;
    list_add_tail(&t->thread_node, &p->threads);
    list_add_tail(&t->all_node, &all_tasks);
    p->nr_threads++;
    if (new_process) {
        p->pid = t->tid;
        atomic_add(&p->refs, 1); /* until it is reaped */
        list_add_tail(&p->all_node, &all_processes);
        if (p->parent)
            list_add_tail(&p->sibling, &p->parent->children);
        if (!p->pgid)
            p->pgid = p->sid = p->pid;
    } else if (p->exiting || p->execed) { /* too late to be among those that were told to end */
        t->pending |= 1ul << (SIGKILL - 1);
        t->tif |= TIF_SIGPENDING;
    }
    spin_unlock_irqrestore(&tasklist_lock, f);
}

/* Process 1: begins as a kernel thread, goes to ring 3 when fn returns with the registers set up by exec_load. */
void fork_init_process(void (*fn)(void *), void *arg)
{
    struct task *t = task_alloc();
    struct process *p = process_new(NULL);
    struct kthread *k = kmalloc(sizeof *k);
    if (!t || !p || !k)
        panic("fork: no memory for process 1");
    *k = (struct kthread){ fn, arg };
    t->cpus_allowed = (1ul << ncpus) - 1;
    t->files = files_new();
    p->cwd = inode_get(root_inode);
    fpu_init_task(t);
    init_process = p;
    task_publish(t, p, true);
    task_set_entry(t, fork_kthread_main, k);
    sched_start(t);
}

static long fork_copy_process(struct task *t, u64 flags, struct process **out)
{
    struct process *me = current->proc;
    if (flags & CLONE_THREAD) {
        atomic_add(&me->refs, 1);
        *out = me;
        return 0;
    }
    struct process *p = process_new(flags & CLONE_PARENT ? me->parent : me);
    if (!p)
        return -ENOMEM;
    memcpy(p->actions, me->actions, sizeof p->actions);
    p->cwd = process_cwd(me);
    p->umask = me->umask;
    p->pgid = me->pgid;
    p->sid = me->sid;
    p->exit_signal = (s32)(flags & 0xff);
    memcpy(p->exe, me->exe, sizeof p->exe);
    *out = p;
    return 0;
}

long fork_clone(struct pt_regs *regs, u64 flags, u64 stack, u64 ptid, u64 ctid, u64 tls)
{
    if ((flags & CLONE_THREAD && !(flags & CLONE_SIGHAND)) || (flags & CLONE_SIGHAND && !(flags & CLONE_VM)))
        return -EINVAL;
    struct task *me = current, *t = task_alloc();
    struct process *p = NULL;
    if (!t)
        return -ENOMEM;
    fpu_init_task(t);
    if (!t->fpu || fork_copy_process(t, flags, &p))
        goto no_memory;
    if (flags & CLONE_VM) {
        atomic_add(&me->mm->users, 1);
        t->mm = me->mm;
    } else if (!(t->mm = mm_fork(me->mm))) {
        goto no_memory;
    }
    if (flags & CLONE_FILES) {
        atomic_add(&me->files->refs, 1);
        t->files = me->files;
    } else if (!(t->files = files_copy(me->files))) {
        mm_leave(t->mm);
        goto no_memory;
    }
    memcpy(t->comm, me->comm, sizeof t->comm);
    t->cpus_allowed = me->cpus_allowed;
    t->sigmask = me->sigmask;
    if (!(flags & CLONE_VM) || flags & CLONE_VFORK)
        t->altstack = me->altstack;
    t->fsbase = flags & CLONE_SETTLS ? tls : me->fsbase;
    t->gsbase = me->gsbase;
    t->set_child_tid = flags & CLONE_CHILD_SETTID ? ctid : 0;
    t->clear_child_tid = flags & CLONE_CHILD_CLEARTID ? ctid : 0;
    fpu_fork(t);
    struct pt_regs *child = task_regs(t);
    *child = *regs;
    child->ax = 0;
    if (stack)
        child->sp = stack;
    task_set_entry(t, NULL, NULL);
    task_publish(t, p, !(flags & CLONE_THREAD));
    s32 tid = t->tid;
    if (flags & CLONE_PARENT_SETTID)
        put_user32(ptid, (u32)tid);
    if (t->set_child_tid) { /* the child's memory: through its own tables */
        u64 *pte;
        if (flags & CLONE_VM)
            put_user32(ctid, (u32)tid);
        else if (mm_fault(t->mm, ctid, true, false) && (pte = pgtable_walk(t->mm->pml4, ctid, false)) && *pte & PTE_P)
            *(u32 *)((u8 *)va(*pte & PTE_ADDR) + (ctid & (PAGE_SIZE - 1) & ~3ul)) = (u32)tid;
    }
    if (flags & CLONE_VFORK) {
        atomic_add(&t->refs, 1);
        t->vfork_parent = me;
        sched_start(t);
        wait_event(&t->vfork_wait, READ_ONCE(t->vfork_done));
        task_put(t);
    } else {
        sched_start(t);
    }
    return tid;

no_memory:
    if (p)
        process_put(p);
    t->proc = NULL;
    task_free(t);
    return -ENOMEM;
}
