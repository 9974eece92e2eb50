/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls about scheduling. One policy: SCHED_OTHER, no priorities. */
#include "defs.h"
#include "task.h"

long sys_sched_yield(void)
{
    sched_yield_current();
    return 0;
}

static struct task *sched_target(s32 pid)
{
    if (pid)
        return task_find(pid);
    atomic_add(&current->refs, 1);
    return current;
}

long sys_sched_setaffinity(s32 pid, u32 len, u64 umask)
{
    u64 mask = 0;
    if (copy_from_user(&mask, umask, MIN(len, 8u)))
        return -EFAULT;
    struct task *t = sched_target(pid);
    if (!t)
        return -ESRCH;
    long r = sched_set_affinity(t, mask);
    task_put(t);
    return r;
}

long sys_sched_getaffinity(s32 pid, u32 len, u64 umask)
{
    if (len < 8 || len & 7)
        return -EINVAL;
    struct task *t = sched_target(pid);
    if (!t)
        return -ESRCH;
    u64 mask = t->cpus_allowed & ((1ul << ncpus) - 1);
    task_put(t);
    return put_user64(umask, mask) ? -EFAULT : 8;
}

long sys_sched_getscheduler(s32 pid) { return 0; }
long sys_sched_setscheduler(s32 pid, u32 policy, u64 param) { return policy == 0 ? 0 : -EPERM; }
long sys_sched_getparam(s32 pid, u64 param) { return put_user32(param, 0); }
long sys_sched_get_priority(u32 policy) { return policy == 0 || policy == 3 || policy == 5 ? 0 : policy == 1 || policy == 2 ? 1 : -EINVAL; }

long sys_getcpu(u64 ucpu, u64 unode, u64 cache)
{
    if (ucpu && put_user32(ucpu, cpu_id()))
        return -EFAULT;
    return unode && put_user32(unode, 0) ? -EFAULT : 0;
}
