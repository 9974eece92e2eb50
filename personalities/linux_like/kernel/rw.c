/* SPDX-License-Identifier: GPL-2.0-or-later */
/* read, write and their relatives: from descriptor to the file's own operation. */
#include "defs.h"
#include "fs.h"
#include "task.h"

#define MAX_IOV 1024

enum { RW_READ, RW_WRITE };

static ssize_t rw_one(struct file *f, int dir, u64 buf, u64 n, u64 *pos)
{
    u32 mode = f->flags & O_ACCMODE;
    if (dir == RW_READ ? mode == O_WRONLY : mode == 0 && f->inode)
        return -EBADF;
    if (dir == RW_READ)
        return f->ops->read ? f->ops->read(f, buf, n, pos) : -EINVAL;
    return f->ops->write ? f->ops->write(f, buf, n, pos) : -EINVAL;
}

/* Pipes, sockets and terminals have no place that one could go to. */
static bool rw_seekable(const struct file *f)
{
    return f->inode && inode_kind(f->inode) != S_IFIFO && inode_kind(f->inode) != S_IFCHR;
}

static long rw_fd(int fd, int dir, u64 buf, u64 n, u64 *pos)
{
    struct file *f = file_get(fd);
    if (!f)
        return -EBADF;
    long r = pos && !rw_seekable(f) ? -ESPIPE : rw_one(f, dir, buf, n, pos ? pos : &f->pos);
    file_put(f);
    return r;
}

long sys_read(int fd, u64 buf, u64 n) { return rw_fd(fd, RW_READ, buf, n, NULL); }
long sys_write(int fd, u64 buf, u64 n) { return rw_fd(fd, RW_WRITE, buf, n, NULL); }
long sys_pread64(int fd, u64 buf, u64 n, u64 pos) { return (s64)pos < 0 ? -EINVAL : rw_fd(fd, RW_READ, buf, n, &pos); }
long sys_pwrite64(int fd, u64 buf, u64 n, u64 pos) { return (s64)pos < 0 ? -EINVAL : rw_fd(fd, RW_WRITE, buf, n, &pos); }

static long rw_vector(int fd, int dir, u64 uiov, u32 n)
{
    struct file *f = file_get(fd);
    if (!f)
        return -EBADF;
    long total = 0;
    for (u32 i = 0; i < n; i++) {
        struct iovec v;
        long r = n > MAX_IOV ? -EINVAL : copy_from_user(&v, uiov + i * sizeof v, sizeof v) ? -EFAULT
               : v.len ? rw_one(f, dir, v.base, v.len, &f->pos) : 0;
        if (r < 0 || (total += r, (u64)r < v.len)) {
            total = r < 0 && !total ? r : total;
            break;
        }
    }
    file_put(f);
    return total;
}

long sys_readv(int fd, u64 iov, u32 n) { return rw_vector(fd, RW_READ, iov, n); }
long sys_writev(int fd, u64 iov, u32 n) { return rw_vector(fd, RW_WRITE, iov, n); }

long sys_lseek(int fd, s64 off, u32 whence)
{
    struct file *f = file_get(fd);
    if (!f)
        return -EBADF;
    long r = -ESPIPE;
    if (rw_seekable(f)) {
        s64 base = whence == 0 ? 0 : whence == 1 ? (s64)f->pos : (s64)f->inode->size;
        r = whence > 2 || (off > 0 && base > INT64_MAX - off) || base + off < 0 ? -EINVAL : (long)(f->pos = (u64)(base + off));
    }
    file_put(f);
    return r;
}

long sys_ioctl(int fd, u32 cmd, u64 arg)
{
    enum { FIONBIO = 0x5421 };
    struct file *f = file_get(fd);
    if (!f)
        return -EBADF;
    long r = -ENOTTY;
    u32 on;
    if (cmd == FIONBIO) {
        r = get_user32(&on, arg);
        if (!r)
            f->flags = on ? f->flags | O_NONBLOCK : f->flags & ~(u32)O_NONBLOCK;
    } else if (f->ops->ioctl) {
        r = f->ops->ioctl(f, cmd, arg);
    }
    file_put(f);
    return r;
}

long sys_ftruncate(int fd, s64 size)
{
    struct file *f = file_get(fd);
    if (!f)
        return -EBADF;
    long r = size < 0 || !f->inode || !(f->flags & O_ACCMODE) ? -EINVAL : inode_truncate(f->inode, (u64)size);
    file_put(f);
    return r;
}

long sys_truncate(u64 upath, s64 size)
{
    char path[PATH_MAX];
    struct inode *base, *i;
    long r = open_path(path, upath, AT_FDCWD, &base);
    if (r)
        return r;
    r = size < 0 ? -EINVAL : path_open(base, path, true, &i);
    inode_put(base);
    if (r)
        return r;
    r = inode_truncate(i, (u64)size);
    inode_put(i);
    return r;
}

long sys_fallocate(int fd, u32 mode, s64 off, s64 len)
{
    struct file *f = file_get(fd);
    if (!f)
        return -EBADF;
    long r = mode ? -EOPNOTSUPP : off < 0 || len <= 0 || len > INT64_MAX - off ? -EINVAL : !f->inode || inode_kind(f->inode) != S_IFREG ? -ENODEV : 0;
    if (!r && (u64)(off + len) > f->inode->size)
        r = inode_truncate(f->inode, (u64)(off + len)); /* room is made as it is written */
    file_put(f);
    return r;
}

/* Files are in memory: nothing is ever behind. */
long sys_fsync(int fd)
{
    struct file *f = file_get(fd);
    if (!f)
        return -EBADF;
    long r = f->inode ? 0 : -EINVAL;
    file_put(f);
    return r;
}
