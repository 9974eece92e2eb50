/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Open files and descriptor tables. */
#include "defs.h"
#include "fs.h"
#include "task.h"

static struct kmem_cache *file_cache;

void file_init(void) { file_cache = kmem_cache_create("file", sizeof(struct file), SLAB_TYPESAFE); }

struct file *file_new(const struct file_ops *ops, void *priv, u32 flags)
{
    struct file *f = kmem_cache_alloc(file_cache);
    if (!f)
        return NULL;
    f->flags = flags;
    f->pos = 0;
    f->ops = ops;
    f->inode = NULL;
    f->priv = priv;
    f->ep_lock = (struct spinlock){ 0, 0 };
    list_init(&f->epitems);
    __atomic_store_n(&f->refs, 1, __ATOMIC_RELEASE);
    return f;
}

static bool file_try_get(struct file *f)
{
    u32 n = READ_ONCE(f->refs);
    while (n)
        if (__atomic_compare_exchange_n(&f->refs, &n, n + 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            return true;
    return false;
}

/* No lock: files keep their memory's type, so a reference taken too late shows when the slot is read again. */
struct file *file_get(int fd)
{
    struct files *fs = current->files;
    if ((u32)fd >= MAX_FDS)
        return NULL;
    for (;;) {
        struct file *f = READ_ONCE(fs->fd[fd]);
        if (!f)
            return NULL;
        if (!file_try_get(f))
            continue;
        if (READ_ONCE(fs->fd[fd]) == f)
            return f;
        file_put(f);
    }
}

void file_put(struct file *f)
{
    if (atomic_sub(&f->refs, 1))
        return;
    if (!list_empty(&f->epitems))
        epoll_release_file(f);
    if (f->ops->release)
        f->ops->release(f);
    if (f->inode)
        inode_put(f->inode);
    kmem_cache_free(file_cache, f);
}

int fd_install(struct file *f, int from, bool cloexec)
{
    struct files *fs = current->files;
    spin_lock(&fs->lock);
    for (u32 fd = MAX((u32)from, from ? 0 : fs->next_fd); fd < MAX_FDS; fd++) {
        if (fs->fd[fd])
            continue;
        WRITE_ONCE(fs->fd[fd], f);
        fs->cloexec[fd / 64] = (fs->cloexec[fd / 64] & ~(1ul << fd % 64)) | (u64)cloexec << fd % 64;
        fs->max_fd = MAX(fs->max_fd, fd + 1);
        if (!from)
            fs->next_fd = fd + 1;
        spin_unlock(&fs->lock);
        return (int)fd;
    }
    spin_unlock(&fs->lock);
    file_put(f);
    return -EMFILE;
}

long fd_close(struct files *fs, int fd)
{
    struct file *f = NULL;
    if ((u32)fd >= MAX_FDS)
        return -EBADF;
    spin_lock(&fs->lock);
    f = fs->fd[fd];
    WRITE_ONCE(fs->fd[fd], NULL);
    fs->next_fd = MIN(fs->next_fd, (u32)fd);
    spin_unlock(&fs->lock);
    if (!f)
        return -EBADF;
    file_put(f);
    return 0;
}

struct files *files_new(void)
{
    struct files *fs = kzalloc(sizeof *fs);
    if (fs)
        fs->refs = 1;
    return fs;
}

struct files *files_copy(struct files *from)
{
    struct files *fs = files_new();
    if (!fs)
        return NULL;
    spin_lock(&from->lock);
    fs->next_fd = from->next_fd;
    fs->max_fd = from->max_fd;
    memcpy(fs->cloexec, from->cloexec, sizeof fs->cloexec);
    for (u32 i = 0; i < from->max_fd; i++)
        if ((fs->fd[i] = from->fd[i]))
            atomic_add(&fs->fd[i]->refs, 1);
    spin_unlock(&from->lock);
    return fs;
}

void files_put(struct files *fs)
{
    if (atomic_sub(&fs->refs, 1))
        return;
    for (u32 i = 0; i < fs->max_fd; i++)
        if (fs->fd[i])
            file_put(fs->fd[i]);
    kfree(fs);
}

void files_close_on_exec(struct files *fs)
{
    for (u32 i = 0; i < fs->max_fd; i++)
        if (fs->cloexec[i / 64] >> i % 64 & 1)
            fd_close(fs, (int)i);
}

static long fd_dup_to(int old, int new, bool cloexec)
{
    struct files *fs = current->files;
    struct file *f = file_get(old);
    if (!f)
        return -EBADF;
    if ((u32)new >= MAX_FDS) {
        file_put(f);
        return -EBADF;
    }
    spin_lock(&fs->lock);
    struct file *prev = fs->fd[new];
    WRITE_ONCE(fs->fd[new], f);
    fs->cloexec[new / 64] = (fs->cloexec[new / 64] & ~(1ul << new % 64)) | (u64)cloexec << new % 64;
    fs->max_fd = MAX(fs->max_fd, (u32)new + 1);
    spin_unlock(&fs->lock);
    if (prev)
        file_put(prev);
    return new;
}

long sys_close(int fd) { return fd_close(current->files, fd); }

long sys_dup(int fd)
{
    struct file *f = file_get(fd);
    return f ? fd_install(f, 0, false) : -EBADF;
}

long sys_dup3(int old, int new, u32 flags)
{
    if (old == new)
        return -EINVAL;
    return fd_dup_to(old, new, flags & O_CLOEXEC);
}

long sys_dup2(int old, int new)
{
    if (old != new)
        return fd_dup_to(old, new, false);
    struct file *f = file_get(old);
    if (!f)
        return -EBADF;
    file_put(f);
    return new;
}

long sys_fcntl(int fd, u32 cmd, u64 arg)
{
    enum { F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC = 1030 };
    struct files *fs = current->files;
    struct file *f = file_get(fd);
    long r = 0;
    if (!f)
        return -EBADF;
    if (cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC)
        return arg < MAX_FDS ? fd_install(f, (int)arg, cmd == F_DUPFD_CLOEXEC) : (file_put(f), -EINVAL);
    if (cmd == F_GETFD) {
        r = fs->cloexec[fd / 64] >> fd % 64 & 1;
    } else if (cmd == F_SETFD) {
        spin_lock(&fs->lock);
        fs->cloexec[fd / 64] = (fs->cloexec[fd / 64] & ~(1ul << fd % 64)) | (arg & 1) << fd % 64;
        spin_unlock(&fs->lock);
    } else if (cmd == F_GETFL) {
        r = f->flags & ~O_CLOEXEC;
    } else if (cmd == F_SETFL) {
        f->flags = (f->flags & ~(u32)(O_APPEND | O_NONBLOCK)) | (arg & (O_APPEND | O_NONBLOCK));
    } else {
        r = -EINVAL;
    }
    file_put(f);
    return r;
}
