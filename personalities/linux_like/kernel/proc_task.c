/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What /proc/PID/... says about a process, or about one thread of it. Time is not told apart into user's and system's: all of it is the user's. */
#include "defs.h"
#include "fs.h"
#include "proc.h"
#include "task.h"

#define TICKS(ns) ((ns) / 10000000ul) /* 100 a second */
#define TTY_CONSOLE (5u << 8 | 1)

/* The thread that is asked about: the first, unless told; with a reference. NULL: it is gone. */
static struct task *proc_thread(struct proc_ref *r)
{
    struct task *t, *found = NULL;
    u64 f = spin_lock_irqsave(&tasklist_lock);
    list_for_each(t, &r->p->threads, thread_node)
        if (!r->tid || t->tid == r->tid) {
            found = t;
            atomic_add(&t->refs, 1);
            break;
        }
    spin_unlock_irqrestore(&tasklist_lock, f);
    return found;
}

s32 proc_next_tid(struct process *p, s32 above)
{
    struct task *t;
    s32 best = 0;
    u64 f = spin_lock_irqsave(&tasklist_lock);
    list_for_each(t, &p->threads, thread_node)
        if (t->tid > above && (!best || t->tid < best))
            best = t->tid;
    spin_unlock_irqrestore(&tasklist_lock, f);
    return best;
}

/* The address space, as one more user of it; NULL: it has none any more. */
static struct mm *proc_mm(struct process *p)
{
    struct mm *mm = NULL;
    u64 f = spin_lock_irqsave(&tasklist_lock);
    struct task *t = list_empty(&p->threads) ? NULL : list_first(&p->threads, struct task, thread_node);
    if (t && t->mm) {
        mm = t->mm;
        atomic_add(&mm->users, 1);
    }
    spin_unlock_irqrestore(&tasklist_lock, f);
    return mm;
}

static struct files *proc_files(struct process *p)
{
    struct files *fs = NULL;
    u64 f = spin_lock_irqsave(&tasklist_lock);
    struct task *t = list_empty(&p->threads) ? NULL : list_first(&p->threads, struct task, thread_node);
    if (t && t->files) {
        fs = t->files;
        atomic_add(&fs->refs, 1);
    }
    spin_unlock_irqrestore(&tasklist_lock, f);
    return fs;
}

struct file *proc_file_of(struct process *p, s32 fd)
{
    struct files *fs = proc_files(p);
    struct file *f = NULL;
    if (fs && (u32)fd < MAX_FDS) {
        spin_lock(&fs->lock);
        f = fs->fd[fd];
        if (f)
            atomic_add(&f->refs, 1);
        spin_unlock(&fs->lock);
    }
    if (fs)
        files_put(fs);
    return f;
}

s32 proc_next_fd(struct process *p, s32 from)
{
    struct files *fs = proc_files(p);
    s32 fd = from;
    while (fs && fd < MAX_FDS && !READ_ONCE(fs->fd[fd]))
        fd++;
    bool any = fs && fd < MAX_FDS;
    if (fs)
        files_put(fs);
    return any ? fd : -1;
}

long proc_file_name(struct file *f, char *buf, u32 n)
{
    if (!f->inode)
        return snprintk(buf, n, "anon_inode:[file]");
    if (inode_kind(f->inode) == S_IFIFO && !f->inode->nlink)
        return snprintk(buf, n, "pipe:[%lu]", f->inode->ino);
    long r = path_name(f->inode, buf, n);
    return r == -ENOENT ? snprintk(buf, n, "(deleted)") : r;
}

static char proc_state(const struct process *p, const struct task *t)
{
    if (!t)
        return 'Z';
    switch (READ_ONCE(t->state)) {
    case TASK_RUNNING: return 'R';
    case TASK_INTERRUPTIBLE: return 'S';
    case TASK_STOPPED: return 'T';
    case TASK_DEAD: return 'X';
    default: return 'D';
    }
}

static void proc_signals(struct process *p, u64 *ignored, u64 *caught)
{
    *ignored = *caught = 0;
    for (int s = 1; s <= NSIG; s++) {
        u64 h = READ_ONCE(p->actions[s].handler);
        *(h == SIG_IGN ? ignored : caught) |= h ? 1ul << (s - 1) : 0;
    }
}

static struct usage proc_usage(struct proc_ref *r, const struct task *t)
{
    if (!r->tid || !t)
        return process_usage(r->p);
    return (struct usage){ task_exec_ns(t), t->minflt, t->nvcsw, t->nivcsw };
}

