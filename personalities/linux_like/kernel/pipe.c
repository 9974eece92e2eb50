/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pipes: a ring of one page between two files. */
#include "defs.h"
#include "fs.h"
#include "task.h"

#define PIPE_SIZE 4096u

struct pipe {
    struct rwsem lock;
    u8 *buf;
    u32 head, tail;      /* read and written counts */
    u32 readers, writers;
    struct wait_queue wq;
};

static ssize_t pipe_read(struct file *f, u64 buf, u64 n, u64 *pos)
{
    struct pipe *p = f->priv;
    for (;;) {
        down_write(&p->lock);
        u32 have = p->tail - p->head;
        if (have || !n) {
            u32 k = (u32)MIN(MIN((u64)have, n), (u64)(PIPE_SIZE - p->head % PIPE_SIZE));
            u64 left = copy_to_user(buf, p->buf + p->head % PIPE_SIZE, k);
            p->head += k - (u32)left;
            up_write(&p->lock);
            wake_up_events(&p->wq, 0, POLLOUT);
            return left == k && k ? -EFAULT : (ssize_t)(k - left);
        }
        bool end = !p->writers;
        up_write(&p->lock);
        if (end)
            return 0;
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
        down_write(&p->lock);
        if (!p->readers) {
            up_write(&p->lock);
            signal_send_task(current, SIGPIPE);
            return done ? (ssize_t)done : -EPIPE;
        }
        u32 room = PIPE_SIZE - (p->tail - p->head);
        if (room) {
            u32 k = (u32)MIN(MIN((u64)room, n - done), (u64)(PIPE_SIZE - p->tail % PIPE_SIZE));
            u64 left = copy_from_user(p->buf + p->tail % PIPE_SIZE, buf + done, k);
            p->tail += k - (u32)left;
            up_write(&p->lock);
            wake_up_events(&p->wq, 0, POLLIN);
            done += k - left;
            if (left)
                return done ? (ssize_t)done : -EFAULT;
            continue;
        }
        up_write(&p->lock);
        if (f->flags & O_NONBLOCK)
            return done ? (ssize_t)done : -EAGAIN;
        if (wait_event_interruptible(&p->wq, READ_ONCE(p->tail) - READ_ONCE(p->head) < PIPE_SIZE || !READ_ONCE(p->readers)))
            return done ? (ssize_t)done : -ERESTARTSYS;
    }
    return (ssize_t)done;
}

static u32 pipe_poll(struct file *f, struct poll_table *pt)
{
    struct pipe *p = f->priv;
    poll_wait(f, &p->wq, pt);
    u32 used = p->tail - p->head;
    if (f->flags & O_WRONLY)
        return (used < PIPE_SIZE ? POLLOUT : 0) | (p->readers ? 0 : POLLERR);
    return (used ? POLLIN : 0) | (p->writers ? 0 : POLLHUP);
}

static void pipe_release(struct file *f)
{
    struct pipe *p = f->priv;
    down_write(&p->lock);
    if (f->flags & O_WRONLY)
        p->writers--;
    else
        p->readers--;
    bool last = !p->readers && !p->writers;
    up_write(&p->lock);
    if (last) {
        kfree(p->buf);
        kfree(p);
    } else {
        wake_up_events(&p->wq, 0, POLLIN | POLLOUT | POLLHUP);
    }
}

static const struct file_ops pipe_ops = { .read = pipe_read, .write = pipe_write, .poll = pipe_poll, .release = pipe_release };

long sys_pipe2(u64 ufds, u32 flags)
{
    struct pipe *p = kzalloc(sizeof *p);
    u8 *buf = kmalloc(PIPE_SIZE);
    struct file *r = p && buf ? file_new(&pipe_ops, p, flags & O_NONBLOCK) : NULL;
    struct file *w = r ? file_new(&pipe_ops, p, (flags & O_NONBLOCK) | O_WRONLY) : NULL;
    if (!w) {
        kfree(p);
        kfree(buf);
        return -ENOMEM;
    }
    p->buf = buf;
    p->readers = p->writers = 1;
    rwsem_init(&p->lock);
    wait_queue_init(&p->wq);
    s32 fds[2] = { fd_install(r, 0, flags & O_CLOEXEC), fd_install(w, 0, flags & O_CLOEXEC) };
    long err = fds[0] < 0 ? fds[0] : fds[1] < 0 ? fds[1] : copy_to_user(ufds, fds, sizeof fds) ? -EFAULT : 0;
    for (int i = 0; err && i < 2; i++)
        if (fds[i] >= 0)
            fd_close(current->files, fds[i]);
    return err;
}

long sys_pipe(u64 ufds) { return sys_pipe2(ufds, 0); }
