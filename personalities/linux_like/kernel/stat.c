/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What files say about themselves, and changing that: stat and statx, access, modes, owners, times. */
#include "defs.h"
#include "fs.h"
#include "task.h"

#define NS 1000000000ul
#define RAMFS_MAGIC 0x858458f6ul
#define TMPFS_MAGIC 0x01021994ul
#define PROC_SUPER_MAGIC 0x9fa0ul

/* What dirfd and path name: with AT_EMPTY_PATH and no path, the file itself. *f where there is no inode; references. */
static long stat_find(int dirfd, u64 upath, u32 flags, struct inode **i, struct file **f)
{
    char path[PATH_MAX];
    struct inode *base;
    *i = NULL;
    *f = NULL;
    long r = copy_string_from_user(path, upath, sizeof path);
    if (r < 0)
        return r;
    if (!path[0] && flags & AT_EMPTY_PATH && dirfd != AT_FDCWD) {
        struct file *file = file_get(dirfd);
        if (!file)
            return -EBADF;
        if (!file->inode) {
            *f = file;
            return 0;
        }
        *i = inode_get(file->inode);
        file_put(file);
        return 0;
    }
    r = open_path(path, upath, dirfd, &base);
    if (r)
        return r;
    r = !path[0] && flags & AT_EMPTY_PATH ? (*i = inode_get(base), 0) : path_open(base, path, !(flags & AT_SYMLINK_NOFOLLOW), i);
    inode_put(base);
    return r;
}

static void stat_fill(struct inode *i, struct stat *st)
{
    *st = (struct stat){ .st_dev = DEV_TMPFS, .st_nlink = 1, .st_blksize = 4096 };
    if (!i) {
        st->st_dev = 0;
        st->st_mode = S_IFSOCK | 0777; /* sockets, and what epoll_create and eventfd make */
        return;
    }
    st->st_dev = i->dev;
    st->st_ino = i->ino;
    st->st_nlink = i->nlink;
    st->st_mode = i->mode;
    st->st_uid = i->uid;
    st->st_gid = i->gid;
    st->st_rdev = i->rdev;
    st->st_size = i->size;
    st->st_blocks = i->data && inode_kind(i) == S_IFREG ? (i->size + 4095) / 4096 * 8 : i->pages * 8;
    u64 *t = st->st_times;
    t[0] = i->atime / NS, t[1] = i->atime % NS;
    t[2] = i->mtime / NS, t[3] = i->mtime % NS;
    t[4] = i->ctime / NS, t[5] = i->ctime % NS;
}

static long stat_of(int dirfd, u64 upath, u32 flags, struct stat *st)
{
    struct inode *i;
    struct file *f;
    long r = stat_find(dirfd, upath, flags, &i, &f);
    if (r)
        return r;
    stat_fill(i, st);
    if (i)
        inode_put(i);
    if (f)
        file_put(f);
    return 0;
}

long sys_newfstatat(int dirfd, u64 upath, u64 ust, u32 flags)
{
    struct stat st;
    long r = flags & ~(u32)(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | 0x800) ? -EINVAL : stat_of(dirfd, upath, flags, &st);
    return r ? r : copy_to_user(ust, &st, sizeof st) ? -EFAULT : 0;
}

long sys_stat(u64 path, u64 st) { return sys_newfstatat(AT_FDCWD, path, st, 0); }
long sys_lstat(u64 path, u64 st) { return sys_newfstatat(AT_FDCWD, path, st, AT_SYMLINK_NOFOLLOW); }

long sys_fstat(int fd, u64 ust)
{
    struct stat st;
    struct file *f = file_get(fd);
    if (!f)
        return -EBADF;
    stat_fill(f->inode, &st);
    file_put(f);
    return copy_to_user(ust, &st, sizeof st) ? -EFAULT : 0;
}

