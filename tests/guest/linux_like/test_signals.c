/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Handlers, masks, alternate stacks, interrupted and restarted calls, and registers that come back as they were. */
#include "check.h"
#include <setjmp.h>
#include <sys/time.h>

static volatile sig_atomic_t caught, caught_on_altstack;
static sigjmp_buf escape;
static char alt[65536];

static void handler(int sig) { caught = sig; }

static void on_segv(int sig, siginfo_t *info, void *context)
{
    char here;
    caught_on_altstack = &here >= alt && &here < alt + sizeof alt && info->si_addr == (void *)0x1000;
    siglongjmp(escape, 1);
}

static void install(int sig, void (*fn)(int), int flags)
{
    struct sigaction sa = { .sa_handler = fn, .sa_flags = flags };
    CHECK(sigaction(sig, &sa, NULL) == 0);
}

int main(void)
{
    install(SIGUSR1, handler, 0);
    double x = 1.5, y;
    CHECK(raise(SIGUSR1) == 0 && caught == SIGUSR1);
    y = x * 2;
    CHECK(y == 3.0);

    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    CHECK(sigprocmask(SIG_BLOCK, &set, &old) == 0);
    caught = 0;
    CHECK(kill(getpid(), SIGUSR1) == 0 && caught == 0);
    CHECK(sigsuspend(&old) == -1 && errno == EINTR && caught == SIGUSR1);
    CHECK(sigprocmask(SIG_SETMASK, &old, NULL) == 0);

    int fds[2];
    char b;
    CHECK(pipe(fds) == 0);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        usleep(3000);
        kill(parent, SIGUSR1);
        usleep(3000);
        CHECK(write(fds[1], "x", 1) == 1);
        _exit(0);
    }
    CHECK(read(fds[0], &b, 1) == -1 && errno == EINTR);
    install(SIGCHLD, handler, SA_RESTART);
    CHECK(read(fds[0], &b, 1) == 1 && b == 'x');
    CHECK(waitpid(pid, NULL, 0) == pid);
    CHECK(caught == SIGCHLD);

    double start = now();
    install(SIGALRM, handler, 0);
    struct itimerval it = { .it_value.tv_usec = 5000, .it_interval.tv_usec = 5000 };
    CHECK(setitimer(ITIMER_REAL, &it, NULL) == 0);
    for (int i = 0; i < 3; i++)
        CHECK(pause() == -1 && errno == EINTR && caught == SIGALRM);
    CHECK(now() - start >= 0.014);
    it = (struct itimerval){ 0 };
    CHECK(setitimer(ITIMER_REAL, &it, NULL) == 0 && alarm(0) == 0);

    stack_t ss = { .ss_sp = alt, .ss_size = sizeof alt };
    struct sigaction sa = { .sa_sigaction = on_segv, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    CHECK(sigaltstack(&ss, NULL) == 0 && sigaction(SIGSEGV, &sa, NULL) == 0);
    if (!sigsetjmp(escape, 1))
        *(volatile int *)0x1000 = 1;
    CHECK(caught_on_altstack);
    install(SIGUSR2, SIG_IGN, 0);
    CHECK(raise(SIGUSR2) == 0);
    return success();
}