static void show_stat(struct proc_out *o, struct proc_ref *r)
{
    struct process *p = r->p;
    struct task *t = proc_thread(r);
    struct mm *mm = proc_mm(p);
    struct usage u = proc_usage(r, t);
    struct mm_counts c = mm ? mm_count(mm) : (struct mm_counts){ 0 };
    u64 ignored, caught;
    proc_signals(p, &ignored, &caught);
    proc_printf(o, "%d (%s) %c %d %d %d %u %d 4194304 %lu %lu 0 0 ", r->tid ? r->tid : p->pid, t ? t->comm : p->comm, proc_state(p, t),
                p->parent ? p->parent->pid : 0, p->pgid, p->sid, p->sid == tty_session() ? TTY_CONSOLE : 0, p->sid == tty_session() ? tty_pgrp() : -1,
                u.minflt, p->reaped.minflt);
    proc_printf(o, "%lu 0 %lu 0 20 0 %u 0 %lu %lu %lu 18446744073709551615 ", TICKS(u.exec_ns), TICKS(p->reaped.exec_ns), p->nr_threads, TICKS(p->start_ns),
                c.mapped << PAGE_SHIFT, c.resident);
    proc_printf(o, "%lu %lu %lu 0 0 %lu %lu %lu %lu 0 0 0 %d %u 0 0 0 0 0 ", c.code_start, c.code_end, mm ? USER_TOP - 16 : 0, t ? t->pending : 0, t ? t->sigmask : 0,
                ignored, caught, p->exit_signal, t ? t->cpu : 0);
    proc_printf(o, "%lu %lu %lu %lu %lu %lu %lu %d\n", mm ? mm->brk_start : 0, mm ? mm->brk : 0, mm ? mm->brk_start : 0, c.args.start, c.args.end, c.env.start, c.env.end, t ? 0 : p->status);
    if (mm)
        mm_leave(mm);
    if (t)
        task_put(t);
}

static void show_status(struct proc_out *o, struct proc_ref *r)
{
    static const struct { char c; const char *name; } names[] = { { 'R', "running" }, { 'S', "sleeping" }, { 'D', "disk sleep" }, { 'T', "stopped" },
        { 'Z', "zombie" }, { 'X', "dead" } };
    struct process *p = r->p;
    struct task *t = proc_thread(r);
    struct mm *mm = proc_mm(p);
    char c = proc_state(p, t);
    const char *name = "";
    for (u32 k = 0; k < ARRAY_SIZE(names); k++)
        if (names[k].c == c)
            name = names[k].name;
    proc_printf(o, "Name:\t%s\nUmask:\t%04o\nState:\t%c (%s)\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t0\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nFDSize:\t%u\nGroups:\t0 \n",
                t ? t->comm : p->comm, p->umask, c, name, p->pid, r->tid ? r->tid : p->pid, p->parent ? p->parent->pid : 0, MAX_FDS);
    if (mm) {
        struct mm_counts m = mm_count(mm);
        proc_printf(o, "VmSize:\t%8lu kB\nVmRSS:\t%8lu kB\nVmData:\t%8lu kB\nVmStk:\t%8lu kB\nVmExe:\t%8lu kB\n", m.mapped * 4, m.resident * 4, m.data * 4,
                    m.stack * 4, (m.code_end - m.code_start) / 1024);
        mm_leave(mm);
    }
    u64 ignored, caught;
    struct usage u = proc_usage(r, t);
    proc_signals(p, &ignored, &caught);
    proc_printf(o, "Threads:\t%u\nSigPnd:\t%016lx\nShdPnd:\t%016lx\nSigBlk:\t%016lx\nSigIgn:\t%016lx\nSigCgt:\t%016lx\nCpus_allowed:\t%lx\n", p->nr_threads,
                t ? t->pending : 0, p->shared_pending, t ? t->sigmask : 0, ignored, caught, t ? t->cpus_allowed : 0);
    proc_printf(o, "voluntary_ctxt_switches:\t%lu\nnonvoluntary_ctxt_switches:\t%lu\n", u.nvcsw, u.nivcsw);
    if (t)
        task_put(t);
}

static void show_statm(struct proc_out *o, struct proc_ref *r)
{
    struct mm *mm = proc_mm(r->p);
    struct mm_counts c = mm ? mm_count(mm) : (struct mm_counts){ 0 };
    if (mm)
        mm_leave(mm);
    proc_printf(o, "%lu %lu %lu %lu 0 %lu 0\n", c.mapped, c.resident, c.shared, (c.code_end - c.code_start) / PAGE_SIZE, c.data + c.stack);
}

