/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Path names to open files. */
#include "defs.h"
#include "fs.h"
#include "task.h"

struct file *open_inode(struct inode *i, u32 flags)
{
    struct file *f = file_new(i->ops ? i->ops : &tmpfs_ops, NULL, flags);
    if (f)
        f->inode = inode_get(i);
    return f;
}

long open_path(char *path, u64 upath, int dirfd, struct inode **base)
{
    long r = copy_string_from_user(path, upath, PATH_MAX);
    if (r < 0)
        return r;
    if (path[0] == '/' || dirfd == AT_FDCWD) {
        *base = path[0] == '/' ? inode_get(root_inode) : process_cwd(current->proc);
        return 0;
    }
    struct file *f = file_get(dirfd);
    if (!f)
        return -EBADF;
    r = f->inode ? 0 : -ENOTDIR;
    if (f->inode)
        *base = inode_get(f->inode);
    file_put(f);
    return r;
}

/* tree_lock held for writing where O_CREAT is set. *i with a reference. */
static long open_locked(struct inode *base, const char *path, u32 flags, u32 mode, struct inode **i)
{
    struct path p;
    bool excl = (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL);
    long r = path_walk(base, path, !(flags & O_NOFOLLOW) && !excl, &p);
    if (r)
        return r;
    if (p.inode)
        r = excl ? -EEXIST : 0;
    else if (!(flags & O_CREAT) || p.dir->dev == DEV_PROC)
        r = -ENOENT;
    else if (p.slash)
        r = -EISDIR;
    else if (!(p.inode = inode_new(S_IFREG | (mode & ~current->proc->umask & 07777))))
        r = -ENOMEM;
    else
        r = dir_link(p.dir, p.name, (u32)strlen(p.name), p.inode);
    *i = NULL;
    if (!r)
        *i = inode_get(p.inode);
    path_put(&p);
    return r;
}

/* May this be opened so? */
static long open_check(struct inode *i, u32 flags)
{
    u32 kind = inode_kind(i);
    if (kind == S_IFLNK && !(flags & O_PATH))
        return -ELOOP;
    if (kind == S_IFDIR && flags & (O_ACCMODE | O_CREAT))
        return -EISDIR;
    if (kind != S_IFDIR && flags & O_DIRECTORY)
        return -ENOTDIR;
    return flags & O_TRUNC && kind == S_IFREG && !i->ops ? inode_truncate(i, 0) : 0;
}

long sys_openat(int dirfd, u64 upath, u32 flags, u32 mode)
{
    char path[PATH_MAX];
    struct inode *base, *i;
    long r = open_path(path, upath, dirfd, &base);
    if (r)
        return r;
    if (flags & O_CREAT)
        down_write(&tree_lock);
    else
        down_read(&tree_lock);
    r = path[0] ? open_locked(base, path, flags, mode, &i) : -ENOENT;
    if (flags & O_CREAT)
        up_write(&tree_lock);
    else
        up_read(&tree_lock);
    inode_put(base);
    if (r)
        return r;
    r = open_check(i, flags);
    struct file *f = r ? NULL : inode_kind(i) == S_IFIFO ? NULL : open_inode(i, flags & ~(u32)(O_CREAT | O_EXCL | O_TRUNC | O_NOCTTY));
    if (!r && inode_kind(i) == S_IFIFO)
        r = pipe_open_fifo(i, flags, &f);
    inode_put(i);
    if (r)
        return r;
    if (!f)
        return -ENOMEM;
    if (f->ops->open && (r = f->ops->open(f, flags))) {
        file_put(f);
        return r;
    }
    return fd_install(f, 0, flags & O_CLOEXEC);
}

long sys_open(u64 path, u32 flags, u32 mode) { return sys_openat(AT_FDCWD, path, flags, mode); }
long sys_creat(u64 path, u32 mode) { return sys_openat(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
