/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls that make, remove and change names, and working directories. */
#include "defs.h"
#include "fs.h"
#include "task.h"

/* Reads a path and walks it for a change: tree_lock is held for writing, unless this failed. */
static long names_begin(int dirfd, u64 upath, bool follow, struct path *p)
{
    char path[PATH_MAX];
    struct inode *base;
    long r = open_path(path, upath, dirfd, &base);
    if (r)
        return r;
    down_write(&tree_lock);
    r = path[0] ? path_walk(base, path, follow, p) : -ENOENT;
    if (r)
        up_write(&tree_lock);
    inode_put(base);
    return r;
}

static long names_end(struct path *p, long r)
{
    up_write(&tree_lock);
    path_put(p);
    return r;
}

/* A new inode under a name that must be free. `text`: a symbolic link's. */
static long names_make(int dirfd, u64 upath, u32 mode, u64 rdev, const char *text)
{
    struct path p;
    long r = names_begin(dirfd, upath, false, &p);
    if (r)
        return r;
    struct inode *i = NULL;
    u8 *copy = NULL;
    if (p.inode || !p.dir)
        return names_end(&p, -EEXIST);
    if (p.dir->dev == DEV_PROC || (p.slash && (mode & S_IFMT) != S_IFDIR))
        return names_end(&p, -ENOENT);
    if (text && !(copy = kmalloc(strlen(text) + 1)))
        return names_end(&p, -ENOMEM);
    i = inode_new(mode);
    if (!i) {
        kfree(copy);
        return names_end(&p, -ENOMEM);
    }
    i->rdev = rdev;
    if (text) {
        i->size = strlen(text);
        memcpy(copy, text, i->size + 1);
        i->data = copy;
    }
    r = dir_link(p.dir, p.name, (u32)strlen(p.name), i);
    inode_put(i);
    return names_end(&p, r);
}

static u32 names_mode(u32 kind, u32 mode) { return kind | (mode & ~current->proc->umask & 07777); }

long sys_mkdirat(int dirfd, u64 path, u32 mode) { return names_make(dirfd, path, names_mode(S_IFDIR, mode & 01777), 0, NULL); }
long sys_mkdir(u64 path, u32 mode) { return sys_mkdirat(AT_FDCWD, path, mode); }

/* Plain files and FIFOs; devices are the kernel's own. */
long sys_mknodat(int dirfd, u64 path, u32 mode, u32 dev)
{
    u32 kind = mode & S_IFMT ? mode & S_IFMT : S_IFREG;
    if (kind != S_IFREG && kind != S_IFIFO)
        return kind == S_IFDIR ? -EPERM : -EOPNOTSUPP;
    return names_make(dirfd, path, names_mode(kind, mode), 0, NULL);
}

long sys_mknod(u64 path, u32 mode, u32 dev) { return sys_mknodat(AT_FDCWD, path, mode, dev); }

long sys_symlinkat(u64 utarget, int dirfd, u64 upath)
{
    char target[PATH_MAX];
    long r = copy_string_from_user(target, utarget, sizeof target);
    if (r < 0)
        return r;
    return target[0] ? names_make(dirfd, upath, S_IFLNK | 0777, 0, target) : -ENOENT;
}

long sys_symlink(u64 target, u64 path) { return sys_symlinkat(target, AT_FDCWD, path); }

long sys_linkat(int olddir, u64 uold, int newdir, u64 unew, u32 flags)
{
    char path[PATH_MAX];
    struct inode *base, *i;
    struct path p;
    if (flags & ~(u32)(AT_SYMLINK_FOLLOW))
        return -EINVAL;
    long r = open_path(path, uold, olddir, &base);
    if (r)
        return r;
    r = path_open(base, path, flags & AT_SYMLINK_FOLLOW, &i);
    inode_put(base);
    if (r)
        return r;
    if (!(r = names_begin(newdir, unew, false, &p))) {
        r = p.inode || !p.dir ? -EEXIST : p.slash ? -ENOENT : p.dir->dev != i->dev ? -EXDEV
          : inode_kind(i) == S_IFDIR || i->dev == DEV_PROC ? -EPERM : !i->nlink ? -ENOENT : dir_link(p.dir, p.name, (u32)strlen(p.name), i);
        names_end(&p, r);
    }
    inode_put(i);
    return r;
}

long sys_link(u64 old, u64 new) { return sys_linkat(AT_FDCWD, old, AT_FDCWD, new, 0); }

long sys_unlinkat(int dirfd, u64 upath, u32 flags)
{
    struct path p;
    bool rmdir = flags & AT_REMOVEDIR;
    if (flags & ~(u32)AT_REMOVEDIR)
        return -EINVAL;
    long r = names_begin(dirfd, upath, false, &p);
    if (r)
        return r;
    if (!p.inode)
        r = -ENOENT;
    else if (!p.dir)
        r = rmdir ? p.inode == root_inode ? -EBUSY : -EINVAL : -EISDIR;
    else if (p.inode->dev == DEV_PROC || p.inode->made_up)
        r = -EPERM;
    else if ((inode_kind(p.inode) == S_IFDIR) != rmdir)
        r = rmdir ? -ENOTDIR : -EISDIR;
    else if (rmdir && !dir_empty(p.inode))
        r = -ENOTEMPTY;
    if (!r)
        dir_unlink(p.dir, p.name);
    return names_end(&p, r);
}

