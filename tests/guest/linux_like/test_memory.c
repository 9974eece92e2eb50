/* SPDX-License-Identifier: GPL-2.0-or-later */
/* mmap, munmap, mprotect, brk: memory comes zeroed when touched, and goes. */
#include "check.h"
#include <sys/sysinfo.h>

static int faults(volatile char *p, int write)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        if (write)
            *p = 1;
        else
            (void)*p;
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

static unsigned long free_memory(void)
{
    struct sysinfo s;
    CHECK(sysinfo(&s) == 0);
    return s.freeram;
}

int main(void)
{
    const size_t page = 4096, big = 1ul << 30;
    char *p = mmap(NULL, big, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED); /* more than the machine may have: only touched pages count */
    for (size_t i = 0; i < big; i += big / 64) {
        CHECK(p[i] == 0);
        p[i] = 7;
    }
    CHECK(munmap(p, big) == 0);
    CHECK(faults(p, 0));

    p = mmap(NULL, 8 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(p, 5, 8 * page);
    CHECK(mprotect(p + 2 * page, 2 * page, PROT_READ) == 0);
    CHECK(!faults(p + page, 1) && faults(p + 2 * page, 1) && !faults(p + 2 * page, 0) && !faults(p + 4 * page, 1));
    CHECK(mprotect(p + 3 * page, page, PROT_NONE) == 0);
    CHECK(faults(p + 3 * page, 0));
    CHECK(write(1, p + 3 * page, 1) == -1 && errno == EFAULT);
    CHECK(mprotect(p, 8 * page, PROT_READ | PROT_WRITE) == 0);
    for (size_t i = 0; i < 8 * page; i++)
        CHECK(p[i] == 5);
    p[3 * page] = 6;
    CHECK(munmap(p + 3 * page, page) == 0);
    CHECK(faults(p + 3 * page, 0) && !faults(p + 2 * page, 1) && !faults(p + 4 * page, 1));
    CHECK(mprotect(p, 8 * page, PROT_READ) == -1 && errno == ENOMEM);
    CHECK(mmap(p, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p && p[0] == 0);

    char *code = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(code, "\xb8\x2a\x00\x00\x00\xc3", 6); /* mov $42, %eax; ret */
    CHECK(mprotect(code, page, PROT_READ | PROT_EXEC) == 0);
    CHECK(((int (*)(void))code)() == 42);

    volatile int *shared = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid = fork();
    if (pid == 0) {
        *shared = 99;
        _exit(0);
    }
    CHECK(waitpid(pid, NULL, 0) == pid && *shared == 99);

    char *top = sbrk(0);
    CHECK(sbrk(1 << 20) == top);
    for (int i = 0; i < 1 << 20; i += 512)
        CHECK(top[i] == 0);
    memset(top, 1, 1 << 20);
    CHECK(sbrk(-(1 << 20)) != (void *)-1 && sbrk(0) == top);

    unsigned long before = free_memory();
    for (int round = 0; round < 20; round++) { /* what goes comes back */
        p = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memset(p, round, 4 << 20);
        CHECK(munmap(p, 4 << 20) == 0);
        if (!(pid = fork()))
            _exit(0);
        CHECK(waitpid(pid, NULL, 0) == pid);
    }
    CHECK(free_memory() + (2 << 20) > before);
    return success();
}
