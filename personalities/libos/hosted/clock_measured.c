/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The TSC's frequency where CPUID does not say it: against the kernel's clock. */
#include "clock.h"
#include "cpu.h"
#include "runtime.h"

#define MEASURE_NS 20000000

static uint64_t clock_kernel_ns(void)
{
    struct rt_timespec now = { 0, 0 };

    rt_syscall(RT_NR_CLOCK_GETTIME, RT_CLOCK_MONOTONIC, (long)&now, 0, 0, 0, 0);
    return (uint64_t)now.seconds * 1000000000u + (uint64_t)now.nanoseconds;
}

uint64_t clock_hz_measured(void)
{
    uint64_t begun = clock_kernel_ns(), start = rdtsc(), ns;

    do
        ns = clock_kernel_ns() - begun;
    while (ns < MEASURE_NS);
    return (rdtsc() - start) * 1000000000u / ns;
}
