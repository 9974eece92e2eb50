/* SPDX-License-Identifier: GPL-2.0-or-later */
/* poll, ppoll: one wait entry a file. */
#include "defs.h"
#include "fs.h"
#include "task.h"

#define POLL_MAX 1024

struct poll_slot { struct wait_entry wait; struct wait_queue *q; struct file *file; };
struct poll_set { struct poll_table pt; struct poll_slot *slots; u32 used; };

static bool poll_wake(struct wait_entry *e, u32 events) { return wake_task(e->task); }

static void poll_queue(struct poll_table *pt, struct file *f, struct wait_queue *q)
{
    struct poll_set *set = container_of(pt, struct poll_set, pt);
    struct poll_slot *s = &set->slots[set->used++];
    wait_entry_init(&s->wait);
    s->wait.wake = poll_wake;
    s->q = q;
    s->file = f;
    atomic_add(&f->refs, 1);
    wait_add(q, &s->wait);
}

static u32 poll_check(struct pollfd *fds, u32 n, struct poll_table *pt)
{
    u32 ready = 0;
    for (u32 i = 0; i < n; i++) {
        fds[i].revents = 0;
        if (fds[i].fd < 0)
            continue;
        struct file *f = file_get(fds[i].fd);
        u32 got = POLLNVAL;
        if (f) {
            got = f->ops->poll ? f->ops->poll(f, pt) : POLLIN | POLLOUT;
            file_put(f);
        }
        fds[i].revents = (u16)(got & (fds[i].events | POLLERR | POLLHUP | POLLNVAL));
        ready += fds[i].revents != 0;
    }
    return ready;
}

/* until: time_ns(), 0 for ever, 1 not at all. */
static long poll_run(u64 ufds, u32 n, u64 until)
{
    if (n > POLL_MAX)
        return -EINVAL;
    struct pollfd *fds = kmalloc(n * sizeof *fds + 1);
    struct poll_set set = { { poll_queue }, kmalloc(n * sizeof(struct poll_slot) + 1), 0 };
    long r = -ENOMEM;
    if (!fds || !set.slots)
        goto out;
    r = -EFAULT;
    if (copy_from_user(fds, ufds, n * sizeof *fds))
        goto out;
    r = poll_check(fds, n, until == 1 ? NULL : &set.pt);
    while (!r && until != 1) {
        atomic_xchg(&current->state, TASK_INTERRUPTIBLE);
        r = poll_check(fds, n, NULL);
        if (r || signal_pending(current)) {
            current->state = TASK_RUNNING;
            r = r ? r : until ? -EINTR : -ERESTARTNOHAND;
            break;
        }
        if (!timer_schedule_until(until)) {
            r = poll_check(fds, n, NULL);
            break;
        }
    }
    for (u32 i = 0; i < set.used; i++) {
        wait_remove(set.slots[i].q, &set.slots[i].wait);
        file_put(set.slots[i].file);
    }
    if (r >= 0 && copy_to_user(ufds, fds, n * sizeof *fds))
        r = -EFAULT;
out:
    kfree(fds);
    kfree(set.slots);
    return r;
}

long sys_poll(u64 fds, u32 n, int timeout)
{
    return poll_run(fds, n, timeout < 0 ? 0 : timeout == 0 ? 1 : time_ns() + (u64)timeout * 1000000ul);
}

long sys_ppoll(u64 fds, u32 n, u64 uts, u64 sigmask, u64 size)
{
    struct timespec ts;
    if (!uts)
        return poll_run(fds, n, 0);
    if (copy_from_user(&ts, uts, sizeof ts))
        return -EFAULT;
    u64 ns = (u64)ts.sec * 1000000000ul + (u64)ts.nsec;
    return poll_run(fds, n, ns ? time_ns() + ns : 1);
}
