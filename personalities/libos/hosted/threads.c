/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Threads for vCPUs: as many as CPUs that the process may use, or `cpus=N` of them; each stays on one. */
#include "ebb.h"
#include "event.h"
#include "hosted.h"
#include "runtime.h"
#include "smp.h"

#define THREAD_STACK (64u << 10)
#define ARCH_SET_GS 0x1001
#define MASK_WORDS 16u          /* 1,024 CPUs */

unsigned hosted_cpus_most __attribute__((weak)) = LIBOS_MAX_CPUS;      /* a program may define its own */
struct cpu *cpu_table[LIBOS_MAX_CPUS];
static unsigned hosted_online;
static uint32_t hosted_cpus[LIBOS_MAX_CPUS];    /* Linux's numbers */
static uint64_t hosted_mask[MASK_WORDS];        /* CPUs we may use */

unsigned cpu_id(void)
{
    return this_cpu()->id;
}

unsigned cpu_count(void)
{
    return __atomic_load_n(&hosted_online, __ATOMIC_RELAXED);
}

uint32_t hosted_cpu_of(unsigned cpu)
{
    return hosted_cpus[cpu];
}

/* The n-th of the CPUs we may use, or -1. */
static int hosted_cpu(unsigned n)
{
    for (unsigned i = 0; i < MASK_WORDS * 64; i++)
        if (hosted_mask[i / 64] >> i % 64 & 1 && n-- == 0)
            return (int)i;
    return -1;
}

static void hosted_become(struct cpu *cpu)
{
    uint64_t only[MASK_WORDS] = { 0 };

    only[hosted_cpus[cpu->id] / 64] = 1ull << hosted_cpus[cpu->id] % 64;
    if (rt_syscall(RT_NR_ARCH_PRCTL, ARCH_SET_GS, (long)cpu, 0, 0, 0, 0) != 0 ||
        rt_syscall(RT_NR_SCHED_SETAFFINITY, 0, sizeof(only), (long)only, 0, 0, 0) < 0) {
        rt_print(2, "libos: this system gives threads no GS base or no CPU of their own\n");
        rt_exit(2);
    }
    hosted_wait_init(cpu->id);
}

static struct cpu *hosted_new_cpu(unsigned id)
{
    struct cpu *cpu = ebb_rep_memory(sizeof(*cpu));

    cpu->self = cpu;
    cpu->id = id;
    cpu->apic_id = id;
    hosted_cpus[id] = (uint32_t)hosted_cpu(id);
    cpu_table[id] = cpu;
    return cpu;
}

void smp_init_first(void)
{
    if (rt_syscall(RT_NR_SCHED_GETAFFINITY, 0, sizeof(hosted_mask), (long)hosted_mask, 0, 0, 0) < 0 || hosted_cpu(0) < 0) {
        rt_print(2, "libos: this system does not say which CPUs there are\n");
        rt_exit(2);
    }
    hosted_become(hosted_new_cpu(0));
    hosted_online = 1;
}

static void hosted_thread(void *arg)
{
    struct cpu *cpu = arg;

    hosted_become(cpu);
    ebb_rep(EBB_EVENT);         /* others may send events as soon as this vCPU counts */
    __atomic_store_n(&hosted_online, cpu->id + 1, __ATOMIC_RELEASE);
    rt_futex_wake_one(&hosted_online);
    event_loop();
}

void hosted_start_threads(void)
{
    unsigned most = 0;

    while (most < hosted_cpus_most && hosted_cpu(most) >= 0)
        most++;

    const char *asked = cmdline_get("cpus", NULL);
    long count = asked ? rt_parse(asked, 1, most) : (long)most;

    if (count < 0)
        panic("libos: cpus= takes a number from 1 to %u here, not %s", most, asked);
    for (unsigned i = 1; i < (unsigned)count; i++) {
        if (rt_thread_start(hosted_thread, hosted_new_cpu(i), THREAD_STACK) != 0)
            panic("libos: no thread for vCPU %u", i);
        while (__atomic_load_n(&hosted_online, __ATOMIC_ACQUIRE) == i)
            rt_futex_wait(&hosted_online, i);
    }
}
