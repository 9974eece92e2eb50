/* SPDX-License-Identifier: GPL-2.0-or-later */
/* eventfd: a counter to wait on. */
#include "defs.h"
#include "fs.h"
#include "task.h"

#define EFD_SEMAPHORE 1
#define EVENTFD_MAX (~0ul - 1)

struct eventfd { struct spinlock lock; u64 count; bool semaphore; struct wait_queue wq; };

static bool eventfd_take(struct eventfd *e, u64 *v)
{
    spin_lock(&e->lock);
    *v = e->semaphore ? e->count != 0 : e->count;
    e->count -= *v;
    spin_unlock(&e->lock);
    return *v != 0;
}

static bool eventfd_add(struct eventfd *e, u64 v)
{
    spin_lock(&e->lock);
    bool ok = v <= EVENTFD_MAX - e->count;
    if (ok)
        e->count += v;
    spin_unlock(&e->lock);
    return ok;
}

static ssize_t eventfd_read(struct file *f, u64 buf, u64 n, u64 *pos)
{
    struct eventfd *e = f->priv;
    u64 v;
    if (n < 8)
        return -EINVAL;
    if (!eventfd_take(e, &v)) {
        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        if (wait_event_interruptible(&e->wq, eventfd_take(e, &v)))
            return -ERESTARTSYS;
    }
    wake_up_events(&e->wq, 1, POLLOUT);
    return put_user64(buf, v) ? -EFAULT : 8;
}

static ssize_t eventfd_write(struct file *f, u64 buf, u64 n, u64 *pos)
{
    struct eventfd *e = f->priv;
    u64 v;
    if (n < 8 || get_user64(&v, buf))
        return n < 8 ? -EINVAL : -EFAULT;
    if (v > EVENTFD_MAX)
        return -EINVAL;
    if (!eventfd_add(e, v)) {
        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        if (wait_event_interruptible(&e->wq, eventfd_add(e, v)))
            return -ERESTARTSYS;
    }
    wake_up_events(&e->wq, 1, POLLIN);
    return 8;
}

static u32 eventfd_poll(struct file *f, struct poll_table *pt)
{
    struct eventfd *e = f->priv;
    poll_wait(f, &e->wq, pt);
    u64 c = READ_ONCE(e->count);
    return (c ? POLLIN : 0) | (c < EVENTFD_MAX ? POLLOUT : 0);
}

static void eventfd_release(struct file *f) { kfree(f->priv); }

static const struct file_ops eventfd_ops = { .read = eventfd_read, .write = eventfd_write, .poll = eventfd_poll,
                                             .release = eventfd_release };

long sys_eventfd2(u32 count, u32 flags)
{
    struct eventfd *e = kzalloc(sizeof *e);
    struct file *f = e ? file_new(&eventfd_ops, e, O_RDWR | (flags & O_NONBLOCK)) : NULL;
    if (!f) {
        kfree(e);
        return -ENOMEM;
    }
    e->count = count;
    e->semaphore = flags & EFD_SEMAPHORE;
    wait_queue_init(&e->wq);
    return fd_install(f, 0, flags & O_CLOEXEC);
}

long sys_eventfd(u32 count) { return sys_eventfd2(count, 0); }
