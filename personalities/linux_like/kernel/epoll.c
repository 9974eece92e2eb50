/* SPDX-License-Identifier: GPL-2.0-or-later */
/* epoll: files put themselves on a ready list when they wake their waiters. Level, edge, one-shot, exclusive. */
#include "defs.h"
#include "fs.h"
#include "task.h"

enum { EPOLL_CTL_ADD = 1, EPOLL_CTL_DEL = 2, EPOLL_CTL_MOD = 3 };
#define EP_FLAGS (EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE | 1u << 29)

struct eventpoll {
    struct rwsem mutex;          /* the items, and harvesting */
    struct spinlock lock;        /* the ready list; taken in softirq */
    struct list items, ready;
    struct wait_queue wq;        /* epoll_wait callers, and epolls watching this one */
};

struct epitem {
    struct eventpoll *ep;
    struct file *file;           /* no reference: its release takes the item away */
    int fd;
    struct epoll_event ev;
    struct list in_ep, in_file, in_ready;
    struct wait_entry wait;
    struct wait_queue *wq;       /* where wait stands */
};

/* Serialises a file's release with the removal of the items that watch it, and of whole epolls. */
static struct rwsem epoll_mutex = { 0, 0, WAIT_QUEUE_INIT(epoll_mutex.wq) };

static bool epoll_callback(struct wait_entry *e, u32 events)
{
    struct epitem *it = container_of(e, struct epitem, wait);
    struct eventpoll *ep = it->ep;
    if (events && !(events & (it->ev.events | POLLERR | POLLHUP)))
        return false;
    u64 f = spin_lock_irqsave(&ep->lock);
    if (list_empty(&it->in_ready))
        list_add_tail(&it->in_ready, &ep->ready);
    spin_unlock_irqrestore(&ep->lock, f);
    if (wait_active(&ep->wq))
        wake_up_events(&ep->wq, 1, POLLIN);
    return true;
}

struct epoll_queue { struct poll_table pt; struct epitem *it; };

static void epoll_queue_item(struct poll_table *pt, struct file *f, struct wait_queue *q)
{
    struct epitem *it = container_of(pt, struct epoll_queue, pt)->it;
    if (it->wq)
        return; /* every file here has one queue */
    it->wq = q;
    wait_entry_init(&it->wait);
    it->wait.wake = epoll_callback;
    if (it->ev.events & EPOLLEXCLUSIVE)
        wait_add_exclusive(q, &it->wait);
    else
        wait_add(q, &it->wait);
}

static void epoll_mark_ready(struct epitem *it)
{
    struct eventpoll *ep = it->ep;
    u64 f = spin_lock_irqsave(&ep->lock);
    if (list_empty(&it->in_ready))
        list_add_tail(&it->in_ready, &ep->ready);
    spin_unlock_irqrestore(&ep->lock, f);
    wake_up_events(&ep->wq, 1, POLLIN);
}

/* ep->mutex held. */
static void epoll_remove_item(struct epitem *it)
{
    struct eventpoll *ep = it->ep;
    if (it->wq)
        wait_remove(it->wq, &it->wait);
    spin_lock(&it->file->ep_lock);
    list_del(&it->in_file);
    spin_unlock(&it->file->ep_lock);
    u64 f = spin_lock_irqsave(&ep->lock);
    list_del_init(&it->in_ready);
    spin_unlock_irqrestore(&ep->lock, f);
    list_del(&it->in_ep);
    kfree(it);
}

void epoll_release_file(struct file *f)
{
    down_write(&epoll_mutex);
    while (!list_empty(&f->epitems)) {
        struct epitem *it = list_first(&f->epitems, struct epitem, in_file);
        struct eventpoll *ep = it->ep;
        down_write(&ep->mutex);
        epoll_remove_item(it);
        up_write(&ep->mutex);
    }
    up_write(&epoll_mutex);
}

static void epoll_release(struct file *f)
{
    struct eventpoll *ep = f->priv;
    struct epitem *it, *tmp;
    down_write(&epoll_mutex);
    list_for_each_safe(it, tmp, &ep->items, in_ep)
        epoll_remove_item(it);
    up_write(&epoll_mutex);
    kfree(ep);
}

static u32 epoll_poll(struct file *f, struct poll_table *pt)
{
    struct eventpoll *ep = f->priv;
    poll_wait(f, &ep->wq, pt);
    return list_empty(&ep->ready) ? 0 : POLLIN;
}

static const struct file_ops epoll_ops = { .poll = epoll_poll, .release = epoll_release };

long sys_epoll_create1(u32 flags)
{
    struct eventpoll *ep = kzalloc(sizeof *ep);
    struct file *f = ep ? file_new(&epoll_ops, ep, O_RDWR) : NULL;
    if (!f) {
        kfree(ep);
        return -ENOMEM;
    }
    rwsem_init(&ep->mutex);
    list_init(&ep->items);
    list_init(&ep->ready);
    wait_queue_init(&ep->wq);
    return fd_install(f, 0, flags & O_CLOEXEC);
}

long sys_epoll_create(int size) { return size > 0 ? sys_epoll_create1(0) : -EINVAL; }

static struct epitem *epoll_find(struct eventpoll *ep, struct file *f, int fd)
{
    struct epitem *it;
    list_for_each(it, &ep->items, in_ep)
        if (it->file == f && it->fd == fd)
            return it;
    return NULL;
}

