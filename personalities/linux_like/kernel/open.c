/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Path names to open files, and what can be asked about them. */
#include "defs.h"
#include "fs.h"
#include "task.h"

struct file *open_inode(struct inode *i, u32 flags)
{
    struct file *f = file_new(i->ops ? i->ops : &inode_file_ops, NULL, flags);
    if (f)
        f->inode = i;
    return f;
}

/* Where a relative path starts; NULL: bad descriptor. */
static struct inode *open_base(int dirfd)
{
    if (dirfd == AT_FDCWD)
        return current->proc->cwd;
    struct file *f = file_get(dirfd);
    if (!f)
        return NULL;
    struct inode *i = f->inode;
    file_put(f);
    return i;
}

static long open_path(char *path, u64 upath, int dirfd, struct inode **base)
{
    long r = copy_string_from_user(path, upath, PATH_MAX);
    if (r < 0)
        return r;
    *base = path[0] == '/' ? root_inode : open_base(dirfd);
    return *base ? 0 : -EBADF;
}

long sys_openat(int dirfd, u64 upath, u32 flags, u32 mode)
{
    char path[PATH_MAX];
    const char *last;
    struct inode *base, *dir;
    long r = open_path(path, upath, dirfd, &base);
    if (r)
        return r;
    if (!path[0])
        return -ENOENT;
    struct inode *i = inode_walk(base, path, !(flags & O_NOFOLLOW));
    if (i && flags & O_CREAT && flags & O_EXCL)
        return -EEXIST;
    if (!i) {
        if (!(flags & O_CREAT) || !(dir = inode_walk_parent(base, path, &last)))
            return -ENOENT;
        i = inode_create(dir, last, S_IFREG | (mode & ~current->proc->umask & 0777));
        if (!i)
            return -ENOMEM;
    }
    u32 kind = i->mode & S_IFMT;
    if (kind == S_IFDIR && flags & O_ACCMODE)
        return -EISDIR;
    if (kind == S_IFLNK)
        return -ELOOP;
    if (kind != S_IFDIR && flags & O_DIRECTORY)
        return -ENOTDIR;
    if (flags & O_TRUNC && kind == S_IFREG)
        i->size = 0;
    struct file *f = open_inode(i, flags & ~(u32)(O_CREAT | O_EXCL | O_TRUNC));
    return f ? fd_install(f, 0, flags & O_CLOEXEC) : -ENOMEM;
}

long sys_open(u64 path, u32 flags, u32 mode) { return sys_openat(AT_FDCWD, path, flags, mode); }

static long stat_fill(struct inode *i, u32 mode, u64 ust)
{
    struct stat st = { .st_dev = 1, .st_nlink = 1, .st_mode = mode, .st_blksize = 4096 };
    if (i) {
        st.st_ino = i->ino;
        st.st_mode = i->mode;
        st.st_rdev = i->rdev;
        st.st_size = i->size;
        st.st_blocks = (i->size + 511) / 512;
    }
    return copy_to_user(ust, &st, sizeof st) ? -EFAULT : 0;
}

long sys_fstat(int fd, u64 ust)
{
    struct file *f = file_get(fd);
    if (!f)
        return -EBADF;
    long r = stat_fill(f->inode, S_IFSOCK | 0777, ust);
    file_put(f);
    return r;
}

long sys_newfstatat(int dirfd, u64 upath, u64 ust, u32 flags)
{
    char path[PATH_MAX];
    struct inode *base;
    long r = copy_string_from_user(path, upath, sizeof path);
    if (r < 0)
        return r;
    if (!path[0])
        return flags & AT_EMPTY_PATH ? sys_fstat(dirfd, ust) : -ENOENT;
    r = open_path(path, upath, dirfd, &base);
    if (r)
        return r;
    struct inode *i = inode_walk(base, path, !(flags & AT_SYMLINK_NOFOLLOW));
    return i ? stat_fill(i, 0, ust) : -ENOENT;
}

