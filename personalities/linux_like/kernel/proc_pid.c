/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The directories of /proc that come and go: one a process, one a thread, descriptors. Made up as they are looked at. */
#include "defs.h"
#include "fs.h"
#include "proc.h"
#include "task.h"

static const struct inode_ops pid_ops, fd_ops, threads_ops, link_ops, leaf_ops;
static struct inode *proc_inode;

/* A number without a sign or zeros before it; -1: none. */
static s32 proc_number(const char *name, u32 len)
{
    s64 v = 0;
    if (!len || len > 9 || (name[0] == '0' && len > 1))
        return -1;
    for (u32 i = 0; i < len; i++) {
        if (name[i] < '0' || name[i] > '9')
            return -1;
        v = v * 10 + (name[i] - '0');
    }
    return (s32)v;
}

/* Inode numbers say what and whose, so that they are the same at each look. */
static u64 proc_ino(const struct proc_ref *r, u32 what) { return 1ul << 62 | (u64)(r->tid ? r->tid : r->p->pid) << 24 | (u64)(r->fd + 1) << 8 | what | (r->tid ? 128 : 0); }

/* Takes over r's reference of its process. */
static struct inode *proc_inode_new(struct inode *dir, const char *name, u32 len, u32 mode, const struct inode_ops *ops, const struct proc_ref *r, u32 what)
{
    struct inode *i = inode_new(mode);
    struct proc_ref *own = kmalloc(sizeof *own);
    struct dirent *e = dirent_new(name, len, i);
    if (!i || !own || !e) {
        kfree(i);
        kfree(own);
        kfree(e);
        process_put(r->p);
        return NULL;
    }
    *own = *r;
    i->priv = own;
    i->iops = ops;
    i->entry = e;
    i->dev = DEV_PROC;
    i->ino = proc_ino(r, what);
    i->nlink = (mode & S_IFMT) == S_IFDIR ? 2 : 1;
    i->parent = inode_get(dir);
    i->made_up = true;
    if ((mode & S_IFMT) == S_IFREG)
        i->ops = &proc_ops;
    return i;
}

static void proc_inode_release(struct inode *i)
{
    struct proc_ref *r = i->priv;
    process_put(r->p);
    kfree(r);
}

void proc_pid_show(struct inode *i, struct proc_out *o)
{
    struct proc_ref *r = i->priv;
    r->entry->show(o, r);
}

/* ---- /proc/PID, /proc/PID/task/TID */

static struct inode *pid_lookup(struct inode *dir, const char *name, u32 len)
{
    struct proc_ref r = *(struct proc_ref *)dir->priv;
    for (u32 k = 0; k < proc_pid_count; k++) {
        const struct proc_entry *e = &proc_pid_entries[k];
        if (strlen(e->name) != len || memcmp(e->name, name, len) || (r.tid && (e->mode & S_IFMT) == S_IFDIR))
            continue;
        atomic_add(&r.p->refs, 1);
        r.entry = e;
        const struct inode_ops *ops = (e->mode & S_IFMT) == S_IFLNK ? &link_ops : (e->mode & S_IFMT) == S_IFREG ? &leaf_ops : !strcmp(e->name, "fd") ? &fd_ops : &threads_ops;
        return proc_inode_new(dir, name, len, e->mode, ops, &r, k + 2);
    }
    return NULL;
}

static bool pid_next(struct inode *dir, u64 *cookie, struct dir_item *d)
{
    struct proc_ref *r = dir->priv;
    while (*cookie < proc_pid_count) {
        const struct proc_entry *e = &proc_pid_entries[(*cookie)++];
        if (r->tid && (e->mode & S_IFMT) == S_IFDIR)
            continue;
        *d = (struct dir_item){ .name = e->name, .mode = e->mode, .ino = proc_ino(r, (u32)*cookie + 1) };
        return true;
    }
    return false;
}

static const struct inode_ops pid_ops = { .lookup = pid_lookup, .next = pid_next, .release = proc_inode_release };
static const struct inode_ops leaf_ops = { .release = proc_inode_release };

/* ---- /proc/PID/fd */

static struct inode *fd_lookup(struct inode *dir, const char *name, u32 len)
{
    struct proc_ref r = *(struct proc_ref *)dir->priv;
    r.fd = proc_number(name, len);
    struct file *f = r.fd < 0 ? NULL : proc_file_of(r.p, r.fd);
    if (!f)
        return NULL;
    u32 mode = f->flags & O_ACCMODE;
    file_put(f);
    atomic_add(&r.p->refs, 1);
    return proc_inode_new(dir, name, len, S_IFLNK | (mode == O_RDWR ? 0700 : mode ? 0300 : 0500), &link_ops, &r, 1);
}

