/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Linux's system calls by number, and SYSCALL's way to them on each vCPU. */
#include "compat.h"

#define MSR_EFER 0xC0000080u
#define MSR_STAR 0xC0000081u
#define MSR_LSTAR 0xC0000082u
#define MSR_FMASK 0xC0000084u
#define EFER_BITS 0xD01u            /* as boot.S left it (LME, LMA, NXE), and SCE */
#define CODE_SELECTOR 0x08ull       /* SS is the next */
#define FLAGS_DF 0x400u
#define SAID 256u

#define CALLS(X)                                                                                                     \
    X(0, linux_read) X(1, linux_write) X(2, linux_open) X(3, linux_close) X(4, linux_stat) X(5, linux_fstat) X(6, linux_stat) X(8, linux_lseek)         \
    X(9, linux_mmap) X(10, linux_mprotect) X(11, linux_munmap) X(12, linux_brk) X(13, linux_zero) X(14, linux_zero)   \
    X(16, linux_ioctl) X(20, linux_writev) X(24, linux_sched_yield) X(25, linux_mremap) X(28, linux_madvise)          \
    X(35, linux_nanosleep) X(39, linux_one) X(41, linux_socket) X(42, linux_connect) X(44, linux_sendto)              \
    X(45, linux_recvfrom) X(46, linux_sendmsg) X(47, linux_recvmsg) X(49, linux_bind) X(51, linux_getsockname)        \
    X(54, linux_setsockopt) X(56, linux_clone_entry) X(60, linux_exit) X(63, linux_uname) X(72, linux_fcntl)          \
    X(89, linux_readlink) X(96, linux_gettimeofday) X(102, linux_zero) X(104, linux_zero) X(107, linux_zero)          \
    X(108, linux_zero) X(110, linux_zero) X(131, linux_zero) X(158, linux_arch_prctl) X(186, linux_gettid)            \
    X(201, linux_time) X(202, linux_futex) X(203, linux_sched_setaffinity) X(204, linux_sched_getaffinity)            \
    X(218, linux_set_tid_address) X(228, linux_clock_gettime) X(229, linux_clock_getres)                              \
    X(230, linux_clock_nanosleep) X(231, linux_exit_group) X(257, linux_openat) X(262, linux_newfstatat) X(267, linux_readlink) \
    X(273, linux_zero) X(302, linux_prlimit) X(309, linux_getcpu) X(318, linux_getrandom) X(1000, linux_lend)

/* Each has its own arguments; six registers hold whatever they are. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#pragma GCC diagnostic ignored "-Wcast-function-type"
#define DECLARE(number, fn) extern char fn##_symbol[] __asm__(#fn);
CALLS(DECLARE)
#define ENTRY(number, fn) [number] = (linux_fn)fn##_symbol,
const linux_fn linux_table[] = { CALLS(ENTRY) };
#pragma GCC diagnostic pop
const uint64_t linux_count = array_size(linux_table);

static struct spinlock linux_lock;
static uint64_t linux_said[SAID];
static unsigned linux_said_count;

void linux_syscall(void);
int64_t linux_absent(uint64_t number);

void linux_say_once(uint64_t kind, const char *format, uint64_t value)
{
    uint64_t what = kind << 56 | (kind == 9 ? 0 : value << 8 >> 8);
    bool first = true;

    spin_lock(&linux_lock);
    for (unsigned i = 0; i < linux_said_count; i++)
        first &= linux_said[i] != what;
    if (first && linux_said_count == SAID)
        first = false;
    else if (first)
        linux_said[linux_said_count++] = what;
    spin_unlock(&linux_lock);
    if (first)
        console_printf(format, value);
}

/* Probe point: manifest.toml counts them. */
noinline int64_t linux_absent(uint64_t number)
{
    linux_say_once(0, "linux: system call %lu is not there: ENOSYS\n", number);
    return -LINUX_ENOSYS;
}

static void linux_init_cpu(void *arg)
{
    (void)arg;
    wrmsr(MSR_EFER, EFER_BITS);
    wrmsr(MSR_STAR, CODE_SELECTOR << 32);
    wrmsr(MSR_LSTAR, (uint64_t)linux_syscall);
    wrmsr(MSR_FMASK, FLAGS_DF);
}

void linux_init(void)
{
    thread_init();
    linux_init_cpu(NULL);
    for (unsigned cpu = 0; cpu < cpu_count(); cpu++) {
        if (cpu != cpu_id() && !event_spawn(cpu, linux_init_cpu, NULL))
            panic("linux: no memory");
    }
}