struct statx_time { s64 sec; u32 nsec, pad; };
struct statx {
    u32 mask, blksize;
    u64 attributes;
    u32 nlink, uid, gid;
    u16 mode, pad;
    u64 ino, size, blocks, attributes_mask;
    struct statx_time atime, btime, ctime, mtime;
    u32 rdev_major, rdev_minor, dev_major, dev_minor;
    u64 rest[14];
};
_Static_assert(sizeof(struct statx) == 256, "ABI");

long sys_statx(int dirfd, u64 upath, u32 flags, u32 mask, u64 ux)
{
    enum { BASIC = 0x7ff };
    struct stat st;
    if (mask & 0x80000000u)
        return -EINVAL;
    long r = stat_of(dirfd, upath, flags, &st);
    if (r)
        return r;
    struct statx x = { .mask = BASIC, .blksize = 4096, .nlink = (u32)st.st_nlink, .uid = st.st_uid, .gid = st.st_gid, .mode = (u16)st.st_mode,
        .ino = st.st_ino, .size = st.st_size, .blocks = st.st_blocks,
        .atime = { (s64)st.st_times[0], (u32)st.st_times[1], 0 }, .mtime = { (s64)st.st_times[2], (u32)st.st_times[3], 0 },
        .ctime = { (s64)st.st_times[4], (u32)st.st_times[5], 0 }, .rdev_major = (u32)(st.st_rdev >> 8), .rdev_minor = (u32)st.st_rdev & 0xff,
        .dev_minor = (u32)st.st_dev };
    return copy_to_user(ux, &x, sizeof x) ? -EFAULT : 0;
}

static long statfs_put(struct inode *i, u64 ubuf)
{
    struct { u64 type, bsize, blocks, bfree, bavail, files, ffree; s32 fsid[2]; u64 namelen, frsize, flags, spare[4]; } s = {
        .type = i && i->dev == DEV_PROC ? PROC_SUPER_MAGIC : TMPFS_MAGIC, .bsize = 4096, .namelen = NAME_MAX, .frsize = 4096, .flags = 0x20 };
    _Static_assert(sizeof s == 120, "ABI");
    if (s.type == TMPFS_MAGIC) {
        s.blocks = tmpfs_limit();
        s.bfree = s.bavail = s.blocks - MIN(s.blocks, tmpfs_pages());
        s.files = page_count_total() / 2;
        s.ffree = s.files / 2;
    }
    return copy_to_user(ubuf, &s, sizeof s) ? -EFAULT : 0;
}

long sys_statfs(u64 upath, u64 ubuf)
{
    struct inode *i;
    struct file *f;
    long r = stat_find(AT_FDCWD, upath, 0, &i, &f);
    if (r)
        return r;
    r = statfs_put(i, ubuf);
    inode_put(i);
    return r;
}

long sys_fstatfs(int fd, u64 ubuf)
{
    struct file *f = file_get(fd);
    if (!f)
        return -EBADF;
    long r = statfs_put(f->inode, ubuf);
    file_put(f);
    return r;
}

long sys_faccessat2(int dirfd, u64 upath, u32 mode, u32 flags)
{
    struct stat st;
    if (mode & ~7u)
        return -EINVAL;
    long r = stat_of(dirfd, upath, flags & (AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW), &st);
    if (r)
        return r;
    return mode & 1 && (st.st_mode & S_IFMT) == S_IFREG && !(st.st_mode & 0111) ? -EACCES : 0; /* root may all but run what nobody may */
}

long sys_faccessat(int dirfd, u64 path, u32 mode) { return sys_faccessat2(dirfd, path, mode, 0); }
long sys_access(u64 path, u32 mode) { return sys_faccessat2(AT_FDCWD, path, mode, 0); }

/* Applies a change to what is named. */
struct change { u32 mask, mode, uid, gid; u64 atime, mtime; };
enum { SET_MODE = 1, SET_UID = 2, SET_GID = 4, SET_ATIME = 8, SET_MTIME = 16 };