static void proc_show_range(struct proc_out *o, struct process *p, bool args)
{
    char chunk[256];
    struct mm *mm = proc_mm(p);
    if (!mm)
        return;
    struct span g = args ? mm->args : mm->env;
    for (u64 at = g.start; at < g.end;) {
        u64 n = mm_read(mm, at, chunk, MIN(g.end - at, sizeof chunk));
        proc_write(o, chunk, (u32)n);
        at += n;
        if (!n || o->at == o->room - 1)
            break;
    }
    mm_leave(mm);
}

static void show_cmdline(struct proc_out *o, struct proc_ref *r) { proc_show_range(o, r->p, true); }
static void show_environ(struct proc_out *o, struct proc_ref *r) { proc_show_range(o, r->p, false); }

static void show_comm(struct proc_out *o, struct proc_ref *r)
{
    struct task *t = proc_thread(r);
    proc_printf(o, "%s\n", t ? t->comm : r->p->comm);
    if (t)
        task_put(t);
}

static void show_maps(struct proc_out *o, struct proc_ref *r)
{
    struct mm *mm = proc_mm(r->p);
    if (!mm)
        return;
    char *name = kmalloc(PATH_MAX);
    down_read(&mm->lock);
    for (struct vma *v = mm->vmas; v && name; v = v->next) {
        const struct inode *i = v->file ? v->file->inode : NULL;
        u32 from = o->at;
        proc_printf(o, "%08lx-%08lx %c%c%c%c %08lx 00:%02x %lu ", v->start, v->end, v->prot & PROT_READ ? 'r' : '-', v->prot & PROT_WRITE ? 'w' : '-',
                    v->prot & PROT_EXEC ? 'x' : '-', v->shared ? 's' : 'p', v->file ? v->offset : 0, i ? i->dev : 0, i ? i->ino : 0);
        name[0] = 0;
        if (v->file)
            proc_file_name(v->file, name, PATH_MAX);
        else if (v->end == USER_TOP)
            strlcpy(name, "[stack]", PATH_MAX);
        else if (v->start >= mm->brk_start && v->end <= ALIGN_UP(mm->brk, PAGE_SIZE))
            strlcpy(name, "[heap]", PATH_MAX);
        while (name[0] && o->at < from + 73 && o->at < o->room - 1)
            o->buf[o->at++] = ' ';
        proc_printf(o, "%s\n", name);
    }
    up_read(&mm->lock);
    kfree(name);
    mm_leave(mm);
}

static void show_mounts(struct proc_out *o, struct proc_ref *r) { o->at += proc_mounts(o->buf + o->at, o->room - o->at); }

static struct inode *jump_cwd(struct proc_ref *r) { return process_cwd(r->p); }
static struct inode *jump_root(struct proc_ref *r) { return inode_get(root_inode); }

static long text_cwd(struct proc_ref *r, char *buf, u32 n)
{
    struct inode *i = jump_cwd(r);
    long len = path_name(i, buf, n);
    inode_put(i);
    return len;
}

static long text_root(struct proc_ref *r, char *buf, u32 n) { return snprintk(buf, n, "/"); }
static long text_exe(struct proc_ref *r, char *buf, u32 n) { return r->p->exe[0] && READ_ONCE(r->p->nr_threads) ? snprintk(buf, n, "%s", r->p->exe) : -ENOENT; }

const struct proc_entry proc_pid_entries[] = {
    { "cmdline", S_IFREG | 0444, show_cmdline, NULL, NULL }, { "comm", S_IFREG | 0444, show_comm, NULL, NULL },
    { "cwd", S_IFLNK | 0777, NULL, text_cwd, jump_cwd },     { "environ", S_IFREG | 0400, show_environ, NULL, NULL },
    { "exe", S_IFLNK | 0777, NULL, text_exe, NULL },         { "fd", S_IFDIR | 0500, NULL, NULL, NULL },
    { "maps", S_IFREG | 0444, show_maps, NULL, NULL },       { "mounts", S_IFREG | 0444, show_mounts, NULL, NULL },
    { "root", S_IFLNK | 0777, NULL, text_root, jump_root },  { "stat", S_IFREG | 0444, show_stat, NULL, NULL },
    { "statm", S_IFREG | 0444, show_statm, NULL, NULL },     { "status", S_IFREG | 0444, show_status, NULL, NULL },
    { "task", S_IFDIR | 0555, NULL, NULL, NULL },
};
const u32 proc_pid_count = ARRAY_SIZE(proc_pid_entries);
