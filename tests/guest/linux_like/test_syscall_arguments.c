/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does the kernel survive, and refuse, pointers into itself, into nothing, and arguments without sense? */
#include "check.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static const uintptr_t bad[] = { 0, 8, 0x700000000000, 0x7fffffffffff, 0x800000000000, 0x8000000000000000, 0xffff888000100000,
                                 0xffffffff80107000, 0xffffffffffffffff, 0xfffffffffffff000 };

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
