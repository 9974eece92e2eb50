/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Everything at once, for a while: does anything get lost, stuck, or mixed up? */
#include "check.h"
#include <netinet/in.h>
#include <sys/socket.h>

static double end;

static void forks(void)
{
    do {
        int status;
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            volatile char *p = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            for (int i = 0; i < 1 << 16; i += 4096)
                p[i] = 1;
            if (p[0])
                *(volatile int *)0 = 1;
        }
        CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    } while (now() < end);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int ball;

static void *player(void *arg)
{
    int me = (int)(long)arg;
    pthread_mutex_lock(&mutex);
    do {
        while (ball % 3 != me && now() < end) {
            struct timespec t;
            clock_gettime(CLOCK_REALTIME, &t);
            t.tv_sec += 1;
            pthread_cond_timedwait(&cond, &mutex, &t);
        }
        ball++;
        pthread_cond_broadcast(&cond);
    } while (now() < end);
    pthread_mutex_unlock(&mutex);
    return NULL;
}

static void *mapper(void *arg)
{
    do {
        char *p = mmap(NULL, 8 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(p != MAP_FAILED);
        memset(p, 0x5a, 8 * 4096);
        CHECK(mprotect(p, 4096, PROT_READ) == 0);
        for (int i = 0; i < 8 * 4096; i += 512)
            CHECK(p[i] == 0x5a);
        CHECK(munmap(p, 8 * 4096) == 0);
    } while (now() < end);
    return NULL;
}

static void threads(void)
{
    pthread_t t[5];
    for (long i = 0; i < 3; i++)
        CHECK(pthread_create(&t[i], NULL, player, (void *)i) == 0);
    for (int i = 3; i < 5; i++)
        CHECK(pthread_create(&t[i], NULL, mapper, NULL) == 0);
    for (int i = 0; i < 5; i++)
        CHECK(pthread_join(t[i], NULL) == 0);
    CHECK(ball >= 3);
}

static void datagrams(void)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof a;
    int s = socket(AF_INET, SOCK_DGRAM, 0), c = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(bind(s, (void *)&a, sizeof a) == 0 && getsockname(s, (void *)&a, &len) == 0);
    CHECK(connect(c, (void *)&a, len) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        unsigned v;
        for (;;) {
            CHECK(recvfrom(s, &v, sizeof v, 0, (void *)&a, &len) == sizeof v);
            CHECK(sendto(s, &v, sizeof v, 0, (void *)&a, len) == sizeof v);
        }
    }
    unsigned i = 0, v;
    do {
        CHECK(send(c, &i, sizeof i, 0) == sizeof i);
        CHECK(recv(c, &v, sizeof v, 0) == sizeof v && v == i);
        i++;
    } while (now() < end || i < 20);
    CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
}

int main(void)
{
    static void (*const jobs[])(void) = { forks, threads, datagrams, forks, threads, datagrams };
    enum { JOBS = sizeof jobs / sizeof *jobs };
    end = now() + 0.03;
    pid_t pid[JOBS];
    for (int i = 0; i < JOBS; i++) {
        pid[i] = fork();
        CHECK(pid[i] >= 0);
        if (pid[i] == 0) {
            jobs[i]();
            _exit(0);
        }
    }
    for (int i = 0; i < JOBS; i++) {
        int status;
        CHECK(waitpid(pid[i], &status, 0) == pid[i]);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    return success();
}
