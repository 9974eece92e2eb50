/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SYSCALL: the way in, the table by Linux's numbers, and the way back to ring 3. */
#include "defs.h"
#include "task.h"

typedef long (*syscall_fn)(u64, u64, u64, u64, u64, u64);

extern void syscall_entry(void);

void syscall_init_cpu(void)
{
    wrmsr(MSR_STAR, 0x23ul << 48 | (u64)KERNEL_CS << 32);
    extern void ring0_syscall_entry(void);
    wrmsr(MSR_LSTAR, (u64)(knobs.ring0 ? ring0_syscall_entry : syscall_entry));
    wrmsr(MSR_FMASK, FLAGS_IF | FLAGS_DF | FLAGS_TF | FLAGS_NT | FLAGS_AC);
}

long sys_exit(u32 code)
{
    if (current->proc->nr_threads == 1)
        exit_group((s32)(code & 0xff) << 8);
    exit_thread();
}

long sys_exit_group(u32 code) { exit_group((s32)(code & 0xff) << 8); }

/* arg0 = the number of a call that is not there; manifest.toml counts it. */
probed static long sys_ni_syscall(u64 nr) { return -ENOSYS; }

#define CALLS(X) \
    X(0, sys_read) X(1, sys_write) X(2, sys_open) X(3, sys_close) X(4, sys_stat) X(5, sys_fstat) X(6, sys_lstat) \
    X(7, sys_poll) X(8, sys_lseek) X(9, sys_mmap) X(10, sys_mprotect) X(11, sys_munmap) X(12, sys_brk) \
    X(13, sys_rt_sigaction) X(14, sys_rt_sigprocmask) X(16, sys_ioctl) X(17, sys_pread64) X(18, sys_pwrite64) \
    X(19, sys_readv) X(20, sys_writev) X(21, sys_access) X(22, sys_pipe) X(24, sys_sched_yield) X(28, sys_madvise) \
    X(32, sys_dup) X(33, sys_dup2) X(34, sys_pause) X(35, sys_nanosleep) X(36, sys_getitimer) X(37, sys_alarm) \
    X(38, sys_setitimer) X(39, sys_getpid) X(41, sys_socket) X(42, sys_connect) X(44, sys_sendto) \
    X(45, sys_recvfrom) X(46, sys_sendmsg) X(47, sys_recvmsg) X(48, sys_shutdown) X(49, sys_bind) \
    X(51, sys_getsockname) X(52, sys_getpeername) X(54, sys_setsockopt) X(55, sys_getsockopt) X(60, sys_exit) \
    X(61, sys_wait4) X(62, sys_kill) X(63, sys_uname) X(72, sys_fcntl) X(74, sys_fsync) X(75, sys_fsync) \
    X(76, sys_truncate) X(77, sys_ftruncate) X(79, sys_getcwd) X(80, sys_chdir) X(81, sys_fchdir) X(82, sys_rename) \
    X(83, sys_mkdir) X(84, sys_rmdir) X(85, sys_creat) X(86, sys_link) X(87, sys_unlink) X(88, sys_symlink) \
    X(89, sys_readlink) X(90, sys_chmod) X(91, sys_fchmod) X(92, sys_chown) X(93, sys_fchown) X(94, sys_lchown) \
    X(95, sys_umask) X(96, sys_gettimeofday) X(97, sys_getrlimit) X(98, sys_getrusage) X(99, sys_sysinfo) \
    X(100, sys_times) X(102, sys_root_id) X(104, sys_root_id) X(105, sys_success) X(106, sys_success) \
    X(107, sys_root_id) X(108, sys_root_id) X(109, sys_setpgid) X(110, sys_getppid) X(111, sys_getpgrp) \
    X(112, sys_setsid) X(121, sys_getpgid) X(124, sys_getsid) X(127, sys_rt_sigpending) X(128, sys_rt_sigtimedwait) \
    X(129, sys_rt_sigqueueinfo) X(130, sys_rt_sigsuspend) X(131, sys_sigaltstack) X(133, sys_mknod) \
    X(137, sys_statfs) X(138, sys_fstatfs) X(143, sys_sched_getparam) X(144, sys_sched_setscheduler) \
    X(145, sys_sched_getscheduler) X(146, sys_sched_get_priority) X(147, sys_sched_get_priority) X(157, sys_prctl) \
    X(158, sys_arch_prctl) X(162, sys_success) X(186, sys_gettid) X(200, sys_tkill) X(201, sys_time) \
    X(202, sys_futex) X(203, sys_sched_setaffinity) X(204, sys_sched_getaffinity) X(213, sys_epoll_create) \
    X(217, sys_getdents64) X(218, sys_set_tid_address) X(219, sys_restart_syscall) X(228, sys_clock_gettime) \
    X(229, sys_clock_getres) X(230, sys_clock_nanosleep) X(231, sys_exit_group) X(232, sys_epoll_wait) \
    X(233, sys_epoll_ctl) X(234, sys_tgkill) X(247, sys_waitid) X(257, sys_openat) X(258, sys_mkdirat) \
    X(259, sys_mknodat) X(260, sys_fchownat) X(262, sys_newfstatat) X(263, sys_unlinkat) X(264, sys_renameat) \
    X(265, sys_linkat) X(266, sys_symlinkat) X(267, sys_readlinkat) X(268, sys_fchmodat) X(269, sys_faccessat) \
    X(271, sys_ppoll) X(273, sys_set_robust_list) X(280, sys_utimensat) X(281, sys_epoll_pwait) X(284, sys_eventfd) \
    X(285, sys_fallocate) X(290, sys_eventfd2) X(291, sys_epoll_create1) X(292, sys_dup3) X(293, sys_pipe2) \
    X(297, sys_rt_tgsigqueueinfo) X(299, sys_recvmmsg) X(302, sys_prlimit64) X(306, sys_fsync) X(307, sys_sendmmsg) \
    X(309, sys_getcpu) X(316, sys_renameat2) X(318, sys_getrandom) X(332, sys_statx) X(439, sys_faccessat2)

