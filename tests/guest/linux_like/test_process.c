/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fork, exec, wait, exit, pipes, orphans, and memory that is the child's own. */
#include "check.h"
#include <fcntl.h>
#include <spawn.h>

extern char **environ;

static int wait_for(pid_t pid)
{
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    return status;
}

static void test_copy_on_write(void)
{
    enum { PAGES = 64 };
    static char data[PAGES * 4096];
    memset(data, 1, sizeof data);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        for (int i = 0; i < PAGES; i++)
            CHECK(data[i * 4096] == 1);
        memset(data, 2, sizeof data);
        _exit(data[5000]);
    }
    memset(data, 3, sizeof data);
    int status = wait_for(pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 2);
    for (int i = 0; i < PAGES; i++)
        CHECK(data[i * 4096] == 3);
}

static void test_pipe(void)
{
    int fds[2];
    char buf[100];
    CHECK(pipe(fds) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        for (int i = 0; i < 3000; i++)
            CHECK(write(fds[1], "abcdefgh", 8) == 8);
        _exit(0);
    }
    close(fds[1]);
    long total = 0, n;
    while ((n = read(fds[0], buf, sizeof buf)) > 0)
        total += n;
    CHECK(n == 0 && total == 24000);
    CHECK(wait_for(pid) == 0);
    close(fds[0]);
}

static void test_exec(void)
{
    char *argv[] = { "child", "from exec", NULL };
    pid_t pid = fork();
    if (pid == 0) {
        execv("/proc/self/exe", argv);
        _exit(99);
    }
    CHECK(WEXITSTATUS(wait_for(pid)) == 42);
    CHECK(posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ) == 0);
    CHECK(WEXITSTATUS(wait_for(pid)) == 42);
    CHECK(posix_spawn(&pid, "/no/such", NULL, NULL, argv, environ) == ENOENT);
}

static void *nap(void *arg) { pause(); return NULL; }

static void test_exec_and_exit_from_threads(void)
{
    char *argv[] = { "child", "from exec", NULL };
    for (int i = 0; i < 2; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            pthread_t t;
            for (int k = 0; k < 3; k++)
                pthread_create(&t, NULL, nap, NULL);
            if (i == 0)
                execv("/proc/self/exe", argv);
            _exit(42);
        }
        CHECK(WEXITSTATUS(wait_for(pid)) == 42);
    }
}

static void test_many(void)
{
    enum { N = 40 };
    for (int i = 0; i < N; i++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0)
            _exit(i);
    }
    int sum = 0, status;
    for (int i = 0; i < N; i++) {
        CHECK(wait(&status) > 0);
        sum += WEXITSTATUS(status);
    }
    CHECK(sum == N * (N - 1) / 2);
    CHECK(wait(&status) == -1 && errno == ECHILD);
}

static void test_kill(void)
{
    pid_t pid = fork();
    if (pid == 0)
        for (;;)
            ; /* never enters the kernel by itself */
    usleep(5000);
    CHECK(kill(pid, SIGTERM) == 0);
    int status = wait_for(pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    CHECK(kill(pid, 0) == -1 && errno == ESRCH);
}

int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[0], "child") && !strcmp(argv[1], "from exec"))
        return 42;
    test_copy_on_write();
    test_pipe();
    test_exec();
    test_exec_and_exit_from_threads();
    test_many();
    test_kill();
    return success();
}
