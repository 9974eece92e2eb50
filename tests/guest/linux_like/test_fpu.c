/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Are a thread's vector registers its own, through preemption, migration and other threads' use of the same vCPU? */
#include "check.h"

static void *work(void *arg)
{
    unsigned long seed = (unsigned long)arg * 0x9e3779b97f4a7c15ul + 1;
    double end = now() + 0.08;
    do {
        unsigned long in[4] = { seed, ~seed, seed * 3, seed ^ 0xff }, out[4];
        __asm__ volatile("movdqu (%0), %%xmm1; movdqu 16(%0), %%xmm14" ::"r"(in) : "xmm1", "xmm14");
        for (volatile int i = 0; i < 20000; i++)
            __asm__ volatile("" ::: "memory");
        if (seed % 3 == 0)
            syscall(SYS_sched_yield);
        __asm__ volatile("movdqu %%xmm1, (%0); movdqu %%xmm14, 16(%0)" ::"r"(out) : "memory");
        CHECK(!memcmp(in, out, sizeof in));
        seed = seed * 6364136223846793005ul + 1;
    } while (now() < end);
    return NULL;
}

int main(void)
{
    enum { THREADS = 12 };
    pthread_t t[THREADS];
    for (long i = 0; i < THREADS; i++)
        CHECK(pthread_create(&t[i], NULL, work, (void *)i) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(t[i], NULL) == 0);
    return success();
}
