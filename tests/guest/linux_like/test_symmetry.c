/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Can every vCPU do everything: system calls, faults, timers, being woken? And is work spread over them unasked? */
#include "check.h"

static volatile int seen[64], go;
static int cpus;

static int used(void)
{
    int n = 0;
    for (int i = 0; i < cpus; i++)
        n += seen[i];
    return n;
}

static void *anywhere(void *arg)
{
    while (!go)
        sched_yield();
    for (double end = now() + 5; now() < end && used() < cpus;) /* busy, until each vCPU was found to work */
        seen[sched_getcpu()] = 1;
    return NULL;
}

static void *pinned(void *arg)
{
    int cpu = (int)(long)arg;
    pin(cpu);
    for (int i = 0; i < 20; i++) {
        CHECK(sched_getcpu() == cpu);
        CHECK(getppid() >= 0);
        char *p = mmap(NULL, 4096 * 4, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memset(p, 1, 4096 * 4);
        CHECK(munmap(p, 4096 * 4) == 0);
        double start = now();
        usleep(1000);
        double slept = now() - start;
        CHECK(slept >= 0.001 && slept < 1);
        CHECK(sched_getcpu() == cpu);
    }
    return NULL;
}

int main(void)
{
    pthread_t t[64];
    cpus = cpu_count();
    for (long i = 0; i < cpus; i++)
        CHECK(pthread_create(&t[i], NULL, pinned, (void *)i) == 0);
    for (int i = 0; i < cpus; i++)
        CHECK(pthread_join(t[i], NULL) == 0);
    for (int i = 0; i < cpus; i++)
        CHECK(pthread_create(&t[i], NULL, anywhere, NULL) == 0);
    go = 1;
    for (int i = 0; i < cpus; i++)
        CHECK(pthread_join(t[i], NULL) == 0);
    CHECK(used() == cpus);
    cpu_set_t none;
    CPU_ZERO(&none);
    CHECK(sched_setaffinity(0, sizeof none, &none) == -1 && errno == EINVAL);
    return success();
}