#define DECLARE(nr, fn) long fn();
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#pragma GCC diagnostic ignored "-Wcast-function-type"
CALLS(DECLARE)

#define ENTRY(nr, fn) [nr] = (syscall_fn)fn,
const syscall_fn syscall_table[] = { CALLS(ENTRY) };
const u64 syscall_count = ARRAY_SIZE(syscall_table); /* ring0.S */
#pragma GCC diagnostic pop

enum { NR_RT_SIGRETURN = 15, NR_CLONE = 56, NR_FORK = 57, NR_VFORK = 58, NR_EXECVE = 59 };
long sys_rt_sigreturn(struct pt_regs *r);
long exec_from_user(u64 upath, u64 uargv, u64 uenvp, struct pt_regs *regs);

/* The calls that need, or replace, the caller's registers. */
static long syscall_with_regs(struct pt_regs *r)
{
    switch (r->orig_ax) {
    case NR_RT_SIGRETURN: return sys_rt_sigreturn(r);
    case NR_CLONE: return fork_clone(r, (u32)r->di, r->si, r->dx, r->r10, r->r8);
    case NR_FORK: return fork_clone(r, SIGCHLD, 0, 0, 0, 0);
    case NR_VFORK: return fork_clone(r, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0);
    case NR_EXECVE: return exec_from_user(r->di, r->si, r->dx, r);
    default: return sys_ni_syscall(r->orig_ax);
    }
}

/* Called with interrupts off; true: SYSRET can restore everything. */
bool syscall_exit_to_user(struct pt_regs *regs)
{
    irq_disable();
    u32 work;
    while ((work = READ_ONCE(current->tif))) {
        if (work & TIF_NEED_RESCHED) {
            irq_enable();
            schedule();
            irq_disable();
        } else if (work & TIF_SIGPENDING) {
            irq_enable();
            signal_deliver(regs);
            irq_disable();
        } else {
            fpu_restore_current();
        }
    }
    return regs->cx == regs->ip && regs->r11 == regs->flags && regs->ip < USER_TOP && regs->cs == USER_CS; /* not with ring=0 */
}

bool syscall_dispatch(struct pt_regs *regs)
{
    u64 nr = regs->orig_ax;
    irq_enable();
    long r;
    if (likely(nr < ARRAY_SIZE(syscall_table) && syscall_table[nr = array_index_nospec(nr, ARRAY_SIZE(syscall_table))]))
        r = syscall_table[nr](regs->di, regs->si, regs->dx, regs->r10, regs->r8, regs->r9);
    else
        r = syscall_with_regs(regs);
    regs->ax = (u64)r;
    return syscall_exit_to_user(regs);
}
