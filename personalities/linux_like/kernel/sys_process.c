/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Calls about the calling process and the machine: identities, limits, thread registers. */
#include "defs.h"
#include "fs.h"
#include "task.h"

enum { ARCH_SET_GS = 0x1001, ARCH_SET_FS, ARCH_GET_FS, ARCH_GET_GS };
enum { RLIMIT_STACK = 3, RLIMIT_CORE = 4, RLIMIT_NOFILE = 7 };

long sys_getpid(void) { return current->proc->pid; }
long sys_gettid(void) { return current->tid; }
long sys_getppid(void) { return current->proc->parent ? current->proc->parent->pid : 0; }
long sys_root_id(void) { return 0; }
long sys_success(void) { return 0; }

long sys_umask(u32 mask)
{
    u32 old = current->proc->umask;
    current->proc->umask = mask & 0777;
    return old;
}

long sys_arch_prctl(u32 op, u64 addr)
{
    struct task *t = current;
    switch (op) {
    case ARCH_SET_FS:
        if (addr >= USER_TOP)
            return -EPERM;
        t->fsbase = addr;
        wrmsr(MSR_FS_BASE, addr);
        return 0;
    case ARCH_SET_GS:
        if (addr >= USER_TOP)
            return -EPERM;
        t->gsbase = addr;
        wrmsr(MSR_KERNEL_GS_BASE, addr);
        return 0;
    case ARCH_GET_FS: return put_user64(addr, t->fsbase);
    case ARCH_GET_GS: return put_user64(addr, t->gsbase);
    default: return -EINVAL;
    }
}

long sys_set_tid_address(u64 addr)
{
    current->clear_child_tid = addr;
    return current->tid;
}

long sys_set_robust_list(u64 head, u64 len)
{
    if (len != 24)
        return -EINVAL;
    current->robust_list = head;
    return 0;
}

long sys_prlimit64(s32 pid, u32 res, u64 new, u64 old)
{
    u64 lim[2] = { ~0ul, ~0ul };
    if (res > 15)
        return -EINVAL;
    if (res == RLIMIT_STACK)
        lim[0] = USER_STACK_SIZE;
    if (res == RLIMIT_NOFILE)
        lim[0] = lim[1] = MAX_FDS;
    if (res == RLIMIT_CORE)
        lim[0] = 0;
    return old && copy_to_user(old, lim, sizeof lim) ? -EFAULT : 0; /* limits cannot be changed: asking is harmless */
}

long sys_getrlimit(u32 res, u64 old) { return sys_prlimit64(0, res, 0, old); }

long sys_uname(u64 buf)
{
    static const char fields[6][65] = { "Linux", "cyclescope", "6.1.0", "#1 SMP linux_like", "x86_64", "(none)" };
    return copy_to_user(buf, fields, sizeof fields) ? -EFAULT : 0;
}

static u32 thread_count(void)
{
    const struct list *at;
    u32 n = 0;
    u64 f = spin_lock_irqsave(&tasklist_lock);
    for (at = all_tasks.next; at != &all_tasks; at = at->next)
        n++;
    spin_unlock_irqrestore(&tasklist_lock, f);
    return n;
}

long sys_sysinfo(u64 buf)
{
    struct { s64 uptime; u64 loads[3], totalram, freeram, shared, buffer, totalswap, freeswap; u16 procs, pad; u32 pad2;
             u64 totalhigh, freehigh; u32 unit; u32 pad3; } s = { .uptime = (s64)(time_ns() / 1000000000ul),
        .loads = { load_average(0), load_average(1), load_average(2) }, .shared = tmpfs_pages() << PAGE_SHIFT,
        .totalram = page_count_total() << PAGE_SHIFT, .freeram = page_count_free() << PAGE_SHIFT,
        .procs = (u16)MIN(thread_count(), 65535u), .unit = 1 };
    _Static_assert(sizeof s == 112, "ABI");
    return copy_to_user(buf, &s, sizeof s) ? -EFAULT : 0;
}

long sys_prctl(u32 op, u64 a)
{
    enum { PR_SET_PDEATHSIG = 1, PR_GET_PDEATHSIG = 2, PR_GET_DUMPABLE = 3, PR_SET_DUMPABLE = 4, PR_SET_NAME = 15, PR_GET_NAME = 16, PR_SET_NO_NEW_PRIVS = 38 };
    struct task *t = current;
    char name[sizeof t->comm] = { 0 };
    switch (op) {
    case PR_SET_PDEATHSIG:
        if (a > NSIG)
            return -EINVAL;
        t->proc->pdeath_signal = (s32)a;
        return 0;
    case PR_GET_PDEATHSIG: return put_user32(a, (u32)t->proc->pdeath_signal);
    case PR_GET_DUMPABLE: return 1;
    case PR_SET_DUMPABLE: case PR_SET_NO_NEW_PRIVS: return a <= 1 ? 0 : -EINVAL;
    case PR_SET_NAME:
        if (copy_string_from_user(name, a, sizeof name - 1) == -EFAULT)
            return -EFAULT;
        memcpy(t->comm, name, sizeof name);
        return 0;
    case PR_GET_NAME: return copy_to_user(a, t->comm, sizeof t->comm) ? -EFAULT : 0;
    default: return -EINVAL;
    }
}

long sys_madvise(u64 addr, u64 len, u32 advice)
{
    enum { MADV_DONTNEED = 4 };
    struct mm *mm = current->mm;
    len = ALIGN_UP(len, PAGE_SIZE);
    if (addr & ~PAGE_MASK || addr > USER_TOP || len > USER_TOP - addr)
        return -EINVAL;
    if (advice != MADV_DONTNEED)
        return 0; /* hints */
    extern void mm_unmap_pages(struct mm *, u64, u64);
    down_write(&mm->lock);
    mm_unmap_pages(mm, addr, addr + len);
    up_write(&mm->lock);
    return 0;
}
