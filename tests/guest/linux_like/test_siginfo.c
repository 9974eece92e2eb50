/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does a handler learn who sent the signal, and where a fault was? Do children's news come to wait? Runs on any Linux. */
#include "check.h"
#include <sys/prctl.h>
#include <sys/resource.h>
#include <ucontext.h>

static volatile siginfo_t seen;
static volatile int count;
static char *page;
static volatile unsigned long seen_err, seen_trap;
static volatile char *on_stack;

static void note(int sig, siginfo_t *info, void *context)
{
    *(siginfo_t *)&seen = *info;
    count++;
    on_stack = __builtin_frame_address(0);
}

/* As shared memory in software does it: the page is made accessible and the access tried again. */
static void fault(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    note(sig, info, context);
    seen_err = (unsigned long)uc->uc_mcontext.gregs[REG_ERR];
    seen_trap = (unsigned long)uc->uc_mcontext.gregs[REG_TRAPNO];
    mprotect((void *)((uintptr_t)info->si_addr & ~4095ul), 4096, PROT_READ | (seen_err & 2 ? PROT_WRITE : 0));
}

static void skip(int sig, siginfo_t *info, void *context)
{
    note(sig, info, context);
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 3; /* a division, or a load, of three bytes */
}

static void handle(int sig, void (*fn)(int, siginfo_t *, void *), int flags)
{
    struct sigaction sa = { .sa_sigaction = fn, .sa_flags = SA_SIGINFO | flags };
    sigemptyset(&sa.sa_mask);
    CHECK(sigaction(sig, &sa, NULL) == 0);
}

static void senders(void)
{
    handle(SIGUSR1, note, 0);
    CHECK(kill(getpid(), SIGUSR1) == 0 && count == 1);
    CHECK(seen.si_signo == SIGUSR1 && seen.si_code == SI_USER && seen.si_pid == getpid() && seen.si_uid == getuid());
    CHECK(pthread_kill(pthread_self(), SIGUSR1) == 0 && count == 2 && seen.si_code == SI_TKILL && seen.si_pid == getpid());
    CHECK(sigqueue(getpid(), SIGUSR1, (union sigval){ .sival_int = 4711 }) == 0 && count == 3);
    CHECK(seen.si_code == SI_QUEUE && seen.si_value.sival_int == 4711);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    struct timespec soon = { 0, 10000000 };
    siginfo_t info;
    CHECK(sigtimedwait(&set, &info, &soon) == -1 && errno == EAGAIN);
    kill(getpid(), SIGUSR1);
    CHECK(sigtimedwait(&set, &info, &soon) == SIGUSR1 && info.si_pid == getpid() && count == 3);
    CHECK(sigprocmask(SIG_UNBLOCK, &set, NULL) == 0);
}

static void faults(void)
{
    page = mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    handle(SIGSEGV, fault, 0);
    volatile char v = page[17];
    CHECK(v == 0 && count == 4 && seen.si_signo == SIGSEGV && seen.si_code == SEGV_ACCERR && seen.si_addr == page + 17 && seen_trap == 14);
    CHECK(!(seen_err & 2));
    page[18] = 5;
    CHECK(count == 5 && seen.si_addr == page + 18 && seen_err & 2 && page[18] == 5);
    page[4100] = 6;
    CHECK(count == 6 && seen.si_addr == page + 4100 && page[4100] == 6);
    handle(SIGSEGV, skip, 0);
    __asm__ volatile("movb (%%rcx), %%al; nop" ::"c"(8ul) : "rax"); /* two bytes and the nop: skipped */
    CHECK(count == 7 && seen.si_code == SEGV_MAPERR && seen.si_addr == (void *)8);
    handle(SIGFPE, skip, 0);
    __asm__ volatile("div %%rcx" ::"a"(1ul), "c"(0ul), "d"(0ul));
    CHECK(count == 8 && seen.si_signo == SIGFPE && seen.si_code == FPE_INTDIV);
}

static void alternate_stack(void)
{
    static char stack[65536];
    stack_t ss = { .ss_sp = stack, .ss_size = sizeof stack }, now;
    CHECK(sigaltstack(&ss, NULL) == 0);
    handle(SIGUSR2, note, SA_ONSTACK);
    raise(SIGUSR2);
    CHECK(on_stack > stack && on_stack < stack + sizeof stack);
    CHECK(sigaltstack(NULL, &now) == 0 && now.ss_sp == stack && now.ss_flags == 0);
    ss.ss_flags = 77;
    CHECK(sigaltstack(&ss, NULL) == -1 && errno == EINVAL);
    count--;
}