static long stat_change_inode(struct inode *i, const struct change *c)
{
    if (i->dev == DEV_PROC || (c->mask & SET_MODE && inode_kind(i) == S_IFLNK))
        return i->dev == DEV_PROC ? -EPERM : -EOPNOTSUPP;
    if (c->mask & SET_MODE)
        i->mode = (i->mode & S_IFMT) | (c->mode & 07777);
    if (c->mask & SET_UID)
        i->uid = c->uid;
    if (c->mask & SET_GID)
        i->gid = c->gid;
    if (c->mask & SET_ATIME)
        i->atime = c->atime;
    if (c->mask & SET_MTIME)
        i->mtime = c->mtime;
    i->ctime = time_realtime_ns();
    return 0;
}

static long stat_change_fd(int fd, const struct change *c)
{
    struct file *f = file_get(fd);
    if (!f)
        return -EBADF;
    long r = f->inode ? stat_change_inode(f->inode, c) : 0;
    file_put(f);
    return r;
}

static long stat_change(int dirfd, u64 upath, u32 flags, const struct change *c)
{
    struct inode *i;
    struct file *f;
    long r = stat_find(dirfd, upath, flags, &i, &f);
    if (r)
        return r;
    if (f) {
        file_put(f);
        return 0;
    }
    r = stat_change_inode(i, c);
    inode_put(i);
    return r;
}

static struct change change_mode(u32 mode) { return (struct change){ .mask = SET_MODE, .mode = mode }; }
static struct change change_owner(u32 uid, u32 gid)
{
    return (struct change){ .mask = (uid == ~0u ? 0 : SET_UID) | (gid == ~0u ? 0 : SET_GID), .uid = uid, .gid = gid };
}

long sys_fchmodat(int dirfd, u64 path, u32 mode)
{
    struct change c = change_mode(mode);
    return stat_change(dirfd, path, 0, &c);
}

long sys_chmod(u64 path, u32 mode) { return sys_fchmodat(AT_FDCWD, path, mode); }

long sys_fchmod(int fd, u32 mode)
{
    struct change c = change_mode(mode);
    return stat_change_fd(fd, &c);
}

long sys_fchownat(int dirfd, u64 path, u32 uid, u32 gid, u32 flags)
{
    struct change c = change_owner(uid, gid);
    return stat_change(dirfd, path, flags, &c);
}

long sys_chown(u64 path, u32 uid, u32 gid) { return sys_fchownat(AT_FDCWD, path, uid, gid, 0); }
long sys_lchown(u64 path, u32 uid, u32 gid) { return sys_fchownat(AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW); }

long sys_fchown(int fd, u32 uid, u32 gid)
{
    struct change c = change_owner(uid, gid);
    return stat_change_fd(fd, &c);
}

/* One of utimensat's two times. */
static long change_time(struct change *c, const struct timespec *ts, u32 which, u64 *to)
{
    enum { UTIME_NOW = 0x3fffffff, UTIME_OMIT = 0x3ffffffe };
    if (ts->nsec == UTIME_OMIT)
        return 0;
    if (ts->nsec != UTIME_NOW && ((u64)ts->nsec >= NS || ts->sec < 0))
        return -EINVAL;
    c->mask |= which;
    *to = ts->nsec == UTIME_NOW ? time_realtime_ns() : (u64)ts->sec * NS + (u64)ts->nsec;
    return 0;
}

long sys_utimensat(int dirfd, u64 path, u64 utimes, u32 flags)
{
    struct timespec ts[2] = { { 0, 0x3fffffff }, { 0, 0x3fffffff } };
    struct change c = { 0 };
    if (utimes && copy_from_user(ts, utimes, sizeof ts))
        return -EFAULT;
    if (change_time(&c, &ts[0], SET_ATIME, &c.atime) || change_time(&c, &ts[1], SET_MTIME, &c.mtime))
        return -EINVAL;
    return path ? stat_change(dirfd, path, flags, &c) : stat_change_fd(dirfd, &c);
}
