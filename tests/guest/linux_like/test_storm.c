/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Do calls of files, processes and /proc always answer, whatever they get? For guests only: it changes what it meets. */
#include "check.h"
#include <fcntl.h>
#include <sys/stat.h>

static const uintptr_t bad[] = { 0, 8, 0x700000000000, 0x7fffffffffff, 0x800000000000, 0x8000000000000000, 0xffff888000100000,
                                 0xffffffff80107000, 0xffffffffffffffff, 0xfffffffffffff000 };

/* Numbers, descriptors and pointers at random to what was added for files, processes and /proc: an answer, never a panic. */
static void storm(int seed)
{
    static const int calls[] = { SYS_openat, SYS_newfstatat, SYS_statx, SYS_unlinkat, SYS_renameat2, SYS_linkat, SYS_symlinkat, SYS_mkdirat, SYS_mknodat, SYS_readlinkat,
        SYS_fchmodat, SYS_fchownat, SYS_utimensat, SYS_faccessat2, SYS_getdents64, SYS_lseek, SYS_ftruncate, SYS_fallocate, SYS_pread64, SYS_pwrite64, SYS_fcntl, SYS_ioctl,
        SYS_dup3, SYS_pipe2, SYS_waitid, SYS_wait4, SYS_getpgid, SYS_getsid, SYS_setpgid, SYS_tgkill, SYS_rt_tgsigqueueinfo, SYS_sigaltstack, SYS_prctl, SYS_getrusage,
        SYS_fchdir, SYS_fstatfs, SYS_umask, SYS_times, SYS_poll, SYS_fsync, SYS_close };
    static char names[][24] = { "/proc/self/stat", "/proc/self/fd/0", "/proc/1/exe", "/proc", "/tmp/s/t", "/tmp", "/tmp/u/", "..", "", "/dev/tty", "/proc/self/task", "/tmp/fifo" };
    static char room[4096];
    uint64_t x = 88172645463325252ull + (uint64_t)seed, value[6];
    mkdir("/tmp/s", 0777);
    for (int round = 0; round < 20000; round++) {
        for (int k = 0; k < 6; k++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            uint64_t pick = x >> 40 & 15, n = x >> 8 & 0xffffff;
            value[k] = pick < 5 ? (uintptr_t)names[n % 12] : pick < 7 ? (uintptr_t)room : pick < 8 ? bad[n % 10] : pick < 11 ? n % 12 : pick < 12 ? (uint64_t)-100 : pick < 13 ? n : x;
        }
        int call = calls[x % (sizeof calls / sizeof *calls)];
        if (call == SYS_openat || call == SYS_pipe2 || call == SYS_waitid || call == SYS_wait4) /* nothing that waits for ever */
            value[call == SYS_pipe2 ? 1 : call == SYS_waitid ? 3 : 2] |= call == SYS_openat || call == SYS_pipe2 ? O_NONBLOCK : WNOHANG;
        if (call == SYS_poll)
            value[2] = 0;
        if (call == SYS_tgkill || call == SYS_rt_tgsigqueueinfo)
            value[2] |= 1u << 10; /* no signal has this number */
        if (call == SYS_ftruncate || call == SYS_fallocate || call == SYS_pwrite64)
            value[call == SYS_ftruncate ? 1 : 3] &= 0xfffffffff000fffful;
        syscall(call, value[0], value[1], value[2], value[3], value[4], value[5]);
        if (round % 500 == 0)
            for (int fd = 3; fd < 1024; fd++)
                close(fd);
    }
}

int main(void)
{
    int status;
    for (int k = 0; k < 2; k++) { /* in two processes at once */
        if (!fork()) {
            storm(k);
            _exit(0);
        }
    }
    while (wait(&status) > 0)
        CHECK(status == 0);
    CHECK(access("/proc/self/stat", R_OK) == 0);
    return success();
}