static void children(void)
{
    int status;
    siginfo_t info;
    handle(SIGCHLD, note, 0);
    pid_t p = fork();
    if (!p)
        for (;;)
            pause();
    CHECK(kill(p, SIGSTOP) == 0 && waitpid(p, &status, WUNTRACED) == p && WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    CHECK(seen.si_signo == SIGCHLD && seen.si_code == CLD_STOPPED && seen.si_pid == p && seen.si_status == SIGSTOP);
    CHECK(waitpid(p, &status, WUNTRACED | WNOHANG) == 0);
    CHECK(kill(p, SIGCONT) == 0 && waitpid(p, &status, WCONTINUED) == p && WIFCONTINUED(status));
    CHECK(kill(p, SIGSTOP) == 0 && waitid(P_PID, (id_t)p, &info, WSTOPPED) == 0 && info.si_code == CLD_STOPPED && info.si_pid == p);
    CHECK(kill(p, SIGKILL) == 0); /* ends even what is stopped */
    CHECK(waitid(P_PID, (id_t)p, &info, WEXITED | WNOWAIT) == 0 && info.si_code == CLD_KILLED && info.si_status == SIGKILL);
    CHECK(waitid(P_ALL, 0, &info, WEXITED) == 0 && info.si_pid == p);
    CHECK(waitid(P_ALL, 0, &info, WEXITED) == -1 && errno == ECHILD);
    p = fork();
    if (!p) {
        for (volatile long i = 0; i < 3000000; i++)
            ;
        _exit(300);
    }
    struct rusage ru;
    CHECK(wait4(p, &status, 0, &ru) == p && WIFEXITED(status) && WEXITSTATUS(status) == 44 && ru.ru_utime.tv_sec + ru.ru_utime.tv_usec > 0);
    CHECK(getrusage(RUSAGE_CHILDREN, &ru) == 0 && ru.ru_utime.tv_sec + ru.ru_utime.tv_usec > 0);
    CHECK(waitid(P_ALL, 0, &info, WNOHANG) == -1 && errno == EINVAL);
    handle(SIGCHLD, note, SA_NOCLDWAIT);
    if (!fork())
        _exit(0);
    CHECK(wait(NULL) == -1 && errno == ECHILD);
    signal(SIGCHLD, SIG_DFL);
}

/* A sleep that was stopped goes on for what was left of it. */
static void sleeping_on(void)
{
    double start = now();
    pid_t p = fork();
    if (!p) {
        struct timespec t = { 0, 200000000 };
        _exit(nanosleep(&t, NULL) ? 1 : now() - start < 0.2 ? 2 : 0);
    }
    int status;
    usleep(20000);
    kill(p, SIGSTOP);
    CHECK(waitpid(p, &status, WUNTRACED) == p);
    kill(p, SIGCONT);
    CHECK(waitpid(p, &status, 0) == p && status == 0);
}

/* The end of a parent, as its child asked to be told; and names. */
static void prctls(void)
{
    char name[16];
    CHECK(prctl(PR_SET_NAME, "a name that is far too long") == 0 && prctl(PR_GET_NAME, name) == 0 && !strcmp(name, "a name that is "));
    int fds[2], status;
    CHECK(pipe(fds) == 0);
    pid_t parent = fork();
    if (!parent) {
        if (!fork()) {
            prctl(PR_SET_PDEATHSIG, SIGTERM);
            int s = 0;
            CHECK(prctl(PR_GET_PDEATHSIG, &s) == 0 && s == SIGTERM);
            if (write(fds[1], "r", 1) == 1)
                for (;;)
                    pause();
        }
        char c;
        _exit(read(fds[0], &c, 1) == 1 ? 0 : 1);
    }
    close(fds[1]);
    CHECK(waitpid(parent, &status, 0) == parent && status == 0);
    char c;
    CHECK(read(fds[0], &c, 1) == 0); /* the grandchild is gone, and its end of the pipe with it */
    CHECK(prctl(PR_SET_PDEATHSIG, 1000) == -1 && errno == EINVAL);
    CHECK(prctl(9999, 0, 0, 0, 0) == -1 && errno == EINVAL);
}

int main(void)
{
    senders();
    faults();
    alternate_stack();
    children();
    sleeping_on();
    prctls();
    return success();
}