static bool fd_next(struct inode *dir, u64 *cookie, struct dir_item *d)
{
    struct proc_ref r = *(struct proc_ref *)dir->priv;
    r.fd = *cookie > MAX_FDS ? -1 : proc_next_fd(r.p, (s32)*cookie);
    if (r.fd < 0)
        return false;
    *cookie = (u64)r.fd + 1;
    *d = (struct dir_item){ .mode = S_IFLNK, .ino = proc_ino(&r, 1) };
    snprintk(d->buf, sizeof d->buf, "%d", r.fd);
    d->name = d->buf;
    return true;
}

static const struct inode_ops fd_ops = { .lookup = fd_lookup, .next = fd_next, .release = proc_inode_release };

/* ---- /proc/PID/task */

static struct inode *threads_lookup(struct inode *dir, const char *name, u32 len)
{
    struct proc_ref r = *(struct proc_ref *)dir->priv;
    r.tid = proc_number(name, len);
    if (r.tid <= 0 || proc_next_tid(r.p, r.tid - 1) != r.tid)
        return NULL;
    atomic_add(&r.p->refs, 1);
    return proc_inode_new(dir, name, len, S_IFDIR | 0555, &pid_ops, &r, 1);
}

static bool threads_next(struct inode *dir, u64 *cookie, struct dir_item *d)
{
    struct proc_ref r = *(struct proc_ref *)dir->priv;
    r.tid = proc_next_tid(r.p, (s32)MIN(*cookie, (u64)INT32_MAX));
    if (!r.tid)
        return false;
    *cookie = (u64)r.tid;
    *d = (struct dir_item){ .mode = S_IFDIR, .ino = proc_ino(&r, 1) };
    snprintk(d->buf, sizeof d->buf, "%d", r.tid);
    d->name = d->buf;
    return true;
}

static const struct inode_ops threads_ops = { .lookup = threads_lookup, .next = threads_next, .release = proc_inode_release };

/* ---- links */

static long link_readlink(struct inode *i, char *buf, u32 n)
{
    struct proc_ref *r = i->priv;
    if (r->fd < 0)
        return r->entry->text(r, buf, n);
    struct file *f = proc_file_of(r->p, r->fd);
    if (!f)
        return -ENOENT;
    long len = proc_file_name(f, buf, n);
    file_put(f);
    return len;
}

static struct inode *link_follow(struct inode *i)
{
    struct proc_ref *r = i->priv;
    if (r->fd < 0)
        return r->entry->jump ? r->entry->jump(r) : NULL;
    struct file *f = proc_file_of(r->p, r->fd);
    struct inode *there = f && f->inode ? inode_get(f->inode) : NULL;
    if (f)
        file_put(f);
    return there;
}

static const struct inode_ops link_ops = { .readlink = link_readlink, .follow = link_follow, .release = proc_inode_release };

/* ---- /proc itself: what is always there lies in the tree, processes are made up */

static struct inode *proc_lookup(struct inode *dir, const char *name, u32 len)
{
    s32 pid = proc_number(name, len);
    struct process *p = pid > 0 ? process_find(pid, false) : NULL;
    struct proc_ref r = { p, 0, -1, NULL };
    return p ? proc_inode_new(dir, name, len, S_IFDIR | 0555, &pid_ops, &r, 1) : NULL;
}

static bool proc_next(struct inode *dir, u64 *cookie, struct dir_item *d)
{
    struct process *p = process_find((s32)MIN(*cookie + 1, (u64)INT32_MAX), true);
    if (!p)
        return false;
    struct proc_ref r = { p, 0, -1, NULL };
    *cookie = (u64)p->pid;
    *d = (struct dir_item){ .mode = S_IFDIR, .ino = proc_ino(&r, 1) };
    snprintk(d->buf, sizeof d->buf, "%d", p->pid);
    d->name = d->buf;
    process_put(p);
    return true;
}

static long self_readlink(struct inode *i, char *buf, u32 n) { return snprintk(buf, n, "%d", current->proc->pid); }

static const struct inode_ops proc_dir_ops = { .lookup = proc_lookup, .next = proc_next };
static const struct inode_ops self_ops = { .readlink = self_readlink };

void proc_init(void)
{
    proc_inode = inode_make("/proc", S_IFDIR | 0555);
    proc_inode->dev = DEV_PROC;
    proc_inode->iops = &proc_dir_ops;
    inode_make("/proc/self", S_IFLNK | 0777)->iops = &self_ops;
    proc_system_init();
}