static long epoll_add(struct eventpoll *ep, struct file *f, int fd, const struct epoll_event *ev)
{
    struct epitem *it = kzalloc(sizeof *it);
    if (!it)
        return -ENOMEM;
    *it = (struct epitem){ .ep = ep, .file = f, .fd = fd, .ev = *ev };
    list_init(&it->in_ready);
    list_add_tail(&it->in_ep, &ep->items);
    spin_lock(&f->ep_lock);
    list_add_tail(&it->in_file, &f->epitems);
    spin_unlock(&f->ep_lock);
    struct epoll_queue q = { { epoll_queue_item }, it };
    if (f->ops->poll(f, &q.pt) & (ev->events | POLLERR | POLLHUP))
        epoll_mark_ready(it);
    return 0;
}

long sys_epoll_ctl(int epfd, u32 op, int fd, u64 uev)
{
    struct epoll_event ev = { 0 };
    struct file *epf = file_get(epfd), *f = file_get(fd);
    long r = -EBADF;
    if (!epf || !f)
        goto out;
    r = -EINVAL;
    if (epf->ops != &epoll_ops || epf == f)
        goto out;
    r = -EPERM;
    if (!f->ops->poll || f->ops == &tmpfs_ops)
        goto out;
    r = -EFAULT;
    if (op != EPOLL_CTL_DEL && copy_from_user(&ev, uev, sizeof ev))
        goto out;
    struct eventpoll *ep = epf->priv;
    down_write(&ep->mutex);
    struct epitem *it = epoll_find(ep, f, fd);
    if (op == EPOLL_CTL_ADD) {
        r = it ? -EEXIST : epoll_add(ep, f, fd, &ev);
    } else if (!it) {
        r = -ENOENT;
    } else if (op == EPOLL_CTL_DEL) {
        epoll_remove_item(it);
        r = 0;
    } else if (op == EPOLL_CTL_MOD) {
        it->ev = ev;
        if (f->ops->poll(f, NULL) & (ev.events | POLLERR | POLLHUP))
            epoll_mark_ready(it);
        r = 0;
    } else {
        r = -EINVAL;
    }
    up_write(&ep->mutex);
out:
    if (epf)
        file_put(epf);
    if (f)
        file_put(f);
    return r;
}

/* Asks each file on the ready list; level-triggered ones stay on it. */
static long epoll_harvest(struct eventpoll *ep, u64 uev, int max)
{
    struct list batch = LIST_INIT(batch);
    long n = 0;
    down_write(&ep->mutex);
    u64 f = spin_lock_irqsave(&ep->lock);
    list_splice_tail(&ep->ready, &batch);
    while (!list_empty(&batch) && n < max) {
        struct epitem *it = list_first(&batch, struct epitem, in_ready);
        list_del_init(&it->in_ready);
        spin_unlock_irqrestore(&ep->lock, f);
        u32 events = it->file->ops->poll(it->file, NULL) & ((it->ev.events & ~EP_FLAGS) | POLLERR | POLLHUP);
        bool armed = it->ev.events & ~EP_FLAGS;
        struct epoll_event out = { events, it->ev.data };
        bool fault = events && armed && copy_to_user(uev + (u64)n * sizeof out, &out, sizeof out);
        f = spin_lock_irqsave(&ep->lock);
        if (fault) {
            if (list_empty(&it->in_ready))
                list_add_tail(&it->in_ready, &ep->ready);
            n = n ? n : -EFAULT;
            break;
        }
        if (!events || !armed)
            continue;
        n++;
        if (it->ev.events & EPOLLONESHOT)
            it->ev.events &= EP_FLAGS;
        else if (!(it->ev.events & EPOLLET) && list_empty(&it->in_ready))
            list_add_tail(&it->in_ready, &ep->ready);
    }
    list_splice_tail(&ep->ready, &batch); /* the rest first, in order */
    list_splice_tail(&batch, &ep->ready);
    spin_unlock_irqrestore(&ep->lock, f);
    up_write(&ep->mutex);
    return n;
}

/* until: time_ns(), 0 for ever, 1 not at all. */
static long epoll_sleep(struct eventpoll *ep, u64 uev, int max, u64 until)
{
    struct wait_entry e;
    for (;;) {
        long r = list_empty(&ep->ready) ? 0 : epoll_harvest(ep, uev, max);
        if (r || until == 1)
            return r;
        wait_entry_init(&e);
        wait_prepare_exclusive(&ep->wq, &e, TASK_INTERRUPTIBLE);
        bool in_time = true;
        if (list_empty(&ep->ready) && !signal_pending(current))
            in_time = timer_schedule_until(until);
        wait_finish(&ep->wq, &e);
        if (!list_empty(&ep->ready))
            continue;
        if (signal_pending(current))
            return -EINTR;
        if (!in_time)
            return 0;
    }
}

/* At its entry the calling thread is done with the requests it had. */
probed long sys_epoll_wait(int epfd, u64 uev, int max, int timeout)
{
    struct file *f = file_get(epfd);
    if (!f)
        return -EBADF;
    long r = -EINVAL;
    u64 until = timeout < 0 ? 0 : timeout == 0 ? 1 : time_ns() + (u64)timeout * 1000000ul;
    if (f->ops == &epoll_ops && max > 0)
        r = epoll_sleep(f->priv, uev, max, until);
    file_put(f);
    return r;
}

long sys_epoll_pwait(int epfd, u64 uev, int max, int timeout, u64 umask, u64 size)
{
    struct task *t = current;
    u64 mask;
    if (!umask)
        return sys_epoll_wait(epfd, uev, max, timeout);
    if (get_user64(&mask, umask))
        return -EFAULT;
    t->saved_sigmask = t->sigmask;
    t->sigmask = mask & ~(1ul << (SIGKILL - 1) | 1ul << (SIGSTOP - 1));
    signal_recalc(t);
    long r = sys_epoll_wait(epfd, uev, max, timeout);
    if (r == -EINTR) {
        t->restore_sigmask = true;
    } else {
        t->sigmask = t->saved_sigmask;
        signal_recalc(t);
    }
    return r;
}
