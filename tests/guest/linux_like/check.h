/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A guest test is a static Linux program: it prints SUCCESS and returns 0, or says what failed and returns 1. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(cond)                                                                                    \
    do {                                                                                               \
        if (!(cond)) {                                                                                 \
            printf("FAILURE %s:%d: %s (errno %d)\n", __FILE__, __LINE__, #cond, errno);                \
            fflush(stdout);                                                                            \
            _exit(1);                                                                                  \
        }                                                                                              \
    } while (0)

static inline int success(void)
{
    printf("SUCCESS\n");
    fflush(stdout);
    return 0;
}

static inline int cpu_count(void)
{
    cpu_set_t set;
    CHECK(sched_getaffinity(0, sizeof set, &set) == 0);
    return CPU_COUNT(&set);
}

static inline void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    CHECK(sched_setaffinity(0, sizeof set, &set) == 0);
}

static inline double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}