long sys_unlink(u64 path) { return sys_unlinkat(AT_FDCWD, path, 0); }
long sys_rmdir(u64 path) { return sys_unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

/* May `from` take the place of `to`? 1: there is nothing to do. */
static long rename_check(const struct path *from, const struct path *to, u32 flags)
{
    enum { NOREPLACE = 1 };
    if (!from->inode)
        return -ENOENT;
    if (!from->dir || !to->dir)
        return -EBUSY;
    if (from->dir->dev != to->dir->dev)
        return -EXDEV;
    if (from->inode->dev == DEV_PROC)
        return -EPERM;
    bool dir = inode_kind(from->inode) == S_IFDIR;
    for (const struct inode *up = to->dir; dir && up; up = up == root_inode ? NULL : up->parent)
        if (up == from->inode)
            return -EINVAL; /* into itself */
    if (!to->inode)
        return to->slash && !dir ? -ENOTDIR : 0;
    if (flags & NOREPLACE)
        return -EEXIST;
    if (to->inode == from->inode)
        return 1;
    if ((inode_kind(to->inode) == S_IFDIR) != dir)
        return dir ? -ENOTDIR : -EISDIR;
    return dir && !dir_empty(to->inode) ? -ENOTEMPTY : 0;
}

/* The new name comes before the old one goes: the inode is never without. */
static long rename_entry(const struct path *from, const struct path *to)
{
    struct inode *i = from->inode;
    u32 len = (u32)strlen(to->name);
    if (to->inode)
        dir_unlink(to->dir, to->name);
    long r = dir_link(to->dir, to->name, len, i);
    if (!r)
        dir_unlink(from->dir, from->name);
    return r;
}

long sys_renameat2(int olddir, u64 uold, int newdir, u64 unew, u32 flags)
{
    char path[PATH_MAX];
    struct inode *base;
    struct path from, to;
    if (flags & ~1u)
        return -EINVAL;
    long r = open_path(path, uold, olddir, &base);
    if (r)
        return r;
    r = path[0] ? names_begin(newdir, unew, false, &to) : -ENOENT;
    if (!r) {
        r = path_walk(base, path, false, &from);
        if (!r && !(r = rename_check(&from, &to, flags)))
            r = rename_entry(&from, &to);
        path_put(&from);
        names_end(&to, 0);
    }
    inode_put(base);
    return r > 0 ? 0 : r;
}

long sys_renameat(int olddir, u64 old, int newdir, u64 new) { return sys_renameat2(olddir, old, newdir, new, 0); }
long sys_rename(u64 old, u64 new) { return sys_renameat2(AT_FDCWD, old, AT_FDCWD, new, 0); }

long sys_readlinkat(int dirfd, u64 upath, u64 buf, s64 n)
{
    char path[PATH_MAX];
    struct inode *base, *i;
    long r = open_path(path, upath, dirfd, &base);
    if (r)
        return r;
    r = path_open(base, path, false, &i);
    inode_put(base);
    if (r)
        return r;
    if (inode_kind(i) != S_IFLNK || n <= 0)
        r = -EINVAL;
    else if (i->iops && i->iops->readlink)
        r = i->iops->readlink(i, path, sizeof path);
    else
        memcpy(path, i->data, (u64)(r = (long)MIN(i->size, sizeof path)));
    inode_put(i);
    if (r < 0)
        return r;
    r = MIN(r, n);
    return copy_to_user(buf, path, (u64)r) ? -EFAULT : r;
}

long sys_readlink(u64 path, u64 buf, s64 n) { return sys_readlinkat(AT_FDCWD, path, buf, n); }

static long change_cwd(struct inode *i)
{
    if (inode_kind(i) != S_IFDIR) {
        inode_put(i);
        return -ENOTDIR;
    }
    struct process *p = current->proc;
    u64 f = spin_lock_irqsave(&tasklist_lock); /* /proc looks at it */
    struct inode *old = p->cwd;
    p->cwd = i;
    spin_unlock_irqrestore(&tasklist_lock, f);
    inode_put(old);
    return 0;
}

long sys_chdir(u64 upath)
{
    char path[PATH_MAX];
    struct inode *base, *i;
    long r = open_path(path, upath, AT_FDCWD, &base);
    if (r)
        return r;
    r = path_open(base, path, true, &i);
    inode_put(base);
    return r ? r : change_cwd(i);
}

long sys_fchdir(int fd)
{
    struct file *f = file_get(fd);
    if (!f)
        return -EBADF;
    long r = f->inode ? change_cwd(inode_get(f->inode)) : -ENOTDIR;
    file_put(f);
    return r;
}

long sys_getcwd(u64 buf, u64 n)
{
    char path[PATH_MAX];
    struct inode *cwd = process_cwd(current->proc);
    int len = path_name(cwd, path, sizeof path);
    inode_put(cwd);
    if (len < 0)
        return len;
    if ((u64)len + 1 > n)
        return -ERANGE;
    return copy_to_user(buf, path, (u64)len + 1) ? -EFAULT : len + 1;
}
