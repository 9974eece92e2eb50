/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pipes, and FIFOs, which are pipes with a name: a ring between files. Writes of up to PIPE_BUF bytes are never mixed with others. */
#include "defs.h"
#include "fs.h"
#include "task.h"

#define PIPE_SIZE 65536u
#define PIPE_BUF 4096u

struct pipe {
    struct rwsem lock;
    u8 *buf;
    u32 head, tail;              /* read and written counts */
    u32 readers, writers, users; /* ends that are open; users: files, and who is about to open */
    u32 reads, writes;           /* ends that were ever opened */
    struct wait_queue wq;
};

static ssize_t pipe_read(struct file *f, u64 buf, u64 n, u64 *pos)
{
    struct pipe *p = f->priv;
    for (;;) {
        down_write(&p->lock);
        u64 done = 0, left = 0;
        while (done < n && p->tail != p->head && !left) {
            u32 at = p->head % PIPE_SIZE, k = (u32)MIN(MIN((u64)(p->tail - p->head), n - done), (u64)(PIPE_SIZE - at));
            left = copy_to_user(buf + done, p->buf + at, k);
            p->head += k - (u32)left;
            done += k - left;
        }
        bool end = !p->writers;
        up_write(&p->lock);
        if (done)
            wake_up_events(&p->wq, 0, POLLOUT);
        if (done || !n || left || end)
            return left && !done ? -EFAULT : (ssize_t)done;
        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        if (wait_event_interruptible(&p->wq, READ_ONCE(p->tail) != READ_ONCE(p->head) || !READ_ONCE(p->writers)))
            return -ERESTARTSYS;
    }
}

static ssize_t pipe_write(struct file *f, u64 buf, u64 n, u64 *pos)
{
    struct pipe *p = f->priv;
    u64 done = 0;
    while (done < n) {
        u32 need = n <= PIPE_BUF ? (u32)n : 1; /* all of a small write at once */
        down_write(&p->lock);
        if (!p->readers) {
            up_write(&p->lock);
            if (!done)
                signal_send_task(current, SIGPIPE, &(struct sig_source){ .code = SI_USER, .pid = current->proc->pid });
            return done ? (ssize_t)done : -EPIPE;
        }
        u64 left = 0, before = done;
        while (done < n && PIPE_SIZE - (p->tail - p->head) >= (done == before ? need : 1) && !left) {
            u32 at = p->tail % PIPE_SIZE, room = PIPE_SIZE - (p->tail - p->head);
            u32 k = (u32)MIN(MIN((u64)room, n - done), (u64)(PIPE_SIZE - at));
            left = copy_from_user(p->buf + at, buf + done, k);
            p->tail += k - (u32)left;
            done += k - left;
        }
        up_write(&p->lock);
        if (done > before)
            wake_up_events(&p->wq, 0, POLLIN);
        if (left)
            return done ? (ssize_t)done : -EFAULT;
        if (done == n)
            break;
        if (f->flags & O_NONBLOCK)
            return done ? (ssize_t)done : -EAGAIN;
        if (wait_event_interruptible(&p->wq, PIPE_SIZE - (READ_ONCE(p->tail) - READ_ONCE(p->head)) >= need || !READ_ONCE(p->readers)))
            return done ? (ssize_t)done : -ERESTARTSYS;
    }
    return (ssize_t)done;
}

static u32 pipe_poll(struct file *f, struct poll_table *pt)
{
    struct pipe *p = f->priv;
    u32 mode = f->flags & O_ACCMODE, events = 0;
    poll_wait(f, &p->wq, pt);
    u32 used = READ_ONCE(p->tail) - READ_ONCE(p->head);
    if (mode != O_WRONLY)
        events |= (used ? POLLIN : 0) | (READ_ONCE(p->writers) ? 0 : POLLHUP);
    if (mode)
        events |= (PIPE_SIZE - used >= PIPE_BUF ? POLLOUT : 0) | (READ_ONCE(p->readers) ? 0 : POLLERR);
    return events;
}

static long pipe_ioctl(struct file *f, u32 cmd, u64 arg)
{
    enum { FIONREAD = 0x541b };
    struct pipe *p = f->priv;
    return cmd == FIONREAD ? put_user32(arg, READ_ONCE(p->tail) - READ_ONCE(p->head)) : -ENOTTY;
}

static struct pipe *pipe_new(void)
{
    struct pipe *p = kzalloc(sizeof *p);
    u8 *buf = kmalloc(PIPE_SIZE);
    if (!p || !buf) {
        kfree(p);
        kfree(buf);
        return NULL;
    }
    p->buf = buf;
    rwsem_init(&p->lock);
    wait_queue_init(&p->wq);
    return p;
}

