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

static long rw_fd(int fd, int dir, u64 buf, u64 n, u64 *pos)
{
    struct file *f = file_get(fd);
    if (!f)
        return -EBADF;
    long r = pos && !f->inode ? -ESPIPE : rw_one(f, dir, buf, n, pos ? pos : &f->pos);
    file_put(f);
    return r;
}

long sys_read(int fd, u64 buf, u64 n) { return rw_fd(fd, RW_READ, buf, n, NULL); }
long sys_write(int fd, u64 buf, u64 n) { return rw_fd(fd, RW_WRITE, buf, n, NULL); }
long sys_pread64(int fd, u64 buf, u64 n, u64 pos) { return rw_fd(fd, RW_READ, buf, n, &pos); }
long sys_pwrite64(int fd, u64 buf, u64 n, u64 pos) { return rw_fd(fd, RW_WRITE, buf, n, &pos); }

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
    if (f->inode && (f->inode->mode & S_IFMT) != S_IFCHR) {
        s64 base = whence == 0 ? 0 : whence == 1 ? (s64)f->pos : (s64)f->inode->size;
        r = whence > 2 || base + off < 0 ? -EINVAL : (long)(f->pos = (u64)(base + off));
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

long sys_ftruncate(int fd, u64 size)
{
    struct file *f = file_get(fd);
    if (!f)
        return -EBADF;
    long r = -EINVAL;
    if (f->inode && (f->inode->mode & S_IFMT) == S_IFREG && size <= f->inode->size) {
        f->inode->size = size;
        r = 0;
    }
    file_put(f);
    return r;
}