long sys_stat(u64 path, u64 st) { return sys_newfstatat(AT_FDCWD, path, st, 0); }
long sys_lstat(u64 path, u64 st) { return sys_newfstatat(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW); }

long sys_readlinkat(int dirfd, u64 upath, u64 buf, s64 n)
{
    char path[PATH_MAX];
    struct inode *base;
    long r = open_path(path, upath, dirfd, &base);
    if (r)
        return r;
    struct inode *i = inode_walk(base, path, false);
    if (!i)
        return -ENOENT;
    if ((i->mode & S_IFMT) != S_IFLNK || n <= 0)
        return -EINVAL;
    const void *target = i->size ? (const char *)i->data : current->proc->exe;
    u64 len = MIN(i->size ? i->size : strlen(target), (u64)n);
    return copy_to_user(buf, target, len) ? -EFAULT : (long)len;
}

long sys_readlink(u64 path, u64 buf, s64 n) { return sys_readlinkat(AT_FDCWD, path, buf, n); }

long sys_faccessat(int dirfd, u64 upath, u32 mode)
{
    char path[PATH_MAX];
    struct inode *base;
    long r = open_path(path, upath, dirfd, &base);
    return r ? r : inode_walk(base, path, true) ? 0 : -ENOENT;
}

long sys_access(u64 path, u32 mode) { return sys_faccessat(AT_FDCWD, path, mode); }

long sys_mkdirat(int dirfd, u64 upath, u32 mode)
{
    char path[PATH_MAX];
    const char *last;
    struct inode *base, *dir;
    long r = open_path(path, upath, dirfd, &base);
    if (r)
        return r;
    if (inode_walk(base, path, true))
        return -EEXIST;
    dir = inode_walk_parent(base, path, &last);
    if (!dir)
        return -ENOENT;
    return inode_create(dir, last, S_IFDIR | (mode & ~current->proc->umask & 0777)) ? 0 : -ENOMEM;
}

long sys_mkdir(u64 path, u32 mode) { return sys_mkdirat(AT_FDCWD, path, mode); }

long sys_unlinkat(int dirfd, u64 upath, u32 flags)
{
    enum { REMOVEDIR = 0x200 };
    char path[PATH_MAX];
    struct inode *base;
    long r = open_path(path, upath, dirfd, &base);
    if (r)
        return r;
    struct inode *i = inode_walk(base, path, false);
    if (!i)
        return -ENOENT;
    bool is_dir = (i->mode & S_IFMT) == S_IFDIR;
    if (is_dir != !!(flags & REMOVEDIR))
        return is_dir ? -EISDIR : -ENOTDIR;
    if (i == root_inode)
        return -EBUSY;
    if (is_dir && !list_empty(&i->children))
        return -ENOTEMPTY;
    inode_remove(i);
    return 0;
}

long sys_unlink(u64 path) { return sys_unlinkat(AT_FDCWD, path, 0); }

long sys_chdir(u64 upath)
{
    char path[PATH_MAX];
    struct inode *base;
    long r = open_path(path, upath, AT_FDCWD, &base);
    if (r)
        return r;
    struct inode *i = inode_walk(base, path, true);
    if (!i || (i->mode & S_IFMT) != S_IFDIR)
        return i ? -ENOTDIR : -ENOENT;
    current->proc->cwd = i;
    return 0;
}

long sys_getcwd(u64 buf, u64 n)
{
    char path[PATH_MAX];
    int len = inode_path(current->proc->cwd, path, sizeof path);
    if (len < 0 || (u64)len + 1 > n)
        return -ERANGE;
    return copy_to_user(buf, path, (u64)len + 1) ? -EFAULT : len + 1;
}

long sys_getdents64(int fd, u64 buf, u32 n)
{
    struct file *f = file_get(fd);
    if (!f)
        return -EBADF;
    long r = inode_getdents(f, buf, n);
    file_put(f);
    return r;
}
