/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does the kernel survive, and refuse, pointers into itself, into nothing, and arguments without sense? */
#include "check.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>

static const uintptr_t bad[] = { 0, 8, 0x700000000000, 0x7fffffffffff, 0x800000000000, 0x8000000000000000, 0xffff888000100000,
                                 0xffffffff80107000, 0xffffffffffffffff, 0xfffffffffffff000 };

/* Calls of files, processes and signals that get one pointer, at each place where they take one. */
static void pointers(void *p)
{
    static const int paths[] = { SYS_mkdir, SYS_rmdir, SYS_unlink, SYS_chdir, SYS_creat, SYS_chmod, SYS_chown, SYS_lchown, SYS_truncate, SYS_mknod, SYS_access };
    char buf[256];
    for (unsigned k = 0; k < sizeof paths / sizeof *paths; k++)
        CHECK(syscall(paths[k], p, 0, 0) == -1 && errno == EFAULT);
    CHECK(syscall(SYS_rename, p, "x") == -1 && errno == EFAULT && syscall(SYS_rename, "/", p) == -1 && errno == EFAULT);
    CHECK(syscall(SYS_link, p, "x") == -1 && errno == EFAULT && syscall(SYS_link, "/dev/null", p) == -1 && errno == EFAULT);
    CHECK(syscall(SYS_symlink, p, "x") == -1 && errno == EFAULT && syscall(SYS_symlink, "x", p) == -1 && errno == EFAULT);
    CHECK(syscall(SYS_stat, "/", p) == -1 && errno == EFAULT && syscall(SYS_stat, p, buf) == -1 && errno == EFAULT);
    CHECK(syscall(SYS_statx, AT_FDCWD, "/", 0, 0x7ff, p) == -1 && errno == EFAULT && syscall(SYS_statfs, "/", p) == -1 && errno == EFAULT);
    CHECK(syscall(SYS_readlink, "/proc/self", p, 10) == -1 && errno == EFAULT && syscall(SYS_getcwd, p, 100) == -1 && errno == EFAULT);
    CHECK(syscall(SYS_prctl, PR_SET_NAME, p) == -1 && errno == EFAULT && syscall(SYS_prctl, PR_GET_NAME, p) == -1 && errno == EFAULT);
    CHECK(syscall(SYS_pipe2, p, 0) == -1 && errno == EFAULT && syscall(SYS_getrusage, 0, p) == -1 && errno == EFAULT);
    CHECK(syscall(SYS_rt_sigsuspend, p, 8) == -1 && errno == EFAULT && syscall(SYS_rt_sigtimedwait, p, NULL, NULL, 8) == -1 && errno == EFAULT);
    CHECK(syscall(SYS_rt_sigqueueinfo, getpid(), 0, p) == -1 && errno == EFAULT && syscall(SYS_nanosleep, p, NULL) == -1 && errno == EFAULT);
    if (p) /* no pointer: nothing wanted */
        CHECK(syscall(SYS_utimensat, AT_FDCWD, "/", p, 0) == -1 && errno == EFAULT && syscall(SYS_sigaltstack, p, NULL) == -1 && errno == EFAULT);
    int d = open("/proc/self/fd", O_DIRECTORY), f = open("/proc/self/stat", 0);
    CHECK(syscall(SYS_getdents64, d, p, 1000) == -1 && errno == EFAULT && read(f, p, 10) == -1 && errno == EFAULT);
    close(d), close(f);
}

int main(void)
{
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), fds[2];
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(4000), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    CHECK(s >= 0 && bind(s, (void *)&a, sizeof a) == 0);
    CHECK(pipe(fds) == 0);
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        void *p = (void *)bad[i];
        CHECK(write(1, p, 16) == -1 && errno == EFAULT);
        CHECK(write(fds[1], p, 16) == -1 && errno == EFAULT);
        CHECK(open(p, 0) == -1 && errno == EFAULT);
        CHECK(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, p) == -1 && errno == EFAULT);
        CHECK(bind(s, p, 16) == -1 && errno == EFAULT);
        CHECK(sendto(s, p, 16, 0, (void *)&a, sizeof a) == -1 && errno == EFAULT);
        CHECK(sendto(s, "x", 1, 0, (void *)&a, sizeof a) == 1);
        CHECK(recv(s, p, 16, 0) == -1 && errno == EFAULT);
        CHECK(sendmsg(s, p, 0) == -1 && errno == EFAULT);
        CHECK(syscall(SYS_futex, p, 0, 0, NULL) == -1);
        CHECK(syscall(SYS_execve, p, NULL, NULL) == -1 && errno == EFAULT);
        CHECK(syscall(SYS_uname, p) == -1 && errno == EFAULT);
        CHECK(syscall(SYS_rt_sigaction, SIGUSR1, p, NULL, 8) == (bad[i] ? -1 : 0));
        pointers(p);
    }
    CHECK(syscall(9999) == -1 && errno == ENOSYS);
    CHECK(syscall(-1) == -1 && errno == ENOSYS);
    CHECK(close(77) == -1 && errno == EBADF);
    CHECK(close(-1) == -1 && errno == EBADF);
    CHECK(socket(99, SOCK_DGRAM, 0) == -1 && errno == EAFNOSUPPORT);
    CHECK(epoll_wait(s, NULL, 1, 0) == -1 && errno == EINVAL);
    CHECK(sendto(s, "x", 1, 0, NULL, 0) == -1 && errno == EDESTADDRREQ);
    static char big[70000];
    CHECK(sendto(s, big, sizeof big, 0, (void *)&a, sizeof a) == -1 && errno == EMSGSIZE);
    return success();
}