/* One user less. */
static void pipe_put(struct pipe *p, struct inode *i)
{
    down_write(&i->write_lock); /* somebody may be about to find it */
    bool last = atomic_sub(&p->users, 1) == 0;
    if (last)
        i->pipe = NULL;
    up_write(&i->write_lock);
    if (last) {
        kfree(p->buf);
        kfree(p);
    }
}

static void pipe_release(struct file *f)
{
    struct pipe *p = f->priv;
    u32 mode = f->flags & O_ACCMODE;
    down_write(&p->lock);
    p->writers -= mode != 0;
    p->readers -= mode != O_WRONLY;
    up_write(&p->lock);
    wake_up_events(&p->wq, 0, POLLIN | POLLOUT | POLLHUP);
    pipe_put(p, f->inode);
}

static const struct file_ops pipe_ops = { .read = pipe_read, .write = pipe_write, .poll = pipe_poll, .ioctl = pipe_ioctl, .release = pipe_release };

/* A file on an end, or both; it becomes one of the pipe's users. */
static struct file *pipe_end(struct pipe *p, struct inode *i, u32 flags)
{
    struct file *f = file_new(&pipe_ops, p, flags & (O_ACCMODE | O_NONBLOCK));
    if (!f)
        return NULL;
    u32 mode = flags & O_ACCMODE;
    f->inode = inode_get(i);
    atomic_add(&p->users, 1);
    down_write(&p->lock);
    p->writers += mode != 0;
    p->writes += mode != 0;
    p->readers += mode != O_WRONLY;
    p->reads += mode != O_WRONLY;
    up_write(&p->lock);
    wake_up_all(&p->wq);
    return f;
}

/* The pipe of a FIFO's inode, with a user. */
static struct pipe *pipe_of(struct inode *i)
{
    down_write(&i->write_lock);
    struct pipe *p = i->pipe ? i->pipe : (i->pipe = pipe_new());
    if (p)
        atomic_add(&p->users, 1);
    up_write(&i->write_lock);
    return p;
}

/* Opening one end of a FIFO waits for somebody at the other. */
long pipe_open_fifo(struct inode *i, u32 flags, struct file **out)
{
    if ((flags & O_ACCMODE) == O_ACCMODE)
        return -EINVAL;
    struct pipe *p = pipe_of(i);
    if (!p)
        return -ENOMEM;
    u32 mode = flags & O_ACCMODE, reads = READ_ONCE(p->reads), writes = READ_ONCE(p->writes);
    long r = mode == O_WRONLY && flags & O_NONBLOCK && !READ_ONCE(p->readers) ? -ENXIO : 0;
    struct file *f = r ? NULL : pipe_end(p, i, flags);
    bool waits = i->nlink && !(flags & O_NONBLOCK) && mode != O_RDWR; /* not for a pipe's end that is opened once more */
    if (f && waits &&
        wait_event_interruptible(&p->wq, mode == O_WRONLY ? READ_ONCE(p->readers) || READ_ONCE(p->reads) != reads
                                                          : READ_ONCE(p->writers) || READ_ONCE(p->writes) != writes)) {
        file_put(f);
        f = NULL;
        r = -ERESTARTSYS;
    }
    pipe_put(p, i);
    *out = f;
    return f ? 0 : r ? r : -ENOMEM;
}

/* A pipe is a FIFO without a name. */
long sys_pipe2(u64 ufds, u32 flags)
{
    if (flags & ~(u32)(O_NONBLOCK | O_CLOEXEC))
        return -EINVAL;
    struct inode *i = inode_new(S_IFIFO | 0600);
    struct pipe *p = i ? pipe_of(i) : NULL;
    struct file *r = p ? pipe_end(p, i, flags & O_NONBLOCK) : NULL;
    struct file *w = r ? pipe_end(p, i, (flags & O_NONBLOCK) | O_WRONLY) : NULL;
    if (p)
        pipe_put(p, i);
    if (i)
        inode_put(i);
    if (!w) {
        if (r)
            file_put(r);
        return -ENOMEM;
    }
    s32 fds[2] = { fd_install(r, 0, flags & O_CLOEXEC), fd_install(w, 0, flags & O_CLOEXEC) };
    long err = fds[0] < 0 ? fds[0] : fds[1] < 0 ? fds[1] : copy_to_user(ufds, fds, sizeof fds) ? -EFAULT : 0;
    for (int n = 0; err && n < 2; n++)
        if (fds[n] >= 0)
            fd_close(current->files, fds[n]);
    return err;
}

long sys_pipe(u64 ufds) { return sys_pipe2(ufds, 0); }
